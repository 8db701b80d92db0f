"""Hits and their uncertainty as a user gives them, and as the computations take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .arrays import Array
from .covariance import HitUncertainty, canonical, standard_deviations

Hits = Float[Tensor, "..."] | Float[np.ndarray, "..."]
"""Hits (muon, coordinate), or (muon,) where a muon has one coordinate."""


Columns = TypeVar("Columns", bound=tuple[Any, ...])
"""A named tuple of tensors (muon, …), or of numpy arrays."""


LARGEST_SIGMA = 1e150
"""Standard deviations whose squares are surely finite are smaller."""


class Measured(NamedTuple):
    """Hits with their uncertainty, as the computations take them."""

    hits: Float[Tensor, "muon coordinate"]
    covariance: Float[Tensor, "row coordinate *second"]
    """Variances or matrices, as `canonical` gives them."""
    sigma: Float[Tensor, "row coordinate"] | None
    """The standard deviations, where these were given."""


def measured(hits: Hits, sigma: HitUncertainty | None, covariance: HitUncertainty | None) -> Measured:
    """The hits as a tensor, with exactly one of `sigma` and `covariance` turned into a covariance.

    Raises
    ------
    TypeError
        Both of sigma and covariance are given, or neither; or something that is no number.
    ValueError
        A wrong shape, or numbers that no standard deviation or covariance can have.

    """
    if (sigma is None) == (covariance is None):
        raise TypeError(
            "the uncertainty of hits must be given as sigma= (standard deviations) or as covariance= (variances or "
            f"matrices), not {'as both' if covariance is not None else 'left out'}"
        )
    x = hits_tensor(hits)
    if sigma is None:
        return Measured(x, canonical(_native(covariance), x), None)
    sigma = _native(sigma)
    deviations = standard_deviations(sigma, x)
    if isinstance(sigma, float):
        return Measured(x, canonical(_square(sigma), x), deviations)
    # Squared before it is rounded to the precision of the hits, as a user would who gives covariance=sigma**2.
    wide = sigma if isinstance(sigma, Tensor | np.ndarray) else torch.as_tensor(sigma, dtype=torch.float64)
    return Measured(x, standard_deviations(wide**2, x, checked=False), deviations)


def with_covariance(
    hits: Hits, sigma: HitUncertainty | None, covariance: HitUncertainty | None
) -> tuple[Float[Tensor, "muon coordinate"], float | Float[Tensor, "row coordinate *second"]]:
    """The hits and their covariance as `measured` gives them, or as a number where σ is one."""
    if isinstance(sigma, float) and covariance is None and 0 <= sigma < LARGEST_SIGMA:
        return hits_tensor(hits), sigma * sigma
    return measured(hits, sigma, covariance)[:2]


def _square(sigma: float) -> float:
    try:
        return sigma**2
    except OverflowError:
        raise ValueError(f"sigma is too large for its square to be finite: {sigma:g}") from None


def hits_tensor(hits: Hits) -> Float[Tensor, "muon coordinate"]:
    """Hits as a tensor (muon, coordinate), from a tensor or a numpy array that may be one-dimensional.

    Masked hits of a numpy array become NaN.
    """
    if isinstance(hits, np.ndarray) and hits.dtype.kind == "f":
        hits = hits.filled(np.nan) if isinstance(hits, np.ma.MaskedArray) else hits
        hits = to_tensor(hits) if hits.dtype.itemsize <= 8 else hits
    if isinstance(hits, Tensor) and hits.ndim == 1:
        hits = hits[:, None]
    return check_hits(hits)


def to_tensor(given: Array) -> Tensor:
    """A tensor, or a numpy array as one that shares its memory."""
    return torch.from_numpy(_native(given)) if isinstance(given, np.ndarray) else given


@overload
def like(given: Tensor, result: Tensor) -> Tensor: ...
@overload
def like(given: np.ndarray, result: Tensor) -> np.ndarray: ...
def like(given: Array, result: Tensor) -> Array:
    """A result, as a numpy array where what it is computed from was given as one."""
    return result.numpy(force=True) if isinstance(given, np.ndarray) else result


def check_hits(hits: Hits) -> Float[Tensor, "muon coordinate"]:
    """The hits; raises unless they are a floating-point tensor (muon, coordinate)."""
    if not isinstance(hits, Tensor) or not hits.is_floating_point():
        kind = hits.dtype if isinstance(hits, Tensor | np.ndarray) else type(hits).__name__
        raise TypeError(
            f"hits must be a floating-point torch tensor or numpy array, not {kind}: use torch.as_tensor(hits, dtype=…)"
        )
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
    return type(result)(*(part.numpy(force=True) for part in result)) if isinstance(hits, np.ndarray) else result


def _native(given: Any) -> Any:
    """A numpy array that torch can share; anything else as it is.

    torch knows neither another byte order nor negative strides, and warns of an array that cannot be written to.
    """
    if not isinstance(given, np.ndarray):
        return given
    return np.require(given, given.dtype.newbyteorder("="), ["C", "W", "E"])
