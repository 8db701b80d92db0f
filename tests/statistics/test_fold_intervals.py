import numpy as np
import pytest
import torch
from scipy import stats

from pullback.statistics.fold_intervals import azimuth_interval, one_direction, two_directions

DOUBLE = torch.float64
LEVELS = (0.6827, 0.95)
TRUE = np.r_[0, 0.02, np.arange(0.1, 5, 0.35), 7, 10]
LAWS = {1: stats.foldnorm, 2: stats.rice}
WITHIN = {0.6827: 0.01, 0.95: 0.005}


def rice(t):
    """The intervals of ρ from t = |s|/σ."""
    s = torch.stack([0.6 * t, -0.8 * t], dim=-1)
    return two_directions(s, torch.eye(2, dtype=DOUBLE)[None])


INTERVALS = {1: one_direction, 2: rice}


@pytest.fixture(scope="module", params=[1, 2])
def fold(request):
    """Number of components, and intervals of finely spaced recorded lengths."""
    edges = np.linspace(0, 18, 180_001)
    middles = torch.from_numpy((edges[1:] + edges[:-1]) / 2)
    return request.param, edges, INTERVALS[request.param](middles).numpy()


@pytest.mark.parametrize("rho", TRUE)
def test_the_acceptance_region_has_the_probability_of_the_level(fold, rho):
    components, edges, ends = fold
    mass = np.diff(LAWS[components].cdf(edges, rho))
    inside = (ends[..., 0] <= rho) & (rho <= ends[..., 1])
    for index, level in enumerate(LEVELS):
        assert mass[inside[:, index]].sum() == pytest.approx(level, abs=0.002)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("components", [1, 2])
def test_toys_are_covered(components, rho):
    sigma, rng = 0.02, np.random.default_rng(round(10 * rho))
    truth = sigma * rho
    centre = np.array({1: [-1.0], 2: [0.6, -0.8]}[components]) * truth
    toys = torch.from_numpy(centre + sigma * rng.standard_normal((400_000, components)))
    if components == 1:
        ends = sigma * one_direction(toys[:, 0] / sigma)
    else:
        ends = two_directions(toys, sigma**2 * torch.eye(2, dtype=DOUBLE)[None])
    covered = ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).double().mean(0).numpy()
    for share, level in zip(covered, LEVELS, strict=True):
        assert share == pytest.approx(level, abs=0.003)


@pytest.mark.parametrize("level", [0, 1])
def test_shorter_than_the_coverage_interval_at_the_fold_and_hardly_longer_anywhere(fold, level):
    components, edges, ends = fold
    t = ((edges[1:] + edges[:-1]) / 2)[::200]
    law = LAWS[components](t)
    probabilities = (1 - LEVELS[level]) / 2, (1 + LEVELS[level]) / 2
    coverage_length = np.interp(edges, t, law.ppf(probabilities[1]) - law.ppf(probabilities[0]))[1:]
    length = ends[:, level, 1] - ends[:, level, 0]

    def mean(lengths, rho):
        return np.diff(LAWS[components].cdf(edges, rho)) @ lengths

    assert mean(length, 0.0) < 0.97 * mean(coverage_length, 0.0)
    for rho in (1.0, 2.0, 3.0, 5.0, 10.0):
        assert mean(length, rho) < 1.1 * mean(coverage_length, rho)


@pytest.mark.parametrize("components", [1, 2])
def test_far_from_the_fold_the_ends_are_those_of_a_gaussian(components):
    t = torch.tensor([11.999999, 12.0, 12.000001, 1e3, 1e9], dtype=DOUBLE)
    off = INTERVALS[components](t) - t[:, None, None]
    assert (off[2] - off[0]).abs().max() < 1e-5
    z = stats.norm.isf([(1 - level) / 2 for level in LEVELS])
    np.testing.assert_allclose(off[-2], np.outer(z, [-1, 1]), atol=6e-4)
    np.testing.assert_allclose(off[-1], np.outer(z, [-1, 1]), atol=1e-6)


