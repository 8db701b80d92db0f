"""Smearing: recorded hits from true hits and the resolution."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from jaxtyping import Float, Real


def smear(
    x_true: Real[Any, "muon coordinate"],
    resolution: float | Real[Any, "*resolution"],
    noise: Float[Any, "muon coordinate"],
) -> Float[Any, "muon coordinate"]:
    """Recorded hits: x_reco = x_true + noise / resolution.

    Parameters
    ----------
    x_true : array or tensor (muon, coordinate)
        True positions, m.
    resolution : float, array or tensor
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
    torch = sys.modules.get("torch")  # unless torch is imported, no argument is a tensor
    if torch and any(isinstance(argument, torch.Tensor) for argument in (x_true, resolution, noise)):
        x_true, noise = torch.as_tensor(x_true), torch.as_tensor(noise)
        resolution = torch.as_tensor(resolution) if isinstance(resolution, np.ndarray) else resolution
    else:
        x_true, noise = np.asarray(x_true), np.asarray(noise)
    if tuple(x_true.shape) != tuple(noise.shape):
        raise ValueError(f"noise has shape {tuple(noise.shape)}, x_true {tuple(x_true.shape)}: they must agree")
    positive = (resolution > 0) & (resolution < float("inf"))
    if not (positive if isinstance(positive, bool) else bool(positive.all())):
        raise ValueError(f"resolution must be positive and finite (1/m), not {resolution}")
    x_reco = x_true + noise / resolution
    if tuple(x_reco.shape) != tuple(x_true.shape):
        raise ValueError(f"resolution has shape {np.shape(resolution)}, which doesn't fit {tuple(x_true.shape)} hits")
    return x_reco
