import math
from functools import partial

import numpy as np
import pytest
import torch

from pullback import infer_theta, mean_sigma_gradient, propagate, smear, solve_target
from pullback.uncertainty.design import through_hits

DOUBLE = torch.float64


def parameter(value):
    return torch.tensor(value, dtype=DOUBLE, requires_grad=True)


def line(hits, z):
    """Angle and intercept of a straight line through layers at z."""
    away = z - z.mean()
    slope = (hits * away).sum(dim=1) / (away * away).sum()
    return torch.stack([slope.atan(), hits.mean(dim=1) - slope * z.mean()], dim=1)


class Line:
    """The same with its layers bound, and a parameter by keyword."""

    def __init__(self, z):
        self.z = z

    def __call__(self, hits):
        return self.infer(hits, z=self.z)

    @staticmethod
    def infer(hits, *, z):
        return line(hits, z)


def line_study(muons=200, seed=4):
    """Slopes and noise of muons, layers and a resolution for each layer."""
    generator = torch.Generator().manual_seed(seed)
    slope, noise = (torch.randn(muons, n, dtype=DOUBLE, generator=generator) for n in (1, 4))
    return slope, noise, parameter([0.0, 0.4, 1.1, 2.0]), parameter([50.0, 80.0, 100.0, 200.0])


def tracks(slope, noise, z, resolution):
    return slope * z + 0.1 + noise / resolution


def differences(mean, parameters, step=1e-4):
    """Central differences of `mean(**parameters)` (observable,) by every element of every parameter."""
    fixed = {name: each.detach() for name, each in parameters.items()}

    def slope(name, index):
        h = step * max(abs(fixed[name].reshape(-1)[index].item()), 1.0)
        moved = []
        for sign in (1, -1):
            value = fixed[name].clone()
            value.view(-1)[index] += sign * h
            moved.append(mean(**{**fixed, name: value}))
        return (moved[0] - moved[1]) / (2 * h)

    return {
        name: torch.stack([slope(name, i) for i in range(each.numel())], dim=1).reshape(-1, *each.shape)
        for name, each in fixed.items()
    }


def test_one_hit_by_dz_and_resolution_is_the_finite_difference():
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1000, 1, dtype=DOUBLE, generator=generator)
    noise = torch.randn(1000, 1, dtype=DOUBLE, generator=generator)

    def mean(dz, resolution):
        return propagate(
            lambda h: infer_theta(h, dz), smear(x, resolution, noise), covariance=resolution**-2
        ).sigma.mean(dim=0)

    dz, resolution = parameter(1.5), parameter(10.0)
    hits = smear(x, resolution, noise)
    parameters = {"dz": dz, "resolution": resolution}
    sums = mean_sigma_gradient(partial(infer_theta, dz=dz), hits, covariance=resolution**-2, parameters=parameters)
    expected = differences(mean, parameters)
    for name in parameters:
        torch.testing.assert_close(sums.gradient[name], expected[name], rtol=1e-6, atol=0)
    assert sums.mean.item() == pytest.approx(mean(**parameters).item(), rel=1e-14)
    assert sums.muons.tolist() == [1000]
    held = mean_sigma_gradient(
        partial(infer_theta, dz=dz), hits.detach(), covariance=resolution**-2, parameters=parameters
    ).gradient
    assert held["resolution"].item() == pytest.approx(-sums.mean.item() / 10, rel=1e-12)
    assert abs(held["resolution"].item() / sums.gradient["resolution"].item() - 1) > 1e-3  # what moving hits do


def test_a_line_by_its_layers_and_their_resolutions_is_the_finite_difference():
    slope, noise, z, resolution = line_study()

    def mean(z, resolution):
        hits = tracks(slope, noise, z, resolution)
        return propagate(lambda h: line(h, z), hits, covariance=resolution**-2).sigma.mean(dim=0)

    parameters = {"z": z, "resolution": resolution}
    sums = mean_sigma_gradient(
        Line(z), tracks(slope, noise, z, resolution), covariance=resolution**-2, parameters=parameters
    )
    expected = differences(mean, parameters)
    for name in parameters:
        found = sums.gradient[name]
        assert found.shape == (2, 4)
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(found, expected[name], rtol=1e-6, atol=1e-8 * scale)


def test_a_full_covariance_for_each_muon_that_depends_on_a_parameter():
    slope, noise, z, _ = line_study(30)
    hits = tracks(slope, noise, z.detach(), 100.0)

    def covariance(thickness):  # what scatters in the second layer moves the hits in those behind, more so inclined
        lever = (z.detach() - z.detach()[1]).clamp(min=0)
        inclined = (1 + slope**2).sqrt()[:, :, None]
        return 1e-4 * torch.eye(4, dtype=DOUBLE) + thickness * inclined * lever[:, None] * lever

    thickness = parameter(1e-3)
    infer = partial(line, z=z.detach())
    found = mean_sigma_gradient(infer, hits, covariance=covariance(thickness), parameters={"thickness": thickness})
    h = 1e-6
    up, down = (propagate(infer, hits, covariance=covariance(1e-3 + s)).sigma.mean(dim=0) for s in (h, -h))
    torch.testing.assert_close(found.gradient["thickness"], (up - down) / (2 * h), rtol=1e-6, atol=0)


