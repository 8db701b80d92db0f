"""Numbers with units in the config: `1.5 m`, `0.5 mrad`, `[72, 72, 14.4] um`, `[60 mm, 0.5 m]`.

A number without a unit is in the unit of its key. A slope may be given as its angle to the z axis. The result is the
double nearest to the decimal number that is written: `14.4 um` is 1.44e-05, not 14.4 × 1e-6.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from functools import partial
from typing import Any

from pydantic import BeforeValidator

from ..errors import shown

SLOPE = "slope"
"""In place of the unit of slopes: numbers without one, that may also be given as angles, of which they are the tangent.
"""

SIGMA_OF_SLOPE = "σ of a slope"
"""In place of the unit of σ of slopes: numbers without one, that may also be given as the σ of the angle.

Both are the same for a track along z. It is no tangent: σ is a small change, and no angle to the z axis.
"""

OF_SLOPES = (SLOPE, SIGMA_OF_SLOPE)

DECIMAL: dict[str, dict[str, int]] = {
    "m": {"km": 3, "m": 0, "cm": -2, "mm": -3, "um": -6, "nm": -9},
    "1/m": {"1/km": -3, "1/m": 0, "1/cm": 2, "1/mm": 3, "1/um": 6},
    "rad": {"rad": 0, "mrad": -3, "urad": -6},
    "GeV/c": {"TeV/c": 3, "GeV/c": 0, "MeV/c": -3, "TeV": 3, "GeV": 0, "MeV": -3},
    "g/cm3": {"g/cm3": 0, "kg/m3": -3},
    "eV": {"keV": 3, "eV": 0},
    "mol/g": {"mol/g": 0},
    "X0": {"X0": 0, "%X0": -2},
    SLOPE: {},
    SIGMA_OF_SLOPE: {},
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
    SLOPE: "slope",
    SIGMA_OF_SLOPE: SIGMA_OF_SLOPE,
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

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
BEFORE_COMMA = r"[^,\[\]]*"
FORM = r"(?![eE][-+]?\d)[^\d\s.,;:*+_\[\]-].*|1/.*"
WITH_UNIT = re.compile(rf"\s*({NUMBER})\s*({FORM})")
"""A number and its unit."""

LISTS = [
    re.compile(rf"\s*\[\s*({NUMBER}(?:\s*,\s*{NUMBER})*)\s*\]\s*({FORM})"),
    re.compile(rf"\s*({NUMBER}(?:\s*,\s+{NUMBER})+)\s*({FORM})"),
]
"""Several numbers and the unit of all of them, in brackets or not; without, `1,5 m` could be a decimal number."""

_EACH = rf"{NUMBER}(?:\s*(?:{FORM.replace('.*', BEFORE_COMMA)}))?"
OWN_UNITS = [
    re.compile(rf"\s*\[\s*({_EACH}(?:\s*,\s*{_EACH})*)\s*\]\s*(.*)"),
    re.compile(rf"\s*({_EACH}(?:\s*,\s+{_EACH})+)()"),
]
"""Several numbers with units of their own, which 0 does not need."""

_WORDS = {"kilo": "k", "centi": "c", "milli": "m", "micro": "u", "nano": "n", "": ""}
_IN_WORDS = re.compile(rf"({'|'.join(_WORDS)})(met(?:er|re)|radian)s?")
"""Units in words."""


def in_unit(value: Any, unit: str | None) -> Any:
    """A value of the config in the unit of its key, with every number that is written with a unit converted.

    Other values are returned as they are, to be checked by their type.

    Parameters
    ----------
    value : object
        A number, text such as `14.4 um` or `[72, 72] um`, or a list or mapping of these.
    unit : str or None
        The unit of the key, one of `DECIMAL`; any other is accepted as it is written, and converts to nothing. None
        for an unknown key, whose numbers are taken alone, so that the key is refused and not its unit.

    Raises
    ------
    ValueError
        The unit is unknown, or one of another quantity; or a list has units within its brackets and after them.

    Examples
    --------
    >>> in_unit("14.4 um", "m"), in_unit("[72, 14.4] um", "m"), in_unit(["1 m", 0.5], "m"), in_unit("90 deg", "rad")
    (1.44e-05, [7.2e-05, 1.44e-05], [1.0, 0.5], 1.5707963267948966)
    >>> in_unit("[60 mm, 0.5 m]", "m"), in_unit("45 deg", "slope")
    ([0.06, 0.5], 0.9999999999999999)
    >>> in_unit("3 GeV", "rad")
    Traceback (most recent call last):
    ...
    ValueError: is '3 GeV', a momentum; it must be an angle, in rad, mrad, urad or deg

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
    for form in OWN_UNITS:
        if several := form.fullmatch(value):
            return _each_converted(value, several[1], several[2], unit)
    if one := WITH_UNIT.fullmatch(value):
        return _converted(value, one[1], one[2], unit)
    return value


