"""Recorded hits from CSV, Parquet and HDF5 files: streamed, never read whole.

A cell that is empty or null is a missing hit and reads as NaN, and so does an empty line of a CSV file with one column;
NaN and infinite hits are kept.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Float

from .batches import BLOCK
from .errors import PullbackError

Tables = Iterator[Sequence[pa.Array]]
"""Stretches of the file, each a sequence of columns."""


def count_muons(file: str | Path, coordinates: Sequence[str]) -> int:
    """The number of muons (rows) in a file of hits: from its metadata, or for CSV by reading it once.

    Raises
    ------
    PullbackError : the file is missing, unreadable or empty, or lacks a column.

    """
    with _errors(file):
        match _format(file):
            case "parquet":
                with pa.parquet.ParquetFile(file) as parquet:
                    _require(file, coordinates, parquet.schema_arrow.names)
                    muons = parquet.metadata.num_rows
            case "hdf5":
                with h5py.File(file, "r") as hdf5:
                    muons = len(_datasets(file, hdf5, coordinates)[0])
            case _:
                muons = sum(len(columns[0]) for columns in _csv(file, coordinates))
    if not muons:
        raise PullbackError(f"{file}: holds no hits, only {'a header' if _format(file) == 'csv' else 'column names'}")
    return muons


def sha256(file: str | Path) -> str:
    """SHA-256 of a file of hits."""
    with _errors(file), Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_hits(
    file: str | Path, coordinates: Sequence[str], start: int, stop: int
) -> Iterator[Float[np.ndarray, "muon coordinate"]]:
    """Hits [start, stop) of a file, in blocks of `pullback.batches.BLOCK` muons.

    Raises
    ------
    PullbackError : naming file, row (from 1, without the header) and column of what is no number.

    """
    with _errors(file):
        match _format(file):
            case "parquet":
                with pa.parquet.ParquetFile(file) as parquet:
                    yield from _blocks(file, coordinates, *_parquet(file, parquet, coordinates, start), start, stop)
            case "hdf5":
                with h5py.File(file, "r") as hdf5:
                    datasets = _datasets(file, hdf5, coordinates)
                    for first in range(start, stop, BLOCK):
                        rows = slice(first, min(first + BLOCK, stop))
                        yield np.stack([np.asarray(each[rows], dtype="f8") for each in datasets], axis=1)
            case _:
                yield from _blocks(file, coordinates, _csv(file, coordinates), 0, start, stop)


def _format(file: str | Path) -> str:
    match Path(file).suffix.lower():
        case ".csv":
            return "csv"
        case ".parquet" | ".pq":
            return "parquet"
        case ".h5" | ".hdf5":
            return "hdf5"
        case suffix:
            raise PullbackError(
                f"{file}: hits must be in a .csv, .parquet or .h5 file, not {suffix or 'one without a suffix'}"
            )


@contextmanager
def _errors(file: str | Path) -> Iterator[None]:
    """What the readers raise, as one line that names the file."""
    if Path(file).is_dir():
        raise PullbackError(f"{file}: is a folder, not a file of hits")
    try:
        yield
    except FileNotFoundError:
        raise PullbackError(f"{file}: no such file (relative paths start at {Path.cwd()})") from None
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        if "Empty CSV file" in reason or "Could not skip initial" in reason:
            raise PullbackError(f"{file}: holds no hits, only a header") from error
        if "UTF8" in reason:
            raise _not_utf8(file) from error
        # Rows are counted from 1 without the header, as everywhere here.
        reason = re.sub(r"Row #(\d+)", lambda match: f"row {int(match[1]) - 1}", reason)
        raise PullbackError(f"{file}: can't be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(file) from error
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or f"truncated, or not of the kind its name says ({error})"
        raise PullbackError(f"{file}: can't be read: {reason}") from error


def _not_utf8(file: str | Path) -> PullbackError:
    """The error for a file that isn't text, with the place of the first byte that isn't."""
    with Path(file).open("rb") as lines:
        for row, line in enumerate(lines):
            for column, cell in enumerate(line.split(b","), 1):
                try:
                    cell.decode("utf-8")
                except UnicodeDecodeError:
                    where = f"row {row}, column {column}" if row else f"the header, column {column}"
                    return PullbackError(f"{file}: {where}: is not UTF-8 text")
    return PullbackError(f"{file}: is not UTF-8 text")


def _require(file: str | Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    for name in wanted:
        if list(there).count(name) != 1:
            problem = "no column" if name not in there else "more than one column"
            raise PullbackError(f"{file}: {problem} {name!r}; the columns are: {', '.join(there) or 'none'}")


def _csv(file: str | Path, coordinates: Sequence[str]) -> Tables:
    with Path(file).open("rb") as stream:
        first = stream.readline().decode("utf-8-sig")
    header = [name.strip() for name in next(csv.reader([first]), [])]
    if not header:
        raise PullbackError(f"{file}: the file is empty; it needs a header, and a row a muon")
    _require(file, coordinates, header)
    reader = pa.csv.open_csv(
        file,
        # One thread, so that rows come in order and errors name the first; 8 MiB at a time.
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=1 << 23, column_names=header, skip_rows=1),
        parse_options=pa.csv.ParseOptions(ignore_empty_lines=len(header) > 1),
        # Cells are read as text, so that what is no number can be named with its row and column.
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(coordinates),
            column_types=dict.fromkeys(coordinates, pa.string()),
            strings_can_be_null=False,
        ),
    )
    with reader:
        for table in reader:
            yield [table.column(name) for name in coordinates]


def _parquet(file, parquet, coordinates, start) -> tuple[Tables, int]:
    """Columns from the row group that holds row `start` on, and the row that they begin at."""
    _require(file, coordinates, parquet.schema_arrow.names)
    for name in coordinates:
        kind = parquet.schema_arrow.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise PullbackError(f"{file}: column {name!r} holds {kind}, not numbers")
    first_group, at = 0, 0
    while at + parquet.metadata.row_group(first_group).num_rows <= start:
        at += parquet.metadata.row_group(first_group).num_rows
        first_group += 1
    groups = list(range(first_group, parquet.metadata.num_row_groups))
    tables = parquet.iter_batches(BLOCK, row_groups=groups, columns=list(coordinates), use_threads=False)
    return ([table.column(name) for name in coordinates] for table in tables), at


def _datasets(file, hdf5, coordinates) -> list[h5py.Dataset]:
    _require(file, coordinates, list(hdf5))
    datasets = []
    for name in coordinates:
        if not isinstance(hdf5.get(name, getlink=True), h5py.HardLink):
            raise PullbackError(f"{file}: {name!r} is a link to elsewhere, which is refused; give the dataset itself")
        each = hdf5[name]
        if not isinstance(each, h5py.Dataset) or each.ndim != 1 or each.dtype.kind not in "fiu":
            raise PullbackError(f"{file}: {name!r} must be a dataset of numbers with one dimension, muon")
        if each.external or each.is_virtual:
            raise PullbackError(f"{file}: {name!r} keeps its data in another file, which is refused")
        datasets.append(each)
    lengths = {name: len(each) for name, each in zip(coordinates, datasets, strict=True)}
    if len(set(lengths.values())) > 1:
        raise PullbackError(f"{file}: datasets differ in length: {lengths}")
    return datasets


def _blocks(file, coordinates, tables: Tables, at: int, start: int, stop: int) -> Iterator[np.ndarray]:
    """Rows [start, stop) in blocks, from tables of any length of which the first begins at row `at`."""
    block, filled = np.empty((min(BLOCK, stop - start), len(coordinates))), 0
    for columns in tables:
        length = len(columns[0])
        skip, take = max(start - at, 0), min(stop - at, length)
        if skip < take:
            numbers = [
                _numbers(column.slice(skip, take - skip), file, name, at + skip)
                for name, column in zip(coordinates, columns, strict=True)
            ]
            used = 0
            while used < take - skip:
                count = min(len(block) - filled, take - skip - used)
                for axis, values in enumerate(numbers):
                    block[filled : filled + count, axis] = values[used : used + count]
                filled, used = filled + count, used + count
                if filled == len(block):
                    yield block
                    done = max(start, at) + used
                    block, filled = np.empty((min(BLOCK, stop - done), len(coordinates))), 0
        at += length
        if at >= stop:
            return
    raise PullbackError(f"{file}: ends at row {at}, before row {stop}; it has changed since this run began: run again")


def _numbers(column: pa.Array, file: str | Path, name: str, first: int) -> np.ndarray:
    """A column as float64; `first` is the row that it begins at, to name the one that holds no number."""
    if pa.types.is_string(column.type):
        cells = pc.utf8_trim_whitespace(column)
        cells = pc.if_else(pc.equal(cells, ""), "nan", cells)
        try:
            column = cells.cast(pa.float64())
        except pa.ArrowInvalid:
            row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
            raise PullbackError(
                f"{file}: row {first + row + 1}, column {name!r}: {column[row].as_py()!r} is not a number"
            ) from None
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _is_number(cell: pa.Scalar) -> bool:
    try:
        cell.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
