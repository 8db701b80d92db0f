import numpy as np
import pytest
import torch
from scipy import stats

from pullback.statistics.fold_intervals import one_direction, two_directions

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
