"""Which figures a study has, of which points, and what to look for in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .batches import short
from .points import nearest_to_unscanned
from .study import Study
from .validation import OUTSIDE, RANK

Evidence = dict[str, Any]
"""What `validation.json` holds."""


class Figure(NamedTuple):
    """A figure: what is drawn (`kind`), of which observable and point (none for a scan), and the words under it."""

    kind: str
    observable: str
    subject: str
    point: str | None
    title: str
    caption: str

    @property
    def stem(self) -> str:
        """The file's name without suffix."""
        name = f"{self.kind}_{self.observable}" if self.observable else self.kind
        return f"{name}.{short(self.subject)}"


CAPTIONS = {
    "hits": (
        "True against recorded hits",
        "Left: recorded hits should scatter about the diagonal. Right: their distance from the truth, in units of the "
        "stated resolution, should follow the unit Gaussian; if it is wider, the detector is worse than stated.",
    ),
    "hits_recorded": (
        "Recorded hits",
        "Where the hits lie on the layer. Look for gaps, edges and spikes that the muons can't explain.",
    ),
    "value": (
        "{symbol} against {x} with its uncertainty",
        "Bars are ±1 σ by the linear law. Right, around the fold at {x} = 0: bars of the muons there reach below zero, "
        "where {symbol} can't be, so the linear law can't be right there.",
    ),
    "sigma": (
        "Propagated σ and spread of toys",
        "The line is the propagated σ, each point the standard deviation of the toys around one muon; the panels below "
        "show their ratio, with the tolerance shaded. They should agree where the linear law is claimed: everywhere, "
        "or right of the dashed line. Left of it the fold makes the toys narrower than the law says.",
    ),
    "pulls": (
        "Pulls",
        "(recorded - true) / σ of the muons in the linear domain should follow the unit Gaussian. Narrower means that "
        "σ is overstated, wider that it is understated, shifted that the inference is biased.",
    ),
    "coverage": (
        "Coverage",
        "How often ±1 σ and ±1.96 σ hold the truth, in bins of {symbol}/σ, with Clopper-Pearson intervals. The points "
        "should lie on the dashed lines in the linear domain. Right widths with wrong coverage mean that "
        "the noise is not Gaussian.",
    ),
    "scan": (
        "The scan",
        "Each panel is one column of summary.csv, in the linear domain unless it says otherwise. Ratios and pulls "
        "should stay within 1 ± tolerance; a trend shows where they will leave it.",
    ),
}


def gallery(study: Study, evidence: Evidence) -> list[Figure]:
    """The figures of a study in the order of the report."""
    return [*_of_points(study, evidence), *_of_scan(study)]


def notable(study: Study, evidence: Evidence) -> dict[str, str]:
    """The points that figures are drawn of, by the name that they go by in file names."""
    if study.config.figures.points == "all":
        return {point.label: point.label for point in study.points}
    nominal = nearest_to_unscanned(study.points, study.config).label
    worst = max(evidence["points"], key=badness)["point"]
    return {"nominal": nominal} | ({"worst": worst} if worst != nominal else {})


def badness(entry: dict[str, Any]) -> tuple[int, float]:
    """Order of points from the best to the worst: by verdict, then by how far a ratio that decides is from 1."""
    ratios = [each["ratio"] for each in entry["bins"] if each["ratio"] is not None and each["verdict"] != OUTSIDE]
    ratios.append(entry["domain"].get("pull_sd") or 1.0)
    return RANK[entry["verdict"]], max(abs(ratio - 1) for ratio in ratios)


def varying(study: Study) -> dict[str, list[float]]:
    """The scanned parameters that take more than one value, with these in order."""
    columns: dict[str, list[float]] = {}
    for name in study.points[0].values:
        values = sorted({point.values[name] for point in study.points})
        if len(values) > 1:
            columns[name] = values
    return columns


def _of_points(study: Study, evidence: Evidence) -> Iterator[Figure]:
    for subject, label in notable(study, evidence).items():
        of = "" if len(study.points) == 1 else f" ({'the worst point, ' if subject == 'worst' else ''}{label})"
        title, caption = CAPTIONS["hits_recorded" if study.recorded else "hits"]
        yield Figure("hits", "", subject, label, title + of, caption)
        for observable in study.model.observables:
            for kind in ("value", "sigma") if study.recorded else ("value", "sigma", "pulls", "coverage"):
                words = {"symbol": observable.symbol, "x": study.model.coordinates[0].symbol}
                title, caption = (text.format(**words) for text in CAPTIONS[kind])
                yield Figure(kind, observable.name, subject, label, title + of, caption)


def _of_scan(study: Study) -> Iterator[Figure]:
    names = list(varying(study))
    if not names:
        return
    title, caption = CAPTIONS["scan"]
    if len(names) > 2:
        drawn = " and ".join(names[:2])
        caption += f" Drawn over {drawn}, with the others as at the point nearest the unscanned config."
    for observable in study.model.observables:
        yield Figure("scan", observable.name, "scan", None, f"{title}: {' and '.join(names[:2])}", caption)
