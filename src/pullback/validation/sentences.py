"""The answers to the three questions, a sentence each, from the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics.intervals import Verdict
from ..study.plan import Study
from .answers import Answer, Answers, NotTested
from .coverage_evidence import SmearedEntry, TruthJudgement
from .estimates import worst
from .evidence import Entry, Level
from .fit_evidence import FitEntry
from .fit_judgement import worst_of_fits


def answers_of(
    study: Study, entries: Sequence[Entry], smeared: Sequence[SmearedEntry], fits: Sequence[FitEntry]
) -> Answers:
    """The answers of a study."""
    return Answers(
        propagation=_propagation(study, entries),
        truth=_truth(study, entries, smeared),
        data=_data(fits),
    )


def _propagation(study: Study, entries: Sequence[Entry]) -> Answer:
    verdict = worst(entry.propagation for entry in entries)
    if verdict == Verdict.PASS:
        tolerance = f"{100 * study.config.validation.of_toys:g} %"
        bins = "in every bin" if len(entries) == 1 else f"in every bin of {_amount(study)}"
        return Answer(
            verdict=verdict,
            sentence=f"The propagation is right: toys around the recorded hits agree with the quoted σ to within "
            f"{tolerance}, and with the ends of its intervals to within {tolerance} of the half-width, {bins}.",
        )
    bad = [entry for entry in entries if entry.propagation == verdict]
    reason = next((reason for entry in bad for reason in entry.reasons if not reason.startswith(TRUTH)), "")
    begin = "The propagation is wrong" if verdict == Verdict.FAIL else "Whether the propagation is right is not decided"
    return Answer(verdict=verdict, sentence=_with_reason(begin, bad, study, reason))


def _truth(study: Study, entries: Sequence[Entry], smeared: Sequence[SmearedEntry]) -> Answer:
    judged = [(entry, entry.truth) for entry in entries if entry.truth]
    if not judged:
        return Answer(
            verdict=NotTested.RECORDED,
            sentence="Whether the truth is covered was not tested: recorded hits have no truth.",
        )
    verdict = worst([*(truth.verdict for _, truth in judged), *(each.verdict for each in smeared)])
    if verdict == Verdict.PASS:
        return Answer(verdict=verdict, sentence=_covered(study, [truth for _, truth in judged]))
    bad = [entry for entry, truth in judged if truth.verdict == verdict]
    reasons = [f"{each.point}: {reason}" for each in smeared if each.verdict == verdict for reason in each.reasons]
    reasons += [f"{entry.observable}: {reason}" for entry, truth in judged if entry in bad for reason in truth.reasons]
    begin = "The truth is not covered" if verdict == Verdict.FAIL else "Whether the truth is covered is not decided"
    return Answer(verdict=verdict, sentence=_with_reason(begin, bad, study, next(iter(reasons), "")))


def _covered(study: Study, truths: Sequence[TruthJudgement]) -> str:
    """That the truth is covered, and how well."""
    exact = [truth for truth in truths if not truth.at_least]
    levels: tuple[tuple[Level, str], ...] = ("68", "68.27 %"), ("95", "95 %")
    found = [(nominal, _range(level, exact or truths)) for level, nominal in levels]
    held = " and ".join(f"the {name} confidence interval holds it for {share}" for name, share in found)
    more = (
        "" if len(exact) == len(truths) else "; those without an exact interval hold it at least as often as they say"
    )
    return f"The truth is covered: of toys around true hits, {held}{more}."


def _range(level: Level, truths: Sequence[TruthJudgement]) -> str:
    """The smallest and the largest coverage in any bin."""
    bins = [each.coverage.confidence(level) for truth in truths for each in truth.bins]
    shares = [each.value for each in bins if each]
    low, high = (f"{100 * each:.1f} %" for each in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _data(fits: Sequence[FitEntry]) -> Answer:
    known = worst_of_fits(fits)
    if not known:
        reason = fits[0].reasons[0]
        return Answer(
            verdict=NotTested.DATA,
            sentence=f"Whether the data agree with the stated resolution can't be tested: {reason}.",
        )
    verdict = worst(known)
    bad = [each for each in fits if each.verdict == verdict]
    if verdict == Verdict.PASS:
        widths = [each.width.value for each in bad if each.width]
        low, high = (f"{each:.3f}" for each in (min(widths), max(widths)))
        wide = low if low == high else f"{low} to {high}"
        return Answer(
            verdict=verdict,
            sentence=f"The data agree with the stated resolution: residuals are {wide} times as wide as stated.",
        )
    begin = "The data disagree with the stated resolution"
    if verdict == Verdict.INCONCLUSIVE:
        begin = "Whether the data agree with the stated resolution is not decided"
    where = f" at {len(bad)} of {len(fits)} points" if len(fits) > 1 else ""
    return Answer(verdict=verdict, sentence=f"{begin}{where}: {'; '.join(bad[0].reasons[:2])}.")


TRUTH = "truth: "
"""Beginning of the reasons that concern the truth."""


def _with_reason(begin: str, bad: Sequence[Entry], study: Study, reason: str) -> str:
    where = (
        f" for {len(bad)} of {_amount(study)}" if bad and len(study.points) * len(study.model.observables) > 1 else ""
    )
    return f"{begin}{where}: {reason}."


def _amount(study: Study) -> str:
    """The number of points, of observables, or of both."""
    points, observables = len(study.points), len(study.model.observables)
    if observables == 1:
        return f"{points} points"
    return f"{observables} observables" + (f" at {points} points" if points > 1 else "")
