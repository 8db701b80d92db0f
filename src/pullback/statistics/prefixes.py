"""The unit that suits a number: mrad, mm, µm. One rule for sentences, tables, axes and exports."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

LARGEST_IN_MILLI = {"m": 0.9995, "rad": 0.1}
"""Numbers from here on are in the unit itself, those below in mm or mrad, and those below a thousandth in µm or µrad.

A number that three digits round to 1 m is in m. Angles from 0.1 rad on are in rad.
"""

LARGE = 1e5
"""Numbers from here on are written with a power of ten."""


def prefixed(value: float | None, unit: str) -> tuple[float, str]:
    """The factor and the unit in which people write numbers as large as `value`: mrad, mm, µm.

    >>> prefixed(0.004, "rad"), prefixed(0.2, "rad"), prefixed(0.2, "m"), prefixed(2e-5, "m")
    ((1000.0, 'mrad'), (1.0, 'rad'), (1000.0, 'mm'), (1000000.0, 'µm'))

    """
    largest = LARGEST_IN_MILLI.get(unit, 0.0)
    if value is None or not 0 < abs(value) < largest:
        return 1.0, unit
    return (1e6, f"µ{unit}") if abs(value) < largest / 1000 else (1e3, f"m{unit}")


def suited(values: float | Iterable[float], unit: str, digits: int = 12) -> str:
    """A number or several with the unit that suits the largest.

    >>> suited([0.0, 0.0195, 0.1083], "m"), suited(2e-5, "m"), suited(100.0, "1/m")
    ('0, 19.5, 108.3 mm', '20 µm', '100 /m')

    """
    numbers = [values] if isinstance(values, (int, float)) else [*values]
    factor, unit = prefixed(max(map(abs, numbers), default=0.0), unit)
    unit = "" if unit == "1" else unit.replace("1/", "/")
    return f"{', '.join(f'{factor * each:.{digits}g}' for each in numbers)} {unit}".rstrip()


def with_unit(value: float, unit: str, se: float | None = None, sign: str = "") -> str:
    """A number with the unit that suits it, to two digits of its standard error if it has one.

    >>> with_unit(2.302e-5, "m", 1.2e-7), with_unit(0.005, "m"), with_unit(0.005, "rad"), with_unit(0.0, "m", 1e-6)
    ('23.02 ± 0.12 µm', '5 mm', '5 mrad', '0.0 ± 1.0 µm')

    """
    known = se if se and math.isfinite(se) else 0.0
    factor, unit = prefixed(max(abs(value), known), unit)
    value, known = factor * value, factor * known
    if not known:
        return f"{value:{sign}.3g} {unit}"
    digits = max(0, 1 - math.floor(math.log10(known)))
    form = f".{digits}f" if max(abs(value), known) < LARGE else ".3g"
    return f"{value:{sign}{form}} ± {known:{form}} {unit}"


def product_of_units(units: Iterable[str], per: str = "1") -> str:
    """The unit of a product of quantities, divided by one more.

    >>> product_of_units(["mrad", "mrad"]), product_of_units(["mm", "1", "mrad"]), product_of_units(["mrad"], "m")
    ('mrad2', 'mm mrad', 'mrad/m')
    >>> product_of_units(["1"], "m"), product_of_units(["rad"], "1/m"), product_of_units(["c/GeV", "c/GeV"])
    ('1/m', 'rad m', '(c/GeV)2')

    """
    units = [each for each in units if each != "1"]
    if per.startswith("1/"):
        units, per = [*units, per.removeprefix("1/")], "1"
    powers = {each: units.count(each) for each in units}
    words = [f"{_bracketed(each) if power > 1 else each}{power if power > 1 else ''}" for each, power in powers.items()]
    found = " ".join(words) or "1"
    return found if per == "1" else f"{_bracketed(found) if found != '1' else found}/{_bracketed(per)}"


def _bracketed(unit: str) -> str:
    """A unit that may be raised to a power, or stand beside a slash."""
    return unit if re.fullmatch(r"\w+", unit) else f"({unit})"


def in_names(unit: str) -> str:
    """A unit as the end of the name of a column, of letters, digits and underscores; empty for none.

    >>> in_names("µm"), in_names("GeV/c"), in_names("1/m"), in_names("(c/GeV)2"), in_names("mm mrad"), in_names("1")
    ('um', 'GeV_per_c', 'per_m', 'c_per_GeV_2', 'mm_mrad', '')

    """
    words = unit.removeprefix("1").replace("µ", "u").replace("%", "percent").replace("/", " per ")
    return re.sub(r"\W+", "_", words).strip("_")
