import numpy as np
import pytest

from pullback.report.figures.ranges import most_of, not_far


@pytest.mark.parametrize("far", [1e3, -1e9, 1e100])
def test_one_value_that_is_far_does_not_change_the_range(far):
    values = np.random.default_rng(1).normal(5.0, 1.0, 30)
    assert most_of(np.append(values, far)) == pytest.approx(most_of(values), rel=0.1)
    np.testing.assert_array_equal(not_far(np.append(values, far)), [*[True] * 30, False])


def test_values_of_one_distribution_are_not_far():
    rng = np.random.default_rng(2)
    for values in (rng.normal(size=1000), rng.uniform(size=1000), np.ones(5), np.array([0.0] * 9 + [1.0])):
        assert not_far(values).all()
    np.testing.assert_array_equal(not_far(np.array([np.nan, 1.0, np.inf])), [False, True, False])
    assert not not_far(np.full(3, np.nan)).any()
