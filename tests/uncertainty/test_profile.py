import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import brentq

from pullback import confidence_interval, quote
from pullback.uncertainty.covariance import cholesky
from pullback.uncertainty.profile import profile_ends, thresholds
from pullback.uncertainty.quadrature import Integrand

DOUBLE = torch.float64
LEVELS = np.array([0.6827, 0.95])
Z = [stats.norm.ppf((1 + level) / 2) for level in LEVELS]
"""Thresholds of planes."""


def size(h):
    return h.norm(dim=1, keepdim=True)


def fold(h):
    return h[:, :1].abs()


def narrow(h):
    return size(h[:, :2] * torch.tensor([1.0, 5.0], dtype=DOUBLE))


def flat(h):
    return size(h[:, :2] * torch.tensor([5.0, 1.0], dtype=DOUBLE))


def larger(h):
    return h[:, :2].amax(dim=1, keepdim=True)


def ridge(h):
    return ((h[:, 0] - h[:, 1]).abs() + h[:, 0])[:, None]


def size_of_slopes(h):
    """√(a² + b²) of the slopes of a track in six layers that measure x and y."""
    z = torch.linspace(-1, 1, 6, dtype=DOUBLE)
    return size(torch.stack([h[:, :6] @ z, h[:, 6:] @ z], dim=1)) / z.square().sum().sqrt()


FUNCTIONS = {
    "fold": (1, fold),
    "square": (1, lambda h: h.square()),
    "1 − cos": (1, lambda h: 1 - (0.1 * h).cos()),
    "2 + cosh": (1, lambda h: 2 + h.cosh()),
    "cone": (2, size),
    "bowl": (2, lambda h: h.square().sum(dim=1, keepdim=True)),
    "narrow": (2, narrow),
    "narrow bowl": (2, lambda h: 1 + narrow(h).square()),
    "flat": (2, flat),
    "larger": (2, larger),
    "ridge": (2, ridge),
    "parabolas": (2, lambda h: (h[:, 0] + 0.5 * h[:, 1].square())[:, None]),
    "saddle": (2, lambda h: (h[:, 0] * h[:, 1])[:, None]),
    "cone of three": (3, size),
    "cone of twelve": (12, size),
    "bowl of twelve": (12, lambda h: (h.square() * torch.linspace(1, 10, 12, dtype=DOUBLE)).sum(dim=1, keepdim=True)),
    "slopes": (12, size_of_slopes),
}
"""Functions with their number of coordinates; those that fold do so at 0."""


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
        tip = -5e-7 * found[:, level, 1]  # shifted outwards
        np.testing.assert_allclose(found[:, level, 0], np.where(t < c, tip, t - c), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[:, level, 1], t + c, rtol=0, atol=1e-12)


def right_c(level, directions, radius):
    """Least c with P(|χ_k(R') − R'| ≤ c) at least the level for all R' ≥ R."""
    held = lambda c, r: np.diff(stats.ncx2.cdf([max(r - c, 0) ** 2, (r + c) ** 2], directions, r * r + 1e-300))[0]  # noqa: E731
    others = (brentq(lambda c, r=r: held(c, r) - level, 0, 9) for r in np.linspace(radius, radius + 5, 40))
    return max(stats.norm.ppf((1 + level) / 2), *others)


@pytest.mark.parametrize("directions", [1, 2, 3, 12])
def test_the_thresholds_are_those_of_spheres(directions):
    for radius in (0, 0.37, 1.2, 3.3, 10.0):
        given = torch.full((1, 4), radius, dtype=DOUBLE)
        found = thresholds(torch.full_like(given, directions), given)[0].tolist()
        expected = [right_c(level, directions, radius) for level in LEVELS]
        np.testing.assert_allclose(found[::2], expected, atol=0.003)
        assert found[::2] == found[1::2]


@pytest.mark.parametrize("directions", [2, 3, 4])
def test_the_ends_at_the_tip_of_a_cone(directions):
    """All lengths R with |t − R| at most the c of R: at least that, and hardly more."""
    t = np.linspace(0.01, 6, 40)
    turns = np.random.default_rng(1).normal(size=(40, directions))
    found = ends_of(size, t[:, None] * turns / np.linalg.norm(turns, axis=1)[:, None])
    for index, level in enumerate(LEVELS):
        some, at = np.linspace(0, 9, 37), np.linspace(0, 9, 901)
        c = np.interp(at, some, [right_c(level, directions, r) for r in some])
        low = [at[each - at <= c].min() for each in t]
        high = [at[at - each <= c].max() for each in t]
        off = np.stack([low - found[:, index, 0], found[:, index, 1] - high])
        assert off.min() > -0.015
        assert off.mean() < 0.05
        assert off.max() < 0.8


