import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback import infer_theta, jacobian, muon_jacobian, propagate, quote

DOUBLE = torch.float64


def two_observables(hits):
    """Two observables of two coordinates, each muon by itself."""
    return torch.stack([hits[:, 0] * hits[:, 1], torch.sin(hits[:, 0]) + hits[:, 1] ** 3], dim=1)


def test_jacobian_of_any_shape_against_the_closed_form():
    x = torch.randn(2, 3, dtype=DOUBLE, requires_grad=True)
    y = (x**2).reshape(3, 2, 1)
    jac = jacobian(y, x)
    assert jac.shape == (3, 2, 1, 2, 3)
    expected = torch.diag(2 * x.detach().reshape(-1)).reshape(3, 2, 1, 2, 3)
    torch.testing.assert_close(jac, expected, rtol=1e-15, atol=0)


def test_jacobian_of_a_scalar_and_by_a_scalar():
    x = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    assert jacobian(x**3, x).shape == ()
    assert jacobian(x**3, x).item() == 12.0


def test_create_graph_gives_second_derivatives():
    x = torch.tensor([1.0, 2.0], dtype=DOUBLE, requires_grad=True)
    second = jacobian(jacobian(x**3, x, create_graph=True), x)
    assert second[0, 0, 0].item() == 6.0
    assert second[1, 1, 1].item() == 12.0
    assert not jacobian(x**3, x).requires_grad


@pytest.mark.parametrize("allow_unused", [True, False])
def test_an_unused_x_is_refused(allow_unused):
    x, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match="not used"):
        jacobian(other * 2, x, allow_unused=allow_unused)


def test_what_the_exercise_crashed_on_is_refused_in_words():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="y is empty"):
        jacobian(x[:0], x)
    with pytest.raises(ValueError, match="no graph"):
        jacobian((x * 2).detach(), x)
    with pytest.raises(ValueError, match="x requires no gradient"):
        jacobian(x * 2, torch.ones(2))


def test_muon_jacobian_is_the_diagonal_of_the_general_one():
    hits = torch.randn(7, 2, dtype=DOUBLE, requires_grad=True)
    full = jacobian(two_observables(hits), hits)
    rows = torch.arange(7)
    torch.testing.assert_close(
        muon_jacobian(two_observables, hits.detach()), full[rows, :, rows, :], rtol=1e-14, atol=0
    )


