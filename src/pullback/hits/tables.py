"""Tables in HDF5 files: datasets of records with named fields, as PyTables, h5py and pandas write them.

pandas (`to_hdf` with `format="table"`) writes a group with a dataset `table`. Its columns are elements of fields such
as `values_block_0`, and their names are pickled in the attribute `values_block_0_kind`. Nothing is unpickled here: the
names are read from the pickle's operations, which are not run.
"""

from __future__ import annotations

import pickletools

import h5py
import numpy as np

from ..errors import HitsError, one_line
from .columns import NAMES_LISTED

FieldPath = tuple[str, ...]
"""Names of a field and of the fields within it, outermost first."""

PANDAS_TABLE = "table"
"""The dataset in a group of pandas that holds the rows."""

PANDAS_FIXED = ("frame", "series")
"""Types of groups that pandas writes by default, by `to_hdf(..., format="fixed")`."""

TEXT_OPERATIONS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
WHOLE_OPERATIONS = {"INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2"}
OTHER_OPERATIONS = {"PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "STOP"}
OTHER_OPERATIONS |= {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
"""Operations of the pickle of a list of texts and whole numbers."""


def is_index(path: str) -> bool:
    """Whether a path leads into the indexes that PyTables keeps beside a table."""
    return any(part.startswith("_i_") for part in path.split("/"))


def tables_of(hdf5: h5py.File) -> dict[str, str]:
    """Paths of the datasets with tables by the name of the table, which for pandas is that of the group."""
    found: dict[str, str] = {}

    def visit(path: str, each: h5py.HLObject) -> None:
        if isinstance(each, h5py.Dataset) and each.dtype.names and not is_index(path):
            group, _, name = path.rpartition("/")
            found[group if name == PANDAS_TABLE and _is_pandas(each.parent) else path] = path

    hdf5.visititems(visit)
    return found


def find_table(file: str, hdf5: h5py.File, table: str) -> h5py.Dataset:
    """The named table, or the only one.

    Raises
    ------
    HitsError
        There is no such table, or there are several and none is named. The message lists them.

    """
    tables = tables_of(hdf5)
    listed = ", ".join(map(one_line, [*tables][:NAMES_LISTED])) or "none"
    listed += f" and {len(tables) - NAMES_LISTED} more" if len(tables) > NAMES_LISTED else ""
    name = table.strip("/")
    if name in tables or name in tables.values():
        return hdf5[tables.get(name, name)]
    if table and name in hdf5 and is_fixed(hdf5[name]):
        raise HitsError(f"{file}: {of_fixed(name)}")
    if table:
        raise HitsError(f"{file}: no table '{one_line(name)}'; the tables are: {listed}")
    if len(tables) > 1:
        raise HitsError(f"{file}: name one of its tables in source.table: {listed}")
    return hdf5[next(iter(tables.values()))]


def is_fixed(each: h5py.HLObject) -> bool:
    """Whether this is a group that pandas wrote in its fixed format, without the names of columns at its numbers."""
    return isinstance(each, h5py.Group) and _text(each, "pandas_type") in PANDAS_FIXED


def of_fixed(name: str) -> str:
    """What to do with a group in the fixed format of pandas."""
    return (
        f'{one_line(name)!r} is in the fixed format of pandas, which is not read: write it by to_hdf(…, format="table")'
    )


def table_fields(file: str, table: h5py.Dataset) -> dict[str, tuple[FieldPath, tuple[int, ...]]]:
    """The columns of a table by name: the field of each, and the element of it that is the column."""
    found: dict[str, tuple[FieldPath, tuple[int, ...]]] = {}
    pandas = _is_pandas(table.parent)
    for path in _paths(table.dtype):
        kind = table.attrs.get(f"{path[0]}_kind")
        if pandas and isinstance(kind, bytes) and path[0].startswith("values_block_"):
            found |= {name: (path, (index,)) for index, name in enumerate(_pickled_names(file, path[0], kind))}
        else:
            found["/".join(path)] = path, ()
    return found


def _paths(dtype: np.dtype, around: FieldPath = ()) -> list[FieldPath]:
    """All fields of a type, those within fields too."""
    inner = [(name, dtype[name]) for name in dtype.names or ()]
    nested = [_paths(kind, (*around, name)) if kind.names else [(*around, name)] for name, kind in inner]
    return [path for paths in nested for path in paths]


def _is_pandas(group: h5py.Group) -> bool:
    return _text(group, "pandas_type").endswith("_table")


def _text(group: h5py.Group, name: str) -> str:
    value = group.attrs.get(name, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _pickled_names(file: str, field: str, pickled: bytes) -> list[str]:
    """The names in the pickle of a list, which is not run."""
    names = []
    try:
        for operation, value, _ in pickletools.genops(pickled):
            if operation.name in TEXT_OPERATIONS | WHOLE_OPERATIONS:
                names.append(str(value))
            elif operation.name not in OTHER_OPERATIONS:
                raise ValueError(operation.name)
    except (ValueError, UnicodeDecodeError, IndexError):
        raise HitsError(
            f"{file}: the names of the columns in {field} are no plain text; write the table with data_columns=True"
        ) from None
    return names
