"""Numbers with units in the config: `1.5 m`, `0.5 mrad`, `[72, 72, 14.4] um`.

A number without a unit is in the unit of its key. The result is the double nearest to the decimal number that is
written: `14.4 um` is 1.44e-05, not 14.4 × 1e-6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from functools import partial
from typing import Any

from pydantic import BeforeValidator

from ..errors import shown

DECIMAL = {
    "m": {"km": 3, "m": 0, "cm": -2, "mm": -3, "um": -6, "nm": -9},
    "1/m": {"1/km": -3, "1/m": 0, "1/cm": 2, "1/mm": 3, "1/um": 6},
    "rad": {"rad": 0, "mrad": -3, "urad": -6},
    "GeV/c": {"TeV/c": 3, "GeV/c": 0, "MeV/c": -3, "TeV": 3, "GeV": 0, "MeV": -3},
    "g/cm3": {"g/cm3": 0, "kg/m3": -3},
    "eV": {"keV": 3, "eV": 0},
    "mol/g": {"mol/g": 0},
    "X0": {"X0": 0, "%X0": -2},
}
"""The units that may be written for each unit of the config, with the power of ten between them."""

DEGREE = "deg"
"""The unit of angles that is no decimal multiple of a radian."""

QUANTITIES = {
    "m": "length",
    "1/m": "inverse length",
    "rad": "angle",
    "GeV/c": "momentum",
    "g/cm3": "density",
    "eV": "energy",
    "mol/g": "amount per mass",
    "X0": "thickness in radiation lengths",
}
"""What has each unit of the config, in words."""

SPELLINGS = {"µm": "um", "μm": "um", "µrad": "urad", "μrad": "urad", "1/µm": "1/um", "1/μm": "1/um", "°": DEGREE}
SPELLINGS |= {
    "g/cm³": "g/cm3",
    "kg/m³": "kg/m3",
    "g/cm^3": "g/cm3",
    "kg/m^3": "kg/m3",
    "degree": DEGREE,
    "degrees": DEGREE,
}
"""Other spellings."""

_SMALL = 0.1
"""Numbers of radians and metres below this are shown in mrad and mm; those below a thousandth of it in µrad and µm."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FORM = r"(?![eE][-+]?\d)[^\d\s.,;:*+_\[\]-].*|1/.*"
WITH_UNIT = re.compile(rf"\s*({NUMBER})\s*({FORM})")
"""A number and its unit."""

LISTS = [
    re.compile(rf"\s*\[\s*({NUMBER}(?:\s*,\s*{NUMBER})*)\s*\]\s*({FORM})"),
    re.compile(rf"\s*({NUMBER}(?:\s*,\s+{NUMBER})+)\s*({FORM})"),
]
"""Several numbers and the unit of all of them, in brackets or not; without, `1,5 m` could be a decimal number."""


def in_unit(value: Any, unit: str) -> Any:
    """A value of the config in the unit of its key, with every number that is written with a unit converted.

    Other values are returned as they are, to be checked by their type.

    Parameters
    ----------
    value : object
        A number, text such as `14.4 um` or `[72, 72] um`, or a list or mapping of these.
    unit : str
        The unit of the key, one of `DECIMAL`; any other is accepted as it is written, and converts to nothing.

    Raises
    ------
    ValueError
        The unit is unknown, or one of another quantity.

    Examples
    --------
    >>> in_unit("14.4 um", "m"), in_unit("[72, 14.4] um", "m"), in_unit(["1 m", 0.5], "m"), in_unit("90 deg", "rad")
    (1.44e-05, [7.2e-05, 1.44e-05], [1.0, 0.5], 1.5707963267948966)
    >>> in_unit("14.4 um", "1/m")
    Traceback (most recent call last):
    ...
    ValueError: is '14.4 um', a length; it must be an inverse length, in 1/m, 1/km, 1/cm, 1/mm or 1/um

    """
    if isinstance(value, list):
        return [in_unit(each, unit) for each in value]
    if isinstance(value, dict):
        return {key: in_unit(each, unit) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    for form in LISTS:
        if several := form.fullmatch(value):
            return [_converted(value, number.strip(), several[2], unit) for number in several[1].split(",")]
    if one := WITH_UNIT.fullmatch(value):
        return _converted(value, one[1], one[2], unit)
    return value


def validator(unit: str) -> BeforeValidator:
    """What converts a field of the config to its unit."""
    return BeforeValidator(partial(in_unit, unit=unit))


def in_units(values: Mapping[Any, Any], units: Mapping[str, str], where: str) -> tuple[dict[Any, Any], list[str]]:
    """A mapping by name with its values in the units of the names, and what is wrong with them."""
    found, mistakes = dict(values), []
    for name, value in values.items():
        try:
            found[name] = in_unit(value, units.get(str(name), ""))
        except ValueError as error:
            mistakes.append(f"{where}: {name}: {error}")
    return found, mistakes


def _converted(text: str, number: str, given: str, unit: str) -> float:
    """A number in the unit of its key."""
    given = _spelling(given)
    powers = DECIMAL.get(unit, {})
    if given in powers:
        try:
            return float(Decimal(number).scaleb(powers[given]))
        except DecimalException:
            raise ValueError(f"is {shown(text)}, a number that is too large or too small") from None
    if given == DEGREE and unit == "rad":
        return math.radians(float(number))
    if given == _spelling(unit):
        return float(number)
    raise ValueError(f"is {shown(text)}{_not_of(given)}; {_asked(unit)}")


def _spelling(unit: str) -> str:
    """A unit as the tables spell it: `/m` and `m^-1` are 1/m."""
    unit = "".join(unit.split())
    if unit.startswith("/"):
        unit = f"1{unit}"
    unit = re.sub(r"^(\w+)(?:\^-1|⁻¹|\*\*-1)$", r"1/\1", unit)
    return SPELLINGS.get(unit, unit)


def _not_of(given: str) -> str:
    """What a unit is one of."""
    known = [QUANTITIES[of] for of, units in DECIMAL.items() if given in units]
    known += ["angle"] * (given == DEGREE)
    return f", {_article(known[0])}" if known else f", and {given} is no unit that is known here"


def _asked(unit: str) -> str:
    """What must be given for a unit of the config."""
    if unit not in DECIMAL:
        return (
            f"write the number alone, in {unit}" if unit not in ("", "1") else "it has no unit: write the number alone"
        )
    others = [each for each in DECIMAL[unit] if each != unit] + [DEGREE] * (unit == "rad")
    units = f"{', '.join([unit, *others[:-1]])} or {others[-1]}" if others else unit
    return f"it must be {_article(QUANTITIES[unit])}, in {units}"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def prefixed(value: float | None, unit: str) -> tuple[float, str]:
    """The factor and the unit in which people write numbers as large as `value`: mrad, mm, µm.

    >>> prefixed(0.004, "rad"), prefixed(0.2, "rad"), prefixed(2e-5, "m")
    ((1000.0, 'mrad'), (1.0, 'rad'), (1000000.0, 'µm'))

    """
    if value is None or not 0 < abs(value) < _SMALL or unit not in ("rad", "m"):
        return 1.0, unit
    return (1e6, f"µ{unit}") if abs(value) < _SMALL / 1000 else (1e3, f"m{unit}")
