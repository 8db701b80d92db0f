"""The figures of a study, and the scan points that they show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..config.schema import PointConfig
from ..models import has_fit
from ..models.straight_lines import straight_lines
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Part, short
from ..study.blocks import block_count
from ..study.pictured import pictured
from ..study.plan import Study
from ..study.scan import NOMINAL, nearest_to_unscanned
from ..study.shared_parameters import sources_of
from ..study.toy_selection import blocks_shown

if TYPE_CHECKING:
    from ..validation.evidence import Entry, Evidence


class Figure(NamedTuple):
    """A figure: its `kind`, its observable, and its `subject`: a scan point, or the whole scan."""

    kind: str
    observable: str
    subject: str

    @property
    def stem(self) -> str:
        """The file's name without suffix."""
        name = f"{self.kind}_{self.observable}" if self.observable else self.kind
        return f"{short(name)}.{short(self.subject)}"


WORST = "worst"
SCANNED = "scan"
CURVE = "curve"
DETECTOR = "detector"
PICTURES = ("hit_maps", "events", "residuals_by_layer", "chi2", "in_time", "pointing")
"""Kinds of pictures of the data, in their order."""

FEWEST_IN_TIME = 100
"""Recorded muons below which nothing is drawn in time: two ranges of the muon number need them."""

SHOWS_WHAT_IS_WRONG = ("sigma", "ends", "pulls")


def gallery(study: Study) -> list[Figure]:
    """The figures of a study in the order of the report.

    A single observable has figures of its own. Several observables share figures, with one panel each; the worst point
    then has only those that show errors. The picture of the detector comes first, then pictures of the data.
    """
    names = [each.name for each in study.model.observables]
    which = names[0] if len(names) == 1 else ""
    kinds = ("value", "sigma", "validity", "ends", *(() if study.recorded else ("pulls", "coverage")))
    figures = [
        Figure(kind, "", subject) for subject in _subjects(study) if subject != WORST for kind in pictures(study)
    ]
    figures = [Figure(DETECTOR, "", _subjects(study)[0])] * has_picture(study) + figures
    for subject in _subjects(study):
        whole = len(names) == 1 or subject != WORST
        figures += [Figure("hits", "", subject)] * whole
        figures += [Figure(kind, which, subject) for kind in kinds if whole or kind in SHOWS_WHAT_IS_WRONG]
        figures += [Figure(kind, "", subject) for kind in ("residuals", "trends") if has_fit(study.model)]
        if subject != WORST:
            figures += [Figure("budget", which, subject)] * has_budget(study)
            figures += [Figure("systematics", which, subject)] * bool(study.config.systematics)
    if varying(study):
        figures.append(Figure("scan", which, SCANNED))
        figures += [Figure("budget", which, SCANNED)] * has_budget(study)
    if study.config.target:
        figures += [Figure("target", observable, CURVE) for observable in study.config.target.sigma]
    return figures


def has_picture(study: Study) -> bool:
    """Whether the geometry of the detector is known: of a user's model it is not."""
    return study.config.model.name == "one_hit" or bool(straight_lines(study.model))


def pictures(study: Study) -> list[str]:
    """The kinds of pictures of the data: those of tracks for all models that fit lines, others of recorded hits."""
    lines = bool(straight_lines(study.model))
    shown = {
        "hit_maps": study.recorded and study.config.model.name != "one_hit",
        "events": lines,
        "residuals_by_layer": study.recorded and study.model.fitted is not None,
        "chi2": study.recorded and has_fit(study.model),
        "in_time": study.recorded and min(study.muons.values()) >= FEWEST_IN_TIME,
        "pointing": lines,
    }
    return [kind for kind in PICTURES if shown[kind]]


def has_budget(study: Study) -> bool:
    """Whether the uncertainties have several sources."""
    return len(sources(study)) > 1


