import math

import numpy as np
import pytest
import torch
from scipy import stats

from pullback import confidence_interval, quote
from pullback.uncertainty.covariance import cholesky
from pullback.uncertainty.profile import profile_ends
from pullback.uncertainty.quadrature import Integrand

DOUBLE = torch.float64
LEVELS = (0.6827, 0.95)
Z = [stats.norm.ppf((1 + level) / 2) for level in LEVELS]
CHI2 = [stats.chi(2).ppf(level) for level in LEVELS]
"""Thresholds of one direction, and of two."""


def fold(h):
    return h[:, :1].abs()


def cone(h):
    return h[:, :2].norm(dim=1, keepdim=True)


def narrow(h):
    return (h[:, :2] * torch.tensor([1.0, 5.0], dtype=DOUBLE)).norm(dim=1, keepdim=True)


def larger(h):
    return h[:, :2].amax(dim=1, keepdim=True)


def ridge(h):
    return ((h[:, 0] - h[:, 1]).abs() + h[:, 0])[:, None]


def size_of_slopes(h):
    """√(a² + b²) of the slopes of a track in six layers that measure x and y."""
    z = torch.linspace(-1, 1, 6, dtype=DOUBLE)
    return torch.stack([h[:, :6] @ z, h[:, 6:] @ z], dim=1).norm(dim=1, keepdim=True) / z.square().sum().sqrt()


FUNCTIONS = {each.__name__: each for each in (fold, cone, narrow, larger, ridge, size_of_slopes)}


def ends_of(infer, hits, cov=None):
    """The ends (muon, level, end) of the first observable."""
    hits = torch.as_tensor(hits, dtype=DOUBLE)
    root = cholesky(torch.ones(1, hits.shape[1], dtype=DOUBLE) if cov is None else cov)
    value = infer(hits)
    found = []
    for few in torch.arange(len(hits)).split(1024):
        muons = Integrand(infer, hits, root, value).take(few)
        found.append(value[few, :, None] + profile_ends(muons, torch.zeros_like(few)))
    return torch.cat(found).numpy()


def test_the_ends_at_a_fold_in_one_direction():
    t = np.linspace(0, 6, 200)
    found = ends_of(fold, t[:, None])
    for level, c in enumerate(Z):
        np.testing.assert_allclose(found[:, level, 0], np.maximum(t - c, 0), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[:, level, 1], t + c, rtol=0, atol=1e-12)