def test_muon_jacobian_of_one_hit():
    hits = torch.tensor([[-0.5], [0.25], [1.0]], dtype=DOUBLE)
    expected = hits.sign() * 1.5 / (1.5**2 + hits**2)
    torch.testing.assert_close(muon_jacobian(infer_theta, hits)[:, 0], expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("muons", [0, 1, 2])
def test_few_muons(muons):
    assert muon_jacobian(infer_theta, torch.ones(muons, 1, dtype=DOUBLE)).shape == (muons, 1, 1)


COUPLED = {
    "mean": lambda h: h - h.mean(dim=0),
    "mean, detached": lambda h: h - h.mean(dim=0).detach(),
    "standardised": lambda h: (h - h.mean(dim=0)) / h.std(dim=0),
    "neighbour": lambda h: h + 0.1 * h.roll(1, 0),
    "running sum": lambda h: h.cumsum(dim=0),
    "sorted": lambda h: h.sort(dim=0, descending=True).values,
    "a little": lambda h: h + 1e-6 * h.mean(dim=0),
    "matrix": lambda h: h @ h.T @ h,
    "number of muons": lambda h: h / len(h),
}


@pytest.mark.filterwarnings("ignore:std")  # of one muon
@pytest.mark.parametrize("infer", COUPLED.values(), ids=COUPLED.keys())
@pytest.mark.parametrize("hits", ["random", "symmetric", "equal", "nine", "two", "one"])
def test_coupled_muons_are_refused(infer, hits):
    x = {
        "random": torch.rand(50, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)),
        "symmetric": torch.linspace(-1, 1, 51, dtype=DOUBLE)[:, None],
        "equal": torch.full((50, 1), 0.5, dtype=DOUBLE),
        "nine": torch.linspace(0.1, 0.9, 9, dtype=DOUBLE)[:, None],
        "two": torch.tensor([[0.5], [0.25]], dtype=DOUBLE),
        "one": torch.tensor([[0.5]], dtype=DOUBLE),
    }[hits]
    with pytest.raises(ValueError, match=r"couples muons.*pullback\.jacobian"):
        muon_jacobian(infer, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_coupling_is_seen_in_low_precision_and_beside_a_large_observable(dtype):
    hits = torch.rand(50, 1, dtype=dtype, generator=torch.Generator().manual_seed(1))
    for infer in (COUPLED["mean, detached"], lambda h: torch.cat([1e4 * h, h - h.mean().detach()], dim=1)):
        with pytest.raises(ValueError, match="couples muons"):
            muon_jacobian(infer, hits)
    assert muon_jacobian(infer_theta, hits).shape == (50, 1, 1)


def in_place(h):
    h[:, 0] += 1
    return h.sum(dim=1, keepdim=True)


def clamped(h):
    return h.clamp_(min=-9.0)[:, :1]


def filled(h):
    h[h.isnan()] = 0.0
    return h[:, :1]


filled.missing = True  # type: ignore[attr-defined]


def later(h):
    y = h[:, :1].exp()
    y += 1
    return y


def random(h):
    return h[:, :1] + 1e-3 * torch.randn(len(h), 1, dtype=h.dtype)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("infer", "reason"),
    [
        (in_place, "changes its hits or parameters in place: work on a copy"),
        (clamped, "changes its hits or parameters in place: work on a copy"),
        (filled, "changes its hits or parameters in place: work on a copy"),
        (later, "changes an intermediate result in place that its derivatives need: write y = y"),
        (random, "gives another result at the second call: it must use no random numbers"),
    ],
)
@pytest.mark.parametrize("function", [propagate, quote])
def test_what_is_no_function_of_the_hits_is_refused_with_what_to_do(function, infer, reason, precision):
    hits = torch.rand(64, 2, dtype=precision)
    hits[3, 1] = math.nan
    before = hits.clone()
    with pytest.raises(ValueError, match=rf"^infer {reason}[^\n]*$"):
        function(infer, hits, sigma=0.01)
    torch.testing.assert_close(hits, before, rtol=0, atol=0, equal_nan=True)


def test_a_muon_that_is_nan_couples_nothing_and_stays_nan():
    hits = torch.tensor([[0.5], [float("nan")], [1.0], [float("inf")]], dtype=DOUBLE)
    jac = muon_jacobian(infer_theta, hits)
    assert jac.isnan().flatten().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("infer", "message"),
    [
        (lambda h: h.detach() * 2, "breaks the graph"),
        (lambda h: torch.as_tensor(h.detach().numpy() * 2), "breaks the graph"),
        (lambda h: h[:, 0], r"must return a tensor \(muon, observable\)"),
        (lambda h: h[:3], "must return a tensor"),
        (lambda h: 3.0, "must return a tensor"),
        (lambda h: torch.ones(len(h), 1, dtype=DOUBLE, requires_grad=True) * 2, "does not use the hits"),
    ],
)
def test_broken_inference_is_refused(infer, message):
    with pytest.raises(ValueError, match=message):
        muon_jacobian(infer, torch.rand(5, 1, dtype=DOUBLE))


@pytest.mark.filterwarnings("error")  # numpy warns of tensors that require no gradient
def test_numpy_functions_are_refused_with_the_right_advice():
    with pytest.raises(
        ValueError, match=r"^infer uses numpy, .*: use torch's functions, such as torch\.arctan"
    ) as caught:
        muon_jacobian(lambda h: np.arctan(h), torch.rand(5, 1, dtype=DOUBLE))
    assert "detach" not in str(caught.value)


