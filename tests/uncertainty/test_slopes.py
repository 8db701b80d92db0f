"""Functions whose graph is broken are refused, and awkward ones that are right are not."""

import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from pullback import (
    confidence_interval,
    expanded_uncertainty,
    fit_residuals,
    infer_theta,
    mean_sigma_gradient,
    muon_jacobian,
    propagate,
    propagate_distribution,
    quote,
    random_stream,
    run_toys,
    second_order,
    systematic_jacobian,
)
from pullback.uncertainty import slopes
from pullback.uncertainty.slopes import SCALES, compare_slopes, is_trusted, steps_of

DOUBLE = torch.float64
GENERAL = torch.from_numpy(np.random.default_rng(1).normal(size=(50, 2)))
FEW = torch.tensor([[0.3, 0.1], [1.2, 1.2], [0.0, 0.9], [3.0, -2.0]], dtype=DOUBLE)


def without_graph(h):
    with torch.no_grad():
        return h.sin()


BROKEN = {
    "detach": (lambda h: (h[:, 0] + h[:, 1].detach())[:, None], 0, 1),
    "detach of a factor": (lambda h: h[:, :1] * (2 + h[:, 1:]).detach(), 0, 1),
    "detach of a twentieth": (lambda h: h[:, :1] + 0.05 * h[:, :1].detach() + h[:, 1:], 0, 0),
    "one observable of two": (lambda h: torch.stack([h[:, 0] * h[:, 1], h[:, 0] + h[:, 1].detach().exp()], 1), 1, 1),
    "data": (lambda h: h[:, 1:] + h[:, :1].data ** 3 + h[:, :1], 0, 0),
    "no_grad": (lambda h: h[:, :1] + without_graph(h[:, 1:]), 0, 1),
    "numpy": (lambda h: h[:, 1:] + torch.from_numpy(np.sin(h[:, :1].detach().numpy())), 0, 0),
    "a list": (lambda h: h[:, :1] + torch.tensor(h[:, 1:].tolist(), dtype=h.dtype), 0, 1),
    "beside a kink": (lambda h: h[:, :1].abs() + h[:, 1:].abs().detach(), 0, 1),
    "in one branch": (lambda h: torch.where(h[:, :1] > 0, h[:, 1:], 2 * h[:, 1:].detach()), 0, 1),
    "rounded finely": (lambda h: h[:, :1] + h[:, 1:].round(decimals=9), 0, 1),
}


@pytest.mark.parametrize(("infer", "observable", "coordinate"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("function", [propagate, quote])
def test_a_broken_graph_is_refused(function, infer, observable, coordinate):
    expected = (
        f"^infer breaks the graph: the derivative of observable {observable} by coordinate {coordinate} is not what "
        r"differences say; compute with torch [^\n]*$"
    )
    for _ in range(2):  # it is not taken as right at the second call
        with pytest.raises(ValueError, match=expected):
            function(infer, GENERAL, sigma=0.1)


@pytest.mark.parametrize(
    "function",
    [
        partial(propagate, sigma=0.1),
        partial(quote, sigma=0.1),
        partial(propagate_distribution, sigma=0.1),
        partial(confidence_interval, sigma=0.1),
        partial(second_order, sigma=0.1),
        partial(expanded_uncertainty, sigma=0.1, freedom=5),
        partial(mean_sigma_gradient, sigma=torch.tensor(0.1, requires_grad=True), parameters={}),
        muon_jacobian,
    ],
)
def test_every_function_that_differentiates_refuses_it(function):
    with pytest.raises(ValueError, match=r"observable 0 by coordinate 1 is not what"):
        function(BROKEN["detach"][0], FEW)


def test_so_does_the_fit():
    with pytest.raises(ValueError, match=r"by coordinate 1 is not what"):
        fit_residuals(lambda h: (h[:, :1] + h[:, 1:].detach()).expand(-1, 2) / 2, GENERAL, sigma=0.1)


def test_toys_need_no_derivatives():
    run_toys(BROKEN["detach"][0], FEW, sigma=0.1, toys=10, rng=random_stream(1, "toys"))


@pytest.mark.parametrize("eta", [0.0, 0.3, -5.0])
def test_a_derivative_by_shared_parameters_is_compared_too(eta):
    eta, hits = torch.tensor([1.0, eta], dtype=DOUBLE), torch.cat([GENERAL, torch.tensor([[float("nan"), 1.0]])])
    systematic_jacobian(lambda h, e: h[:, :1] * e[0] + (h[:, 1:] + e[1]).sin(), hits, eta)
    with pytest.raises(ValueError, match="observable 0 by shared parameter 1 is not what"):
        systematic_jacobian(lambda h, e: h[:, :1] * e[0] + (h[:, 1:] + e[1].detach() + 1e-3 * e[1]).sin(), hits, eta)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, 100.0)])
