"""The datasets and the first rows of an HDF5 file: tables, and datasets of the same length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from .columns import CHUNK_BYTES, damaged
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name
from .filters import load_filters
from .hdf5 import fixed_groups, in_type, list_type, plain_datasets
from .tables import find_table, of_fixed, table_fields, tables_of


def describe(file: str, name: str = "") -> Contents:
    """The tables of an HDF5 file, or the one of a name; flat datasets of the same length are one table.

    Raises
    ------
    HitsError
        No table has the name, or the file is damaged.

    """
    with damaged(file), h5py.File(file, "r") as hdf5:
        if name:
            find_table(file, hdf5, name)
        paths = {each: path for each, path in tables_of(hdf5).items() if name.strip("/") in ("", each, path)}
        found = [_table(file, each, hdf5[path]) for each, path in paths.items()]
        fixed = [] if name else fixed_groups(hdf5)
        beside = (
            []
            if name
            else [path for path in plain_datasets(hdf5) if not path.startswith(tuple(f"{each}/" for each in fixed))]
        )
        found += _side_by_side(file, {path: hdf5[path] for path in beside if hdf5[path].ndim})
    return Contents(file, "HDF5", "table", tuple(found), tuple(map(of_fixed, fixed)))


def _table(file: str, name: str, dataset: h5py.Dataset) -> FileTable:
    """A table with its columns."""
    fields = table_fields(file, dataset)
    head = _head(file, dataset, dataset.dtype, len(fields))
    columns = []
    for column, (path, element) in list(fields.items())[:MOST_LISTED]:
        kind, values = dataset.dtype, head
        for part in path:
            kind, values = kind[part], values[part]
        base, shape = kind.subdtype or (kind, ())
        kind = np.dtype((base, shape[len(element) :]))
        columns.append(_column(column, kind, values[:, *element] if element else values, unit_in_name(column)))
    return FileTable(name, len(dataset), tuple(columns), left_out=max(0, len(fields) - MOST_LISTED))


def _side_by_side(file: str, datasets: dict[str, h5py.Dataset]) -> Iterator[FileTable]:
    """Datasets of the same length, as the columns of one table; longer ones first."""
    for length in sorted({len(each) for each in datasets.values()}, reverse=True):
        same = [(path, each) for path, each in datasets.items() if len(each) == length]
        columns = [_dataset(file, path, each, len(same)) for path, each in same[:MOST_LISTED]]
        yield FileTable("", length, tuple(columns), left_out=max(0, len(same) - MOST_LISTED))


def _dataset(file: str, path: str, dataset: h5py.Dataset, columns: int) -> FileColumn:
    kind = np.dtype((dataset.dtype, dataset.shape[1:]))
    return _column(path, kind, _head(file, dataset, kind, columns), _unit(dataset))


def _head(file: str, dataset: h5py.Dataset, kind: np.dtype[Any], columns: int) -> Any:
    """The first rows: fewer where a row is large, and none of data in other files."""
    if dataset.external or dataset.is_virtual:
        return np.empty((0, *dataset.shape[1:]), dataset.dtype)
    load_filters(file, [dataset])
    head: Any = dataset[: max(1, min(head_rows(columns), CHUNK_BYTES // max(1, kind.itemsize)))]
    return head


def _column(name: str, kind: np.dtype[Any], head: np.ndarray, unit: str) -> FileColumn:
    base, shape = kind.subdtype or (kind, ())
    if h5py.check_string_dtype(base) is not None or base.kind in "SU":
        return FileColumn(name, "text", _plain(head), unit, shape)
    if (inner := list_type(base)) is not None:
        of_one = "text" if h5py.check_string_dtype(inner) is not None else inner.name
        return FileColumn(name, of_one, [list(map(_plain, each)) for each in in_type(head, inner)], unit, jagged=True)
    if base.kind not in "fiub":
        return FileColumn(name, str(base), [], unit, shape)
    return FileColumn(name, base.name, head.tolist(), unit, shape)


def _plain(value: Any) -> Any:
    """Values of Python in place of those of numpy, with bytes as text."""
    if isinstance(value, np.ndarray | list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _unit(dataset: h5py.Dataset) -> str:
    """The unit that a dataset states, or the one at the end of its name."""
    stated = _plain(dataset.attrs.get("units", dataset.attrs.get("unit", "")))
    return stated if isinstance(stated, str) and stated else unit_in_name(dataset.name)
