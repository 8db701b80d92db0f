"""Events of lists of hits: whether the rows of each are in sequence, and bringing them together if not.

Rows in sequence are streamed. That they are is certain without further memory if events increase from one to the next,
as numbers or as text; otherwise up to `MOST_EVENTS` are kept and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .long_rows import PIECE, FileHits, LazyNumbers, cut_out, one_after_other

MOST_ROWS = 20_000_000
"""Maximum number of hits that are brought together in memory, in up to 2 GB."""

MOST_EVENTS = 20_000_000
"""Maximum number of events in no order that are kept to see whether their rows are in sequence."""


class EventHits(NamedTuple):
    """Hits of whole events, one event after the other: row in the file, whether an event begins, layer, and numbers."""

    row: np.ndarray
    begins: np.ndarray
    layer: np.ndarray
    numbers: LazyNumbers

    def part(self, where: slice) -> EventHits:
        """Some of them."""
        return EventHits(self.row[where], self.begins[where], self.layer[where], cut_out(self.numbers, where))

    def with_next(self, other: EventHits) -> EventHits:
        """These and the following ones."""
        row, begins, layer = map(np.concatenate, zip(self[:3], other[:3], strict=True))
        return EventHits(row, begins, layer, one_after_other(self.numbers, other.numbers))


def streamed(
    hits: Iterator[FileHits], starts: Callable[[pa.Array, np.ndarray], None] | None = None
) -> Iterator[EventHits]:
    """Hits whose events are in sequence; `starts` is told the events that begin in each piece, and its rows."""
    last: pa.Scalar | None = None
    for row, event, layer, numbers in hits:
        begins = _begins(event, last)
        last = event[-1]
        if starts:
            starts(event.filter(pa.array(begins)), row)
        yield EventHits(row, begins, layer, numbers)


def _begins(event: pa.Array, last: pa.Scalar | None) -> np.ndarray:
    """Whether an event begins with each row, after a row of the event `last`."""
    begins = np.ones(len(event), dtype=bool)
    begins[1:] = pc.not_equal(event[1:], event[:-1]).to_numpy(zero_copy_only=False)
    if last is not None:
        begins[0] = last.as_py() != event[0].as_py()
    return begins


def brought_together(hits: Iterator[FileHits], with_numbers: bool = True) -> Iterator[EventHits]:
    """Hits whose events are apart, in the order in which events appear first; of each event in that of the file."""
    events, rows, layers, values = list[pa.Array](), list[np.ndarray](), list[np.ndarray](), list[list[np.ndarray]]()
    for piece in hits:
        events.append(piece.event)
        rows.append(piece.row.astype("i4"))
        layers.append(piece.layer.astype("i2"))
        values.append(piece.numbers() if with_numbers else [])
    code = _codes(events)
    row, layer = _emptied(rows), _emptied(layers)
    columns = [list(column) for column in zip(*values, strict=True)]
    values.clear()
    numbers = [_emptied(column) for column in columns]
    order = np.argsort(code, kind="stable").astype("i4")
    for start in range(0, len(order), PIECE):
        mine = order[start : start + PIECE]
        before = code[order[start - 1]] if start else -1
        begins = np.diff(code[mine], prepend=before) != 0
        yield EventHits(row[mine].astype("i8"), begins, layer[mine].astype("i8"), cut_out(lambda: numbers, mine))


def _codes(events: list[pa.Array]) -> np.ndarray:
    """The number of each event, in the order in which they appear first."""
    encoded = pa.chunked_array(_drained(events)).combine_chunks().dictionary_encode()
    codes: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False)
    return codes


def _emptied(parts: list[np.ndarray]) -> np.ndarray:
    """The parts together, which are released."""
    return np.concatenate(_drained(parts))


def _drained(parts: list[Any]) -> list[Any]:
    """The parts, in a new list; the old one is empty."""
    found = parts[:]
    parts.clear()
    return found


def whole_events(hits: Iterator[EventHits], too_long: Callable[[int], None]) -> Iterator[EventHits]:
    """The same hits in pieces that end with an event; `too_long` is told the row of an event with too many hits."""
    kept: EventHits | None = None
    for piece in hits:
        found = kept.with_next(piece) if kept else piece
        last = int(np.flatnonzero(found.begins)[-1])
        if len(found.row) - last > PIECE:
            too_long(int(found.row[last]))
        if last:
            yield found.part(slice(0, last))
        # Of the piece alone, if it holds them all, so that earlier pieces can be released.
        before = len(found.row) - len(piece.row)
        kept = piece.part(slice(last - before, None)) if last >= before else found.part(slice(last, None))
    if kept:
        yield kept


class OrderOfEvents:
    """Whether the rows of each event are in sequence, from the events at which a new one begins."""

    def __init__(self) -> None:
        self.hits = self.events = 0
        self._kept: list[pa.Array] | None = []
        self._last: dict[str, pa.Array] = {}
        self._increasing = {"number": True, "text": True}

    def add(self, starts: pa.Array, row: np.ndarray) -> None:
        """Add the events that begin in a piece of the file, and the row of each of its hits."""
        self.hits += len(row)
        self.events += len(starts)
        if not len(starts):
            return
        for kind, values in (("number", _as_numbers(starts)), ("text", starts)):
            self._increasing[kind] = self._increasing[kind] and self._continues(kind, values)
        if self._kept is not None:
            self._kept.append(starts)
            if self.events > MOST_EVENTS:
                self._kept = None

    def _continues(self, kind: str, values: pa.Array | None) -> bool:
        if values is None:
            return False
        before, self._last[kind] = self._last.get(kind, values[:0]), values[-1:]
        every: Sequence[pa.Array] = [before, values]
        whole = pa.concat_arrays(every)
        return bool(pc.all(pc.less(whole[:-1], whole[1:]), min_count=0).as_py())

    def apart(self) -> int | None:
        """The number of events whose rows are not in sequence; None if there are too many to tell."""
        if any(self._increasing.values()):
            return 0
        if self._kept is None:
            return None
        counts = pc.value_counts(pa.chunked_array(self._kept))
        return int(pc.sum(pc.greater(counts.field("counts"), 1), min_count=0).as_py())

    def distinct(self) -> int:
        """The number of different events; 0 if there are too many to tell."""
        if any(self._increasing.values()):
            return self.events
        return len(pc.unique(pa.chunked_array(self._kept))) if self._kept else 0


class EveryEvent:
    """Counts the events of all rows of a file, selected or not."""

    def __init__(self) -> None:
        self._order, self._known = OrderOfEvents(), True
        self._last: pa.Scalar | None = None

    def add(self, events: pa.Array | None) -> None:
        """Add the event of each row of a piece; None if one of them is not known."""
        if events is None:
            self._known = False
        elif len(events):
            begins = _begins(events, self._last)
            self._order.add(events.filter(pa.array(begins)), begins)
            self._last = events[-1]

    def distinct(self) -> int:
        """The number of events; 0 if it is not known."""
        return self._order.distinct() if self._known else 0


def _as_numbers(events: pa.Array) -> pa.Array | None:
    """Events as whole numbers, if they are."""
    if pa.types.is_integer(events.type):
        return events
    try:
        return events.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
