"""Sums of doubles that depend neither on the order of the terms nor on how they are grouped.

Every double is a whole number of 2⁻¹⁰⁷⁴, so that a sum of doubles is an integer of this unit. Kept as a Python integer,
it is rounded nowhere and has no overflow; it is rounded once, when it is read.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from jaxtyping import Float

UNIT = 1074
"""A double is a whole number of 2 to the minus this."""


class ExactSum:
    """Sums of arrays of doubles, element by element; of no arrays, the number 0.

    Terms that are infinite or NaN make a sum what they would make of it in any order: infinite, or NaN.
    """

    def __init__(self):
        self._units: Any = np.array(0, object)
        self._not_finite: Any = np.array(0.0)

    def add(self, terms: Float[Any, "*shape"]) -> None:
        """Add an array, of the shape of those before it."""
        terms = np.asarray(terms, float)
        finite = np.isfinite(terms)
        self._units = np.asarray(self._units + _units(np.where(finite, terms, 0.0)), object)
        if not finite.all():
            with np.errstate(invalid="ignore"):  # infinities of both signs make NaN
                self._not_finite = np.asarray(self._not_finite + np.where(finite, 0.0, terms))

    @property
    def rounded(self) -> Float[np.ndarray, "*shape"]:
        """The sums, each rounded to the nearest double; infinite where it is beyond all of them."""
        return self._with_not_finite(_doubles(self._units))

    @property
    def parts(self) -> Float[np.ndarray, "part ..."]:
        """Doubles that add up to just the sums: each rounded, then what that leaves, rounded, and so on."""
        parts, left = [], np.where(self._not_finite == 0, self._units, 0)
        while not parts or (left != 0).any():
            parts.append(np.asarray(np.clip(_doubles(left), -sys.float_info.max, sys.float_info.max)))
            left = np.asarray(left - _units(parts[-1]), object)
        return np.stack([self._with_not_finite(parts[0]), *parts[1:]])

    def _with_not_finite(self, values: np.ndarray) -> np.ndarray:
        other = np.where(np.isnan(self._not_finite), math.nan, self._not_finite)  # one NaN of many
        return np.where(other == 0, values, other)


def _units(values: np.ndarray) -> np.ndarray:
    """Finite doubles as integers of the unit."""
    mantissa, exponent = np.frexp(values)
    whole, shift = (mantissa * 2.0**53).astype("i8"), exponent.astype("i8") + (UNIT - 53)
    pairs = zip(whole.ravel().tolist(), shift.ravel().tolist(), strict=True)
    found = np.empty(values.size, object)
    # A subnormal number has fewer digits, and zeros after them.
    found[:] = [digits << by if by >= 0 else digits >> -by for digits, by in pairs]
    return found.reshape(values.shape)


def _doubles(units: np.ndarray) -> np.ndarray:
    """The nearest doubles to integers of the unit."""
    return np.array([_double(each) for each in units.ravel().tolist()], float).reshape(units.shape)


def _double(units: int) -> float:
    try:
        return units / (1 << UNIT)  # of integers, which Python rounds correctly
    except OverflowError:
        return math.inf if units > 0 else -math.inf
