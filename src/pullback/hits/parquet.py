"""Hits in Parquet files: one column per coordinate, or lists of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..errors import HitsError, one_line
from .columns import LONG_ROWS, MAX_CHUNK_ROWS, Chunks, Named, check_element, chunk_rows, find_column, jagged, rows_of


def count(file: str, names: Sequence[str], tree: str = "") -> int:
    """The number of rows, from the file's metadata."""
    with _open(file) as parquet:
        _columns(file, parquet, names)
        return parquet.metadata.num_rows


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "") -> Chunks:
    """The rows [start, stop) of the columns; row groups before the first are skipped."""
    with _open(file) as parquet:
        columns = _columns(file, parquet, names)
        lengths = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        first, at = 0, 0
        while first < len(lengths) and at + lengths[first] <= start:
            at += lengths[first]
            first += 1
        wanted = dict.fromkeys(column for column, _ in columns)
        shapes = [_shape(parquet.schema_arrow.field(column).type) for column in wanted]
        step, groups = min(MAX_CHUNK_ROWS, chunk_rows(*shapes)), range(first, len(lengths))
        tables = parquet.iter_batches(step, row_groups=groups, columns=list(wanted), use_threads=False)
        for _, rows in rows_of(tables, start - at, stop - at):
            yield [_selected(rows.column(column), indices) for column, indices in columns]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All rows of the columns as they are: numbers, text, or lists of them; in chunks."""
    with _open(file) as parquet:
        schema = parquet.schema_arrow
        columns = [find_column(file, name, schema.names) for name in names]
        for column, indices in columns:
            if indices:
                check_element(file, column, indices, _shape(schema.field(column).type))
        wanted = list(dict.fromkeys(column for column, _ in columns))
        for rows in parquet.iter_batches(LONG_ROWS, columns=wanted, use_threads=False):
            yield [_element(rows.column(column), indices) for column, indices in columns]


def _columns(file: str, parquet: pa.parquet.ParquetFile, names: Sequence[str]) -> list[Named]:
    """The columns of the names, and the indices of the selected elements."""
    columns = [find_column(file, name, parquet.schema_arrow.names) for name in names]
    for column, indices in columns:
        kind = inner = parquet.schema_arrow.field(column).type
        while pa.types.is_fixed_size_list(inner):
            inner = inner.value_type
        if pa.types.is_list(inner) or pa.types.is_large_list(inner):
            raise jagged(file, column, one_line(str(kind)))
        if not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
            raise HitsError(f"{file}: column {column!r} holds {one_line(str(kind))}, not numbers")
        check_element(file, column, indices, _shape(kind))
    return columns


def _shape(kind: pa.DataType) -> tuple[int, ...]:
    return (kind.list_size, *_shape(kind.value_type)) if pa.types.is_fixed_size_list(kind) else ()


def _selected(column: pa.Array, indices: tuple[int, ...]) -> np.ndarray:
    return _element(column, indices).cast(pa.float64()).to_numpy(zero_copy_only=False)


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
