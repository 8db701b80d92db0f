"""Lengths from the numbers of a column: by the unit of the file, or by a scale and an offset of the column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "um": 1e6}
"""Number of file units per metre. Dividing by it rounds once; multiplying by 0.001 rounds twice."""


@runtime_checkable
class ScaledName(Protocol):
    """A column of the config with a scale and an offset."""

    @property
    def column(self) -> str:
        """Its name."""

    def in_metres(self, unit: str) -> tuple[float | None, float]:
        """Scale and offset, m, where numbers without a unit are in `unit`; the scale is None if it is not given."""


class Scaling(NamedTuple):
    """How the numbers of a column become lengths: offset + scale × number, or number/per_metre without a scale."""

    per_metre: float
    scale: float | None = None
    offset: float = 0.0

    def metres(self, numbers: np.ndarray) -> np.ndarray:
        """The lengths, m."""
        lengths = numbers / self.per_metre if self.scale is None else numbers * self.scale
        return lengths + self.offset if self.offset else lengths


def column_name(given: str | ScaledName) -> str:
    """The name of a column of the config."""
    return given if isinstance(given, str) else given.column


def scalings(given: Mapping[str, str | ScaledName], unit: str) -> dict[str, Scaling]:
    """How the numbers of each column with a scale or an offset become lengths, by the name of the coordinate."""
    scaled = {name: each for name, each in given.items() if not isinstance(each, str)}
    return {name: Scaling(PER_METRE[unit], *each.in_metres(unit)) for name, each in scaled.items()}
