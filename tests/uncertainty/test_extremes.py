"""Extremes over balls, compared with closed forms, brute force and scipy's optimisers."""

import numpy as np
import pytest
import torch
from scipy.optimize import NonlinearConstraint, brentq, minimize

from pullback.uncertainty.covariance import cholesky
from pullback.uncertainty.extremes import Ball, minimum
from pullback.uncertainty.quadrature import Integrand

DOUBLE = torch.float64
TURNED = np.linalg.qr(np.random.default_rng(7).normal(size=(12, 12)))[0]
"""Axes of 12 coordinates."""


def extremes_of(infer, hits, radius):
    """The least and greatest value (muon, end) over a ball around each hit."""
    hits = torch.as_tensor(hits, dtype=DOUBLE)
    value, sign = infer(hits), torch.tensor([1.0, -1.0], dtype=DOUBLE)
    muons = Integrand(infer, hits, cholesky(torch.ones(1, hits.shape[1], dtype=DOUBLE)), value)
    of = torch.zeros(len(hits), dtype=torch.long)
    found = minimum(Ball(muons, of, torch.full((len(hits), 2), float(radius), dtype=DOUBLE), sign))
    return (value + found.value * sign).numpy()


def size(h):
    return h.norm(dim=1, keepdim=True)


RADIAL = {
    "cone": (size, lambda r: r),
    "bowl": (lambda h: h.square().sum(dim=1, keepdim=True), np.square),
    "1 − cos": (lambda h: 1 - (0.1 * size(h)).cos(), lambda r: 1 - np.cos(0.1 * r)),
    "2 + cosh": (lambda h: 2 + size(h).cosh(), lambda r: 2 + np.cosh(r)),
    "log(1 + r²)": (lambda h: (1 + h.square().sum(dim=1, keepdim=True)).log(), lambda r: np.log(1 + r * r)),
    "quartic": (lambda h: h.square().sum(dim=1, keepdim=True).square(), lambda r: r**4),
}
"""Increasing functions of the distance from the origin, as functions of hits and of the distance."""


@pytest.mark.parametrize("coordinates", [1, 2, 3, 12])
@pytest.mark.parametrize("name", RADIAL)
def test_the_extremes_of_functions_of_the_distance(name, coordinates):
    """Closed forms: the function at t ± c, and at 0 where the tip is within the ball; to 1e-6 of the width at a tip."""
    infer, of = RADIAL[name]
    hits = np.random.default_rng(coordinates).normal(size=(60, coordinates)) * 2.5 / coordinates**0.5
    t = np.linalg.norm(hits, axis=1)
    found, least, greatest = extremes_of(infer, hits, 2), of(np.maximum(t - 2, 0)), of(t + 2)
    width = greatest - least
    np.testing.assert_allclose(found[:, 1], greatest, rtol=1e-12)
    assert (np.abs(found[:, 0] - least) < np.where(t < 2, 5e-8, 1e-10) * width).all()
    assert coordinates > 3 or 5 < (t < 2).sum() < 55


def ellipsoid(hits, weights, radius):
    """Extremes of Σ w x² over a ball around each hit, by the root of Lagrange's condition."""
    ends = []
    for x in hits:
        low = lambda m: np.linalg.norm(weights * x / (weights + m)) - radius  # noqa: B023, E731
        high = lambda m: np.linalg.norm(weights * x / (m - weights)) - radius  # noqa: B023, E731
        m = brentq(low, 0, 1e6, xtol=1e-12) if np.linalg.norm(x) > radius else 0.0
        n = brentq(high, weights.max() * (1 + 1e-12), 1e6, xtol=1e-12)
        ends.append([(weights * (x * m / (weights + m)) ** 2).sum(), (weights * (x * n / (n - weights)) ** 2).sum()])
    return np.array(ends)


