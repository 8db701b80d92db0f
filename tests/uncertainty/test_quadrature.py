import math

import numpy as np
import pytest
import torch
from scipy import stats

from pullback.config.model_schema import MODELS
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model
from pullback.statistics.quantiles import P_ENDS
from pullback.statistics.sobol import normal_points
from pullback.uncertainty import quadrature
from pullback.uncertainty.covariance import orthogonal
from pullback.uncertainty.jacobians import muon_jacobian
from pullback.uncertainty.quadrature import Integrand, integrate, moving
from pullback.uncertainty.quadrature import _order as order_of
from pullback.uncertainty.quadrature import _quantiles as quantiles_of
from pullback.uncertainty.quadrature import _rule as rule_of

DOUBLE = torch.float64


def muons_of(infer, hits, root=None):
    hits = torch.as_tensor(hits, dtype=DOUBLE)
    root = torch.eye(hits.shape[1], dtype=DOUBLE)[None] if root is None else root
    return Integrand(infer, hits, root, infer(hits))


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
        np.testing.assert_allclose(
            row, by_brute_force(each.numpy(), rule, P_ENDS), rtol=0, atol=2e-5 * (y[0].max() + 1)
        )


def test_nothing_is_beyond_the_values():
    y = torch.from_numpy(np.random.default_rng(1).normal(size=(500, quadrature.NODES)) ** 9)
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


def test_more_points_where_they_are_needed(monkeypatch):
    """4 096 evaluations where errors are small, more where those of the ends are not, and where that of sd is not."""
    seen = {}

    def infer(h):
        for each in h[:, 1].unique().tolist():
            seen[each] = seen.get(each, 0) + int((h[:, 1] == each).sum())
        z, kind = h.unbind(1)
        return torch.where(kind == 0, z + 0.2 * z.abs(), torch.where(kind == 1, z.abs(), (3 * z).exp()))[:, None]

    muons = muons_of(infer, [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]], torch.tensor([[[1.0, 0], [0, 0]]], dtype=DOUBLE))
    seen.clear()
    found = integrate(muons, torch.ones(3, 1, 2, dtype=DOUBLE), 0)
    probes = 350
    assert 0 <= seen[0.0] - 4096 < probes
    assert 0 <= seen[1.0] - (4096 + 16_384) < probes
    assert 0 <= seen[2.0] - (4096 + 16_384 + 65_536) < probes
    monkeypatch.setattr(quadrature, "LARGEST_END_ERROR", math.inf)
    seen.clear()
    by_sd = integrate(muons, torch.ones(3, 1, 2, dtype=DOUBLE), 0)
    assert 0 <= seen[1.0] - 4096 < probes
    exact = stats.halfnorm.ppf(P_ENDS)
    assert abs(found.ends[1, 0].numpy() - exact).max() < 0.3 * abs(by_sd.ends[1, 0].numpy() - exact).max()


def test_evaluations_are_held_a_few_at_a_time():
    rows = []

    def infer(h):
        rows.append(len(h))
        return h.abs().sum(dim=1, keepdim=True)

    for hits in (torch.zeros(3000, 1), torch.zeros(100, 3)):
        muons = muons_of(infer, hits)
        integrate(muons, torch.ones(len(hits), 1, hits.shape[1], dtype=DOUBLE), 0)
    assert max(rows) <= quadrature.EVALUATIONS_AT_A_TIME


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


