"""Columns of a file of hits in the config: a name, or a section with a scale and an offset."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ..errors import shown
from .base import Clash, Section
from .messages import examine
from .units import in_unit


def _amount(value: Any) -> Any:
    """A number, or a length as it is written, after a check."""
    number = in_unit(value, "m")
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"is {shown(value)}; it must be a finite number, or one with a unit of length")
    return value


def _factor(value: Any) -> Any:
    """A scale, which is not 0; None without one."""
    if value is not None and in_unit(_amount(value), "m") == 0:
        raise ValueError("must not be 0")
    return value


def _positive(value: Any) -> Any:
    """A scale of uncertainties, which is positive; None without one."""
    if value is not None and in_unit(_amount(value), "m") <= 0:
        raise ValueError(f"is {shown(value)}; it must be greater than 0")
    return value


Amount = float | str
"""A number, or text with a unit of length."""

SCALE = "length per unit of the column; without a unit of length it is in `source.unit`"


class ScaledSigma(Section):
    """A column of uncertainties with a scale."""

    column: str = Field(description="name of the column")
    scale: Annotated[Amount | None, BeforeValidator(_positive)] = Field(None, description=SCALE)

    def in_metres(self, unit: str) -> tuple[float | None, float]:
        """Scale and offset, m, where numbers without a unit are in `unit`; the scale is None if it is not given."""
        return (None if self.scale is None else _metres(self.scale, unit)), 0.0


class ScaledColumn(Section):
    """A column of positions with a scale and an offset: hit = offset + scale × value."""

    column: str = Field(description="name of the column")
    scale: Annotated[Amount | None, BeforeValidator(_factor)] = Field(None, description=SCALE)
    offset: Annotated[Amount, BeforeValidator(_amount)] = Field(
        0.0, description="length; without a unit of length it is in `source.unit`"
    )

    def in_metres(self, unit: str) -> tuple[float | None, float]:
        """Scale and offset, m, where numbers without a unit are in `unit`; the scale is None if it is not given."""
        return (None if self.scale is None else _metres(self.scale, unit)), _metres(self.offset, unit)


def _metres(amount: float | str, unit: str) -> float:
    return float(in_unit(amount if isinstance(amount, str) else f"{amount!r} {unit}", "m"))


def _column(value: Any, kind: type[Section]) -> Any:
    """The name of a column, or its section."""
    if not isinstance(value, dict):
        if isinstance(value, str | kind):
            return value
        quoted = " (in quotes if it looks like a number)" if isinstance(value, int | float) else ""
        raise ValueError(f"is {shown(value)}; it must be the name of a column{quoted}, or {{column: …, scale: …}}")
    found = examine(kind, value)
    if found.value is None or found.mistakes:
        raise Clash(*((each.text, each.keys) for each in found.mistakes))
    return found.value


PositionColumn = Annotated[str | ScaledColumn, BeforeValidator(partial(_column, kind=ScaledColumn))]
SigmaColumn = Annotated[str | ScaledSigma, BeforeValidator(partial(_column, kind=ScaledSigma))]
