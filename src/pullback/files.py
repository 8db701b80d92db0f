"""Files that are either complete or absent."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LONGEST_NAME, PullbackError, one_line

LONGEST_BEGINNING = 200
"""Maximum length in bytes of a name to which a suffix is added; file systems allow 255 bytes."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, renamed when the block ends and removed when it fails.

    It is a new file `<name>.<random>.part` in the same folder, which nobody can have replaced by a link. Remains of
    killed runs with the same name are removed.

    Raises
    ------
    PullbackError
        The disk is full, the path is not a regular file, or the system refuses to write.

    """
    path = Path(path)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(path)
        _remove_abandoned(path)
        part, descriptor = _new_part(path)
        try:
            yield part
            os.replace(part, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        _discard(part)
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "no space left on the disk; free some and run again"
        raise PullbackError(f"{path}: can't be written: {reason}") from error
    except BaseException:
        _discard(part)
        raise


def check_replaceable(path: str | Path) -> None:
    """Refuse to write in place of anything but a regular file, and where none can be: a name that is too long."""
    shown = one_line(str(path), LONGEST_NAME)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except ValueError:
        raise PullbackError(f"{shown}: can't be written: no file can have that name") from None
    except OSError as error:
        raise PullbackError(f"{shown}: can't be written: {error.strerror}") from None
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: ""}
    if kind := kinds.get(stat.S_IFMT(mode), "a pipe, socket or device"):
        raise PullbackError(f"{shown}: can't be written: there is {kind} of that name, and only files are written over")


def _new_part(path: Path) -> tuple[Path, int]:
    """A new file beside a path, locked while its descriptor is open, so that other runs see that it is in use."""
    while True:
        part = path.with_name(f"{_beginning(path)}.{secrets.token_hex(8)}.part")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:  # else another run removed it as abandoned before it was locked
            return part, descriptor
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove files of killed runs, which are not locked."""
    ours = re.compile(re.escape(_beginning(path)) + r"\.[0-9a-f]{16}\.part")
    for name in os.listdir(path.parent):
        if ours.fullmatch(name):
            with contextlib.suppress(OSError):  # another run may be removing it too
                _remove_unlocked(path.with_name(name))


def _remove_unlocked(part: Path) -> None:
    descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor, wait=False):
            part.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file, and return whether that succeeded: not if it is locked already, or locks are unsupported.

    The system releases the lock when the process ends, however it ends.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _beginning(path: Path) -> str:
    """The beginning of the names of a path's temporary files: its own name, or a hash of a name that is too long."""
    name = path.name
    return name if len(os.fsencode(name)) <= LONGEST_BEGINNING else hashlib.sha256(os.fsencode(name)).hexdigest()


def _discard(part: Path | None) -> None:
    """Remove a file if it exists."""
    if part is not None:
        with contextlib.suppress(OSError):  # its folder may be inaccessible
            part.unlink(missing_ok=True)


def check_regular(path: str | Path, kind: type[PullbackError] = PullbackError) -> None:
    """Refuse a path that is not a regular file, by an error of this kind.

    Reading a pipe or a terminal may wait for ever, and takes data from other readers.

    Raises
    ------
    PullbackError
        The path does not exist, is a folder, pipe, socket or device, or is not a valid name.

    """
    shown = one_line(str(path), LONGEST_NAME)
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        raise kind(f"{shown}: can't be read: no file can have that name") from None
    except FileNotFoundError:
        raise kind(f"{shown}: no such file (relative paths start at {Path.cwd()})") from None
    except OSError as error:
        raise kind(f"{shown}: can't be read: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise kind(f"{shown}: is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise kind(f"{shown}: is a pipe, socket or device; only regular files are read; copy its content to one")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""Separators of the cells of a CSV file, which has the first of them that its header has."""


def separator_of(first_line: str) -> str:
    """The separator of cells, from the first line of a CSV file."""
    return next((each for each in SEPARATORS if each in first_line.strip()), ",")
