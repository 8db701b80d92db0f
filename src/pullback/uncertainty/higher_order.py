"""The law of propagation of uncertainty with its terms of second order."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .arguments import Hits, give_back, measured
from .covariance import HitUncertainty
from .inference import Infer
from .jacobians import with_stand_ins
from .linear import by_blocks, linear_law, masked


class SecondOrder(NamedTuple):
    """What `second_order` returns, muon by muon, and observable by observable."""

    value: Float[Tensor, "muon observable"]
    bias: Float[Tensor, "muon observable"]
    sigma: Float[Tensor, "muon observable"]


def second_order(
    infer: Infer,
    hits: Hits,
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
) -> SecondOrder:
    """Each muon's observables with bias and standard uncertainty to second order in the covariance of the hits.

    With g = ∇f, H = ∇∇f and t = tr(H Σ) at the hits: bias = ½ t, and
    u² = gᵀ Σ g + ½ tr(H Σ H Σ) + gᵀ Σ ∇t. For independent hits that is JCGM 100:2008, 5.1.2, note:
    Σᵢ fᵢ² uᵢ² + Σᵢⱼ (½ fᵢⱼ² + fᵢ fᵢⱼⱼ) uᵢ² uⱼ²; it holds for Gaussian hits that are correlated too. Right where f
    bends, and as wrong as linear propagation at a kink, which has no derivatives.

    Parameters
    ----------
    infer : callable
        As for `propagate`; torch must know its third derivatives.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,). A muon with a hit that is NaN or infinite gets NaN throughout.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.

    Returns
    -------
    SecondOrder
        value, bias and sigma (muon, observable), in the units of the observables, without gradients; numpy arrays
        where hits are one. The estimate that belongs to sigma is value + bias. sigma is NaN where the second-order
        terms make its square negative: there the series is of no use.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises.

    Examples
    --------
    >>> import torch
    >>> from pullback import second_order
    >>> second_order(lambda x: x**2, torch.tensor([[0.0]], dtype=torch.float64), sigma=1.0)  # χ² has mean 1, variance 2
    SecondOrder(value=tensor([[0.]], dtype=torch.float64), bias=tensor([[1.]], dtype=torch.float64), \
sigma=tensor([[1.4142]], dtype=torch.float64))

    """
    given = measured(infer, hits, sigma, covariance)
    work = partial(_second_order, infer)
    return give_back(hits, by_blocks(work, given.hits.detach(), given.covariance.detach()))


def _second_order(infer: Infer, hits: Tensor, sigma_x: Tensor) -> SecondOrder:
    with torch.no_grad():
        law = linear_law(infer, hits, sigma_x)
    cov = torch.diag_embed(sigma_x) if sigma_x.ndim == 2 else sigma_x
    x = with_stand_ins(hits, law.finite).requires_grad_()
    with torch.enable_grad():
        columns = infer(x).unbind(1)
    terms = [_terms(column, x, cov, law.sigma[:, index].square()) for index, column in enumerate(columns)]
    bias, variance = (torch.stack(each, dim=1) for each in zip(*terms, strict=True))
    return masked(SecondOrder(law.value, bias, variance.sqrt()), law.finite)


def _terms(
    column: Float[Tensor, " muon"],
    x: Float[Tensor, "muon coordinate"],
    cov: Float[Tensor, "#muon coordinate coordinate"],
    first: Float[Tensor, " muon"],
) -> tuple[Float[Tensor, " muon"], Float[Tensor, " muon"]]:
    """Bias and variance of one observable, by three backward passes in succession."""

    def gradient(each: Tensor) -> Tensor:
        if not each.requires_grad:  # constant, so that the next derivatives are zero
            return torch.zeros_like(x)
        return torch.autograd.grad(each.sum(), x, create_graph=True, materialize_grads=True)[0]

    with torch.enable_grad():
        slope = gradient(column)
        hessian = torch.stack([gradient(each) for each in slope.unbind(1)], dim=1)
        trace = (hessian * cov).sum(dim=(1, 2))
        third = gradient(trace)
    spread = (hessian[:, :, :, None] * cov[:, None]).sum(dim=2)  # H Σ
    bend = (spread * spread.mT).sum(dim=(1, 2)) / 2
    variance = first + bend + (slope[:, :, None] * cov * third[:, None, :]).sum(dim=(1, 2))
    return trace.detach() / 2, variance.detach()
