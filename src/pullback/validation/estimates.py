"""Numbers of the evidence with their intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple, final

from ..statistics.intervals import Verdict, coverage_interval, factor_to_settle, mean_interval, sd_interval
from ..store.evidence_file import Number, Record, Unbounded


class NotJudged(StrEnum):
    """Why a bin has no verdict."""

    OUTSIDE = "outside the linear domain"
    EMPTY = "empty"


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
        at_least: bool = False,
    ) -> Estimate:
        """A number with its interval and its verdict; with `at_least`, no number is too large."""
        (low, high), (least, most) = interval(self.confidence), interval(self.confidence_to_fail)
        found = Estimate(value=value, low=low, high=high, se=se, verdict=Verdict.PASS)
        if low >= target - tolerance and (at_least or high <= target + tolerance):
            return found
        if most < target - tolerance or (not at_least and least > target + tolerance):
            return found.model_copy(update={"verdict": Verdict.FAIL})
        within = abs(value - target) <= tolerance
        near, far = (low, high) if within else (least, most)
        factor = factor_to_settle(1 + value - target, 1 + near - target, 1 + far - target, tolerance)
        return found.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "factor": factor})

    def mean(self, value: float, se: float, tolerance: float) -> Estimate:
        """A mean, which should be 0, with its standard error."""
        return self.judge(value, lambda confidence: mean_interval(value, se, confidence), 0.0, tolerance, se)

    def width(self, value: float, freedom: float, tolerance: float) -> Estimate:
        """A standard deviation, which should be 1, with its degrees of freedom."""
        se = value / math.sqrt(2 * freedom)
        return self.judge(value, lambda confidence: sd_interval(value, freedom, confidence), 1.0, tolerance, se)

    def share(self, inside: int, total: int, target: float, tolerance: float, at_least: bool = False) -> Estimate:
        """A binomial proportion."""

        def interval(confidence: float) -> tuple[float, float]:
            return coverage_interval(inside, total, confidence)

        return self.judge(inside / total, interval, target, tolerance, at_least=at_least)


class Equivalence(NamedTuple):
    """The criteria of normal numbers with the same tolerance."""

    tolerance: float
    confidence: float
    confidence_to_fail: float

    def estimate(self, value: float, se: float) -> Estimate:
        """A number that is not judged."""
        low, high = mean_interval(value, se, self.confidence)
        return Estimate(value=value, se=se, low=low, high=high)

    def judge(self, value: float, se: float, expected: float, tolerance: float | None = None) -> Estimate:
        """A number with its verdict on whether it is the expected one, to within the tolerance."""
        criteria = Criteria(self.confidence, self.confidence_to_fail)
        limit = self.tolerance if tolerance is None else tolerance
        return criteria.judge(value, lambda confidence: mean_interval(value, se, confidence), expected, limit, se)


def decisive(verdicts: Iterable[tuple[Verdict | NotJudged, float | None]], strict: bool) -> Verdict:
    """The worst of the verdicts on bins with their shares of all muons.

    A bin of few muons that is inconclusive decides nothing, unless `strict`.
    """
    known = [(verdict, share) for verdict, share in verdicts if isinstance(verdict, Verdict)]
    counted = [each for each, share in known if strict or each != Verdict.INCONCLUSIVE or not rare(share)]
    return worst(counted or [each for each, _ in known])


FEW = 0.005
"""Share of the muons below which a bin that can't be settled does not make the whole inconclusive."""


def rare(share: float | None) -> bool:
    """Whether a bin has so few muons that no verdict hangs on it if it can't be settled."""
    return share is not None and share < FEW
