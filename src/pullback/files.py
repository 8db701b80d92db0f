"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import PullbackError

LONGEST_SHOWN = 200
"""Characters of a path that an error message shows."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A path to write to, `<name>.part`, which is renamed when the block ends and removed when it fails.

    Raises
    ------
    PullbackError : the disk is full, or the file can't be written for another reason that the system gives.

    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        _discard(part)
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "no space left on the disk; free some and run again"
        raise PullbackError(f"{path}: can't be written: {reason}") from error
    except BaseException:
        _discard(part)
        raise


def _discard(part: Path) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(OSError):  # the folder around it may be what is wrong
        part.unlink(missing_ok=True)


def check_regular(path: str | Path) -> None:
    """Refuse a path that does not lead to a regular file.

    Reading a pipe or a terminal waits for ever, and takes what it holds from whoever else wants it.

    Raises
    ------
    PullbackError : the path leads nowhere, to a folder, or to a pipe, socket or device; or no file can have that name.

    """
    shown = str(path) if len(str(path)) <= LONGEST_SHOWN else f"{str(path)[:LONGEST_SHOWN]}…"
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        raise PullbackError(f"{shown!r}: can't be read: no file can have that name") from None
    except FileNotFoundError:
        raise PullbackError(f"{shown}: no such file (relative paths start at {Path.cwd()})") from None
    except OSError as error:
        raise PullbackError(f"{shown}: can't be read: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise PullbackError(f"{shown}: is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise PullbackError(
            f"{shown}: is a pipe, socket or device; only regular files are read; copy its content to one"
        )


def sha256(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