def test_c_is_that_of_a_plane_where_surfaces_are_nearly_flat():
    found = ends_of(lambda h: (h[:, 0] + 0.02 * h[:, 1].square())[:, None], np.zeros((1, 2)))[0]
    np.testing.assert_allclose(found[:, 0], [-z for z in Z], rtol=1e-9)


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


def covered(name, rho, muons):
    """Share of muons whose intervals hold the truth, with evenly spread noise of width 1, at true hits with |μ| = ρ."""
    coordinates, infer = FUNCTIONS[name]
    true = np.zeros(coordinates)
    along = np.linspace(-1, 1, 6) if name == "slopes" else np.ones(1)
    true[: len(along)] = rho * along / np.linalg.norm(along)
    noise = stats.norm.ppf(stats.qmc.Sobol(coordinates, seed=4).random(muons))
    truth = infer(torch.from_numpy(true[None])).item()
    ends = ends_of(infer, true + noise)
    return ((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])).mean(axis=0)


LESS = np.array([0.01, 0.005])
"""How much below nominal coverage may be."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_holds_the_truth_at_least_as_often_as_it_says(name):
    """With one threshold for all, √(x² + y²) would have 39 and 85 % at ρ = 0, and 12 coordinates 0 to 50 % to 5 σ."""
    muons, error = (128, [0.08, 0.04]) if FUNCTIONS[name][0] == 12 else (512, [0.03, 0.012])
    for rho in (0, 0.003, 1, 5):
        share = covered(name, rho, muons)
        assert (share > LEVELS - LESS - error).all(), (rho, share)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_holds_the_truth_at_least_as_often_as_it_says_with_many_muons(name):
    """At every distance, also so near a tip that only a search that is right to 1e-6 σ finds it."""
    muons, error = (512, [0.02, 0.01]) if FUNCTIONS[name][0] == 12 else (1024, [0.008, 0.004])
    for rho in (0, 1e-6, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10):
        share = covered(name, rho, muons)
        assert (share > LEVELS - LESS - error).all(), (rho, share)


def test_plain_functions_have_these_intervals_where_linear_propagation_is_not_valid():
    hits = torch.tensor([[0.5, 0.2], [30.0, 0.0]], dtype=DOUBLE)
    found, quoted = confidence_interval(size, hits, sigma=1.0), quote(size, hits, sigma=1.0)
    assert torch.equal(found.confidence68, quoted.confidence68)
    assert torch.equal(found.confidence95, quoted.confidence95)
    expected = ends_of(size, hits[:1])[0]
    assert (abs(expected[:, 0]) < 1e-5).all()
    expected[:, 0] = 0  # which the interval is rounded to
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


@pytest.mark.parametrize("infer", [ridge, lambda h: (h[:, 0] + h[:, 1].clamp(min=0).square() * h[:, 2])[:, None]])
def test_a_muon_has_the_same_ends_in_any_company(infer):
    """The second changes in one direction at some muons, and in three at others."""
    hits = np.random.default_rng(6).normal(size=(40, 3)) * 3
    whole = ends_of(infer, hits)
    for index in range(0, 40, 7):
        assert (ends_of(infer, hits[index : index + 1]) == whole[index]).all()


def test_hits_of_single_precision():
    hits = torch.tensor([[0.3, 0.2], [1.4, 0.9], [4.0, 1.0]])
    for infer in (size, lambda h: h.square().sum(dim=1, keepdim=True)):
        found, wide = (confidence_interval(infer, each, sigma=1.0) for each in (hits, hits.double()))
        for one, other in zip(found, wide, strict=True):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [2, 5])
def test_of_several_extremes_the_furthest_counts(k):
    """By a fine grid within c; and the wider interval holds the narrower one."""
    hits = torch.linspace(-3, 3, 301, dtype=DOUBLE)[:, None]
    found = confidence_interval(lambda h: torch.sin(k * h), hits, sigma=1.0)
    narrow, wide = found.confidence68[:, 0], found.confidence95[:, 0]
    assert (wide[:, 0] <= narrow[:, 0]).all()
    assert (wide[:, 1] >= narrow[:, 1]).all()
    away = torch.linspace(-Z[1], Z[1], 4001, dtype=DOUBLE)
    values = torch.sin(k * (hits + away))
    np.testing.assert_allclose(wide[:, 0], values.amin(dim=1), atol=1e-4)
    np.testing.assert_allclose(wide[:, 1], values.amax(dim=1), atol=1e-4)
