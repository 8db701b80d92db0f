"""How many of several, in words: one rule for the terminal and the report."""

from __future__ import annotations

from collections.abc import Callable


def of_all(number: int, total: int, noun: str, written: Callable[[int], str] = str) -> str:
    """How many of all things of a kind.

    >>> of_all(6, 6, "point"), of_all(2, 6, "point"), of_all(1, 1, "point")
    ('all 6 points', '2 of 6 points', '1 of 1 point')

    """
    things = f"{written(total)} {noun}{'s' * (total != 1)}"
    return f"all {things}" if number == total > 1 else f"{written(number)} of {things}"
