"""The tables on whether the truth is covered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ..statistics.intervals import Verdict
from ..study.plan import Study
from ..validation.coverage_evidence import Interval, Judged, PullBin, QuantityPulls, TruthBin
from ..validation.coverage_reasons import as_shown, per_cent
from ..validation.estimates import Estimate
from ..validation.evidence import Entry, Evidence
from ..validation.reasons import bracketed, place_of
from .cells import Cell, Row, Table, judged, left, row, verdict, with_limits, word
from .formats import count, figures, percent, span

SHOWN: tuple[tuple[Interval, str], ...] = (
    ("linear68", "±1 σ"),
    ("linear95", "±1.96 σ"),
    ("interval68", "68.27 %"),
    ("interval95", "95 %"),
)
"""The coverages that do not decide, and what they are called under their common heads."""


class TruthTables:
    """The tables on toys around true hits, and on the pulls of all muons."""

    def __init__(self, study: Study, evidence: Evidence):
        self.observables = {each.name: each for each in study.model.observables}
        self.words = study.words
        self.entries, self.smeared = evidence.points, evidence.smeared

    def bins(self, entry: Entry) -> Table | None:
        """Bias, width of pulls and coverage in bins of the true value; nothing for recorded hits."""
        if not entry.truth:
            return None
        place = place_of(self.observables[entry.observable], [*self.observables.values()])
        groups = row(
            *[""] * 8,
            Cell("coverage by linear propagation", "group", 2),
            Cell("coverage interval (JCGM 101)", "group", 2),
            Cell("confidence interval", "group", 2),
        )
        heads = row(
            f"true {place}" if place else "",
            left("verdict"),
            *("muons", "share", "toys", "predicted bias (σ)", "bias (σ)", "width of pulls"),
            *(name for _, name in SHOWN),
            *("68.27 %", "95 %"),
        )
        return Table([groups, heads], [self._bin(each, bool(place)) for each in entry.truth.bins])

    def _bin(self, each: TruthBin, binned: bool) -> Row:
        cells: list[str | Cell] = [span(each) if binned else "all muons", word(each)]
        cells += [count(each.muons), percent(each.share), count(each.toys), Cell(figures(each.predicted_bias), "shown")]
        cells += [_number(each, "bias"), _number(each, "pull_sd")]
        for name, _ in SHOWN:
            found = each.coverage.of(name)
            cells.append(Cell(f"{100 * found.value:.2f} %" if found else "–", "shown"))
        cells += [_number(each, "confidence68"), _number(each, "confidence95")]
        return row(*cells)

    def pulls(self) -> Table:
        """The pulls of all muons: in quantities that do not fold, and of each observable in its linear domain."""
        heads = row(
            *map(left, ("point", "quantity", "verdict")),
            *("muons", "mean", "width", "within ±1", "within ±1.96"),
            *("mean in the worst bin", left("its true values (σ)")),
            *("scatter of means of blocks", "correlation of blocks"),
        )
        rows = [self._pulls(self.words[each.point], of) for each in self.smeared for of in each.pulls]
        for entry in self.entries:
            domain = entry.linear.domain
            if domain.pulls and domain.pull_sd_verdict:
                name = f"{self.observables[entry.observable].symbol}, linear domain"
                numbers = count(domain.muons), Cell(figures(domain.pulls.mean.value), "shown"), _limits(domain.pulls.sd)
                rows.append(
                    row(self.words[entry.point], left(name), _contradicts(domain.pull_sd_verdict), *numbers, *["–"] * 6)
                )
        return Table([heads], rows)

    def _pulls(self, point: str, of: QuantityPulls) -> Row:
        worst = max(of.bins, key=_badness, default=None)
        return row(
            point,
            left(of.quantity),
            verdict(of.verdict),
            *(count(of.muons), _limits(of.mean), _limits(of.sd)),
            *(_limits(each, per_cent) for each in (of.inside68, of.inside95)),
            *(_limits(worst and worst.mean), left(_edges(worst) if worst else "–"), _limits(of.blocks)),
            Cell(f"✗ {of.repeated:.3f}", "judged fail") if of.repeats else figures(of.repeated, 3),
        )

    def hits(self) -> Table | None:
        """The share of muons with a hit in each layer; nothing if no hit can be lost."""
        rows = []
        for each in self.smeared:
            for layer in each.hits:
                found = f"{100 * layer.found.value:.2f} %"
                words = self.words[each.point], left(layer.layer), _contradicts(layer.found.verdict)
                failed = layer.found.verdict == Verdict.FAIL
                cell = judged(layer.found, found, decides=failed)
                rows.append(row(*words, cell, _share_limits(layer.found), f"{100 * layer.expected:.4g} %"))
        heads = row(*map(left, ("point", "layer", "verdict")), "muons with a hit", "confidence interval", "expected")
        return Table([heads], rows) if rows else None

    def budget(self) -> Table | None:
        """The budget by layers, by toys and as quoted; nothing where it is not judged."""
        heads = row(*map(left, ("point", "observable", "layer", "verdict")), "by toys", "quoted", "difference")
        return Table([heads], rows) if (rows := [*self._budget()]) else None

    def _budget(self) -> Iterator[Row]:
        for entry in self.entries:
            for each in entry.truth.budget if entry.truth else ():
                by_toys = judged(each.toys, f"{100 * (each.quoted + each.toys.value):.1f} %")
                names = (
                    self.words[entry.point],
                    left(self.observables[entry.observable].symbol),
                    left(each.source),
                    verdict(each.toys.verdict or ""),
                )
                off = f"{100 * each.toys.value:+.2f} % [{100 * each.toys.low:+.2f}, {100 * each.toys.high:+.2f}]"
                yield row(*names, by_toys, f"{100 * each.quoted:.1f} %", off)


def _number(each: TruthBin, name: Judged) -> Cell:
    """A judged number as its reason shows it."""

    def brief(found: Estimate) -> str:
        return figures(found.value) if name in ("bias", "pull_sd") else f"{100 * found.value:.2f} %"

    return with_limits(each.of(name), lambda found: as_shown(name, found), brief, each.decides)


def _limits(found: Estimate | None, show: Callable[[Estimate], str] = bracketed) -> Cell:
    """A number of the smeared muons, which decides only if it fails."""
    if found is None:
        return Cell("–")
    return judged(found, show(found)) if found.verdict == Verdict.FAIL else Cell(show(found))


def _contradicts(found: Verdict | None) -> Cell:
    """A verdict on smeared muons: what they can't settle decides nothing."""
    return verdict(Verdict.FAIL if found == Verdict.FAIL else Verdict.PASS)


def _badness(each: PullBin) -> tuple[bool, float]:
    return each.mean.verdict == Verdict.FAIL, abs(each.mean.value)


def _edges(each: PullBin) -> str:
    """The range of a bin of a signed quantity."""
    if math.isinf(each.low):
        return f"< {each.high:g}"
    return f"{each.low:g} to {each.high:g}" if math.isfinite(each.high) else f"≥ {each.low:g}"


def _share_limits(found: Estimate) -> str:
    return f"[{100 * found.low:.2f}, {100 * found.high:.2f}]"
