"""Sorting, selecting and quantiles."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
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
    share = torch.from_numpy(fraction).to(ordered)
    return below + (above - below) * share  # torch.lerp rounds differently at the end of an array


def quantiles_of(values: Float[Tensor, "*rows value"], probabilities: tuple[float, ...]) -> Float[Tensor, "*rows _"]:
    """`quantiles` of finite values in any order, to rounding relative to their range.

    Rows that `sort_tails` left, or an increasing or decreasing function of these, take least time.
    """
    if values.device.type != "cpu":
        return quantiles(sorted_rows(values), probabilities)
    plain = values.numpy()
    found, ready = _in_order(plain, probabilities)
    if not ready.all():
        reverse, falling = _in_order(plain[..., ::-1], probabilities)
        found[falling & ~ready] = reverse[falling & ~ready]
        rest = ~(ready | falling)
        found[rest] = _selected(plain[rest], probabilities)
    return torch.from_numpy(found)


def sort_tails(values: np.ndarray, probabilities: tuple[float, ...]) -> None:
    """Sort values in place as far as these quantiles need it: up to those below ½, and from those above it.

    Both tails are equally long, so that decreasing functions of the values are sorted as far.
    """
    count = values.shape[-1]
    tail = _tail(count, probabilities)
    values.partition(tail - 1, axis=-1)
    if count > 2 * tail:
        values[..., tail:].partition(count - 2 * tail, axis=-1)
    values[..., :tail].sort(axis=-1)
    values[..., count - tail :].sort(axis=-1)


def _in_order(
    values: Float[np.ndarray, "*rows value"], probabilities: tuple[float, ...]
) -> tuple[Float[np.ndarray, "*rows _"], Bool[np.ndarray, "*rows"]]:
    """Quantiles of rows with sorted tails, and which rows these are."""
    count, tail = values.shape[-1], _tail(values.shape[-1], probabilities)
    low, high = values[..., :tail], values[..., count - tail :]
    right = np.asarray(_rises(low) & _rises(high))
    if right.any():
        middle = values[..., tail - 1 : count - tail + 1]
        right &= (low[..., -1] == middle.min(axis=-1)) & (high[..., 0] == middle.max(axis=-1))
    lower, upper, fraction = _places(count, probabilities)
    smallest = values[..., :1]
    with np.errstate(over="ignore", invalid="ignore"):
        return _above(smallest, values[..., lower] - smallest, values[..., upper] - smallest, fraction), right


def _rises(values: Float[np.ndarray, "*rows value"]) -> Any:
    """Whether no value of a row is below the one before it."""
    return (values[..., :-1] <= values[..., 1:]).all(axis=-1)


def _selected(values: Float[np.ndarray, "*rows value"], probabilities: tuple[float, ...]) -> np.ndarray:
    """Quantiles of values in any order.

    They are sorted by their distance from the smallest: floating-point numbers that are not negative are in the order
    of their bits as integers, which numpy selects twice as fast.
    """
    smallest = values.min(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        distance = values - smallest
    sort_tails(distance.view(f"i{distance.itemsize}"), probabilities)
    lower, upper, fraction = _places(values.shape[-1], probabilities)
    return _above(smallest, distance[..., lower], distance[..., upper], fraction)


def _above(
    smallest: Float[np.ndarray, "*rows 1"], below: np.ndarray, above: np.ndarray, fraction: np.ndarray
) -> Float[np.ndarray, "*rows _"]:
    """Quantiles from the smallest value, and the distances from it of the two values around each."""
    return smallest + (below + (above - below) * fraction.astype(below.dtype, copy=False))


@lru_cache
def _tail(count: int, probabilities: tuple[float, ...]) -> int:
    """The number of values to sort at either end for these quantiles; at most half, the middle one included."""
    lower, upper, _ = _places(count, probabilities)
    ranks = np.union1d(lower, upper)
    return int(np.minimum(ranks, count - 1 - ranks).max()) + 1


@lru_cache
def _places(count: int, probabilities: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two ranks around each quantile, and the fraction between them."""
    place = (count * np.array(probabilities) - 0.5).clip(0, count - 1)
    lower = place.astype(int).clip(0, max(0, count - 2))
    return lower, np.minimum(lower + 1, count - 1), place - lower
