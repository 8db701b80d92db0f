"""Quoted uncertainties as columns, and as a short table to read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .arrays import Tensor

ROWS_AT_EITHER_END = 5
"""Muons shown at the beginning and at the end of a long table."""

MOST_DECIMALS = 12
"""Decimals beyond which numbers are written with exponents."""


Fields = Mapping[str, Tensor | np.ndarray]
"""Fields of what `quote` returns, by name."""


def numpy_columns(quoted: Fields) -> dict[str, np.ndarray]:
    """What `quote` returns as arrays of one dimension, one row per muon and observable."""
    fields = {name: _array(part) for name, part in quoted.items()}
    muons, observables = fields["value"].shape
    columns = {
        "muon": np.repeat(np.arange(muons), observables),
        "observable": np.tile(np.arange(observables), muons),
    }
    for name, part in fields.items():
        if part.ndim == 3:
            columns |= {f"{name}_low": part[:, :, 0].reshape(-1), f"{name}_high": part[:, :, 1].reshape(-1)}
        else:
            columns[name] = part.reshape(-1)
    return columns


def short_table(quoted: Fields) -> str:
    """Value ± σ, confidence intervals and flags, of the first and last muons; one row per muon and observable."""
    muons, observables = quoted["value"].shape
    cut = muons > 2 * ROWS_AT_EITHER_END
    ends = [slice(0, ROWS_AT_EITHER_END), slice(muons - ROWS_AT_EITHER_END, muons)] if cut else [slice(0, muons)]
    several = observables > 1
    head = ["muon", *["observable"] * several, "value ± σ", "68 % confidence", "95 % confidence", "flags"]
    rows = [head]
    for number, end in enumerate(ends):
        columns = numpy_columns({name: part[end] for name, part in quoted.items()})
        columns["muon"] = columns["muon"] + end.start
        rows += [["…"] + [""] * (len(head) - 1)] * (number > 0)
        cells = zip(*(part.tolist() for part in columns.values()), strict=True)
        rows += [_row(dict(zip(columns, row, strict=True)), several) for row in cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, f"{_count(muons, 'muon')}, {_count(observables, 'observable')}"])


def rounded(value: float, sigma: float) -> str:
    """A number to the last of two significant digits of its σ."""
    if not (math.isfinite(sigma) and sigma > 0):
        return f"{value:.6g}"
    decimals = 1 - math.floor(math.log10(sigma))
    decimals = decimals - 1 if round(sigma, decimals) >= 10.0 ** (2 - decimals) else decimals  # 0.0997 is 0.10
    if decimals > MOST_DECIMALS:
        return f"{value:.6g}"
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"  # + 0.0: no negative zero


def _row(cell: Mapping[str, float], several: bool) -> list[str]:
    value, sigma = cell["value"], cell["sigma"]
    # Without a standard deviation, the interval says how many digits mean anything.
    scale = sigma if math.isfinite(sigma) else (cell["confidence68_high"] - cell["confidence68_low"]) / 2
    intervals = [
        f"[{rounded(cell[f'{name}_low'], scale)}, {rounded(cell[f'{name}_high'], scale)}]"
        for name in ("confidence68", "confidence95")
    ]
    names = [str(cell["muon"])] + [str(cell["observable"])] * several
    return [
        *names,
        f"{rounded(value, scale)} ± {rounded(sigma, scale)}",
        *intervals,
        _flags(value, sigma, bool(cell["linear_valid"])),
    ]


def _flags(value: float, sigma: float, linear: bool) -> str:
    """Why σ is not to be used, or is not that of linear propagation."""
    if not math.isfinite(value):
        return "not finite"
    if math.isnan(sigma):
        return "no standard deviation"
    if sigma == 0:
        return "σ is zero"
    return "" if linear else "not linear"


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Cells of equal widths: flags to the left, all else to the right."""
    last = len(row) - 1
    return [
        cell.ljust(width) if i == last else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _array(part: Tensor | np.ndarray) -> np.ndarray:
    return part if isinstance(part, np.ndarray) else part.numpy(force=True)
