"""Why the truth is not covered, and what would decide it, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..config.schema import Validation
from ..statistics.intervals import Verdict
from ..statistics.normal import P68, P95
from ..statistics.parts import of_all
from .coverage_evidence import HeldTruth, Judged, LayerHits, LayerShare, QuantityPulls, TruthBin, TruthJudgement
from .estimates import Estimate
from .reasons import bracketed
from .remedies import Remedy, rounded_up

NUMBERS_IN_WORDS: dict[Judged, str] = {
    "confidence68": "coverage of the 68.27 % confidence interval",
    "confidence95": "coverage of the 95 % confidence interval",
    "bias": "mean of recorded − true less the predicted bias, over σ,",
    "pull_sd": "width of pulls",
}
"""What the judged numbers of a bin are called."""

TARGETS: dict[Judged, float] = {"confidence68": P68, "confidence95": P95, "bias": 0.0, "pull_sd": 1.0}
"""What they should be."""


MOST_TOYS = 10_000_000
"""Largest number of toys per bin that is advised: what needs more lies at its limit."""


def of_truth(bins: Sequence[TruthBin], budget: Sequence[LayerShare], place: str) -> Iterator[str]:
    """Why the truth is not covered; `place` is what the distance from the fold is called.

    What fails or, if nothing does, what can't be settled. Of each number the worst bin is named.
    """
    known = [each for each in bins if each.decides]
    if without := [each for each in known if each.without]:
        worst = max(without, key=lambda each: each.without)
        toys = of_all(worst.without, worst.toys, "toy")
        yield f"{toys} have no confidence interval{_where(worst, place, len(without))}"
    failed = any(of.verdict == Verdict.FAIL for each in known for _, of in each.judged)
    failed |= any(each.toys.verdict == Verdict.FAIL for each in budget)
    for verdict in (Verdict.FAIL,) if failed else (Verdict.INCONCLUSIVE,):
        yield from _of_bins(known, place, verdict)
        for each in budget:
            if each.toys.verdict == verdict:
                shares = f"{100 * (each.quoted + each.toys.value):.1f} %", f"{100 * each.quoted:.1f} %"
                yield f"{each.source} causes {shares[0]} of the variance of toys, but {shares[1]} is quoted"


def _of_bins(bins: Sequence[TruthBin], place: str, verdict: Verdict) -> Iterator[str]:
    """The numbers with a verdict, each in its worst bin."""
    for name, words in NUMBERS_IN_WORDS.items():
        found = [(each, of) for each in bins if (of := each.of(name)) and of.verdict == verdict]
        if found:
            worst, number = max(found, key=lambda each: abs(each[1].value - TARGETS[name]))
            yield f"{words} is {as_shown(name, number)}{_where(worst, place, len(found))}"


def _where(each: TruthBin, place: str, among: int) -> str:
    """At which true values, and of how many bins it is the worst."""
    high = f" < {each.high:g}" if math.isfinite(each.high) else ""
    worst = f", the worst of {among} bins" if among > 1 else ""
    return f" at true {each.low:g} ≤ {place}{high}{worst}" if place else worst


def as_shown(name: Judged, number: Estimate) -> str:
    """A judged number as reasons and tables show it: coverage in per cent.

    >>> as_shown("bias", Estimate(value=0.01, low=0.0, high=0.02))
    '0.0100 [0.0000, 0.0200]'
    >>> as_shown("confidence68", Estimate(value=0.683, low=0.68, high=0.686))
    '68.30 % [68.00, 68.60]'

    """
    if name not in ("confidence68", "confidence95"):
        return bracketed(number)
    return per_cent(number)


def per_cent(number: Estimate) -> str:
    """A share with its interval, in per cent."""
    value, low, high = (f"{100 * each:.2f}" for each in (number.value, number.low, number.high))
    return f"{value} % [{low}, {high}]"


def advice_on_truth(truth: TruthJudgement, toys_per_bin: int, settings: Validation) -> list[Remedy]:
    """What would decide an inconclusive verdict."""
    if truth.verdict != Verdict.INCONCLUSIVE:
        return []
    numbers: list[tuple[str, Estimate]] = [
        (name, of) for each in truth.bins if each.decides for name, of in each.judged
    ]
    numbers += [("share", each.toys) for each in truth.budget]
    factors = {name: of.factor for name, of in sorted(numbers, key=_factor) if of.factor is not None}
    if not factors:
        return []
    name = max(factors, key=factors.__getitem__)
    needed = toys_per_bin * max(factors[name], 1.0)
    if needed <= MOST_TOYS:
        return [Remedy(key="coverage.toys_per_bin", value=rounded_up(needed), now=toys_per_bin)]
    if name in ("confidence68", "confidence95"):
        now = settings.coverage_tolerance
        return [Remedy(key="validation.coverage_tolerance", value=2 * now, now=now)]
    if name == "share":
        return [Remedy(words="find out which layer has another share in the variance: more toys would not help")]
    now = settings.of_truth  # the tolerance is that of toys around recorded hits too, and must not narrow it
    return [Remedy(key="validation.tolerance", value=max(2 * now, settings.of_toys), now=now)]


def _factor(number: tuple[str, Estimate]) -> float:
    return number[1].factor or 0.0


def pull_reasons(pulls: QuantityPulls) -> Iterator[str]:
    """Why the pulls of a quantity fail."""
    name = pulls.quantity
    if pulls.repeats:
        yield f"pulls of {name} repeat from block to block: their correlation is {pulls.repeated:.3f}"
    if pulls.mean.verdict == Verdict.FAIL:
        yield f"mean pull of {name} over all muons is {bracketed(pulls.mean)}"
    if pulls.sd.verdict == Verdict.FAIL:
        yield f"width of the pulls of {name} over all muons is {bracketed(pulls.sd)}"
    for inside, nominal in ((pulls.inside68, "68.27 %"), (pulls.inside95, "95 %")):
        if inside.verdict == Verdict.FAIL:
            yield f"{per_cent(inside)} of the pulls of {name} over all muons are where {nominal} should be"
    wrong = [each for each in pulls.bins if each.mean.verdict == Verdict.FAIL]
    if wrong:
        worst = max(wrong, key=lambda each: abs(each.mean.value))
        yield f"mean pull of {name} is {bracketed(worst.mean)} for true values from {worst.low:g} to {worst.high:g} σ"
    if pulls.blocks and pulls.blocks.verdict == Verdict.FAIL:
        scatter = bracketed(pulls.blocks)
        yield f"mean pulls of {name} scatter between blocks {scatter} times as much as independent noise"


def held_reasons(held: Sequence[HeldTruth]) -> Iterator[str]:
    """Which quoted confidence intervals hold the truth of too few or too many muons."""
    for each in held:
        for name, share in (("68.27 %", each.confidence68), ("95 %", each.confidence95)):
            if share.verdict == Verdict.FAIL:
                found = f"holds the truth for {per_cent(share)} of the muons"
                yield f"the quoted {name} confidence interval of {each.observable} {found}"


def hit_reasons(hits: Sequence[LayerHits]) -> Iterator[str]:
    """Which layers lose more or fewer hits than stated."""
    for each in hits:
        if each.found.verdict == Verdict.FAIL:
            found = f"{100 * each.found.value:.2f} %"
            yield f"{each.layer}: {found} of the muons have a hit, where {100 * each.expected:.4g} % are expected"
