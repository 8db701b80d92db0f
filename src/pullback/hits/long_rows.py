"""Rows of lists of hits: one hit per row, or one event per row with lists of its hits (jagged branches)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ConfigError, HitsError, one_line
from .arrow_kinds import cells_to_kind, from_arrow
from .columns import WrongKindError
from .native import AS_NUMBER, AS_TEXT

OTHER_LAYER, NO_HIT = -1, -2
"""In place of the index of a layer: a layer that is not listed, and an event without hits, which has one such row."""

BETWEEN = "\x1f"
"""Separates the numbers of an event by several columns; the unit separator of ASCII, which no name contains."""

WHOLE = 2.0**53
"""Up to this magnitude, floating-point numbers hold every whole number."""

FRACTION, WHOLE_WITH_POINT = r"^[+-]?\d*\.\d*[1-9]\d*$", r"^([+-]?\d+)\.0*$"
"""Text that is a number with a fraction, and a whole number with a point."""

PIECE = 65_536
"""Maximum number of hits that are handled at once."""

LazyNumbers = Callable[[], list[np.ndarray]]
"""Columns of numbers, and kept columns (hit,), made when they are first needed."""

Holds = Callable[[Mapping[str, np.ndarray], int], np.ndarray]
"""Whether the condition on hits holds, from its columns and the number of hits."""


class LongColumns(NamedTuple):
    """Columns of a list of hits: those that number the events (none: each row is one), layer, and numbers.

    The first numbers are `positions`, as many as there are views. Columns that are `kept`, and those that are `needed`
    by the condition on hits, are given with their types.
    """

    event: tuple[str, ...]
    layer: str
    numbers: tuple[str, ...]
    positions: int
    kept: tuple[tuple[str, str], ...] = ()
    needed: tuple[tuple[str, str], ...] = ()

    @property
    def typed(self) -> list[tuple[str, str]]:
        """Names and types of numbers, and of kept columns."""
        return [*((name, AS_NUMBER) for name in self.numbers), *self.kept]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.event, self.layer, *(name for name, _ in [*self.typed, *self.needed])]


class FileHits(NamedTuple):
    """Consecutive hits of a file: row in the file (from 0), event, index of the layer, and numbers."""

    row: np.ndarray
    event: pa.Array
    layer: np.ndarray
    numbers: LazyNumbers


@dataclass
class WholeFile:
    """What planning learns of all rows of a file, selected or not.

    Attributes
    ----------
    events : callable
        Is told the event of each row of a piece, or None if one of them has none.
    layers : dict of (int or str) to str
        Layers with a hit, by `layer_key`.
    others : dict of (int or str) to str
        Layers of the selected hits that are not listed.
    """

    events: Callable[[pa.Array | None], None]
    layers: dict[int | str, str] = field(default_factory=dict)
    others: dict[int | str, str] = field(default_factory=dict)


@dataclass
class RowTally:
    """Numbers of rows that were read, of those of which no hit is selected, and of other hits not selected in lists."""

    whole: WholeFile | None = None
    rows: int = 0
    unselected: int = 0
    unselected_hits: int = 0

    def add(self, rows: int, row: np.ndarray, phantom: np.ndarray | None, selected: np.ndarray) -> None:
        """Add rows, with the row of each of their hits, as `_one_row_per_hit` gives it, and whether it is selected."""
        self.rows += rows
        self.unselected += rows - len(np.unique(row[selected]))
        if phantom is not None:
            self.unselected_hits += int((~selected & ~phantom).sum())

    @property
    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {"rows": self.rows, "unselected": self.unselected, "unselected_hits": self.unselected_hits}


@dataclass(frozen=True)
class LayerNames:
    """The layers of a file in the order of those of the model, by number or by name.

    Rows of other layers are left out if `listed` by the user, and refused otherwise.
    """

    names: tuple[str, ...]
    listed: bool

    def indices(self, file: str, column: str, values: pa.Array, row: np.ndarray) -> np.ndarray:
        """The index of the layer of each row, or `OTHER_LAYER`."""
        encoded = pc.dictionary_encode(values)
        known = {layer_key(name): index for index, name in enumerate(self.names)}
        found = [known.get(layer_key(each), OTHER_LAYER) for each in encoded.dictionary.to_pylist()]
        blank = [isinstance(each, str) and not each.strip() for each in encoded.dictionary.to_pylist()]
        place = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
        layers = np.array([*found, OTHER_LAYER])[place]
        empty = np.array([*blank, True])[place]
        if empty.any():
            raise HitsError(f"{file}: row {row[empty.argmax()] + 1}, column {column!r}: is empty: which layer is it?")
        if not self.listed and (layers == OTHER_LAYER).any():
            bad = int((layers == OTHER_LAYER).argmax())
            raise HitsError(
                f"{file}: row {row[bad] + 1}, column {column!r}: '{one_line(str(values[bad].as_py()))}' is no layer "
                f"of the model, which has {', '.join(self.names)}; list the file's layers in source.layers, in the "
                f"order of the model's: rows of others are then left out"
            )
        return layers


def layer_key(name: Any) -> int | str:
    """What two names of the same layer have in common: 3, 3.0, "3" and " 03" are the same.

    >>> layer_key(" 03"), layer_key(3.0), layer_key("top ")
    (3, 3, 'top')
    """
    text = str(name).strip()
    return int(text.partition(".")[0]) if re.fullmatch(r"[+-]?\d{1,40}(\.0*)?", text) else text


def in_order(layers: Mapping[int | str, str]) -> tuple[str, ...]:
    """Names of layers by `layer_key`, numbers first."""
    return tuple(layers[key] for key in sorted(layers, key=lambda key: (isinstance(key, str), key)))


def read_rows(
    file: str,
    tree: str,
    reader: ModuleType,
    columns: LongColumns,
    layers: LayerNames,
    holds: Holds,
    tally: RowTally,
) -> Iterator[FileHits]:
    """The selected hits of a file in order, in pieces; rows that were read are added to the tally.

    Raises
    ------
    HitsError
        An event or a layer is empty or of another kind, a layer is unknown, or lists of an event differ in length. A
        cell that is no number is refused when numbers are needed.

    """
    first = 0
    names = columns.names
    for found in reader.tables(file, names, tree):
        table = [_plain(each) for each in found]
        _check_lists(file, columns, [each.type for each in table])
        row, phantom, flat = _one_row_per_hit(file, names, table, first)
        numbers = _once(file, reader, columns.typed, flat[len(columns.event) + 1 :], first)
        if tally.whole:
            tally.whole.layers |= _named_layers(flat[len(columns.event)])
            if columns.needed and columns.event:
                tally.whole.events(_any_events(file, columns.event, flat, row))
        if columns.needed:
            needed = _once(file, reader, columns.needed, flat[len(flat) - len(columns.needed) :], first)
            selected = holds(dict(zip(dict(columns.needed), needed(), strict=True)), len(row))
            tally.add(len(table[0]), row, phantom, selected)
            numbers, row = cut_out(numbers, selected), row[selected]
            phantom = phantom if phantom is None else phantom[selected]
            flat = [each.filter(pa.array(selected)) for each in flat[: len(columns.event) + 1]]
        else:
            tally.rows += len(table[0])
        if columns.event:
            parts = [_events(file, name, each, row) for name, each in zip(columns.event, flat, strict=False)]
            event, flat = _together(parts), flat[len(parts) :]
        elif phantom is None:
            raise ConfigError("config: source.event: is missing; it names the column with the event of each hit")
        else:
            event = pa.array(row)
        layer = np.full(len(row), NO_HIT)
        real = slice(None) if phantom is None or not phantom.any() else ~phantom
        hits = flat[0] if isinstance(real, slice) else flat[0].filter(pa.array(real))
        layer[real] = layers.indices(file, columns.layer, _name_like(file, columns.layer, hits), row[real])
        if tally.whole and (layer == OTHER_LAYER).any():
            tally.whole.others |= _named_layers(hits.filter(pa.array(layer[real] == OTHER_LAYER)))
        yield from _pieces(FileHits(row, event, layer, numbers))
        first += len(table[0])


def one_after_other(one: LazyNumbers, other: LazyNumbers) -> LazyNumbers:
    """The numbers of two pieces, one after the other."""
    return lambda: [np.concatenate(both) for both in zip(one(), other(), strict=True)]


def cut_out(numbers: LazyNumbers, where: slice | np.ndarray) -> LazyNumbers:
    """The numbers of some hits of a piece."""
    return lambda: [each[where] for each in numbers()]


def _pieces(hits: FileHits) -> Iterator[FileHits]:
    for start in range(0, len(hits.row), PIECE):
        piece = slice(start, start + PIECE)
        yield FileHits(hits.row[piece], hits.event[piece], hits.layer[piece], cut_out(hits.numbers, piece))


def _plain(column: pa.Array) -> pa.Array:
    """A column without dictionaries, and with lists of a fixed size as any lists."""
    if pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.list_(column.type.value_type))
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_lists(file: str, columns: LongColumns, types: Sequence[pa.DataType]) -> None:
    """Refuse layers or positions that are no lists beside some that are."""
    lists = any(map(_is_list, types))
    for name, kind in [*zip(columns.names, types, strict=True)][len(columns.event) :][: 1 + columns.positions]:
        if _is_list(kind) != lists:
            raise HitsError(
                f"{file}: column {name!r} holds {one_line(str(kind))}, beside lists of the hits of an event; it must "
                f"hold such lists, too"
            )


def _one_row_per_hit(
    file: str, names: Sequence[str], columns: list[pa.Array], first: int
) -> tuple[np.ndarray, np.ndarray | None, list[pa.Array]]:
    """The row of each hit, whether it only stands for an event without hits (None: no lists), and flat columns."""
    sizes = {
        name: pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype("i8")
        for name, column in zip(names, columns, strict=True)
        if _is_list(column.type)
    }
    if not sizes:
        return np.arange(first, first + len(columns[0])), None, columns
    (name, lengths), *others = sizes.items()
    for other, each in others:
        if (each != lengths).any():
            bad = int((each != lengths).argmax())
            raise HitsError(
                f"{file}: row {first + bad + 1}: lists differ in length: {name!r} has {lengths[bad]} and {other!r} "
                f"{each[bad]}; they hold one value per hit"
            )
    parent = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 1))
    phantom = np.repeat(lengths == 0, np.maximum(lengths, 1))
    place = pa.array(np.cumsum(~phantom) - 1, mask=phantom)
    flat = [
        pc.list_flatten(each).take(place) if _is_list(each.type) else each.take(pa.array(parent)) for each in columns
    ]
    return first + parent, phantom, flat


def _events(file: str, name: str, column: pa.Array, row: np.ndarray) -> pa.Array:
    """Events as whole numbers, exactly, or as text without surrounding spaces."""
    if _is_text(column.type):
        column = _whole_text(file, name, pc.ascii_trim_whitespace(column), row)
        empty = pc.fill_null(pc.equal(pc.binary_length(column), 0), True)
    elif pa.types.is_integer(column.type):
        empty = pc.is_null(column)
    elif pa.types.is_floating(column.type):
        empty = pc.is_null(column, nan_is_null=True)
        column = _whole(file, name, column, row)
    else:
        raise HitsError(f"{file}: column {name!r} holds {one_line(str(column.type))}, not numbers or names of events")
    if pc.any(empty).as_py():
        bad = int(np.asarray(empty).argmax())
        raise HitsError(f"{file}: row {row[bad] + 1}, column {name!r}: is empty: to which event does the hit belong?")
    return column


def _any_events(file: str, names: Sequence[str], columns: Sequence[pa.Array], row: np.ndarray) -> pa.Array | None:
    """Events of rows that need not be selected; None if a row has none."""
    try:
        return _together([_events(file, name, each, row) for name, each in zip(names, columns, strict=False)])
    except HitsError:
        return None


def _named_layers(values: pa.Array) -> dict[int | str, str]:
    """The layers in a column by `layer_key`, without what is empty."""
    names = [str(each).strip() for each in values.unique().to_pylist() if each is not None and each == each]
    return {key: str(key) for key in map(layer_key, filter(None, names))}


def _together(parts: Sequence[pa.Array]) -> pa.Array:
    """Events by several columns, such as run and number, as one text each; by a single one as they are."""
    if len(parts) == 1:
        return parts[0]
    return pc.binary_join_element_wise(*(each.cast(pa.string()) for each in parts), BETWEEN)


def _whole_text(file: str, name: str, column: pa.Array, row: np.ndarray) -> pa.Array:
    """Events as text, in which 7.0 is 7, and 1.5 is refused."""
    characters = column.buffers()[2]
    if characters is None or b"." not in characters.to_pybytes():  # 100 times faster than pyarrow's search
        return column
    bad = pc.fill_null(pc.match_substring_regex(column, FRACTION), False).to_numpy(zero_copy_only=False)
    if bad.any():
        at = int(bad.argmax())
        raise HitsError(f"{file}: row {row[at] + 1}, column {name!r}: {column[at]} is not the number of an event")
    return pc.replace_substring_regex(column, WHOLE_WITH_POINT, r"\1")


def _whole(file: str, name: str, column: pa.Array, row: np.ndarray) -> pa.Array:
    """Floating-point numbers as whole numbers; 0 where they are not known."""
    values = column.to_numpy(zero_copy_only=False).astype("f8")
    with np.errstate(invalid="ignore"):
        bad = (values != np.floor(values)) | (np.abs(values) > WHOLE)
    bad &= ~np.isnan(values)
    if bad.any():
        at = int(bad.argmax())
        raise HitsError(f"{file}: row {row[at] + 1}, column {name!r}: {values[at]} is not the number of an event")
    return pa.array(np.where(np.isnan(values), 0.0, values).astype("i8"))


def _name_like(file: str, name: str, column: pa.Array) -> pa.Array:
    """A column that may hold layers: numbers or text."""
    kind = column.type
    if _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or not len(column):
        return column if not pa.types.is_floating(kind) else pc.if_else(pc.is_nan(column), None, column)
    raise HitsError(f"{file}: column {name!r} holds {one_line(str(kind))}, not numbers or names of layers")


def _once(
    file: str,
    reader: ModuleType,
    typed: Sequence[tuple[str, str]],
    columns: Sequence[pa.Array],
    first: int,
) -> LazyNumbers:
    """Columns in their types, made once; refused by their type at once."""
    text = getattr(reader, "text_to_numbers", None)
    wanted = [(name, kind, column) for (name, kind), column in zip(typed, columns, strict=False)]
    for name, kind, column in wanted:
        held, cells = column.type, bool(text) and _is_text(column.type)
        numbers = pa.types.is_floating(held) or pa.types.is_integer(held) or cells
        if (kind == AS_NUMBER and not numbers) or (kind == AS_TEXT and not _is_text(held)):
            what = "numbers" if kind == AS_NUMBER else "text"
            raise WrongKindError(f"{file}: column {name!r} holds {one_line(str(held))}, not {what}", name, kind)
    made: list[list[np.ndarray]] = []

    def values() -> list[np.ndarray]:
        if not made:
            made.append([_in_kind(column, text, file, name, kind, first) for name, kind, column in wanted])
        return made[0]

    return values


def _in_kind(
    column: pa.Array,
    text: Callable[[pa.Array, str, str, int], np.ndarray] | None,
    file: str,
    name: str,
    kind: str,
    first: int,
) -> np.ndarray:
    """A column in a type; `text` makes numbers of the cells of a CSV file."""
    cells = text is not None and _is_text(column.type)
    if kind != AS_NUMBER:
        return cells_to_kind(column, kind) if cells else from_arrow(column, kind)
    if text and cells:
        return text(column, file, name, first)
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
