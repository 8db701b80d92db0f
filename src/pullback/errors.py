"""The one kind of error that a user is meant to read."""

LONGEST_SHOWN = 80
"""Characters that a message shows of a cell, the name of a column or a line of code."""


class PullbackError(Exception):
    """Something a user can mend: its text says what is wrong, where, and what to do, in one line a problem."""


def one_line(text: str) -> str:
    """What a user's file holds as a message shows it: in one line, and no longer than that.

    >>> one_line("a\\nb"), one_line("y" * 1000)
    ('a\\\\nb', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…')
    """
    start = text[:LONGEST_SHOWN] + "…" * (len(text) > LONGEST_SHOWN)
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in start)
