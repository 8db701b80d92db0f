"""Rows of lists of hits: one hit per row, or one event per row with lists of its hits (jagged branches)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ConfigError, HitsError, one_line

OTHER_LAYER, NO_HIT = -1, -2
"""In place of the index of a layer: a layer that is not listed, and an event without hits, which has one such row."""

BETWEEN = "\x1f"
"""Separates the numbers of an event by several columns; the unit separator of ASCII, which no name contains."""

WHOLE = 2.0**53
"""Up to this magnitude, floating-point numbers hold every whole number."""

PIECE = 65_536
"""Maximum number of hits that are handled at once."""

LazyNumbers = Callable[[], list[np.ndarray]]
"""Columns of numbers (hit,), made when they are first needed."""


class LongColumns(NamedTuple):
    """Columns of a list of hits: those that number the events (none: each row is one), layer, and numbers.

    The first numbers are `positions`, as many as there are views.
    """

    event: tuple[str, ...]
    layer: str
    numbers: tuple[str, ...]
    positions: int

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.event, self.layer, *self.numbers]


class FileHits(NamedTuple):
    """Consecutive hits of a file: row in the file (from 0), event, index of the layer, and numbers."""

    row: np.ndarray
    event: pa.Array
    layer: np.ndarray
    numbers: LazyNumbers


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


def read_rows(file: str, tree: str, reader: ModuleType, columns: LongColumns, layers: LayerNames) -> Iterator[FileHits]:
    """All hits of a file in order, in pieces.

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
        numbers = _once(file, reader, columns.numbers, flat[1:], first)
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
        column = pc.ascii_trim_whitespace(column)
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


def _together(parts: Sequence[pa.Array]) -> pa.Array:
    """Events by several columns, such as run and number, as one text each; by a single one as they are."""
    if len(parts) == 1:
        return parts[0]
    return pc.binary_join_element_wise(*(each.cast(pa.string()) for each in parts), BETWEEN)


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
    names: Sequence[str],
    columns: Sequence[pa.Array],
    first: int,
) -> LazyNumbers:
    """Columns as numbers, made once; refused by their type at once."""
    text = getattr(reader, "text_to_numbers", None)
    for name, column in zip(names, columns, strict=True):
        kind = column.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or (text and _is_text(kind))):
            raise HitsError(f"{file}: column {name!r} holds {one_line(str(kind))}, not numbers")
    kept: list[list[np.ndarray]] = []

    def numbers() -> list[np.ndarray]:
        if not kept:
            kept.append([_floats(each, text, file, name, first) for name, each in zip(names, columns, strict=True)])
        return kept[0]

    return numbers


def _floats(
    column: pa.Array, text: Callable[[pa.Array, str, str, int], np.ndarray] | None, file: str, name: str, first: int
) -> np.ndarray:
    if text and _is_text(column.type):
        return text(column, file, name, first)
    found: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found
