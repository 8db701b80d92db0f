"""Columns of a Parquet file by name, and fields of structs and of lists of structs, as `hits.x`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet


class ParquetField(NamedTuple):
    """A column, or a field within its structs.

    `names` lead to it, that of the column first, and `path` is where Parquet stores it: a field can be read without
    those beside it. `kind` is its type in Arrow, with the lists around it.
    """

    names: tuple[str, ...]
    path: str
    kind: pa.DataType

    @property
    def name(self) -> str:
        """The name in the config."""
        return ".".join(self.names)

    def of(self, rows: pa.RecordBatch) -> pa.Array:
        """Its values."""
        column = rows.column(self.names[0])
        for name in self.names[1:]:
            column = _field(column, name)
        return column


def parquet_fields(parquet: pa.parquet.ParquetFile) -> list[ParquetField]:
    """All columns of a file, and in place of a column with structs their fields."""
    schema, found, stored = parquet.schema_arrow, [], 0
    for column in schema:
        for names, kind in _leaves((column.name,), column.type):
            path = parquet.schema.column(stored).path if len(names) > 1 else column.name
            found.append(ParquetField(names, path, kind))
            stored += _width(kind)
    return found


def read_fields(
    parquet: pa.parquet.ParquetFile, fields: Sequence[ParquetField], step: int, groups: range | None = None
) -> Iterator[list[pa.Array]]:
    """The values of fields in all rows of the row groups, in chunks."""
    paths = list(dict.fromkeys(field.path for field in fields))
    chosen = range(parquet.num_row_groups) if groups is None else groups
    for rows in parquet.iter_batches(step, row_groups=chosen, columns=paths, use_threads=False):
        yield [field.of(rows) for field in fields]


def _leaves(names: tuple[str, ...], kind: pa.DataType) -> Iterator[tuple[tuple[str, ...], pa.DataType]]:
    """The fields within a type, with their types; the type itself if it has none."""
    inner = kind
    while _is_list(inner):
        inner = inner.value_type
    if not pa.types.is_struct(inner):
        yield names, kind
        return
    for index in range(inner.num_fields):
        each = inner.field(index)
        yield from _leaves((*names, each.name), _with_lists(kind, each.type))


def _with_lists(around: pa.DataType, kind: pa.DataType) -> pa.DataType:
    """A type within the same lists as another one."""
    if not _is_list(around):
        return kind
    inner = _with_lists(around.value_type, kind)
    if pa.types.is_fixed_size_list(around):
        return pa.list_(inner, around.list_size)
    return pa.large_list(inner) if pa.types.is_large_list(around) else pa.list_(inner)


def _width(kind: pa.DataType) -> int:
    """The number of columns in which Parquet stores a type."""
    if pa.types.is_map(kind):
        return _width(kind.key_type) + _width(kind.item_type)
    if pa.types.is_struct(kind):
        return sum(_width(kind.field(index).type) for index in range(kind.num_fields))
    return _width(kind.value_type) if _is_list(kind) else 1


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _field(column: pa.Array, name: str) -> pa.Array:
    """A field of structs, or of the structs in lists; of a missing list an empty one."""
    if pa.types.is_struct(column.type):
        return pc.struct_field(column, name)
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        values = column.values.slice(column.offset * size, len(column) * size)
        return pa.FixedSizeListArray.from_arrays(_field(values, name), size, mask=pc.is_null(column))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    large = pa.types.is_large_list(column.type)
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64() if large else pa.int32())
    kind = pa.LargeListArray if large else pa.ListArray
    return kind.from_arrays(ends, _field(pc.list_flatten(column), name))
