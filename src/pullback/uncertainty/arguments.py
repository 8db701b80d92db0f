"""Hits and their uncertainty as a user gives them, and as the computations take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .arrays import Array
from .closed_form import closed_form_of
from .covariance import HitUncertainty, canonical, standard_deviations
from .inference import Infer

Hits = Float[Tensor, "..."] | Float[np.ndarray, "..."]
"""Hits (muon, coordinate), or (muon,) where a muon has one coordinate."""


Columns = TypeVar("Columns", bound=tuple[Any, ...])
"""A named tuple of tensors (muon, …), or of numpy arrays."""


LARGEST_SIGMA = 1e150
"""Standard deviations whose squares are surely finite are smaller."""

MOST_COORDINATES = 64
"""Largest number of hits in one dimension that may be the coordinates of one muon."""

MOVED_APART, COUNTS_AS_SAME = 1 / 3, 0.6
"""Powers of the precision ε: the distance to which equal hits are moved apart, and that of numbers that are the same.

Relative to the largest, these are 6e-6 and 4e-10 in double precision.
"""


class Measured(NamedTuple):
    """Hits with their uncertainty, as the computations take them."""

    hits: Float[Tensor, "muon coordinate"]
    covariance: Float[Tensor, "row coordinate *second"]
    """Variances or matrices, as `canonical` gives them."""
    sigma: Float[Tensor, "row coordinate"] | None
    """The standard deviations, where these were given."""


def measured(infer: Infer, hits: Hits, sigma: HitUncertainty | None, covariance: HitUncertainty | None) -> Measured:
    """The hits as `infer` takes them, with exactly one of `sigma` and `covariance` turned into a covariance.

    Raises
    ------
    TypeError
        Both of sigma and covariance are given, or neither; or something that is no number.
    ValueError
        A wrong shape, one that may be of one muon or of many, or numbers that no standard deviation or covariance can
        have.

    """
    if (sigma is None) == (covariance is None):
        raise TypeError(
            "the uncertainty of hits must be given as sigma= (standard deviations) or as covariance= (variances or "
            f"matrices), not {'as both' if covariance is not None else 'left out'}"
        )
    x = hits_tensor(infer, hits)
    if sigma is None:
        return Measured(x, canonical(_native(covariance), x), None)
    sigma = _native(sigma)
    deviations = standard_deviations(sigma, x)
    if isinstance(sigma, float):
        return Measured(x, canonical(_square(sigma), x), deviations)
    # Squared before it is rounded to the precision of the hits, and not as small integers, which overflow.
    wide = torch.as_tensor(sigma, dtype=torch.float64)
    return Measured(x, standard_deviations(wide**2, x, checked=False), deviations)


def with_covariance(
    infer: Infer, hits: Hits, sigma: HitUncertainty | None, covariance: HitUncertainty | None
) -> tuple[Float[Tensor, "muon coordinate"], float | Float[Tensor, "row coordinate *second"]]:
    """The hits and their covariance as `measured` gives them, or as a number where σ is one."""
    if isinstance(sigma, float) and covariance is None and 0 <= sigma < LARGEST_SIGMA:
        return hits_tensor(infer, hits), sigma * sigma
    return measured(infer, hits, sigma, covariance)[:2]


def _square(sigma: float) -> float:
    try:
        return sigma**2
    except OverflowError:
        raise ValueError(f"sigma is too large for its square to be finite: {sigma:g}") from None


def hits_tensor(infer: Infer, hits: Hits) -> Float[Tensor, "muon coordinate"]:
    """Hits as a tensor (muon, coordinate), from a tensor or a numpy array that may be one-dimensional.

    Masked hits of a numpy array become NaN. The precision is double where that of `infer` is, and single at least.

    Raises
    ------
    TypeError
        The hits are no floating-point tensor or array.
    ValueError
        A wrong shape, or one dimension that `infer` may take for one muon.

    """
    if isinstance(hits, np.ndarray) and hits.dtype.kind == "f":
        hits = to_tensor(hits) if hits.dtype.itemsize <= 8 else hits
    one_dimensional = isinstance(hits, Tensor) and hits.ndim == 1
    x = _in_precision_of(infer, check_hits(hits[:, None] if one_dimensional else hits))
    # A closed form says by itself how many coordinates it is for.
    unclear = one_dimensional and 1 < len(x) <= MOST_COORDINATES and closed_form_of(infer) is None
    if unclear and _may_be_one_muon(infer, x.detach()):
        raise ValueError(
            f"hits must be (muon, coordinate), and ({len(x)},) may be either: give hits[None] for one muon with "
            f"{len(x)} coordinates, or hits[:, None] for {len(x)} muons with one coordinate each"
        )
    return x


def _in_precision_of(infer: Infer, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon coordinate"]:
    """The hits, in double precision where `infer` computes in it, as with constants of that type."""
    if hits.dtype == torch.float64:
        return hits
    hits = hits if hits.dtype == torch.float32 else hits.float()
    few = hits[:1].detach()
    value = _tried(infer, few)
    value = _tried(infer, few.double()) if value is None else value  # torch multiplies no matrices of two types
    return hits.double() if isinstance(value, Tensor) and value.dtype == torch.float64 else hits


def _may_be_one_muon(infer: Infer, hits: Float[Tensor, "muon 1"]) -> bool:
    """Whether `infer` works for hits of one coordinate as those of one muon, and gives it numbers of its own.

    A function of each coordinate by itself, or of the first alone, gives one muon numbers that these hits have too.
    """
    x, eps = hits[:, 0].nan_to_num(0.0, 0.0, 0.0), torch.finfo(hits.dtype).eps
    # Hits that are equal or evenly spaced are moved apart: no cosine of whole numbers is a sum of multiples of others.
    step = eps**MOVED_APART * (x.abs().max().item() or 1.0)
    x = x + step * torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device).cos()
    as_one, as_many = _tried(infer, x[None]), _tried(infer, x[:, None])
    if mistake_in(as_one, 1):
        return False
    if mistake_in(as_many, len(x)):
        return True
    one, many = as_one.flatten(), as_many.flatten()
    same = eps**COUNTS_AS_SAME * one.nan_to_num(0.0, 0.0, 0.0).abs().max()
    found = ((one[:, None] - many).abs() <= same).any(dim=1)
    return not (found | ~torch.isfinite(one)).all()


def _tried(infer: Infer, hits: Float[Tensor, "muon coordinate"]) -> Any:
    """What `infer` returns, without gradients; None where it fails, which is told when it is used.

    It is given a copy: whether it changes its hits is not known yet.
    """
    try:
        with torch.no_grad():
            return infer(hits.clone())
    except Exception:
        return None


def to_tensor(given: Array) -> Tensor:
    """A tensor of floating-point numbers, which shares the memory of a numpy array of these."""
    found = given if isinstance(given, Tensor) else torch.from_numpy(_native(np.asanyarray(given)))
    if found.is_complex():
        raise TypeError(f"numbers must be real, not {found.dtype}")
    return found if found.is_floating_point() else found.double()


@overload
def like(given: Tensor, result: Tensor) -> Tensor: ...
@overload
def like(given: np.ndarray, result: Tensor) -> np.ndarray: ...
def like(given: Array, result: Tensor) -> Array:
    """A result, as a numpy array where what it is computed from was given as one."""
    return result if isinstance(given, Tensor) else result.numpy(force=True)


def check_hits(hits: Hits) -> Float[Tensor, "muon coordinate"]:
    """The hits; raises unless they are a floating-point tensor (muon, coordinate)."""
    if not isinstance(hits, Tensor) or not hits.is_floating_point():
        kind = hits.dtype if isinstance(hits, Tensor | np.ndarray) else type(hits).__name__
        by_type = {Tensor: "hits.double()", np.ndarray: "hits.astype(float)", object: "np.asarray(hits, dtype=float)"}
        use = next(advice for each, advice in by_type.items() if isinstance(hits, each))
        advice = "" if "complex" in str(kind) else f": use {use}"
        raise TypeError(f"hits must be a floating-point torch tensor or numpy array, not {kind}{advice}")
    if hits.ndim != 2 or hits.shape[1] == 0:
        raise ValueError(f"hits must have shape (muon, coordinate), not {tuple(hits.shape)}")
    return hits


def mistake_in(value: Any, rows: int, row: str = "muon") -> str:
    """Why the result of an inference holds no observables row by row; empty if it does."""
    if isinstance(value, Tensor) and value.ndim == 2 and len(value) == rows and value.shape[1]:
        return ""
    found = _in_words(value.shape, rows, row) if isinstance(value, Tensor) else type(value).__name__
    return f"must return a tensor ({row}, observable), {row} by {row}, not {found}; a single observable is ({row}, 1)"


def _in_words(shape: Sequence[int], rows: int, row: str) -> str:
    """A shape without the number of rows, which may be filled up: (muon) of 32 muons, where 5 were given."""
    words = [row if index == 0 and size == rows else str(size) for index, size in enumerate(shape)]
    return f"({', '.join(words)})"


def give_back(hits: object, result: Columns) -> Columns:
    """A named tuple of tensors, as numpy arrays where the hits were given as one."""
    return result if isinstance(hits, Tensor) else type(result)(*(part.numpy(force=True) for part in result))


def _native(given: Any) -> Any:
    """A numpy array that torch can share, with NaN where it is masked; a number, list or tensor as it is.

    torch knows neither another byte order nor negative strides, and warns of an array that cannot be written to.
    """
    if isinstance(given, Tensor | np.generic) or not hasattr(given, "__array__"):
        return given
    given = np.asanyarray(given)  # such as a column of pandas
    if isinstance(given, np.ma.MaskedArray):
        given = np.ma.filled(given.astype(np.result_type(given, np.float16)), np.nan)
    return np.require(given, given.dtype.newbyteorder("="), ["C", "W", "E"])