def _each_converted(text: str, numbers: str, after: str, unit: str | None) -> Any:
    """The numbers of a list that have units of their own; a list without any is left as it is."""
    parts = [(part, WITH_UNIT.fullmatch(part)) for part in numbers.split(",")]
    if not any(one for _, one in parts):
        return text
    if after:
        raise ValueError(f"is {shown(text)}, with units both within and after the brackets; leave out one of them")
    for part, one in parts:
        if not one and float(part):
            raise ValueError(f"is {shown(text)}; {part.strip()} has no unit, and others have; give each its unit")
    return [_converted(text, one[1], one[2], unit) if one else 0.0 for _, one in parts]


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


def _converted(text: str, number: str, given: str, unit: str | None) -> float:
    """A number in the unit of its key."""
    if unit is None:
        return float(number)
    if "," in given:
        raise ValueError(f"is {shown(text)}; several numbers with units need brackets: {shown(f'[{text.strip()}]')}")
    given = _spelling(given)
    if unit in OF_SLOPES and (given in DECIMAL["rad"] or given == DEGREE):
        angle = _converted(text, number, given, "rad")
        return _slope(text, angle) if unit == SLOPE else angle
    powers = DECIMAL.get(unit, {})
    if given in powers:
        return _scaled(text, number, powers[given])
    if given == DEGREE and unit == "rad":
        return math.radians(float(number))
    if given == _spelling(unit) and unit not in OF_SLOPES:
        return float(number)
    raise ValueError(f"is {shown(text)}{_not_of(given, unit)}; {_percent(number, given, unit) or _asked(unit)}")


def _scaled(text: str, number: str, power: int) -> float:
    """A number times a power of 10."""
    with contextlib.suppress(DecimalException):
        exact = Decimal(number).scaleb(power)
        if math.isfinite(found := float(exact)) and bool(found) == bool(exact):
            return found
    raise ValueError(f"is {shown(text)}, a number that is too large or too small") from None


def _slope(text: str, angle: float) -> float:
    """The slope dx/dz of a line at an angle to the z axis."""
    if not abs(angle) < math.pi / 2:
        raise ValueError(f"is {shown(text)}; the angle of a slope, which is its tangent, must be below 90 deg")
    return math.tan(angle)


def _spelling(unit: str) -> str:
    """A unit as the tables spell it: `/m` and `m^-1` are 1/m."""
    unit = "".join(unit.split())
    if unit.startswith("/"):
        unit = f"1{unit}"
    unit = re.sub(r"^(\w+)(?:\^-1|⁻¹|\*\*-1)$", r"1/\1", unit)
    return SPELLINGS.get(unit, unit)


def _not_of(given: str, unit: str) -> str:
    """What a unit is one of, or what is meant by it."""
    known = [QUANTITIES[of] for of, units in DECIMAL.items() if given in units]
    known += ["angle"] * (given == DEGREE)
    if known:
        return f", {_article(known[0])}"
    meant = _meant(given, unit)
    given = given if given.isprintable() else ascii(given)
    return f", and {given} is no unit that is known here{f': write {meant}' if meant else ''}"


def _percent(number: str, given: str, unit: str) -> str:
    """What to write for a share of a radiation length in percent; empty for anything else."""
    if given != "%" or unit != "X0":
        return ""
    return f"write {number} %X0 or {_scaled(number, number, -2):.12g}, in radiation lengths"


def _meant(given: str, unit: str) -> str:
    """The unit that is meant by one in words, or in the wrong case; empty if there is none."""
    small = given.lower()
    if small in ("micron", "microns"):
        return "um"
    if words := _IN_WORDS.fullmatch(small):
        return _WORDS[words[1]] + ("rad" if words[2] == "radian" else "m")
    return next((each for each in DECIMAL.get(unit, ()) if each.lower() == small), "")


def _asked(unit: str) -> str:
    """What must be given for a unit of the config."""
    if unit in OF_SLOPES:
        its = "its angle" if unit == SLOPE else "the σ of its angle"
        return f"it must be a {unit}, as a number alone or as {its} in {_or([*DECIMAL['rad'], DEGREE])}"
    if unit not in DECIMAL:
        return (
            f"write the number alone, in {unit}" if unit not in ("", "1") else "it has no unit: write the number alone"
        )
    units = [unit, *(each for each in DECIMAL[unit] if each != unit), *[DEGREE] * (unit == "rad")]
    of_length = "; for a length use detector.sigma" if unit == "1/m" else ""
    return f"it must be {_article(QUANTITIES[unit])}, in {_or(units)}{of_length}"


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
