"""Hits in CSV files: a header, then a row a muon.

An empty cell is a missing hit, and so is an empty line of a file with one column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..errors import PullbackError
from . import Stretches, check_element, find


def count(file: str | Path, names: Sequence[str], tree: str = "") -> int:
    """The number of rows, from reading the file once."""
    with _errors(file):
        return sum(len(table) for table in _tables(file, names))


def read(file: str | Path, names: Sequence[str], start: int, stop: int, tree: str = "") -> Stretches:
    """The rows [start, stop) of the columns."""
    at = 0
    with _errors(file):
        for table in _tables(file, names):
            skip, take = max(start - at, 0), min(stop - at, len(table))
            if skip < take:
                rows = table.slice(skip, take - skip)
                yield [_numbers(rows.column(name), file, name, at + skip) for name in names]
            at += len(table)
            if at >= stop:
                return


def _tables(file, names) -> Iterator[pa.RecordBatch]:
    """The columns as text, stretch by stretch."""
    with Path(file).open("rb") as stream:
        first = stream.readline().decode("utf-8-sig")
    header = [name.strip() for name in next(csv.reader([first]), [])]
    if not header:
        raise PullbackError(f"{file}: the file is empty; it needs a header, and a row a muon")
    for name in names:
        check_element(file, *find(file, name, header), ())
    reader = pa.csv.open_csv(
        file,
        # One thread, so that rows come in order and errors name the first; 8 MiB at a time.
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=1 << 23, column_names=header, skip_rows=1),
        parse_options=pa.csv.ParseOptions(ignore_empty_lines=len(header) > 1),
        # Cells are read as text, so that what is no number can be named with its row and column.
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(names),
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    with reader:
        yield from reader


def _numbers(column: pa.Array, file: str | Path, name: str, first: int) -> np.ndarray:
    """Cells as numbers; `first` is the row that they begin at, to name the one that holds no number."""
    cells = pc.utf8_trim_whitespace(column)
    cells = pc.if_else(pc.equal(cells, ""), "nan", cells)
    if _are_numbers(cells):
        return cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
    good, bad = 0, len(cells)  # of the first so many cells all are numbers, or not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _are_numbers(cells[good:middle]) else (good, middle)
    raise PullbackError(f"{file}: row {first + bad}, column {name!r}: {column[good].as_py()!r} is not a number")


def _are_numbers(cells: pa.Array) -> bool:
    try:
        cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


@contextmanager
def _errors(file: str | Path) -> Iterator[None]:
    """What the reader raises, as one line that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_utf8(file) from error
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        if "Empty CSV file" in reason or "Could not skip initial" in reason:
            raise PullbackError(f"{file}: holds no hits, only a header") from error
        if "UTF8" in reason:
            raise _not_utf8(file) from error
        # Rows are counted from 1 without the header, as everywhere here.
        reason = re.sub(r"Row #(\d+)", lambda match: f"row {int(match[1]) - 1}", reason)
        raise PullbackError(f"{file}: can't be read: {reason}") from error


def _not_utf8(file: str | Path) -> PullbackError:
    """The error for a file that isn't text, with the place of the first byte that isn't."""
    with Path(file).open("rb") as lines:
        for row, line in enumerate(lines):
            for column, cell in enumerate(line.split(b","), 1):
                try:
                    cell.decode("utf-8")
                except UnicodeDecodeError:
                    where = f"row {row}, column {column}" if row else f"the header, column {column}"
                    return PullbackError(f"{file}: {where}: is not UTF-8 text")
    return PullbackError(f"{file}: is not UTF-8 text")
