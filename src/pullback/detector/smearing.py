"""Smearing: recorded hits from true hits and the resolution."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from ..errors import shown


def smear(
    x_true: Real[Any, "muon coordinate"],
    resolution: Any,
    noise: Float[Any, "muon coordinate"],
) -> Float[Any, "muon coordinate"]:
    """Recorded hits: x_reco = x_true + noise / resolution.

    Parameters
    ----------
    x_true : array or tensor (muon, coordinate)
        True positions, m.
    resolution : float, list of float, array or tensor
        1/σ_x in 1/m; must broadcast to the hits. If it is a tensor that requires a gradient, the hits carry the
        gradient.
    noise : array or tensor (muon, coordinate)
        Standard normal deviates, drawn by the caller (see `pullback.random_stream`).

    Returns
    -------
    array or tensor (muon, coordinate)
        Recorded positions, m; a tensor if any argument is one, else a numpy array.

    Raises
    ------
    ValueError
        The resolution is not positive and finite, or the shapes do not match.
    TypeError
        The resolution is no number.

    References
    ----------
    Additive, unbiased noise of known standard uncertainty, JCGM 100:2008, 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> from pullback import smear
    >>> smear(np.array([[0.5]]), 100.0, np.array([[-1.0]]))
    array([[0.49]])

    """
    resolution = _numbers(resolution)
    torch = sys.modules.get("torch")  # unless torch is imported, no argument is a tensor
    if torch and any(isinstance(argument, torch.Tensor) for argument in (x_true, resolution, noise)):
        x_true, noise = torch.as_tensor(x_true), torch.as_tensor(noise)
        resolution = torch.as_tensor(resolution) if isinstance(resolution, np.ndarray) else resolution
    else:
        x_true, noise = np.asarray(x_true), np.asarray(noise)
    if np.ndim(resolution) and not _fits(np.shape(resolution), tuple(x_true.shape)):
        raise ValueError(
            f"resolution has shape {tuple(np.shape(resolution))}, which doesn't fit {tuple(x_true.shape)} hits: "
            "give one number, or one for each coordinate"
        )
    if tuple(x_true.shape) != tuple(noise.shape):
        raise ValueError(f"noise has shape {tuple(noise.shape)}, x_true {tuple(x_true.shape)}: they must agree")
    positive = (resolution > 0) & (resolution < float("inf"))
    if not (positive if isinstance(positive, bool) else bool(positive.all())):
        raise ValueError(f"resolution must be positive and finite (1/m), not {resolution}")
    return x_true + noise / resolution


def _numbers(resolution: Any) -> Any:
    """The resolution as a number, an array or a tensor of numbers."""
    try:
        found = np.asarray(resolution) if isinstance(resolution, list | tuple) else resolution
    except ValueError:
        raise ValueError(f"resolution is {shown(resolution)}, with rows of different length") from None
    kind = getattr(found, "dtype", np.asarray(0.0 if isinstance(found, int | float) else "").dtype)
    if isinstance(kind, np.dtype) and kind.kind not in "iuf":  # of a tensor the kind is none of numpy
        raise TypeError(f"resolution must be 1/σ in 1/m, a number or one for each coordinate, not {shown(resolution)}")
    return found


def _fits(shape: tuple[int, ...], hits: tuple[int, ...]) -> bool:
    """Whether an array of this shape is broadcast to the hits."""
    return len(shape) <= len(hits) and all(n in (1, m) for n, m in zip(shape[::-1], hits[::-1], strict=False))
