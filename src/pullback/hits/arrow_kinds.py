"""Columns of Arrow arrays as they are: their types, from all of their rows, and their values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import HitsError, one_line
from .native import EXACT, is_text, refuse_kind, text_kind, text_values


class ArrowKind:
    """Finds the type of a column from its rows, chunk by chunk; `of_cells` of a CSV file, whose cells are all text."""

    def __init__(self, file: str, name: str, of_cells: bool = False):
        self._file, self._name, self._of_cells = file, name, of_cells
        self._candidates = [pa.int64(), pa.uint64(), pa.float64(), pa.string()]
        self._missing, self._longest, self._largest = False, 0, 0

    def add(self, column: pa.Array) -> None:
        """Add the next rows."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if not (text or pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or _is_bool(column.type)):
            raise refuse_kind(self._file, self._name, one_line(str(column.type)))
        if text:
            self._longest = max(self._longest, pc.max(pc.binary_length(column)).as_py() or 0)
        if self._of_cells:
            column = _without_empty(column)
        elif text:
            self._candidates = [pa.string()]
        elif pa.types.is_floating(column.type):
            self._candidates = [pa.float64()]
        self._candidates = [kind for kind in self._candidates if _casts(column, kind)]
        self._missing |= column.null_count > 0
        if self._candidates[0] in (pa.int64(), pa.uint64()):
            ends = pc.min_max(column.cast(self._candidates[0])).as_py().values()
            self._largest = max(self._largest, *(abs(end or 0) for end in ends))

    def kind(self) -> str:
        """The type.

        Raises
        ------
        HitsError
            The column has missing and large whole numbers, or long text.

        """
        found = self._candidates[0]
        if found == pa.string():
            return text_kind(self._file, self._name, self._longest)
        if found == pa.float64() or not self._missing:
            return {pa.int64(): "i8", pa.uint64(): "u8", pa.float64(): "f8"}[found]
        if self._largest > EXACT:
            raise HitsError(
                f"{self._file}: column {self._name!r} has whole numbers beyond 2⁵³ and empty cells, which can't both "
                "be kept; fill them"
            )
        return "f8"


def from_arrow(column: pa.Array, kind: str) -> np.ndarray:
    """Rows of a column in a type."""
    if is_text(kind):
        return text_values(column.to_pylist(), kind)
    numbers = column.cast(pa.from_numpy_dtype(np.dtype(kind)))
    return np.asarray(numbers.to_numpy(zero_copy_only=False))


def cells_to_kind(cells: pa.Array, kind: str) -> np.ndarray:
    """Cells of a CSV file in a type."""
    return from_arrow(cells if is_text(kind) else _without_empty(cells), kind)


def _without_empty(cells: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _is_bool(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind))


def _casts(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
