"""Sorting and quantiles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .normal import P68, P95

P_ENDS = np.array([(1 - P68) / 2, (1 + P68) / 2, (1 - P95) / 2, (1 + P95) / 2])
"""Probabilities below the ends of the two quoted, probabilistically symmetric intervals."""


def sorted_rows(values: Float[Tensor, "*rows value"]) -> Float[Tensor, "*rows value"]:
    """Values sorted along the last axis; on the CPU with numpy, which is many times faster."""
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1))


def quantiles(ordered: Float[Tensor, "*rows value"], probabilities: tuple[float, ...]) -> Float[Tensor, "*rows _"]:
    """Quantiles of sorted values by linear interpolation; the value of rank k = 0 … n-1 is the quantile (k + ½)/n.

    Source: Hyndman and Fan 1996, Am. Stat. 50:361, definition 5.
    """
    lower, upper, fraction = _places(ordered.shape[-1], probabilities)
    below, above = ordered[..., lower], ordered[..., upper]
    return below + (above - below) * fraction.to(ordered)  # torch.lerp rounds differently at the end of an array


@lru_cache
def _places(count: int, probabilities: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """The two ranks around each quantile, and the fraction between them."""
    place = (count * np.array(probabilities) - 0.5).clip(0, count - 1)
    lower = place.astype(int).clip(0, max(0, count - 2))
    return lower, np.minimum(lower + 1, count - 1), torch.from_numpy(place - lower)
