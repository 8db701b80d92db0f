"""Numbers as the report and the figures show them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from ..validation.coverage_evidence import TruthBin
from ..validation.evidence import Bin, DomainStatistics

LINE = 112
"""Columns of a line of text in a terminal."""


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


def plural(number: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "point"), plural(2, "point")
    ('1 point', '2 points')

    """
    return f"{count(number)} {noun}{'s' * (number != 1)}"


def span(numbers: Bin | DomainStatistics | TruthBin) -> str:
    """The range of a bin."""
    return f"{numbers.low:g} – {numbers.high:g}" if math.isfinite(numbers.high) else f"≥ {numbers.low:g}"


SUBSCRIPT = re.compile(r"([\u0370-\u03ff])_(\w+)")
"""A Greek letter with a subscript; names of files and config keys have none."""

CODE = re.compile(r"`([^`]+)`")
"""What a user may copy, in a sentence that a terminal shows too."""

AS_IT_IS = re.compile(r"[\w.]*")
"""A word or a number without a sign, as most cells are: nothing in it is typeset otherwise."""

MARKED_UP = re.compile(r"(<code>.*?</code>|<[^>]*>)")
"""What stays as it is: code and tags."""

MINUS = re.compile(r"(?<![\w.=-])-(?=\d)")
"""The sign of a number; not the hyphen of a name, nor what follows `=` in the label of a scan point."""

POWER = re.compile(r"(?<![\w.])([+−]?\d+(?:\.\d+)?)e([+-]\d+)(?!\w)")
"""A number with a power of ten, as programs write it."""

UNBREAKABLE = re.compile(
    r" (?=± )|(?<=±) | (?=× 10)|(?<=×) (?=10)|(?<=[\d⁰¹²³⁴⁵⁶⁷⁸⁹]) (?=(?:%|σ|/m|[nµmc]?m|[µm]?rad|[MG]eV(?:/c)?)(?!\w))"
)
"""The spaces around ± and ×, and between a number and its unit."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits as exponents."""


def typeset(text: object) -> Markup:
    """A text as HTML: subscripts, minus signs, powers of ten and code, and no line break within a number.

    >>> typeset("2 % of θ_msc < 3"), typeset(Markup("<b>Δθ_x</b>"))
    (Markup('2\xa0% of θ<sub>msc</sub> &lt; 3'), Markup('<b>Δθ<sub>x</sub></b>'))
    >>> typeset("-1.5e-05 m: write `x: -2`")
    Markup('−1.5\xa0×\xa010⁻⁵\xa0m: write <code>x: -2</code>')

    """
    html = CODE.sub(r"<code>\1</code>", str(escape(text)))
    if "_" in html:  # a page has thousands of cells, few of them with a symbol
        html = SUBSCRIPT.sub(r"\1<sub>\2</sub>", html)
    if not AS_IT_IS.fullmatch(html):
        parts = MARKED_UP.split(html)  # every second one is what stays
        parts[::2] = [UNBREAKABLE.sub("\xa0", POWER.sub(_power, MINUS.sub("−", part))) for part in parts[::2]]
        html = "".join(parts)
    return Markup(html)


def _power(found: re.Match[str]) -> str:
    """A power of ten as people write it."""
    mantissa, exponent = found[1], str(int(found[2])).translate(RAISED)
    return f"10{exponent}" if mantissa == "1" else f"{mantissa} × 10{exponent}"
