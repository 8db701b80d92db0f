"""The verdict of the report in sentences, the answer first, with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from ..statistics.intervals import Verdict, half_width
from ..statistics.normal import P68, P95
from ..study.plan import Study
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.estimates import worst
from ..validation.evidence import Bin, DiagnosticResult, Entry, Estimate, Failure, NotJudged
from ..validation.reasons import place_of
from .formats import count, figures, known, percent, span
from .setup_wording import SetupWording, digits

FOLD = "fold (where an observable is 0 and turns back)"
"""What it is called when it is first mentioned."""

REASONS = 4
"""Reasons of each point that stand in the verdict; the others are in `validation.json`."""

FAILED: dict[Failure, str] = {
    "hit_not_finite": "hit NaN or infinite",
    "value_not_finite": "value NaN or infinite",
    "sigma_zero_or_nan": "σ zero or NaN",
    "sigma_negative": "σ negative",
    "toys_without_spread": "toys without a spread",
}
"""The counts of muons whose uncertainty can't be used or tested, and what they are called."""


def failed_of(study: Study) -> dict[Failure, str]:
    """Why muons failed: the names of the counts, and their words."""
    return {**FAILED, "hit_not_finite": "too few hits"} if study.model.missing else FAILED


class VerdictWording(SetupWording):
    """The words of the verdict."""

    def verdict(self) -> list[Markup]:
        """The paragraphs of the verdict."""
        parts = (
            self._answer(),
            self._linear(),
            self._recorded(),
            self._shared(),
            self._outside(),
            *self._low_coverage(),
            *self._warnings(),
            self._unsettled(),
            self._lost(),
            self._without_sd(),
        )
        return [part if isinstance(part, Markup) else Markup.escape(part) for part in parts if part]

    def reasons(self) -> Iterator[Markup]:
        """Why each point and observable is no pass, and what would decide it."""
        item = Markup('<b>{}</b> ({}, <span class="{}">{}</span>): {}{}')
        for entry in self.entries:
            advice = entry.more if entry.verdict == Verdict.INCONCLUSIVE else []
            if not entry.reasons and not advice:
                continue
            more = len(entry.reasons) - REASONS
            reasons = "; ".join([*entry.reasons[:REASONS], *([f"and {more} more"] if more > 0 else [])])
            decide = f". What would decide it, if the ratios stay as they are: {'; '.join(advice)}" if advice else ""
            verdict = entry.verdict
            yield item.format(entry.point, entry.observable, verdict, verdict, reasons, decide) + "."

    def _answer(self) -> Markup | str:
        verdict = self.evidence.verdict
        number = sum(entry.verdict == verdict for entry in self.entries)
        if verdict == Verdict.PASS:
            return self._right()
        alone = len(self.entries) == 1
        if verdict == Verdict.FAIL:
            where = "" if alone else f" {'for' if self.several else 'at'} {number} of {self.amount()}"
            return Markup(
                "The uncertainties are wrong{}. Do not use them before the cause is found; the "
                '<a href="#diagnostics">diagnostics</a> show where to look.'
            ).format(where)
        where = "" if alone else f" for {number} of {self.amount()}"
        return f"No error was found, but no decision was possible{where}."

    def _right(self) -> str:
        of = f" of all {len(self.observables)} observables" if self.several else ""
        at = f" at all {len(self.study.points)} points" if self.scanned else ""
        fold = f", including the bin at the {FOLD}" if self._at_fold else ""
        linear = "all muons"
        if self.folds:
            linear = f"muons at least {self.domains()} from the fold"
            if self.folds < len(self.observables):
                linear += ", and for all muons where an observable has no fold"
        return (
            f"The quoted σ agrees with the toys to within {self.tolerance}, and the interval ends to within "
            f"{self.tolerance} of the half-width, in every bin{of}{at}{fold}. The linear σ agrees with the toys for "
            f"{linear}."
        )

    def _linear(self) -> Markup | str:
        valid = known(entry.linear_valid for entry in self.entries)
        if not valid:
            return ""
        shares = " to ".join(dict.fromkeys(percent(each) for each in (min(valid), max(valid))))
        text = Markup("Linear propagation is valid for {} of muons").format(shares)
        if min(valid) < 1:
            text += Markup(
                '; for the others the quoted σ is the standard deviation (see <a href="#validity">where linear '
                "propagation is valid</a>)"
            )
        return text + "."

    def _recorded(self) -> str:
        if not self.study.recorded:
            return ""
        return "The hits are recorded, so there is no truth to compare with: validation rests on toys around the hits."

    def _shared(self) -> Markup | str:
        if not self.config.systematics:
            return ""
        words = {
            Verdict.PASS: "Pseudo-experiments confirm the uncertainty that all muons share",
            Verdict.FAIL: "Pseudo-experiments contradict the predicted uncertainty that all muons share",
        }
        few = "There are too few pseudo-experiments to validate the uncertainty that all muons share"
        verdict = worst(entry.shared.verdict for entry in self.entries if entry.shared)
        return Markup('{} (see <a href="#systematics">systematics</a>).').format(words.get(verdict, few))

    def _outside(self) -> str:
        bins = [bin_ for entry in self.entries for bin_ in entry.linear.bins if bin_.verdict == NotJudged.OUTSIDE]
        off = max(
            (1 / each.ratio.value - 1 for each in bins if each.ratio and each.ratio.value > 0), key=abs, default=0
        )
        if not off:
            return ""
        fold = "fold" if self.evidence.verdict == Verdict.PASS and self._at_fold else FOLD
        return (
            f"Nearer than {self.domains()} to the {fold}, linear propagation is not used: in the worst bin the "
            f"linear σ is {percent(abs(off))} too {'large' if off > 0 else 'small'}."
        )

    @property
    def _at_fold(self) -> bool:
        """Whether there are muons in the bin that begins at the fold."""
        return any(bin_.low == 0 and bin_.muons for entry in self.entries for bin_ in entry.quoted.bins)

    def _low_coverage(self) -> list[str]:
        """Quoted intervals that contain the truth too seldom near a fold though σ is right, each at its worst point."""
        smallest = 1 - self.config.validation.of_toys
        found: dict[object, tuple[float, str]] = {}
        for entry in self.entries:
            for each in entry.quoted.bins:
                if each.low >= entry.linear.domain.low or not each.pulls or _failed(each.ratio):
                    continue
                pulls = each.pulls
                for name, coverage, nominal in (
                    ("coverage68", pulls.coverage68, P68),
                    ("coverage95", pulls.coverage95, P95),
                ):
                    # Of several observables, each is mentioned once.
                    key = entry.observable if self.several else (each.low, name)
                    too_low = half_width(coverage.high) / half_width(nominal) < smallest
                    # Where coverage is wrong far from the fold too, its cause is another.
                    if not too_low or _failed(entry.diagnostics.get(name)):
                        continue
                    if key not in found or coverage.value < found[key][0]:
                        found[key] = coverage.value, self._too_low(entry, each, coverage, nominal)
        return [text for _, text in found.values()]

    def _too_low(self, entry: Entry, bin_: Bin, coverage: Estimate, nominal: float) -> str:
        observable = self.observables[entry.observable]
        place = place_of(observable, self.study.model.observables)
        of = f" of {observable.symbol}" if self.several else ""
        at = f", at {entry.point}" if self.scanned else ""
        sure = ", although σ is the right standard deviation" if bin_.ratio and _passed(bin_.ratio) else ""
        return (
            f"Near the fold, where the true {place} is {span(bin_)}, the {100 * nominal:g} % "
            f"interval{of} contains the truth for only {percent(coverage.value)} of muons ({percent(coverage.low)} – "
            f"{percent(coverage.high)}{at}){sure}: one recorded hit does not tell how near the truth is to the fold."
        )

    def _warnings(self) -> Iterator[str]:
        """Diagnostics that fail without being part of the verdict."""
        for entry in self.entries:
            of = f" for {self.observables[entry.observable].symbol}" if self.several else ""
            at = f" at {entry.point}" if self.scanned else ""
            for name, each in entry.diagnostics.items():
                diagnostic = DIAGNOSTICS[name]
                if _failed(each) and not diagnostic.decides:
                    causes = diagnostic.too_high if each.value > diagnostic.right else diagnostic.too_low
                    causes = causes or diagnostic.sees
                    yield (
                        f"A warning that is not part of the verdict{of}{at}: {diagnostic.name}, is "
                        f"{figures(each.value)} instead of {diagnostic.right:g}. Possible causes: {causes}."
                    )

    def _counted(self, number: Callable[[Entry], int]) -> int:
        """A number of muons, summed over the points; at each point, that of the observable with the most."""
        most: dict[str, int] = {}
        for entry in self.entries:
            most[entry.point] = max(most.get(entry.point, 0), number(entry))
        return sum(most.values())

    @property
    def failed(self) -> dict[Failure, int]:
        """Numbers of failed muons by reason."""

        def number(reason: Failure) -> int:
            return self._counted(lambda entry: entry.quoted.counts.of(reason))

        return {reason: number(reason) for reason in FAILED}

    @property
    def _muons(self) -> str:
        return count(self._counted(lambda entry: entry.quoted.counts.muons))

    def _unsettled(self) -> str:
        unsettled = self._counted(lambda entry: entry.quoted.counts.toys_unsettled)
        if not unsettled:
            return ""
        toys, muons = self.config.toys, self._counted(lambda entry: entry.quoted.overall.toy_muons)
        return (
            f"The toys of {count(unsettled)} of {count(muons)} muons were not stable to {digits(toys.n_dig)} at the "
            f"maximum of {count(toys.most)} toys."
        )

    def _lost(self) -> str:
        total, lost = self._muons, self.failed
        if not any(lost.values()):
            hits = "has too few hits" if self.study.model.missing else "has a hit that is not finite"
            return f"No muon failed: of {total} muons, none {hits}, or a σ that is zero, NaN or negative."
        words = failed_of(self.study)
        kinds = ", ".join(f"{count(number)} ({words[name]})" for name, number in lost.items() if number)
        most = "; the count is that of the observable with the most" if self.several else ""
        return (
            f"Of {total} muons, some failed: {kinds}{most}. They are excluded from the statistics and listed below."
            f"{self._without_truth()}"
        )

    def _without_truth(self) -> str:
        """How many muons never reached the layers that an observable needs."""
        without = self._counted(lambda entry: entry.quoted.counts.no_true_value)
        if not without:
            return ""
        stop = self.config.source.kind == "simulated" and self.config.source.volume is not None
        why = ": they stop in the volume, or are deflected by 90° or more" if stop else ""
        return f" Among them, {count(without)} have no true value{why}."

    def _without_sd(self) -> str:
        without = self._counted(lambda entry: entry.quoted.counts.no_standard_deviation)
        if not without:
            return ""
        names = {entry.observable for entry in self.entries if entry.quoted.counts.no_standard_deviation}
        of = [each.symbol for name, each in self.observables.items() if name in names]
        most = "; the count is that of the observable with the most" if len(of) > 1 else ""
        return (
            f"{count(without)} of {self._muons} muons have no standard deviation (of "
            f"{', '.join(of)}{most}): the tails of the distribution are too heavy for one to exist, as for the point "
            "of closest approach of two nearly parallel lines. Their intervals are valid all the same, and are quoted "
            "and tested; their σ and bias are NaN."
        )

    def amount(self) -> str:
        """The number of points, of observables, or of both, that the evidence is about."""
        points, observables = len(self.study.points), len(self.study.model.observables)
        if observables == 1:
            return f"{points} point{'s' * (points > 1)}"
        if points == 1:
            return f"{observables} observables"
        return f"{points * observables} ({observables} observables at {points} points)"


def _passed(judged: Estimate) -> bool:
    return judged.verdict == Verdict.PASS


def _failed(judged: Estimate | DiagnosticResult | None) -> bool:
    return judged is not None and judged.verdict == Verdict.FAIL
