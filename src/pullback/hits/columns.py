"""Readers of the kinds of files that hits come in: CSV, Parquet, HDF5 and ROOT.

Each is a module with two functions, which recorded hits are read by:

- `count(file, names, tree)` is the number of rows, once the columns are known to be there and to hold numbers;
- `read(file, names, start, stop, tree)` yields the rows [start, stop) in order, in stretches that fit into memory: for
  each of the names the values (row,), as float64, NaN where a cell is empty.

`tree` is for ROOT alone. A name is that of a column with one number a row, or `x[2]`: element 2, from 0, of the column
`x`, which has as many in every row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import PullbackError, one_line

Stretches = Iterator[list[np.ndarray]]
"""Consecutive rows, as a list of columns each."""

AT_A_TIME = 32 << 20
"""Bytes of all columns to read at a time, about."""

ROWS_AT_A_TIME = 131_072
"""Most rows to read at a time."""

NAMES_LISTED = 30
"""Columns to list, of a file that has many."""

Named = tuple[str, tuple[int, ...]]
"""A column, and the indices of the element that is meant of it; () for all of it."""


def split(name: str) -> Named:
    """The column and the indices of an element's name.

    >>> split("x[2]"), split("x")
    (('x', (2,)), ('x', ()))
    """
    if match := re.fullmatch(r"(.+?)((?:\[\d{1,9}\])+)", name):
        return match[1], tuple(map(int, re.findall(r"\d+", match[2])))
    return name, ()


def find(
    file: str | Path, name: str, there: Sequence[str], advise: Callable[[Sequence[str]], str] | None = None
) -> Named:
    """What a name means of the columns that are there.

    Raises
    ------
    PullbackError : there is no such column, or more than one; with the columns that there are. When there is none, with
        what `advise` says of these, too.

    """
    base, indices = (name, ()) if name in there else split(name)
    if list(there).count(base) != 1:
        problem = "more than one column" if base in there else "no column"
        listed = ", ".join(map(one_line, there[:NAMES_LISTED])) or "none"
        rest = f" and {len(there) - NAMES_LISTED} more" if len(there) > NAMES_LISTED else ""
        advice = advise(there) if advise and base not in there else ""
        rest += f"; {advice}" if advice else ""
        raise PullbackError(f"{file}: {problem} '{one_line(base)}'; the columns are: {listed}{rest}")
    return base, indices


def check_element(file: str | Path, column: str, indices: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse a name that does not stand for one number in each row of a column with rows of this shape."""
    if len(indices) == len(shape) and all(index < length for index, length in zip(indices, shape, strict=True)):
        return
    named = column + "".join(f"[{index}]" for index in indices)
    if not shape:
        raise PullbackError(f"{file}: no element {named!r}: column {column!r} holds one number a row")
    first, last = (column + "".join(f"[{index}]" for index in ends) for ends in ([0] * len(shape), np.array(shape) - 1))
    if not indices:
        size = " × ".join(map(str, shape))
        raise PullbackError(f"{file}: column {column!r} holds {size} numbers a row: name one, {first} to {last}")
    raise PullbackError(f"{file}: no element {named!r}: column {column!r} has {first} to {last}")


def jagged(file: str | Path, column: str, kind: str) -> PullbackError:
    """The error for a column that has more numbers in some rows than in others."""
    return PullbackError(
        f"{file}: column {column!r} is jagged ({kind}: another number of hits in each row), and which hit is of which "
        f"coordinate is not known: write it with a fixed size, as {column}[4], or one column a layer, with NaN for a "
        f"missing hit"
    )


def rows_at_a_time(*shapes: tuple[int, ...]) -> int:
    """How many rows of columns of these shapes to read at a time."""
    return max(1, AT_A_TIME // (8 * sum(map(math.prod, shapes))))


@contextmanager
def damaged(file: str | Path) -> Iterator[None]:
    """What a library makes of a damaged file, as one line: there is no kind of exception that it doesn't raise."""
    try:
        yield
    except (PullbackError, OSError, RuntimeError, MemoryError):  # which have their words already
        raise
    except Exception as error:
        reason = one_line(next(filter(None, str(error).splitlines()), ""))
        advice = "is it truncated, or of another kind?"
        raise PullbackError(f"{file}: can't be read: {type(error).__name__}: {reason}; {advice}") from error
