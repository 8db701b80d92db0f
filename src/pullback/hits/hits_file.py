"""Recorded hits from CSV, Parquet, HDF5 and ROOT files, streamed in blocks.

An empty or null cell is a missing hit and reads as NaN, and so does an empty line of a CSV file with one column. NaN
and infinite hits are kept. The config defines columns and units; results are in m and m².
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..errors import ConfigError, HitsError, PullbackError, one_line
from ..files import check_regular
from .columns import MAX_CHUNK_ROWS, Chunks
from .counts import ImportCounts

PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
"""Number of file units per metre. Dividing by it rounds once; multiplying by 0.001 rounds twice."""

READERS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".root": "root",
}
"""Reader modules by the suffix of a file."""

FILE_KINDS = {
    b"\x89HDF\r\n\x1a\n": ("hdf5", "an HDF5 file: name it .h5"),
    b"PAR1\x15": ("parquet", "a Parquet file: name it .parquet"),
    b"root\0": ("root", "a ROOT file: name it .root"),
    b"\x1f\x8b": ("", "compressed by gzip: unpack it"),
    b"BZh": ("", "compressed by bzip2: unpack it"),
    b"\xfd7zXZ\0": ("", "compressed by xz: unpack it"),
    b"\x28\xb5\x2f\xfd": ("", "compressed by zstd: unpack it"),
    b"PK\x03\x04": ("", "an Excel workbook or another zip archive: save it as CSV UTF-8, or unpack it"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("", "an Excel workbook: save it as CSV UTF-8"),
    b"SQLite format 3\0": ("", "an SQLite database: export its table as CSV"),
    b"\x93NUMPY": ("", "an array of NumPy: write it as CSV, with a header"),
    b"ARROW1\0": ("", "an Arrow or Feather file: write it as Parquet"),
    b"version https://git-lfs": ("", "a pointer of Git LFS, not the file itself: fetch that by git lfs pull"),
    b"<!DOCTYPE": ("", "a web page, perhaps an error in place of the file: download it again"),
    b"<html": ("", "a web page, perhaps an error in place of the file: download it again"),
}
"""Kinds of files by their first bytes: the reader module, if any, and a description with advice."""

TICK = 2_000_000_000
"""Time in ns within which two changes of a file may have equal timestamps; FAT has a resolution of 2 s."""

ROUNDING = 1e3 * np.finfo("f8").eps
"""Tolerance for negative eigenvalues of a correlation matrix, as in `pullback.propagate`."""


@runtime_checkable
class RecordedSource(Protocol):
    """The config's `source` section of recorded hits."""

    @property
    def file(self) -> str:
        """Path of the file."""

    @property
    def tree(self) -> str:
        """Tree of a ROOT file; empty for its only tree."""

    @property
    def unit(self) -> str:
        """Unit of positions and their uncertainties."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Columns by coordinate, if not of its name."""

    @property
    def sigma(self) -> Mapping[str, str]:
        """Columns of standard uncertainties by coordinate."""

    @property
    def covariance(self) -> Mapping[str, str]:
        """Columns of covariances by two coordinates, `x0,x1`."""

    @property
    def momentum_column(self) -> str:
        """Column of the momenta of the muons; empty without one."""


class RecordedHits(NamedTuple):
    """A block of recorded hits, m, their recorded covariance, m², and the momentum of each muon, GeV/c.

    The covariance is None without columns of uncertainties, variances (muon, coordinate) with them, and matrices (muon,
    coordinate, coordinate) if covariances are given too. A variance is NaN if its coordinate has no column of
    uncertainties or the hit is not finite; a covariance is 0 there. Momenta are None without a column, and NaN where
    they are unknown.
    """

    hits: Float[np.ndarray, "muon coordinate"]
    covariance: Float[np.ndarray, "muon coordinate *second"] | None
    momentum: Float[np.ndarray, " muon"] | None = None


