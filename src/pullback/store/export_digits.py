"""Values to the digits that their σ deserves: to the decimal place of its second significant digit, say."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

SIGMA_OF = {
    **dict.fromkeys(("{}", "{}_true", "sigma_{}", "sigma_{}_linear", "sigma_{}_linear_true"), "sigma_{}"),
    **dict.fromkeys(("confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}"), "sigma_{}"),
    **dict.fromkeys(("{}_squared", "sigma_{}_squared"), "sigma_{}_squared"),
    **dict.fromkeys(("toy_mean_{}", "toy_sd_{}", "toy_interval68_{}", "toy_interval95_{}"), "toy_sd_{}"),
}
"""The column whose σ sets the decimal place, by the column of an observable."""

MOST_DIGITS = 17
"""Significant digits that tell any two numbers apart; with more, a number is written in full."""

MOST_PLACES = 15
"""Decimal places with which a number is written without an exponent."""


def rounded_texts(values: Float[np.ndarray, " row"], sigma: Float[np.ndarray, " row"], digits: int) -> list[str]:
    """Each value to the decimal place of the last of so many significant digits of its σ, as text.

    Where σ is no positive number, the value is written in full.

    >>> rounded_texts(np.array([1.23456, 1234.5, 0.5]), np.array([0.0996, 123.0, np.nan]), 2)
    ['1.23', '1230', '0.5']
    """
    return [rounded_text(*pair, digits) for pair in zip(values.tolist(), sigma.tolist(), strict=True)]


def rounded_text(value: float, sigma: float, digits: int) -> str:
    """A value to the decimal place of the last of so many significant digits of its σ, as text (JCGM 100:2008, 7.2.6).

    >>> rounded_text(1.23456, 0.0996, 2), rounded_text(1234.5, 123.0, 2)
    ('1.23', '1230')
    """
    if not (math.isfinite(value) and 0 < sigma < math.inf):
        return repr(value)
    place = digits - 1 - int(f"{sigma:.{digits - 1}e}".partition("e")[2])
    if place <= 0:
        return f"{round(value, place):z.0f}"
    known = place + 1 + math.floor(math.log10(abs(value))) if value else 0
    if known > MOST_DIGITS:
        return repr(value)
    return f"{value:z.{place}f}" if place <= MOST_PLACES else f"{value:.{known - 1}e}" if known > 0 else "0"
