import math
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback import (
    MeanAccumulator,
    correlation_matrix,
    covariance_matrix,
    cross_covariance,
    infer_theta,
    mean_uncertainty,
    systematic_jacobian,
)
from pullback.uncertainty import systematics as module

DOUBLE = torch.float64
Z = torch.tensor([0.0, 0.4, 1.1, 2.0], dtype=DOUBLE)


def line(hits, eta):
    """Slope and intercept of a straight line through four layers, moved along z and x by eta."""
    z, x = Z + eta[:4], hits - eta[4:8]
    away = z - z.mean()
    slope = (x * away).sum(dim=1) / (away * away).sum()
    return torch.stack([slope.atan(), x.mean(dim=1) - slope * z.mean()], dim=1)


def example(muons=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(muons, 1, dtype=DOUBLE, generator=generator)
    hits = slope * Z + 0.05 * torch.randn(muons, 4, dtype=DOUBLE, generator=generator)
    return hits, 0.01 * torch.randn(8, dtype=DOUBLE, generator=generator)


class LeftOut:
    """A line through two or more hits of four, NaN where there are fewer, with parameters of its own."""

    missing = True

    def __init__(self, tilt):
        self.tilt = tilt

    def __call__(self, hits, eta):
        there = hits.isfinite()
        x = torch.where(there, hits, 0.0) - there * eta[4:8]
        z = there * (Z + eta[:4]) + torch.where(there, 0.0, self.tilt)
        count = there.sum(dim=1, keepdim=True)
        away = torch.where(there, z - (there * z).sum(dim=1, keepdim=True) / count, 0.0)
        slope = (x * away).sum(dim=1) / (away * away).sum(dim=1)
        return torch.stack([slope.atan() * self.tilt, torch.where(count[:, 0] > 1, x.sum(dim=1), float("nan"))], dim=1)


def differences(infer, hits, eta, step=1e-5):
    """Central differences, one systematic after another."""
    shifts = step * torch.eye(len(eta), dtype=DOUBLE)
    return torch.stack([(infer(hits, eta + s) - infer(hits, eta - s)) / (2 * step) for s in shifts], dim=2)


def forward_mode(infer, hits, eta):
    """The same Jacobian by forward-mode differentiation, a pass a systematic."""
    from torch.autograd import forward_ad

    columns = []
    with warnings.catch_warnings(), forward_ad.dual_level(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own, when it first loads its rules
        for direction in torch.eye(len(eta), dtype=DOUBLE):
            columns.append(forward_ad.unpack_dual(infer(hits, forward_ad.make_dual(eta, direction))).tangent)
    return torch.stack(columns, dim=2)


def test_a_line_against_central_differences_and_forward_mode():
    hits, eta = example()
    found = systematic_jacobian(line, hits, eta)
    torch.testing.assert_close(found, differences(line, hits, eta), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found, forward_mode(line, hits, eta), rtol=1e-12, atol=1e-13)


def test_one_hit_against_the_closed_form():
    hits = torch.tensor([[-0.5], [0.25], [1.0]], dtype=DOUBLE)
    found = systematic_jacobian(lambda h, eta: infer_theta(h, eta[0]), hits, torch.tensor([1.5], dtype=DOUBLE))
    torch.testing.assert_close(found[:, 0, 0], -(hits.abs() / (hits**2 + 1.5**2))[:, 0], rtol=1e-14, atol=0)


@pytest.mark.parametrize("bound", [LeftOut(0.7), partial(LeftOut.__call__, LeftOut(0.7))])
def test_parameters_bound_by_a_callable_object(bound):
    hits, eta = example()
    torch.testing.assert_close(
        systematic_jacobian(bound, hits, eta), differences(bound, hits, eta), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("at_a_time", [1, 4, 10, 1000])
def test_blocks_change_nothing(at_a_time, monkeypatch):
    hits, eta = example(10)
    whole = systematic_jacobian(line, hits, eta)
    monkeypatch.setattr(module, "MUONS_IN_GRAPH", at_a_time)
    torch.testing.assert_close(systematic_jacobian(line, hits, eta), whole, rtol=1e-14, atol=1e-15)


def test_hits_that_are_not_finite_give_nan_and_spoil_no_other():
    hits, eta = example()
    expected = systematic_jacobian(line, hits, eta)
    hits[1, 2], hits[4, 0] = float("nan"), float("inf")
    found = systematic_jacobian(line, hits, eta)
    assert found.isnan().all(dim=(1, 2)).tolist() == [False, True, False, False, True, False]
    good = [0, 2, 3, 5]
    torch.testing.assert_close(found[good], expected[good], rtol=1e-14, atol=0)


def test_a_function_that_copes_with_missing_hits_gets_them():
    hits, eta = example()
    infer = LeftOut(1.3)
    hits[1, 2] = hits[3, :3] = hits[4] = float("nan")
    found = systematic_jacobian(infer, hits, eta)
    assert found.isnan().all(dim=(1, 2)).tolist() == [False, False, False, True, True, False]
    good = [0, 1, 2, 5]
    torch.testing.assert_close(found[good], differences(infer, hits, eta)[good], rtol=1e-7, atol=1e-9)
    assert (found[1, :, [2, 6]] == 0).all()  # the missing layer's own offsets
    infer.missing = False
    assert systematic_jacobian(infer, hits, eta)[1].isnan().all()


def test_an_observable_that_is_nan_has_no_jacobian():
    def infer(hits, eta):
        return torch.stack([hits[:, 0] * eta[0], torch.where(hits[:, 0] > 0, hits[:, 0] * eta[0], float("nan"))], dim=1)

    found = systematic_jacobian(infer, torch.tensor([[-1.0], [1.0]], dtype=DOUBLE), torch.ones(1, dtype=DOUBLE))
    assert found[:, :, 0].isnan().tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("muons", [0, 1, 2])
def test_few_muons(muons):
    hits, eta = example(3)
    assert systematic_jacobian(line, hits[:muons], eta).shape == (muons, 2, 8)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return 2 * a

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 2 * g


@pytest.mark.parametrize(
    ("infer", "message"),
    [
        (lambda h, e: h - h.mean(dim=0) + e[0], "couples muons"),
        (lambda h, e: h * e.tolist()[0], "does not use the shared parameters"),
        (
            lambda h, e: h * torch.ones(1, dtype=DOUBLE, requires_grad=True),
            "does not use the shared parameters it is given, only tensors",
        ),
        (lambda h, e: h.detach() * e[0], "hits"),
        (lambda h, e: h[:, 0] * e[0], r"must return a tensor \(muon, observable\)"),
        (lambda h, e: h * Once.apply(e)[0], "cannot be differentiated twice"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(infer, message):
    with pytest.raises(ValueError, match=message):
        systematic_jacobian(infer, torch.rand(9, 1, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE))


def test_the_covariance_of_two_muons_is_that_of_toys_of_eta():
    hits, eta = example(2)
    sigma = torch.tensor(covariance_matrix({str(k): 1e-3 * (k + 1) for k in range(8)}, [("1", "5", -0.8)]))
    found = cross_covariance(*systematic_jacobian(line, hits, eta), sigma)
    rng = np.random.default_rng(2)
    thrown = torch.from_numpy(rng.multivariate_normal(eta.numpy(), sigma.numpy(), 5_000))
    toys = torch.stack([line(hits, each) for each in thrown])  # (toy, muon, observable)
    both = np.cov(toys.reshape(-1, 4).numpy(), rowvar=False)
    error = np.sqrt((both.diagonal()[:2, None] * both.diagonal()[2:] + both[:2, 2:] ** 2) / len(thrown))
    assert (abs(found.numpy() - both[:2, 2:]) < 4 * error).all()
    assert (abs(found.numpy()) > 10 * error).any()  # there is something to see


def test_the_covariances_of_all_pairs_are_one_matrix_of_low_rank():
    hits, eta = example(7)
    g = systematic_jacobian(line, hits, eta)
    u = torch.linspace(0.01, 0.02, 8, dtype=DOUBLE)
    pairs = cross_covariance(g[:, None], g[None], u)
    assert pairs.shape == (7, 7, 2, 2)
    full = g.reshape(14, 8) @ torch.diag(u**2) @ g.reshape(14, 8).mT
    torch.testing.assert_close(pairs.permute(0, 2, 1, 3).reshape(14, 14), full, rtol=1e-12, atol=1e-18)
    assert torch.linalg.matrix_rank(full) <= 8
    torch.testing.assert_close(cross_covariance(g, g, u), pairs[range(7), range(7)], rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize(
    ("sigma_eta", "message"),
    [
        (torch.ones(3), "shape"),
        (torch.ones(2, 3), "shape"),
        (torch.tensor([0.1, -0.1]), "negative"),
        (torch.diag(torch.tensor([0.1, -0.1])), "negative"),
        (torch.tensor([0.1, float("nan")]), "not finite"),
        (torch.tensor([[1.0, 0.5], [0.4, 1.0]]), "not symmetric"),
        (torch.tensor([[1.0, 1.1], [1.1, 1.0]]), "not positive semi-definite"),
        (torch.tensor([[1.0, 0.1], [0.1, 0.0]]), "not positive semi-definite"),
    ],
)
def test_what_is_no_covariance_of_systematics_is_refused(sigma_eta, message):
    g = torch.ones(1, 2, dtype=DOUBLE)
    with pytest.raises(ValueError, match=f"sigma_eta.*{message}"):
        cross_covariance(g, g, sigma_eta.double())


def test_standard_uncertainties_are_a_diagonal_covariance_and_arrays_are_tensors():
    g = torch.tensor([[1.0, 2.0]], dtype=DOUBLE)
    u = np.array([0.1, 0.2])
    for form in (u, torch.from_numpy(u), np.diag(u**2)):
        assert cross_covariance(g, g, form).item() == pytest.approx(0.01 + 0.16, rel=1e-14)


@given(st.integers(0, 2**31), st.booleans())
@settings(deadline=None, max_examples=30)
def test_the_mean_against_the_full_covariance_of_all_muons(seed, weighted):
    rng = np.random.default_rng(seed)
    muons, systematics = rng.integers(1, 30), rng.integers(1, 5)
    sigma, g, weights = rng.random(muons), rng.normal(size=(muons, systematics)), rng.random(muons) + 0.1
    root = rng.normal(size=(systematics, systematics))
    w = weights / weights.sum() if weighted else np.full(muons, 1 / muons)
    full = np.diag(sigma**2) + g @ root @ root.T @ g.T
    tensors = [torch.from_numpy(each) for each in (sigma, g, root @ root.T)]
    found = mean_uncertainty(*tensors, torch.from_numpy(weights) if weighted else None)
    assert found.total.item() == pytest.approx(math.sqrt(w @ full @ w), rel=1e-10)
    assert found.independent.item() == pytest.approx(math.sqrt((w**2) @ sigma**2), rel=1e-10)
    assert found.total.item() == pytest.approx(math.hypot(found.independent, found.shared), rel=1e-10)
    assert found.muons == muons


def test_only_the_independent_part_shrinks_with_the_number_of_muons():
    hits, eta = example(1)
    g = systematic_jacobian(line, hits, eta)[0, 0]
    u = torch.full((8,), 0.01, dtype=DOUBLE)
    few, many = (mean_uncertainty(torch.full((n,), 0.3, dtype=DOUBLE), g.expand(n, 8), u) for n in (100, 10_000))
    assert many.independent.item() == pytest.approx(few.independent.item() / 10, rel=1e-12)
    assert many.shared.item() == pytest.approx(few.shared.item(), rel=1e-12) == pytest.approx(0.01 * g.norm().item())


@pytest.mark.parametrize("weighted", [False, True])
def test_running_sums_are_the_whole(weighted):
    generator = torch.Generator().manual_seed(5)
    sigma, weights = (torch.rand(*shape, dtype=DOUBLE, generator=generator) for shape in ((100, 2), (100,)))
    g = torch.randn(100, 2, 3, dtype=DOUBLE, generator=generator)
    sigma[3, 1] = g[40, 0, 2] = float("nan")
    u, weights = torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE), weights if weighted else None
    whole, blocks = mean_uncertainty(sigma, g, u, weights), MeanAccumulator()
    for start in range(0, 100, 7):
        rows = slice(start, start + 7)
        blocks.add(sigma[rows], g[rows], weights[rows] if weighted else None)
    for a, b in zip(whole, blocks.result(u), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)
    assert whole.muons.tolist() == [99, 99]
    good = torch.arange(100) != 3
    alone = mean_uncertainty(sigma[good, 1], g[good, 1], u, weights[good] if weighted else None)
    assert alone.total.item() == pytest.approx(whole.total[1].item(), rel=1e-13)


def test_no_muon_has_no_mean():
    u = torch.ones(1, dtype=DOUBLE)
    nothing = mean_uncertainty(torch.full((2,), float("nan"), dtype=DOUBLE), torch.ones(2, 1, dtype=DOUBLE), u)
    assert nothing.total.isnan()
    assert nothing.muons == 0
    with pytest.raises(ValueError, match="no muons"):
        MeanAccumulator().result(u)


@pytest.mark.parametrize(
    ("sigma", "weights", "message"),
    [(-1.0, 1.0, "negative"), (1.0, 0.0, "positive sum"), (1.0, -1.0, "positive sum"), (1.0, math.inf, "finite")],
)
def test_impossible_means_are_refused(sigma, weights, message):
    ones = torch.ones(2, dtype=DOUBLE)
    with pytest.raises(ValueError, match=message):
        mean_uncertainty(sigma * ones, ones[:, None], ones[:1], weights * ones)


def test_correlations_by_name():
    assert correlation_matrix(["a", "b", "c"], [("c", "a", 0.5)]).tolist() == [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]]
    assert correlation_matrix([]).shape == (0, 0)
    same = covariance_matrix({"a": 2.0, "b": 3.0}, [("b", "a", 1.0)])  # semi-definite
    assert same.tolist() == [[4, 6], [6, 9]]


@pytest.mark.parametrize(
    ("correlations", "message"),
    [
        ([("a", "d", 0.1)], "'d': there is no such systematic, only a, b, c"),
        ([("a", "a", 1.0)], "'a' with itself"),
        ([("a", "b", 1.01)], "from -1 to 1, not 1.01"),
        ([("a", "b", float("nan"))], "from -1 to 1, not nan"),
        ([("a", "b", 0.1), ("b", "a", 0.1)], "'b' and 'a' is given twice"),
        ([("a", "b", 0.9), ("b", "c", 0.9), ("a", "c", -0.9)], "not positive semi-definite"),
    ],
)
def test_impossible_correlations_are_refused(correlations, message):
    with pytest.raises(ValueError, match=message) as error:
        correlation_matrix(["a", "b", "c"], correlations)
    assert "\n" not in str(error.value)


def test_impossible_names_and_uncertainties_are_refused():
    with pytest.raises(ValueError, match="duplicate systematic 'a'"):
        correlation_matrix(["a", "b", "a"])
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="'b' must be finite and not negative"):
            covariance_matrix({"a": 1.0, "b": bad})


def test_correlations_are_checked_without_torch():
    code = (
        "import sys; from pullback import correlation_matrix, covariance_matrix; "
        "covariance_matrix({'a': 1.0, 'b': 1.0}, [('a', 'b', 0.5)]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
