"""A number of the evidence with its interval, and its equivalence test."""

from __future__ import annotations

from typing import NamedTuple, final

from ..statistics.intervals import Verdict, equivalence, factor_to_settle, mean_interval
from ..store.evidence_file import Number, Record, Unbounded


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


class Equivalence(NamedTuple):
    """An equivalence test of normal numbers: pass within the tolerance, fail where it is clearly exceeded.

    A number passes if its interval at `confidence` lies within the tolerance, and fails if that at
    `confidence_to_fail`, corrected for the number of tests, lies outside.
    """

    tolerance: float
    confidence: float
    confidence_to_fail: float

    def estimate(self, value: float, se: float) -> Estimate:
        """A number that is not judged."""
        low, high = mean_interval(value, se, self.confidence)
        return Estimate(value=value, se=se, low=low, high=high)

    def judge(self, value: float, se: float, expected: float, tolerance: float | None = None) -> Estimate:
        """A number with its verdict on whether it is the expected one, to within the tolerance."""
        tolerance, ratio = self.tolerance if tolerance is None else tolerance, 1 + value - expected
        narrow, wide = (mean_interval(ratio, se, each) for each in (self.confidence, self.confidence_to_fail))
        found = self.estimate(value, se)
        if equivalence(*narrow, tolerance) == Verdict.PASS:
            return found.model_copy(update={"verdict": Verdict.PASS})
        if equivalence(*wide, tolerance) == Verdict.FAIL:
            return found.model_copy(update={"verdict": Verdict.FAIL})
        limits = narrow if abs(ratio - 1) <= tolerance else wide
        factor = factor_to_settle(ratio, *limits, tolerance)
        return found.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "factor": factor})
