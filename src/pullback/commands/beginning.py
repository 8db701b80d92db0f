"""Configs to begin a study with, and the files they need."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import PullbackError, one_line
from ..files import write_text
from .packaged import workflow_folder


class Beginning(NamedTuple):
    """A config of the repository, by its path there, what it is an example of, and the files that it names."""

    config: str
    about: str
    files: tuple[str, ...] = ()


BEGINNINGS = {
    "exercise": Beginning("config/exercise.yaml", "one hit per muon, θ = arctan(|x|/dz)"),
    "telescope": Beginning("config/track3d.yaml", "a straight track through several layers, in space"),
    "tomography": Beginning("config/scatter.yaml", "the scattering angle between two trackers"),
    "recorded": Beginning("config/recorded.yaml", "recorded hits from a CSV file", ("config/hits.csv",)),
    "own": Beginning("config/own_model.yaml", "a model of your own, a torch function", ("examples/magnet.py",)),
}
"""What `pullback init` offers."""

KEYS_OF_CONFIG = "# All keys with units and defaults: pullback keys, or pullback keys detector\n"
"""The first line of each config."""

SCHEMA_OF_EDITORS = re.compile(r"^# yaml-language-server: .*\n")
"""The line that names a schema beside a config of the repository."""


def begin(kind: str, folder: str | Path = ".") -> list[Path]:
    """Write a config to begin with, and the files that it needs, into a folder; their paths, the config's first.

    Raises
    ------
    PullbackError
        The kind is unknown, or one of the files is already there or can't be written.

    """
    if kind not in BEGINNINGS:
        close = difflib.get_close_matches(kind, BEGINNINGS, n=1)
        advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(BEGINNINGS)}"
        raise PullbackError(f"init {one_line(kind)}: unknown; {advice}")
    beginning, source = BEGINNINGS[kind], workflow_folder()
    names = {beginning.config: f"{kind}.yaml"} | {path: Path(path).name for path in beginning.files}
    texts = {}
    for path, name in names.items():
        text = (source / path).read_text(encoding="utf-8")
        for there, here in names.items():
            text = text.replace(there, here)
        texts[name] = re.sub(r"^study: .*", f"study: {kind}", SCHEMA_OF_EDITORS.sub("", text), flags=re.MULTILINE)
    texts[names[beginning.config]] = KEYS_OF_CONFIG + texts[names[beginning.config]]
    files = {Path(folder, name): text for name, text in texts.items()}
    if taken := [str(file) for file in files if os.path.lexists(file)]:
        raise PullbackError(f"{', '.join(taken)}: already there; begin in another folder, or move it away")
    for file, text in files.items():
        write_text(file, text)
    return list(files)
