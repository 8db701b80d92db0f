"""The value of a parameter that reaches a wanted mean σ, against closed forms."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from pullback import infer_theta, propagate, solve_target

DOUBLE = torch.float64


@pytest.mark.parametrize("bounds", [(10.0, 1000.0), (1e-3, 1e6), (-10.0, 500.0)])
def test_the_exact_solution(bounds):
    def sigma(p):
        return 0.6 / p if p > 0 else math.nan

    found = solve_target(sigma, 0.0041, start=100.0, bounds=bounds)
    assert found.reached
    assert found.value == pytest.approx(0.6 / 0.0041, rel=1e-10)
    assert found.nearest == found.value
    assert found.nearest_sigma == pytest.approx(0.0041, rel=1e-9)
    assert (np.diff(found.grid) > 0).all()
    np.testing.assert_allclose(found.sigmas, [sigma(p) for p in found.grid], rtol=1e-13, atol=1e-17)
    assert 100.0 in found.grid


def test_the_mean_sigma_of_muons_by_the_height_of_the_origin():
    """One hit at x: σ = dz / (dz² + x²) / resolution has two solutions; the start says which."""
    hits = torch.full((3, 1), 0.5, dtype=DOUBLE)

    def sigma(dz):
        return propagate(partial(infer_theta, dz=dz), hits, covariance=1e-4).sigma.mean().item()

    wanted = 0.008  # dz² − 1.25 dz + 0.25 = 0
    for start, expected in ((0.1, 0.25), (0.3, 0.25), (0.6, 1.0), (3.0, 1.0)):
        found = solve_target(sigma, wanted, start, (0.05, 20.0))
        assert found.value == pytest.approx(expected, rel=1e-10)


def test_distances_are_logarithmic():
    """Solutions at 1 and 100: from 20, 1 is nearer by difference, and 100 by ratio."""
    found = solve_target(lambda p: 5 + math.log10(p) * (math.log10(p) - 2), 5.0, 20.0, (0.01, 1e4))
    assert found.value == pytest.approx(100.0, rel=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
def test_two_solutions_between_neighbours_of_the_grid(sign):
    """A dip of relative width 1e-3, about the grid's nearest point and far narrower than its steps."""

    def sigma(p):
        return 2 + sign * (math.log(p) - 0.31) ** 2

    found = solve_target(sigma, 2 + sign * 1e-6, 1.0, (0.1, 10.0), points=9)
    assert found.value == pytest.approx(math.exp(0.31 - 1e-3), rel=1e-9)
    assert (np.diff(found.grid) > 0).all()


def test_none_does_and_the_nearest_is_told():
    def sigma(p):
        return 2 + (math.log(p) - 0.31) ** 2

    found = solve_target(sigma, 1.5, 1.0, (0.1, 10.0), points=9)
    assert found.value is None
    assert not found.reached
    assert found.nearest == pytest.approx(math.exp(0.31), rel=1e-6)
    assert found.nearest_sigma == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(found.sigmas, [sigma(value) for value in found.grid], rtol=1e-12)
    at_the_end = solve_target(lambda p: 0.6 / p, 1e-4, 100.0, (10.0, 1000.0))
    assert at_the_end.value is None
    assert (at_the_end.nearest, at_the_end.nearest_sigma) == (1000.0, pytest.approx(6e-4))


def test_impossible_values_are_skipped():
    def sigma(p):  # impossible about 1, and NaN where the two sides of the wanted σ meet
        return math.nan if 0.8 < p < 1.3 else 1 / p

    assert solve_target(sigma, 1.0, 2.0, (0.1, 10.0)).value is None
    assert solve_target(sigma, 0.25, 2.0, (0.1, 10.0)).value == pytest.approx(4.0, rel=1e-10)
    narrow = solve_target(lambda p: math.nan if abs(p - 1) < 1e-3 else 1 / p, 1.0, 2.0, (0.09, 10.0))
    assert narrow.value is None  # the grid does not see it, the search for the root does
    nothing = solve_target(lambda p: math.nan, 1.0, 2.0, (0.1, 10.0))
    assert nothing.value is None
    assert math.isnan(nothing.nearest)
    assert math.isnan(nothing.nearest_sigma)


def test_a_jump_is_no_solution():
    found = solve_target(lambda p: 1.0 if p < 1.7 else 3.0, 2.0, 1.0, (0.1, 10.0))
    assert found.value is None
    assert found.nearest_sigma in (1.0, 3.0)


