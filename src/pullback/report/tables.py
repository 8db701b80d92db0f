"""The tables of the report: what stands in each cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ..config.base import each_layer
from ..config.model_schema import Own
from ..study.plan import Study
from ..validation.csv_tables import scanned
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.estimates import Estimate
from ..validation.evidence import Deviation, Entry, Evidence, Judgement, NotJudged, Sigma, Statistics
from ..validation.reasons import place_of
from .formats import count, figures, percent, signed, significant, span
from .source_tables import budget_of, design_of, enough_muons
from .verdict_wording import failed_of

INTERVALS: dict[Sigma, tuple[str, str]] = {"quoted": ("68.27 %", "95 %"), "linear": ("±1 σ", "±1.96 σ")}
"""What the intervals of a σ are called."""


class Cell(NamedTuple):
    """A cell: text, CSS class, and number of columns."""

    text: str
    kind: str = ""
    span: int = 1


class Row(NamedTuple):
    """Cells from left to right, and the CSS class of all."""

    cells: list[Cell]
    kind: str = ""


class Table(NamedTuple):
    """Rows of heads, and of cells."""

    heads: list[Row]
    rows: list[Row]


def row(*cells: str | Cell, kind: str = "") -> Row:
    """A row; cells that are only text hold numbers."""
    return Row([cell if isinstance(cell, Cell) else Cell(cell) for cell in cells], kind)


def left(text: object) -> Cell:
    """A cell with words."""
    return Cell(str(text), "left")


def verdict(text: str) -> Cell:
    """A verdict, in its colour."""
    return Cell(text, f"word {text}")


def estimated(estimate: Estimate | None, show: Callable[[float | None], str] = figures) -> str:
    """The value of an estimate, or a dash."""
    return show(estimate and estimate.value)


def limits(estimate: Estimate | None) -> str:
    """The confidence interval of an estimate, or a dash."""
    return f"{figures(estimate.low)} – {figures(estimate.high)}" if estimate else "–"


class Tables:
    """The tables on a study, from its evidence."""

    def __init__(self, study: Study, evidence: Evidence):
        self.study, self.entries, self.recorded = study, evidence.points, study.recorded
        self.points = {point.label: scanned(point.values) for point in study.points}
        self.observables = {each.name: each for each in study.model.observables}

    def of_point(self, label: str) -> list[Entry]:
        """The entries of a point, one per observable."""
        return [each for each in self.entries if each.point == label]

    def layers(self) -> Table | None:
        """Height (if known), coordinates, resolution and efficiency of each layer; nothing for a single layer."""
        model, detector = self.study.model, self.study.config.detector
        count = self.study.config.model.layer_count
        if count == 1:
            return None
        heights = [model.parameters.get(name, ()) for name in ("z", "z_upper", "z_lower")]
        known = [f"{z:g}" for of_layers in heights if isinstance(of_layers, tuple) for z in of_layers]
        if isinstance(self.study.config.model, Own) or len(known) != count:
            known = []
        resolution, efficiency = each_layer(detector.resolution, count), each_layer(detector.efficiency, count)
        unit = model.coordinates[0].unit
        heads = row(
            left("layer"), *["height (m)"] * bool(known), left("coordinates"), f"resolution (1/{unit})", "efficiency"
        )
        rows = []
        for layer in range(count):
            on = [each.symbol for each, where in zip(model.coordinates, model.layers, strict=True) if where == layer]
            hit = "–" if self.recorded else f"{efficiency[layer]:g}"
            rows.append(row(str(layer), *known[layer : layer + 1], left(", ".join(on)), f"{resolution[layer]:g}", hit))
        return Table([heads], rows)

    def scan(self, names: Iterable[str]) -> Table:
        """The main numbers of each observable at each point; `names` are those of the scanned parameters."""
        heads: list[str | Cell] = [
            *map(left, names),
            left("observable"),
            "unit",
            left("verdict"),
            "linear propagation valid",
        ]
        heads += ["mean quoted σ", "closure, quoted σ", "in linear domain", "closure, linear σ", "± s.e.", "scatter"]
        if not self.recorded:
            heads += ["pull mean", "pull sd", "coverage of ±1 σ", "coverage of ±1.96 σ"]
        return Table([row(*heads)], [row(*self._scan_cells(entry)) for entry in self.entries])

    def _scan_cells(self, entry: Entry) -> Iterator[str | Cell]:
        linear, quoted = entry.linear.domain, entry.quoted.domain
        yield from map(left, self.points[entry.point].values())
        yield from (left(entry.observable), self.observables[entry.observable].unit, verdict(entry.verdict))
        yield from (percent(entry.linear_valid), significant(quoted.mean_sigma), estimated(quoted.ratio))
        yield from (percent(linear.share), estimated(linear.ratio), figures(linear.ratio and linear.ratio.se, 5))
        yield figures(linear.scatter and linear.scatter.all.value, 3)
        if not self.recorded:
            pulls = linear.pulls
            yield from (estimated(pulls and pulls.mean), estimated(pulls and pulls.sd))
            yield from (estimated(each, percent) for each in _coverages(linear))

    def diagnostics(self, entry: Entry) -> Table:
        """All diagnostics of an observable at a point."""
        about = left(f"{entry.point}, {entry.observable}")
        heads = row(about, "value", "expected", left("verdict"), left("what it can see"), left("what it can't see"))
        rows = []
        for name, found in entry.diagnostics.items():
            each = DIAGNOSTICS[name]
            numbers = each.name, figures(found.value), f"{each.right:g}", verdict(found.verdict)
            words = Cell(each.sees, "left wrap"), Cell(each.misses, "left wrap")
            rows.append(row(*numbers, *words, kind="" if each.decides else "outside"))
        return Table([heads], rows)

    def valid(self) -> list[Table]:
        """Where linear propagation is valid; a table for all consecutive entries with the same bins."""
        tables: list[Table] = []
        for entry in self.entries:
            bins = entry.quoted.bins
            heads = [row(left("point"), left("observable"), *map(span, bins), "all")]
            if not tables or tables[-1].heads != heads:
                tables.append(Table(heads, []))
            shares = [*(each.linear_valid for each in bins), entry.linear_valid]
            tables[-1].rows.append(row(entry.point, left(entry.observable), *map(percent, shares)))
        return tables

    def bins(self, entry: Entry, judgement: Judgement) -> Table:
        """Validation of a σ in every bin, and of all muons."""
        place = place_of(self.observables[entry.observable], self.study.model.observables)
        intervals = INTERVALS[judgement.sigma]
        heads: list[str | Cell] = [
            place,
            left("verdict"),
            "muons",
            "share",
            "toys",
            "closure",
            "± s.e.",
            "confidence interval",
        ]
        heads += [f"ends of {each}" for each in intervals]
        if not self.recorded:
            heads += ["pull mean", "pull sd", "pull RMS", *(f"coverage of {each}" for each in intervals)]
        rows = []
        for each in judgement.bins if place else ():
            outside = "outside" if each.verdict == NotJudged.OUTSIDE else ""
            rows.append(self._bin_row(span(each), outside or each.verdict, each, outside))
        linear = judgement.sigma == "linear" and bool(place)
        if linear:
            rows.append(self._bin_row("linear domain", "", judgement.domain))
        whole = "" if place else judgement.verdict
        rows.append(self._bin_row("all muons", whole, judgement.overall, "outside" if linear else ""))
        return Table([row(*heads)], rows)

    def _bin_row(self, name: str, word: str, numbers: Statistics, kind: str = "") -> Row:
        ratio, pulls, ends = numbers.ratio, numbers.pulls, numbers.offsets.ends
        cells = [count(numbers.muons), percent(numbers.share), count(numbers.toys), estimated(ratio)]
        cells += [figures(ratio and ratio.se), limits(ratio), _furthest(ends[:2]), _furthest(ends[2:])]
        if not self.recorded:
            cells += [estimated(pulls and pulls.mean), estimated(pulls and pulls.sd), figures(pulls and pulls.rms)]
            cells += map(_coverage, _coverages(numbers))
        return row(name, verdict(word), *cells, kind=kind)

    def _of_observables(self, own: Sequence[Entry], first: Sequence[str], each: Sequence[str]) -> list[Row]:
        """Two rows of heads: the first columns, then those of each observable under its symbol."""
        observables = [self.observables[entry.observable] for entry in own]
        symbols = [Cell(f"{o.symbol} ({o.unit})" if o.unit != "1" else o.symbol, span=len(each)) for o in observables]
        return [row(left(first[0]), *first[1:], *symbols), row(*[""] * len(first), *[*each] * len(own))]

    def budget(self, own: Sequence[Entry]) -> Table:
        """The budget of every observable at a point."""
        rows = []
        for shares in zip(*(budget_of(self.study, entry) for entry in own), strict=True):
            texts = [text for share in shares for text in (significant(share.u, 3), percent(share.share))]
            rows.append(row(shares[0].source, *texts))
        return Table(self._of_observables(own, ["source"], ["uncertainty", "share"]), rows)

    def design(self, own: Sequence[Entry]) -> Table:
        """The slopes of every observable at a point."""
        rows = []
        for slopes in zip(*(design_of(self.study, entry) for entry in own), strict=True):
            first = slopes[0]
            texts = [text for slope in slopes for text in (significant(slope.slope, 3), signed(slope.change))]
            rows.append(row(first.parameter, f"{first.value:g}", first.unit or "1", f"+{first.step}", *texts))
        return Table(self._of_observables(own, ["parameter", "value", "unit", "step"], ["slope", "change"]), rows)

    def means(self) -> Table:
        """The uncertainty of the mean of every observable at every point, with systematics."""
        heads = ["unit", "muons", "uncertainty of the mean", "independent part", "shared part", "muons for equal parts"]
        rows = []
        for entry in self.entries:
            mean, unit = entry.shared and entry.shared.mean_uncertainty, self.observables[entry.observable].unit
            parts = (mean.total, mean.independent, mean.shared) if mean else (None, None, None)
            numbers = [count(entry.quoted.overall.muons), *(significant(part, 3) for part in parts)]
            rows.append(row(entry.point, left(entry.observable), unit, *numbers, count(enough_muons(entry))))
        return Table([row(left("point"), left("observable"), *heads)], rows)

    def experiments(self) -> Table:
        """The judgement of the pseudo-experiments."""
        heads = ["scatter of a muon / total σ", "confidence interval", "scatter of the mean pull / expected"]
        heads += ["confidence interval", "width of pulls", "expected", "scatter of the mean pull", "expected"]
        rows = []
        for entry in self.entries:
            if shared := entry.shared:
                ratios = [text for ratio in (shared.total, shared.mean) for text in (estimated(ratio), limits(ratio))]
                pulls = shared.pull_width, shared.pull_shift
                numbers = [number for pull in pulls for number in (pull and pull.value, pull and pull.expected)]
                words = entry.point, left(entry.observable), verdict(shared.verdict)
                rows.append(row(*words, *ratios, *map(figures, numbers)))
        return Table([row(left("point"), left("observable"), left("verdict"), *heads)], rows)

    def failed(self) -> Table:
        """The number of failed muons by reason."""
        reasons = failed_of(self.study)
        rows = []
        for entry in self.entries:
            numbers = [entry.quoted.counts.muons, *(entry.quoted.counts.of(name) for name in reasons)]
            rows.append(row(entry.point, left(entry.observable), *map(count, numbers)))
        return Table([row(left("point"), left("observable"), "muons", *reasons.values())], rows)


def _coverages(numbers: Statistics) -> tuple[Estimate | None, Estimate | None]:
    return (numbers.pulls.coverage68, numbers.pulls.coverage95) if numbers.pulls else (None, None)


def _coverage(coverage: Estimate | None) -> str:
    """A coverage with its interval."""
    if coverage is None:
        return "–"
    soft = Markup('{} <span class="soft">({} – {})</span>')
    return soft.format(*map(percent, (coverage.value, coverage.low, coverage.high)))


def _furthest(ends: Sequence[Deviation]) -> str:
    """The larger of the offsets of an interval's two ends, in half-widths."""
    known = [end.mean.value for end in ends if end.mean and math.isfinite(end.mean.value)]
    return f"{max(known, key=abs):+.4f}" if known else "–"