@pytest.mark.parametrize("components", [1, 2])
def test_the_lower_end_is_exactly_zero_where_the_fold_is_inside(components):
    ends = INTERVALS[components](torch.linspace(0, 1.9, 1000, dtype=DOUBLE))
    assert (ends[:, 1, 0] == 0).all()
    assert (ends[1:, :, 1] > 0).all()


def test_the_sign_of_a_distance_does_not_matter():
    t = torch.linspace(0, 20, 77, dtype=DOUBLE)
    torch.testing.assert_close(one_direction(-t), one_direction(t), rtol=0, atol=0)


def test_what_is_not_finite():
    ends = one_direction(torch.tensor([float("nan"), float("inf"), 1.0], dtype=DOUBLE))
    assert ends[0].isnan().all()
    assert ends[1].isinf().all()
    torch.testing.assert_close(ends[2], one_direction(torch.ones((), dtype=DOUBLE)))


def test_any_shape_even_none():
    assert one_direction(torch.ones(3, 0, 2, dtype=DOUBLE)).shape == (3, 0, 2, 2, 2)
    assert two_directions(torch.ones(0, 2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE)[None]).shape == (0, 2, 2)


def test_each_muon_by_its_own_width():
    s = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=DOUBLE)
    covariance = torch.tensor([0.25, 4.0], dtype=DOUBLE)[:, None, None] * torch.eye(2, dtype=DOUBLE)
    both = two_directions(s, covariance)
    for muon in range(2):
        alone = two_directions(s[muon : muon + 1], covariance[muon : muon + 1])
        torch.testing.assert_close(both[muon], alone[0], rtol=0, atol=0)


def turned(ratio, angle):
    """A covariance of widths `ratio` and 1 with principal axes turned by an angle, and the axes."""
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return axes @ np.diag([ratio**2, 1.0]) @ axes.T, axes


DEVIATES = stats.norm.ppf(stats.qmc.Sobol(2, seed=1).random_base2(13))
"""Evenly spread, so that shares are known to 0.3 %."""


def coverage_by_azimuth(ratio, length, azimuths):
    """Coverage of |μ| at azimuths from the axis of the larger width: (azimuth, level)."""
    covariance, axes = turned(ratio, 0.4)
    found = []
    for azimuth in azimuths:
        s = length * np.array([np.cos(azimuth), np.sin(azimuth)]) + DEVIATES * [ratio, 1]
        ends = two_directions(torch.from_numpy(s @ axes.T), torch.from_numpy(covariance)[None]).numpy()
        found.append(((ends[..., 0] <= length) & (length <= ends[..., 1])).mean(axis=0))
    return np.array(found)


AZIMUTHS = np.linspace(0, np.pi / 2, 9)
SHARES = np.array([0.5, 1, 1, 1, 1, 1, 1, 1, 0.5]) / 8


@pytest.mark.parametrize("ratio", [1.02, 1.3, 1.9, 2.7, 3.8, 5.0])
def test_two_directions_of_unequal_widths_are_covered_at_every_azimuth(ratio):
    for length in np.r_[0, 0.3, 0.6, 1, 1.5, 2.5, 4, 7, 10, ratio * np.array([1, 1.6, 2.5, 5, 10])]:
        covered = coverage_by_azimuth(ratio, length, AZIMUTHS)
        assert (abs(SHARES @ covered - LEVELS) < [0.007, 0.004]).all(), length
        assert (abs(covered - LEVELS) < [0.016, 0.012]).all(), length


@pytest.mark.parametrize("ratio", [5.2, 5.7, 7.0, 12.0, 50.0, 1e4])
def test_very_unequal_widths_are_covered_at_least_nominally(ratio):
    for length in np.r_[0, 0.5, 1, 2, 4, 10, ratio * np.array([0.3, 1, 2, 5])]:
        covered = coverage_by_azimuth(ratio, length, AZIMUTHS)
        assert (covered.min(axis=0) > np.array(LEVELS) - 0.008).all(), length


def test_a_component_that_is_known_exactly():
    ends = two_directions(
        torch.tensor([[0.8, 3.0]], dtype=DOUBLE), torch.diag(torch.tensor([4.0, 0.0], dtype=DOUBLE))[None]
    )
    alone = 2 * one_direction(torch.tensor([0.4], dtype=DOUBLE))
    torch.testing.assert_close(ends, torch.hypot(alone, torch.tensor(3.0, dtype=DOUBLE)))