def test_any_scale_of_hits_will_do(dtype, scale, offset):
    hits = (GENERAL * scale + offset).to(dtype)
    u = lambda h: (h - offset) / scale  # noqa: E731
    propagate(lambda h: u(h)[:, :1].sin() + u(h)[:, 1:].square(), hits, sigma=scale)
    with pytest.raises(ValueError, match="by coordinate 1"):
        propagate(lambda h: u(h)[:, :1].sin() + 3 * u(h)[:, 1:].detach(), hits, sigma=scale)
    for only in (hits[:1], hits[:2], hits[:1].expand(9, -1)):
        with pytest.raises(ValueError, match="by coordinate 1"):
            propagate(lambda h: u(h)[:, :1] + 3 * u(h)[:, 1:].detach(), only, sigma=scale)


ZERO = torch.zeros(5, 2, dtype=DOUBLE)
TIES = torch.tensor([[1.0, 1.0], [0.5, 0.5], [-2.0, -2.0]], dtype=DOUBLE)
PIXELS = (GENERAL / 0.05).round() * 0.05
LOST = torch.where(GENERAL > 0.5, float("nan"), GENERAL)
SENTINELS = torch.where(torch.arange(50)[:, None] % 3 == 0, -9999.0, GENERAL)
FAR = torch.where(torch.arange(50)[:, None] % 8 == 0, 1e30, GENERAL)
CUT = torch.tensor([[-1.0, 0.0], [-1.0, -0.0], [-1.0, 1e-9], [-1.0, -1e-9]], dtype=DOUBLE)
SINGLE = [GENERAL[:1], FEW[2:3], ZERO[:1], ZERO[:1] + 1e-9, ZERO[:1] - 1e-7]
HITS = {
    "general": GENERAL,
    "few": FEW,
    "zero": ZERO,
    "ties": TIES,
    "pixels": PIXELS,
    "lost": LOST,
    "sentinels": SENTINELS,
    "far": FAR,
    "cut": CUT,
    "offset": GENERAL + 1000,
    "small": 1e-5 * GENERAL,
    "large": 1e4 * GENERAL,
} | {f"single {index}": each for index, each in enumerate(SINGLE)}

