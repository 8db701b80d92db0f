"""Columns as they are: whole numbers stay whole numbers, and text stays text.

The type of a column is written as numpy does: `i8`, `u8` or `f8`, `S12` for text of up to 12 bytes of UTF-8, and `O`
for text of any length as Python's `str`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import HitsError

AS_NUMBER = "f8"
AS_TEXT = "O"
AS_EITHER, AS_LISTS = "any", "any, lists too"
"""In place of a type: numbers or text, and lists of them."""

MOST_TEXT = 256
"""Maximum length of a kept text, bytes."""

EXACT = 2**53
"""Largest whole number up to which doubles hold all of them."""


def is_text(kind: str) -> bool:
    """Whether a type is one of text."""
    return kind[0] in "SO"


def kinds_or_numbers(names: Sequence[str], kinds: Sequence[str]) -> Sequence[str]:
    """The types of columns; without any, numbers."""
    return kinds or [AS_NUMBER] * len(names)


def whole_kind(dtype: np.dtype) -> str:
    """The type in which whole numbers of a type, or truth values, are kept."""
    return "u8" if dtype.kind == "u" and dtype.itemsize == 8 else "i8"


def text_kind(file: str, name: str, longest: int) -> str:
    """The type of text of up to this many bytes.

    Raises
    ------
    HitsError
        The text is too long to be kept.

    """
    if longest > MOST_TEXT:
        raise HitsError(f"{file}: column {name!r} has text of {longest} bytes; at most {MOST_TEXT} can be kept")
    return f"S{max(1, longest)}"


def text_values(values: Iterable[str | bytes | None], kind: str) -> np.ndarray:
    """Text in a type; missing text is empty."""
    if kind == AS_TEXT:
        plain = [each.decode(errors="replace") if isinstance(each, bytes) else each or "" for each in values]
        return np.array(plain, dtype=object)
    return np.array([each.encode() if isinstance(each, str) else each or b"" for each in values], dtype=kind)


def refuse_kind(file: str, name: str, kind: str) -> HitsError:
    """The error for a column of another type."""
    return HitsError(f"{file}: column {name!r} holds {kind}, neither numbers nor text, so that it can't be kept")
