"""Errors that a user can correct."""

from datetime import date
from typing import Any

LONGEST_SHOWN = 80
"""Maximum number of characters of a value, a cell or a line of code in a message."""

LONGEST_NAME = 200
"""Maximum number of characters of a path or a dotted name in a message."""

ANSWERS_FOLLOW = "PULLBACK_ANSWERS_FOLLOW"
"""Environment variable that is set where answers follow a run: the error of a failed verdict leaves them out."""


class PullbackError(Exception):
    """An error that a user can correct: its text says what is wrong, where, and what to do, in one line per problem."""


class ConfigError(PullbackError):
    """The config, with its scan, systematics and target, or a config file."""


class HitsError(PullbackError):
    """A file of recorded hits."""


class ModelError(PullbackError):
    """A user's model file, or a function in it."""


class ArtefactError(PullbackError):
    """A result of the workflow: missing, damaged, made by another version or from another config, or without a part."""


def in_lines(error: PullbackError) -> str:
    """The text of an error as a command prints it: each problem in a line of its own that names the program."""
    return "\n".join(f"pullback: {line}" for line in str(error).split("\n"))


def one_line(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Text of a user as a message shows it: on one line, and shortened.

    >>> one_line("a\\nb"), one_line("y" * 1000)
    ('a\\\\nb', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…')
    """
    start = text[:longest] + "…" * (len(text) > longest)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in start)


def shown(value: Any) -> str:
    """A value of a config as a message shows it."""
    try:
        return one_line(str(value) if isinstance(value, date) else repr(value))
    except ValueError:  # Python refuses to format an integer with too many digits
        return f"a whole number of {value.bit_length()} bits"