AWKWARD = {
    "abs": torch.abs,
    "relu": torch.relu,
    "clamp": lambda h: h.clamp(-0.5, 0.5) + 0 * h,
    "max": lambda h: h.amax(dim=1, keepdim=True),
    "sorted": lambda h: h.sort(dim=1).values,
    "hypot": lambda h: torch.hypot(h[:, :1], h[:, 1:]),
    "length": lambda h: h.square().sum(dim=1, keepdim=True).sqrt(),
    "atan2": lambda h: torch.atan2(h[:, 1:], h[:, :1]),
    "turn": lambda h: torch.remainder(10 * h, 2 * torch.pi),
    "wrap": lambda h: (3 * h + 1).sin().atan2((3 * h + 1).cos()),
    "sign": lambda h: h.sign() + 0 * h,
    "pixels": lambda h: (h / 0.05).round() * 0.05 + 0 * h,
    "fine pixels": lambda h: (h / 1e-5).round() * 1e-5 + h * 0.0 + torch.where(h > 0, 1.0, -1.0) * h,
    "digits": lambda h: (4096 * h).floor() / 4096 + 0 * h,
    "arccos": lambda h: (h / 2).clamp(-1, 1).arccos(),
    "sqrt": torch.sqrt,
    "log": torch.log,
    "pole": lambda h: 1 / h,
    "nan": lambda h: torch.where(h > 0.3, float("nan"), h.exp()),
    "infinite": lambda h: torch.where(h > 0.3, float("inf"), h),
    "where": lambda h: torch.where(h > 0, h.square(), -3 * h),
    "curved": lambda h: (500 * h).tanh(),
    "oscillating": lambda h: (1000 * h).sin(),
    "steep": lambda h: (h / 1e-3).clamp(max=300).exp(),
    "constant": lambda h: torch.cat([h[:, :1], 0 * h + 5], dim=1),
    "large values": lambda h: 1e9 + h,
    "cancelling": lambda h: (1 + h) - 1 + ((1e3 + h) - 1e3),
    "small values": lambda h: 1e-20 * h.sin(),
    "small slope": lambda h: 1 + 1e-12 * h,
    "in single precision": lambda h: h.float().sin(),
    "through single precision": lambda h: h.float().sin().double(),
    "cube": lambda h: h**3,
    "cube root": lambda h: h.sign() * (h.abs() + 1e-300) ** (1 / 3),
    "interpolated": lambda h: ((10 * h).floor() + ((10 * h) % 1) ** 2) / 10,
    "solved": lambda h: solved(h),
}


FINE = (AWKWARD["fine pixels"], AWKWARD["digits"])


def solved(h):
    """The root of y³ + y = h by Newton's method, with its graph from the last step alone, as is right."""
    with torch.no_grad():
        y = torch.zeros_like(h)
        for _ in range(60):
            y = y - (y**3 + y - h) / (3 * y**2 + 1)
    return y - (y**3 + y - h) / (3 * y**2 + 1).detach()


@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("infer", AWKWARD.values(), ids=AWKWARD)
def test_what_is_right_is_not_refused(infer, hits):
    if infer in FINE and (hits is HITS["large"] or hits is HITS["sentinels"]):
        pytest.skip("its steps are finer than what is compared, so that it is as good as smooth, with σ = 0")
    propagate(lambda h: infer(h), hits, sigma=0.1)


@pytest.mark.parametrize("infer", AWKWARD.values(), ids=AWKWARD)
def test_nor_is_it_where_nan_stands_for_a_missing_hit(infer):
    missing = lambda h: infer(h)  # noqa: E731
    missing.missing = True
    muon_jacobian(missing, LOST)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_right_is_not_refused_by_chance(seed):
    hits = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 2)))
    for infer in (AWKWARD["through single precision"], AWKWARD["cancelling"], AWKWARD["oscillating"]):
        for offset in (0.0, 3.0, 100.0):
            propagate(lambda h, infer=infer: infer(h), hits + offset, sigma=0.1)


def test_a_lost_part_is_seen_among_lost_hits():
    infer = lambda h: h[:, :1] + h[:, 1:].detach()  # noqa: E731
    with pytest.raises(ValueError, match="by coordinate 1"):
        propagate(infer, torch.where(torch.arange(50)[:, None] % 7 < 6, float("nan"), GENERAL), sigma=0.1)
    for hits in (SENTINELS, FAR):
        with pytest.raises(ValueError, match="by coordinate 1"):
            propagate(infer, hits, sigma=0.1)


