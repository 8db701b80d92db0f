"""Confidence intervals of observables, which hold the truth as often as they say, also near a fold."""

from __future__ import annotations

from functools import partial
from math import pi
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..statistics.fold_intervals import azimuth_interval, one_direction, two_directions
from ..statistics.normal import K68, K95
from .arguments import Hits, give_back, measured
from .covariance import HitUncertainty, cholesky
from .distribution import Spread, exact_spread, spread_block
from .elementwise import whole_vectors
from .folds import Folding, folding_of, gain
from .inference import Infer, periods_of
from .jacobians import with_stand_ins
from .linear import Law, by_blocks, linear_law
from .parts import by_parts
from .profile import profile_ends
from .quadrature import Integrand
from .signed import FoldedMuons, Signed, ahead, observable_along, observable_at, signed_at
from .validity import check_digits, linear_valid

UNFELT = 7.0
"""Distance from a fold in one direction, in σ, beyond which it has no effect on an interval."""

AT_ZERO = 1e-6
"""Distance of an end from 0, in widths of the interval, that is due to rounding or to the last step to a fold."""

PROFILED_AT_A_TIME = 1024
"""Muons whose intervals by profile likelihood are computed together."""


class Confidence(NamedTuple):
    """What `confidence_interval` returns, muon by muon, and observable by observable."""

    confidence68: Float[Tensor, "muon observable 2"]
    confidence95: Float[Tensor, "muon observable 2"]


def confidence_interval(
    infer: Infer,
    hits: Hits,
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
    n_dig: int = 1,
    seed: int = 0,
    screen: bool = True,
    refine: bool = True,
) -> Confidence:
    """Confidence intervals of each muon's observables, which hold the true value as often as they say.

    For Gaussian hits of the stated covariance, and for every true value, 68.27 % and 95 % of the intervals hold it,
    also near a fold, where intervals of X ~ N(x, Σ_x), those of JCGM 101, hold it for 0 to 98 % of the muons.

    - An observable that folds (`infer.folding`) is an increasing function of |s|, with s nearly Gaussian: one signed
      quantity or two. The interval of |μ|, where s ~ N(μ, C) and C is by linear propagation, is that of Feldman and
      Cousins [1]_, for two directions of different widths that of their form for a general covariance. The observable
      is evaluated at both ends. An azimuth has an interval on the circle, which is the whole circle at the fold.
    - An observable without a fold: y ± k σ where linear propagation is valid, else the interval of
      `propagate_distribution`. That of a point of closest approach may hold it less often below some 3 σ of scattering,
      as no finite interval can be right for every point of nearly parallel lines (docs/uncertainty.md).
    - An observable of which nothing is said, as of any plain function: the same where linear propagation is valid,
      else by profile likelihood [2]_: the extremes of the observable at all true hits x' whose distance from the
      recorded ones, √((x' − x)ᵀ Σ⁻¹ (x' − x)), is at most c. That is 1 and 1.96 where surfaces of constant value are
      planes, and follows from the noncentral χ where they bend within reach, up to χ with as many degrees of freedom as
      directions fold (docs/intervals.md). It holds the truth at least as often as it says, at smooth minima, cones and
      corners.

    Parameters
    ----------
    infer : callable
        As for `propagate`. Its attribute `folding`, or that of the function of a `functools.partial`, says what folds.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,). A muon with a hit that is NaN or infinite gets NaN throughout.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.
    n_dig, seed, screen : int, int, bool
        As for `quote`.
    refine : bool
        Whether integrals whose error is too large are repeated with more points. Without, intervals of an observable
        without a fold are some 0.02 sd less precise, which changes no coverage, and take a fraction of the time.

    Returns
    -------
    Confidence
        confidence68 and confidence95 (muon, observable, 2: low and high), in the units of the observables, without
        gradients; numpy arrays where hits are one. An interval of an azimuth begins in (−π, π] and may end beyond π.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises, and an `n_dig` below 1.

    References
    ----------
    .. [1] G. J. Feldman and R. D. Cousins, Phys. Rev. D 57 (1998) 3873.
    .. [2] PDG 2024, section 40.4.2.2 (profile likelihood); W. A. Rolke et al., Nucl. Instrum. Meth. A 551 (2005) 493.

    Examples
    --------
    >>> import torch
    >>> from pullback import confidence_interval, infer_theta
    >>> confidence_interval(infer_theta, torch.tensor([[0.005], [0.5]], dtype=torch.float64), sigma=0.01).confidence68
    tensor([[[0.0000, 0.0084]],
    <BLANKLINE>
            [[0.3157, 0.3277]]], dtype=torch.float64)

    """
    given = measured(infer, hits, sigma, covariance)
    check_digits(n_dig)
    with torch.no_grad():
        work = lambda infer, hits, sigma_x: by_blocks(  # noqa: E731
            partial(_confidence, n_dig, seed, screen, refine, infer), hits, sigma_x
        )
        return give_back(hits, by_parts(work, _exact, infer, given.hits.detach(), given.covariance.detach()))


def _exact(value: Tensor, sigma: Tensor) -> Confidence:
    """The intervals of observables that are linear in the hits."""
    spread = exact_spread(value, sigma)
    return Confidence(spread.interval68, spread.interval95)


def _confidence(
    n_dig: int, seed: int, screen: bool, refine: bool, infer: Infer, hits: Tensor, sigma_x: Tensor
) -> Confidence:
    law, folding = linear_law(infer, hits, sigma_x), folding_of(infer)
    if folding and all(folding.folds):  # nothing else is needed, and the integrals take long near a fold
        unknown = torch.full_like(law.value, float("nan"))
        ends = unknown[:, :, None].expand(-1, -1, 2)
        found = Spread(unknown, unknown, unknown, ends, ends, unknown)
        valid = torch.zeros_like(law.value, dtype=torch.bool)
    else:
        found = spread_block(infer, hits, sigma_x, law, seed, screen, refine)
        valid = linear_valid(law.value, law.sigma, found.sd, found.interval95, n_dig)
    return confidence_block(infer, hits, sigma_x, law, found, valid)