def test_a_parameter_for_each_muon_is_refused_in_words():
    dz = torch.linspace(1, 2, 50, dtype=DOUBLE)[:, None]
    with pytest.raises(ValueError, match="a parameter with a value for each muon must be one of its coordinates"):
        muon_jacobian(lambda h: torch.arctan(h / dz), torch.rand(50, 1, dtype=DOUBLE))


def test_an_infinite_derivative_is_no_coupling():
    jac = muon_jacobian(torch.sqrt, torch.tensor([[0.0], [1.0], [4.0]], dtype=DOUBLE))
    assert jac.flatten().tolist() == [float("inf"), 0.5, 0.25]


def test_wrong_hits_are_refused():
    with pytest.raises(Exception, match="hits"):
        muon_jacobian(infer_theta, torch.ones(5, 1, dtype=torch.int64))
    with pytest.raises(Exception, match="hits"):
        muon_jacobian(infer_theta, torch.tensor(1.0))
    with pytest.raises(Exception, match="hits"):
        muon_jacobian(infer_theta, torch.ones(5, 1, 1))


def test_under_no_grad_it_still_differentiates():
    with torch.no_grad():
        assert muon_jacobian(infer_theta, torch.tensor([[0.0], [1.5]], dtype=DOUBLE))[1, 0, 0].item() == pytest.approx(
            1 / 3
        )


def test_gradients_of_parameters_inside_infer():
    dz = torch.tensor(1.5, dtype=DOUBLE, requires_grad=True)
    jac = muon_jacobian(lambda h: infer_theta(h, dz), torch.tensor([[1.0]], dtype=DOUBLE))
    (slope,) = torch.autograd.grad(jac.sum(), dz)
    assert slope.item() == pytest.approx((1 - 1.5**2) / (1.5**2 + 1) ** 2, rel=1e-12)


def test_every_muon_is_inferred_once_but_for_a_few():
    """What the cost is made of: rows that go through the inference, and passes back through it."""
    rows, passes = [], []

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            rows.append(len(x))
            return x**2

        @staticmethod
        def backward(ctx, gradient):
            passes.append(len(gradient))
            return 2 * ctx.saved_tensors[0] * gradient

    muon_jacobian(Square.apply, torch.rand(100_000, 1, dtype=DOUBLE))
    assert sum(rows) < 100_100
    assert sum(passes) < 100_050


@given(st.integers(2, 9), st.integers(0, 2**31))
@settings(deadline=None)
def test_permuting_muons_permutes_the_jacobian(muons, seed):
    generator = torch.Generator().manual_seed(seed)
    hits = torch.randn(muons, 2, dtype=DOUBLE, generator=generator)
    order = torch.randperm(muons, generator=generator)
    torch.testing.assert_close(
        muon_jacobian(two_observables, hits[order]), muon_jacobian(two_observables, hits)[order], rtol=1e-14, atol=1e-15
    )


class Doubled(torch.autograd.Function):
    """Twice the argument, by a backward pass alone."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient


def test_infinite_derivatives_stay_with_their_observable():
    hits = torch.tensor([[0.0, 0.3], [2.0, 0.5], [0.0, float("nan")]], dtype=torch.float64)
    x = lambda h: h[:, 0]  # noqa: E731
    found = muon_jacobian(lambda h: torch.stack([1 / x(h), x(h) * h[:, 1], x(h).abs().sqrt()], dim=1), hits)
    assert found[0, 1].tolist() == [0.3, 0.0]
    assert not torch.isfinite(found[0, [0, 2], 0]).any()
    assert found[1].tolist() == [[-0.25, 0.0], [0.5, 2.0], [pytest.approx(0.5 / 2**0.5), 0.0]]
    assert found[2].isnan().all()


def test_a_backward_pass_of_ones_own_keeps_its_nan():
    hits = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    found = muon_jacobian(lambda h: torch.cat([1 / h, Doubled.apply(h)], dim=1), hits)
    assert found[0, 1].isnan().all()
    assert found[1, :, 0].tolist() == [-0.25, 2.0]