def test_a_function_is_compared_once():
    calls = []

    def infer(hits):
        calls.append(len(hits))
        return hits.sin()

    assert not is_trusted(infer)
    propagate(infer, GENERAL, sigma=0.1)
    first = len(calls)
    assert is_trusted(infer)
    propagate(infer, GENERAL, sigma=0.1)
    assert len(calls) - first == first - 2  # neither the muon that requires a gradient, nor the differences
    before = len(slopes._COMPARED)
    del infer
    assert len(slopes._COMPARED) == before - 1


def test_what_was_seen_on_a_kink_alone_is_compared_again():
    infer = lambda h: h[:, :1].abs() + (h[:, :1] > 1) * h[:, :1].detach()  # noqa: E731
    propagate(infer, ZERO, sigma=0.1)
    with pytest.raises(ValueError, match="breaks the graph"):
        propagate(infer, ZERO + 2, sigma=0.1)


@dataclass
class Height:
    """A callable object that has no hash."""

    dz: float

    def __call__(self, hits):
        return (hits / self.dz).arctan()

    def lost(self, hits):
        return hits / self.dz + hits.detach()


@pytest.mark.parametrize("infer", [Height(1.5), partial(torch.mul, other=2.0), Height(2.0).__call__, torch.sin])
def test_any_callable_will_do(infer):
    for _ in range(2):
        propagate(infer, GENERAL, sigma=0.1)


def test_methods_and_partial_functions_are_compared():
    for infer in (Height(1.5).lost, partial(lambda h, dz: h[:, :1] * dz + h[:, 1:].detach(), dz=2.0)):
        with pytest.raises(ValueError, match="breaks the graph"):
            propagate(infer, GENERAL, sigma=0.1)


def test_the_packages_own_functions_cost_nothing():
    assert is_trusted(infer_theta)
    assert is_trusted(partial(partial(infer_theta), dz=2.0))
    assert not is_trusted(lambda h: infer_theta(h))


def test_quotients_are_those_of_the_definition():
    """Of x², with a derivative that is off by more and by less than what is allowed."""
    x, step = torch.tensor([[3.0]], dtype=DOUBLE), torch.tensor([[1e-6]], dtype=DOUBLE)
    values_at = lambda places: places**2  # noqa: E731
    reach = 2 * SCALES[-1] * 1e-6  # half the range of the quotients, 6 ± 64e-6, beyond its end, and 1 %
    for off, wrong in ((0.0, None), (0.05, None), (0.07, (0, 0)), (-0.07, (0, 0))):
        found = compare_slopes(values_at, x, 2 * x[:, :, None] + off + reach * (off > 0), step)
        assert found.wrong == wrong
        assert found.conclusive


def test_where_a_step_is_lost_to_rounding_nothing_is_refused():
    hits = torch.tensor([[1e-13]], dtype=DOUBLE)
    propagate(lambda h: (1e3 + h) - 1e3, hits, sigma=0.1)


def test_steps_are_a_small_part_of_the_spread():
    width = 1e-3
    hits = torch.tensor([[-1.0], [0.0], [1.0], [2.0], [1e30]], dtype=DOUBLE) * width
    assert steps_of(hits, DOUBLE)[0].item() == pytest.approx(6.06e-6 * width, rel=1e-2)
    assert steps_of(ZERO, DOUBLE)[0, 0].item() == pytest.approx(6.06e-6, rel=1e-2)
    assert steps_of(ZERO + 7, DOUBLE)[0, 0].item() == pytest.approx(7 * 6.06e-6, rel=1e-2)
    assert (steps_of(torch.full((3, 2), float("nan")), torch.float32) > 0).all()


def test_torch_imports_no_compiler_for_it():
    """Which takes seconds at the first call."""
    code = """
import sys, torch
from pullback import propagate, quote
before = {*sys.modules}
propagate(lambda h: h.sin(), torch.rand(9, 2, dtype=torch.float64), sigma=0.1)
assert not [name for name in {*sys.modules} - before if name.startswith(("torch._dynamo", "torch._inductor", "sympy"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
