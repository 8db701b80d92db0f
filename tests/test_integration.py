import math

import numpy as np
import pytest
import torch
from scipy import stats

from pullback import integration
from pullback.integration import Muons, integrate, normal_points
from pullback.integration import _order as order_of
from pullback.integration import _quantiles as quantiles_of
from pullback.integration import _rule as rule_of
from pullback.quantiles import ENDS

DOUBLE = torch.float64


def muons_of(infer, hits, root=None):
    hits = torch.as_tensor(hits, dtype=DOUBLE)
    root = torch.eye(hits.shape[1], dtype=DOUBLE)[None] if root is None else root
    return Muons(infer, hits, root, infer(hits))


def test_the_weights_are_those_of_a_gaussian():
    """Moments of a standard normal, up to what lies beyond the last node."""
    rule = rule_of()
    for power, expected, error in ((0, 1, 1e-14), (2, 1, 2e-5), (4, 3, 4e-4), (6, 15, 8e-3)):
        assert (rule.weights * rule.nodes**power).sum().item() == pytest.approx(expected, abs=error)
        assert abs((rule.weights * rule.nodes ** (power + 1)).sum().item()) < 1e-11
    assert (rule.weights > 0).all()


def test_probabilities_between_the_nodes_are_those_of_a_gaussian():
    rule = rule_of()
    below = stats.norm.cdf(rule.nodes)
    np.testing.assert_allclose(rule.between, np.diff(below), rtol=1e-9)
    assert rule.trapezoid.sum().item() == pytest.approx(1, abs=1e-14)
    # The first node has what is below it, and half of what is between it and the second.
    assert rule.trapezoid[0].item() == pytest.approx(below[0] + (below[1] - below[0]) / 2, rel=1e-9)
    assert rule.trapezoid[-1].item() == pytest.approx(rule.trapezoid[0].item(), rel=1e-6)


def by_brute_force(y, rule, p):
    """Quantiles of y, taken as straight in probability between the nodes, at very many probabilities."""
    at = stats.norm.cdf(rule.nodes)
    values = np.sort(np.interp((np.arange(2_000_000) + 0.5) / 2_000_000, at, y))
    return np.quantile(values, p, method="hazen")


@pytest.mark.parametrize(
    "f",
    [
        lambda z: z,
        lambda z: -3 * z,
        lambda z: z.abs(),
        lambda z: (z - 1.5).abs(),
        lambda z: z.clamp(min=0.5),
        lambda z: z.clamp(-1.96, 1),
        lambda z: (5 * z).sin(),
        lambda z: (z > 0.2) + 0.1 * z,
        lambda z: z**3 - z,
        lambda z: (2 * z).round(),
    ],
)
def test_quantiles_against_brute_force(f):
    """Folds, level pieces and ties included."""
    rule = rule_of()
    y = torch.stack([f(rule.nodes), f(-rule.nodes) + 1e3])
    found = quantiles_of(y, rule)
    for row, each in zip(found, y, strict=True):
        np.testing.assert_allclose(row, by_brute_force(each.numpy(), rule, ENDS), rtol=0, atol=2e-5 * (y[0].max() + 1))


def test_nothing_is_beyond_the_values():
    y = torch.from_numpy(np.random.default_rng(1).normal(size=(500, integration.NODES)) ** 9)
    y[:100] = y[:100].clamp(min=-5.0)
    found = quantiles_of(y, rule_of())
    assert (found >= y.amin(dim=1, keepdim=True)).all()
    assert (found <= y.amax(dim=1, keepdim=True)).all()
    assert (found[:, [2, 0, 1, 3]].diff(dim=1) >= 0).all()


def test_the_order_of_values():
    """As by argsort, but for values that differ by less than the last byte."""
    y = torch.from_numpy(np.random.default_rng(2).normal(size=(200, 128)) * 10.0 ** np.arange(-100, 100)[:, None])
    ordered, order = order_of(y)
    np.testing.assert_array_equal(order, y.argsort(dim=1))
    torch.testing.assert_close(ordered, y.sort(dim=1).values, rtol=1e-13, atol=0)
    ties = torch.zeros(1, 128, dtype=DOUBLE)
    assert order_of(ties)[1].sort(dim=1).values.tolist() == [list(range(128))]


