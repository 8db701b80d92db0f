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
