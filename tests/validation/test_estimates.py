import math
from typing import NamedTuple

import pytest

from pullback.statistics.intervals import Verdict
from pullback.validation.estimates import Criteria, NotJudged, deciding


class Bin(NamedTuple):
    verdict: Verdict | NotJudged
    share: float


def decides(bins, *, strict=False):
    return deciding(bins, lambda each: each.share, strict)


PASS, FAIL, OPEN, EMPTY = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, NotJudged.EMPTY


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([Bin(OPEN, 0.004), Bin(PASS, 0.9)], [False, True]),
        ([Bin(OPEN, 0.006), Bin(PASS, 0.9)], [True, True]),
        ([Bin(FAIL, 0.001), Bin(PASS, 0.9)], [True, True]),  # what fails, fails, however few the muons
        ([Bin(EMPTY, 0.0), Bin(PASS, 1.0)], [False, True]),
        ([Bin(OPEN, 0.001), Bin(EMPTY, 0.0)], [True, False]),  # else nothing would decide
    ],
)
def test_a_bin_of_few_muons_that_is_not_settled_decides_nothing(bins, expected):
    assert decides(bins) == expected
    assert decides(bins, strict=True) == [each.verdict != EMPTY for each in bins]


def test_an_inconclusive_number_says_how_many_times_more_would_settle_it():
    criteria = Criteria(0.95, 0.999)
    found = criteria.mean(0.01, 0.01, 0.02)
    assert found.verdict == "inconclusive"
    # With this factor, a true deviation of 0 is seen to lie within, even if it is found 4 standard errors off.
    error = 0.01 / math.sqrt(found.factor)
    assert criteria.mean(3.999 * error, error, 0.02).verdict == "pass"
    assert criteria.mean(4.001 * error, error, 0.02).verdict == "inconclusive"
    wrong = criteria.mean(0.03, 0.0072, 0.02)
    assert wrong.verdict == "inconclusive"
    error = 0.0072 / math.sqrt(wrong.factor)
    assert criteria.mean(0.03 - 3.999 * error, error, 0.02).verdict == "fail"
    assert criteria.mean(0.03 - 4.001 * error, error, 0.02).verdict == "inconclusive"
    share = criteria.share(700, 1000, 0.6827, 0.01)
    assert share.verdict == "inconclusive"
    assert share.factor == pytest.approx((5.959964 / 0.01) ** 2 * 0.7 * 0.3 / 1000, rel=0.05)  # by Clopper and Pearson


def test_a_number_passes_fails_or_says_how_much_more_is_needed():
    criteria = Criteria(0.95, 0.9999)
    assert criteria.mean(1.0, 0.01, 0.05, 1.0).verdict == "pass"
    assert criteria.mean(1.2, 0.01, 0.05, 1.0).verdict == "fail"
    assert criteria.mean(0.8, 0.01, 0.05, 1.0).verdict == "fail"
    open_ = criteria.mean(1.03, 0.02, 0.05, 1.0)
    assert open_.verdict == "inconclusive"
    assert open_.factor == pytest.approx((5.959964 * 0.02 / 0.05) ** 2, rel=1e-6)
    assert criteria.mean(0.07, 0.001, 0.1).verdict == "pass"
    assert criteria.estimate(1.0, 0.1).verdict is None