# Sobol points


@pytest.mark.parametrize("coordinates", [2, 5, 8])
def test_points_are_normal(coordinates):
    points = normal_points(coordinates, 512, 8, 0)
    assert points.shape == (4096, coordinates)
    assert points.isfinite().all()
    assert points.mean(dim=0).abs().max() < 2e-3
    assert (points.mT.cov() - torch.eye(coordinates, dtype=DOUBLE)).abs().max() < 0.03
    for column in points.mT:
        assert stats.kstest(column.numpy(), "norm").statistic < 2e-3


def test_scramblings_differ_and_are_repeated():
    first, second = normal_points(2, 512, 8, 0), normal_points(2, 512, 8, 1)
    assert not torch.equal(first, second)
    parts = first.unflatten(0, (8, 512))
    assert len({part[0, 0].item() for part in parts}) == 8
    normal_points.cache_clear()
    assert torch.equal(normal_points(2, 512, 8, 0), first)
    assert len({normal_points(2, 4, 8, seed)[row * 4, 0].item() for seed in range(5) for row in range(8)}) == 40


def test_more_points_where_they_are_needed(monkeypatch):
    """A muon whose error is small has 4 096 evaluations, and another up to 65 536."""
    seen = {}

    def infer(h):
        for each in h[:, 1].unique().tolist():
            seen[each] = seen.get(each, 0) + int((h[:, 1] == each).sum())
        return (h[:, 1:] * h[:, :1]).exp() + h[:, :1].abs()

    muons = muons_of(infer, [[0.0, 0.0], [0.0, 3.0]], torch.tensor([[[1.0, 0], [0, 0]]], dtype=DOUBLE))
    seen.clear()
    integrate(muons, torch.ones(2, 1, 2, dtype=DOUBLE), 0)
    assert seen == {0.0: 4096, 3.0: 4096 + 16_384 + 65_536}


def test_evaluations_are_held_a_few_at_a_time():
    rows = []

    def infer(h):
        rows.append(len(h))
        return h.abs().sum(dim=1, keepdim=True)

    for hits in (torch.zeros(3000, 1), torch.zeros(100, 3)):
        muons = muons_of(infer, hits)
        integrate(muons, torch.ones(len(hits), 1, hits.shape[1], dtype=DOUBLE), 0)
    assert max(rows) <= integration.EVALUATIONS_AT_A_TIME


def test_turning_changes_no_covariance_and_puts_the_gradient_first():
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(6, 4, 4, dtype=DOUBLE, generator=generator)
    jacobian = torch.randn(6, 2, 4, dtype=DOUBLE, generator=generator)
    jacobian[0], jacobian[1, 0] = math.nan, 0.0
    muons = muons_of(lambda h: h[:, :2], torch.zeros(6, 4), root)
    turned = muons.turned(jacobian).root
    torch.testing.assert_close(turned @ turned.mT, root @ root.mT, rtol=1e-12, atol=1e-12)
    gradient = (jacobian[2:, 0, None, :] @ turned[2:])[:, 0]
    assert gradient[:, 1:].abs().max() < 1e-12
    second = (jacobian[2:, 1, None, :] @ turned[2:])[:, 0]
    assert second[:, 2:].abs().max() < 1e-12


def test_steps_are_through_the_root():
    root = torch.tensor([[[2.0, 0.0], [3.0, 0.5]]], dtype=DOUBLE)
    muons = muons_of(lambda h: h, [[1.0, 1.0], [5.0, -1.0]], root)
    deviates = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]], dtype=DOUBLE)
    assert muons.away(deviates).tolist() == [[[2.0, 3.0], [0.0, 0.5], [-2.0, -2.0]]] * 2
