"""What planning finds about a file of hits, so that jobs need not find it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .columns import MAX_CHUNK_ROWS
from .counts import ImportCounts

STRIDE = MAX_CHUNK_ROWS
"""Selected muons from one of the `starts` to the next: a block."""


def kept_name(column: str) -> str:
    """The name of a kept column in results, of letters, digits and underscores.

    >>> kept_name("run/number"), kept_name("hit[2]")
    ('run_number', 'hit_2')
    """
    return re.sub(r"\W+", "_", column).strip("_")


@dataclass(frozen=True)
class Reading:
    """How to read a file: the types of kept columns, and where selected muons begin.

    Attributes
    ----------
    kept : mapping of str to str
        Type of each kept column: `i8`, `u8`, `f8` or `S…`, as numpy writes it.
    starts : tuple of int
        With a selection, the file's row of every 131072nd selected muon.
    first : int
        The index of the first of the `starts`; 1 is that of muon 131072.
    others : tuple of str
        Layers of the file whose hits are left out, since `source.layers` does not list them.
    separating : str
        A column that separates events which have several hits in most layers; empty without such events, or such a
        column.

    """

    kept: Mapping[str, str] = field(default_factory=dict)
    starts: tuple[int, ...] = ()
    first: int = 0
    others: tuple[str, ...] = ()
    separating: str = ""

    def of_blocks(self, first: int, last: int) -> Reading:
        """The part for the blocks [first, last)."""
        return replace(self, starts=self.starts[first:last], first=first) if self.starts else self

    def before(self, muon: int) -> tuple[int, int]:
        """The last known row of a selected muon up to this one, and the index of that muon."""
        index = min(muon // STRIDE - self.first, len(self.starts) - 1)
        return (self.starts[index], (self.first + index) * STRIDE) if index >= 0 else (0, 0)

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Reading:
        """What `plain` gave, from JSON."""
        return cls(**{**plain, **{name: tuple(plain.get(name, ())) for name in ("starts", "others")}})

    def plain(self) -> dict[str, Any]:
        """For JSON, without what is empty."""
        return {name: each for name, each in asdict(self).items() if each}


class Planned(NamedTuple):
    """What planning finds about a file: counts of its rows, its SHA-256, and how to read it."""

    counts: ImportCounts
    sha256: str
    reading: Reading


class Starts:
    """Finds the rows of every 131072nd selected muon."""

    def __init__(self) -> None:
        self.rows, self.selected = 0, 0
        self.starts: list[int] = []

    def add(self, kept: np.ndarray) -> None:
        """Add rows, by whether each is selected."""
        at = np.flatnonzero(kept)
        self.starts += (at[-self.selected % STRIDE :: STRIDE] + self.rows).tolist()
        self.rows, self.selected = self.rows + len(kept), self.selected + len(at)
