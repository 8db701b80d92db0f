"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import PullbackError


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


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill, `<name>.part`, which takes the place of the one of that name when the block ends.

    Raises
    ------
    PullbackError : as `whole`.

    """
    path = Path(path)
    with whole(path) as part:
        _discard(part)
        part.mkdir()
        yield part
        shutil.rmtree(path, ignore_errors=True)


def _discard(part: Path) -> None:
    """Remove a file or a folder, if it is there."""
    with contextlib.suppress(OSError):  # the folder around it may be what is wrong
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON whole; a number that is NaN or infinite becomes null, since JSON has neither."""
    write_text(path, json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