def test_a_solution_on_the_grid_and_at_the_bounds():
    for start, wanted, expected in ((2.0, 0.5, 2.0), (1.0, 0.1, 10.0), (1.0, 10.0, 0.1)):
        found = solve_target(lambda p: 1 / p, wanted, start, (0.1, 10.0))
        assert found.value == pytest.approx(expected, rel=1e-12)
        assert 0.1 <= found.value <= 10.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wanted": 0.0}, "positive and finite"),
        ({"wanted": math.nan}, "positive and finite"),
        ({"bounds": (10.0, 0.1)}, "the lower one first"),
        ({"bounds": (0.1, math.inf)}, "finite"),
        ({"start": 11.0}, "within the bounds 0.1 to 10"),
        ({"points": 2}, "3 points"),
    ],
)
def test_impossible_targets_are_refused(change, message):
    arguments = {"wanted": 1.0, "start": 1.0, "bounds": (0.1, 10.0)} | change
    with pytest.raises(ValueError, match=message):
        solve_target(lambda p: 1 / p, **arguments)


def of_roots(*roots, logarithmic):
    """A mean σ that is 1 at some values and nowhere else, and changes side at each."""

    def sigma(p):
        factors = [math.log(p / root) if logarithmic else p - root for root in roots]
        return 1 + 0.5 * math.tanh(math.prod(factors))

    return sigma


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0.011, 0.01), (0.09, 0.01), (0.11, 1.0), (3.0, 1.0), (28.0, 1.0), (33.0, 1000.0), (900.0, 1000.0), (1e4, 1000.0)],
)
def test_of_several_solutions_the_nearest_by_ratio(start, expected):
    """Of 0.01, 1 and 1000, with their geometric means 0.1 and 31.6 between."""
    found = solve_target(of_roots(0.01, 1.0, 1000.0, logarithmic=True), 1.0, start, (1e-4, 1e5))
    assert found.value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("start", "expected"), [(-9.0, -3.0), (-0.6, -3.0), (-0.4, 2.0), (2.0, 2.0), (5.9, 2.0), (6.1, 10.0), (14.0, 10.0)]
)
def test_of_several_solutions_the_nearest_by_difference(start, expected):
    """Of -3, 2 and 10, with the middles -0.5 and 6 between, in a range about 0."""
    found = solve_target(of_roots(-3.0, 2.0, 10.0, logarithmic=False), 1.0, start, (-10.0, 15.0))
    assert found.value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("start", "expected"), [(-9.0, -3.0), (-1.8, -3.0), (-1.6, -1.0), (-0.5, -1.0)])
def test_of_several_solutions_the_nearest_by_ratio_below_zero(start, expected):
    found = solve_target(of_roots(1.0, 3.0, logarithmic=True), 1.0, -start, (0.1, 10.0))
    mirror = solve_target(lambda p: of_roots(1.0, 3.0, logarithmic=True)(-p), 1.0, start, (-10.0, -0.1))
    assert (mirror.value, found.value) == (pytest.approx(expected, rel=1e-9), pytest.approx(-expected, rel=1e-9))


DECADES_300 = (1e-300, 1e300)


@pytest.mark.parametrize("root", [1e-290, 3e-170, 2.5e-8, 1.0, 150.0, 7e43, 4e299])
@pytest.mark.parametrize("start", [1e-299, 1e-3, 1e50])
def test_a_falling_sigma_over_six_hundred_decades(root, start):
    found = solve_target(lambda p: 0.6 * (root / p) ** 0.1, 0.6, start, DECADES_300)
    assert found.value == pytest.approx(root, rel=1e-10)


@pytest.mark.parametrize("power", [1, 2, -1])
def test_a_steep_sigma_over_six_hundred_decades(power):
    def sigma(p):
        exponent = -power * math.log10(p / 150)
        return math.inf if exponent > 300 else 0.004 * 10**exponent

    for start in (1e-290, 1.0, 1e290):
        assert solve_target(sigma, 0.004, start, DECADES_300).value == pytest.approx(150.0, rel=1e-10)


@pytest.mark.parametrize("middle", [-251.37, -100.0, -3.123, 0.077, 41.5, 288.8])
@pytest.mark.parametrize("outside", [1.0, math.nan, math.inf])
def test_a_window_of_a_decade_among_six_hundred(middle, outside):
    """σ is wanted that is had within a decade only; beyond it is another, or none."""

    def sigma(p):
        away = abs(math.log10(p) - middle)
        return 0.5 + away if away < 0.5 else outside

    found = solve_target(sigma, 0.75, 10**120, DECADES_300)
    assert found.reached
    assert abs(math.log10(found.value) - middle) == pytest.approx(0.25, rel=1e-9)
    lowest = solve_target(sigma, 0.4, 10**120, DECADES_300)
    assert not lowest.reached
    assert math.log10(lowest.nearest) == pytest.approx(middle, abs=1e-4)
    assert lowest.nearest_sigma == pytest.approx(0.5, abs=1e-4)


def test_the_grid_is_as_dense_in_many_decades_as_in_six():
    few, many = (solve_target(lambda p: 1.0, 2.0, 1.0, (10.0**-half, 10.0**half)).grid for half in (3, 30))
    assert len(few) == 42  # the start is on it; one more is beside an end
    assert np.diff(np.log10(many)).max() == pytest.approx(np.diff(np.log10(few)).max(), rel=1e-6)
    steps = solve_target(lambda p: 1.0, 2.0, 0.3, (0.1, 10.0), points=9).grid
    assert len(steps) == 11


