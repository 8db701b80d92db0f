"""Differences of angles on a circle."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def wrap(difference: Float[Any, "*shape"], period: float) -> Float[Any, "*shape"]:
    """The difference by the shorter way round, within ± half of the period; as it is, if the period is 0."""
    if not period:
        return difference
    turns = difference / period
    return difference - period * (np.round(turns) if isinstance(turns, np.ndarray) else turns.round())


def wrap_last(difference: Float[Any, "*shape"], periods: tuple[float, ...] | None) -> Float[Any, "*shape"]:
    """The same with a period for each index of the last axis; None: none has one."""
    for axis, period in enumerate(periods or ()):
        if period:
            difference[..., axis] = wrap(difference[..., axis], period)
    return difference
