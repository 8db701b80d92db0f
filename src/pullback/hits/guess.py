"""Which columns of a table may be the positions of hits: by their names, and by what the first rows hold.

A wide table has one row per muon, and columns of one name with the number of the layer, such as x0, X0, x_dut_0 or
plane0_x, or lists with one value per layer. A long table has one row per hit, with a column for the layer.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from .column_words import (
    ERROR,
    ERROR_WORDS,
    EVENT_WORDS,
    LAYER_WORDS,
    LOCAL,
    LOWER_WORDS,
    NUMBERING,
    OF_HITS,
    OTHER_WORDS,
    POSITION,
    RUN_WORDS,
    UPPER_WORDS,
    VARIANCES,
    is_called,
    name_words,
)
from .contents import FileColumn, FileTable, flattened, is_known

MOST_NAMES, ROWS_PER_NAME = 32, 20
"""Values that a column has at most, and rows for each at least, to be guessed to hold the layers of hits."""

CONSTANT = 1e-6
"""Spread of heights below which a layer is level, relative to the distance of the layers."""


@dataclass(frozen=True)
class Guess:
    """Columns that may be hits.

    Attributes
    ----------
    table : FileTable
        The table that holds them.
    x, y : tuple of str
        The column of each layer, or the one of all hits of a long table; y may be empty.
    sigma_x, sigma_y : tuple of str
        The columns of their uncertainties, as x and y; may be empty.
    covariance : mapping of str to str
        The columns of variances and of the covariance of a long table, by two views, such as `x,x`.
    z : tuple of str
        The columns of the heights, as x; may be empty.
    heights : tuple of float
        The height of each layer in the unit of the file; empty where it is not known.
    level : bool
        Whether each layer has one height in the first rows.
    layer : str
        The column of the layer; empty for a wide table.
    event : tuple of str
        The columns that number the events together; none for jagged lists.
    layers : tuple
        The layers in the first rows, in order of their heights or numbers, of a long table.
    upper : int
        Number of layers of the upper tracker, which come first, if the names of the columns tell of two; otherwise 0.
    others : tuple of str
        Further columns that may be hits, or the layers of a long table, by their names.
    by_values : bool
        Whether the column of the layer is guessed from its few values, and not from its name.
    """

    table: FileTable
    x: tuple[str, ...]
    y: tuple[str, ...] = ()
    sigma_x: tuple[str, ...] = ()
    sigma_y: tuple[str, ...] = ()
    covariance: Mapping[str, str] = field(default_factory=dict)
    z: tuple[str, ...] = ()
    heights: tuple[float, ...] = ()
    level: bool = True
    layer: str = ""
    event: tuple[str, ...] = ()
    layers: tuple[Any, ...] = ()
    upper: int = 0
    others: tuple[str, ...] = ()
    by_values: bool = False

    @property
    def count(self) -> int:
        """Number of layers."""
        return len(self.layers) if self.layer else len(self.x)


def guess(table: FileTable) -> Guess | None:
    """The columns of a table that may be hits; None if no names look like it."""
    return _long(table) or _wide(table) or _by_values(table) or _one(table)


def wide_guess(table: FileTable, x: Sequence[str], y: Sequence[str] = (), z: Sequence[str] = ()) -> Guess:
    """A table with one row per muon, with these columns by layer."""
    heights = [_finite(column_values(table, name)) for name in z]
    level = all(len({*values}) == 1 for values in heights)
    found = tuple(median(values) for values in heights) if all(heights) else ()
    event = _called(table, EVENT_WORDS)
    number = (event.name,) if event and not event.shape and not event.jagged else ()
    return Guess(table, tuple(x), tuple(y), z=tuple(z), heights=found, level=level, event=number)


def long_guess(table: FileTable, layer: str, x: str, y: str = "", z: str = "", event: Sequence[str] = ()) -> Guess:
    """A table with one row per hit, with these columns."""
    of_layer = list(flattened(table.column(layer).values))
    layers: dict[Any, list[float]] = {each: [] for each in of_layer if is_known(each)}
    for each, height in zip(of_layer, flattened(table.column(z).values) if z else (), strict=False):
        if each in layers:
            layers[each] += _finite([height])
    whole = bool(z) and all(layers.values())
    order = sorted(layers, key=lambda each: median(layers[each]) if whole else each)
    heights = tuple(median(layers[each]) for each in order) if whole else ()
    spread = max((max(values) - min(values) for values in layers.values() if values), default=0.0)
    level = spread <= CONSTANT * (max(heights) - min(heights)) if heights else True
    return Guess(
        table, (x,), (y,) if y else (), z=(z,) if z else (), heights=heights, level=level, layer=layer,
        event=tuple(event),
        layers=tuple(int(each) if isinstance(each, float) and each.is_integer() else each for each in order),
    )  # fmt: skip


def _finite(values: Iterable[Any]) -> list[float]:
    return [value for value in values if isinstance(value, int | float) and math.isfinite(value)]


def column_values(table: FileTable, name: str) -> list[Any]:
    """The values of a column, or of one element of its lists, `x[2]`."""
    base = base_name(table, name)
    values = table.column(base).values
    return list(values) if base == name else [row[int(name[len(base) + 1 : -1])] for row in values]


def base_name(table: FileTable, name: str) -> str:
    """The column of a name, which may be that of one element of its lists."""
    return name if name in table.names else name.rpartition("[")[0]


@dataclass(frozen=True)
class _Named:
    """What a column's name says: axis, number of the layer, the other words, and whether it is an uncertainty."""

    axis: str
    number: int | None
    rest: tuple[str, ...]
    error: bool


