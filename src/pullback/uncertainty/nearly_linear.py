"""Muons of one coordinate for which linear propagation clearly holds: six more values of the observables tell.

All that is quoted of them follows from these values, in few passes over numbers that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..statistics.angles import wrap_last
from ..statistics.normal import K68, K95
from .confidence import UNFELT, checked_folding
from .covariance import cholesky
from .cubic import FAR, STRICT, cubic
from .folds import Fold, Folding
from .inference import Infer, at_points, periods_of
from .jacobians import with_stand_ins
from .linear import linear_law
from .quoted import Quoted
from .validity import numerical_tolerance

TOGETHER = 65_536
"""Muons that are looked at together."""

SEEN = (K68, K95, FAR)
"""Distances from the hit at which observables are evaluated, in σ."""


def nearly_linear(n_dig: int, infer: Infer, hits: Float[Tensor, "muon 1"], sigma_x: Tensor) -> Quoted:
    """What to quote as if linear propagation held, with `linear_valid` only where it clearly does.

    That is stricter than what `quote` asks for: the ends of the 95 % interval may be off by the smallest numerical
    tolerance of any σ, and the observable is smooth, with no fold within 7 σ. Then σ is right to 3 % without further
    ado. Columns that are equal may share memory.
    """
    law, root = linear_law(infer, hits, sigma_x), cholesky(sigma_x)
    value, u = law.value, law.sigma
    usable = with_stand_ins(hits, law.finite)
    curve = cubic(u, _differences(infer, usable, root[:, :, 0], value))
    # The least numerical tolerance of any σ below 10 is that of 1; c has the limit that smoothness asks for.
    allowed = min(numerical_tolerance(1.0, n_dig) / 10, K95**3 * STRICT.twisted)
    ends_off = curve.a.abs().mul_(K95**2).add_(curve.c.abs_(), alpha=K95**3)
    clear = (ends_off <= allowed * u) & (curve.left_over <= STRICT.left_over * u) & (u > 0)
    if law.finite is not None:
        clear &= law.finite[:, None]
    intervals = [_around(value, *at) for at in (curve.at68, curve.at95)]
    folding = checked_folding(infer, value.shape[1])
    confidence = intervals if all(folding.folds) else [_around(value, k * u, -k * u) for k in (K68, K95)]
    for index, fold in enumerate(folding.folds):
        if fold:
            clear[:, index] &= _out_of_reach(fold, folding, usable, UNFELT * root[:, :, 0])
            for ends, interval in zip(confidence, intervals, strict=True):
                ends[:, index] = interval[:, index]
    return Quoted(value, u, curve.a, intervals[0], intervals[1], confidence[0], confidence[1], u, clear)


def _differences(
    infer: Infer,
    hits: Float[Tensor, "muon 1"],
    width: Float[Tensor, "#muon 1"],
    value: Float[Tensor, "muon observable"],
) -> Callable[[float], Float[Tensor, "2 muon observable"]]:
    """Differences of the observables from their values at the hits, k widths from them on either side."""
    places = hits.new_tensor([sign * k for k in SEEN for sign in (1, -1)])
    thrown = hits + width * places[:, None, None]
    away = at_points(infer, thrown) - value
    pairs = wrap_last(away, periods_of(infer)).unflatten(0, (len(SEEN), 2))
    return dict(zip(SEEN, pairs, strict=True)).__getitem__


def _around(value: Tensor, up: Tensor, down: Tensor) -> Float[Tensor, "muon observable 2"]:
    """The ends of an interval from differences from the value."""
    ends = value.new_empty(*value.shape, 2)
    torch.add(value, torch.minimum(up, down), out=ends[:, :, 0])
    torch.add(value, torch.maximum(up, down), out=ends[:, :, 1])
    return ends


def _out_of_reach(
    fold: Fold, folding: Folding, hits: Float[Tensor, "muon 1"], reach: Float[Tensor, "#muon 1"]
) -> Bool[Tensor, " muon"]:
    """Whether the one signed quantity that folds has the same sign at the hit and at both ends of its reach."""
    if fold.azimuth or len(fold.signed) > 1:
        return torch.zeros(len(hits), dtype=torch.bool, device=hits.device)
    s, up, down = (folding.signed(each)[:, fold.signed[0]] for each in (hits, hits + reach, hits - reach))
    return (s * up > 0) & (s * down > 0)