def sources(study: Study) -> list[str]:
    """The sources of uncertainty in the budget of a study, at the point that has the most.

    The sources of scan points differ only in the correlation of hits.
    """
    parts = (part.of_kind(SigmaConfig) for batch in study.batches.values() for part in batch.parts)
    return max(map(sources_of, parts), key=len)


def _subjects(study: Study) -> list[str]:
    """The names of the scan points that are drawn."""
    if study.config.figures.points == "all":
        return [point.label for point in study.points]
    return [NOMINAL, WORST] if len(study.points) > 1 else [NOMINAL]


def point_of(figure: Figure, study: Study, evidence: Evidence) -> str:
    """The label of the scan point that a figure shows."""
    if study.config.figures.points == "all":
        return figure.subject
    if figure.subject == NOMINAL:
        return nearest_to_unscanned(study.points, study.config).label
    return worst_entry(study, evidence).point


def drawn_from(study: Study) -> list[tuple[str, str]]:
    """The artefacts that the figures may show, by kind and batch.

    For each scan point these are the artefacts with the first block and with the toys that are shown; with systematics,
    those with pseudo-experiments; and hits and fits of recorded muons from all along the file. The worst point is not
    known before the verdict.
    """

    def shown(part: Part[PointConfig]) -> bool:
        return part.first < blocks_shown(block_count(part.muons), min(part.config.toys.muons, part.muons))

    def in_pictures(part: Part[PointConfig]) -> bool:
        return any(part.first <= block < part.last for block in pictured(block_count(part.muons)))

    first = {name for name, batch in study.batches.items() if any(map(shown, batch.parts))}
    all_along = {name for name, batch in study.batches.items() if study.recorded and any(map(in_pictures, batch.parts))}
    return [
        (kind, name)
        for kind in study.kinds
        if kind != "coverage"  # the evidence has it
        for name in study.batches
        if name in first
        or (kind == "toys" and study.config.systematics)
        or (kind in ("reco", "fits") and name in all_along)
    ]


def worst_entry(study: Study, evidence: Evidence) -> Entry:
    """The entry whose deciding numbers, of any question, are worst."""
    from ..validation.findings import badness  # not needed to plan the figures, and slow to import

    settings = {point.label: point.config.validation for point in study.points}
    return max(
        evidence.points, key=lambda entry: badness(entry, evidence.smeared, evidence.fits, settings[entry.point])
    )


def varying(study: Study) -> dict[str, list[float]]:
    """The scanned parameters with more than one value, and their values in ascending order."""
    columns: dict[str, list[float]] = {}
    for name in study.points[0].values:
        values = sorted({point.values[name] for point in study.points})
        if len(values) > 1:
            columns[name] = values
    return columns


def independent(study: Study) -> dict[str, list[float]]:
    """The parameters that vary, without those that follow from one before them, as lists in step do; their values."""
    found: dict[str, list[float]] = {}
    for name, values in varying(study).items():
        pairs = [{(point.values[other], point.values[name]) for point in study.points} for other in found]
        if not any(len(each) == len(found[other]) for each, other in zip(pairs, found, strict=True)):
            found[name] = values
    return found


def is_grid(study: Study) -> bool:
    """Whether the points are every combination of the independent parameters."""
    return len(study.points) == math.prod(map(len, independent(study).values()))


def over(study: Study) -> list[str]:
    """The parameters on the axes of a scan: two if the points fill a grid, else the first."""
    return list(independent(study))[: 2 if is_grid(study) else 1]


def fixed_entries(study: Study, evidence: Evidence, names: list[str]) -> list[Entry]:
    """The entries of a scan over some parameters; in a grid, the others have their values at the nominal point."""
    nominal = nearest_to_unscanned(study.points, study.config)
    points = {each.label: each.values for each in study.points}
    fixed = [name for name in independent(study) if name not in names] if is_grid(study) else []
    return [
        entry for entry in evidence.points if all(points[entry.point][name] == nominal.values[name] for name in fixed)
    ]
