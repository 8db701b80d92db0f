"""The datasets and the first rows of an HDF5 file: tables of compound type, and datasets of the same length."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from ..errors import HitsError
from .columns import CHUNK_BYTES, damaged
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name

MOST_OBJECTS = 10_000
"""Groups and datasets that are visited at most."""


def describe(file: str, name: str = "") -> Contents:
    """The tables of an HDF5 file, or the one of a name; flat datasets of the same length are one table.

    Raises
    ------
    HitsError
        No table has the name, or the file is damaged.

    """
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  # filters such as Blosc
    with damaged(file), h5py.File(file, "r") as hdf5:
        datasets = _datasets(hdf5)
        tables = {path: dataset for path, dataset in datasets.items() if dataset.dtype.names}
        wanted = name.strip("/")
        if name and wanted not in tables:
            others = f"the tables are: {', '.join(tables)}" if tables else "it has datasets only, no tables"
            raise HitsError(f"{file}: no table {name!r}; {others}")
        found = [_table(path, dataset) for path, dataset in tables.items() if wanted in ("", path)]
        found += [] if name else _side_by_side({path: each for path, each in datasets.items() if path not in tables})
    return Contents(file, "HDF5", "table", tuple(found))


def _datasets(hdf5: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets with rows that the file itself holds, by path."""
    found: dict[str, h5py.Dataset] = {}
    visited = iter(range(MOST_OBJECTS))

    def visit(path: str, each: h5py.Group | h5py.Dataset) -> bool | None:
        if isinstance(each, h5py.Dataset) and each.ndim and not each.external and not each.is_virtual:
            found[path] = each
        return None if next(visited, None) is not None else True

    hdf5.visititems(visit)
    return found


def _table(path: str, dataset: h5py.Dataset) -> FileTable:
    """A table of compound type, with its fields."""
    names = dataset.dtype.names
    head = dataset[: _rows(dataset.dtype, len(names))]
    columns = [_column(each, dataset.dtype[each], head[each], _unit(dataset, each)) for each in names[:MOST_LISTED]]
    return FileTable(path, len(dataset), tuple(columns), left_out=max(0, len(names) - MOST_LISTED))


def _side_by_side(datasets: dict[str, h5py.Dataset]) -> Iterator[FileTable]:
    """Datasets of the same length, as the columns of one table; longer ones first."""
    for length in sorted({len(each) for each in datasets.values()}, reverse=True):
        same = [(path, each) for path, each in datasets.items() if len(each) == length]
        columns = [_column_of(path, each, len(same)) for path, each in same[:MOST_LISTED]]
        yield FileTable("", length, tuple(columns), left_out=max(0, len(same) - MOST_LISTED))


def _column_of(path: str, dataset: h5py.Dataset, columns: int) -> FileColumn:
    kind = np.dtype((dataset.dtype, dataset.shape[1:]))
    return _column(path, kind, dataset[: _rows(kind, columns)], _unit(dataset))


def _rows(kind: np.dtype[Any], columns: int) -> int:
    """Rows to read: fewer where a row is large."""
    return max(1, min(head_rows(columns), CHUNK_BYTES // max(1, kind.itemsize)))


def _column(name: str, kind: np.dtype[Any], head: np.ndarray, unit: str) -> FileColumn:
    base, shape = kind.subdtype or (kind, ())
    if (inner := h5py.check_vlen_dtype(base)) is not None:
        return FileColumn(name, str(inner), [list(map(_plain, each)) for each in head], unit, jagged=True)
    if h5py.check_string_dtype(base) is not None or base.kind in "SU":
        return FileColumn(name, "text", [_plain(each) for each in head.ravel()], unit, shape)
    if base.names or base.kind not in "fiub":
        return FileColumn(name, str(base), [str(each) for each in head[:5]], unit, shape)
    return FileColumn(name, base.name, head.tolist(), unit, shape)


def _plain(value: Any) -> Any:
    """A value as text or a number of Python."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _unit(dataset: h5py.Dataset, field: str = "") -> str:
    """The unit of a dataset, or that of a field at the end of its name."""
    stated = "" if field else dataset.attrs.get("units", dataset.attrs.get("unit", ""))
    stated = _plain(stated)
    return stated if isinstance(stated, str) and stated else unit_in_name(field or dataset.name)
