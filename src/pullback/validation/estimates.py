"""Numbers of the evidence with their intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar, final, runtime_checkable

from ..statistics.intervals import Verdict, coverage_interval, factor_to_decide, half_width, mean_interval, sd_interval
from ..store.evidence_file import Number, Record, Unbounded


class NotJudged(StrEnum):
    """Why a bin has no verdict."""

    OUTSIDE = "outside the linear domain"
    EMPTY = "empty"
    NOT_LINEAR = "no muon is called linear"


def worst(verdicts: Iterable[Verdict | NotJudged | None]) -> Verdict:
    """The worst of the verdicts; inconclusive if there is none."""
    known = [each for each in verdicts if isinstance(each, Verdict)]
    return max(known, key=lambda verdict: verdict.severity, default=Verdict.INCONCLUSIVE)


@final
class Estimate(Record):
    """A number with standard error and confidence interval; if it is judged, with its verdict."""

    value: Number
    """The number itself."""
    low: Number
    """Lower end of its interval, at the confidence of `validation.confidence`."""
    high: Number
    """Upper end of its interval."""
    se: Number | None = None
    """Standard error; of a root mean square, the standard error of its square."""
    verdict: Verdict | None = None
    """Absent if it is not judged."""
    factor: Unbounded | None = None
    """If inconclusive: the factor by which the sample must grow for a decision."""


class Criteria(NamedTuple):
    """How numbers are judged: the confidence of their intervals, and that of the wider ones with which they fail.

    A number passes when its interval lies within the tolerance of its target, and fails when the wider interval, which
    allows for how many numbers are judged (Bonferroni), lies outside.
    """

    confidence: float
    confidence_to_fail: float

    @classmethod
    def among(cls, confidence: float, numbers: int) -> Criteria:
        """The criteria for one of many numbers."""
        return cls(confidence, 1 - (1 - confidence) / max(numbers, 1))

    def judge(
        self,
        value: float,
        interval: Callable[[float], tuple[float, float]],
        target: float,
        tolerance: float,
        se: float | None = None,
        above: float | None = None,
    ) -> Estimate:
        """A number with its interval and its verdict; `above` is the tolerance above the target, if another."""
        smallest, largest = target - tolerance, target + (tolerance if above is None else above)
        (low, high), (least, most) = interval(self.confidence), interval(self.confidence_to_fail)
        if smallest <= low and high <= largest:
            verdict = Verdict.PASS
        elif most < smallest or least > largest:
            verdict = Verdict.FAIL
        else:
            error = (high - low) / (2 * half_width(self.confidence)) if se is None else se
            factor = factor_to_decide(value - target, error, (smallest - target, largest - target), *self)
            return Estimate(value=value, low=low, high=high, se=se, verdict=Verdict.INCONCLUSIVE, factor=factor)
        return Estimate(value=value, low=low, high=high, se=se, verdict=verdict)

    def estimate(self, value: float, se: float) -> Estimate:
        """A normal number that is not judged, with its standard error."""
        low, high = mean_interval(value, se, self.confidence)
        return Estimate(value=value, se=se, low=low, high=high)

    def mean(self, value: float, se: float, tolerance: float, target: float = 0.0) -> Estimate:
        """A normal number, which should be 0 or another target, with its standard error."""
        return self.judge(value, lambda confidence: mean_interval(value, se, confidence), target, tolerance, se)

    def width(self, value: float, freedom: float, tolerance: float) -> Estimate:
        """A standard deviation, which should be 1, with its degrees of freedom."""
        se = value / math.sqrt(2 * freedom)
        return self.judge(value, lambda confidence: sd_interval(value, freedom, confidence), 1.0, tolerance, se)

    def share(self, inside: int, total: int, target: float, tolerance: float, above: float | None = None) -> Estimate:
        """A binomial proportion."""

        def interval(confidence: float) -> tuple[float, float]:
            return coverage_interval(inside, total, confidence)

        return self.judge(inside / total, interval, target, tolerance, above=above)


@runtime_checkable
class WithVerdict(Protocol):
    """A bin with its verdict."""

    @property
    def verdict(self) -> Verdict | NotJudged:
        """Its verdict, or why it has none."""


J = TypeVar("J", bound=WithVerdict)


def deciding(bins: Sequence[J], share: Callable[[J], float | None], strict: bool) -> list[bool]:
    """Whether each bin decides, from its share of all muons.

    A bin of few muons (`FEW_MUONS`) that can't be settled decides nothing, unless `strict` or the only kind of bin.
    """
    counts = [isinstance(each.verdict, Verdict) for each in bins]
    settled = [
        counted and (strict or not _aside(each, share(each))) for each, counted in zip(bins, counts, strict=True)
    ]
    return settled if any(settled) else counts


def _aside(each: WithVerdict, share: float | None) -> bool:
    return each.verdict == Verdict.INCONCLUSIVE and share is not None and share < FEW_MUONS


FEW_MUONS = 0.005
"""Share of the muons below which a bin that can't be settled does not make the whole inconclusive."""
