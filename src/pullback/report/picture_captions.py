"""The captions of the pictures of the data."""

from __future__ import annotations

from typing import NamedTuple

from ..config.source_schema import Recorded
from ..study.plan import Study

PICTURE_CAPTIONS = {
    "detector": (
        "The detector and its first muon",
        "Left: the layers (grey) at their heights, and the first muon of which lines are known, with its hits. The "
        "scale is given above each panel; where one axis is stretched, angles look larger than they are. Right: the "
        "same hits minus the line, with the σ of the detector (bars) and of the line (band, ±1 σ by propagation).",
    ),
    "detector_of_one_hit": (
        "The detector and its first muon",
        "Left: the muon comes from a known point at the height dz above the plane, and its hit gives θ. Right: the hit "
        "with its resolution, ±σ, and the directions that belong to the ends of this range (dotted).",
    ),
    "hit_maps": (
        "Hit maps",
        "Number of hits on each layer, by their position. Look for dead and noisy regions, edges, and layers that are "
        "turned or mirrored against the others. At most 0.1 % of the hits at either end of an axis are outside; bins "
        "of pixels or strips are whole numbers of them.",
    ),
    "events": (
        "The first ten tracks",
        "Above: the first ten muons with a fitted line, with the layers (grey) at their heights; the scales of the two "
        "axes differ. Below: the hits of the first six minus the line, with the σ of the detector, and the band of the "
        "line, ±1 σ (68.27 %) by propagation. Hits should lie about as far from 0 as their σ is long. A muon with a "
        "hit far off is a wrong combination; a layer that is off in the same direction for all muons is out of place.",
    ),
    "residuals_by_layer": (
        "Residuals by layer",
        "Each hit minus the prediction of the fit without this hit (filled), and the Gaussian that the stated σ of the "
        "hits gives for it, prediction included (line); it is wider for muons with fewer hits. The median should be 0, "
        "and the width, half the range of the middle 68.27 %, the stated one. A shift means a layer out of place; a "
        "wider distribution, in all layers, a detector that is worse than stated.",
    ),
    "chi2": (
        "χ² and p-values",
        "Left: χ²/ndf of all tracks (filled) and its expected distribution for their degrees of freedom (line). A "
        "distribution that is shifted as a whole means a wrong resolution or layers out of place; a second peak at "
        "large values, wrong combinations of hits. Right: p-values, which should be uniform.",
    ),
    "in_time": (
        "Tracks in time",
        "In ranges of the muon number, {order}: the median of χ² over its expected median, as a "
        "width, which should be 1; the median of each residual over its σ, which should be 0; and the share of muons "
        "without a hit in each layer. Bars are ±1 standard error. A step or a slope means that the detector moved or "
        "changed while data were taken.",
    ),
    "in_time_of_hits": (
        "Hits in time",
        "In ranges of the muon number, {order}: the median position of the hits in each "
        "coordinate, minus that of all muons, over the half-width of their distribution; and the share of muons "
        "without a hit in each layer. Bars are ±1 standard error. A step or a slope means that the detector or the "
        "beam changed while data were taken.",
    ),
    "in_time_of_chi2": (
        "Tracks in time",
        "In ranges of the muon number, {order}: the median of χ² over its expected median, as a "
        "width, which should be 1; the median position of the hits in each coordinate, minus that of all muons, over "
        "the half-width of their distribution; and the share of muons without a hit in each layer. Bars are ±1 "
        "standard error. A step or a slope means that the detector or the beam changed while data were taken.",
    ),
    "pointing": (
        "σ of the track's position over z",
        "σ of the position of the fitted line (lines), by propagation, of a typical muon: that with the median σ among "
        "the first ones with the most hits. Dotted: the layers; symbols: the stated σ of their hits. Between the "
        "layers a track is known better than a hit; beyond them σ grows with the distance. Scattering in matter beyond "
        "the layers comes on top of it. Where the layers scatter, it is the line on which the muon arrives.",
    ),
}
"""Title, and caption with what to look for in each; `order` is that of the muons."""


class MuonOrder(NamedTuple):
    """What muons are numbered by: for an axis, and for a caption."""

    axis: str
    words: str


BY_ROW = MuonOrder("muon number, in the order of the file", "which is the order of the rows of the file")
BY_EVENT = MuonOrder(
    "muon number, in the order of events in the file",
    "which is the order of the events in the file, whatever their numbers",
)
BY_FIRST_HIT = MuonOrder(
    "muon number, by the first row of each event",
    "which is the order of the first rows of the events, since the rows of an event are apart in the file (events with "
    "more hits tend to come first, so that curves may drift although nothing changed; sort the file by event to see "
    "changes in time)",
)


def order_of(study: Study) -> MuonOrder:
    """What the recorded muons of a study are numbered by."""
    source, counts = study.config.source, study.imported
    if not isinstance(source, Recorded) or source.layout == "wide" or not source.event:
        return BY_ROW
    return BY_FIRST_HIT if counts and counts.events_apart else BY_EVENT