def _named(column: FileColumn) -> _Named | None:
    """What a column's name says; None if it is no position."""
    parts = name_words(column.name)
    numbers = [int(word) for word in parts if word.isdigit()]
    rest = [word for word in parts if not word.isdigit()]
    axes = [word for word in rest if POSITION.fullmatch(word) or ERROR.fullmatch(word)]
    if len(numbers) > 1 or len(axes) != 1 or not (column.numbers or _mostly_numbers(column)):
        return None
    rest.remove(axes[0])
    position, error = POSITION.fullmatch(axes[0]), ERROR.fullmatch(axes[0])
    axis = position[1] if position else next(filter(None, error.groups())) if error else ""
    others = tuple(word for word in rest if word not in ERROR_WORDS)
    return _Named(axis, numbers[0] if numbers else None, others, position is None or len(others) < len(rest))


def _mostly_numbers(column: FileColumn) -> bool:
    """Whether most cells of a column of text are numbers; reading it names the one that is not."""
    cells = [value for value in flattened(column.values) if isinstance(value, str) and value.strip()]
    return 2 * sum(map(_is_number, cells)) > len(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


Family = dict[tuple[str, bool], dict[int, str]]
"""Columns of one name by number of the layer, by axis and whether they are uncertainties."""


def _families(table: FileTable) -> dict[tuple[str, ...], list[Family]]:
    """Positions whose names differ in axis and number only, by their other words, the most likely hits first."""
    found: dict[tuple[tuple[str, ...], bool], Family] = defaultdict(lambda: defaultdict(dict))
    for column in table.columns:
        named = _named(column)
        twice = table.names.count(column.name) > 1
        if named is None or twice or column.jagged or OTHER_WORDS & {*named.rest}:
            continue
        family = found[named.rest, bool(column.shape)][named.axis, named.error]
        if len(column.shape) == 1 and named.number is None:
            family |= {index: f"{column.name}[{index}]" for index in range(column.shape[0])}
        elif not column.shape and named.number is not None:
            family.setdefault(named.number, column.name)
    families = defaultdict(list)
    for (words, _), each in sorted(found.items(), key=lambda item: -len(item[1].get(("x", False), {}))):
        families[words].append(each)
    return families


def _wide(table: FileTable) -> Guess | None:
    """A table with one row per muon: the positions of two trackers, or those with most layers."""
    of_words = {
        words: next((each for family in families if (each := _tracker(table, family))), None)
        for words, families in _families(table).items()
    }
    trackers = {words: each for words, each in of_words.items() if each}
    found = next(_two_trackers(table, trackers), None) or next(iter(trackers.values()), None)
    if not found:
        return None
    return replace(found, others=tuple(name for each in trackers.values() for name in each.x if name not in found.x))


def _tracker(table: FileTable, family: Family) -> Guess | None:
    """The positions of one name, if they have at least two layers."""
    view = "x" if ("x", False) in family else "y"
    positions = family.get((view, False), {})
    if len(positions) < 2:
        return None
    layers = sorted(positions)
    x, y, z = (_by_layer(family.get((axis, False), {}), layers) for axis in (view, "y", "z"))
    sigma = {axis: _by_layer(family.get((axis, True), {}), layers) for axis in "xy"}
    stated = {axis: names for axis, names in sigma.items() if names and _are_errors(table, names)}
    found = wide_guess(table, x, y if view == "x" else (), z)
    return replace(found, sigma_x=stated.get(view, ()), sigma_y=stated.get("y", ()) if found.y else ())


def _two_trackers(table: FileTable, trackers: Mapping[tuple[str, ...], Guess]) -> Iterator[Guess]:
    """Positions above and below whose names differ in a word for that only, together."""
    for words, upper in trackers.items():
        for word in UPPER_WORDS & {*words}:
            around = [each for each in words if each != word]
            for other, lower in trackers.items():
                if LOWER_WORDS & {*other} and [each for each in other if each not in LOWER_WORDS] == around:
                    yield _joined(table, upper, lower)


def _joined(table: FileTable, first: Guess, second: Guess) -> Guess:
    """Two trackers as one detector; the higher one comes first if all heights are known."""
    if first.heights and second.heights and max(first.heights) < min(second.heights):
        first, second = second, first
    pairs = ((first.x, second.x), (first.y, second.y), (first.z, second.z))
    x, y, z = (one + other if one and other else () for one, other in pairs)
    found = wide_guess(table, x, y, z)
    apart = not found.heights or min(first.heights) > max(second.heights)
    sigma_x, sigma_y = (
        one + other if one and other else ()
        for one, other in ((first.sigma_x, second.sigma_x), (first.sigma_y, second.sigma_y))
    )
    return replace(found, sigma_x=sigma_x, sigma_y=sigma_y if y else (), upper=first.count if apart else 0)


def _by_layer(columns: dict[int, str], layers: Iterable[int]) -> tuple[str, ...]:
    """The columns of all layers; none if one lacks its column."""
    found = tuple(columns.get(layer, "") for layer in layers)
    return found if all(found) else ()


def _are_errors(table: FileTable, names: Iterable[str]) -> bool:
    """Whether the columns hold positive numbers, wherever they hold any."""
    values = [value for name in names for value in flattened(column_values(table, name)) if is_known(value)]
    return bool(values) and not any(isinstance(value, str) for value in values) and min(values) > 0


def _long(table: FileTable) -> Guess | None:
    """A table with one row per hit, or with jagged lists of hits."""
    layer, event = _called(table, LAYER_WORDS, NUMBERING | OF_HITS), _called(table, EVENT_WORDS)
    positions = {axis: _hit(table, axis) for axis in "xyz"}
    if layer and (event or layer.jagged) and not positions["x"]:
        positions |= {axis: _joined_name(table, names) for axis, names in LOCAL.items()}
    if not layer or not positions["x"]:
        return None
    lists = layer.jagged and positions["x"].jagged
    if not lists and (layer.jagged or layer.shape):
        return None
    run = _called(table, RUN_WORDS) if event else None
    events = () if lists else tuple(each.name for each in (run, event) if each and not each.jagged)
    names = {axis: each.name if each and each.jagged == layer.jagged else "" for axis, each in positions.items()}
    found = long_guess(table, layer.name, **names, event=events)
    x, y = (_long_errors(table, axis) if names[axis] else () for axis in "xy")
    others = tuple(each.name for each in _all_called(table, LAYER_WORDS, NUMBERING | OF_HITS) if each is not layer)
    found = replace(found, sigma_x=x, sigma_y=y, others=others)
    return replace(found, covariance=_long_variances(found)) if found.count > 1 else None


def _by_values(table: FileTable) -> Guess | None:
    """A table with one row per hit whose layers have another name: a column of few names, or else of few numbers."""
    plain = [column for column in table.columns if not (column.shape or column.jagged or _named(column))]
    numbering = filter(None, (_called(table, RUN_WORDS), _called(table, EVENT_WORDS)))
    events = [column.name for column in numbering if column in plain]
    few = [column for column in plain if column.name not in events and _has_few(column)]
    texts = [column for column in few if column.kind == "text"]
    x, y, z = (
        each.name if each and not (each.shape or each.jagged) else "" for each in (_hit(table, a) for a in "xyz")
    )
    if not x or not few or (len(few) > 1 and len(texts) != 1):
        return None
    found = long_guess(table, (texts or few)[0].name, x, y, z, events)
    errors = _long_errors(table, "x"), _long_errors(table, "y") if y else ()
    return replace(found, sigma_x=errors[0], sigma_y=errors[1], by_values=True)


def _has_few(column: FileColumn) -> bool:
    """Whether a column has so few values, names or whole numbers, that they may be layers."""
    if not (column.kind == "text" or column.kind.startswith(("int", "uint"))):
        return False
    number, least = len({*column.values}), 2 if column.kind == "text" else 3  # two numbers may be yes and no
    return least <= number <= MOST_NAMES and number * ROWS_PER_NAME <= len(column.values) and None not in column.values


def _joined_name(table: FileTable, names: Sequence[str]) -> FileColumn | None:
    """The column, or the field of a record, whose words together are one of the names, the best first."""
    called = {"".join(name_words(each.name.rpartition(".")[2])): each for each in reversed(table.columns)}
    return next((called[name] for name in names if name in called and called[name].numbers), None)


def _long_variances(found: Guess) -> dict[str, str]:
    """The variances of views that lack uncertainties, and the covariance if both views have one or the other."""
    columns = {pair: _joined_name(found.table, names) for pair, names in VARIANCES.items()}
    jagged = found.table.column(found.layer).jagged
    named = {pair: each.name for pair, each in columns.items() if each and each.jagged == jagged and not each.shape}
    stated = {"x,x": found.sigma_x, "y,y": found.sigma_y if found.y else ("",)}
    variances = {
        pair: named[pair]
        for pair, sigma in stated.items()
        if not sigma and pair in named and _are_errors(found.table, [named[pair]])
    }
    both = found.y and all(sigma or pair in variances for pair, sigma in stated.items())
    return variances | ({"x,y": named["x,y"]} if both and "x,y" in named else {})


def _long_errors(table: FileTable, axis: str) -> tuple[str, ...]:
    """The column of the uncertainties of hits in a view; none without one that holds positive numbers."""
    column = _hit(table, axis, error=True)
    return (column.name,) if column and _are_errors(table, [column.name]) else ()


def _called(table: FileTable, meanings: Sequence[str], beside: Set[str] = NUMBERING) -> FileColumn | None:
    """The column, or the field of a record, that is called by one of the words, perhaps with words beside it."""
    return next(_all_called(table, meanings, beside), None)


def _all_called(table: FileTable, meanings: Sequence[str], beside: Set[str]) -> Iterator[FileColumn]:
    for meaning in meanings:
        for column in table.columns:
            if is_called(column.name, (meaning,), beside):
                yield column


def _hit(table: FileTable, axis: str, error: bool = False) -> FileColumn | None:
    """The position of a hit along an axis, or its uncertainty, without a number in its name; the shortest name."""
    found = [
        each
        for each in table.columns
        if _is_hit(each, axis, error) and not any(map(str.isdigit, name_words(each.name)))
    ]
    return min(found, key=lambda column: len(column.name), default=None)


def _is_hit(column: FileColumn, axis: str, error: bool = False) -> bool:
    """Whether a column may be the position of a hit along an axis, or its uncertainty."""
    named = _named(column)
    return named is not None and (named.axis, named.error) == (axis, error) and not OTHER_WORDS & {*named.rest}


def _one(table: FileTable) -> Guess | None:
    """A table with one position per muon."""
    column = _hit(table, "x")
    families = itertools.chain.from_iterable(_families(table).values())
    singles = [tuple(single.values()) for family in families if len(single := family.get(("x", False), {})) == 1]
    if column and not column.shape and not column.jagged:
        singles.insert(0, (column.name,))
    if not singles:
        return None
    others = (each.name for each in table.columns for axis in "xy" if _is_hit(each, axis))
    return replace(wide_guess(table, singles[0]), others=tuple(name for name in others if name not in singles[0]))
