"""The number to quote: σ by the linear law where that holds, else the standard deviation itself, and intervals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .covariance import canonical
from .distribution import spread_block
from .jacobians import check_hits
from .linear import by_blocks, linear_law
from .validity import linear_valid


class Quoted(NamedTuple):
    """What `quote` returns, muon by muon, and observable by observable."""

    value: Float[Tensor, "muon observable"]
    sigma: Float[Tensor, "muon observable"]
    bias: Float[Tensor, "muon observable"]
    interval68: Float[Tensor, "muon observable 2"]
    interval95: Float[Tensor, "muon observable 2"]
    sigma_linear: Float[Tensor, "muon observable"]
    linear_valid: Bool[Tensor, "muon observable"]


def quote(
    infer: Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]],
    hits: Float[Tensor, "muon coordinate"],
    covariance: float | Float[Tensor, "*covariance"],
    *,
    n_dig: int = 1,
    seed: int = 0,
    screen: bool = True,
) -> Quoted:
    """Each muon's observables with the standard uncertainty and the coverage intervals to quote.

    σ is that of `propagate` where `linear_valid` says that it holds, and the standard deviation of
    `propagate_distribution` elsewhere; the bias and the 68.27 % and 95 % intervals are always those of
    `propagate_distribution`, so that an observable that can't be negative has none below zero.

    Parameters
    ----------
    infer, hits, covariance : as for `propagate`.
    n_dig : significant digits of σ that the linear law must have right (JCGM 101:2008, 7.9.2 and clause 8).
    seed, screen : as for `propagate_distribution`.

    Returns
    -------
    value, sigma, bias, sigma_linear (muon, observable), interval68, interval95 (muon, observable, 2), in the units of
    the observables, and linear_valid (muon, observable). They carry no gradients. A muon with a hit that is not finite
    has NaN throughout, and is not linear. An observable whose tails are so heavy that it has no standard deviation,
    such as the place where two nearly parallel lines cross, has NaN for sigma and bias, and intervals all the same; it
    is not linear. `propagate_distribution` says when that is so.

    Raises
    ------
    TypeError, ValueError : what `propagate` raises, and an `n_dig` below 1.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, quote
    >>> quoted = quote(infer_theta, torch.tensor([[0.0], [0.5]], dtype=torch.float64), 0.01**2)
    >>> quoted.sigma[:, 0], quoted.linear_valid[:, 0]
    (tensor([0.0040, 0.0060], dtype=torch.float64), tensor([False,  True]))

    """
    check_hits(hits)
    with torch.no_grad():
        work = partial(_quote, infer, n_dig, seed, screen)
        return by_blocks(work, hits.detach(), canonical(covariance, hits).detach())


def _quote(infer, n_dig, seed, screen, hits, sigma_x) -> Quoted:
    law = linear_law(infer, hits, sigma_x)
    found = spread_block(infer, hits, sigma_x, law, seed, screen)
    ok = linear_valid(law.value, law.sigma, found.sd, found.interval95, n_dig)
    value, linear = law.value, law.sigma
    if law.finite is not None:
        value, linear = (torch.where(law.finite[:, None], each, float("nan")) for each in (value, linear))
    return Quoted(value, torch.where(ok, linear, found.sd), found.bias, found.interval68, found.interval95, linear, ok)
