"""The files of exported tables: Parquet, ROOT and CSV, written block by block."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..hits.root import load_uproot
from .export_fields import Field

TREE = "muons"
"""The name of the tree in a ROOT file."""

COLUMNS = "columns"
"""The name of the text in a ROOT file with name, unit and description of each column, one per line."""

Append = Callable[[list[Any]], None]
"""Writes the next rows of a table."""


def as_text(values: np.ndarray) -> list[Any]:
    """The numbers or texts of a column, as Python has them."""
    return (_decoded(values) if values.dtype.kind == "S" else values).tolist()


def described(fields: Sequence[Field]) -> list[tuple[str, str, str]]:
    """Name, unit and description of each column."""
    return [(field.name, field.units, field.long_name) for field in fields]


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8", "replace")


@contextmanager
def plain_csv(part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    """Columns of text and numbers as CSV, where numbers are written as they are given."""
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields])
        yield lambda columns: writer.writerows(zip(*columns, strict=True))


@contextmanager
def _arrow(writer_class: Any, part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    schema = _schema(fields, label)
    with writer_class(part, schema) as writer:
        yield lambda columns: writer.write_batch(pa.record_batch([*map(_of_arrow, columns)], schema=schema))


def _of_arrow(values: np.ndarray) -> Any:
    """A column as Arrow takes it: text as such."""
    return pa.array(as_text(values), pa.string()) if values.dtype.kind == "S" else values


@contextmanager
def _root(part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    uproot = load_uproot(part)
    # An open file instead of its name, in which uproot would interpret a colon.
    with part.open("w+b") as stream, uproot.recreate(stream) as file:
        kinds = {field.name: "string" if field.dtype.kind == "S" else field.dtype for field in fields}
        about = [*map("\t".join, described(fields)), *{field.comment for field in fields if field.comment}]
        file[COLUMNS] = "\n".join(about)
        tree = file.mktree(TREE, kinds, title=label)
        yield lambda columns: tree.extend(
            {field.name: _of_root(values) for field, values in zip(fields, columns, strict=True)}
        )


def _of_root(values: np.ndarray) -> Any:
    """A column as uproot takes it: text as such."""
    if values.dtype.kind != "S":
        return values
    import awkward  # which uproot needs, too

    return awkward.from_iter(as_text(values))


WRITERS: dict[str, Callable[[Path, list[Field], str], AbstractContextManager[Append]]] = {
    "parquet": partial(_arrow, pa.parquet.ParquetWriter),
    "root": _root,
    "csv": partial(_arrow, pa.csv.CSVWriter),
}
"""What opens a file of each kind, given its columns and the label of its point."""


def _schema(fields: list[Field], label: str) -> pa.Schema:
    columns = [
        pa.field(
            field.name,
            pa.string() if field.dtype.kind == "S" else pa.from_numpy_dtype(field.dtype),
            nullable=False,
            metadata={
                "units": field.units,
                "long_name": field.long_name,
                **({"comment": field.comment} if field.comment else {}),
            },
        )
        for field in fields
    ]
    return pa.schema(columns, metadata={"point": label})
