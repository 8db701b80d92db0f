"""The law of propagation of uncertainty, muon by muon."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .arguments import Columns, Hits, give_back, with_covariance
from .closed_form import closed_form_of, plain_hits, propagate_in_closed_form
from .covariance import HitUncertainty
from .elementwise import WHOLE_VECTORS, magnitude, products, whole_vectors
from .inference import Infer
from .jacobians import value_and_jacobian
from .memory import keep_freed, large

MUONS_AT_A_TIME = 131_072
"""Muons of one coordinate that are propagated at a time, to keep intermediate results small; fewer with more."""


class Propagated(NamedTuple):
    """What `propagate` returns: the observables of each muon, their covariance and their standard uncertainty."""

    value: Float[Tensor, "muon observable"]
    covariance: Float[Tensor, "muon observable observable"]
    sigma: Float[Tensor, "muon observable"]


def propagate(
    infer: Infer,
    hits: Hits,
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
) -> Propagated:
    """Each muon's observables with their covariance by the law of propagation of uncertainty.

    Σ_y = J Σ_x Jᵀ with J = ∂y/∂x at the hits, and σ = sqrt(diag Σ_y) (JCGM 100:2008, equations 10 and 13; JCGM
    102:2011, 6.2). This linear propagation is right where y is straight over the width of the hits, and wrong within
    about 3 σ of a fold, where y is not smooth. σ is never negative, whatever the sign of J.

    Parameters
    ----------
    infer : callable
        Function of hits (muon, coordinate) that returns observables (muon, observable), muon by muon. It gets torch
        tensors.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,) for one coordinate per muon. A muon with a hit that is NaN or infinite gets
        NaN throughout. An observable that is NaN or infinite has NaN for its σ and covariances; the muon's other
        observables keep theirs.
    sigma : float, Tensor or ndarray
        Standard deviation of the hits, in their unit, where hits are independent: a number, or an array (coordinate,),
        (muon,), (muon, 1) or (muon, coordinate).
    covariance : float, Tensor or ndarray
        In place of `sigma`: variances, of the same shapes and in the unit of the hits squared, or covariance matrices
        (coordinate, coordinate) or (muon, coordinate, coordinate).

    Returns
    -------
    Propagated
        value (muon, observable), covariance (muon, observable, observable) and sigma (muon, observable), in the units
        of the observables; numpy arrays where hits are one. Tensors carry gradients where hits, sigma, covariance or
        parameters of `infer` require one.

    Raises
    ------
    TypeError
        Both of sigma and covariance, or neither; hits that are no floating-point numbers.
    ValueError
        What `muon_jacobian` raises; a sigma or covariance of another shape, not finite, negative, not symmetric or not
        positive semi-definite, with the position of the first such entry.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, propagate
    >>> hits = torch.tensor([[0.5], [-0.5]], dtype=torch.float64)
    >>> propagate(infer_theta, hits, sigma=0.01).sigma
    tensor([[0.0060],
            [0.0060]], dtype=torch.float64)

    """
    x, sigma_x = with_covariance(infer, hits, sigma, covariance)
    found = _in_closed_form(infer, x, sigma_x)
    if found is None:
        rows = x.new_full((1, x.shape[1]), sigma_x) if isinstance(sigma_x, float) else sigma_x
        found = by_blocks(partial(_propagate, infer), x, rows)
    return give_back(hits, found)


def by_blocks(
    work: Callable[[Tensor, Tensor], Columns], hits: Tensor, sigma_x: Tensor, block: int | None = None
) -> Columns:
    """The named tuple of tensors (muon, …) that `work(hits, sigma_x)` returns, block by block, in whole vectors."""
    shared = len(sigma_x) == 1  # one shared covariance stays as it is

    def of_rows(rows: slice) -> Columns:
        own = hits[rows].contiguous()
        count, of_own = len(own), sigma_x if shared else sigma_x[rows]
        if not count % WHOLE_VECTORS:
            return work(own, of_own)
        every = whole_vectors(torch.arange(count, device=own.device))
        found = work(own[every], of_own if shared else of_own[every])
        return type(found)(*(column[:count] for column in found))

    return by_rows(of_rows, hits, block)


def by_rows(work: Callable[[slice], Columns], hits: Tensor, block: int | None = None) -> Columns:
    """The named tuple of tensors (muon, …) that `work(rows)` returns for the muons of these hits, block by block."""
    keep_freed()
    muons, block = len(hits), block or _block(hits)
    first = work(slice(0, block))
    if muons <= block or any(part.requires_grad for part in first):  # a graph keeps all intermediate results anyway
        whole = first if muons <= block else work(slice(0, muons))
        return type(first)(*(part.contiguous() for part in whole))
    whole = type(first)(*(large(part, muons) for part in first))
    for start in range(0, muons, block):
        rows = slice(start, start + block)
        parts = work(rows) if start else first
        for column, part in zip(whole, parts, strict=True):
            # As plain numbers: where an axis of one has an odd stride, torch copies number by number.
            column[rows].view(-1).copy_(part.contiguous().view(-1))
    return whole


def _block(hits: Tensor) -> int:
    """How many muons are handled at a time: a power of two, for whole vectors (docs/reproducibility.md)."""
    return max(MUONS_AT_A_TIME >> (hits.shape[1] - 1).bit_length(), 1)


class Law(NamedTuple):
    """Linear propagation of one block: what `propagate` returns, before muons without finite hits are masked."""

    value: Float[Tensor, "muon observable"]
    jacobian: Float[Tensor, "muon observable coordinate"]
    covariance: Float[Tensor, "muon observable observable"]
    sigma: Float[Tensor, "muon observable"]
    finite: Bool[Tensor, " muon"] | None

    def take(self, rows: Tensor) -> Law:
        """Some of the muons, which have finite hits."""
        return Law(self.value[rows], self.jacobian[rows], self.covariance[rows], self.sigma[rows], None)


def linear_law(infer: Infer, hits: Tensor, sigma_x: Tensor) -> Law:
    """J Σ Jᵀ for one block, with Σ as `canonical` gives it."""
    value, jac, finite = value_and_jacobian(infer, hits)
    covariance, sigma = covariance_and_sigma(jac, sigma_x)
    if not math.isfinite(
        value.detach().sum().item()
    ):  # an observable that a muon doesn't have is not known exactly, although J is 0
        known = torch.isfinite(value)
        sigma = torch.where(known, sigma, float("nan"))
        covariance = torch.where(known[:, :, None] & known[:, None, :], covariance, float("nan"))
    return Law(value, jac, covariance, sigma, finite)


def covariance_and_sigma(
    jac: Float[Tensor, "#muon observable coordinate"], sigma_x: Tensor
) -> tuple[Float[Tensor, "#muon observable observable"], Float[Tensor, "#muon observable"]]:
    """J Σ Jᵀ and the root of its diagonal, with Σ as `canonical` gives it; a single J or Σ is that of all muons."""
    # With muons last, every sum and product runs along memory: the matrices are tiny and many.
    rows, sigma_x = (each.movedim(0, -1).contiguous() for each in (jac, sigma_x))
    left = rows * sigma_x if sigma_x.ndim == 2 else products(rows, sigma_x)
    covariance = products(left, rows.transpose(0, 1)).movedim(-1, 0)
    if rows.shape[1] == 1 and sigma_x.ndim == 2:
        sigma = (magnitude(rows[:, 0]) * _root(sigma_x[0])).t()  # |J| σ_x, without a root for every muon
    else:
        sigma = _root(covariance.diagonal(dim1=1, dim2=2))
    return covariance, sigma


def _in_closed_form(infer: Infer, hits: Tensor, sigma_x: float | Tensor) -> Propagated | None:
    """What `propagate` returns, where `infer` has derivatives in closed form, for one Σ and complete hits."""
    form = closed_form_of(infer)
    plain = None if form is None else plain_hits(form, hits)
    if form is None or plain is None:
        return None
    if isinstance(sigma_x, float):
        found = propagate_in_closed_form(form, plain, sigma_x)
    elif len(sigma_x) > 1 or sigma_x.requires_grad:
        return None
    else:
        found = propagate_in_closed_form(form, plain, sigma_x.numpy())
    return None if found is None else Propagated(*map(torch.from_numpy, found))


def _propagate(infer: Infer, hits: Tensor, sigma_x: Tensor) -> Propagated:
    law = linear_law(infer, hits, sigma_x)
    return masked(Propagated(law.value, law.covariance, law.sigma), law.finite)


def masked(result: Columns, finite: Bool[Tensor, " muon"] | None) -> Columns:
    """A named tuple of tensors (muon, …) with NaN for the muons that are not finite; None: all are.

    Last of all, so that the NaN of one muon stays out of the gradients of the others.
    """
    if finite is None:
        return result
    return type(result)(
        *(torch.where(finite.reshape(-1, *[1] * (part.ndim - 1)), part, float("nan")) for part in result)
    )


def _root(variance: Tensor) -> Tensor:
    """The square root; 0 where rounding made a variance negative, and with a derivative of 0 at 0.

    The root's own derivative there is infinite, and 0 × ∞ would put NaN into the gradient of a sum over muons.
    """
    if not variance.requires_grad:
        return variance.clamp(min=0).sqrt()
    positive = variance > 0
    return torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0 * variance.abs())
