"""The cubic of an observable along one direction of the hits, from its values at six points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..statistics.normal import K68, K95

FAR = 4.0
"""Largest distance along the gradient at which smoothness is tested, in σ. A fold further out changes the standard
deviation by 6e-5, and a kink at which the slope grows tenfold by 5e-4."""


class Tolerance(NamedTuple):
    """Largest terms of a smooth observable in units of σ: along its gradient at 1 σ, and around it.

    Around it, the second-order term is relative to the square of the distance, in σ.
    """

    bent: float
    twisted: float
    left_over: float
    bent_around: float
    twisted_around: float


STRICT = Tolerance(0.1, 0.005, 0.001, 0.035, 0.005)
"""For any function."""


class Cubic(NamedTuple):
    """Terms of f(x) + u z + a z² + c z³, what they leave over, and differences from f(x).

    `left_over_inside` is the largest residual at ±1 σ, and `left_over` that at ±4 σ too; `at68` and `at95` are the
    differences at z = ±1 and ±1.96, in this order.
    """

    a: Float[Tensor, "muon seen"]
    c: Float[Tensor, "muon seen"]
    left_over_inside: Float[Tensor, "muon seen"]
    left_over: Float[Tensor, "muon seen"]
    at68: tuple[Tensor, Tensor]
    at95: tuple[Tensor, Tensor]


def cubic(u: Float[Tensor, "muon seen"], at: Callable[[float], Iterable[Tensor]]) -> Cubic:
    """The cubic of observables with σ = u by linear propagation.

    a and c follow from z = ±1.96, and should give f at z = ±1 and ±4 too; so the Jacobian is compared with differences
    as well. `at(k)` returns the differences from f(x) at z = k and z = -k.
    """

    def left_over(k: float, up: Tensor, down: Tensor) -> Tensor:
        """Twice the residual at ±k."""
        odd = (up - down).mul_(sign).sub_(u, alpha=2 * k).sub_(c, alpha=2 * k**3).abs_()
        return torch.maximum((up + down).sub_(a, alpha=2 * k**2).abs_(), odd, out=odd)

    (up95, down95), (up68, down68), furthest = (tuple(at(k)) for k in (K95, K68, FAR))
    a = (up95 + down95).div_(2 * K95**2)
    odd = up95 - down95
    sign = odd.sign()
    c = odd.abs_().sub_(u, alpha=2 * K95).div_(2 * K95**3)
    inside, outside = left_over(K68, up68, down68), left_over(FAR, *furthest)
    every = torch.maximum(inside, outside, out=outside).div_(2)
    return Cubic(a, c, inside.div_(2), every, (up68, down68), (up95, down95))
