"""The captions of the pictures of the data."""

from __future__ import annotations

PICTURE_CAPTIONS = {
    "hit_maps": (
        "Hit maps",
        "Number of hits on each layer, by their position. Look for dead and noisy regions, edges, and layers that are "
        "turned or mirrored against the others. At most 0.1 % of the hits at either end of an axis are outside; bins "
        "of pixels or strips are whole numbers of them.",
    ),
    "events": (
        "The first ten tracks",
        "Above: the first ten muons with a fitted line, with the layers (grey) at their heights; the scales of the two "
        "axes differ. Below: the hits of each minus its line, with the σ of the detector, and the band of the line, "
        "±1 σ (68.27 %) by propagation. Hits should lie about as far from 0 as their σ is long. A muon with a hit far "
        "off is a wrong combination; a layer that is off in the same direction for all muons is out of place.",
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
        "In ranges of the muon number, which is the order of the file: the median of χ² over its expected median, as a "
        "width, which should be 1; the median of each residual over its σ, which should be 0; and the share of muons "
        "without a hit in each layer. Bars are ±1 standard error. A step or a slope means that the detector moved or "
        "changed while data were taken.",
    ),
    "in_time_of_hits": (
        "Hits in time",
        "In ranges of the muon number, which is the order of the file: the median position of the hits in each "
        "coordinate, minus that of all muons, over the half-width of their distribution; and the share of muons "
        "without a hit in each layer. Bars are ±1 standard error. A step or a slope means that the detector or the "
        "beam changed while data were taken.",
    ),
    "in_time_of_chi2": (
        "Tracks in time",
        "In ranges of the muon number, which is the order of the file: the median of χ² over its expected median, as a "
        "width, which should be 1; the median position of the hits in each coordinate, minus that of all muons, over "
        "the half-width of their distribution; and the share of muons without a hit in each layer. Bars are ±1 "
        "standard error. A step or a slope means that the detector or the beam changed while data were taken.",
    ),
    "pointing": (
        "σ of the track's position over z",
        "σ of the position of the fitted line (lines), by propagation, for muons with the most hits: the median of "
        "the first ones. Dotted: the layers; symbols: the stated σ of their hits. Between the layers a track is known "
        "better than a hit; beyond them σ grows with the distance. Scattering in matter beyond "
        "the layers comes on top of it. Where the layers scatter, it is the line on which the muon arrives.",
    ),
}
"""Title, and caption with what to look for in each."""