@dataclass(frozen=True)
class HitsFile:
    """A file of recorded hits with its columns for the coordinates of a model; made by `source_of`.

    Attributes
    ----------
    coordinates : tuple of str
        The column of each coordinate, in the model's order.
    sigma : mapping of int to str
        Columns of standard uncertainties, by the index of the coordinate.
    covariance : mapping of (int, int) to str
        Columns of covariances, by the indices of two coordinates, which both have a column in `sigma`.
    unit : str
        Unit of positions and their uncertainties; covariances are in the squared unit.
    tree : str
        The tree of a ROOT file; empty for its only tree.
    sha256 : str
        SHA-256 of the content at planning; empty before planning.
    momentum : str
        The column of the momenta of the muons, GeV/c; empty without one.
    """

    file: str
    coordinates: tuple[str, ...]
    sigma: Mapping[int, str]
    covariance: Mapping[tuple[int, int], str]
    unit: str
    tree: str
    sha256: str = ""
    momentum: str = ""

    @property
    def covariance_shape(self) -> tuple[int, ...] | None:
        """The shape of a muon's covariance, as in `RecordedHits`."""
        if not self.sigma:
            return None
        return (len(self.coordinates),) * (2 if self.covariance else 1)

    def count_muons(self) -> int:
        """The number of muons: see `counted`."""
        return self.counted().muons

    def counted(self) -> ImportCounts:
        """Counts of rows and muons: from the file's metadata, or for CSV and lists of hits by reading the file once.

        Raises
        ------
        HitsError
            The file is missing, unreadable or empty, lacks a column, or has a column without numbers.

        """
        with _file_errors(self.file):
            counts = self._counts()
        if not counts.rows:
            only = "a header" if self._reader.__name__.endswith(".csv") else "column names"
            raise HitsError(f"{self.file}: holds no hits, only {only}")
        return counts

    def plan(self) -> tuple[ImportCounts, str]:
        """The counts from `counted`, and the SHA-256 of the file.

        Raises
        ------
        HitsError
            As `counted`; or the file changed meanwhile.

        """
        with _file_errors(self.file), _unchanged(self.file) as digest:
            return self.counted(), digest

    def _counts(self) -> ImportCounts:
        rows = self._reader.count(self.file, self._columns, self.tree)
        return ImportCounts(rows=rows, muons=rows)

    def _chunks(self, start: int, stop: int) -> Chunks:
        """The muons [start, stop) of `_columns`, in chunks."""
        chunks: Chunks = self._reader.read(self.file, self._columns, start, stop, self.tree)
        return chunks

    @property
    def _reader(self) -> ModuleType:
        return _reader(self.file)

    def blocks(self, start: int, stop: int, rows: int = MAX_CHUNK_ROWS) -> Iterator[RecordedHits]:
        """The muons [start, stop), in blocks of `rows` muons.

        Raises
        ------
        HitsError
            A cell is not a number, uncertainty or covariance; the message names file, row (from 1, without the header)
            and column. Or the file has another SHA-256 than planned, or changed while it was read.

        """
        with _file_errors(self.file), _unchanged(self.file, self.sha256):
            chunks = self._chunks(start, stop)
            for first, values in _in_blocks(self.file, chunks, len(self._columns), start, stop, rows):
                yield self._block(first, dict(zip(self._columns, values, strict=True)))

    @property
    def _columns(self) -> list[str]:
        """The columns to read, without duplicates."""
        return list(
            dict.fromkeys([*self.coordinates, *self.sigma.values(), *self.covariance.values(), *self._momentum])
        )

    @property
    def _momentum(self) -> list[str]:
        return [self.momentum] if self.momentum else []

    def _block(self, first: int, values: Mapping[str, np.ndarray]) -> RecordedHits:
        """A block from its columns; `first` is the index of its first row."""
        momentum = None
        for column in self._momentum:
            momentum = values[column].copy()
            self._refuse((momentum <= 0) | (momentum == np.inf), first, column, momentum, "is not a momentum")
        return self._hits(first, values)._replace(momentum=momentum)

    def _hits(self, first: int, values: Mapping[str, np.ndarray]) -> RecordedHits:
        """Hits and their covariance from the columns of a block."""
        per_metre = PER_METRE[self.unit]
        with np.errstate(all="ignore"):  # a damaged file may contain signalling NaN
            hits = np.stack([values[column] for column in self.coordinates], axis=1) / per_metre
        if not self.sigma:
            return RecordedHits(hits, None)
        finite = np.isfinite(hits)
        variances = np.full(hits.shape, np.nan)
        for axis, column in self.sigma.items():
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                variance = (values[column] / per_metre) ** 2
                usable = (values[column] > 0) & (variance > 0) & (variance < np.inf)
            self._refuse(finite[:, axis] & ~usable, first, column, values[column], "is not a standard uncertainty")
            variances[finite[:, axis], axis] = variance[finite[:, axis]]
        if not self.covariance:
            return RecordedHits(hits, variances)
        matrices = np.zeros((*hits.shape, hits.shape[1]))
        np.einsum("mii->mi", matrices)[:] = variances
        for (one, other), column in self.covariance.items():
            both = finite[:, one] & finite[:, other]
            self._refuse(both & ~np.isfinite(values[column]), first, column, values[column], "is not a covariance")
            matrices[both, one, other] = matrices[both, other, one] = values[column][both] / per_metre**2
        self._check_matrices(first, matrices)
        return RecordedHits(hits, matrices)

    def _refuse(self, bad: np.ndarray, first: int, column: str, values: np.ndarray, what: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            cell = "it is empty or not a number" if np.isnan(values[row]) else f"{values[row]:g}"
            raise HitsError(f"{self.file}: row {first + row + 1}, column {column!r}: {what}: {cell}")

    def _check_matrices(self, first: int, matrices: np.ndarray) -> None:
        """Refuse matrices that are not positive semi-definite, by their correlations."""
        axes = sorted({axis for pair in self.covariance for axis in pair})
        inner = matrices[:, axes][:, :, axes]
        width = np.sqrt(np.einsum("mii->mi", inner))
        correlation = inner / (width[:, :, None] * width[:, None, :])
        # A missing hit has no correlations.
        correlation[np.isnan(correlation)] = 0.0
        bad = np.linalg.eigvalsh(correlation)[:, 0] < -ROUNDING
        if bad.any():
            columns = ", ".join([*(self.sigma[axis] for axis in axes), *self.covariance.values()])
            raise HitsError(
                f"{self.file}: row {first + int(bad.argmax()) + 1}: the covariance of columns {columns} is not "
                f"positive semi-definite: a correlation is beyond ±1, or they contradict each other"
            )


def source_of(section: RecordedSource, coordinates: Sequence[str], sha256: str = "") -> HitsFile:
    """The file of the config's `source` section, for the coordinates of a model.

    `sha256` is that of the file when the study was planned.

    Raises
    ------
    ConfigError
        The section names a coordinate that the model does not have, or contradicts itself.

    """
    columns, sigma = section.columns, section.sigma
    for key, mapping in (("columns", columns), ("sigma", sigma)):
        for name in mapping:
            _index(key, name, coordinates)
    names = [columns.get(name, name) for name in coordinates]
    for name, column in zip(coordinates, names, strict=True):
        if names.count(column) > 1:
            others = " and ".join(each for each, same in zip(coordinates, names, strict=True) if same == column)
            raise ConfigError(f"config: source.columns.{name}: {others} are all column {column!r}")
    covariance: dict[tuple[int, int], str] = {}
    for key, column in section.covariance.items():
        both = [name.strip() for name in key.split(",")]
        pair = tuple(sorted(_index("covariance", name, coordinates) for name in both))
        if len(set(pair)) != 2 or len(pair) != 2:
            raise ConfigError(f"config: source.covariance: {key!r} must be two coordinates: {{'x0,x1': column}}")
        if pair in covariance:
            raise ConfigError(f"config: source.covariance: {key!r} is given twice")
        for name in both:
            if name not in sigma:
                raise ConfigError(f"config: source.covariance: {key!r} needs the uncertainty of {name} in source.sigma")
        covariance[pair] = column
    check_tree(section.file, section.tree)
    by_index = {coordinates.index(name): column for name, column in sigma.items()}
    return HitsFile(
        section.file,
        tuple(names),
        by_index,
        covariance,
        section.unit,
        section.tree,
        sha256,
        section.momentum_column,
    )


def check_tree(file: str, tree: str) -> None:
    """Refuse the name of a tree for a file that has none."""
    if tree and Path(file).suffix.lower() != ".root":
        raise ConfigError(f"config: source.tree: {file} is not a .root file and has no trees; leave it out")


def _index(key: str, name: str, coordinates: Sequence[str]) -> int:
    if name in coordinates:
        return coordinates.index(name)
    close = difflib.get_close_matches(name, coordinates, n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(
        f"config: source.{key}: the model has no coordinate {name!r}; it has {', '.join(coordinates)}{advice}"
    )


def _reader(file: str) -> ModuleType:
    suffix = Path(file).suffix.lower()
    if suffix not in READERS:
        raise HitsError(
            f"{file}: hits must be in a .csv, .parquet, .h5 or .root file, not {suffix or 'one without a suffix'}"
        )
    return importlib.import_module(f".{READERS[suffix]}", __package__)


@contextmanager
def _file_errors(file: str) -> Iterator[None]:
    """Report errors of the system and the libraries as one line that names the file."""
    check_regular(file, HitsError)
    try:
        if not os.path.getsize(file):
            raise HitsError(f"{file}: the file is empty; it needs named columns, and one row per muon")
        yield
    except FileNotFoundError:
        raise HitsError(f"{file}: the file no longer exists") from None
    except (PullbackError, OSError, RuntimeError) as error:
        if kind := _foreign(file):
            raise HitsError(f"{file}: is {kind}") from error
        if isinstance(error, PullbackError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        words = next(iter(str(error).splitlines()), "")
        if "unable to lock file" in words:
            reason = "another program has it open to write to it: close it there"
        if not reason:
            reason = f"{one_line(words.rstrip(' ,'))}; is it truncated, or of another kind?"
        raise HitsError(f"{file}: can't be read: {reason}") from error


def _foreign(file: str) -> str:
    """The kind of a file according to its first bytes if it contradicts the suffix; otherwise empty."""
    with contextlib.suppress(OSError), Path(file).open("rb") as stream:
        start = stream.read(32)
        for magic, (reader, words) in FILE_KINDS.items():
            if start.startswith(magic) and reader != READERS.get(Path(file).suffix.lower(), "none"):
                return words
    return ""


@contextmanager
def _unchanged(file: str, planned: str = "") -> Iterator[str]:
    """The SHA-256 of a file, which must equal the planned one, if any, and not change while the block reads.

    The file is hashed before reading, and again afterwards only if it had just been written: any other change shows in
    the time of its last status change, which no program can set. Hashing takes about 0.5 s per GB, once per job.
    """
    changed = HitsError(f"{file}: has changed since this run began: run again")
    with Path(file).open("rb") as stream:
        before, digest = _state(stream), hashlib.file_digest(stream, "sha256").hexdigest()
    if planned and digest != planned:
        raise changed
    just_written = time.time_ns() - max(before[1:]) < TICK

    def same() -> bool:
        try:
            with Path(file).open("rb") as stream:  # opened anew, so that a network file system refreshes its data
                again = hashlib.file_digest(stream, "sha256").hexdigest() if just_written else digest
                return again == digest and _state(stream) == before
        except OSError:
            return False

    try:
        yield digest
    except Exception as error:  # any error of a reader on a file that is being written
        if same():
            raise
        raise changed from error
    if not same():
        raise changed


def _state(stream: BinaryIO) -> tuple[int, ...]:
    """Size of a file, and times of the last changes of its content and status, ns."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _in_blocks(
    file: str, chunks: Chunks, columns: int, start: int, stop: int, rows: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks (column, muon) with the index of their first row, from chunks of rows [start, stop) of any length."""
    at, filled = start, 0
    block = np.empty((columns, min(rows, stop - start)))
    for chunk in chunks:
        used, length = 0, len(chunk[0])
        while used < length:
            count = min(block.shape[1] - filled, length - used)
            for values, column in zip(block, chunk, strict=True):
                values[filled : filled + count] = column[used : used + count]
            filled, used = filled + count, used + count
            if filled == block.shape[1]:
                yield at, block
                at, filled = at + filled, 0
                block = np.empty((columns, min(rows, stop - at)))
    if at < stop:
        raise HitsError(
            f"{file}: no longer has row {at + filled + 1} of {stop}; it has changed since this run began: run again"
        )
