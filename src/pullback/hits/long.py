"""Recorded hits as a list with one hit per row, in which each event is a muon.

Hits may be selected by a condition. Events are muons in the order in which they appear first. A layer without a hit is
NaN. Of an event with several hits in a layer, `several` decides: it is refused, or dropped with all its hits, or the
hit nearest to the line through the other layers is taken (`nearest`). Whatever is left out is counted in
`ImportCounts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import HitsError, one_line
from .columns import Chunks
from .counts import ImportCounts, first_few
from .error_columns import ErrorColumn
from .event_order import (
    MOST_EVENTS,
    MOST_ROWS,
    EventHits,
    EveryEvent,
    OrderOfEvents,
    brought_together,
    streamed,
    whole_events,
)
from .guards import file_errors
from .hits_file import HIGHEST, ROUNDING, HitsFile
from .long_rows import (
    BETWEEN,
    NO_HIT,
    OTHER_LAYER,
    PIECE,
    FileHits,
    LayerNames,
    LongColumns,
    RowTally,
    WholeFile,
    in_order,
    layer_key,
    read_rows,
)
from .nearest import Choice, Layers, choose_nearest
from .reading import Planned, Reading
from .scaling import PER_METRE, Scaling
from .selected_columns import errors_of_condition
from .separating import columns_to_separate

HIT_VIEWS = ("x", "y")
"""The views of hits."""

ROLE_SIGMA, ROLE_COVARIANCE, ROLE_HEIGHT, ROLE_MOMENTUM = "sigma ", "covariance x y", "z", "momentum"
"""Roles of columns: uncertainty in a view, whose name follows; covariance of both, height, and momentum of the muon."""

NO_COORDINATE = "the model has no coordinate of view {} in this layer; leave the cell empty"
"""Message about a position that would be lost."""

UNUSED = -1
"""In place of the cell of a hit that is not used."""

NO_CHOICE = Choice(np.zeros(0, dtype=bool), 0, 0)
"""No cell has several hits."""


class AssignedHits(NamedTuple):
    """Whole events of a piece of the file: their counts, and the hits that are used."""

    counts: ImportCounts
    hits: EventHits
    cell: np.ndarray
    """Index of the cell of each hit, muon × layers + layer; −1 for a hit that is not used."""
    firsts: np.ndarray
    """The first hit of each muon."""


@dataclass(frozen=True, kw_only=True)
class LongFile(HitsFile):
    """A list of hits; made by `long_source_of`. `coordinates`, `sigma` and `momentum` name what is made of its columns.

    Attributes
    ----------
    table : LongColumns
        The columns of the file.
    roles : tuple of str
        What each column of numbers holds: the view `x` or `y`, its uncertainties `sigma x` or `sigma y`, or another of
        the roles.
    names : LayerNames
        The layers of the file, in the order of the model's.
    several : {"refuse", "drop", "nearest"}
        What becomes of several hits in a layer.
    geometry : Layers, optional
        Heights and lines of the layers, for `nearest`.
    planned : ImportCounts, optional
        The counts when the study was planned.
    view_scaling : mapping of str to Scaling
        How positions with a scale or an offset become lengths, by view.
    view_sigma : mapping of str to ErrorColumn
        How uncertainties become variances, by view.

    """

    table: LongColumns
    roles: tuple[str, ...]
    names: LayerNames
    several: str
    geometry: Layers | None = None
    planned: ImportCounts | None = None
    view_scaling: Mapping[str, Scaling] = field(default_factory=dict)
    view_sigma: Mapping[str, ErrorColumn] = field(default_factory=dict)

    def plan(self) -> Planned:
        """As of all files; a kept column that differs from hit to hit is refused if it does so in the first muons."""
        planned = super().plan()
        if self.keep:
            with file_errors(self.file):
                next(replace(self, reading=planned.reading, planned=planned.counts)._chunks(0, 1), None)
        return planned

    def _counted(self) -> tuple[ImportCounts, Reading]:
        every = EveryEvent()
        whole = WholeFile(every.add)
        with file_errors(self.file):
            counts = self._counts(RowTally(whole))
            self._check_layers(whole)
        lost = max(every.distinct() - counts.events, 0)
        reading = Reading(others=in_order(whole.others), separating=self._separating() if counts.crowded else "")
        return replace(counts, unselected_events=lost), reading

    def _separating(self) -> str:
        """The first of a few columns of whole numbers that would separate crowded events; empty without one.

        Events so separated are not crowded, and most have a hit in at least half of the layers: a column that numbers
        hits or layers would leave one hit to each.
        """
        for name in columns_to_separate(self.file, self.tree, self.table):
            event = (*self.table.event, name)
            apart = replace(self, table=self.table._replace(event=event), several="drop", keep=())
            with suppress(HitsError):  # not a column of events
                counts = apart._counts(RowTally())
                hits = counts.hits - counts.other_layers
                if not counts.crowded and 2 * hits >= len(self.names.names) * counts.events:
                    return name
        return ""

    def _counts(self, tally: RowTally) -> ImportCounts:
        order = OrderOfEvents()
        counts = self._sum(streamed(self._rows(tally), order.add))
        self._refuse_empty(tally.rows)
        self._refuse_unselected(tally.rows, order.hits)
        apart = order.apart()
        if apart is None or (apart and order.hits > MOST_ROWS):
            self._refuse_order(order.hits, apart)
        if apart:
            counts = self._sum(brought_together(self._rows(), with_numbers=self.several == "nearest"))
        counts = replace(counts, **tally.counts, events_apart=apart or 0)
        self._check(counts)
        return counts

    def _chunks(self, start: int, stop: int) -> Chunks:
        counts = self.planned or self._counts(RowTally())
        at = 0
        rows = self._rows(kept=True)
        for found in self._found(brought_together(rows) if counts.events_apart else streamed(rows)):
            first, at = at, at + len(found.firsts)
            if at > start:  # numbers of muons before are not even made
                muons = slice(max(start - first, 0), min(stop, at) - first)
                yield [column[muons] for column in self._in_columns(found)]
            if at >= stop:
                return

    def _rows(self, tally: RowTally | None = None, kept: bool = False) -> Iterator[FileHits]:
        """The selected hits, with the kept columns only where they are wanted."""
        needed = tuple(zip(*self._of_condition, strict=True))
        typed = tuple((name, self.reading.kept[name]) for name in self.keep if kept)
        table = self.table._replace(needed=needed, kept=typed)
        with errors_of_condition([*{name for name, _ in needed} - {*self.table.numbers}], [*self.lengths]):
            yield from read_rows(
                self.file, self.tree, self._reader, table, self.names, self._holds, tally or RowTally()
            )

    def _sum(self, hits: Iterator[EventHits]) -> ImportCounts:
        return sum((found.counts for found in self._found(hits)), ImportCounts())

    def _found(self, hits: Iterator[EventHits]) -> Iterator[AssignedHits]:
        for piece in whole_events(hits, self._refuse_length):
            yield self._assigned(piece)

    def _assigned(self, hits: EventHits) -> AssignedHits:
        """The cell of each hit, after the decision on several hits in a layer."""
        layers, inside = len(self.names.names), hits.layer >= 0
        event, firsts = np.cumsum(hits.begins) - 1, np.flatnonzero(hits.begins)
        cell = event * layers + hits.layer
        per_cell = np.bincount(cell[inside], minlength=len(firsts) * layers).reshape(-1, layers)
        several, kept = per_cell > 1, firsts >= 0
        used, choice = inside, NO_CHOICE
        if several.any():
            if self.several == "refuse":
                self._refuse_several(hits, cell, several)
            if self.several == "drop":
                kept = np.logical_not(several.any(axis=1))
                used = inside & kept[event]
            else:
                choice = self._nearest(hits, cell, several)
                used = choice.taken
        counts = ImportCounts(
            hits=int((hits.layer != NO_HIT).sum()),
            other_layers=int((hits.layer == OTHER_LAYER).sum()),
            events=len(firsts),
            several_events=int(several.any(axis=1).sum()),
            crowded_events=int(_crowded(per_cell).sum()),
            dropped_events=int((~kept).sum()),
            dropped_hits=int((inside & ~kept[event]).sum()),
            nearest_chosen=choice.chosen,
            nearest_undecided=choice.undecided,
            nearest_left=int((inside & kept[event] & ~used).sum()),
            used_hits=int(used.sum()),
            empty_events=int((~per_cell.any(axis=1)).sum()),
            muons=int(kept.sum()),
        )
        muon = np.cumsum(kept) - 1
        return AssignedHits(counts, hits, np.where(used, muon[event] * layers + hits.layer, UNUSED), firsts[kept])

    def _nearest(self, hits: EventHits, cell: np.ndarray, several: np.ndarray) -> Choice:
        """The choice between several hits, in all of these hits."""
        assert self.geometry  # otherwise refused
        inside, numbers = hits.layer >= 0, self._numbers(hits)
        self._check_heights(hits, inside, numbers)
        views = [self._metres(view, numbers[view])[inside] for view in HIT_VIEWS if view in numbers]
        z = self._metres(ROLE_HEIGHT, numbers[ROLE_HEIGHT])[inside] if self.z else None
        choice = choose_nearest(cell[inside], several, views, self.geometry, z)
        taken = np.zeros(len(inside), dtype=bool)
        taken[inside] = choice.taken
        return choice._replace(taken=taken)

    def _numbers(self, hits: EventHits) -> dict[str, np.ndarray]:
        return dict(zip(self.roles, hits.numbers(), strict=False))  # followed by kept columns

    def _metres(self, role: str, numbers: np.ndarray) -> np.ndarray:
        """Positions or heights as lengths."""
        with np.errstate(all="ignore"):
            return self.view_scaling.get(role, Scaling(PER_METRE[self.unit])).metres(numbers)

    def _in_columns(self, found: AssignedHits) -> list[np.ndarray]:
        """The columns of the muons, in the order of `_columns`, kept columns, and the row of the first hit."""
        numbers, layers = self._numbers(found.hits), len(self.names.names)
        self._check_numbers(found, numbers)
        used = found.cell >= 0
        columns = {name: numbers[name][found.firsts] for name in self._momentum}
        for role in (role for role in self.roles if role != ROLE_MOMENTUM):
            values = np.full(len(found.firsts) * layers, np.nan)
            values[found.cell[used]] = numbers[role][used]
            columns |= {in_layer(role, layer): values[layer::layers] for layer in range(layers)}
        kept = [values[found.firsts] for values in self._kept(found.hits)]
        return [*(columns[name] for name in self._columns), *kept, found.hits.row[found.firsts]]

    def _kept(self, hits: EventHits) -> list[np.ndarray]:
        """The kept columns, after a check that each is the same for all hits of an event."""
        kept = hits.numbers()[len(self.roles) :]
        for name, values in zip(self.keep, kept, strict=True):
            if (other := ~_as_first(hits, values)).any():
                at = int(other.argmax())
                cell = values[at].decode(errors="replace") if values.dtype.kind == "S" else f"{values[at]}"
                raise HitsError(
                    f"{self.file}: row {hits.row[at] + 1}, column {name!r}: differs from the first hit of its event: "
                    f"{one_line(cell)}; in the long layout source.keep takes columns with one value per event"
                )
        return kept

    def _check_numbers(self, found: AssignedHits, numbers: Mapping[str, np.ndarray]) -> None:
        """Refuse what is no uncertainty, height or momentum, and positions that the model has no coordinate for."""
        hits, used = found.hits, found.cell >= 0
        self._check_heights(hits, used, numbers)
        for view in HIT_VIEWS:
            if view not in numbers:
                continue
            there = used & np.isfinite(numbers[view])
            measured = np.array([in_layer(view, i) in self.coordinates for i in range(len(self.names.names))])
            self._refuse_hit(hits, there & ~measured[hits.layer], view, numbers, NO_COORDINATE.format(view))
            if view in self.view_sigma:
                sigma, role = self.view_sigma[view], ROLE_SIGMA + view
                self._refuse_hit(hits, there & ~sigma.variances(numbers[role])[1], role, numbers, sigma.refusal)
        self._check_covariances(hits, used, numbers)
        for role in self._momentum:
            momentum = numbers[role]
            bad = (momentum <= 0) | (momentum == np.inf)
            self._refuse_hit(hits, bad, role, numbers, "is not a momentum")
            self._refuse_hit(
                hits, ~_as_first(hits, momentum), role, numbers, "is not the momentum of the first hit of its event"
            )

    def _check_heights(self, hits: EventHits, used: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
        """Refuse heights of hits that are none."""
        if self.z:
            there = np.any([np.isfinite(numbers[view]) for view in HIT_VIEWS if view in numbers], axis=0)
            usable = np.abs(self._metres(ROLE_HEIGHT, numbers[ROLE_HEIGHT])) <= HIGHEST
            self._refuse_hit(hits, used & there & ~usable, ROLE_HEIGHT, numbers, "is not a height")

    def _check_covariances(self, hits: EventHits, used: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
        """Refuse covariances of both views that are none, or beyond a correlation of ±1."""
        if ROLE_COVARIANCE not in numbers:
            return
        both = used & np.isfinite(numbers["x"]) & np.isfinite(numbers["y"])
        covariance = numbers[ROLE_COVARIANCE] / PER_METRE[self.unit] ** 2
        self._refuse_hit(hits, both & ~np.isfinite(covariance), ROLE_COVARIANCE, numbers, "is not a covariance")
        with np.errstate(all="ignore"):
            x, y = (np.sqrt(self.view_sigma[view].variances(numbers[ROLE_SIGMA + view])[0]) for view in HIT_VIEWS)
            beyond = np.abs(covariance / (x * y)) > 1 + ROUNDING
        what = "is not the covariance of a hit with these uncertainties: the correlation is beyond ±1"
        self._refuse_hit(hits, both & beyond, ROLE_COVARIANCE, numbers, what)

    def _refuse_hit(
        self, hits: EventHits, bad: np.ndarray, role: str, numbers: Mapping[str, np.ndarray], what: str
    ) -> None:
        if bad.any():
            at = int(bad.argmax())
            value, column = numbers[role][at], self.table.numbers[self.roles.index(role)]
            cell = "it is empty or not a number" if np.isnan(value) else f"{value:g}"
            raise HitsError(f"{self.file}: row {hits.row[at] + 1}, column {column!r}: {what}: {cell}")

    def _refuse_several(self, hits: EventHits, cell: np.ndarray, several: np.ndarray) -> None:
        """Refuse the first hit that is not the first in its cell."""
        again = np.flatnonzero((hits.layer >= 0) & several.ravel()[cell])
        _, places = np.unique(cell[again], return_index=True)
        second = int(np.delete(again, places)[0])
        first = int(again[(cell[again] == cell[second]).argmax()])
        row, layer = int(hits.row[second]), self.names.names[hits.layer[second]]
        apart = f", the first in row {hits.row[first] + 1}" if hits.row[first] != row else ""
        raise HitsError(
            f"{self.file}: row {row + 1}: {self._event_of(row)} has several hits in layer {layer}{apart}; set "
            f"source.several to drop such events, or to nearest for the hit nearest to the line through other layers; "
            "or, if another column such as run numbers the events too, list both in source.event"
        )

    def _refuse_length(self, row: int) -> None:
        raise HitsError(
            f"{self.file}: row {row + 1}: {self._event_of(row)} has more than {PIECE} hits; does "
            f"{' and '.join(self.table.event)} number the events?"
        )

    def _refuse_order(self, hits: int, apart: int | None) -> None:
        columns, limit = " and ".join(self.table.event), MOST_ROWS
        problem = f"the rows of {apart} events are apart, and {hits} hits are more than the {limit} that are"
        if apart is None:
            problem = f"events are in no order, so that more than {MOST_EVENTS} can't be"
        raise HitsError(f"{self.file}: {problem} sorted in memory: sort the file by {columns}{_how_to_sort(self)}")

    def _event_of(self, row: int) -> str:
        """The event of a row of the file, in words; the file is read again."""
        for piece in self._rows():
            if piece.row[-1] >= row:
                event = piece.event[int(np.searchsorted(piece.row, row))].as_py()
                named = one_line(str(event).replace(BETWEEN, ", "))
                return f"event {named}" if self.table.event else "its event"
        return "an event"

    def _check_layers(self, whole: WholeFile) -> None:
        """Refuse a listed layer without a hit where the file has others that are not listed: one may be misspelt.

        Without others it is a layer that was off.
        """
        listed = self.names.names if self.names.listed else ()
        others = {*whole.layers} - {*map(layer_key, listed)}
        for name in listed if others else ():
            if layer_key(name) not in whole.layers:
                raise HitsError(
                    f"{self.file}: has no hit in layer {one_line(name)}, which source.layers lists; column "
                    f"{self.table.layer!r} has {first_few(in_order(whole.layers))}"
                )

    def _check(self, counts: ImportCounts) -> None:
        """Refuse a file that leaves no hits or no muons."""
        if counts.rows and not counts.muons:
            raise HitsError(
                f"{self.file}: no muon is left: all {counts.events} events have several hits in a layer; does "
                "source.event need a second column, such as that of the run?"
            )
        if counts.rows and not counts.used_hits:
            raise HitsError(f"{self.file}: has no hit in any layer of the model: {', '.join(self.names.names)}")


def _crowded(hits: np.ndarray) -> np.ndarray:
    """Whether events have several hits in at least two and in most of their layers, from hits by event and layer."""
    several = (hits > 1).sum(axis=1)
    crowded: np.ndarray = (several > 1) & (2 * several > (hits > 0).sum(axis=1))
    return crowded


def in_layer(role: str, layer: int) -> str:
    """The name of what a column holds of the hit in a layer."""
    return f"{role}@{layer}"


def _as_first(hits: EventHits, values: np.ndarray) -> np.ndarray:
    """Whether each value is that of the first hit of its event, or both are NaN."""
    first = values[np.flatnonzero(hits.begins)][np.cumsum(hits.begins) - 1]
    same: np.ndarray = (values == first) | ((values != values) & (first != first))
    return same


def _how_to_sort(file: LongFile) -> str:
    """The command that sorts a file by its events."""
    name, columns = file.file, file.table.event
    if name.endswith((".parquet", ".pq")):
        names = ", ".join(f'\\"{column}\\"' for column in columns)
        return f""", such as by duckdb -c "COPY (FROM '{name}' ORDER BY {names}) TO 'sorted.parquet'\""""
    if name.endswith(".csv"):
        with Path(name).open(encoding="utf-8-sig", errors="replace") as stream:
            header = [each.strip().strip('"') for each in stream.readline().split(",")]
        places = [header.index(column) + 1 for column in columns if column in header]
        keys = " ".join(f"-k{place},{place}" for place in places)
        return f", such as by (head -n 1 {name}; tail -n +2 {name} | sort -s -t, {keys}) > sorted.csv"
    return ", with a tool for such files"
