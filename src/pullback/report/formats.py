"""Numbers as the report and the figures show them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..validation.coverage_evidence import TruthBin
from ..validation.evidence import Bin, DomainStatistics


def known(values: Iterable[float | None]) -> list[float]:
    """The numbers among values that may be missing or NaN."""
    return [value for value in values if value is not None and not math.isnan(value)]


def figures(value: float | None, digits: int = 4) -> str:
    """A number with a fixed number of decimals, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.0


def significant(value: float | None, digits: int = 4) -> str:
    """A number with a fixed number of significant digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def brief(value: float) -> str:
    """A number with three significant digits, and no power of ten below a million.

    >>> brief(2187.4), brief(0.012345), brief(3e7)
    ('2187', '0.0123', '3e+07')

    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def prefixed(value: float | None, unit: str) -> tuple[float, str]:
    """The factor and the unit in which people write numbers as large as `value`: mrad, mm, µm.

    >>> prefixed(0.004, "rad"), prefixed(0.2, "rad"), prefixed(2e-5, "m")
    ((1000.0, 'mrad'), (1.0, 'rad'), (1000000.0, 'µm'))

    """
    if value is None or not 0 < abs(value) < SMALL or unit not in ("rad", "m"):
        return 1.0, unit
    return (1e6, "µm") if unit == "m" and abs(value) < SMALL / 1000 else (1e3, f"m{unit}")


SMALL = 0.1
"""Numbers of radians and metres below this are written in mrad and mm."""


def signed(value: float | None) -> str:
    """A change in per cent with its sign, or a dash."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:+.2f} %".replace("-", "−") if abs(value) >= 5e-5 else "0 %"


def percent(value: float | None) -> str:
    """A share in per cent; less than all is never rounded to 100 %, and more than nothing never to 0 %."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{100 * value:.3g}"
    for digits in range(4, 17):
        if not (text == "100" and value < 1):
            break
        text = f"{100 * value:.{digits}g}"
    return f"{text} %"


def count(value: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def span(numbers: Bin | DomainStatistics | TruthBin) -> str:
    """The range of a bin."""
    return f"{numbers.low:g} – {numbers.high:g}" if math.isfinite(numbers.high) else f"≥ {numbers.low:g}"