def test_a_basis_is_orthonormal_and_begins_with_the_vectors():
    vectors = torch.randn(50, 5, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    vectors[:10, 1:] = 0
    vectors[10:20, 2:] = 0
    vectors[20] = torch.eye(5, 4)
    vectors[21] = 0
    basis = orthogonal(vectors)
    eye = torch.eye(4, dtype=DOUBLE).expand(50, 4, 4)
    torch.testing.assert_close(basis @ basis.mT, eye, rtol=0, atol=1e-14)
    across = (vectors @ basis.mT).abs()
    for index in range(4):
        assert (across[:, index, index + 1 :] < 1e-13).all()
    for rows in (slice(0, 1), slice(7, 30), slice(49, 50)):
        assert torch.equal(orthogonal(vectors[rows]), basis[rows])


# Deviates that change nothing


def model_of(name, **section):
    """A model's inference with σ = 1 mm, its hits on the axis of a line, and their covariance."""
    model = load_model(MODELS[name](**section))
    return Inference(model, parameters_of(model, {"resolution": 1000.0})), len(model.layers)


SCATTER = {"z_upper": [0.6, 0.8, 1.0], "z_lower": [-0.6, -0.8, -1.0]}


@pytest.mark.parametrize(
    ("name", "section", "moves"),
    [("track", {"z": [0.0, 0.4, 1.0, 1.5]}, 2), ("track3d", {"z": [0.0, 0.5, 1.0]}, 2), ("scatter", SCATTER, 8)],
)
def test_only_the_parameters_of_lines_move_observables(name, section, moves):
    """Two slopes in `track3d`, slope and position in `track`, and all eight numbers of four lines in `scatter`."""
    infer, coordinates = model_of(name, **section)
    hits = 0.3 * torch.randn(30, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    hits[0] = 0.1  # at a fold, or with no point of closest approach
    muons = muons_of(infer, hits, 1e-3 * torch.eye(coordinates, dtype=DOUBLE)[None])
    jacobian = muon_jacobian(infer, hits)
    turned = muons.turned(jacobian)
    assert moving(turned)[1:].tolist() == [moves] * 29
    z = normal_points(coordinates, 64, 1, 0)
    cut = torch.where(torch.arange(coordinates) < moves, z, 0.0)
    every, some = (turned.take(slice(1, 30)).away(each[None]) for each in (z, cut))
    assert ((every - some).abs() / every.abs().amax(dim=1, keepdim=True)).max() < 1e-9


def test_steps_are_through_the_root():
    root = torch.tensor([[[2.0, 0.0], [3.0, 0.5]]], dtype=DOUBLE)
    muons = muons_of(lambda h: h, [[1.0, 1.0], [5.0, -1.0]], root)
    deviates = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]], dtype=DOUBLE)
    assert muons.away(deviates).tolist() == [[[2.0, 3.0], [0.0, 0.5], [-2.0, -2.0]]] * 2


@pytest.mark.parametrize(
    ("infer", "moves"),
    [
        (lambda h: h[:, :1] + h[:, 1:2], 1),
        (lambda h: h[:, :1].abs() + h[:, 1:2], 2),
        (lambda h: (h[:, :1] + h[:, 1:2]) * h[:, 2:3], 2),
        (lambda h: h[:, :1] + (h[:, 3:] - 3.5).clamp(min=0), 4),
        (lambda h: h.square().sum(dim=1, keepdim=True), 4),
        (lambda h: 0 * h[:, :1], 1),
        (lambda h: torch.cat([h[:, :1], h[:, :1] / 0 - h[:, :1] / 0], dim=1), 1),
        (lambda h: torch.where(h[:, 3:] > 3.5, float("nan"), h[:, :1]), 4),
    ],
)
def test_how_many_deviates_change_something(infer, moves):
    hits = torch.full((2, 4), 0.3, dtype=DOUBLE)
    jacobian = muon_jacobian(infer, hits).nan_to_num(0.0)
    assert moving(muons_of(infer, hits).turned(jacobian)).tolist() == [moves, moves]