@pytest.mark.parametrize("weights", [(1, 25), (1, 9, 100), tuple(range(1, 13))])
def test_the_extremes_of_long_bowls_and_cones(weights):
    """a x² + b y² + … turned into 12 coordinates; and its root, whose gradient turns within 1/√(b/a) of the tip."""
    weights, axes = np.array(weights, dtype=float), torch.from_numpy(TURNED[:, : len(weights)])
    inner = np.random.default_rng(3).normal(size=(60, len(weights))) * 3 / len(weights) ** 0.5
    expected = ellipsoid(inner, weights, 2)
    hits = inner @ TURNED[:, : len(weights)].T
    scale = torch.from_numpy(weights)
    bowl = lambda h: ((h @ axes).square() * scale).sum(dim=1, keepdim=True)  # noqa: E731
    off = np.abs(extremes_of(bowl, hits, 2) - expected) / np.diff(expected)
    assert np.quantile(off, 0.95) < 1e-9
    assert off.max() < 1e-3  # another extreme that is nearly as high
    expected = np.sqrt(expected)
    off = np.abs(extremes_of(lambda h: bowl(h).sqrt(), hits, 2) - expected) / np.diff(expected)
    assert np.quantile(off, 0.9) < 1e-9
    assert off.max() < 0.05


CORNERS = {
    "larger": lambda x, y: torch.maximum(x, y),
    "ridge": lambda x, y: (x - y).abs() + x,
    "valley": lambda x, y: x.abs() + y.square(),
    "bent fold": lambda x, y: (x + 0.1 * y.square()).abs() + 0.2 * y,
    "saddle": lambda x, y: x * y,
    "wave": lambda x, y: (0.8 * x).sin() * (0.6 * y).cos(),
}


@pytest.mark.parametrize("name", CORNERS)
def test_the_extremes_in_a_disc(name):
    """Compared with 300 radii and 1 500 directions: never clearly short of these, nor beyond what a grid misses.

    The tip of |x| + y², a kink across which the other direction has none, is found to 0.006, or its value shifted.
    """
    of = CORNERS[name]
    hits = np.random.default_rng(1).normal(size=(40, 2)) * [2, 0.5] + [1, 0.5]
    found = extremes_of(lambda h: of(h[:, 0], h[:, 1])[:, None], hits, 1.7)
    r, turn = np.meshgrid(np.linspace(0, 1.7, 300), np.linspace(0, 2 * np.pi, 1500))
    for hit, ends in zip(hits, found, strict=True):
        x, y = (torch.from_numpy(at + r * f(turn)) for at, f in zip(hit, (np.cos, np.sin), strict=True))
        values = of(x, y)
        least, greatest = values.min().item(), values.max().item()
        assert ends[0] < least + (0.006 if name == "valley" else 1e-3)
        assert ends[1] > greatest - 1e-3
        assert ends[0] > least - (0.2 if name == "valley" else 0.01)
        assert ends[1] < greatest + 0.01


def test_the_extremes_are_those_of_scipy():
    """A bent observable of three coordinates, by sequential quadratic programming from six starts."""
    hits = np.random.default_rng(3).normal(size=(8, 3)) * 0.5 + [1.0, 0.5, 0.0]
    of = lambda h: h[..., 0] + 0.4 * h[..., 1] ** 2 + 0.3 * h[..., 0] * h[..., 1] - 0.1 * h[..., 2] ** 3  # noqa: E731
    found = extremes_of(lambda h: of(h)[:, None], hits, 1.5)
    ball = NonlinearConstraint(lambda u: u @ u, 0, 1.5**2)
    for hit, ends in zip(hits, found, strict=True):
        for end, sign in enumerate((1, -1)):
            starts = 1.4 * np.concatenate([np.eye(3), -np.eye(3)])
            tries = [minimize(lambda u: sign * of(hit + u), s, constraints=ball, tol=1e-12) for s in starts]  # noqa: B023
            best = min(each.fun for each in tries if each.success and each.x @ each.x < 1.5**2 + 1e-9)
            assert sign * ends[end] <= best + 1e-6
            assert sign * ends[end] >= best - 1e-6


def test_a_place_without_a_value_is_noticed():
    found = extremes_of(lambda h: h[:, :1].log(), [[0.5, 0.0], [9.0, 0.0]], 1)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], np.log([8, 10]), rtol=1e-12)


def test_a_muon_has_the_same_extremes_in_any_company():
    hits = np.random.default_rng(5).normal(size=(50, 3))
    of = lambda h: (h[:, :2].norm(dim=1) + 0.1 * h[:, 2].square())[:, None]  # noqa: E731
    whole = extremes_of(of, hits, 1.5)
    for index in (0, 17, 49):
        assert (extremes_of(of, hits[index : index + 1], 1.5) == whole[index]).all()
