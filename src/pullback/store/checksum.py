"""Checksum of a whole HDF5 file, verified before HDF5 opens the file.

HDF5's checksums have gaps: its global heap has none, and a flipped bit there can cause an infinite loop. On a full
disk, closing a file crashes the process. So every file begins with a user block that holds the XXH3-128 of the rest,
and disk space is reserved before writing.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import xxhash

from ..errors import ArtefactError

USER_BLOCK = 512
"""Bytes of the user block before the HDF5 signature (HDF5 file format specification, section II.A)."""

REMAKE = "delete it and run again"
"""Advice about a damaged or outdated artefact."""

_LINE = "pullback, XXH3-128 of what follows this block: {}\n"
_STEP = 1 << 20


def reserve(path: str | Path, size: int) -> None:
    """Reserve disk space for a file that HDF5 holds open; raise OSError without enough space.

    Where the system cannot reserve space, only check the free space.
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
    """Raise unless the file carries a correct checksum.

    `advice` is the hint for a file without a checksum, which may be a user's file.

    Raises
    ------
    ArtefactError
        The file is missing, carries no checksum, or is damaged or truncated. The message names the file.

    """
    try:
        with Path(path).open("rb") as file:
            line = file.read(USER_BLOCK).rstrip(b"\0").decode("ascii", errors="replace")
        if not line.startswith(_LINE.partition("{")[0]):
            raise ArtefactError(f"{path}: is not a pullback artefact, or is damaged; {advice}")
        if line != _LINE.format(_checksum(path)):
            raise ArtefactError(f"{path}: is damaged or truncated: its checksum is wrong; {REMAKE}")
    except OSError as error:
        raise ArtefactError(f"{path}: can't be read: {error.strerror}; run again") from None


def _checksum(path: str | Path) -> str:
    """XXH3-128 of everything after the user block, in hexadecimal digits."""
    checksum, chunk = xxhash.xxh3_128(), memoryview(bytearray(_STEP))
    with Path(path).open("rb", buffering=0) as file:
        file.seek(USER_BLOCK)
        while count := file.readinto(chunk):
            checksum.update(chunk[:count])
    return checksum.hexdigest()
