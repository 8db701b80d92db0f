"""Common functions of the file readers for CSV, Parquet, HDF5 and ROOT.

Each reader is a module with four functions:

- `count(file, names, tree, kinds)` returns the number of rows, after a check that the columns exist and hold numbers;
- `read(file, names, start, stop, tree, kinds)` yields the rows [start, stop) in order, in chunks that fit into memory:
  for each name the values (row,) as float64, with NaN for empty cells;
- `find_kinds(file, names, tree)` returns the type in which each column is kept as it is (`native`);
- `tables(file, names, tree)` yields all rows in order, in chunks, as Arrow arrays of their own types, for lists of
  hits.

`kinds` are types of the columns, one for each name, where they are not all numbers as float64.

`tree` is the tree of a ROOT file, or the table of an HDF5 file; other files have none. A name is that of a column with
one number per row, or `x[2]` for element 2, counted from 0, of a column `x` with a fixed number of values per row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import HitsError, PullbackError, one_line

Chunks = Iterator[list[np.ndarray]]
"""Consecutive chunks of rows, each a list of columns."""

CHUNK_BYTES = 32 << 20
"""Approximate number of bytes of all columns per chunk."""

MAX_CHUNK_ROWS = 131_072
"""Maximum number of rows per chunk."""

LONG_ROWS = 16_384
"""Number of rows per chunk of lists of hits, which may have one event per row."""

NAMES_LISTED = 30
"""Maximum number of columns listed in a message."""

Named = tuple[str, tuple[int, ...]]
"""A column, and the indices of the selected element; () for the whole column."""


class NoColumnError(HitsError):
    """A file without a column of this name, or with several; with the columns that it has, and advice if there is."""

    def __init__(self, line: str, advice: str, name: str, existing: Sequence[str]):
        super().__init__(f"{line}; {advice}" if advice else line)
        self.line, self.advice, self.name, self.existing = line, advice, name, existing


class JaggedError(HitsError):
    """A column has a varying number of values per row."""

    def __init__(self, message: str, column: str):
        super().__init__(message)
        self.column = column


class WrongKindError(HitsError):
    """A column of numbers where text is wanted, or of text where numbers are."""

    def __init__(self, line: str, name: str, wanted: str):
        super().__init__(line)
        self.name, self.wanted = name, wanted


def split_name(name: str) -> Named:
    """Split a name into column and indices.

    >>> split_name("x[2]"), split_name("x")
    (('x', (2,)), ('x', ()))
    """
    if match := re.fullmatch(r"(.+?)((?:\[\d{1,9}\])+)", name):
        return match[1], tuple(map(int, re.findall(r"\d+", match[2])))
    return name, ()


def find_column(
    file: str, name: str, existing: Sequence[str], advise: Callable[[Sequence[str]], str] | None = None
) -> Named:
    """Find the column of a name among the existing columns.

    Raises
    ------
    HitsError
        No column or more than one column has this name. The message lists the existing columns; without a match it
        includes the advice from `advise`.

    """
    base, indices = (name, ()) if name in existing else split_name(name)
    if list(existing).count(base) != 1:
        problem = "more than one column" if base in existing else "no column"
        listed = ", ".join(map(one_line, existing[:NAMES_LISTED])) or "none"
        rest = f" and {len(existing) - NAMES_LISTED} more" if len(existing) > NAMES_LISTED else ""
        advice = advise(existing) if advise and base not in existing else ""
        if alike := [each for each in existing if each != base and each.lower() == base.lower()]:
            advice = advice or f"did you mean {one_line(alike[0])}?"
        line = f"{file}: {problem} '{one_line(base)}'; the columns are: {listed}{rest}"
        raise NoColumnError(line, advice, base, existing)
    return base, indices


def check_element(file: str, column: str, indices: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse a name that does not select one number per row, in a column whose rows have this shape."""
    if len(indices) == len(shape) and all(index < length for index, length in zip(indices, shape, strict=True)):
        return
    named = column + "".join(f"[{index}]" for index in indices)
    if not shape:
        raise HitsError(f"{file}: no element {named!r}: column {column!r} holds one number per row")
    first, last = (column + "".join(f"[{index}]" for index in ends) for ends in ([0] * len(shape), np.array(shape) - 1))
    if not indices:
        size = " × ".join(map(str, shape))
        raise HitsError(f"{file}: column {column!r} holds {size} numbers per row: name one, {first} to {last}")
    raise HitsError(f"{file}: no element {named!r}: column {column!r} has {first} to {last}")


def jagged(file: str, column: str, kind: str) -> JaggedError:
    """The error for a column with a varying number of values per row."""
    return JaggedError(
        f"{file}: column {column!r} is jagged ({kind}: rows of different length), so that hits cannot be assigned "
        f"to coordinates: write it with a fixed size, as {column}[4], or one column per layer, with NaN for a "
        f"missing hit; lists of hits with their layers are read by layout: long",
        column,
    )


def chunk_rows(*shapes: tuple[int, ...]) -> int:
    """Number of rows per chunk for columns of these shapes."""
    return max(1, CHUNK_BYTES // (8 * sum(map(math.prod, shapes))))


def rows_of(tables: Iterable[Any], start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """The rows [start, stop) of consecutive Arrow tables: the index of the first row, and the rows, of each table."""
    at = 0
    for table in tables:
        skip, take = max(start - at, 0), min(stop - at, len(table))
        if skip < take:
            yield at + skip, table.slice(skip, take - skip)
        at += len(table)
        if at >= stop:
            return


def in_blocks(
    file: str, chunks: Chunks, kinds: Sequence[str], start: int, stop: int, rows: int
) -> Iterator[list[np.ndarray]]:
    """Blocks of columns of these types, from chunks of the muons [start, stop) of any length.

    Raises
    ------
    HitsError
        There are fewer muons than that.

    """
    at, filled = start, 0
    block = _empty(kinds, min(rows, stop - start))
    for chunk in chunks:
        used, length = 0, len(chunk[0])
        while used < length:
            count = min(len(block[0]) - filled, length - used)
            for values, column in zip(block, chunk, strict=True):
                values[filled : filled + count] = column[used : used + count]
            filled, used = filled + count, used + count
            if filled == len(block[0]):
                yield block
                at, filled = at + filled, 0
                block = _empty(kinds, min(rows, stop - at))
    if at < stop:
        raise HitsError(
            f"{file}: no longer has row {at + filled + 1} of {stop}; it has changed since this run began: run again"
        )


def _empty(kinds: Sequence[str], rows: int) -> list[np.ndarray]:
    return [np.empty(rows, kind) for kind in kinds]


@contextmanager
def damaged(file: str) -> Iterator[None]:
    """Report any exception that a library raises on a damaged file, as one line."""
    try:
        yield
    except (PullbackError, OSError, RuntimeError, MemoryError):  # these have their own messages
        raise
    except Exception as error:
        reason = one_line(next(filter(None, str(error).splitlines()), ""))
        advice = "is it truncated, or of another kind?"
        raise HitsError(f"{file}: can't be read: {type(error).__name__}: {reason}; {advice}") from error
