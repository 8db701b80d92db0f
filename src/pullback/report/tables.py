"""The tables of the report: what stands in each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..config.own_schema import Own
from ..detector.losses import losses_of
from ..models.stated import stated_resolution
from ..statistics.intervals import Verdict
from ..statistics.prefixes import prefixed, suited, with_unit
from ..study.plan import Study
from ..validation.coverage_evidence import Judged
from ..validation.coverage_reasons import TARGETS
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.estimates import Estimate, worst
from ..validation.evidence import Bin, Entry, Evidence, Judgement, NotJudged, Sigma, Statistics
from ..validation.reasons import bracketed, place_of
from .answer import Knowledge
from .cells import Cell, Row, Table, estimated, furthest, judged, left, limits, row, verdict, with_limits, word
from .formats import count, figures, known, percent, signed, significant, span
from .setup_wording import own_sigma
from .source_tables import budget_of, design_of, enough_muons
from .verdict_wording import failed_of

CALLED: dict[Sigma, tuple[str, str]] = {"quoted": ("68.27 %", "95 %"), "linear": ("±1 σ", "±1.96 σ")}
"""What the intervals of a σ are called."""


class Tables:
    """The tables on a study, from its evidence."""

    def __init__(self, study: Study, evidence: Evidence):
        self.study, self.entries, self.recorded = study, evidence.points, study.recorded
        self.evidence = evidence
        self.points = {point.label: point.scanned for point in study.points}
        self.observables = {each.name: each for each in study.model.observables}

    def of_point(self, label: str) -> list[Entry]:
        """The entries of a point, one per observable."""
        return [each for each in self.entries if each.point == label]

    def symbol(self, entry: Entry) -> str:
        """The symbol of the observable of an entry, as in the figures."""
        return self.observables[entry.observable].symbol

    def layers(self) -> Table | None:
        """Height (if known), coordinates, σ and efficiency of each layer; nothing for a single layer."""
        model, detector = self.study.model, self.study.config.detector
        count = self.study.config.model.layer_count
        if count == 1:
            return None
        given = [model.parameters.get(name, ()) for name in ("z", "z_upper", "z_lower")]
        known = [z for of_layers in given if isinstance(of_layers, tuple) for z in of_layers]
        if isinstance(self.study.config.model, Own) or len(known) != count:
            known = []
        sigma = (1 / stated_resolution(detector.stated, model)).tolist()
        losses, own = losses_of(detector, model), own_sigma(self.study)
        factor, unit = prefixed(max(map(abs, known), default=0.0), "m")
        heights = [f"{factor * z:.6g}" for z in known]
        heads = row(left("layer"), *[f"height ({unit})"] * bool(known), left("coordinates"), "σ", "efficiency")
        rows = []
        for layer in range(count):
            on = [index for index, where in enumerate(model.layers) if where == layer]
            symbols = [model.coordinates[index].symbol for index in on]
            stated = [
                "of each hit" if symbol in own else with_unit(sigma[index], model.coordinates[index].unit)
                for index, symbol in zip(on, symbols, strict=True)
            ]
            found = [f"{each.efficiency:g}" for each in losses if {*each.coordinates} & {*on}]
            hit = "–" if self.recorded else ", ".join(dict.fromkeys(found))
            widths = ", ".join(dict.fromkeys(stated))
            rows.append(row(str(layer), *heights[layer : layer + 1], left(", ".join(symbols)), widths, hit))
        return Table([heads], rows)

    def scan(self, names: Iterable[str], answers: Iterable[Knowledge]) -> Table:
        """The main numbers of each observable at each point, with the average σ of the answers.

        `names` are those of the scanned parameters.
        """
        heads: list[str | Cell] = [*map(left, names), left("observable"), left("verdict"), left("propagation")]
        heads += [left("truth")] * (not self.recorded)
        heads += ["linear propagation valid", "mean σ", "closure, quoted σ", "in linear domain"]
        heads += ["closure, linear σ", "± s.e.", "scatter"]
        if not self.recorded:
            heads += ["coverage of 68.27 % confidence interval, worst bin", "of 95 %", "pull mean", "pull sd"]
        return Table([row(*heads)], [row(*self._scan_cells(answer)) for answer in answers])

    def _scan_cells(self, answer: Knowledge) -> Iterator[str | Cell]:
        entry = answer.entry
        linear, quoted = entry.linear.domain, entry.quoted.domain
        yield from map(left, self.points[entry.point].values())
        yield from (left(self.symbol(entry)), verdict(self.evidence.verdict_on(entry)), verdict(entry.propagation))
        if not self.recorded:
            yield verdict(entry.truth.verdict if entry.truth else "–")
        yield from (percent(entry.linear_valid), answer.cell, estimated(quoted.ratio))
        yield from (percent(linear.share), estimated(linear.ratio), figures(linear.ratio and linear.ratio.se, 5))
        yield figures(linear.scatter and linear.scatter.all.value, 3)
        if not self.recorded:
            yield from map(worst_coverage(entry), CONFIDENCE)
            pulls = linear.pulls
            yield from (estimated(pulls and pulls.mean), estimated(pulls and pulls.sd))

    def diagnostics(self, entry: Entry) -> Table:
        """All diagnostics of an observable at a point."""
        about = left(f"{self.study.words[entry.point]}, {self.symbol(entry)}")
        heads = row(
            about,
            "value",
            "expected",
            left("verdict"),
            *map(left, ("question", "what it can see", "what it can't see")),
        )
        rows = []
        for name, found in entry.diagnostics.items():
            each = DIAGNOSTICS[name]
            causes = (each.too_high if found.value > each.right else each.too_low) or each.sees
            sees = f"possible causes: {causes}" if found.verdict == Verdict.FAIL else each.sees
            numbers = figures(found.value), f"{each.right:g}", verdict(found.verdict)
            words = left(each.question), Cell(sees, "left wrap"), Cell(each.misses, "left wrap")
            rows.append(
                row(
                    Cell(each.name, "wrap"),
                    *numbers,
                    *words,
                    kind="" if each.decides else "outside",
                )
            )
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
            tables[-1].rows.append(row(self._point(entry), left(self.symbol(entry)), *map(percent, shares)))
        return tables

    def bins(self, entry: Entry, judgement: Judgement) -> Table:
        """Toys around recorded hits in every bin, and of all muons."""
        place = place_of(self.observables[entry.observable], self.study.model.observables)
        quoted = judgement.sigma == "quoted"
        heads: list[str | Cell] = [place, left("verdict"), "muons", "share", "toys", "closure", "confidence interval"]
        heads += ["rms"] * quoted
        heads += ["bias", "rms"] * quoted
        for name in CALLED[judgement.sigma]:
            heads += [f"ends of {name}", *["rms"] * quoted]
        rows = []
        for each in judgement.bins if place else ():
            outside = "outside" if each.verdict == NotJudged.OUTSIDE else ""
            rows.append(self._bin_row(span(each), word(each), each, quoted, outside))
        if not place:  # without a fold there is one bin
            (only,) = [each for each in judgement.bins if each.muons or each.toy_muons] or judgement.bins[-1:]
            rows.append(self._bin_row("all muons", word(only), only, quoted))
            return Table([row(*heads)], rows)
        if not quoted:
            rows.append(self._bin_row("linear domain", Cell(""), judgement.domain, quoted))
        rows.append(self._bin_row("all muons", Cell(""), judgement.overall, quoted, "" if quoted else "outside"))
        return Table([row(*heads)], rows)

    def _bin_row(self, name: str, word: Cell, numbers: Statistics, quoted: bool, kind: str = "") -> Row:
        ratio, offsets = numbers.ratio, numbers.offsets
        decides = not isinstance(numbers, Bin) or numbers.decides
        cells: list[str | Cell] = [count(numbers.muons), percent(numbers.share), count(numbers.toys)]
        cells += [judged(ratio, estimated(ratio), decides), limits(ratio)]
        cells += [_offset(numbers.ratio_rms, "", decides)] * quoted
        ends = (offsets.low68, offsets.high68), (offsets.low95, offsets.high95)
        for each in ((offsets.bias,), *ends) if quoted else ends:
            cells.append(_offset(furthest(of.mean for of in each), "+", decides))
            cells += [_offset(furthest(of.rms for of in each), "", decides)] * quoted
        return row(name, word, *cells, kind=kind)

    def _point(self, entry: Entry) -> str:
        return self.study.words[entry.point]

    def _unit(self, entry: Entry) -> str:
        return self.observables[entry.observable].unit

    def _of_observables(
        self, own: Sequence[Entry], first: Sequence[str], each: Sequence[str], units: Sequence[str]
    ) -> list[Row]:
        """Two rows of heads: the symbols of the observables, then all columns."""
        symbols = [
            Cell(f"{self.symbol(entry)}{f' ({unit})' if unit != '1' else ''}", span=len(each))
            for entry, unit in zip(own, units, strict=True)
        ]
        return [row(*[""] * len(first), *symbols), row(left(first[0]), *first[1:], *[*each] * len(own))]

    def budget(self, own: Sequence[Entry]) -> Table:
        """The budget of every observable at a point."""
        rows, budgets = [], [budget_of(self.study, entry) for entry in own]
        units = [
            prefixed(max(known(share.u for share in of), default=None), self._unit(entry))
            for of, entry in zip(budgets, own, strict=True)
        ]
        for shares in zip(*budgets, strict=True):
            texts = []
            for share, (factor, _) in zip(shares, units, strict=True):
                texts += [significant(None if share.u is None else factor * share.u, 3), percent(share.share)]
            rows.append(row(shares[0].source, *texts))
        return Table(self._of_observables(own, ["source"], ["uncertainty", "share"], [unit for _, unit in units]), rows)

    def design(self, own: Sequence[Entry]) -> Table:
        """The slopes of every observable at a point."""
        rows = []
        for slopes in zip(*(design_of(self.study, entry) for entry in own), strict=True):
            first = slopes[0]
            texts = [text for slope in slopes for text in (significant(slope.slope, 3), signed(slope.change))]
            rows.append(row(first.parameter, suited(first.value, first.unit), f"+{first.step}", *texts))
        units = [f"{self._unit(entry)} per SI unit" for entry in own]
        heads = self._of_observables(own, ["parameter", "value", "step"], ["slope", "change"], units)
        return Table(heads, rows)

    def means(self) -> Table:
        """The uncertainty of the mean of every observable at every point, with systematics."""
        heads = ["unit", "muons", "uncertainty of the mean", "independent part", "shared part", "muons for equal parts"]
        rows = []
        for entry in self.entries:
            mean = entry.shared and entry.shared.mean_uncertainty
            factor, unit = prefixed(mean and mean.total, self._unit(entry))
            parts = (mean.total, mean.independent, mean.shared) if mean else ()
            numbers = [count(entry.quoted.overall.muons), *(significant(factor * part, 3) for part in parts)]
            numbers += ["–"] * (4 - len(numbers))
            rows.append(row(self._point(entry), left(self.symbol(entry)), unit, *numbers, count(enough_muons(entry))))
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
                words = self._point(entry), left(self.symbol(entry)), verdict(shared.verdict)
                rows.append(row(*words, *ratios, *map(figures, numbers)))
        return Table([row(left("point"), left("observable"), left("verdict"), *heads)], rows)

    def failed(self) -> Table:
        """The number of failed muons by reason."""
        reasons = failed_of(self.study)
        rows = []
        for entry in self.entries:
            numbers = [entry.quoted.counts.muons, *(entry.quoted.counts.of(name) for name in reasons)]
            rows.append(row(self._point(entry), left(self.symbol(entry)), *map(count, numbers)))
        return Table([row(left("point"), left("observable"), "muons", *reasons.values())], rows)


def _offset(found: Estimate | None, sign: str, decides: bool) -> Cell:
    """A number that should be 0."""
    return with_limits(found, lambda each: bracketed(each, sign), lambda each: f"{each.value:{sign}.4f}", decides)


CONFIDENCE: tuple[Judged, ...] = ("confidence68", "confidence95")
"""The coverages that decide."""


def worst_coverage(entry: Entry) -> Callable[[Judged], Cell]:
    """The coverage of a confidence interval in the bin where it is worst."""
    bins = [each for each in (entry.truth.bins if entry.truth else ()) if each.decides]

    def cell(name: Judged) -> Cell:
        known = [number for each in bins if (number := each.of(name)) and number.verdict]
        verdict = worst(each.verdict for each in known)
        deciding = [each for each in known if each.verdict == verdict]
        found = max(deciding, key=lambda each: abs(each.value - TARGETS[name]), default=None)
        return judged(found, f"{100 * found.value:.2f} %" if found else "–")

    return cell
