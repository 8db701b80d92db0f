"""The tables of the report: what stands in each cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ..config.model_schema import Own
from ..study.plan import Study
from ..validation.csv_tables import scanned
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.evidence import Deviation, Entry, Estimate, Evidence, Judgement, NotJudged, Sigma, Statistics
from .formats import count, figures, percent, signed, significant, span
from .setup_wording import place_of
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


def left(text: object) -> Cell:
    """A cell with words."""
    return Cell(str(text), "left")


def cells(*texts: str) -> list[Cell]:
    """Cells with numbers."""
    return [Cell(text) for text in texts]


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

    def place(self, entry: Entry) -> str:
        """What the distance from the fold is called; nothing without a fold."""
        return place_of(self.study, self.observables[entry.observable])

    def layers(self) -> Table | None:
        """Height (if known), coordinates, resolution and efficiency of each layer; nothing for a single layer."""
        model, detector = self.study.model, self.study.config.detector
        count = self.study.config.model.layer_count
        if count == 1:
            return None
        heights = [model.parameters.get(name, ()) for name in ("z", "z_upper", "z_lower")]
        known = [z for of_layers in heights if isinstance(of_layers, tuple) for z in of_layers]
        if isinstance(self.study.config.model, Own) or len(known) != count:
            known = []

        def of_layer(value: float | list[float], layer: int) -> str:
            return f"{value[layer] if isinstance(value, list) else value:g}"

        heads = [left("layer"), *cells(*["height (m)"] * bool(known)), left("coordinates")]
        rows = []
        for layer in range(count):
            on = [each.symbol for each, where in zip(model.coordinates, model.layers, strict=True) if where == layer]
            numbers = of_layer(detector.resolution, layer), of_layer(detector.efficiency, layer)
            row = [*cells(str(layer), *(f"{z:g}" for z in known[layer : layer + 1])), left(", ".join(on))]
            rows.append(Row([*row, *cells(numbers[0], "–" if self.recorded else numbers[1])]))
        return Table([Row([*heads, *cells(f"resolution (1/{model.coordinates[0].unit})", "efficiency")])], rows)

    def scan(self, names: Iterable[str]) -> Table:
        """The main numbers of each observable at each point; `names` are those of the scanned parameters."""
        heads = [*map(left, names), left("observable"), Cell("unit"), left("verdict")]
        heads += cells("linear propagation valid", "mean quoted σ", "closure, quoted σ", "in linear domain")
        heads += cells("closure, linear σ", "± s.e.", "scatter")
        if not self.recorded:
            heads += cells("pull mean", "pull sd", "coverage of ±1 σ", "coverage of ±1.96 σ")
        return Table([Row(heads)], [Row(self._scan_row(entry)) for entry in self.entries])

    def _scan_row(self, entry: Entry) -> list[Cell]:
        linear, quoted = entry.linear.domain, entry.quoted.domain
        row = [*map(left, self.points[entry.point].values()), left(entry.observable)]
        row += [Cell(self.observables[entry.observable].unit), verdict(entry.verdict)]
        row += cells(percent(entry.linear_valid), significant(quoted.mean_sigma), estimated(quoted.ratio))
        row += cells(percent(linear.share), estimated(linear.ratio), figures(linear.ratio and linear.ratio.se, 5))
        row += cells(figures(linear.scatter and linear.scatter.all.value, 3))
        if not self.recorded:
            pulls = linear.pulls
            row += cells(estimated(pulls and pulls.mean), estimated(pulls and pulls.sd))
            row += cells(*(estimated(each, percent) for each in _coverages(linear)))
        return row

    def diagnostics(self, entry: Entry) -> Table:
        """All diagnostics of an observable at a point."""
        heads = [left(f"{entry.point}, {entry.observable}"), *cells("value", "expected"), left("verdict")]
        rows = []
        for name, found in entry.diagnostics.items():
            about = DIAGNOSTICS[name]
            row = [*cells(about.name, figures(found.value), f"{about.right:g}"), verdict(found.verdict)]
            row += [Cell(about.sees, "left wrap"), Cell(about.misses, "left wrap")]
            rows.append(Row(row, "" if about.decides else "outside"))
        return Table([Row([*heads, left("what it can see"), left("what it can't see")])], rows)

    def valid(self) -> list[Table]:
        """Where linear propagation is valid; a table for all consecutive entries with the same bins."""
        tables: list[Table] = []
        for entry in self.entries:
            bins = entry.quoted.bins
            heads = [Row([left("point"), left("observable"), *cells(*map(span, bins), "all")])]
            if not tables or tables[-1].heads != heads:
                tables.append(Table(heads, []))
            shares = cells(*(percent(each.linear_valid) for each in bins), percent(entry.linear_valid))
            tables[-1].rows.append(Row([Cell(entry.point), left(entry.observable), *shares]))
        return tables

    def bins(self, entry: Entry, judgement: Judgement) -> Table:
        """Validation of a σ in every bin, and of all muons."""
        place, intervals = self.place(entry), INTERVALS[judgement.sigma]
        heads = [Cell(place), left("verdict"), *cells("muons", "share", "toys", "closure", "± s.e.")]
        heads += cells("confidence interval", *(f"ends of {each}" for each in intervals))
        if not self.recorded:
            heads += cells("pull mean", "pull sd", "pull RMS", *(f"coverage of {each}" for each in intervals))
        rows = []
        for each in judgement.bins if place else ():
            outside = "outside" if each.verdict == NotJudged.OUTSIDE else ""
            rows.append(self._bin_row(span(each), outside or each.verdict, each, outside))
        linear = judgement.sigma == "linear" and bool(place)
        if linear:
            rows.append(self._bin_row("linear domain", "", judgement.domain))
        whole = "" if place else judgement.verdict
        rows.append(self._bin_row("all muons", whole, judgement.overall, "outside" if linear else ""))
        return Table([Row(heads)], rows)

    def _bin_row(self, name: str, word: str, numbers: Statistics, kind: str = "") -> Row:
        ratio, pulls = numbers.ratio, numbers.pulls
        row = [Cell(name), verdict(word), *cells(count(numbers.muons), percent(numbers.share), count(numbers.toys))]
        row += cells(estimated(ratio), figures(ratio and ratio.se), limits(ratio))
        row += cells(*(_furthest(ends) for ends in (numbers.offsets.ends[:2], numbers.offsets.ends[2:])))
        if not self.recorded:
            row += cells(estimated(pulls and pulls.mean), estimated(pulls and pulls.sd), figures(pulls and pulls.rms))
            row += cells(*map(_coverage, _coverages(numbers)))
        return Row(row, kind)

    def _of_observables(self, own: Sequence[Entry], first: Sequence[str], each: Sequence[str]) -> list[Row]:
        """Two rows of heads: the first columns, then those of each observable under its symbol."""
        symbols = []
        for entry in own:
            observable = self.observables[entry.observable]
            unit = f" ({observable.unit})" if observable.unit != "1" else ""
            symbols.append(Cell(f"{observable.symbol}{unit}", span=len(each)))
        top = [left(first[0]), *cells(*first[1:]), *symbols]
        return [Row(top), Row(cells(*[""] * len(first), *[*each] * len(own)))]

    def budget(self, own: Sequence[Entry]) -> Table:
        """The budget of every observable at a point."""
        heads = self._of_observables(own, ["source"], ["uncertainty", "share"])
        rows = []
        for shares in zip(*(budget_of(self.study, entry) for entry in own), strict=True):
            texts = [text for each in shares for text in (significant(each.u, 3), percent(each.share))]
            rows.append(Row(cells(shares[0].source, *texts)))
        return Table(heads, rows)

    def design(self, own: Sequence[Entry]) -> Table:
        """The slopes of every observable at a point."""
        heads = self._of_observables(own, ["parameter", "value", "unit", "step"], ["slope", "change"])
        rows = []
        for slopes in zip(*(design_of(self.study, entry) for entry in own), strict=True):
            first = slopes[0]
            texts = [text for each in slopes for text in (significant(each.slope, 3), signed(each.change))]
            rows.append(Row(cells(first.parameter, f"{first.value:g}", first.unit or "1", f"+{first.step}", *texts)))
        return Table(heads, rows)

    def means(self) -> Table:
        """The uncertainty of the mean of every observable at every point, with systematics."""
        heads = [left("point"), left("observable"), *cells("unit", "muons", "uncertainty of the mean")]
        heads += cells("independent part", "shared part", "muons for equal parts")
        rows = []
        for entry in self.entries:
            mean = entry.shared and entry.shared.mean_uncertainty
            parts = (mean.total, mean.independent, mean.shared) if mean else (None, None, None)
            row = [Cell(entry.point), left(entry.observable), Cell(self.observables[entry.observable].unit)]
            row += cells(count(entry.quoted.overall.muons), *(significant(each, 3) for each in parts))
            rows.append(Row([*row, *cells(count(enough_muons(entry)))]))
        return Table([Row(heads)], rows)

    def experiments(self) -> Table:
        """The judgement of the pseudo-experiments."""
        heads = [left("point"), left("observable"), left("verdict")]
        heads += cells("scatter of a muon / total σ", "confidence interval", "scatter of the mean pull / expected")
        heads += cells("confidence interval", "width of pulls", "expected", "scatter of the mean pull", "expected")
        rows = []
        for entry in self.entries:
            if shared := entry.shared:
                row = [Cell(entry.point), left(entry.observable), verdict(shared.verdict)]
                for ratio in (shared.total, shared.mean):
                    row += cells(estimated(ratio), limits(ratio))
                for pull in (shared.pull_width, shared.pull_shift):
                    row += cells(figures(pull and pull.value), figures(pull and pull.expected))
                rows.append(Row(row))
        return Table([Row(heads)], rows)

    def failed(self) -> Table:
        """The number of failed muons by reason."""
        reasons = failed_of(self.study)
        rows = []
        for entry in self.entries:
            counts = entry.quoted.counts
            numbers = cells(count(counts.muons), *(count(getattr(counts, name)) for name in reasons))
            rows.append(Row([Cell(entry.point), left(entry.observable), *numbers]))
        return Table([Row([left("point"), left("observable"), *cells("muons", *reasons.values())])], rows)


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