def test_the_ends_at_a_fold_in_two_directions():
    """As wide as χ with two degrees of freedom where the fold is within 1.25 times of that, as z from 1.4 times on."""
    t, turn = np.linspace(0.01, 6, 200), np.linspace(0, 40, 200)
    found = ends_of(cone, t[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    for level in range(2):
        c = np.where(t < 1.25 * CHI2[level], CHI2[level], Z[level])
        clear = (t < 1.25 * CHI2[level]) | (t > 1.4 * CHI2[level])
        np.testing.assert_allclose(found[clear, level, 0], np.maximum(t - c, 0)[clear], rtol=0, atol=1e-9)
        np.testing.assert_allclose(found[clear, level, 1], (t + c)[clear], rtol=0, atol=1e-9)


def brute_force(infer, hit, c):
    """The least and the greatest value in a disc, from 200 radii and 1 000 directions."""
    r, turn = np.meshgrid(np.linspace(0, c, 200), np.linspace(0, 2 * np.pi, 1000))
    values = infer(
        torch.from_numpy(np.stack([hit[0] + r * np.cos(turn), hit[1] + r * np.sin(turn)], axis=2).reshape(-1, 2))
    )
    return values.min().item(), values.max().item()


@pytest.mark.parametrize("name", ["narrow", "larger", "ridge"])
def test_the_ends_where_gradients_jump(name):
    generator = np.random.default_rng(1)
    hits = generator.normal(size=(40, 2)) * [2, 0.5] + [1, 0.5]
    half = {"narrow": 5, "larger": 1, "ridge": 5**0.5}[name]
    found = ends_of(FUNCTIONS[name], hits)
    for hit, ends in zip(hits, found, strict=True):
        for level in range(2):
            close = [brute_force(FUNCTIONS[name], hit, c[level]) for c in (Z, CHI2)]
            off = [np.abs(np.subtract(ends[level], each)).max() for each in close]
            assert min(off) < 0.012 * half  # the spacing of the grid


def test_smooth_observables_have_the_extremes_on_the_sphere():
    """exp(a·u) with correlated hits: the extremes are at ± c |Lᵀa|."""
    generator = np.random.default_rng(2)
    root = generator.normal(size=(3, 3))
    cov, a, hits = root @ root.T, np.array([0.3, -0.2, 0.1]), generator.normal(size=(20, 3))
    found = ends_of(lambda h: (h @ torch.from_numpy(a)).exp()[:, None], hits, torch.from_numpy(cov)[None])
    width = math.sqrt(a @ cov @ a)
    for level, c in enumerate(Z):
        expected = np.exp((hits @ a)[:, None] + c * width * np.array([-1, 1]))
        np.testing.assert_allclose(found[:, level], expected, rtol=1e-12)


def test_a_bent_observable_has_its_extremes_where_scipy_finds_them():
    from scipy.optimize import NonlinearConstraint, minimize

    generator = np.random.default_rng(3)
    hits = generator.normal(size=(6, 2)) * 0.3 + [1.0, 0.5]
    found = ends_of(lambda h: (h[:, 0] + 0.15 * h[:, 1] ** 2 + 0.1 * h[:, 0] * h[:, 1])[:, None], hits)
    plain = lambda h: h[0] + 0.15 * h[1] ** 2 + 0.1 * h[0] * h[1]  # noqa: E731
    for hit, ends in zip(hits, found, strict=True):
        ball = NonlinearConstraint(lambda u: u @ u, 0, Z[0] ** 2)
        for end, sign in enumerate((1, -1)):
            starts = [np.array([c, s]) * Z[0] for c, s in ((1, 0), (-1, 0), (0, 1), (0, -1))]
            best = min(minimize(lambda u: sign * plain(hit + u), each, constraints=ball).fun for each in starts)  # noqa: B023
            assert ends[0, end] == pytest.approx(sign * best, abs=2e-4)


def covered(name, rho, muons, seed):
    """Share of muons whose intervals hold the truth, with Gaussian noise of width 1, at true hits with |μ| = ρ."""
    generator = np.random.default_rng(seed)
    coordinates = {"fold": 1, "size_of_slopes": 12}.get(name, 2)
    true = np.zeros((muons, coordinates))
    if name == "size_of_slopes":
        turn, z = generator.uniform(0, 2 * np.pi, muons), np.linspace(-1, 1, 6)
        for view, part in enumerate((np.cos(turn), np.sin(turn))):
            true[:, 6 * view : 6 * view + 6] = rho * part[:, None] * z / np.sqrt((z**2).sum())
    else:
        true[:, 0] = rho
    infer = FUNCTIONS[name]
    truth = infer(torch.from_numpy(true[:1])).item()
    ends = ends_of(infer, true + generator.standard_normal(true.shape))
    rounding = 1e-9
    return ((ends[:, :, 0] <= truth + rounding) & (truth <= ends[:, :, 1] + rounding)).mean(axis=0)


@pytest.mark.parametrize("rho", [0, 0.5, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_holds_the_truth_at_least_as_often_as_it_says(name, rho):
    """A threshold of one direction at a fold in two would hold it for 39 and 85 % at ρ = 0."""
    share = covered(name, rho, 2000, seed=4)
    assert share[0] > 0.6827 - 0.01 - 3 * 0.0104
    assert share[1] > 0.95 - 0.005 - 3 * 0.0049


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0, 0.25, 0.75, 1.5, 2.5, 5, 10])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_holds_the_truth_at_least_as_often_as_it_says_with_many_muons(name, rho):
    """Known to fall short: a fold in two directions of very different widths that is not declared, far from it.

    There linear propagation is called valid, although the observable bends within the larger width.
    """
    share = covered(name, rho, 10_000, seed=5)
    short = name == "narrow" and rho >= 5
    assert share[0] > (0.65 if short else 0.6827 - 0.01) - 3 * 0.0047
    assert share[1] > (0.935 if short else 0.95 - 0.005) - 3 * 0.0022


def test_plain_functions_have_these_intervals_where_linear_propagation_is_not_valid():
    hits = torch.tensor([[0.5, 0.2], [30.0, 0.0]], dtype=DOUBLE)
    found, quoted = confidence_interval(cone, hits, sigma=1.0), quote(cone, hits, sigma=1.0)
    assert torch.equal(found.confidence68, quoted.confidence68)
    assert torch.equal(found.confidence95, quoted.confidence95)
    expected = ends_of(cone, hits[:1])[0]
    np.testing.assert_allclose(found.confidence68[0, 0], expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.confidence95[0, 0], expected[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.confidence95[1, 0], 30 + Z[1] * np.array([-1, 1]), rtol=1e-12)


def test_an_observable_that_is_finite_nowhere_has_no_interval():
    found = ends_of(lambda h: h[:, :1] * math.nan, np.ones((2, 2)))
    assert not np.isfinite(found).any()


def test_an_observable_that_is_not_finite_within_reach_has_no_interval():
    """log x at x = 0.5 and at 9."""
    found = ends_of(lambda h: h[:, :1].log(), np.array([[0.5, 0.0], [9.0, 0.0]]))
    assert np.isnan(found[0, :, 0]).all()
    np.testing.assert_allclose(found[1], np.log([[9 - z, 9 + z] for z in Z]), rtol=1e-12)
