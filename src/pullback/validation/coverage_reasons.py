"""Why the truth is not covered, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..statistics.intervals import Verdict
from .coverage_evidence import LayerHits, LayerShare, QuantityPulls, TruthBin
from .estimates import Estimate, rare

NAMES = {
    "confidence68": "coverage of the 68.27 % confidence interval",
    "confidence95": "coverage of the 95 % confidence interval",
    "bias": "mean of recorded - true less the predicted bias, in σ,",
    "pull_sd": "width of pulls",
}
"""What the judged numbers of a bin are called."""


def of_truth_bins(bins: Sequence[TruthBin], place: str, verdict: Verdict) -> Iterator[str]:
    """Why bins of true values have this verdict; `place` is what the distance from the fold is called."""
    for each in bins:
        if verdict == Verdict.PASS or each.verdict != verdict:
            continue
        high = f" < {each.high:g}" if math.isfinite(each.high) else ""
        where = f" at true {each.low:g} ≤ {place}{high}" if place else ""
        few = f" (a bin that decides nothing: it holds {few_muons(each.muons, each.share)} of the muons)"
        end = f"{where}{few if each.verdict == Verdict.INCONCLUSIVE and rare(each.share) else ''}"
        if each.without:
            yield f"{each.without} toys have no confidence interval{end}"
        for name, estimate in each.judged:
            if estimate.verdict == each.verdict:
                yield f"{NAMES[name]} is {limits(estimate)}{end}"


def few_muons(muons: int, share: float | None) -> str:
    """A number of muons and its share."""
    return f"{muons} ({100 * (share or 0):.2g} %)"


def of_budget(budget: Sequence[LayerShare], verdict: Verdict) -> Iterator[str]:
    """Which layers have another share in the variance than quoted, if that makes the verdict."""
    for each in budget:
        if verdict != Verdict.PASS and each.toys.verdict == verdict:
            found = each.quoted + each.toys.value
            yield f"{each.source} causes {found:.3f} of the variance of toys, but {each.quoted:.3f} is quoted"


def of_pulls(pulls: QuantityPulls) -> Iterator[str]:
    """Why the pulls of a quantity fail."""
    name = pulls.quantity
    if pulls.repeats:
        yield f"pulls of {name} repeat from block to block: their correlation is {pulls.repeated:.3f}"
    if pulls.mean.verdict == Verdict.FAIL:
        yield f"mean pull of {name} over all muons is {limits(pulls.mean)}"
    if pulls.sd.verdict == Verdict.FAIL:
        yield f"width of the pulls of {name} over all muons is {limits(pulls.sd)}"
    for inside, nominal in ((pulls.inside68, "68.27 %"), (pulls.inside95, "95 %")):
        if inside.verdict == Verdict.FAIL:
            yield f"{limits(inside)} of the pulls of {name} over all muons are where {nominal} should be"
    wrong = [each for each in pulls.bins if each.mean.verdict == Verdict.FAIL]
    if wrong:
        worst = max(wrong, key=lambda each: abs(each.mean.value))
        yield f"mean pull of {name} is {limits(worst.mean)} for true values from {worst.low:g} to {worst.high:g} σ"
    if pulls.blocks and pulls.blocks.verdict == Verdict.FAIL:
        yield f"mean pulls of {name} scatter between blocks {limits(pulls.blocks)} times as much as independent noise"


def of_hits(hits: Sequence[LayerHits]) -> Iterator[str]:
    """Which layers lose more or fewer hits than stated."""
    for each in hits:
        if each.found.verdict == Verdict.FAIL:
            yield f"{each.layer}: {limits(each.found)} of the muons have a hit, where {each.expected:.4g} are expected"


def limits(number: Estimate) -> str:
    """A number with its interval."""
    return f"{number.value:.4f} [{number.low:.4f}, {number.high:.4f}]"
