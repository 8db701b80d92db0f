"""Observables computed part by part, each in the few parameters on which it depends (`uncertainty.reduction`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .arguments import Columns
from .inference import Infer, accepts_missing, periods_of, refuse_of
from .linear import covariance_and_sigma
from .memory import large
from .reduction import ReducedPart, Reduction, reduction_of

STILL = 100
"""Largest variance that is rounding, in units of the precision, relative to that of independent hits."""


class PartInference:
    """The inference of a part as a function of its parameters, with the attributes of an inference."""

    missing, refuse, by_columns = False, None, True

    def __init__(self, part: ReducedPart, periods: tuple[float, ...] | None):
        own = tuple(periods[index] for index in part.observables) if periods else ()
        self.periods = own if any(own) else None
        self.folding, self._infer = part.folding, part.infer

    def __call__(self, parameters: Float[Tensor, "muon parameter"]) -> Float[Tensor, "muon observable"]:
        """The observables of each muon."""
        return self._infer(parameters)


class SomeObservables:
    """Some observables of an inference as a function of the hits, with the attributes of an inference."""

    folding, closed_form = None, None

    def __init__(self, infer: Infer, reduction: Reduction, observables: tuple[int, ...]):
        self.reduction, self.missing, self.refuse = reduction, accepts_missing(infer), refuse_of(infer)
        periods = periods_of(infer)
        self.periods = tuple(periods[index] for index in observables) if periods else None

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon observable"]:
        """The observables of each muon."""
        u = self.reduction.parameters(hits)
        if self.reduction.linear:
            return u[:, [*self.reduction.linear.values()]]
        (part,) = self.reduction.parts
        return part.infer(u[:, [*part.parameters]])


def part_with(infer: Infer, column: int) -> tuple[Infer, int]:
    """The smallest part of an inference that has an observable, as a function of the hits, and its column there."""
    reduction = reduction_of(infer)
    if reduction is None:
        return infer, column
    if column in reduction.linear:
        alone = reduction._replace(linear={0: reduction.linear[column]}, parts=())
        return SomeObservables(infer, alone, (column,)), 0
    part = next(each for each in reduction.parts if column in each.observables)
    renumbered = part._replace(observables=tuple(range(len(part.observables))))
    alone = reduction._replace(linear={}, parts=(renumbered,))
    return SomeObservables(infer, alone, part.observables), part.observables.index(column)


def by_parts(
    work: Callable[[Infer, Tensor, Tensor], Columns],
    exact: Callable[[Tensor, Tensor], Columns],
    infer: Infer,
    hits: Float[Tensor, "muon coordinate"],
    sigma_x: Tensor,
) -> Columns:
    """The named tuple of tensors (muon, observable, …) of `work(infer, hits, sigma_x)`, part by part.

    Parameters
    ----------
    work : callable
        The results of an inference for all hits, with their Σ as `canonical` gives it.
    exact : callable
        The same for observables that are linear in the hits, from their values and their σ.
    infer, hits, sigma_x
        The inference, hits and Σ.

    """
    reduction = reduction_of(infer)
    if reduction is None:
        return work(infer, hits, sigma_x)
    u, covariance = reduced(reduction.parameters, hits, sigma_x)
    found: list[tuple[list[int], Columns]] = []
    if reduction.linear:
        columns = [*reduction.linear.values()]
        sigma = covariance.diagonal(dim1=1, dim2=2)[:, columns].clamp(min=0).sqrt().expand(len(hits), -1)
        known = torch.isfinite(u[:, columns])
        every = exact(u[:, columns], sigma.masked_fill(~known, float("nan")))
        found.append(([*reduction.linear], every))
    for part in reduction.parts:
        own = [*part.parameters]
        of_part = covariance[:, own][:, :, own]
        of_part = of_part[:, :, 0] if len(own) == 1 else of_part
        found.append(([*part.observables], work(PartInference(part, periods_of(infer)), u[:, own], of_part)))
    return _side_by_side(found, torch.isinf(hits).any(dim=1))


def _side_by_side(parts: list[tuple[list[int], Columns]], infinite: Bool[Tensor, " muon"]) -> Columns:
    """The columns of all observables; NaN, or false, for a muon with an infinite hit."""
    count, spoilt = sum(len(columns) for columns, _ in parts), bool(infinite.any())
    first, whole = parts[0][1], []
    for index, like in enumerate(first):
        column = large(like.new_empty(1, count, *like.shape[2:]), len(like))
        for columns, found in parts:
            column[:, columns] = found[index]
        if spoilt:
            column[infinite] = False if column.dtype == torch.bool else float("nan")
        whole.append(column)
    return type(first)(*whole)


def reduced(
    parameters: Callable[[Tensor], Tensor], hits: Float[Tensor, "muon coordinate"], sigma_x: Tensor
) -> tuple[Float[Tensor, "muon parameter"], Float[Tensor, "#muon parameter parameter"]]:
    """The parameters u = A h of each muon, and A Σ Aᵀ; 0 in place of those that a muon lacks."""
    u, there = parameters(hits), torch.isfinite(hits)
    if there.all():
        every = torch.ones(hits.shape[1], dtype=torch.bool, device=hits.device)
        return u, _propagated(_matrix(parameters, every, hits), sigma_x)
    first, pattern = np.unique(there.numpy(force=True), axis=0, return_inverse=True)
    rows = torch.from_numpy(pattern.reshape(-1)).to(hits.device)
    matrices = torch.cat([_matrix(parameters, each.to(hits.device), hits) for each in torch.from_numpy(first)])
    if len(sigma_x) == 1:
        return u, _propagated(matrices, sigma_x)[rows]
    return u, _propagated(matrices[rows], sigma_x)


def _propagated(
    matrix: Float[Tensor, "#muon parameter coordinate"], sigma_x: Tensor
) -> Float[Tensor, "#muon parameter parameter"]:
    """A Σ Aᵀ, with 0 for a parameter whose variance is rounding, as of a slope where all hits are shifted alike."""
    covariance = covariance_and_sigma(matrix, sigma_x)[0]
    variances = sigma_x if sigma_x.ndim == 2 else sigma_x.diagonal(dim1=1, dim2=2)
    scale = (matrix.square() * variances[:, None]).sum(dim=2)
    still = covariance.diagonal(dim1=1, dim2=2) <= STILL * torch.finfo(covariance.dtype).eps * scale
    return covariance.masked_fill(still[:, :, None] | still[:, None], 0.0) if still.any() else covariance


def _matrix(
    parameters: Callable[[Tensor], Tensor], there: Bool[Tensor, " coordinate"], hits: Tensor
) -> Float[Tensor, "1 parameter coordinate"]:
    """A of muons with these hits: what is made of a hit of 1 in one coordinate and 0 in the others."""
    ones = torch.where(there, torch.eye(len(there)).to(hits), float("nan"))
    return parameters(ones).t().nan_to_num(0.0, 0.0, 0.0)[None]
