"""Errors that a user can mend."""

LONGEST_SHOWN = 80
"""Characters of a cell, a column name or a line of code that a message shows."""


class PullbackError(Exception):
    """Something a user can mend: its text says what is wrong, where, and what to do, in one line per problem."""


class ConfigError(PullbackError):
    """The config, with its scan, systematics and target, or a config file."""


class HitsError(PullbackError):
    """A file of recorded hits."""


class ModelError(PullbackError):
    """A user's model file, or a function in it."""


class ArtefactError(PullbackError):
    """A result of the workflow: missing, damaged, made by another version or from another config, or without a part."""


def one_line(text: str) -> str:
    """Text of a user's file as a message shows it: on one line, and shortened.

    >>> one_line("a\\nb"), one_line("y" * 1000)
    ('a\\\\nb', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…')
    """
    start = text[:LONGEST_SHOWN] + "…" * (len(text) > LONGEST_SHOWN)
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in start)
