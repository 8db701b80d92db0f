"""What a file of hits holds: format, tables, columns, and first rows."""

from __future__ import annotations

import importlib
import os

from ..errors import HitsError
from .contents import Contents
from .guards import file_errors, reader_of


def peek(file: str, name: str = "") -> Contents:
    """What a file holds, from its metadata and its first rows: it may be of any size.

    Parameters
    ----------
    file : str
        CSV (also .csv.gz and .csv.zst), Parquet, HDF5 or ROOT.
    name : str
        The table of an HDF5 file, or the tree of a ROOT file; default: all of them.

    Raises
    ------
    HitsError
        The file is missing, damaged or of another kind, or has no such table.

    """
    reader = reader_of(file)
    if not os.path.exists(file):
        raise HitsError(f"{file}: no such file")
    with file_errors(file):
        kind = reader.__name__.rpartition(".")[2]
        found: Contents = importlib.import_module(f".peek_{kind}", __package__).describe(file, name)
    return found
