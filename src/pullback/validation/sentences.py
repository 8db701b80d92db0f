"""The answers to the three questions, a sentence each, from the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..statistics.intervals import Verdict
from ..statistics.parts import of_all
from ..study.plan import Study
from .answers import Answer, Answers, NotTested, Question
from .coverage_evidence import TruthBin, TruthJudgement
from .estimates import Estimate, worst
from .evidence import Bin, Entry, Evidence
from .findings import Finding
from .fit_evidence import FitEntry
from .fit_judgement import NO_FREEDOM, NO_FUNCTION, NO_MUON, TOO_LARGE
from .fit_reasons import beyond_words
from .fit_shapes import shape_words
from .fit_silent import silent_words
from .remedies import Remedy, remedies_in_words, rounded_up, value_written

WRONG: dict[Question, str] = {
    "propagation": "The propagation is wrong",
    "truth": "The truth is not covered",
    "data": "The data disagree with what is stated of the detector",
}
"""What a failed question means."""

NOT_SHOWN: dict[Question, str] = {
    "propagation": "It is not settled whether the propagation is right",
    "truth": "It is not settled whether the truth is covered",
    "data": "It is not settled whether the data agree with the stated resolution",
}
"""What an inconclusive question means."""

UNTESTED = {
    NO_FREEDOM: NotTested.EXACT,
    NO_FUNCTION: NotTested.NO_FIT,
    NO_MUON: NotTested.NO_MUON,
    TOO_LARGE: NotTested.TOO_LARGE,
}
"""Why the data are not tested, by the reason of the fits."""

REASONS_OF_DATA = 3
"""Reasons that stand in the answer if the data disagree: they may want another resolution, and layers elsewhere."""


def what_would_decide(evidence: Evidence) -> str:
    """What would decide an inconclusive verdict, as lines of the config; else nothing."""
    if evidence.verdict != Verdict.INCONCLUSIVE:
        return ""
    found = [each for entry in evidence.points for each in entry.remedies]
    muons = {entry.point: entry.quoted.counts.muons for entry in evidence.points}
    recorded = evidence.answers.truth.verdict == NotTested.RECORDED
    for fit in evidence.fits:
        found += _with_recorded(fit.remedies) if recorded else _with_simulated(fit.remedies, muons[fit.point])
    return remedies_in_words(found)


def _with_simulated(remedies: Sequence[Remedy], muons: int) -> Iterator[Remedy]:
    """As many muons as it takes, of `muons` in all: some may have no degrees of freedom."""
    more = next((each for each in remedies if each.key == "source.muons"), None)
    if more is None:
        yield from remedies
    else:
        yield Remedy(key=more.key, value=rounded_up(muons * more.need), now=muons)


def _with_recorded(remedies: Sequence[Remedy]) -> Iterator[Remedy]:
    """More muons, which no number of the config makes, or the tolerance that those there are can decide."""
    more, wider = (
        next((each for each in remedies if each.key == key), None)
        for key in ("source.muons", "validation.data_tolerance")
    )
    if more and wider:
        value, now = value_written(wider.value), value_written(wider.now)
        by_these = f"; or, with these, validation: {{data_tolerance: {value}}} (now {now})"
        yield more.model_copy(update={"words": more.words + by_these})
    else:
        yield from remedies


def said(found: Finding) -> int:
    """The number of reasons of the worst finding that stand in the answer."""
    return REASONS_OF_DATA if found.question == "data" and found.verdict == Verdict.FAIL else 1


def answers_of(study: Study, entries: Sequence[Entry], fits: Sequence[FitEntry], found: Sequence[Finding]) -> Answers:
    """The answers of a study, from its entries and fits and all that is no pass."""
    propagation = _propagation(study, entries, found)
    return Answers(
        propagation=propagation,
        truth=_truth(study, entries, found),
        data=_data(study, fits, found, right=propagation.verdict == Verdict.PASS),
    )


def _propagation(study: Study, entries: Sequence[Entry], found: Sequence[Finding]) -> Answer:
    verdict = worst(entry.propagation for entry in entries)
    if verdict != Verdict.PASS:
        sentence = _without_hits(study, entries) or no_pass(study, "propagation", verdict, found)
        return Answer(verdict=verdict, sentence=sentence)
    tolerance = f"{100 * study.config.validation.of_toys:g} %"
    return Answer(
        verdict=verdict,
        sentence=f"The propagation is right: toys around the recorded hits agree with the quoted σ to within "
        f"{tolerance}, and with the ends of its intervals to within {tolerance} of the half-width, in "
        f"{_bins(study, [bin_ for entry in entries for bin_ in (*entry.quoted.bins, *entry.linear.bins)])}.",
    )


def _without_hits(study: Study, entries: Sequence[Entry]) -> str:
    """That all muons lack hits, if they do; else empty."""
    counts = [entry.linear.counts for entry in entries]
    if any(each.hit_not_finite < each.muons for each in counts):
        return ""
    muons = max(each.muons for each in counts)
    advice = "; check the columns in source, and the cells of its file" if study.recorded else ""
    return f"No muon has a usable fit: {of_all(muons, muons, 'muon')} have too few finite hits{advice}."


def _truth(study: Study, entries: Sequence[Entry], found: Sequence[Finding]) -> Answer:
    truths = [entry.truth for entry in entries if entry.truth]
    if not truths:
        return Answer(verdict=NotTested.RECORDED, sentence="Nobody knows the truth of recorded hits.")
    verdict = worst([*(each.verdict for each in truths), *(each.verdict for each in found if each.question == "truth")])
    if verdict == Verdict.PASS:
        return Answer(verdict=verdict, sentence=_covered(study, truths))
    return Answer(verdict=verdict, sentence=no_pass(study, "truth", verdict, found))


def _data(study: Study, fits: Sequence[FitEntry], found: Sequence[Finding], *, right: bool) -> Answer:
    """Whether the data agree with the stated resolution; `right`: whether the propagation is right."""
    known = [each.verdict for each in fits if isinstance(each.verdict, Verdict)]
    if not known:
        reason = fits[0].reasons[0]
        return Answer(verdict=UNTESTED[reason], sentence=f"The reason: {reason}.")
    verdict = worst(known)
    if verdict != Verdict.PASS:
        sentence = no_pass(study, "data", verdict, found)
        if right and verdict == Verdict.FAIL:
            sentence = f"The propagation is right, but {sentence[:1].lower()}{sentence[1:]}"
        return Answer(verdict=verdict, sentence=sentence + _remarks(study, fits))
    widths = [each.width.value for each in fits if each.width]
    wide = " to ".join(dict.fromkeys(f"{each:.3f}" for each in (min(widths), max(widths))))
    at = f" at all {len(fits)} points" if len(fits) > 1 else ""
    return Answer(
        verdict=verdict,
        sentence=f"The data agree with the stated resolution{at}: residuals are {wide} times as wide as "
        f"stated{_beyond(fits)}.{_remarks(study, fits)}",
    )


def _beyond(fits: Sequence[FitEntry]) -> str:
    """That some muons were left out, at the point with the most of them."""
    most = max(fits, key=lambda each: each.beyond)
    return f"; {beyond_words(most)}" if most.beyond else ""


def _remarks(study: Study, fits: Sequence[FitEntry]) -> str:
    """That a layer has no hits, and that errors are not Gaussian, at the first point where it is so."""
    coordinates = {each.name: each for each in study.model.coordinates}
    found = (next((words for fit in fits for words in of(fit, coordinates)), "") for of in (silent_words, shape_words))
    return "".join(f" {words}." for words in found if words)


def no_pass(study: Study, question: Question, verdict: Verdict, found: Sequence[Finding]) -> str:
    """What a question without a pass means, for how many points and observables, and why: the worst first."""
    bad = [each for each in found if each.question == question and each.verdict == verdict]
    begin = WRONG[question] if verdict == Verdict.FAIL else NOT_SHOWN[question]
    if not bad:
        return f"{begin}."
    alone = len(study.points) == 1 and (question == "data" or len(study.model.observables) == 1)
    number = len({(each.point, each.observable) for each in bad if each.observable or question == "data"})
    where = "" if alone or not number else _where(study, question, number)
    first = bad[0]
    reasons = first.reasons[: said(first)]
    at = f"worst {where_worst}: " if not alone and (where_worst := _at(study, first)) else ""
    others = sum(len(each.reasons) for each in bad) - len(reasons)
    more = f" (and {others} more reason{'s' * (others > 1)})" if others > 0 else ""
    return f"{begin}{where}{'; ' if at else ': '}{at}{'; '.join(reasons)}{more}." if reasons else f"{begin}{where}."


def _where(study: Study, question: Question, number: int) -> str:
    """For how many points and observables."""
    points, observables = len(study.points), len(study.model.observables)
    if question == "data" or observables == 1:
        return f" at {of_all(number, points, 'point')}"
    if points == 1:
        return f" for {of_all(number, observables, 'observable')}"
    if number == points * observables:
        return f" for all {observables} observables at all {points} points"
    return f" for {number} of {amount(study)}"


def _at(study: Study, found: Finding) -> str:
    """The scan point and the symbol of the observable of a finding, as far as the study has several."""
    symbols = {each.name: each.symbol for each in study.model.observables}
    parts = [f"at {study.words[found.point]}"] * (len(study.points) > 1)
    if found.observable and len(symbols) > 1:
        parts.append(f"for {symbols[found.observable]}")
    return " ".join(parts)


def _covered(study: Study, truths: Sequence[TruthJudgement]) -> str:
    """That the truth is covered, and how well."""
    exact = [truth for truth in truths if not truth.at_least]
    shown = exact or truths
    levels = [
        ("68.27 %", _range([bin_.coverage.confidence68 for truth in shown for bin_ in truth.bins if bin_.decides])),
        ("95 %", _range([bin_.coverage.confidence95 for truth in shown for bin_ in truth.bins if bin_.decides])),
    ]
    held = " and ".join(f"the {name} confidence interval holds it for {share}" for name, share in levels)
    bins = _bins(study, [bin_ for truth in truths for bin_ in truth.bins])
    more = (
        "; intervals that need only hold it at least that often, such as those of azimuths, do"
        if exact and len(exact) < len(truths)
        else ""
    )
    return f"The truth is covered: of toys around true hits, {held}, over {bins}{more}."


def _range(coverage: Sequence[Estimate | None]) -> str:
    """The smallest and the largest coverage in any bin."""
    shares = [each.value for each in coverage if each]
    low, high = (f"{100 * each:.1f} %" for each in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _bins(study: Study, bins: Sequence[Bin] | Sequence[TruthBin]) -> str:
    """Every bin of all observables at all points, or those that are settled."""
    aside = sum(each.verdict == Verdict.INCONCLUSIVE for each in bins)
    every = f"every bin{_everywhere(study)}"
    if not aside:
        return every
    return f"{every}, except {aside} {'bin' if aside == 1 else 'bins'} with too few muons to tell"


def _everywhere(study: Study) -> str:
    """Of all observables, and at all points."""
    several, scanned = len(study.model.observables) > 1, len(study.points) > 1
    of = f" of all {len(study.model.observables)} observables" if several else ""
    return of + (f" at all {len(study.points)} points" if scanned else "")


def amount(study: Study) -> str:
    """The number of points, of observables, or of both, that the evidence is about."""
    points, observables = len(study.points), len(study.model.observables)
    if observables == 1:
        return f"{points} point{'s' * (points > 1)}"
    if points == 1:
        return f"{observables} observables"
    return f"{points * observables} ({observables} observables at {points} points)"