def test_the_deeper_of_two_dips_that_the_grid_sees_less_of():
    """Two dips on either side of points of the grid: what is wanted is within the one that looks shallower."""

    def sigma(p):
        u = math.log10(p)
        return 1 - 0.5 * math.exp(-(((u + 2.1) / 0.05) ** 2)) - 0.9 * math.exp(-(((u - 1.875) / 0.05) ** 2))

    found = solve_target(sigma, 0.2, 1.0, (1e-3, 1e3))
    seen = found.sigmas[np.abs(found.grid - 1) < 1e-9]
    assert seen == pytest.approx(1.0)
    assert found.reached
    assert sigma(found.value) == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize("bounds", [(0.0, 1e300), (-1e-3, 1e300), (-1e300, 1e300)])
def test_a_range_about_zero_of_many_decades(bounds):
    def sigma(p):
        return 0.6 / p if p > 0 else math.inf

    for start in (0.0, 1.0, 1e5):
        found = solve_target(sigma, 0.004, start, bounds)
        assert found.value == pytest.approx(150.0, rel=1e-10)


def test_a_jump_at_zero_is_no_solution():
    assert solve_target(lambda p: 1.0 if p > 0 else 3.0, 2.0, 1.0, (-1.0, 1e300)).value is None
    assert solve_target(lambda p: 1.0 if p > 7e-200 else 3.0, 2.0, 1.0, (0.0, 1.0)).value is None


def test_bounds_whose_product_is_too_small_for_a_number():
    found = solve_target(lambda p: -math.log10(p), 220.0, 1e-200, (1e-250, 1e-180))
    assert found.value == pytest.approx(1e-220, rel=1e-9)
    out_of_reach = solve_target(lambda p: -math.log10(p), 260.0, 1e-200, (1e-250, 1e-180))
    assert out_of_reach.value is None
    assert len(out_of_reach.grid) > 400


def counted(sigma):
    """The function, and the list of values at which it was called."""
    values = []

    def called(value):
        values.append(value)
        return sigma(value)

    return called, values


@pytest.mark.parametrize(
    ("factor", "most", "farthest"),
    [(1.1, 8, 1.5), (0.5, 10, 3.0), (3.0, 12, 13.0), (50.0, 17, 200.0), (1e-3, 14, 1000.0)],
)
def test_few_values_are_tried_and_none_far_beyond_the_solution(factor, most, farthest):
    """A power law that flattens."""
    sigma, values = counted(lambda p: 0.1 + 0.6 / p)
    found = solve_target(sigma, 0.1 + 0.6 / (100 * factor), 100.0, (0.1, 1e5))
    assert found.value == pytest.approx(100 * factor, rel=1e-10)
    assert len(values) == len(set(values)) <= most
    assert values[0] == 100.0
    assert max(abs(math.log(value / 100)) for value in values) < math.log(farthest * (1 + 1e-9))
    assert found.grid.tolist() == sorted(values)


def test_no_value_is_tried_twice_where_none_reaches_it():
    sigma, values = counted(lambda p: 1 + math.log10(p) ** 2)
    assert not solve_target(sigma, 0.5, 3.0, (0.1, 1e5)).reached
    assert len(values) == len(set(values))


def test_a_solution_beyond_which_the_other_side_has_a_nearer_one():
    """The mean σ is the wanted one at different ratios above and below the start, within one step or not."""

    def sigma(p, above, below):
        return 3 - abs(math.log(p)) / math.log(above if p > 1 else below)

    for above, below, expected in ((20, 12, 1 / 12), (12, 20, 12), (20, 30, 20), (30, 20, 1 / 20)):
        found = solve_target(partial(sigma, above=above, below=below), 2.0, 1.0, (1e-3, 1e3))
        assert found.value == pytest.approx(expected, rel=1e-9)


def test_a_dip_before_a_crossing_is_looked_at_closer():
    """σ dips to the wanted one at a ratio of 17 and 21, between points that are tried at 11 and 181, before 500."""

    def sigma(p):
        u = math.log(p)
        return 2 - 1.5 * math.exp(-(((u - math.log(19)) / 0.7) ** 2)) - 5 * max(0.0, u - math.log(400))

    below = solve_target(sigma, 1.0, 1.0, (1e-3, 1e3)).value
    assert sigma(below) == pytest.approx(1.0, rel=1e-9)
    assert 11 < below < 19


def test_other_solutions_that_were_seen_are_told():
    found = solve_target(of_roots(0.5, 1.4, logarithmic=True), 1.0, 1.0, (1e-3, 1e3))
    assert found.value == pytest.approx(1.4, rel=1e-9)
    assert found.others == ()
    found = solve_target(of_roots(0.5, 2.4, logarithmic=True), 1.0, 1.0, (1e-3, 1e3))
    assert found.value == pytest.approx(0.5, rel=1e-9)
    assert found.others == (pytest.approx(2.4, rel=1e-9),)
