"""Counts of what became of the rows of a file of recorded hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import one_line


def _of(words: str) -> Any:
    """A count that is 0 unless it is given, with its words."""
    return field(default=0, metadata={"words": words})


CROWDED = 0.05
"""Share of events with several hits in most layers above which events may be merged.

Noise in 5 % of the cells of five layers makes 0.1 % of the events so.
"""

LEFT_OUT = 0.1
"""Share of hits that `several: nearest` leaves out above which this is told; about that of the noise hits."""


@dataclass(frozen=True)
class ImportCounts:
    """Numbers of rows, hits and events of a file by what became of them, in the order of the report.

    Each field is a count with its words; one that is 0 is not shown, except rows and muons. Counts of parts of a file
    add up. `validation.json`, the log and the report show new fields by themselves.
    """

    rows: int = _of("rows of the file")
    unselected: int = _of("rows left out: not selected by source.select")
    hits: int = _of("hits")
    unselected_hits: int = _of("hits left out: not selected by source.select")
    other_layers: int = _of("hits left out: in layers that are not in source.layers")
    unselected_events: int = _of("events left out: none of their hits is selected by source.select")
    events: int = _of("events")
    events_apart: int = _of("events whose rows are apart in the file, brought together in memory")
    several_events: int = _of("events with several hits in a layer")
    crowded_events: int = _of("events with several hits in most of their layers")
    dropped_events: int = _of("events left out: with several hits in a layer (several: drop)")
    dropped_hits: int = _of("hits of the events left out")
    nearest_chosen: int = _of("layers with several hits of which the nearest to the line was taken (several: nearest)")
    nearest_undecided: int = _of("layers with several hits of which none was taken, as no line predicts one")
    nearest_left: int = _of("hits left out: further from the line, or of a layer without a prediction")
    used_hits: int = _of("hits used")
    empty_events: int = _of("events without a hit in any layer of the model, kept as muons without hits")
    muons: int = _of("muons")

    def __add__(self, other: ImportCounts) -> ImportCounts:
        """The counts of two parts of a file together."""
        mine, others = asdict(self), asdict(other)
        return ImportCounts(**{name: mine[name] + others[name] for name in mine})

    @property
    def crowded(self) -> bool:
        """Whether more events than noise makes have several hits in most of their layers."""
        return self.crowded_events > CROWDED * self.events

    @property
    def notable_loss(self) -> bool:
        """Whether more hits are left out than ordinary noise explains, or events hold several tracks."""
        return self.crowded or self.nearest_left > LEFT_OUT * self.hits

    def plain(self) -> dict[str, int]:
        """The counts by name in their order, without those that are 0."""
        return {name: number for name, number in asdict(self).items() if number or name in ALWAYS_COUNTED}


ALWAYS_COUNTED = ("rows", "muons")
"""The counts that are shown although they are 0."""


def in_words(counts: Mapping[str, int], others: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """Words and number of each count, from `ImportCounts.plain`; `others` are the layers of the hits left out."""
    for each in fields(ImportCounts):
        if each.name in counts:
            which = f" ({first_few(others)})" if others and each.name == "other_layers" else ""
            yield each.metadata["words"] + which, counts[each.name]


def first_few(names: Sequence[str], most: int = 6) -> str:
    """The first names of a list, and the number of the others.

    >>> first_few(["P0", "P1", "P2"], 2)
    'P0, P1 and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(one_line, names[:most])) + more
