"""What to quote: σ of linear propagation where that is valid, else the standard deviation; and intervals."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .arguments import Hits, give_back, measured
from .confidence import confidence_block
from .covariance import HitUncertainty
from .distribution import exact_spread, spread_block
from .inference import Infer
from .linear import by_blocks, linear_law
from .nearly_linear import TOGETHER, nearly_linear
from .parts import by_parts
from .quoted import Quoted
from .validity import linear_valid


def quote(
    infer: Infer,
    hits: Hits,
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
    n_dig: int = 1,
    seed: int = 0,
    screen: bool = True,
) -> Quoted:
    """Each muon's observables with the standard uncertainty and the intervals to quote.

    σ is that of `propagate` where `linear_valid` is true, and the standard deviation of `propagate_distribution`
    elsewhere. The bias and the 68.27 % and 95 % coverage intervals (JCGM 101) are always those of
    `propagate_distribution`, so the interval of an observable that cannot be negative does not reach below zero. They
    hold the observable of hits thrown around the recorded ones. The confidence intervals are those of
    `confidence_interval`: they hold the truth, also near a fold, where the others do not.

    Parameters
    ----------
    infer : callable
        As for `propagate`.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,). A muon with a hit that is NaN or infinite gets NaN throughout.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.
    n_dig : int
        Significant digits of σ that linear propagation must have right (JCGM 101:2008, 7.9.2 and clause 8).
    seed, screen : int, bool
        As for `propagate_distribution`.

    Returns
    -------
    Quoted
        value, sigma, bias, sigma_linear (muon, observable), interval68, interval95, confidence68, confidence95 (muon,
        observable, 2: low and high), in the units of the observables, and linear_valid (muon, observable), without
        gradients; numpy arrays where hits are one. It prints as a short table with the confidence intervals, and
        `to_dict()` gives columns for `pandas.DataFrame`. A muon with a hit that is not finite has NaN throughout, and
        linear_valid is false. An observable with tails so heavy that it has no standard deviation (see
        `propagate_distribution`), such as the place where two nearly parallel lines cross, has NaN for sigma and bias
        and finite intervals; linear_valid is false.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises, and an `n_dig` below 1.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, quote
    >>> quoted = quote(infer_theta, torch.tensor([[0.005], [0.5]], dtype=torch.float64), sigma=0.01)
    >>> quoted.sigma[:, 0], quoted.linear_valid[:, 0]
    (tensor([0.0045, 0.0060], dtype=torch.float64), tensor([False,  True]))
    >>> quoted
    muon        value ± σ   68 % confidence   95 % confidence  flags
       0  0.0033 ± 0.0045  [0.0000, 0.0084]  [0.0000, 0.0156]  not linear
       1  0.3218 ± 0.0060  [0.3157, 0.3277]  [0.3099, 0.3335]
    2 muons, 1 observable

    """
    given = measured(infer, hits, sigma, covariance)
    with torch.no_grad():
        work = partial(_quote_all, n_dig, seed, screen)
        return give_back(hits, by_parts(work, _exact, infer, given.hits.detach(), given.covariance.detach()))


def _quote_all(n_dig: int, seed: int, screen: bool, infer: Infer, hits: Tensor, sigma_x: Tensor) -> Quoted:
    """Those for which linear propagation clearly holds at a short look, the others at a longer one."""
    at_length = partial(_quote, n_dig, seed, screen, infer)
    if not screen or hits.shape[1] > 1:
        return by_blocks(at_length, hits, sigma_x)
    found = by_blocks(partial(nearly_linear, n_dig, infer), hits, sigma_x, TOGETHER)
    if len(hits) <= TOGETHER:  # of more muons, blocks were copied
        found = Quoted(*(column.clone() for column in found))
    rest = (~found.linear_valid).any(dim=1).nonzero()[:, 0]
    if len(rest):
        others = by_blocks(at_length, hits[rest], sigma_x if len(sigma_x) == 1 else sigma_x[rest])
        for column, each in zip(found, others, strict=True):
            column.index_copy_(0, rest, each)
    return found


def _quote(n_dig: int, seed: int, screen: bool, infer: Infer, hits: Tensor, sigma_x: Tensor) -> Quoted:
    law = linear_law(infer, hits, sigma_x)
    found = spread_block(infer, hits, sigma_x, law, seed, screen)
    ok = linear_valid(law.value, law.sigma, found.sd, found.interval95, n_dig)
    confidence = confidence_block(infer, hits, sigma_x, law, found, ok)
    value, linear = law.value, law.sigma
    if law.finite is not None:
        value, linear = (torch.where(law.finite[:, None], each, float("nan")) for each in (value, linear))
    sigma = torch.where(ok, linear, found.sd)
    return Quoted(value, sigma, found.bias, found.interval68, found.interval95, *confidence, linear, ok)


def _exact(value: Tensor, sigma: Tensor) -> Quoted:
    """What is quoted of observables that are linear in the hits: all of it follows from σ."""
    spread = exact_spread(value, sigma)
    inner, outer = spread.interval68, spread.interval95
    return Quoted(value, sigma, spread.bias, inner, outer, inner, outer, sigma, torch.isfinite(sigma))
