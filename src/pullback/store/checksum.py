"""A seal on HDF5 files: a checksum of the whole file, verified before any of it is trusted to HDF5.

HDF5's own checksums leave gaps (its global heap has none, and a flipped bit there can make the library loop for ever),
and it doesn't survive a full disk (closing such a file crashes the process). So every file begins with a user block
that holds the XXH3-128 of the rest, and has its space reserved before it is written.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import xxhash

from ..errors import PullbackError

USER_BLOCK = 512
"""Bytes before the HDF5 signature that are the user's (HDF5 file format specification, section II.A)."""

REMAKE = "delete it and run again"
"""What to do about an artefact that is not what it should be."""

_LINE = "pullback, XXH3-128 of what follows this block: {}\n"
_STEP = 1 << 20


def reserve(path: str | Path, size: int) -> None:
    """Set aside disk space for a file that HDF5 holds open; raises OSError when there is none.

    Where the system can't set space aside, this only looks whether there is enough.
    """
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(Path(path).parent).free + Path(path).stat().st_size < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def seal(path: str | Path) -> None:
    """Write the checksum of a finished file into its user block."""
    line = _LINE.format(_checksum(path)).encode()
    with Path(path).open("r+b") as file:
        file.write(line.ljust(USER_BLOCK, b"\0"))


def verify(path: str | Path, advice: str = REMAKE) -> None:
    """Raise unless the file carries a seal, and the seal is right.

    `advice` is what to do about a file without one: where a user has named it, it may be one of theirs.

    Raises
    ------
    PullbackError : naming the file, when it is missing, was never sealed, or is damaged or truncated.

    """
    try:
        with Path(path).open("rb") as file:
            line = file.read(USER_BLOCK).rstrip(b"\0").decode("ascii", errors="replace")
        if not line.startswith(_LINE.partition("{")[0]):
            raise PullbackError(f"{path}: is no pullback artefact, or is damaged; {advice}")
        if line != _LINE.format(_checksum(path)):
            raise PullbackError(f"{path}: is damaged or truncated: its checksum is wrong; {REMAKE}")
    except OSError as error:
        raise PullbackError(f"{path}: can't be read: {error.strerror}; run again") from None


def _checksum(path: str | Path) -> str:
    """XXH3-128 of everything after the user block, in hexadecimal digits."""
    checksum, chunk = xxhash.xxh3_128(), memoryview(bytearray(_STEP))
    with Path(path).open("rb", buffering=0) as file:
        file.seek(USER_BLOCK)
        while count := file.readinto(chunk):
            checksum.update(chunk[:count])
    return checksum.hexdigest()
