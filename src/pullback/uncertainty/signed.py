"""Signed quantities by linear propagation: distances of observables from their folds, and squares without bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .arguments import measured
from .covariance import HitUncertainty
from .elementwise import total
from .folds import Fold, Folding, fold_distance, folding_of, gain, shifted
from .inference import Infer
from .jacobians import differentiate, usable_muons, with_stand_ins
from .linear import by_blocks, covariance_and_sigma, masked

REACHED = 1e-9
"""Distance from their target, in σ, within which signed quantities need no second step."""


class Signed(NamedTuple):
    """Signed quantities at the hits, by linear propagation."""

    value: Float[Tensor, "muon quantity"]
    jacobian: Float[Tensor, "muon quantity coordinate"]
    covariance: Float[Tensor, "muon quantity quantity"]

    def of(self, columns: tuple[int, ...]) -> Signed:
        """Some of the quantities."""
        if self.value.shape[1] == 1:
            return self
        which = list(columns)
        return Signed(self.value[:, which], self.jacobian[:, which], self.covariance[:, which][:, :, which])

    def take(self, rows: Int[Tensor, " few"]) -> Signed:
        """Some of the muons."""
        return Signed(*(part[rows] for part in self))


def signed_at(folding: Folding, hits: Tensor, sigma_x: Tensor) -> Signed:
    """The signed quantities of hits that are usable, with Σ as `canonical` gives it."""
    value, jacobian = differentiate(folding.signed, hits)
    return Signed(value, jacobian, covariance_and_sigma(jacobian, sigma_x)[0])


class FoldedMuons(NamedTuple):
    """Muons of a block with an observable that folds, and the signed quantities that fold into it."""

    infer: Infer
    folding: Folding
    fold: Fold
    hits: Float[Tensor, "muon coordinate"]
    sigma_x: Float[Tensor, "#muon coordinate *second"]
    s: Signed

    def take(self, rows: Int[Tensor, " few"]) -> FoldedMuons:
        """Some of the muons."""
        sigma_x = self.sigma_x if len(self.sigma_x) == 1 else self.sigma_x[rows]
        return self._replace(hits=self.hits[rows], sigma_x=sigma_x, s=self.s.take(rows))

    def signed_at(
        self, hits: Float[Tensor, "muon coordinate"], value: Float[Tensor, "muon observable"]
    ) -> Float[Tensor, "muon quantity"]:
        """The signed quantities at other hits, where the observables have these values."""
        where = self.folding.observables
        if where is None:
            return self.folding.signed(hits)[:, list(self.fold.signed)]
        return value[:, [where[column] for column in self.fold.signed]]


def observable_at(
    muons: FoldedMuons,
    index: int,
    shift: Float[Tensor, "quantity coordinate muon"],
    target: Float[Tensor, "muon quantity"],
) -> Float[Tensor, " muon"]:
    """An observable where the signed quantities have target values, by a second step where they are not linear."""
    hits = shifted(muons.hits, shift, target - muons.s.value)
    value = muons.infer(hits)
    off = target - muons.signed_at(hits, value)
    far = (off.square() > REACHED**2 * muons.s.covariance.diagonal(dim1=1, dim2=2)).any(dim=1)
    if not far.any():
        return value[:, index]
    return torch.where(far, muons.infer(shifted(hits, shift, off))[:, index], value[:, index])


def observable_along(
    muons: FoldedMuons, index: int, targets: Float[Tensor, "target muon"]
) -> Float[Tensor, "target muon"]:
    """`observable_at` for several targets of one signed quantity in one coordinate, all in one call."""
    (shift,) = gain(muons.s.jacobian, muons.sigma_x)[0]
    hits = (targets - muons.s.value[:, 0]).mul_(shift).add_(muons.hits[:, 0]).reshape(-1, 1)
    values = muons.infer(hits)
    off = targets - muons.signed_at(hits, values).reshape(targets.shape)
    far = off.square() > REACHED**2 * muons.s.covariance[:, 0, 0]
    if far.any():
        again = muons.infer(hits + (shift * off).reshape(-1, 1))
        values = torch.where(far.reshape(-1, 1), again, values)
    return values[:, index].reshape(targets.shape)


def ahead(s: Float[Tensor, "muon quantity"]) -> Float[Tensor, "muon quantity"]:
    """The direction of signed quantities, and the first axis where they are 0."""
    length = total(s.square().t()).sqrt()[:, None]
    first = torch.zeros_like(s)
    first[:, 0] = 1.0
    return torch.where(length > 0, s / length, first)


class Distances(NamedTuple):
    """Distance from the fold, √(sᵀ C⁻¹ s), of each observable with a fold; NaN for the others."""

    distance: Float[Tensor, "muon observable"]


class Squares(NamedTuple):
    """|s|² − tr C, the estimate of |μ|² without bias, and its standard uncertainty; NaN without a fold."""

    squared: Float[Tensor, "muon observable"]
    sigma: Float[Tensor, "muon observable"]


def fold_distances(infer: Infer, hits: Tensor, *, covariance: HitUncertainty) -> Distances:
    """Distances of each muon from the folds, in σ of the signed quantities that fold, by linear propagation.

    Parameters
    ----------
    infer : callable
        An inference with a `folding`.
    hits : Tensor
        Hits (muon, coordinate).
    covariance : float or Tensor
        Covariance of the hits, as for `propagate`.

    """
    return _of_folds(Distances, lambda s, covariance: (fold_distance(s, covariance),), infer, hits, covariance)


def unbiased_squares(infer: Infer, hits: Tensor, *, covariance: HitUncertainty) -> Squares:
    """Squares of the lengths of the signed quantities that fold, for each muon; parameters as for `fold_distances`.

    With s ~ N(μ, C): E|s|² = |μ|² + tr C, so that |s|² − tr C estimates |μ|² without bias, also at μ = 0, where |s| is
    off by more than σ. Its variance 4 μᵀ C μ + 2 tr C² is estimated without bias by 4 sᵀ C s − 2 tr C²; not below
    2 tr C², the variance at μ = 0. C is that of linear propagation.

    Source: moments of quadratic forms of Gaussian vectors, e.g. A. C. Rencher and G. B. Schaalje, Linear Models in
    Statistics, 2nd ed., theorems 5.2a and 5.2c.

    """
    return _of_folds(Squares, squared_length, infer, hits, covariance)


Measures = TypeVar("Measures", Distances, Squares)


def _of_folds(
    kind: type[Measures],
    measure: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    infer: Infer,
    hits: Tensor,
    covariance: HitUncertainty,
) -> Measures:
    """What follows from the signed quantities of each observable with a fold; NaN for the others."""

    def of_block(hits: Tensor, sigma_x: Tensor) -> Measures:
        folding, finite = folding_of(infer), usable_muons(infer, hits)
        assert folding
        signed = signed_at(folding, with_stand_ins(hits, finite), sigma_x)
        found = kind(*signed.value.new_full((len(kind._fields), len(hits), len(folding.folds)), float("nan")))
        for index, fold in enumerate(folding.folds):
            if fold:
                s, _, cov = signed.of(fold.signed)
                for column, values in zip(found, measure(s, cov), strict=True):
                    column[:, index] = values
        return masked(found, finite)

    given = measured(infer, hits, None, covariance)
    with torch.no_grad():
        return by_blocks(of_block, given.hits.detach(), given.covariance.detach())


def squared_length(
    s: Float[Tensor, "muon quantity"], covariance: Float[Tensor, "#muon quantity quantity"]
) -> tuple[Float[Tensor, " muon"], Float[Tensor, " muon"]]:
    """|s|² − tr C and its standard uncertainty, as in `unbiased_squares`."""
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    least = 2 * covariance.square().sum(dim=(1, 2))  # C is symmetric: tr C² is the sum of squares
    variance = 4 * (s[:, :, None] * covariance * s[:, None, :]).sum(dim=(1, 2)) - least
    return s.square().sum(dim=1) - trace, torch.maximum(variance, least).sqrt()
