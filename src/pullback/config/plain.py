"""Checks of every raw config: names must be text, text must be printable, numbers must be of finite length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import LONGEST_NAME, ConfigError, one_line, shown

UNWRITABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML 1.2 calls not printable. NUL ends text in HDF5, and SVG cannot hold most of the others."""

BITS = 3321
"""Bits of the longest integer, about 1000 digits: more than a float needs, and fewer than Python refuses to print."""

OF_LINES = re.compile(r"[\t\n\r\x85\u2028\u2029]")
"""Characters that are allowed in text but not in names."""

LENGTH = 4096
"""Maximum length of text in characters, that of a path."""


def check_plain(raw: Any, where: str) -> None:
    """Refuse a raw config with invalid names, or with values that cannot be written again.

    Raises
    ------
    ConfigError
        One line per mistake, with the dotted key.

    """
    found = [f"{where}: {mistake}" for mistake in _mistakes(raw, "", frozenset())]
    if found:
        raise ConfigError("\n".join(found))


def _mistakes(value: Any, name: str, around: frozenset[int]) -> Iterator[str]:
    """Mistakes in a value with this dotted name; `around` holds the ids of the lists and mappings that contain it."""
    if isinstance(value, dict | list) and id(value) in around:
        yield f"{name}: holds itself"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _wrong_key(key, name)
            yield from _mistakes(inner, f"{name}.{key}" if name else str(key), around | {id(value)})
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _mistakes(inner, f"{name}[{index}]", around | {id(value)})
    elif isinstance(value, str) and (bad := _unwritable(value)):
        yield f"{one_line(name, LONGEST_NAME)}: holds {bad}"
    elif isinstance(value, str) and len(value) > LENGTH:
        yield f"{one_line(name, LONGEST_NAME)}: is text of {len(value)} characters; at most {LENGTH} are allowed"
    elif isinstance(value, int) and value.bit_length() > BITS:
        yield f"{one_line(name, LONGEST_NAME)}: is a whole number of more than 1000 digits"


def _wrong_key(key: Any, name: str) -> Iterator[str]:
    inside = f"{one_line(name, LONGEST_NAME)}: " if name else ""
    if not isinstance(key, str):
        yield f"{inside}key {shown(key)} is not text, and keys are names; put it in quotes if it is one"
    elif not key:
        yield f"{inside}a key is empty"
    elif bad := _unwritable(key, name=True):
        yield f"{inside}key {shown(key)} holds {bad}"
    elif len(key) > LENGTH:
        yield f"{inside}key {one_line(key)} has {len(key)} characters; at most {LENGTH} are allowed"


def _unwritable(text: str, *, name: bool = False) -> str:
    bad = UNWRITABLE.search(text) or (name and OF_LINES.search(text))
    return f"the character U+{ord(bad[0]):04X}, which no file or figure can show; leave it out" if bad else ""
