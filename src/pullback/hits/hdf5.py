"""Hits in HDF5 files: datasets by path, or fields of a table, with one number or a fixed number of values per row.

Lists of hits may have rows of any length (`h5py.vlen_dtype`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from ..errors import HitsError
from .columns import (
    LONG_ROWS,
    MAX_CHUNK_ROWS,
    Chunks,
    WrongKindError,
    check_element,
    chunk_rows,
    damaged,
    find_column,
    jagged,
    split_name,
)
from .filters import load_filters
from .native import (
    AS_EITHER,
    AS_LISTS,
    AS_NUMBER,
    AS_TEXT,
    is_text,
    kinds_or_numbers,
    text_kind,
    text_values,
    whole_kind,
)
from .tables import FieldPath, find_table, is_fixed, is_index, of_fixed, table_fields, tables_of

if TYPE_CHECKING:
    import pyarrow as pa


class Source(NamedTuple):
    """Where a column is: the dataset, the field within its rows (none of a plain dataset), and the element."""

    dataset: h5py.Dataset
    field: FieldPath
    indices: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """The type of the column's rows, whose shape is that of its elements."""
        dtype = self.dataset.dtype
        for name in self.field:
            dtype = dtype[name]
        return dtype if self.field else np.dtype((dtype, self.dataset.shape[1:]))

    @property
    def listed(self) -> np.dtype | None:
        """The type of the values in rows of any length; None if the column has none."""
        return list_type(self.dtype.base)


def count(file: str, names: Sequence[str], tree: str = "", kinds: Sequence[str] = ()) -> int:
    """The number of rows, from the file's metadata."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        return len(_columns(file, hdf5, names, tree, kinds)[0].dataset)


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "", kinds: Sequence[str] = ()) -> Chunks:
    """The rows [start, stop) of the columns."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        columns = _columns(file, hdf5, names, tree, kinds)
        for rows in _pieces(columns, start, stop):
            values = zip(_chunk(columns, rows), kinds_or_numbers(names, kinds), strict=True)
            yield [text_values(each.tolist(), kind) if is_text(kind) else each.astype(kind) for each, kind in values]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All rows of the columns, numbers or text or lists of them, in chunks."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        columns = _columns(file, hdf5, names, tree, [AS_LISTS] * len(names))
        for rows in _pieces(columns, 0, len(columns[0].dataset)):
            chunk = zip(_chunk(columns, rows), columns, strict=True)
            yield [_arrow(values, source.listed) for values, source in chunk]


def _arrow(values: np.ndarray, listed: np.dtype | None = None) -> pa.Array:
    """Rows of a column with their own type, or that of the values in rows of any length."""
    import pyarrow as pa

    if listed is not None:
        ends = np.cumsum([0, *map(len, values)])
        return pa.LargeListArray.from_arrays(
            ends, _arrow(np.concatenate([np.empty(0, listed), *in_type(values, listed)]))
        )
    if values.dtype.kind in "SO":
        return pa.array(text_values(values.tolist(), AS_TEXT), pa.string())
    return pa.array(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))


def list_type(dtype: np.dtype) -> np.dtype | None:
    """The type of the values in rows of any length; None for a type without, such as text."""
    found: np.dtype | None = None if h5py.check_string_dtype(dtype) is not None else h5py.check_vlen_dtype(dtype)
    return found


def in_type(values: Iterable[np.ndarray], listed: np.dtype) -> Iterator[np.ndarray]:
    """Rows of any length in the type of the file, whose byte order h5py (3.16) leaves out."""
    return (each.view(listed) for each in values)


def find_kinds(file: str, names: Sequence[str], tree: str = "") -> list[str]:
    """The type of each column; text of any length is read once."""
    with damaged(file), h5py.File(file, "r") as hdf5:
        columns = _columns(file, hdf5, names, tree, [AS_EITHER] * len(names))
        found = [_kind(file, name, source) for name, source in zip(names, columns, strict=True)]
        loose = [index for index, kind in enumerate(found) if kind == AS_TEXT]
        longest = dict.fromkeys(loose, 0)
        for rows in _pieces(columns, 0, len(columns[0].dataset)) if loose else ():
            for index, values in zip(loose, _chunk([columns[index] for index in loose], rows), strict=True):
                longest[index] = max([longest[index], *map(len, text_values(values.tolist(), "S").tolist())])
    for index, length in longest.items():
        found[index] = text_kind(file, names[index], length)
    return found


def _kind(file: str, name: str, source: Source) -> str:
    """The type of a column; that of text of any length if its length is not known."""
    dtype = source.dtype.base
    if dtype.kind in "iub":
        return whole_kind(dtype)
    if dtype.kind == "S":
        return text_kind(file, name, dtype.itemsize)
    return AS_TEXT if dtype.kind == "O" else AS_NUMBER


