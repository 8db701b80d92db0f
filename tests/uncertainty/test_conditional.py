import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from pullback import propagate_distribution
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty.conditional import conditional_integrals, grid
from pullback.uncertainty.elementwise import WHOLE_VECTORS
from pullback.uncertainty.folds import Fold, Folding
from pullback.uncertainty.linear import linear_law

DOUBLE = torch.float64


def meeting(h):
    """Where two lines meet whose slopes differ by s and whose positions differ by v: −v·s/|s|²."""
    s, v = h[:, :2], h[:, 2:4]
    return -(v * s).sum(dim=1, keepdim=True) / s.square().sum(dim=1, keepdim=True)


def said(infer, columns=(0, 1)):
    """Declare that it bends with some hits, counting its evaluations."""

    def counted(h):
        counted.rows += len(h)
        return infer(h)

    counted.rows = 0
    signed = lambda h: h[:, list(columns)]  # noqa: E731
    counted.folding = Folding(signed, (None,), bends=(Fold(tuple(range(len(columns)))),))
    return counted


def exact(hit, cov, steps=301):
    """Mean, sd and quantiles by a dense sum over s, for each of which v is Gaussian."""
    z = np.linspace(-7, 7, steps)
    root = np.linalg.cholesky(cov[:2, :2])
    z = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
    weights = stats.norm.pdf(z).prod(axis=1)
    weights /= weights.sum()
    s = hit[:2] + z @ root.T
    regression = cov[2:, :2] @ np.linalg.inv(cov[:2, :2])
    v = hit[2:] + (s - hit[:2]) @ regression.T
    left = cov[2:, 2:] - regression @ cov[:2, 2:]
    square = (s**2).sum(axis=1)
    mean, width = -(v * s).sum(axis=1) / square, np.sqrt(((s @ left) * s).sum(axis=1)) / square
    centre = weights @ mean
    sd = math.sqrt(weights @ (width**2 + (mean - centre) ** 2))
    below = lambda q: weights @ stats.norm.cdf((q - mean) / width)  # noqa: E731
    return centre, sd, [optimize.brentq(lambda q, p=p: below(q) - p, centre - 9 * sd, centre + 9 * sd) for p in P_ENDS]


def covariance(seed):
    root = np.eye(4) + 0.3 * np.random.default_rng(seed).normal(size=(4, 4))
    return root @ root.T


@pytest.mark.parametrize("distance", [6.3, 7.5, 11.0, 20.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_a_dense_sum(distance, seed):
    cov = covariance(seed)
    direction = np.array([0.8, -0.6])
    size = math.sqrt(direction @ np.linalg.inv(cov[:2, :2]) @ direction)
    hit = np.concatenate([direction * distance / size, [0.4, 1.0]])
    infer = said(meeting)
    hits = torch.from_numpy(hit).expand(WHOLE_VECTORS, -1)
    found = propagate_distribution(infer, hits, covariance=torch.from_numpy(cov)[None])
    assert infer.rows < 4000 * WHOLE_VECTORS
    mean, sd, ends = exact(hit, cov)
    half = (ends[1] - ends[0]) / 2
    both = torch.cat([found.interval68, found.interval95], dim=2)[0, 0]
    assert ((both - torch.tensor(ends)) / half).tolist() == pytest.approx([0] * 4, abs=0.012)
    assert found.sd[0, 0].item() == pytest.approx(sd, rel=2e-3)
    assert found.mean[0, 0].item() == pytest.approx(mean, abs=2e-3 * sd)


def right(infer, hits):
    hits = torch.as_tensor(hits, dtype=DOUBLE)
    sigma_x = torch.ones(1, hits.shape[1], dtype=DOUBLE)
    law = linear_law(infer, hits, sigma_x)
    wanted = torch.ones_like(law.value, dtype=torch.bool)
    return conditional_integrals(infer, infer.folding, hits, sigma_x, law, wanted)[1][:, 0].tolist()


def test_where_it_is_right():
    """Not near the pole, not where it bends with the other hits too, and not where it hardly varies with these."""
    near, far = [0.5, 0.2, 0.3, 0.1], [9.0, 2.0, 0.3, 0.1]
    assert right(said(meeting), [near, far]) == [False, True]
    assert right(said(lambda h: meeting(h) + 0.05 * h[:, 2:3].square()), [far]) == [False]
    assert right(said(lambda h: h[:, :1].sin() + 1e-3 * h[:, 2:3]), [far]) == [False]


def test_one_signed_quantity():
    """A ratio: P(v/s ≤ q) = P(v − q s ≤ 0) where s > 0."""
    infer = said(lambda h: h[:, 1:2] / h[:, :1], (0,))
    found = propagate_distribution(infer, torch.tensor([[8.0, 3.0]], dtype=DOUBLE), sigma=1.0)
    below = lambda q: stats.norm.cdf((8 * q - 3) / math.hypot(1, q))  # noqa: E731
    ends = [optimize.brentq(lambda q, p=p: below(q) - p, -2, 3) for p in P_ENDS]
    both = torch.cat([found.interval68, found.interval95], dim=2)[0, 0]
    assert (both / found.sd[0, 0].item()).tolist() == pytest.approx(np.array(ends) / found.sd[0, 0].item(), abs=2e-3)


@pytest.mark.parametrize("directions", [1, 2])
def test_the_grid_averages_as_a_gaussian_does(directions):
    places, weights = grid(directions, 0.8)
    for power, expected in ((0, 1), (2, 1), (4, 3)):
        assert (weights @ places[:, 0] ** power).item() == pytest.approx(expected, rel=2e-3)
