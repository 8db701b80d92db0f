"""Compiled code against the same law without it.

Each check runs in a process of its own: `torch.compile` can't follow the type checks that the other tests put around
every call.
"""

import logging
import os
import shutil
import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
import torch

from pullback import infer_theta, propagate
from pullback.uncertainty import linear

BLOCK = 1 << 10
MUONS = 2 * BLOCK + 100


def hits(coordinates=1):
    return torch.from_numpy(np.random.default_rng(1).normal(0.1, 0.2, (MUONS, coordinates)))


def assert_same(found, expected, ulps):
    tolerance = ulps * torch.finfo(torch.float64).eps
    for one, other in zip(found, expected, strict=True):
        largest = float(other.nan_to_num().abs().amax())
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * largest, equal_nan=True)


def gives_the_same_and_is_compiled_again_when_a_parameter_changes():
    from pullback.uncertainty.compiling import compiled_law

    class Changing:
        dz = 1.5

        def __call__(self, hits):
            return infer_theta(hits, self.dz)

    infer, x = Changing(), hits()
    for dz in (1.5, 2.5):
        infer.dz = dz
        assert_same(propagate(infer, x, 1e-4, compiled=True), propagate(infer, x, 1e-4), ulps=2)
        assert compiled_law(infer).works


def handles_a_track_with_a_full_covariance():
    from pullback.detector.bound_model import Inference, parameters_of
    from pullback.models import load
    from pullback.uncertainty.compiling import compiled_law

    model = load({"name": "track", "z": [0.0, 0.5, 1.0], "theta0": 0.0})
    infer = Inference(model, parameters_of(model, 100.0))
    root = torch.from_numpy(np.random.default_rng(2).normal(0, 0.01, (3, 3)))
    x = hits(3)
    x[7, 1] = float("nan")  # a missing hit: its block is propagated without
    found = propagate(infer, x, root @ root.T, compiled=True)
    assert compiled_law(infer).works
    assert_same(found, propagate(infer, x, root @ root.T), ulps=16)


def sees_muons_without_finite_hits_and_couplings():
    x = hits()
    x[3], x[BLOCK + 5] = float("nan"), float("inf")
    found, expected = (propagate(infer_theta, x, 1e-4, compiled=compiled) for compiled in (True, False))
    assert_same(found, expected, ulps=2)
    assert found.sigma.isnan().sum() == 2
    with pytest.raises(ValueError, match="couples muons"):
        propagate(lambda hits: hits - hits.mean().detach(), hits()[: 2 * BLOCK], 1e-4, compiled=True)


def leaves_infinite_derivatives_to_their_observable():
    x = hits(2)
    x[3, 0], x[BLOCK + 5, 1] = 0.0, 0.0
    infer = lambda h: torch.cat([h.abs().sqrt(), h.sum(dim=1, keepdim=True)], dim=1)  # noqa: E731
    found, expected = (propagate(infer, x, 1e-4, compiled=compiled) for compiled in (True, False))
    assert_same(found, expected, ulps=4)
    assert torch.isfinite(found.sigma[:, 2]).all()


def handles_more_inferences_than_torch_compiles_one_code():
    from pullback.uncertainty.compiling import compiled_law

    class Unhashable:
        __hash__ = None

        def __call__(self, hits):
            return infer_theta(hits)

    def another(hits):
        return infer_theta(hits)

    def inferences():
        yield Unhashable()
        for _ in range(9):
            another.__code__ = another.__code__.replace()  # another function to the compiler
            yield FunctionType(another.__code__, globals())

    for infer in inferences():
        propagate(infer, hits(), 1e-4, compiled=True)
        assert compiled_law(infer).works


def leaves_alone_what_cannot_be_compiled():
    from pullback.uncertainty.compiling import compiled_law

    def branching(hits):
        return hits * 2 if hits.sum() > 0 else hits

    found, expected = (propagate(branching, hits(), 1e-4, compiled=compiled) for compiled in (True, False))
    assert torch.equal(found.sigma, expected.sigma)
    assert not compiled_law(branching).works


def only_takes_longer_without_a_compiler():
    from pullback.uncertainty.compiling import compiled_law

    found, expected = (propagate(infer_theta, hits(), 1e-4, compiled=compiled) for compiled in (True, False))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not compiled_law(infer_theta).works


def run(check, **environment):
    command = [sys.executable, __file__, check.__name__]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="there is no C++ compiler")
@pytest.mark.parametrize(
    "check",
    [
        gives_the_same_and_is_compiled_again_when_a_parameter_changes,
        handles_a_track_with_a_full_covariance,
        sees_muons_without_finite_hits_and_couplings,
        leaves_infinite_derivatives_to_their_observable,
        handles_more_inferences_than_torch_compiles_one_code,
    ],
)
def test_compiled_code(check):
    assert "without compiling" not in run(check)


def test_what_cannot_be_compiled():
    assert "propagated without compiling" in run(leaves_alone_what_cannot_be_compiled)


def test_no_compiler(tmp_path):
    said = run(only_takes_longer_without_a_compiler, CXX="no-such-compiler", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert "propagated without compiling" in said


def test_gradients_are_kept():
    x = hits().requires_grad_()
    propagate(infer_theta, x, 1e-4, compiled=True).sigma.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_only_large_work_is_compiled_by_itself(monkeypatch):
    import pullback.uncertainty.compiling

    asked = []
    monkeypatch.setattr(pullback.uncertainty.compiling, "compiled_law", lambda infer: asked.append(infer))
    propagate(infer_theta, hits(), 1e-4)
    assert not asked
    monkeypatch.setattr(linear, "COMPILED_FROM", MUONS)
    propagate(infer_theta, hits(), 1e-4)
    assert asked == [infer_theta]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    linear.MUONS_AT_A_TIME = BLOCK
    globals()[sys.argv[1]]()
