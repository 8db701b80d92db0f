"""Sorted values and their quantiles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .normal import P68, P95

ENDS = np.array([(1 - P68) / 2, (1 + P68) / 2, (1 - P95) / 2, (1 + P95) / 2])
"""Probabilities below the ends of the two quoted intervals: probabilistically symmetric ones."""


def sorted_rows(values: Float[Tensor, "*rows value"]) -> Float[Tensor, "*rows value"]:
    """Values in order along the last axis; by numpy, where that can, since it is many times faster there."""
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1))


def quantiles(ordered: Float[Tensor, "*rows value"], probabilities: tuple[float, ...]) -> Float[Tensor, "*rows _"]:
    """Quantiles of sorted values: the one of rank k of n, from 0, stands for (k + ½)/n, with straight lines between.

    Source: Hyndman and Fan 1996, Am. Stat. 50:361, definition 5.
    """
    lower, upper, fraction = _places(ordered.shape[-1], probabilities)
    below, above = ordered[..., lower], ordered[..., upper]
    return below + (above - below) * fraction.to(ordered)  # torch.lerp rounds otherwise at the end of an array


@lru_cache
def _places(count: int, probabilities: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Between which ranks quantiles are, and how far on the way."""
    place = (count * np.array(probabilities) - 0.5).clip(0, count - 1)
    lower = place.astype(int).clip(0, max(0, count - 2))
    return lower, np.minimum(lower + 1, count - 1), torch.from_numpy(place - lower)
