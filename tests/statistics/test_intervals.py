import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pullback.statistics.intervals import (
    ROOM,
    coverage_interval,
    equivalence,
    expected_scatter,
    factor_to_decide,
    half_width,
    mean_interval,
    sd_interval,
)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.96, 1.04, "pass"),
        (0.95, 1.05, "pass"),
        (0.94, 1.04, "inconclusive"),
        (0.9, 1.2, "inconclusive"),
        (1.06, 1.2, "fail"),
        (0.8, 0.94, "fail"),
    ],
)
def test_equivalence(low, high, verdict):
    assert equivalence(low, high, 0.05) == verdict


@given(st.integers(1, 400), st.integers(0, 400))
def test_clopper_pearson_against_scipy(total, inside):
    inside = min(inside, total)
    expected = stats.binomtest(inside, total).proportion_ci(0.95, method="exact")
    assert coverage_interval(inside, total, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_of_a_mean_against_scipy():
    expected = stats.norm(0.3, 0.02).interval(0.9)
    assert mean_interval(0.3, 0.02, 0.9) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("freedom", [1, 10, 1000, 2e7])
def test_interval_of_an_sd_against_scipy(freedom):
    expected = [math.sqrt(freedom / stats.chi2.isf(p, freedom)) for p in (0.025, 0.975)]
    assert sd_interval(1.0, freedom, 0.95) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 5, 99, 101, 10_000])
def test_expected_scatter_against_the_chi_distribution(freedom):
    assert expected_scatter(np.array([float(freedom)]))[0] == pytest.approx(
        stats.chi(freedom).std() / math.sqrt(freedom), rel=1e-3
    )


@given(st.floats(-0.5, 0.5), st.floats(0.001, 0.5), st.floats(-3.9, 3.9))
@settings(deadline=None)
def test_a_sample_grown_by_the_factor_is_decided(true, se, deviation):
    """Whatever the chance deviation of the larger sample, if the first tells the true deviation or there is none."""
    off = true if abs(true) > ROOM * se else 0.0
    factor = factor_to_decide(true, se, (-0.05, 0.05), 0.95)
    if math.isfinite(factor):
        shrunk = se / math.sqrt(factor)
        found, half = 1 + off + deviation * shrunk, half_width(0.95) * shrunk
        assert equivalence(found - half, found + half, 0.05) != "inconclusive"


def test_the_factor_is_no_larger_than_it_must_be():
    shrunk = 0.01 / math.sqrt(factor_to_decide(0.02, 0.01, (-0.05, 0.05), 0.95))
    assert 0.05 - half_width(0.95) * shrunk == pytest.approx(ROOM * shrunk, rel=1e-12)
    assert factor_to_decide(0.1, 0.01, (-0.05, math.inf), 0.95) == pytest.approx((5.959964 * 0.01 / 0.15) ** 2)
    assert factor_to_decide(0.05, 0.01, (-0.05, 0.05), 0.95) == math.inf


@pytest.mark.parametrize("freedom", [1.0, 0.1, 1e-3, 1e-9])
@pytest.mark.parametrize("confidence", [1e-9, 0.5, 0.95, 0.9999999999999999])
def test_a_width_of_hardly_any_freedom_has_no_upper_end_at_the_most(freedom, confidence):
    low, high = sd_interval(2.0, freedom, confidence)
    assert 0 <= low <= high
    assert high > 2 or confidence < 0.9
