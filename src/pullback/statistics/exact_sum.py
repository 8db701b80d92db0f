"""Exact sums of doubles, independent of the order and grouping of the terms.

Every double is an integer multiple of 2⁻¹⁰⁷⁴, so that a sum of doubles is an integer in this unit. It is kept as a
Python integer without rounding or overflow, and rounded once, when it is read.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from jaxtyping import Float

UNIT = 1074
"""Doubles are integer multiples of 2**-UNIT."""


class ExactSum:
    """Element-wise sums of arrays of doubles; 0 without any terms.

    An infinite or NaN term makes the sum infinite or NaN, in any order of terms.
    """

    def __init__(self) -> None:
        self._units: np.ndarray = np.array(0, object)
        self._not_finite: np.ndarray = np.array(0.0)

    def add(self, terms: Float[Any, "*shape"]) -> None:
        """Add an array of the same shape as the terms before."""
        terms = np.asarray(terms, float)
        finite = np.isfinite(terms)
        self._units = np.asarray(self._units + _units(np.where(finite, terms, 0.0)), object)
        if not finite.all():
            with np.errstate(invalid="ignore"):  # infinities of both signs give NaN
                self._not_finite = np.asarray(self._not_finite + np.where(finite, 0.0, terms))

    @property
    def rounded(self) -> Float[np.ndarray, "*shape"]:
        """The sums, each rounded to the nearest double; infinite on overflow."""
        return self._with_not_finite(_doubles(self._units))

    @property
    def parts(self) -> Float[np.ndarray, "part ..."]:
        """Doubles that add up to the exact sums: the rounded sums, their rounded remainders, and so on."""
        parts: list[np.ndarray] = []
        left = np.where(self._not_finite == 0, self._units, 0)
        while not parts or (left != 0).any():
            parts.append(np.asarray(np.clip(_doubles(left), -sys.float_info.max, sys.float_info.max)))
            left = np.asarray(left - _units(parts[-1]), object)
        return np.stack([self._with_not_finite(parts[0]), *parts[1:]])

    def _with_not_finite(self, values: np.ndarray) -> np.ndarray:
        other = np.where(np.isnan(self._not_finite), math.nan, self._not_finite)  # one NaN for all kinds of NaN
        return np.where(other == 0, values, other)


def _units(values: np.ndarray) -> np.ndarray:
    """Finite doubles as integers of the unit."""
    mantissa, exponent = np.frexp(values)
    whole, shift = (mantissa * 2.0**53).astype("i8"), exponent.astype("i8") + (UNIT - 53)
    pairs = zip(whole.ravel().tolist(), shift.ravel().tolist(), strict=True)
    found = np.empty(values.size, object)
    # A subnormal number has fewer digits, followed by zeros.
    found[:] = [digits << by if by >= 0 else digits >> -by for digits, by in pairs]
    return found.reshape(values.shape)


def _doubles(units: np.ndarray) -> np.ndarray:
    """The nearest doubles to integers of the unit."""
    return np.array([_double(each) for each in units.ravel().tolist()], float).reshape(units.shape)


def _double(units: int) -> float:
    try:
        return units / (1 << UNIT)  # Python rounds the quotient of integers correctly
    except OverflowError:
        return math.inf if units > 0 else -math.inf
