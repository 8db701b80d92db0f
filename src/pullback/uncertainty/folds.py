"""Folds: the signed quantities of which an observable is the length or the azimuth.

θ = arctan|x/dz| folds: hits on either side of x = 0 have the same θ, although x/dz itself is measured with its sign.
Near a fold, intervals are constructed in the signed quantities, which are nearly Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jaxtyping import Float

from .arrays import Tensor
from .elementwise import products, total


class Fold(NamedTuple):
    """How an observable depends on signed quantities: it increases with their length, or is their azimuth.

    Attributes
    ----------
    signed : tuple of int
        Columns of one or two signed quantities s. Of one, the observable is an increasing function of |s|; of two, of
        √(s_a² + s_b²).
    azimuth : bool
        Whether the observable is atan2(s_b, s_a) instead, in units of its period over 2π.
    """

    signed: tuple[int, ...]
    azimuth: bool = False


class Folding(NamedTuple):
    """What an inference says of the folds of its observables.

    Attributes
    ----------
    signed : callable
        The signed quantities (muon, quantity) of hits (muon, coordinate); with the arguments of the inference.
    folds : tuple of (Fold or None)
        The fold of each observable; None without one.
    observables : tuple of int, optional
        The columns of the observables that are the signed quantities, if all of them are observables.
    undeclared : tuple of int
        Columns of observables of which nothing is said: they may fold anywhere.
    bends : tuple of (Fold or None)
        For each observable without a fold the signed quantities with which it bends, and beyond all bounds where they
        are 0; for given ones it is nearly linear in the hits.
    """

    signed: Callable[..., Tensor]
    folds: tuple[Fold | None, ...]
    observables: tuple[int, ...] | None = None
    undeclared: tuple[int, ...] = ()
    bends: tuple[Fold | None, ...] = ()


def folding_of(infer: Callable[..., Any]) -> Folding | None:
    """The attribute `folding` of an inference, also of a `functools.partial` of it; None where nothing is said."""
    if isinstance(infer, partial) and "folding" not in vars(infer):
        whole = folding_of(infer.func)
        return whole and whole._replace(signed=partial(whole.signed, *infer.args, **infer.keywords))
    folding: Folding | None = getattr(infer, "folding", None)
    return folding


def only_columns(infer: Callable[..., Tensor], columns: tuple[int, ...]) -> Callable[..., Tensor]:
    """Some of the observables of an inference, as an inference with the same arguments."""

    def some(*arguments: Any, **parameters: Any) -> Tensor:
        return infer(*arguments, **parameters)[:, list(columns)]

    return some


def fold_distance(
    signed: Float[Tensor, "muon quantity"], covariance: Float[Tensor, "#muon quantity quantity"]
) -> Float[Tensor, " muon"]:
    """Distance from the fold, √(sᵀ C⁻¹ s), of one or two signed quantities with covariance C; 0 at s = 0.

    It does not depend on the units or axes of the quantities, and counts standard deviations in the direction of the
    fold. Where C is singular it is infinite.
    """
    if signed.shape[1] == 1:
        square, determinant = signed[:, 0].square(), covariance[:, 0, 0]
    else:
        a, b = signed.unbind(1)
        aa, ab, bb = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
        square, determinant = bb * a * a - 2 * ab * a * b + aa * b * b, aa * bb - ab * ab
    found = (square.clamp(min=0) / determinant).sqrt().masked_fill(determinant <= 0, float("inf"))
    return found.masked_fill((signed == 0).all(dim=1), 0.0)


def moved(
    hits: Float[Tensor, "muon coordinate"],
    s: Float[Tensor, "muon quantity"],
    jacobian: Float[Tensor, "muon quantity coordinate"],
    sigma_x: Float[Tensor, "#muon coordinate *second"],
    target: Float[Tensor, "muon quantity"],
    signed: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "muon coordinate"]:
    """The hits nearest to those recorded, in the metric Σ⁻¹, at which the signed quantities have target values.

    h + Σ Jᵀ (J Σ Jᵀ)⁻¹ (target − s), exact where s is linear in the hits; elsewhere refined by a second step from what
    `signed` gives there.

    Parameters
    ----------
    hits, s, jacobian : tensor
        The recorded hits, the signed quantities there (one or two) and their Jacobian.
    sigma_x : tensor
        Σ, as variances or matrices, one for all muons or one for each.
    target : tensor
        The wanted values of the signed quantities.
    signed : callable, optional
        The signed quantities as a function of hits, where it is not linear.

    """
    shift = gain(jacobian, sigma_x)
    at = shifted(hits, shift, target - s)
    return at if signed is None else shifted(at, shift, target - signed(at))


def gain(
    jacobian: Float[Tensor, "muon quantity coordinate"], sigma_x: Float[Tensor, "#muon coordinate *second"]
) -> Float[Tensor, "quantity coordinate muon"]:
    """(J Σ Jᵀ)⁻¹ J Σ: the shift of the hits for a change of each signed quantity (one or two) by one, muons last."""
    import torch

    rows, sigma_x = (each.movedim(0, -1).contiguous() for each in (jacobian, sigma_x))
    left = rows * sigma_x if sigma_x.ndim == 2 else products(rows, sigma_x)
    covariance = products(left, rows.transpose(0, 1))
    if len(rows) == 1:
        return left / covariance[0, 0]
    (a, b), (aa, ab, bb) = left, (covariance[0, 0], covariance[0, 1], covariance[1, 1])
    return torch.stack([bb * a - ab * b, aa * b - ab * a]) / (aa * bb - ab * ab)


def shifted(
    hits: Float[Tensor, "muon coordinate"],
    shift: Float[Tensor, "quantity coordinate muon"],
    by: Float[Tensor, "muon quantity"],
) -> Float[Tensor, "muon coordinate"]:
    """The hits shifted for a change of the signed quantities, with their `gain`."""
    return hits + total(part * off for part, off in zip(shift, by.unbind(1), strict=True)).t()
