"""Effect of a detector's design on its uncertainties: slopes of the mean σ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .arguments import Hits, measured
from .covariance import HitUncertainty
from .inference import Infer
from .linear import linear_law


@dataclass(frozen=True)
class SigmaSums:
    """Sums over muons of σ and of its derivatives. Those of two blocks add up to those of both.

    Attributes
    ----------
    muons : Tensor
        Number of muons in the sums (observable,).
    sigma : Tensor
        Σ σ (observable,).
    slopes : dict of str to Tensor
        Σ ∂σ/∂p of each parameter by name (observable, …), followed by the parameter's own axes.

    """

    muons: Int[Tensor, " observable"]
    sigma: Float[Tensor, " observable"]
    slopes: dict[str, Tensor]

    def __add__(self, other: SigmaSums) -> SigmaSums:
        slopes = {name: each + other.slopes[name] for name, each in self.slopes.items()}
        return SigmaSums(self.muons + other.muons, self.sigma + other.sigma, slopes)

    @property
    def mean(self) -> Float[Tensor, " observable"]:
        """Mean σ; NaN without muons."""
        return self.sigma / self.muons

    @property
    def gradient(self) -> dict[str, Tensor]:
        """∂(mean σ)/∂p of each parameter by name (observable, …)."""
        return {name: each / self.muons.reshape(-1, *[1] * (each.ndim - 1)) for name, each in self.slopes.items()}


def mean_sigma_gradient(
    infer: Infer,
    hits: Hits,
    parameters: Mapping[str, Tensor],
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
) -> SigmaSums:
    """How the mean σ of each observable changes with each parameter, as sums over muons that blocks can share.

    d mean(σ)/dp, with σ by linear propagation, in all ways that p acts: through `infer`, through the covariance, and
    through hits that move with p. σ holds a derivative already, so that this differentiates backward twice.

    Parameters
    ----------
    infer : callable
        As for `propagate`.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,). The graph of all of them is held in memory: give at most some 100 000 at a
        time.
    parameters : mapping of str to Tensor
        Tensors that require gradients, by name, from which infer, hits, sigma and covariance are computed.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.

    Returns
    -------
    SigmaSums
        The sums: `mean` is the mean σ, and `gradient` is d mean(σ)/dp, exactly zero for a parameter that σ does not
        depend on. A muon with a σ that is not finite is left out of all observables, and one whose σ is 0 (at a kink,
        say) of that observable. Which muons are left out is taken as fixed.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises; a parameter that requires no gradient.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, mean_sigma_gradient
    >>> dz = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    >>> hits = torch.tensor([[0.5], [-0.5]], dtype=torch.float64)
    >>> mean_sigma_gradient(lambda x: infer_theta(x, dz), hits, {"dz": dz}, sigma=0.01).gradient
    {'dz': tensor([-0.0032], dtype=torch.float64)}

    """
    hits, sigma_x, _ = measured(infer, hits, sigma, covariance)
    for name, each in parameters.items():
        if not getattr(each, "requires_grad", False):
            raise ValueError(f"parameter {name!r} requires no gradient: call .requires_grad_() before it is used")
    with torch.no_grad():
        law = linear_law(infer, hits.detach(), sigma_x.detach())
    # A muon without σ is taken out before the backward pass: masked after it, its NaN would be in every sum.
    rows = torch.isfinite(law.sigma).all(dim=1)
    rows = rows if law.finite is None else rows & law.finite
    x = hits.detach()[rows].requires_grad_()
    with torch.enable_grad():
        found = linear_law(infer, x, sigma_x if len(sigma_x) == 1 else sigma_x[rows]).sigma
        # Where σ is 0, so is its derivative. That of a linear function has no graph without that of no hits.
        totals = found.sum(dim=0) + x[:0].sum()
    leaves = list(parameters.values())
    parts = [
        torch.autograd.grad(total, [*leaves, x], retain_graph=True, allow_unused=True, materialize_grads=True)
        for total in totals.unbind()
    ]
    *direct, by_hits = (torch.stack(each) for each in zip(*parts, strict=True))
    if hits.requires_grad:
        direct = [a + b for a, b in zip(direct, through_hits(hits, rows, by_hits, leaves), strict=True)]
    return SigmaSums((found > 0).sum(dim=0), totals.detach(), dict(zip(parameters, direct, strict=True)))


def through_hits(
    hits: Float[Tensor, "muon coordinate"],
    rows: Bool[Tensor, " muon"],
    by_hits: Float[Tensor, "observable some coordinate"],
    leaves: list[Tensor],
) -> list[Tensor]:
    """Change of the sums by hits that move with each parameter: Σ ∂σ/∂hits ∂hits/∂p over the muons of `rows`.

    ∂hits/∂p is found muon by muon, as the derivative of the backward pass vᵀ ∂hits/∂p by v: a backward pass with zeros
    for the other muons would still have their NaN, since 0 × NaN is NaN.
    """

    def of_element(each: Tensor) -> Tensor:
        if not each.requires_grad:  # the hits do not move with it
            return by_hits.new_zeros(len(by_hits))
        (moved,) = torch.autograd.grad(each, v, retain_graph=True, allow_unused=True, materialize_grads=True)
        return torch.where(there, by_hits * moved[rows], 0.0).sum(dim=(1, 2))

    there = torch.isfinite(hits.detach()[rows])  # a hit that is missing moves nothing, whatever its own slope is
    v = torch.zeros_like(hits).requires_grad_()
    with torch.enable_grad():
        # As a sum, since torch imports its symbolic algebra, for a second, to look at a vector that is given.
        total = (hits * v).sum()
        by_leaf = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        elements = [each.reshape(-1).unbind() for each in by_leaf]
    return [
        torch.stack([of_element(element) for element in each], dim=1).reshape(len(by_hits), *leaf.shape)
        for each, leaf in zip(elements, leaves, strict=True)
    ]