@pytest.mark.parametrize(("below", "above"), [(1, 1 + 1e-5), (4.9999, 5.0001), (5.9999, 6.0001), (11.999, 12.001)])
def test_no_jump_between_constructions(below, above):
    s = torch.from_numpy(DEVIATES[:2000] * [2 * below, 3])
    both = [two_directions(s, torch.from_numpy(turned(ratio, 0.0)[0])[None]) for ratio in (below, above)]
    assert (both[1] - both[0]).abs().max() < 0.1


@pytest.mark.parametrize("ratio", [1.5, 3.0, 5.0])
def test_unequal_widths_are_shorter_than_the_coverage_interval_at_the_fold_and_hardly_longer_elsewhere(ratio):
    """JCGM 101: quantiles of |X|, X ~ N(s, C)."""
    for length in np.r_[0, 1, 2, ratio * np.array([1, 2, 4, 8])]:
        lengths = np.zeros((2, 2))
        for azimuth, share in zip(AZIMUTHS[::2], [0.125, 0.25, 0.25, 0.25, 0.125], strict=True):
            s = length * np.array([np.cos(azimuth), np.sin(azimuth)]) + DEVIATES[:500] * [ratio, 1]
            ends = two_directions(torch.from_numpy(s), torch.diag(torch.tensor([ratio**2, 1.0], dtype=DOUBLE))[None])
            sizes = np.hypot(*np.moveaxis(s[:, None] + DEVIATES[:2048] * [ratio, 1], -1, 0))
            quantiles = np.quantile(sizes, [(1 + sign * level) / 2 for sign in (-1, 1) for level in LEVELS], axis=1)
            widths = (quantiles[2:] - quantiles[:2]).mean(axis=1)
            lengths += share * np.stack([(ends[..., 1] - ends[..., 0]).mean(0).numpy(), widths])
        assert (lengths[0] < (0.95 if length == 0 else 1.1) * lengths[1]).all()


def test_far_from_the_fold_unequal_widths_have_the_ends_of_a_gaussian():
    s, covariance = np.array([3e4, 4e4]), turned(3.0, 0.7)[0]
    sigma = np.sqrt(s @ covariance @ s) / np.linalg.norm(s)
    ends = two_directions(torch.from_numpy(s)[None], torch.from_numpy(covariance)[None])[0].numpy()
    z = stats.norm.isf([(1 - level) / 2 for level in LEVELS])
    np.testing.assert_allclose((ends - 5e4) / sigma, np.outer(z, [-1, 1]), atol=2e-3)


def test_axes_and_units_do_not_matter():
    s = DEVIATES[:200] * [6, 3]
    expected = two_directions(torch.from_numpy(s), torch.from_numpy(turned(2.5, 0.0)[0])[None])
    for angle in (0.3, 1.5708, 2.9, -1.0):
        covariance, axes = turned(2.5, angle)
        found = two_directions(1e-3 * torch.from_numpy(s @ axes.T), 1e-6 * torch.from_numpy(covariance)[None])
        torch.testing.assert_close(1e3 * found, expected, rtol=0, atol=1e-9)


def test_equal_and_unequal_widths_together_are_as_each_alone():
    s = torch.from_numpy(DEVIATES[:64] * 3)
    covariance = torch.eye(2, dtype=DOUBLE).repeat(64, 1, 1)
    covariance[::3] = torch.from_numpy(turned(2.0, 0.5)[0])
    covariance[::5] = torch.from_numpy(turned(8.0, 0.5)[0])
    together = two_directions(s, covariance)
    for muon in range(64):
        alone = two_directions(s[muon : muon + 1], covariance[muon : muon + 1])
        torch.testing.assert_close(together[muon], alone[0], rtol=1e-14, atol=0)


