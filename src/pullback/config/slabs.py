"""Material of layers by thickness and radiation length, in place of its thickness in radiation lengths."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..errors import shown
from .base import Metres
from .units import in_unit

KEYS = ("thickness", "radiation_length")
"""Keys of a slab of material."""

EXAMPLE = "{thickness: 0.3 mm, radiation_length: 93.7 mm}"

RadiationLengths = Annotated[float, Field(ge=0, le=10)]
Slab = dict[Literal["thickness", "radiation_length"], Metres]


def in_radiation_lengths(value: Any) -> Any:
    """The material of one layer or of each, x/X0 for every mapping with a thickness x and a radiation length X0.

    Other values are returned as they are, to be checked by their type.

    Raises
    ------
    ValueError
        A mapping does not have just these two lengths, x ≥ 0 and X0 > 0.

    Examples
    --------
    >>> in_radiation_lengths([{"thickness": "1 mm", "radiation_length": "100 mm"}, 0.02])
    [0.01, 0.02]

    """
    if not isinstance(value, list):
        return _of_slab(value)
    found = []
    for layer, each in enumerate(value):
        try:
            found.append(_of_slab(each))
        except ValueError as error:
            raise ValueError(f"layer {layer}: {error}") from None
    return found


def _of_slab(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if {*value} != {*KEYS}:
        raise ValueError(f"is {shown(value)}; it must be a number of radiation lengths, or as {EXAMPLE}")
    thickness, length = (_length(key, value[key]) for key in KEYS)
    if not length:
        raise ValueError("radiation_length: is 0; it must be above 0")
    return thickness / length


def _length(key: str, value: Any) -> float:
    """A length that is not negative, m."""
    try:
        number = in_unit(value, "m")
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
        raise ValueError(f"{key}: is {shown(value)}; it must be a length that is not negative, such as 0.3 mm")
    return float(number)


_Entry = RadiationLengths | Slab
_Written = _Entry | Annotated[list[_Entry], Field(min_length=1, max_length=32)]

of_slabs = BeforeValidator(in_radiation_lengths, json_schema_input_type=_Written | None)
"""What converts the slabs of a field to numbers of radiation lengths."""
