"""CSV files as streams of bytes, decompressed by the end of their name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from typing import Any

import pyarrow as pa

from ..errors import HitsError
from .guards import suffix_of

COMPRESSION = {".csv.gz": "gzip", ".csv.zst": "zstd"}
"""Compression by the end of a file's name."""

READ_BYTES = 1 << 20
"""Bytes that are read at once where a stream is read to its end."""


def open_bytes(file: str) -> Any:
    """The content of a file as bytes, decompressed."""
    raw, compression = pa.OSFile(file), COMPRESSION.get(suffix_of(file))
    return pa.CompressedInputStream(raw, compression) if compression else raw


def open_text(file: str) -> TextIOWrapper:
    """The content of a file as text with original line ends; parts that are not used need not be UTF-8."""
    stream = BufferedReader(open_bytes(file))
    return TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def chunks_of(file: str) -> Iterator[bytes]:
    """The content of a file in chunks, decompressed."""
    with open_bytes(file) as stream:
        yield from iter(lambda: stream.read(READ_BYTES), b"")


@contextmanager
def whole_stream(file: str) -> Iterator[None]:
    """Report a compressed file that is cut off or damaged as one line, rather than what a reader makes of its content.

    Raises
    ------
    HitsError
        The file ends before its stream does, or does not decompress.

    """
    try:
        yield
    except (OSError, HitsError, pa.ArrowInvalid):
        if suffix_of(file) in COMPRESSION:
            _check(file)
        raise


def _check(file: str) -> None:
    """Read a compressed file to its end."""
    compression = COMPRESSION[suffix_of(file)]
    try:
        for _ in chunks_of(file):
            pass
    except OSError as error:
        if error.errno:
            raise
        what = "is cut off" if "Truncated" in str(error) else f"is damaged, or not compressed by {compression}"
        raise HitsError(f"{file}: {what}: fetch or write it again") from error
