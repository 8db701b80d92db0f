"""Hits in HDF5 files: datasets by path, with one number or a fixed number of values per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import h5py
import numpy as np

from ..errors import HitsError
from .columns import MAX_CHUNK_ROWS, Chunks, check_element, damaged, find_column, split_name

if TYPE_CHECKING:
    import pyarrow as pa


def count(file: str, names: Sequence[str], tree: str = "") -> int:
    """The number of rows, from the file's metadata."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        return len(_columns(file, hdf5, names)[0][0])


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "") -> Chunks:
    """The rows [start, stop) of the columns."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        columns = _columns(file, hdf5, names)
        stop = min(stop, len(columns[0][0]))
        for first in range(start, stop, MAX_CHUNK_ROWS):
            rows = slice(first, min(first + MAX_CHUNK_ROWS, stop))
            yield [np.asarray(dataset[rows, *indices], dtype="f8") for dataset, indices in columns]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All rows of the columns, numbers or text, in chunks."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        columns = _columns(file, hdf5, names, text=True)
        for first in range(0, len(columns[0][0]), MAX_CHUNK_ROWS):
            rows = slice(first, first + MAX_CHUNK_ROWS)
            yield [_array(dataset, (rows, *indices)) for dataset, indices in columns]


def _array(dataset: h5py.Dataset, where: tuple[slice | int, ...]) -> pa.Array:
    """Rows of a dataset with their own type."""
    import pyarrow as pa

    if dataset.dtype.kind in "SO":
        return pa.array(dataset.asstr()[where].tolist(), pa.string())
    values = dataset[where]
    return pa.array(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))


def _holds(dataset: h5py.Dataset, text: bool) -> bool:
    """Whether a dataset holds numbers, or text where that will do."""
    kind = dataset.dtype.kind
    return kind in "fiu" or (text and kind in "SO" and h5py.check_string_dtype(dataset.dtype) is not None)


def _columns(
    file: str, hdf5: h5py.File, names: Sequence[str], text: bool = False
) -> list[tuple[h5py.Dataset, tuple[int, ...]]]:
    """The datasets of the names, and the indices of the selected elements."""
    for name in names:
        _refuse_soft_links(file, hdf5, name)
        _refuse_soft_links(file, hdf5, split_name(name)[0])
    existing: list[str] = []
    hdf5.visititems(lambda path, each: existing.append(path) if isinstance(each, h5py.Dataset) else None)
    columns = []
    for name in names:
        path, indices = find_column(file, name.strip("/"), existing)
        dataset = hdf5[path]
        if dataset.external or dataset.is_virtual:
            raise HitsError(f"{file}: {path!r} keeps its data in another file, which is refused")
        if not dataset.ndim or not _holds(dataset, text):
            what = "numbers or text" if text else "numbers"
            raise HitsError(f"{file}: {path!r} must be a dataset of {what}, one per row")
        check_element(file, path, indices, dataset.shape[1:])
        columns.append((dataset, indices))
    lengths = {dataset.name.strip("/"): len(dataset) for dataset, _ in columns}
    if len(set(lengths.values())) > 1:
        raise HitsError(f"{file}: datasets differ in length: {lengths}")
    return columns


def _refuse_soft_links(file: str, hdf5: h5py.File, path: str) -> None:
    """Refuse a path that contains a soft or external link."""
    group = hdf5
    for name in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            return
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise HitsError(f"{file}: {path!r} is a link to elsewhere, which is refused; give the dataset itself")
        group = group[name]
