"""The condition on the rows of a file, for the columns that the file has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import ConfigError, HitsError
from .columns import NoColumnError, WrongKindError, split_name
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


OF_WRONG_KIND = {
    AS_NUMBER: "; source.select compares it with a number: write a text in quotes, after == or !=",
    AS_TEXT: "; source.select compares it with a text: write a number without quotes",
}
"""What is said of a column of another kind than that of a condition, by the kind that is wanted."""


@contextmanager
def errors_of_condition(names: Sequence[str], lengths: Sequence[str]) -> Iterator[None]:
    """Of a column that is missing or of another kind, and is one of these of the condition, say so with advice.

    For a missing one it is the nearest name, or length.

    Raises
    ------
    HitsError
        The error with this advice.

    """
    try:
        yield
    except (NoColumnError, WrongKindError) as error:
        mine = error.name in [name for each in names for name in (each, split_name(each.strip("/"))[0])]
        if isinstance(error, WrongKindError) and (mine or error.wanted == AS_TEXT):  # only the condition wants text
            raise HitsError(f"{error}{OF_WRONG_KIND.get(error.wanted, '')}") from None
        if isinstance(error, WrongKindError) or not mine:
            raise
        close = difflib.get_close_matches(error.name, [*lengths, *error.existing], n=1)
        advice = error.advice or (f"did you mean {close[0]}?" if close else "")
        raise HitsError(f"{error.line}, in source.select{advice and f'; {advice}'}") from None