def confidence_block(
    infer: Infer, hits: Tensor, sigma_x: Tensor, law: Law, found: Spread, valid: Bool[Tensor, "muon observable"]
) -> Confidence:
    """`confidence_interval` for one block, from what is known of it; `valid` is the result of `linear_valid`."""
    hits = with_stand_ins(hits, law.finite)
    folding = checked_folding(infer, law.value.shape[1])
    ends = torch.stack([found.interval68, found.interval95], dim=2)
    signed = _signed(folding, hits, sigma_x, law) if any(folding.folds) else None
    for index, fold in enumerate(folding.folds):
        if fold and signed:
            muons = FoldedMuons(infer, folding, fold, hits, sigma_x, signed.of(fold.signed))
            ends[:, index] = _folded(muons, index, ends[:, index], valid[:, index])
        else:
            half = law.sigma[:, index, None, None] * law.sigma.new_tensor([[-K68, K68], [-K95, K95]])
            linear = law.value[:, index, None, None] + half
            ends[:, index] = torch.where(valid[:, index, None, None], linear, ends[:, index])
    known = torch.isfinite(law.value) if law.finite is None else torch.isfinite(law.value) & law.finite[:, None]
    if folding.undeclared:
        _profile(Integrand(infer, hits, cholesky(sigma_x), law.value), known & ~valid, folding.undeclared, ends)
    if not known.all():
        ends[~known] = float("nan")
    return Confidence(ends[:, :, 0], ends[:, :, 1])


def checked_folding(infer: Infer, observables: int) -> Folding:
    """What an inference says of its folds; of a plain function nothing is said."""
    every = tuple(range(observables))
    folding = folding_of(infer) or Folding(infer, (None,) * observables, every, every)
    if len(folding.folds) != observables:
        raise ValueError(f"infer has a folding of {len(folding.folds)} observables, but returns {observables}")
    return folding


def _profile(
    muons: Integrand,
    wanted: Bool[Tensor, "muon observable"],
    undeclared: tuple[int, ...],
    ends: Float[Tensor, "muon observable 2 2"],
) -> None:
    """Set the ends of the wanted observables, as far as they are undeclared, to those by profile likelihood."""
    for index in undeclared:
        for few in whole_vectors(wanted[:, index].nonzero()[:, 0]).split(PROFILED_AT_A_TIME):
            if len(few):
                off = profile_ends(muons.take(few), torch.full_like(few, index))
                ends[few, index] = _rounded(muons.value[few, index, None, None] + off)


def _signed(folding: Folding, hits: Tensor, sigma_x: Tensor, law: Law) -> Signed:
    if folding.observables is not None:
        return Signed(law.value, law.jacobian, law.covariance).of(folding.observables)
    return signed_at(folding, hits, sigma_x)


def _folded(
    muons: FoldedMuons, index: int, ends: Float[Tensor, "muon 2 2"], valid: Bool[Tensor, " muon"]
) -> Float[Tensor, "muon 2 2"]:
    """Intervals (muon, level, end) of an observable that folds; `ends` are those of JCGM 101."""
    s, covariance = muons.s.value.double(), muons.s.covariance.double()
    if muons.fold.azimuth:
        periods = periods_of(muons.infer)  # a plain function may have none, and returns rad
        turns = periods[index] / (2 * pi) if periods else 1.0
        return (turns * azimuth_interval(s, covariance)).to(ends)
    if s.shape[1] == 2:
        return _mapped(muons, index, two_directions(s, covariance).to(ends))
    sigma = covariance[:, 0].sqrt()
    t = s.abs() / sigma
    # Far from the fold, the ends for one hit are those at s ± k σ, as in JCGM 101.
    far = valid & (t[:, 0] > UNFELT)
    if muons.hits.shape[1] > 1 or not far.any():
        return _mapped(muons, index, (sigma[:, :, None] * one_direction(t[:, 0])).to(ends))
    near = whole_vectors((~far).nonzero()[:, 0])
    ends[near] = _mapped(muons.take(near), index, (sigma[near, :, None] * one_direction(t[near, 0])).to(ends))
    return ends


def _mapped(muons: FoldedMuons, index: int, lengths: Float[Tensor, "muon 2 2"]) -> Float[Tensor, "muon 2 2"]:
    """The observable where |s| has the given lengths, at hits moved as little as possible along the recorded s."""
    s = muons.s.value
    direction = ahead(s)
    if muons.hits.shape[1] == 1:
        targets = lengths.flatten(1).t() * direction[:, 0]
        return _rounded(observable_along(muons, index, targets).t().unflatten(1, (2, 2)))
    shift = gain(muons.s.jacobian, muons.sigma_x)
    ends = torch.empty_like(lengths)
    for level in range(2):
        for end in range(2):
            ends[:, level, end] = observable_at(muons, index, shift, lengths[:, level, end, None] * direction)
    # Where the signed quantities vary along one direction only, no shift of the hits gives them each length.
    ends[~torch.isfinite(shift).flatten(0, 1).all(dim=0)] = float("nan")
    return _rounded(ends)


def _rounded(ends: Float[Tensor, "muon 2 2"]) -> Float[Tensor, "muon 2 2"]:
    """The ends, with an end that is 0 except for rounding, as |x| at its fold, set to 0."""
    return ends.masked_fill(ends.abs() <= AT_ZERO * ends.diff(dim=2), 0.0)
