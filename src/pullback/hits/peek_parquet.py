"""The schema and the first rows of a Parquet file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet

from ..errors import HitsError
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name
from .parquet_fields import ParquetField, parquet_fields, read_fields

BUFFER = 1 << 16
"""Bytes that are read at once of each column, so that the first rows of a large row group cost little."""


def describe(file: str, name: str = "") -> Contents:
    """The columns of a Parquet file; it has no tables by name."""
    if name:
        raise HitsError(f"{file}: a Parquet file has no tables by name; leave {name!r} out")
    try:
        with pa.parquet.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False) as parquet:
            fields, schema = parquet_fields(parquet), parquet.schema_arrow
            listed = fields[:MOST_LISTED]
            head = next(read_fields(parquet, listed, head_rows(len(fields))), None) or [[]] * len(listed)
            columns = [
                _column(pa.field(each.name, each.kind, metadata=_metadata(schema, each)), _cells(values))
                for each, values in zip(listed, head, strict=True)
            ]
            table = FileTable("", parquet.metadata.num_rows, tuple(columns), left_out=max(0, len(fields) - MOST_LISTED))
    except pa.ArrowException as error:
        raise HitsError(f"{file}: can't be read: {str(error).splitlines()[0]}; is it cut off?") from error
    return Contents(file, "Parquet", "", (table,))


def _metadata(schema: pa.Schema, field: ParquetField) -> dict[bytes, bytes] | None:
    """What the file says of a column; of fields of structs, nothing."""
    return schema.field(field.name).metadata if len(field.names) == 1 else None


def _cells(values: pa.Array | list[object]) -> list[object]:
    return values if isinstance(values, list) else values.to_pylist()


def _column(field: pa.Field, values: list[object]) -> FileColumn:
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
