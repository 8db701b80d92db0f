"""The schema and the first rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ..errors import HitsError
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name

BUFFER = 1 << 16
"""Bytes that are read at once of each column, so that the first rows of a large row group cost little."""


def describe(file: str, name: str = "") -> Contents:
    """The columns of a Parquet file; it has no tables by name."""
    if name:
        raise HitsError(f"{file}: a Parquet file has no tables by name; leave {name!r} out")
    try:
        with pa.parquet.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False) as parquet:
            fields = list(parquet.schema_arrow)
            listed = [field.name for field in fields[:MOST_LISTED]]
            batches = parquet.iter_batches(head_rows(len(fields)), columns=listed, use_threads=False)
            head = next(batches, None)
            columns = [
                column
                for field in fields[:MOST_LISTED]
                for column in _columns(field, [] if head is None else head.column(field.name).to_pylist())
            ]
            table = FileTable("", parquet.metadata.num_rows, tuple(columns), left_out=max(0, len(fields) - MOST_LISTED))
    except pa.ArrowException as error:
        raise HitsError(f"{file}: can't be read: {str(error).splitlines()[0]}; is it cut off?") from error
    return Contents(file, "Parquet", "", (table,))


def _columns(field: pa.Field, values: list[Any]) -> Iterator[FileColumn]:
    """A column; of a list of records, one for each of their fields, such as `hits.plane`."""
    inner = field.type
    if not (_is_list(inner) and pa.types.is_struct(inner.value_type)):
        yield _column(field, values)
        return
    for each in inner.value_type:
        of_field: list[Any] = [None if row is None else [hit and hit[each.name] for hit in row] for row in values]
        yield _column(pa.field(f"{field.name}.{each.name}", pa.list_(each.type), metadata=each.metadata), of_field)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _column(field: pa.Field, values: list[Any]) -> FileColumn:
    inner, shape, jagged = field.type, list[int](), False
    while pa.types.is_nested(inner) and hasattr(inner, "value_type"):
        shape += [inner.list_size] if pa.types.is_fixed_size_list(inner) else []
        jagged |= not pa.types.is_fixed_size_list(inner)
        inner = inner.value_type
    kind = {"double": "float64", "float": "float32", "halffloat": "float16"}.get(str(inner), str(inner))
    kind = "text" if pa.types.is_string(inner) or pa.types.is_large_string(inner) else kind
    return FileColumn(field.name, kind, values, _unit(field), () if jagged else tuple(shape), jagged)


def _unit(field: pa.Field) -> str:
    """The unit in a field's metadata, or in its name."""
    metadata = field.metadata or {}
    stated = metadata.get(b"units", metadata.get(b"unit", b"")).decode(errors="replace")
    return stated or unit_in_name(field.name)
