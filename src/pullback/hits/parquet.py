"""Hits in Parquet files: one column, or field of a struct, per coordinate; or lists of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..errors import HitsError, one_line
from .arrow_kinds import ArrowKind, from_arrow
from .columns import (
    LONG_ROWS,
    MAX_CHUNK_ROWS,
    Chunks,
    WrongKindError,
    check_element,
    chunk_rows,
    find_column,
    jagged,
    rows_of,
)
from .native import AS_NUMBER, AS_TEXT, kinds_or_numbers
from .parquet_fields import ParquetField, parquet_fields, read_fields

Element = tuple[ParquetField, tuple[int, ...]]
"""A column or field, and the indices of the selected element."""


def count(file: str, names: Sequence[str], tree: str = "", kinds: Sequence[str] = ()) -> int:
    """The number of rows, from the file's metadata."""
    with _open(file) as parquet:
        _columns(file, parquet, names, kinds)
        return parquet.metadata.num_rows


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "", kinds: Sequence[str] = ()) -> Chunks:
    """The rows [start, stop) of the columns; row groups before the first are skipped."""
    with _open(file) as parquet:
        columns = _columns(file, parquet, names, kinds)
        lengths = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        first, at = 0, 0
        while first < len(lengths) and at + lengths[first] <= start:
            at += lengths[first]
            first += 1
        tables = _batches(parquet, columns, range(first, len(lengths)))
        for _, rows in rows_of(tables, start - at, stop - at):
            wanted = zip(rows.columns, kinds_or_numbers(names, kinds), strict=True)
            yield [from_arrow(column, kind) for column, kind in wanted]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All rows of the columns as they are: numbers, text, or lists of them; in chunks."""
    with _open(file) as parquet:
        columns = _found(file, parquet, names)
        for field, indices in columns:
            if indices:
                check_element(file, field.name, indices, _shape(field.kind))
        for rows in _rows(parquet, columns, LONG_ROWS):
            yield rows.columns


def find_kinds(file: str, names: Sequence[str], tree: str = "") -> list[str]:
    """The type of each column, from reading them once, since whole numbers may be missing."""
    found = [ArrowKind(file, name) for name in names]
    with _open(file) as parquet:
        columns = _existing(file, parquet, names)
        for rows in _batches(parquet, columns, range(parquet.num_row_groups)):
            for column, kind in zip(rows.columns, found, strict=True):
                kind.add(column)
    return [kind.kind() for kind in found]


def _batches(parquet: pa.parquet.ParquetFile, columns: Sequence[Element], groups: range) -> Iterator[pa.RecordBatch]:
    """The columns in row groups, in chunks."""
    shapes = [_shape(kind) for kind in {field.name: field.kind for field, _ in columns}.values()]
    return _rows(parquet, columns, min(MAX_CHUNK_ROWS, chunk_rows(*shapes)), groups)


def _rows(
    parquet: pa.parquet.ParquetFile, columns: Sequence[Element], step: int, groups: range | None = None
) -> Iterator[pa.RecordBatch]:
    """The columns in some rows at once."""
    names = list(map(str, range(len(columns))))
    for values in read_fields(parquet, [field for field, _ in columns], step, groups):
        elements = [_element(each, indices) for each, (_, indices) in zip(values, columns, strict=True)]
        yield pa.RecordBatch.from_arrays(elements, names)


def _columns(file: str, parquet: pa.parquet.ParquetFile, names: Sequence[str], kinds: Sequence[str]) -> list[Element]:
    """The columns of the names, and the indices of the selected elements, after a check of their types."""
    columns = _existing(file, parquet, names)
    for (field, _), kind in zip(columns, kinds_or_numbers(names, kinds), strict=True):
        column, held, inner = field.name, field.kind, field.kind
        while pa.types.is_fixed_size_list(inner):
            inner = inner.value_type
        if kind == AS_TEXT and not _is_text(inner):
            raise WrongKindError(f"{file}: column {column!r} holds {one_line(str(held))}, not text", column, kind)
        if kind == AS_NUMBER and not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
            raise WrongKindError(f"{file}: column {column!r} holds {one_line(str(held))}, not numbers", column, kind)
    return columns


def _found(file: str, parquet: pa.parquet.ParquetFile, names: Sequence[str]) -> list[Element]:
    """The columns of the names, and the indices of the selected elements."""
    fields = parquet_fields(parquet)
    listed, by_name = [each.name for each in fields], {each.name: each for each in fields}
    columns = [find_column(file, name, listed) for name in names]
    return [(by_name[column], indices) for column, indices in columns]


def _existing(file: str, parquet: pa.parquet.ParquetFile, names: Sequence[str]) -> list[Element]:
    """The columns of the names, and the indices of the selected elements, which are no lists."""
    columns = _found(file, parquet, names)
    for field, indices in columns:
        column, kind, inner = field.name, field.kind, field.kind
        while pa.types.is_fixed_size_list(inner):
            inner = inner.value_type
        if pa.types.is_list(inner) or pa.types.is_large_list(inner):
            raise jagged(file, column, one_line(str(kind)))
        check_element(file, column, indices, _shape(kind))
    return columns


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _shape(kind: pa.DataType) -> tuple[int, ...]:
    return (kind.list_size, *_shape(kind.value_type)) if pa.types.is_fixed_size_list(kind) else ()


def _element(column: pa.Array, indices: tuple[int, ...]) -> pa.Array:
    for index in indices:
        column = pc.list_element(column, index)
    return column


@contextmanager
def _open(file: str) -> Iterator[pa.parquet.ParquetFile]:
    try:
        with pa.parquet.ParquetFile(file) as parquet:
            yield parquet
    except pa.ArrowInvalid as error:
        raise HitsError(
            f"{file}: can't be read: {one_line(next(iter(str(error).splitlines()), ''))}; is it cut off?"
        ) from error
