"""The condition on the rows of a file, for the columns that the file has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import ConfigError, HitsError
from .columns import NoColumnError, split_name
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


@contextmanager
def nearest_names(names: Sequence[str], lengths: Sequence[str]) -> Iterator[None]:
    """Of a column that is missing, and is one of these of the condition, say so with the nearest name, or length.

    Raises
    ------
    HitsError
        The error with this advice.

    """
    try:
        yield
    except NoColumnError as error:
        if error.name not in [split_name(name.strip("/"))[0] for name in names]:
            raise
        close = difflib.get_close_matches(error.name, [*lengths, *error.existing], n=1)
        advice = f"; did you mean {close[0]}?" if close else ""
        raise HitsError(f"{error}, in source.select{advice}") from None
