"""The condition `source.select` as it is written: numbers with units, and names that are none in Python."""

from __future__ import annotations

import keyword
import re

from ..hits.selection import Written, parsed
from .units import in_unit

TOKEN = re.compile(
    r"""
      (?P<text>'[^'\n]*'|"[^"\n]*")
    | `(?P<quoted>[^`\n]+)`
    | (?P<name>[^\W\d]\w*)(?P<index>(?:\[\d{1,9}\])*)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\s*(?P<unit>[^\W\d]\w*))?
    """,
    re.VERBOSE,
)
"""Text in quotes, a column in backticks, a name with an index or not, or a number with a unit or not."""


def written_condition(text: str) -> Written:
    """A condition in Python's syntax, with its lengths in m.

    Raises
    ------
    ValueError
        A number has an unknown unit or one that is none of length; or the text is no expression.

    Examples
    --------
    >>> found = written_condition("n == 1 and abs(hit[0]) < 49.9 mm")
    >>> found.expression, found.lengths, found.columns
    ('n == 1 and abs(column_0_) < length_1_', {'length_1_': 0.0499}, {'column_0_': 'hit[0]'})

    """
    lengths: dict[str, float] = {}
    columns: dict[str, str] = {}
    texts: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name, unit = match["name"], match["unit"]
        if match["quoted"] or match["index"] or (name and re.fullmatch(r"(column|length)_\d+_", name)):
            given = f"column_{len(texts)}_"
            columns[given] = match["quoted"] or match[0]
        elif unit and unit.lower() in ("and", "or"):
            if unit != unit.lower():
                raise ValueError(f"has {unit}; write {unit.lower()}")
            return match[0]
        elif unit and not keyword.iskeyword(unit):
            given = f"length_{len(texts)}_"
            lengths[given] = in_unit(f"{match['number']} {unit}", "m")
        else:
            return match[0]
        texts[given] = match[0]
        return given

    expression = TOKEN.sub(stand_in, " ".join(text.split("\n")))
    found = Written(text, expression, lengths, columns, texts)
    parsed(found)
    return found