def test_what_changes_nothing_changes_no_result(monkeypatch):
    infer, coordinates = model_of("track3d", z=[0.0, 0.5, 1.0])
    hits = 2e-3 * torch.randn(5, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    muons = muons_of(infer, hits, 1e-3 * torch.eye(coordinates, dtype=DOUBLE)[None])
    jacobian = muon_jacobian(infer, hits)
    monkeypatch.setattr(quadrature, "MANY", coordinates)  # the same precision for all
    found = integrate(muons, jacobian, 0)
    monkeypatch.setattr(quadrature, "moving", lambda muons: torch.full((len(muons.hits),), coordinates))
    for each, expected in zip(found, integrate(muons, jacobian, 0), strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-8, atol=1e-12)


# What has no standard deviation

ENDLESS = {
    "a denominator": lambda h: 1 / h[:, :1],
    "a ratio": lambda h: (h[:, 1:2] + 0.5) / h[:, :1],
    "two denominators": lambda h: h[:, :1] / h[:, :2].square().sum(dim=1, keepdim=True),
    "either side": lambda h: 1 / (h[:, :1].square() - h[:, 1:2]),
    "a tangent": lambda h: (h[:, :1] / 3.5 + math.pi / 2).tan(),
}


def integrated(infer, hits, root=None):
    muons = muons_of(infer, hits, root)
    jacobian = muon_jacobian(infer, muons.hits)
    return integrate(muons, jacobian, 0)


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("coordinates", [2, 6])
def test_where_it_goes_to_infinity_it_has_no_standard_deviation(name, coordinates):
    turn = torch.linalg.qr(torch.randn(coordinates, coordinates, generator=torch.Generator().manual_seed(3)).double()).Q
    infer = lambda h: ENDLESS[name](h @ turn)  # noqa: E731
    places = torch.linspace(0.05, 4.5, 90, dtype=DOUBLE)
    hits = torch.zeros(90, coordinates, dtype=DOUBLE)
    hits[:, 0] = places
    found = integrated(infer, hits @ turn.mT)
    assert found.sd.isnan().all()
    assert found.mean.isnan().all()
    assert found.sd_error.isinf().all()
    assert found.ends.isfinite().all()


@pytest.mark.parametrize("name", ["a denominator", "a ratio", "two denominators"])
def test_further_off_it_has_one(name):
    hits = torch.zeros(20, 3, dtype=DOUBLE)
    hits[:, 0] = torch.linspace(6.5, 20, 20)
    found = integrated(ENDLESS[name], hits)
    toys = torch.randn(100_000, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    for sd, hit in zip(found.sd, hits, strict=True):
        torch.testing.assert_close(sd, ENDLESS[name](hit + toys).std(dim=0), rtol=0.02, atol=0)


TAME = {
    "square": lambda h: h[:, :1].square(),
    "product": lambda h: h.prod(dim=1, keepdim=True),
    "cube": lambda h: h[:, :1] ** 3 + h[:, 1:2],
    "exponential": lambda h: (0.7 * h[:, :1]).exp(),
    "cone": lambda h: h.norm(dim=1, keepdim=True),
    "steep ramp": lambda h: (1e4 * (h[:, :1] - 2)).clamp(min=0) + h[:, 1:2],
    "jump": lambda h: h[:, 1:2] + (100 * (h[:, :1] - 1)).sigmoid(),
    "narrow peak": lambda h: 1 / (1 + h[:, :1].square()) + 0.1 * h[:, 1:2],
    "bounded": lambda h: (h[:, 1:2] / h[:, :1]).atan(),
    "logarithm": lambda h: h.norm(dim=1, keepdim=True).log(),
}


@pytest.mark.parametrize("name", TAME)
def test_what_is_finite_has_a_standard_deviation(name):
    hits = torch.zeros(60, 2, dtype=DOUBLE)
    hits[:, 0], hits[:, 1] = torch.linspace(0.05, 8, 60), 0.3
    found = integrated(TAME[name], hits)
    assert found.sd.isfinite().all()
    assert found.sd_error.max() < torch.inf


@pytest.mark.parametrize(("name", "section"), [("track3d", {"z": [0.0, 0.5, 1.0]}), ("scatter", SCATTER)])
def test_angles_have_a_standard_deviation_at_any_angle(name, section):
    """Zenith angles at the vertical, the azimuth where it is not known, and scattering angles of all sizes."""
    infer, coordinates = model_of(name, **section)
    generator = torch.Generator().manual_seed(1)
    size = 10 ** (4 * torch.rand(150, 1, dtype=DOUBLE, generator=generator) - 4.5)
    hits = size * torch.randn(150, coordinates, dtype=DOUBLE, generator=generator)
    hits[0] = 0.0
    angles_of = lambda h: infer(h)[:, :5]  # noqa: E731
    angles_of.periods = infer.periods and infer.periods[:5]
    angles = integrated(angles_of, hits, 1e-3 * torch.eye(coordinates, dtype=DOUBLE)[None])
    assert angles.sd.isfinite().all()
    assert angles.sd.min() > 0