def _pieces(columns: Sequence[Source], start: int, stop: int) -> Iterator[slice]:
    """The rows [start, stop) in pieces that fit into memory."""
    stop = min(stop, len(columns[0].dataset))
    fields = {source.dataset.name: source.dataset.dtype.itemsize // 8 for source in columns if source.field}
    step = min(MAX_CHUNK_ROWS, chunk_rows(tuple(fields.values()))) if fields else MAX_CHUNK_ROWS
    step = min(step, LONG_ROWS) if any(source.listed is not None for source in columns) else step
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def _chunk(columns: Sequence[Source], rows: slice) -> list[np.ndarray]:
    """Rows of the columns as they are; the rows of a table are read once."""
    wanted = list(dict.fromkeys(source.field[0] for source in columns if source.field))
    table = columns[0].dataset.fields(wanted)[rows] if wanted else None
    return [np.asarray(_values(source, rows, table)) for source in columns]


def _values(source: Source, rows: slice, table: Any) -> Any:
    if table is None:
        return source.dataset[rows, *source.indices]
    for name in source.field:
        table = table[name]
    return table[:, *source.indices]


def _columns(file: str, hdf5: h5py.File, names: Sequence[str], table: str, kinds: Sequence[str] = ()) -> list[Source]:
    """The datasets or fields of the names, and the indices of the selected elements."""
    for name in [table] if table else names:
        _refuse_soft_links(file, hdf5, name)
        _refuse_soft_links(file, hdf5, split_name(name)[0])
    plain = plain_datasets(hdf5)
    if table or (tables_of(hdf5) and not any(split_name(name.strip("/"))[0] in plain for name in names)):
        columns = _fields(file, find_table(file, hdf5, table), names)
    else:
        columns = _plain(file, hdf5, names, plain)
    _refuse_elsewhere(file, {source.dataset for source in columns})
    for source, name, kind in zip(columns, names, kinds_or_numbers(names, kinds), strict=True):
        _check(file, split_name(name)[0].strip("/"), source, kind)
    lengths = {source.dataset.name.strip("/"): len(source.dataset) for source in columns}
    if len(set(lengths.values())) > 1:
        raise HitsError(f"{file}: datasets differ in length: {lengths}")
    load_filters(file, {source.dataset for source in columns})
    return columns


def _check(file: str, name: str, source: Source, kind: str) -> None:
    """Refuse a column that does not hold one number per row, or text where that is wanted."""
    dtype = source.dtype.base if source.listed is None or kind != AS_LISTS else source.listed
    if (inner := list_type(dtype)) is not None:
        raise jagged(file, name, f"lists of {inner}")
    is_string = h5py.check_string_dtype(dtype) is not None
    holds = dtype.kind in "fiu" if kind == AS_NUMBER else is_string or (kind != AS_TEXT and dtype.kind in "fiub")
    if not source.dataset.ndim or not holds:
        wanted = {AS_NUMBER: "numbers", AS_TEXT: "text"}.get(kind, "numbers or text")
        what = f"a column of {wanted}, not of {dtype}" if source.field else f"a dataset of {wanted}"
        raise WrongKindError(f"{file}: {name!r} must be {what}, one per row", name, kind)
    check_element(file, name, source.indices, source.dtype.shape)


def plain_datasets(hdf5: h5py.File) -> list[str]:
    """The paths of all datasets that are no tables, without the indexes of PyTables."""
    paths: list[str] = []

    def visit(path: str, each: h5py.HLObject) -> None:
        if isinstance(each, h5py.Dataset) and not each.dtype.names and not is_index(path):
            paths.append(path)

    hdf5.visititems(visit)
    return paths


def fixed_groups(hdf5: h5py.File) -> list[str]:
    """The paths of the groups that pandas wrote in its fixed format."""
    paths: list[str] = []
    hdf5.visititems(lambda path, each: paths.append(path) if is_fixed(each) else None)
    return paths


def _plain(file: str, hdf5: h5py.File, names: Sequence[str], existing: Sequence[str]) -> list[Source]:
    """The datasets of the names."""
    fixed = fixed_groups(hdf5)
    if fixed and not any(split_name(name.strip("/"))[0] in existing for name in names):
        raise HitsError(f"{file}: {of_fixed(fixed[0])}")
    found = [find_column(file, name.strip("/"), existing) for name in names]
    return [Source(hdf5[path], (), indices) for path, indices in found]


def _fields(file: str, table: h5py.Dataset, names: Sequence[str]) -> list[Source]:
    """The fields of the names in a table."""
    existing, columns = table_fields(file, table), []
    for name in names:
        column, indices = find_column(file, name, list(existing))
        field, element = existing[column]
        columns.append(Source(table, field, (*element, *indices)))
    return columns


def _refuse_elsewhere(file: str, datasets: Iterable[h5py.Dataset]) -> None:
    """Refuse datasets with data in other files."""
    for dataset in datasets:
        if dataset.external or dataset.is_virtual:
            raise HitsError(f"{file}: {dataset.name.strip('/')!r} keeps its data in another file, which is refused")


def _refuse_soft_links(file: str, hdf5: h5py.File, path: str) -> None:
    """Refuse a path that contains a soft or external link."""
    group = hdf5
    for name in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            return
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise HitsError(f"{file}: {path!r} is a link to elsewhere, which is refused; give the dataset itself")
        group = group[name]
