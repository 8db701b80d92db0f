"""The mark of values that only the user of a file knows; a config is refused until none is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigError

FILL_IN = "FILL_IN"
"""In place of a value, or of a part of it."""


def check_filled_in(raw: Any) -> None:
    """Refuse a config with values that are still to be filled in.

    Raises
    ------
    ConfigError
        One line for each of them, with its key.

    """
    if keys := list(dict.fromkeys(_left(raw, ""))):
        raise ConfigError(
            "\n".join(f"config: {key}: is to be filled in: write the value for {FILL_IN}" for key in keys)
        )


def _left(value: Any, key: str) -> Iterator[str]:
    """The dotted keys of what is left to fill in."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _left(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _left(each, key)
    elif isinstance(value, str) and re.search(rf"\b{FILL_IN}\b", value):
        yield key
