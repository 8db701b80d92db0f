"""How a study is made again, used and cited: what its report says of its own origin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ..study.plan import Study
from ..version import commit, version

AUTHORS = "the pullback developers"
"""As in CITATION.cff, which an installed package does not hold; so are title and license."""

TITLE, LICENSE = "pullback: angles from muon hits, with validated uncertainties", "BSD-3-Clause"

FILES = {
    "study.h5": "every muon: hits, values, σ, intervals and flags",
    "summary.csv": "the main numbers, one row per scan point and observable",
    "validation.csv": "the numbers behind the verdict, bin by bin",
    "validation.json": "the verdict and its evidence, for programs",
    "points.csv": "the scan points",
    "config.yaml": "the config with every default",
}
"""Files of a study beside its report, in the order of use."""


class Linked(NamedTuple):
    """A file beside the report: its name, what it holds, and its relative address."""

    name: str
    words: str
    link: str


class Origin:
    """What a report says of how its study was made."""

    def __init__(self, study: Study, report: str | Path):
        self._study, self._folder = study, Path(report).parent
        self.files = list(self._files())

    @property
    def made_with(self) -> str:
        """The version and the commit of the package, as far as they are known."""
        known = "" if version() == "unknown" else f" {version()}"
        at = commit().replace("-dirty", " with changes that are not committed")
        return f"pullback{known}" + (f" (commit {at})" if at else "")

    @property
    def needed(self) -> str:
        """The files from which the study is made again."""
        config = self._study.config
        files = [getattr(each, "file", None) for each in (config.source, config.model, config.alignment)]
        named = [str(file) for file in files if file]
        return "config.yaml" + (f", and from which {' and '.join(named)} can be found" if named else "")

    @property
    def citation(self) -> str:
        """The reference of the package, without a date, so that the bytes of a report stay the same."""
        return f"{AUTHORS[0].upper()}{AUTHORS[1:]}, {TITLE}, {self.made_with}, {LICENSE}."

    def _files(self) -> Iterator[Linked]:
        for name, words in FILES.items():
            if link := self.link(self._folder / name):
                yield Linked(name, words, link)

    def link(self, path: Path) -> str:
        """The address of a file relative to the report; empty if the file is missing."""
        return quote(Path(os.path.relpath(path, self._folder)).as_posix()) if path.exists() else ""
