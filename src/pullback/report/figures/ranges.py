"""The ranges of axes: of numbers of any size, of which some may be far from the others."""

from __future__ import annotations

import numpy as np

FURTHEST = 1e100
"""Numbers beyond this are not drawn: the drawing library multiplies coordinates, which must not overflow."""

NARROWEST_RANGE = 1e-12
"""Least width of a range that is divided into bins, relative to its ends: edges of bins must be different numbers."""

FAR_OFF = 6.0
"""Distance from the quartiles, over the distance between them, beyond which a value is far from the others."""


def drawable(values: np.ndarray) -> np.ndarray:
    """Values, with NaN for those that are infinite or too far to be drawn."""
    if values.dtype.kind != "f":
        return values
    beyond = np.abs(values) > FURTHEST
    return np.where(beyond, np.nan, values) if beyond.any() else values


def not_far(values: np.ndarray, reach: float = FAR_OFF) -> np.ndarray:
    """Which values are finite and not far from the others, so that one of them does not squeeze the others."""
    finite = np.isfinite(values)
    if not finite.any():
        return finite
    low, high = np.quantile(values[finite], [0.25, 0.75])
    reach = reach * (high - low) if high > low else np.inf
    with np.errstate(invalid="ignore"):
        return finite & (values >= low - reach) & (values <= high + reach)


def most_of(values: np.ndarray, tail: float = 0.005, reach: float = FAR_OFF) -> tuple[float, float]:
    """The range of the values without their tails and without those that are far; symmetric if zero is well inside."""
    values = values[not_far(values, reach)]
    if not len(values):
        return -1.0, 1.0
    low, high = (float(each) for each in np.quantile(values, [tail, 1 - tail]))
    margin = 0.1 * (high - low)
    if too_narrow(low, high):
        margin = max(abs(low), abs(high))
        margin = 1.0 if margin < 1 / FURTHEST else margin
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):
        return -max(-low, high) - margin, max(-low, high) + margin
    return (0.0 if 0 <= low < margin else low - margin), high + margin


def all_of(values: np.ndarray) -> tuple[float, float]:
    """The range of a histogram of all of the values, which are finite."""
    low, high = float(values.min()), float(values.max())
    if too_narrow(low, high):
        half = max(0.5, NARROWEST_RANGE * abs(low))
        return low - half, high + half
    return low, high


def too_narrow(low: float, high: float) -> bool:
    """Whether a range is too narrow for bins: one number, or numbers that differ by rounding."""
    return high - low <= max(NARROWEST_RANGE * max(abs(low), abs(high)), 1 / FURTHEST)
