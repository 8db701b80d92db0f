"""Compact storage of what is quoted: the one place that encodes and decodes it.

σ, linear σ and bias are kept in float32. Of each end of an interval, float32 keeps how far it is from that of linear
propagation with the kept σ,

    end = value + k σ + offset,    k = ∓1 or ∓1.96,

where a σ that is not finite counts as 0. No number moves by more than `MOST_MOVED` of the muon's σ, an end moves
outward, and an end at 0, where observables fold, stays there. So a truth that an interval holds, it holds in either
storage. A number for which this is not possible is NaN there, and is kept in full in a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer

from ..statistics.normal import K68, K95

COMPACT = "compact"
"""The group of a point with the offsets of ends, and the values that they start from."""

IN_FULL = f"{COMPACT}/exact"
"""The group of a point with the numbers that are kept in full: `muon`, `code` of the column, and `value`."""

CODES = "exact_codes"
"""The attribute of an encoded column with its code in `IN_FULL`, or the codes of its two ends."""

FACTORS = "factors"
"""The attribute of offsets with the two k."""

DECODING = (CODES, FACTORS, "value", "sigma")
"""The attributes by which a column is decoded; the last two name the columns that offsets start from."""

MOST_MOVED = 1e-7
"""Largest change of a number in units of the muon's σ; without one, of an end in units of twice its distance from the
value, for which float32 has the digits.
"""

HALF_DIGIT = 2.0**-24
"""Largest relative error of rounding to float32."""

ENCODED_AT_A_TIME = 8_192
"""Muons that are encoded together."""

KEPT_NUMBERS = ("sigma", "sigma_linear", "bias")
"""Fields of `pullback.quote` that are kept in float32."""

KEPT_OFFSETS = {"interval95": K95, "interval68": K68, "confidence95": K95, "confidence68": K68}
"""Fields of `pullback.quote` of whose ends offsets are kept, with k; the longer interval first."""

HELD_BY = {"interval68": "interval95", "confidence68": "confidence95"}
"""The interval that holds another one."""

Encoded = Float32[np.ndarray, "muon ..."]
Quantities = Float[np.ndarray, "muon ..."]
Places = Bool[np.ndarray, "muon ..."]


class Kept(NamedTuple):
    """What is kept of a block."""

    stored: dict[str, Encoded]
    """Quantities and offsets by field; NaN where they are kept in full."""
    full: dict[str, Places]
    """Which numbers are kept in full, by field; without fields that have none."""


def encode(quoted: Mapping[str, Quantities]) -> Kept:
    """What compact storage keeps of a block of muons.

    Parameters
    ----------
    quoted : mapping of str to array
        `value`, σ, linear σ and bias (muon, observable), and intervals (muon, observable, end).

    Returns
    -------
    Kept
        float32 numbers, and the places of those that float32 can't hold.

    """
    count = len(quoted["value"])
    rows = [slice(start, start + ENCODED_AT_A_TIME) for start in range(0, max(1, count), ENCODED_AT_A_TIME)]
    found = [_encode({field: values[each] for field, values in quoted.items()}) for each in rows]
    stored = {field: np.concatenate([each.stored[field] for each in found]) for field in found[0].stored}
    full: dict[str, Places] = {}
    for each, part in zip(rows, found, strict=True):
        for field, which in part.full.items():
            full.setdefault(field, np.zeros(stored[field].shape, bool))[each] = which
    return Kept(stored, full)


def _encode(quoted: Mapping[str, Quantities]) -> Kept:
    """What is kept of a few muons, whose numbers stay in the cache."""
    kept, value, ends = Kept({}, {}), quoted["value"], dict[str, Quantities]()
    with np.errstate(all="ignore"):  # infinities and NaN are judged as all other numbers are
        units = {**quoted, "bias": _size(quoted["sigma"], quoted["bias"])}
        numbers = {
            field: _keep(kept, field, quoted[field], _float32(quoted[field]), np.abs(units[field]), 0.0)
            for field in KEPT_NUMBERS
        }
        for field, k in KEPT_OFFSETS.items():
            base = base_of(value, numbers["sigma"], factors_of(k))
            unit = _unit_of_ends(quoted["sigma"], quoted[field], value)
            ends[field] = _keep(kept, field, quoted[field], _outward(quoted[field] - base), unit, base)
            if field in HELD_BY:
                _keep_inside(kept, field, quoted[field], ends[field], ends[HELD_BY[field]])
    return kept


def decode(stored: Encoded, base: Quantities | float = 0.0) -> Quantities:
    """The numbers that were encoded, with the `base` of ends; NaN where they are kept in full.

    An end that differs from 0 by no more than the last digit of its offset is 0.
    """
    found = np.add(base, stored, dtype=np.float64)
    if not np.isscalar(base):
        with np.errstate(invalid="ignore"):
            zero = np.abs(found) < 2.1 * HALF_DIGIT * np.abs(stored)
        if zero.any():
            found[zero] = 0.0
    return found


def dtype_of(dataset: Any) -> np.dtype:
    """The type of the values of a column, whatever its storage."""
    return np.dtype("f8") if CODES in dataset.attrs else dataset.dtype


def fill_in(
    found: Quantities,
    codes: Integer[np.ndarray, " end"],
    muon: Integer[np.ndarray, " number"],
    code: Integer[np.ndarray, " number"],
    value: Float[np.ndarray, " number"],
) -> None:
    """Fill in the numbers of a column that are kept in full, by the row of the muon and the code of column or end."""
    for numbers, mine in zip(found.reshape(len(found), -1).T, codes, strict=True):
        numbers[muon[code == mine]] = value[code == mine]


def base_of(value: Quantities, sigma: Quantities, factors: Sequence[float] | np.ndarray) -> Quantities:
    """What offsets of ends are counted from, value + k σ, with a further axis for the ends."""
    return _both(value) + _both(np.where(np.isfinite(sigma), sigma, 0.0), factors)


def factors_of(k: float) -> list[float]:
    """The two k of an interval."""
    return [-k, k]


def _both(values: Quantities, factors: Sequence[float] | np.ndarray = (1.0, 1.0)) -> Quantities:
    """Values times two factors, along a further axis; numpy is slow to broadcast along an axis of two."""
    found = np.empty((*values.shape, 2))
    for end, factor in enumerate(factors):
        np.multiply(values, factor, out=found[..., end])
    return found


def _float32(numbers: Quantities) -> Encoded:
    return numbers.astype(np.float32)


def _outward(offset: Quantities) -> Encoded:
    """Offsets of ends in float32, rounded such that no interval gets shorter."""
    further = np.abs(offset) * (1.001 * HALF_DIGIT)
    np.negative(further[..., 0], out=further[..., 0])
    return _float32(offset + further)


def _size(sigma: Quantities, instead: Quantities) -> Quantities:
    """The unit of changes: σ, or the size of the number where there is no σ."""
    return np.abs(np.where(np.isfinite(sigma) & (sigma != 0), sigma, instead))


def _unit_of_ends(sigma: Quantities, ends: Quantities, value: Quantities) -> Quantities:
    """The unit of changes of ends: σ, or twice the distance from the value where there is no σ."""
    if (np.isfinite(sigma) & (sigma > 0)).all():
        return _both(sigma)
    return _size(_both(sigma), 2 * (ends - _both(value)))


def _keep(
    kept: Kept, field: str, numbers: Quantities, stored: Encoded, unit: Quantities, base: Quantities | float
) -> Quantities:
    """Keep a field, in full where it would not be right; what it is read as."""
    found = decode(stored, base)
    moved = found - numbers
    if field in KEPT_OFFSETS:
        np.negative(moved[..., 0], out=moved[..., 0])  # inward changes are negative now
        right = (moved >= 0) & (moved <= MOST_MOVED * unit)
        right &= (found != 0) & (numbers != 0) | (found == 0) & (np.abs(stored) <= 2 * unit)
    else:
        right = np.abs(moved) <= MOST_MOVED * unit
    kept.stored[field] = stored
    if right.all():
        return found
    right |= (found == numbers) & (found != 0) | (np.isnan(found) & np.isnan(numbers))
    return _keep_in_full(kept, field, numbers, found, ~right)


def _keep_inside(kept: Kept, field: str, numbers: Quantities, found: Quantities, wider: Quantities) -> None:
    """Keep an interval in full that would leave the wider one, whose ends are where they were or further out."""
    left = (found[..., 0] < wider[..., 0]) | (found[..., 1] > wider[..., 1])
    if left.any():
        _keep_in_full(kept, field, numbers, found, np.broadcast_to(left[..., None], numbers.shape))


def _keep_in_full(kept: Kept, field: str, numbers: Quantities, found: Quantities, which: Places) -> Quantities:
    """Keep some numbers of a field in full; what the field is read as."""
    which = which & ~np.isnan(numbers)
    if which.any():
        kept.full[field] = kept.full.get(field, False) | which
        kept.stored[field][which] = np.nan
    return np.where(which, numbers, found)
