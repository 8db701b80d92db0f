"""Which figures a study has, of which points, and what to look for in each."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .batches import short
from .evidence import Evidence
from .points import NOMINAL, nearest_to_unscanned
from .study import Study
from .validation import OUTSIDE, RANK, SIGMAS


class Figure(NamedTuple):
    """A figure: what is drawn (`kind`), of which observable, and of which point, or over the scan (`subject`)."""

    kind: str
    observable: str
    subject: str

    @property
    def stem(self) -> str:
        """The file's name without suffix."""
        name = f"{self.kind}_{self.observable}" if self.observable else self.kind
        return f"{name}.{short(self.subject)}"


WORST = "worst"
OTHERS_FIXED = "The other parameters are as at the point nearest the config without its scan."
OTHERS_VARY = "The parameters vary together, and only the first is shown."

CAPTIONS = {
    "hits": (
        "True against recorded hits",
        "Left: recorded hits should scatter about the line. Right: their distance from the truth, in units of the "
        "stated resolution, should follow the unit Gaussian; if it is wider, the detector is worse than stated.",
    ),
    "hits_recorded": (
        "Recorded hits",
        "Where the hits lie on the layer. Look for gaps, edges and spikes that the muons can't explain.",
    ),
    "value": (
        "{symbol} against {x} with its uncertainty",
        "At most 60 hits, evenly spread over {x}, with the 68.27 % interval that is quoted, and in grey ±1 σ by the "
        "linear law; on the right, if there are any, those within 6 σ of the fold at {x} = 0. Where grey bars reach "
        "below zero, which {symbol} can't, the linear law can't be right.",
    ),
    "sigma": (
        "σ and spread of toys",
        "Lines are the quoted and the linear σ, each square is the standard deviation of the toys around one muon; "
        "the panels below show its ratio to both, with the tolerance shaded. To the quoted σ the ratio should be 1 "
        "everywhere; to the linear one where the law is claimed: everywhere, or right of the dotted line if there "
        "is one. Left of it the law does not know of the fold.",
    ),
    "law": (
        "Where the linear law holds",
        "Left: of the muons in each bin of {symbol}/σ, those for which the linear law holds (JCGM 101, clause 8). "
        "Right: quoted σ and bias over the linear σ, of muons near the fold. Where the law holds, the quoted σ is "
        "the linear one; where the bias is not small against σ, {symbol} itself is too large on the average.",
    ),
    "ends": (
        "Ends of the intervals",
        "How far the ends of the intervals that hold 68.27 % and 95 % of the toys are from those that are quoted, "
        "over half of the width of the interval, in bins of {symbol}/σ, with the tolerance shaded. All should lie in "
        "the band. Right widths with wrong ends mean that the noise has another shape than the Gaussian that "
        "propagation assumes.",
    ),
    "pulls": (
        "Pulls",
        "(recorded − true) / linear σ of the muons in the linear domain (filled) should follow the unit Gaussian. "
        "Narrower means that σ is overstated, wider that it is understated, shifted that the inference is biased. "
        "Dashed: the muons nearer to the fold, as a density of their own.",
    ),
    "coverage": (
        "Long-run success",
        "How often an interval holds the truth, in bins of true {symbol}/σ, with Clopper-Pearson intervals: left ±1 "
        "σ and ±1.96 σ by the linear law, right the 68.27 % and 95 % intervals that are quoted. In the linear "
        "domain they should hold the dashed lines, but for one in twenty or so. Right widths with wrong success "
        "mean that the noise is not Gaussian. Near the fold, success depends on how far the truth is from it, and "
        "can be far from what the interval says even where σ is the right standard deviation.",
    ),
    "scan": (
        "The scan",
        "Columns of summary.csv, for muons in the linear domain, but where all are named. Closure, pull sd and pull "
        "RMS should be 1, and coverage 0.683 and 0.95, to within the tolerance (the range of the colours, or the "
        "band); the pull mean 0; the scatter not far below 1. A trend shows where the law will fail.",
    ),
}


def gallery(study: Study) -> list[Figure]:
    """The figures of a study in the order of the report."""
    names = [each.name for each in study.model.observables]
    kinds = ("value", "sigma", "law", "ends", *(() if study.recorded else ("pulls", "coverage")))
    figures = []
    for subject in _subjects(study):
        figures.append(Figure("hits", "", subject))
        figures += [Figure(kind, name, subject) for name in names for kind in kinds]
    if varying(study):
        figures += [Figure("scan", name, "scan") for name in names]
    return figures


def _subjects(study: Study) -> list[str]:
    """The names that the points which are drawn go by."""
    if study.config.figures.points == "all":
        return [point.label for point in study.points]
    return [NOMINAL, WORST] if len(study.points) > 1 else [NOMINAL]


def point_of(figure: Figure, study: Study, evidence: Evidence) -> str:
    """The label of the point that a figure is drawn of."""
    if study.config.figures.points == "all":
        return figure.subject
    if figure.subject == NOMINAL:
        return nearest_to_unscanned(study.points, study.config).label
    return max(evidence["points"], key=badness)["point"]


def words(figure: Figure, study: Study, evidence: Evidence) -> tuple[str, str]:
    """The title of a figure, and the caption that says what to look for."""
    title, caption = CAPTIONS["hits_recorded" if figure.kind == "hits" and study.recorded else figure.kind]
    if figure.kind == "scan":
        names = over(study)
        if len(names) < len(varying(study)):
            caption += " " + (OTHERS_FIXED if is_grid(study) else OTHERS_VARY)
        return f"{title}: {' and '.join(names)}", caption
    observable = next(each for each in study.model.observables if figure.observable in ("", each.name))
    title, caption = (
        text.format(symbol=observable.symbol, x=study.model.coordinates[0].symbol) for text in (title, caption)
    )
    if len(study.points) == 1:
        return title, caption
    which = "furthest from 1 of all points: " if figure.subject == WORST else ""
    return f"{title} ({which}{point_of(figure, study, evidence)})", caption


def badness(entry: dict[str, Any]) -> tuple[int, float]:
    """Order of points from the best to the worst: by verdict, then by how far a ratio that decides is from 1."""
    bins = [each for sigma in SIGMAS for each in entry[sigma]["bins"] if each["verdict"] != OUTSIDE]
    ratios = [each["ratio"] for each in bins if each["ratio"] is not None]
    ratios.append(entry["linear"]["domain"].get("pull_sd") or 1.0)
    return RANK[entry["verdict"]], max(abs(ratio - 1) for ratio in ratios)


def varying(study: Study) -> dict[str, list[float]]:
    """The scanned parameters that take more than one value, with these in order."""
    columns: dict[str, list[float]] = {}
    for name in study.points[0].values:
        values = sorted({point.values[name] for point in study.points})
        if len(values) > 1:
            columns[name] = values
    return columns


def is_grid(study: Study) -> bool:
    """Whether the points are every combination of the parameters that vary."""
    return len(study.points) == math.prod(map(len, varying(study).values()))


def over(study: Study) -> list[str]:
    """The parameters that a scan is drawn over: two where the points fill a grid, else the first."""
    return list(varying(study))[: 2 if is_grid(study) else 1]
