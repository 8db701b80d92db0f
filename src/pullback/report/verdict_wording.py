"""The verdict of the report: the answers to the three questions, the reasons, and short facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from markupsafe import Markup

from ..statistics.intervals import Verdict
from ..statistics.normal import P68, P95
from ..statistics.parts import of_all
from ..study.plan import Study
from ..validation.answers import QUESTIONS, NotTested, Question
from ..validation.coverage_evidence import TruthBin
from ..validation.estimates import FEW_MUONS, worst
from ..validation.evidence import Bin, Entry, Failure, NotJudged
from ..validation.findings import Finding, findings
from ..validation.reasons import place_of
from ..validation.sentences import WRONG, said, what_would_decide
from .formats import count, known, percent, plural, span
from .setup_wording import SetupWording, digits

FOLD = "fold (where an observable is 0 and turns back)"
"""What it is called when it is first mentioned."""

MOST = 4
"""Further reasons that stand in the verdict; the others are in `validation.json`."""

BINS_NAMED = 2
"""Bins of few muons that are named in the verdict."""

RIGHT: dict[Question, str] = {
    "propagation": "the propagation is right",
    "truth": "the truth is covered",
    "data": "the data agree with the stated resolution",
}
"""What a passed question means."""

UNKNOWN: dict[Question, str] = {
    "propagation": "whether the propagation is right",
    "truth": "whether the truth is covered",
    "data": "whether the stated resolution is right",
}
"""What an open question is."""

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


class AnswerRow(NamedTuple):
    """A question of the verdict: section with the evidence, question in words, verdict and its CSS class, answer."""

    section: str
    question: str
    verdict: str
    kind: str
    answer: str


class VerdictWording(SetupWording):
    """The words of the verdict."""

    def _headline(self) -> str:
        """The answer to all questions together: what was shown, and what was not."""
        answers = {question: each.verdict for question, each in self.evidence.answers.each.items()}
        of = {verdict: [name for name, each in answers.items() if each == verdict] for verdict in Verdict}
        untested = [name for name, each in answers.items() if not isinstance(each, Verdict)]
        right, wrong, open_ = (of[each] for each in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE))
        if wrong:
            although = f", although {joined([RIGHT[each] for each in right])}" if right else ""
            found = joined([f"{WRONG[each][:1].lower()}{WRONG[each][1:]}" for each in wrong])
            return _sentence(f"{found}{although}. Do not use these uncertainties before the cause is found.")
        unknown = joined([UNKNOWN[each] for each in (*open_, *untested)], "or")
        if open_ and right:
            return _sentence(f"{joined([RIGHT[each] for each in right])}; it is not settled {unknown}.")
        if not right:
            return f"It is not settled {unknown}."
        if not unknown:
            return _sentence(f"{joined([RIGHT[each] for each in right])}.")
        only = "Only " if len(untested) == 2 else ""
        return _sentence(f"{only}{joined([RIGHT[each] for each in right])}; nothing here shows {unknown}.")

    def first_lines(self) -> list[str]:
        """The answer to all questions together, and what is not known where only the propagation can be tested."""
        caveat = self._caveat()
        if caveat and self.evidence.verdict == Verdict.PASS:
            return [caveat]
        return [self._headline(), *[caveat] * bool(caveat)]

    def _caveat(self) -> str:
        """What is not known where only the propagation can be tested."""
        if not self.study.recorded or not isinstance(self.evidence.answers.data.verdict, NotTested):
            return ""
        return (
            "Only the propagation could be tested: the truth of recorded hits is unknown, and these hits can't test "
            f"the stated resolution ({self.evidence.fits[0].reasons[0]}). Every σ is as good as what was stated."
        )

    def questions(self) -> Iterator[AnswerRow]:
        """The three questions, each with its answer."""
        for name, each in self.evidence.answers.each.items():
            tested = isinstance(each.verdict, Verdict)
            word = each.verdict.partition(":")[0]
            yield AnswerRow(name, QUESTIONS[name], word, word if tested else "", each.sentence)

    def facts(self) -> list[Markup]:
        """Short facts below the answers."""
        parts = (
            self._linear(),
            self._outside(),
            self._coverage_interval(),
            self._aside(),
            self._shared(),
            self._unsettled(),
            self._lost(),
            self._without_sd(),
        )
        return [part if isinstance(part, Markup) else Markup.escape(part) for part in parts if part]

    def reasons(self) -> list[Markup]:
        """More reasons why it is no pass, those of all points and questions before further ones of the same."""
        found = findings(self.study, self.evidence.points, self.evidence.smeared, self.evidence.fits)
        first = [next((each for each in found if each.question == name), None) for name in QUESTIONS]
        known = [said(each) if any(each is one for one in first) else 0 for each in found]
        left = [(each, each.reasons[number:]) for each, number in zip(found, known, strict=True)]
        rounds = zip_longest(*([(each, reason) for reason in reasons] for each, reasons in left))
        every = [self._reason(*one) for at_once in rounds for one in at_once if one]
        if len(every) > MOST:
            more = Markup("and {} more in <code>validation.json</code>").format(len(every) - MOST)
            return [*every[:MOST], more]
        return every

    def _reason(self, found: Finding, reason: str) -> Markup:
        place = [self.study.words[found.point]] if self.scanned else []
        place += [self.observables[found.observable].symbol] if self.several and found.observable else []
        about = ", ".join([*place, found.question])
        return Markup('<b>{}</b> (<span class="{}">{}</span>): {}').format(about, found.verdict, found.verdict, reason)

    def advice(self) -> str:
        """What would decide what is inconclusive."""
        return what_would_decide(self.evidence)

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
        return (
            f"Nearer than {self.domains()} to the {FOLD}, the linear σ is not judged, and is quoted only for muons for "
            f"which it is valid: in the worst bin it is {percent(abs(off))} too {'large' if off > 0 else 'small'}."
        )

    def _coverage_interval(self) -> str:
        """How seldom a coverage interval holds the truth near a fold: it is a statement about the recorded hit."""
        lowest: tuple[float, str, float] | None = None
        for entry in self.entries:
            for each in entry.truth.bins if entry.truth else ():
                for found, nominal in ((each.coverage.interval68, P68), (each.coverage.interval95, P95)):
                    low = nominal - self.config.validation.coverage_tolerance
                    if found and found.high < low and (not lowest or found.value / nominal < lowest[0]):
                        lowest = found.value / nominal, percent(found.value), nominal
        if not lowest:
            return ""
        return (
            f"Near the fold use the confidence intervals: the {100 * lowest[2]:g} % coverage interval (JCGM 101) holds "
            f"the truth there for as few as {lowest[1]} of toys. It is a statement about the recorded hit, not "
            "about the truth. For the few muons right at the fold the confidence interval is much shorter than σ: "
            "over all recorded hits it holds the truth as often as stated, but its length does not say how well such a "
            "muon is known (docs/intervals.md)."
        )

    def _aside(self) -> str:
        """The bins of few muons that could not be settled, and decide nothing."""
        found: dict[str, int] = {}
        for entry in self.entries:
            for each in (*(entry.truth.bins if entry.truth else ()), *entry.quoted.bins, *entry.linear.bins):
                if each.muons and each.verdict == Verdict.INCONCLUSIVE and not each.decides:
                    found[self._bin_of(entry, each)] = each.muons
        if not found:
            return ""
        named = [f"{name} ({count(muons)} muon{'s' * (muons != 1)})" for name, muons in [*found.items()][:BINS_NAMED]]
        more = f" and {len(found) - BINS_NAMED} more" if len(found) > BINS_NAMED else ""
        few = f"Not settled, and without weight since they hold under {percent(FEW_MUONS)} of the muons"
        return f"{few}: {', '.join(named)}{more}."

    def _bin_of(self, entry: Entry, each: Bin | TruthBin) -> str:
        place = place_of(self.observables[entry.observable], self.study.model.observables)
        at = f" at {self.study.words[entry.point]}" if self.scanned else ""
        return f"{place} {span(each)}{at}"

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
        return plural(self._muon_count, "muon")

    @property
    def _muon_count(self) -> int:
        return self._counted(lambda entry: entry.quoted.counts.muons)

    def _unsettled(self) -> str:
        unsettled = self._counted(lambda entry: entry.quoted.counts.toys_unsettled)
        if not unsettled:
            return ""
        toys, muons = self.config.toys, self._counted(lambda entry: entry.quoted.overall.toy_muons)
        return (
            f"The toys of {of_all(unsettled, muons, 'muon', count)} were not stable to {digits(toys.n_dig)} at the "
            f"maximum of {count(toys.most)} toys."
        )

    def _lost(self) -> str:
        total, lost = self._muons, self.failed
        if not any(lost.values()):
            hits = "has too few hits" if self.study.model.missing else "has a hit that is not finite"
            return (
                f"No muon failed: of {total}, none {hits}, or a σ that is zero or negative, or NaN for no known reason."
            )
        words, kinds = failed_of(self.study), {name: number for name, number in lost.items() if number}
        failed = " and ".join(f"{count(number)} failed ({words[name]})" for name, number in kinds.items())
        most = "; the count is that of the observable with the most" if self.several else ""
        return (
            f"Of {total}, {failed}{most}. They are excluded from the statistics and listed below."
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
            f"{of_all(without, self._muon_count, 'muon', count)} have no standard deviation (of "
            f"{', '.join(of)}{most}): the tails of the distribution are too heavy for one to exist, as for the point "
            "of closest approach of two nearly parallel lines. Their intervals are valid all the same, and are quoted "
            "and tested; their σ and bias are NaN."
        )


def joined(parts: Sequence[str], word: str = "and") -> str:
    """Parts of a sentence, with commas and a word before the last."""
    return f" {word} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _sentence(text: str) -> str:
    """A text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
