"""The condition on the rows of a file, for the columns that the file has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import ModuleType

from ..errors import ConfigError, HitsError
from .columns import NoColumnError
from .native import AS_NUMBER, AS_TEXT
from .selection import Condition, Written, condition_of


def checked_condition(written: Written | None, lengths: Sequence[str]) -> Condition | None:
    """The condition, if there is one, with `lengths` for those of its names that are lengths.

    Raises
    ------
    ConfigError
        It has a part that is not allowed, or whose dimensions do not go together.

    """
    try:
        return condition_of(written, lengths) if written else None
    except ValueError as error:
        raise ConfigError(f"config: source.select: {error}") from None


def check_names(condition: Condition, file: str, reader: ModuleType, tree: str, lengths: Sequence[str]) -> None:
    """Check that a file has the columns of a condition.

    Raises
    ------
    HitsError
        It does not, or they hold other than numbers, or text where text is compared. The message names the nearest.

    """
    names = [name for name in condition.numbers if name not in lengths]
    try:
        for name, kind in [*((name, AS_NUMBER) for name in names), *((name, AS_TEXT) for name in condition.texts)]:
            reader.count(file, [name], tree, [kind])
    except NoColumnError as error:
        close = difflib.get_close_matches(error.name, [*lengths, *error.existing], n=1)
        advice = f"; did you mean {close[0]}?" if close else ""
        raise HitsError(f"{error}, in source.select{advice}") from None
