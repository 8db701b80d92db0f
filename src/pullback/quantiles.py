"""Sorted values and their quantiles."""

from __future__ import annotations

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


def quantiles(
    ordered: Float[Tensor, "*rows value"], probabilities: Float[np.ndarray, " quantile"]
) -> Float[Tensor, "*rows quantile"]:
    """Quantiles of sorted values: the one of rank k of n, from 0, stands for (k + ½)/n, with straight lines between.

    Source: Hyndman and Fan 1996, Am. Stat. 50:361, definition 5.
    """
    count = ordered.shape[-1]
    place = (count * probabilities - 0.5).clip(0, count - 1)
    lower = place.astype(int).clip(0, max(0, count - 2))
    fraction = torch.from_numpy(place - lower).to(ordered)
    below, above = ordered[..., lower], ordered[..., np.minimum(lower + 1, count - 1)]
    return below + (above - below) * fraction  # torch.lerp rounds otherwise at the end of an array than within
