"""Guards around reading a file of hits: its reader, what it is when it can't be read, and that it does not change."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from ..errors import HitsError, PullbackError, one_line
from ..files import check_regular

READERS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".csv.zst": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".root": "root",
}
"""Reader modules by the end of a file's name."""

FILE_KINDS = {
    b"\x89HDF\r\n\x1a\n": ((".h5", ".hdf5"), "an HDF5 file: name it .h5"),
    b"PAR1\x15": ((".parquet", ".pq"), "a Parquet file: name it .parquet"),
    b"root\0": ((".root",), "a ROOT file: name it .root"),
    b"\x1f\x8b": ((".csv.gz",), "compressed by gzip: name it .csv.gz if it is CSV, or unpack it"),
    b"BZh": ((), "compressed by bzip2: unpack it"),
    b"\xfd7zXZ\0": ((), "compressed by xz: unpack it"),
    b"\x28\xb5\x2f\xfd": ((".csv.zst",), "compressed by zstd: name it .csv.zst if it is CSV, or unpack it"),
    b"PK\x03\x04": ((), "an Excel workbook or another zip archive: save it as CSV UTF-8, or unpack it"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ((), "an Excel workbook: save it as CSV UTF-8"),
    b"SQLite format 3\0": ((), "an SQLite database: export its table as CSV"),
    b"\x93NUMPY": ((), "an array of NumPy: write it as CSV, with a header"),
    b"ARROW1\0": ((), "an Arrow or Feather file: write it as Parquet"),
    b"version https://git-lfs": ((), "a pointer of Git LFS, not the file itself: fetch that by git lfs pull"),
    b"<!DOCTYPE": ((), "a web page, perhaps an error in place of the file: download it again"),
    b"<html": ((), "a web page, perhaps an error in place of the file: download it again"),
}
"""Kinds of files by their first bytes: the ends of their names, and a description with advice."""

PLAIN_TEXT = re.compile(rb"(?!PAR1|root)[\t\n\r -~]+")
"""What a file of text may begin with, and one of HDF5, Parquet or ROOT does not."""

TICK = 2_000_000_000
"""Time in ns within which two changes of a file may have equal timestamps; FAT has a resolution of 2 s."""


def suffix_of(file: str) -> str:
    """The end of a file's name, in lower case, by which its reader is chosen: `.csv.gz` of `Hits.csv.gz`."""
    suffix = "".join(Path(file).suffixes[-2:]).lower()
    return suffix if suffix in READERS else Path(file).suffix.lower()


def reader_of(file: str) -> ModuleType:
    """The reader module of a file, by its name.

    Raises
    ------
    HitsError
        There is none for files of such a name.

    """
    suffix = suffix_of(file)
    if suffix not in READERS:
        raise HitsError(
            f"{file}: hits must be in a .csv, .csv.gz, .csv.zst, .parquet, .h5 or .root file, not "
            f"{suffix or 'one without a suffix'}"
        )
    return importlib.import_module(f".{READERS[suffix]}", __package__)


@contextmanager
def file_errors(file: str) -> Iterator[None]:
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
        for magic, (suffixes, words) in FILE_KINDS.items():
            if start.startswith(magic) and suffix_of(file) not in suffixes:
                return words
        if READERS.get(suffix_of(file), "csv") != "csv" and PLAIN_TEXT.fullmatch(start):
            return "text: name it .csv if it is CSV, or fetch it again"
    return ""


@contextmanager
def unchanged_file(file: str, planned: str = "") -> Iterator[str]:
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