def test_blocks_add_up_to_the_whole():
    slope, noise, z, resolution = line_study(100)
    hits, parameters = tracks(slope, noise, z, resolution), {"z": z, "resolution": resolution}
    whole = mean_sigma_gradient(Line(z), hits, covariance=resolution**-2, parameters=parameters)
    one, two, three = (
        mean_sigma_gradient(Line(z), hits[rows], covariance=(resolution**-2)[None], parameters=parameters)
        for rows in (slice(0, 4), slice(4, 90), slice(90, 100))
    )
    added = one + two + three
    assert added.muons.tolist() == whole.muons.tolist() == [100, 100]
    torch.testing.assert_close(added.mean, whole.mean, rtol=1e-13, atol=0)
    for name in parameters:
        torch.testing.assert_close(added.gradient[name], whole.gradient[name], rtol=1e-11, atol=1e-16)


def test_what_nothing_depends_on_has_a_slope_of_exactly_zero():
    spare, vector, resolution = parameter(2.0), parameter([1.0, 2.0]), parameter(100.0)
    hits = torch.tensor([[0.5], [0.7]], dtype=DOUBLE)
    parameters = {"spare": spare, "vector": vector, "resolution": resolution}
    found = mean_sigma_gradient(
        infer_theta, smear(hits, resolution, 0 * hits), covariance=resolution**-2, parameters=parameters
    )
    assert found.slopes["spare"].tolist() == [0]
    assert found.slopes["vector"].tolist() == [[0, 0]]
    assert found.gradient["resolution"].item() == pytest.approx(-found.mean.item() / 100, rel=1e-12)
    nothing = mean_sigma_gradient(infer_theta, hits, covariance=1e-4, parameters={"spare": spare})
    assert nothing.slopes["spare"].tolist() == [0]
    assert nothing.mean.item() > 0


def test_muons_without_a_usable_sigma_spoil_no_gradient():
    """A hit at the kink, one missing, hits that the geometry makes NaN with NaN slopes, and observables of NaN."""
    reach, dz = parameter(2.0), parameter(1.5)
    far = torch.tensor([0.5, 3.0, 0.8, float("nan"), 1.9], dtype=DOUBLE)

    def infer(hits):
        second = (1.8 - hits).sqrt() * dz  # NaN for the last
        return torch.cat([infer_theta(hits, dz), second], dim=1)

    def hits(reach):
        placed = (reach**2 - far**2).sqrt()[:, None]  # NaN beyond reach, and so is its slope
        return torch.cat([placed, 0.0 * reach + torch.zeros(1, 1, dtype=DOUBLE)])

    everything = hits(reach)
    assert everything.isnan()[:, 0].tolist() == [False, True, False, True, False, False]
    found = mean_sigma_gradient(infer, everything, covariance=1e-4, parameters={"reach": reach, "dz": dz})
    good = torch.tensor([0, 2, 4, 5])
    usable = propagate(infer, everything[good].detach(), covariance=1e-4).sigma
    # A muon without a usable σ of one observable may have one of the other; its gradient is not usable.
    assert usable.isnan().tolist() == [[False, True], [False, True], [False, False], [False, False]]
    assert found.muons.tolist() == [1, 2]

    def sums(reach, dz):
        x = torch.stack([(reach**2 - 1.9**2).sqrt(), 0.0 * reach])[:, None]
        theta = (dz / (dz**2 + x**2) * 0.01)[:1].sum()
        return torch.stack([theta, (dz * 0.01 / (2 * (1.8 - x).sqrt())).sum()])

    expected = torch.autograd.functional.jacobian(sums, (reach, dz))
    torch.testing.assert_close(found.slopes["reach"], expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(found.slopes["dz"], expected[1], rtol=1e-12, atol=0)


def test_a_missing_hit_of_a_usable_muon_moves_nothing():
    resolution = parameter(10.0)
    noise = torch.tensor([[1.0, float("nan")], [2.0, 3.0]], dtype=DOUBLE)
    by_hits = torch.tensor([[[5.0, 0.0], [7.0, 11.0]]], dtype=DOUBLE)  # of one observable
    (found,) = through_hits(noise / resolution, torch.tensor([True, True]), by_hits, [resolution])
    assert found.tolist() == pytest.approx([-(5 * 1 + 7 * 2 + 11 * 3) / 100], rel=1e-14)


@pytest.mark.parametrize("rows", [[], [float("nan")], [0.0]])
def test_no_usable_muon_at_all(rows):
    dz = parameter(1.5)
    hits = torch.tensor(rows, dtype=DOUBLE).reshape(-1, 1)
    found = mean_sigma_gradient(partial(infer_theta, dz=dz), hits, covariance=1e-4, parameters={"dz": dz})
    assert found.muons.tolist() == found.sigma.tolist() == found.slopes["dz"].tolist() == [0]
    assert found.mean.isnan()


def test_the_callers_graph_stays_usable():
    resolution = parameter(100.0)
    hits = smear(torch.rand(5, 1, dtype=DOUBLE), resolution, torch.ones(5, 1, dtype=DOUBLE))
    variance = resolution**-2
    one, two = (
        mean_sigma_gradient(infer_theta, hits, covariance=variance, parameters={"resolution": resolution})
        for _ in range(2)
    )
    assert one.slopes["resolution"].tolist() == two.slopes["resolution"].tolist()
    assert resolution.grad is None


def test_a_parameter_without_gradient_is_refused():
    with pytest.raises(ValueError, match="'dz' requires no gradient"):
        mean_sigma_gradient(
            infer_theta, torch.ones(1, 1, dtype=DOUBLE), covariance=1.0, parameters={"dz": torch.tensor(1.5)}
        )


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
    assert len(few) == 41  # the start is on it
    assert np.diff(np.log10(many)).max() == pytest.approx(np.diff(np.log10(few)).max(), rel=1e-6)
    steps = solve_target(lambda p: 1.0, 2.0, 0.3, (0.1, 10.0), points=9).grid
    assert len(steps) == 10


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
    assert len(found.grid) > 400
