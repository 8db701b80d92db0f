"""What a file of hits holds, as its metadata and its first rows tell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HEAD_ROWS = 20_000
"""Rows that are read at most; enough to see all layers of a list that is sorted by layer."""

MOST_CELLS = 1_000_000
"""Cells that are read at most."""

MOST_LISTED = 300
"""Columns that are described at most."""

UNIT_IN_NAME = re.compile(r".*(?:\[\s*(\S+)\s*\]|\(\s*(\S+)\s*\)|_(mm|cm|um|mrad))$")
"""A name that ends with its unit: `x0 [mm]`, `x0 (mm)` or `x0_mm`."""


@dataclass(frozen=True)
class FileColumn:
    """A column, field, dataset or branch.

    Attributes
    ----------
    name : str
        The name by which `source.columns` refers to it.
    kind : str
        Kind of one value: `float64`, `int32`, `text` and so on.
    values : sequence
        The values of the first rows; None where a cell is empty.
    unit : str
        The unit that the file states; empty if it states none.
    shape : tuple of int
        Shape of a row's values; () for one value per row.
    jagged : bool
        Whether rows hold lists of different length.
    """

    name: str
    kind: str
    values: Sequence[Any]
    unit: str = ""
    shape: tuple[int, ...] = ()
    jagged: bool = False

    @property
    def numbers(self) -> bool:
        """Whether the values are numbers."""
        return self.kind.startswith(("float", "int", "uint"))

    @property
    def described(self) -> str:
        """The kind in words, with the number of values per row."""
        if self.jagged:
            return f"jagged list of {self.kind}"
        return f"list of {' × '.join(map(str, self.shape))} {self.kind}" if self.shape else self.kind

    @property
    def missing(self) -> int:
        """Empty cells and NaN in the first rows; of lists, those within them."""
        return sum(not is_known(value) for value in flattened(self.values))


@dataclass(frozen=True)
class FileTable:
    """Columns with a common number of rows: a table, a tree, or datasets of the same length.

    Attributes
    ----------
    name : str
        The name for `source.table` or `source.tree`; empty where none is needed.
    rows : int
        Number of rows.
    columns : tuple of FileColumn
        The columns, in the order of the file.
    rows_are : str
        `about` or `more than` if the rows were not counted; else empty.
    left_out : int
        Columns beyond `MOST_LISTED`.
    """

    name: str
    rows: int
    columns: tuple[FileColumn, ...]
    rows_are: str = ""
    left_out: int = 0

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> FileColumn:
        """The column of a name."""
        return self.columns[self.names.index(name)]


@dataclass(frozen=True)
class Contents:
    """A file, its format in words, how it calls a table, and its tables.

    `key` is the key of `source` that names a table: `table`, `tree`, or none. `notes` say what is there and not read.
    """

    file: str
    format: str
    key: str
    tables: tuple[FileTable, ...]
    notes: tuple[str, ...] = ()


def head_rows(columns: int) -> int:
    """Number of rows to read, for a number of columns."""
    return max(1, min(HEAD_ROWS, MOST_CELLS // max(1, columns)))


def is_known(value: Any) -> bool:
    """Whether a cell holds a value: it is neither empty nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def flattened(values: Iterable[Any]) -> Iterable[Any]:
    """The values of rows, those within lists one by one."""
    for value in values:
        if isinstance(value, list):
            yield from flattened(value)
        else:
            yield value


def unit_in_name(name: str) -> str:
    """The unit at the end of a name; empty without one.

    >>> unit_in_name("x0 [mm]"), unit_in_name("hit_x_um"), unit_in_name("x[2]"), unit_in_name("x0")
    ('mm', 'um', '', '')
    """
    found = UNIT_IN_NAME.fullmatch(name)
    unit = next(filter(None, found.groups()), "") if found else ""
    return "" if unit.isdigit() else unit