def test_two_directions_of_what_is_not_known():
    s = torch.tensor([[1.0, 2.0], [float("nan"), 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], dtype=DOUBLE)
    covariance = torch.from_numpy(turned(2.0, 0.5)[0]).repeat(5, 1, 1)
    covariance[2] = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    covariance[3] = 0.0
    covariance[4] = float("nan")
    ends = two_directions(s, covariance)
    assert ends[0].isfinite().all()
    assert ends[1:].isnan().all()


COVARIANCES = {
    "equal": [[1.0, 0.0], [0.0, 1.0]],
    "correlated": [[1.0, -0.6], [-0.6, 2.0]],
    "5 : 1": [[1.0, 0.0], [0.0, 25.0]],
}


def holds(ends, direction):
    """Whether an interval on the circle holds a direction."""
    return (direction - ends[..., 0]) % (2 * np.pi) <= ends[..., 1] - ends[..., 0]


def toys_around(rho, direction, covariance, count, seed):
    """Recorded components around |μ| = ρ along a direction, in standard deviations of that direction in C⁻¹."""
    n = np.array([np.cos(direction), np.sin(direction)])
    centre = rho * n / np.sqrt(n @ np.linalg.solve(covariance, n))
    return torch.from_numpy(np.random.default_rng(seed).multivariate_normal(centre, covariance, count))


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("direction", [0.3, 1.5, -2.8])
@pytest.mark.parametrize("delta", [0.0, 0.4, 1.0, 2.0, 3.0, 6.0, 10.0])
def test_the_azimuth_is_covered_everywhere(name, direction, delta):
    covariance = np.array(COVARIANCES[name])
    toys = toys_around(delta, direction, covariance, 100_000, round(10 * delta))
    ends = azimuth_interval(toys, torch.from_numpy(covariance)[None]).numpy()
    covered = holds(ends, direction).mean(axis=0)
    excess = 0.045 if delta < 3 else 0.006
    for share, level in zip(covered, LEVELS, strict=True):
        assert level - 0.006 < share < level + excess


def test_the_interval_of_the_azimuth_is_the_angle_in_which_the_ellipse_is_seen():
    s, covariance = np.array([2.0, 3.0]), np.array([[0.5, 0.3], [0.3, 1.0]])
    turns = np.linspace(0, 2 * np.pi, 200_001)
    for index, z in enumerate(stats.norm.isf([(1 - level) / 2 for level in LEVELS])):
        ellipse = s + z * np.stack([np.cos(turns), np.sin(turns)], axis=-1) @ np.linalg.cholesky(covariance).T
        seen = np.arctan2(ellipse[:, 1], ellipse[:, 0])
        ends = azimuth_interval(torch.from_numpy(s)[None], torch.from_numpy(covariance)[None])[0, index]
        assert ends.tolist() == pytest.approx([seen.min(), seen.max()], abs=1e-8)


def test_the_interval_of_the_azimuth_lies_on_the_circle_and_holds_the_recorded_one():
    rng = np.random.default_rng(1)
    s = torch.from_numpy(3 * rng.standard_normal((10_000, 2)))
    ends = azimuth_interval(s, torch.tensor([[[1.0, 0.4], [0.4, 0.5]]], dtype=DOUBLE))
    low, width = ends[..., 0], ends[..., 1] - ends[..., 0]
    assert ((low > -np.pi) & (low <= np.pi) & (width > 0) & (width <= 2 * np.pi + 1e-12)).all()
    assert holds(ends, torch.atan2(s[:, 1], s[:, 0])[:, None]).all()
    distance = torch.linalg.solve(torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=DOUBLE), s.T).T.mul(s).sum(1).sqrt()
    for index, whole in enumerate([1.37296405, 2.31776232]):
        assert torch.equal(width[:, index] > 2 * np.pi - 1e-9, distance < whole)


def test_the_azimuth_at_the_fold_itself_and_of_what_has_none():
    s = torch.tensor([[0.0, 0.0], [float("nan"), 1.0], [5.0, 0.0], [5.0, 0.0]], dtype=DOUBLE)
    covariance = torch.eye(2, dtype=DOUBLE).repeat(4, 1, 1)
    covariance[2] = torch.ones(2, 2)
    covariance[3] *= -1
    ends = azimuth_interval(s, covariance)
    torch.testing.assert_close(ends[0, :, 1] - ends[0, :, 0], torch.full((2,), 2 * np.pi, dtype=DOUBLE))
    assert ends[1:].isnan().all()
