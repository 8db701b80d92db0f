"""Differences and intervals of angles on a circle."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def wrap(difference: Float[Any, "*shape"], period: float) -> Float[Any, "*shape"]:
    """The difference taken the shorter way round, within ± half a period; unchanged if the period is 0."""
    if not period:
        return difference
    turns = difference / period
    return difference - period * (np.round(turns) if isinstance(turns, np.ndarray) else turns.round())


def wrap_last(difference: Float[Any, "*shape"], periods: tuple[float, ...] | None) -> Float[Any, "*shape"]:
    """`wrap` with one period per index of the last axis; unchanged if `periods` is None."""
    for axis, period in enumerate(periods or ()):
        if period:
            difference[..., axis] = wrap(difference[..., axis], period)
    return difference


def holds(
    ends: Float[np.ndarray, "*shape 2"], true: Float[np.ndarray, "*true"], period: float
) -> Bool[np.ndarray, "*shape"]:
    """Whether intervals hold the truth; on a circle, they may end beyond a whole turn."""
    above = true - ends[..., 0]
    above = np.mod(above, period) if period else above
    return (above >= 0) & (above <= ends[..., 1] - ends[..., 0])
