"""Version and commit of the package."""

import functools
import os
import re
import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

CLONE = Path(__file__).parents[2]
"""The top of the repository, if this is a clone."""


@functools.cache
def version() -> str:
    """The version of the installed package, from the last tag of the repository; "unknown" of a clone alone."""
    try:
        return installed("pullback")
    except PackageNotFoundError:
        return "unknown"


@functools.cache
def commit() -> str:
    """The commit of the package, with "-dirty" if a file was changed since; empty for a release, or without git.

    That of a clone is asked of git, and that of an installed package is part of its version.
    """
    if (CLONE / ".git").exists():
        asked = ("git", "-C", str(CLONE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
        try:
            # Without locks, since jobs ask side by side.
            environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
            done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment)
        except OSError:
            return ""
        return done.stdout.strip()
    found = re.search(r"\+g([0-9a-f]+)", version())
    return found[1] if found else ""
