import math
from functools import partial

import numpy as np
import pytest
import torch

from pullback import infer_theta, quote
from pullback.statistics.fold_intervals import one_direction
from pullback.statistics.normal import K68, K95
from pullback.uncertainty import quoting
from pullback.uncertainty.confidence import UNFELT
from pullback.uncertainty.folds import Fold, Folding
from pullback.uncertainty.nearly_linear import nearly_linear

DOUBLE = torch.float64


def column(values):
    return torch.as_tensor(values, dtype=DOUBLE)[:, None]


def wrapped(h):
    return torch.atan2(h.sin(), h.cos())


wrapped.periods = (2 * math.pi,)

FUNCTIONS = {
    "theta": infer_theta,
    "theta of an inclined plane": partial(infer_theta, dz=0.3),
    "an angle on a circle": wrapped,
    "several": lambda h: torch.cat([h.sin(), h.exp(), h.abs(), h**3], dim=1),
    "a step": lambda h: torch.where(h > 0.3, h + 1, h),
    "no number below 0": lambda h: h.log(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("n_dig", [1, 2])
def test_a_short_look_quotes_the_same_as_a_long_one(monkeypatch, name, n_dig):
    """For all muons, with a σ of each, hits that are not finite, and blocks; to 3e-7 σ, as is the table of ends."""
    generator = np.random.default_rng(1)
    hits, sigma = column(generator.uniform(-1, 1, 3000)), column(10 ** generator.uniform(-4, -1, 3000))
    hits[[7, 2999]] = torch.tensor([[float("nan")], [float("inf")]], dtype=DOUBLE)
    short = quote(FUNCTIONS[name], hits, sigma=sigma, n_dig=n_dig)
    monkeypatch.setattr(quoting, "TOGETHER", 640)
    blocks = quote(FUNCTIONS[name], hits, sigma=sigma, n_dig=n_dig)

    def nothing(*given):
        found = nearly_linear(*given)
        return found._replace(linear_valid=torch.zeros_like(found.linear_valid))

    monkeypatch.setattr(quoting, "nearly_linear", nothing)
    long = quote(FUNCTIONS[name], hits, sigma=sigma, n_dig=n_dig)
    assert torch.equal(short.linear_valid, long.linear_valid)
    assert 0.1 < short.linear_valid.double().mean() < 1
    for one, other, in_blocks in zip(short, long, blocks, strict=True):
        unit = long.sigma if one.ndim == 2 else long.sigma[:, :, None]
        torch.testing.assert_close(one / unit, other / unit, rtol=1e-12, atol=3e-7, equal_nan=True)
        torch.testing.assert_close(in_blocks / unit, one / unit, rtol=1e-12, atol=1e-10, equal_nan=True)


def test_most_muons_need_no_longer_look():
    hits = column(np.linspace(0, 1, 1001))
    clear = nearly_linear(1, infer_theta, hits, torch.full((1, 1), 1e-4, dtype=DOUBLE)).linear_valid[:, 0]
    assert torch.equal(clear, hits[:, 0] > UNFELT * 0.01)


@pytest.mark.parametrize("fold", [Fold((0, 1)), Fold((0, 1), azimuth=True)], ids=["of two quantities", "an azimuth"])
def test_other_folds_are_never_clear(fold):
    infer = lambda h: 2 * h  # noqa: E731
    infer.folding = Folding(lambda h: torch.cat([h, h], dim=1), (fold,))
    found = nearly_linear(1, infer, column([5.0, 6.0]), torch.full((1, 1), 1e-4, dtype=DOUBLE))
    assert not found.linear_valid.any()


def test_a_fold_that_is_crossed_within_reach():
    """The signed quantity is not linear: it bends back to 0 on the far side."""
    infer = lambda h: h + 0  # noqa: E731
    infer.folding = Folding(lambda h: h.sin(), (Fold((0,)),))
    hits, reach = column([math.pi / 2, math.pi - 0.068, math.pi - 0.072, 0.068]), torch.full((1, 1), 1e-4, dtype=DOUBLE)
    assert nearly_linear(1, infer, hits, reach).linear_valid[:, 0].tolist() == [True, False, True, False]


def test_a_fold_has_no_effect_from_where_it_is_not_looked_at():
    t = torch.linspace(UNFELT, 20, 500, dtype=DOUBLE)
    ends = t[:, None, None] + torch.tensor([[-K68, K68], [-K95, K95]], dtype=DOUBLE)
    torch.testing.assert_close(one_direction(t), ends, rtol=0, atol=3e-7)


@pytest.mark.parametrize("muons", [3, 70_000])
def test_columns_share_no_memory(muons):
    quoted = quote(infer_theta, column(np.linspace(0.2, 1, muons)), sigma=0.01)
    addresses = {each.untyped_storage().data_ptr() for each in quoted}
    assert len(addresses) == len(quoted)
