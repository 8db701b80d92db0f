"""The points of a scan, each one full set of parameters."""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..config.base import nearest
from ..config.dotted_names import numeric_fields, replace, replaced
from ..config.messages import Together, examine, rests_on
from ..config.schema import MOST_POINTS, PointConfig, StudyConfig
from ..errors import PullbackError
from ..files import check_regular

Rows = Callable[[list[str]], Iterable[dict[str, float]]]
"""Makes the rows of a scan, for some of its names."""

NOMINAL = "nominal"
"""The label of the one point of a study without a scan."""


@dataclass(frozen=True)
class Point:
    """One full set of parameters: its label, the scanned values by dotted name, and its config."""

    label: str
    values: dict[str, float]
    config: PointConfig


def expand(config: StudyConfig, unsure: Collection[str] = frozenset()) -> list[Point]:
    """The points of the config's scan in the order given, the last name of a product running fastest.

    Of the keys that are `unsure`, the config has another value than was meant: nothing is said that rests on one.

    Raises
    ------
    PullbackError : the scan is empty, malformed or too long, names what can't be scanned, gives impossible values, or
        gives a point twice.

    """
    if config.scan is None:
        return [make_point(config, {})]
    together = Together()
    columns, rows = _rows(config.scan, together)
    names = _scannable(config, columns, unsure, together)
    points = _points(config, rows(names), unsure, together, whole=len(names) == len(columns))
    together.refuse()
    return points


def _scannable(
    config: StudyConfig, columns: dict[Any, list[Any]], unsure: Collection[str], together: Together
) -> list[str]:
    """The names that can be scanned; what is wrong with others, and with values, is told."""
    valid = {name for name in numeric_fields(config) if not name.startswith("compute.")}
    for name, values in columns.items():
        mistakes = [] if name in valid or rests_on([str(name)], unsure) else [_wrong_name(valid, name)]
        mistakes += [_wrong_value(value) for value in values if not _is_number(value)]
        shown = name if str(name).isprintable() else repr(name)
        for mistake in mistakes:
            together.tell(f"config: scan: {shown}: {mistake}")
    return [name for name in columns if name in valid]


def _points(
    config: StudyConfig, rows: Iterable[dict[str, float]], unsure: Collection[str], together: Together, *, whole: bool
) -> list[Point]:
    """The points, if there is nothing to tell of them; where a name is missing, rows that are alike are no mistake."""
    points: dict[str, Point] = {}
    told: set[str] = set()
    for row in rows:
        label = label_of(row)
        found = examine(PointConfig, replaced(config, row))
        for each in found.mistakes:  # each once, though it is one of many points
            if each.text not in told and not rests_on(each.keys, set(unsure) - set(row)):
                told.add(each.text)
                together.tell(f"config: scan: point {label}: {each.text}")
        if whole and label in points:
            together.tell(f"config: scan: point {label} is there twice; give each point once")
        if together.enough:
            break
        points[label] = Point(label, row, found.value)
    return list(points.values())


def make_point(config: StudyConfig, values: dict[str, float]) -> Point:
    """The point at some scanned values, its config checked."""
    label = label_of(values)
    return Point(label, values, replace(config, values, where=f"config: scan: point {label}"))


def label_of(values: dict[str, float]) -> str:
    """The label of a point, by its scanned values."""
    return ",".join(f"{name}={number(value)}" for name, value in values.items()) or NOMINAL


def number(value: float) -> str:
    """A number as labels and tables show it: exact, and whole numbers without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)


def nearest_to_unscanned(points: list[Point], config: PointConfig) -> Point:
    """The point whose scanned values are nearest those that the config has without its scan.

    Distances are measured in units of each parameter's range in the scan; of equals, the first.
    """
    base = numeric_fields(config)
    columns = {name: [point.values[name] for point in points] for name in points[0].values}
    widths = {name: max(column) - min(column) or 1.0 for name, column in columns.items()}

    def distance(point: Point) -> float:
        return sum(((value - base[name]) / widths[name]) ** 2 for name, value in point.values.items())

    return min(points, key=distance)


def _rows(scan: dict[str, Any], together: Together) -> tuple[dict[Any, list[Any]], Rows]:
    """The values of each name, and a function that makes the rows of some of the names, without values that are wrong.

    They are counted before any is made.
    """
    if not scan:
        raise PullbackError("config: scan: is empty; give a list of values for a dotted name, or leave scan out")
    for form in ("zip", "table"):
        if form in scan and len(scan) > 1:
            others = ", ".join(str(key) for key in scan if key != form)
            raise PullbackError(f"config: scan: {form} stands alone; move {others} into it, or into a list of its own")
    if "table" in scan:
        columns = _table(scan["table"], together)
        return columns, partial(_in_step, columns)
    if "zip" in scan:
        columns = _lists(scan["zip"], "scan.zip", together)
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            together.tell(f"config: scan.zip: the lists must be of equal length, but {counts}")
            return columns, lambda names: []
        _refuse_many(max(lengths.values(), default=0))
        return columns, partial(_in_step, columns)
    columns = _lists(scan, "scan", together)
    _refuse_many(math.prod(map(len, columns.values())))
    return columns, partial(_product, columns)


def _refuse_many(count: int) -> None:
    if count > MOST_POINTS:
        raise PullbackError(
            f"config: scan: has {count} points, and a study at most {MOST_POINTS}; give fewer values, "
            "lists in step by zip, or several studies with a part of the scan each"
        )


def _in_step(columns: dict[str, list[Any]], names: list[str]) -> Iterator[dict[str, float]]:
    """A row for each place in the columns."""
    for row in zip(*(columns[name] for name in names), strict=True):
        if all(map(_is_number, row)):
            yield dict(zip(names, row, strict=True))


def _product(columns: dict[str, list[Any]], names: list[str]) -> Iterator[dict[str, float]]:
    """A row for each combination of values."""
    good = {name: list(filter(_is_number, columns[name])) for name in names}
    good = {name: values for name, values in good.items() if values}
    for row in itertools.product(*good.values()) if good else ():
        yield dict(zip(good, row, strict=True))


def _lists(lists: Any, where: str, together: Together) -> dict[Any, list[Any]]:
    if not isinstance(lists, dict) or not lists:
        raise PullbackError(f"config: {where}: is {lists!r:.80}; it must map dotted names to lists of numbers")
    for name, values in lists.items():
        if not isinstance(values, list):
            together.tell(f"config: {where}: {name}: is {values!r:.80}; it must be a list of numbers")
        elif not values:
            together.tell(f"config: {where}: {name}: is an empty list; give at least one value")
    return {name: values for name, values in lists.items() if isinstance(values, list) and values}


def _table(file: Any, together: Together) -> dict[str, list[Any]]:
    """The columns of a CSV file with a header of dotted names and one row per point."""
    if not isinstance(file, str):
        raise PullbackError(f"config: scan.table: is {file!r:.80}; it must be the path of a CSV file")
    try:
        check_regular(file)
    except PullbackError as error:
        raise PullbackError(f"config: scan.table: {error}") from None
    where = f"config: scan.table: {file}"
    rows = _cells(file, where)
    names = [name.strip() for name in next(rows, [])]
    if len(set(names)) < len(names):
        raise PullbackError(f"{where}: a column is there twice; the header reads {', '.join(names):.200}")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    index = 0
    for index, row in enumerate(rows, 1):
        if index > MOST_POINTS:
            raise PullbackError(
                f"{where}: has more than {MOST_POINTS} rows, the most points of a study; "
                "give several studies a part of them each"
            )
        if len(row) != len(names):
            together.tell(f"{where}: row {index} has {len(row)} cells, the header {len(names)}")
            continue
        cells = zip(names, row, strict=True)
        numbers = [_number(cell, f"{where}: row {index}, column {name}", together) for name, cell in cells]
        if None not in numbers:
            for name, value in zip(names, numbers, strict=True):
                columns[name].append(value)
    if not index:
        raise PullbackError(f"{where}: has no points; it needs a header of dotted names, and a row a point")
    return columns


def _cells(file: str, where: str) -> Iterator[list[str]]:
    """The rows of a CSV file that are not empty."""
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines, strict=True)  # else an open quote holds all rows after it
            line = 1
            for row in reader:
                if row:
                    yield row
                line = reader.line_num + 1
    except OSError as error:
        raise PullbackError(f"{where}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PullbackError(f"{where}: line {_line_not_utf8(file)} is not UTF-8 text") from None
    except csv.Error as error:
        reason = next((words for part, words in CSV_ERRORS.items() if part in str(error)), str(error))
        raise PullbackError(f"{where}: line {line}: {reason}") from None


CSV_ERRORS = {
    "field larger": "a cell is longer than 131072 characters; is a quote left open?",
    "unexpected end": 'a quote (") is opened and never closed',
    "expected after": 'a quote (") in the middle of a cell; is one left open?',
}
"""What Python's errors of CSV mean."""


def _line_not_utf8(file: str) -> int:
    """The first line of a file that is no UTF-8 text."""

    def is_text(line: bytes) -> bool:
        with contextlib.suppress(UnicodeDecodeError):
            return isinstance(line.decode("utf-8"), str)
        return False

    with Path(file).open("rb") as lines:
        return next(index for index, line in enumerate(lines, 1) if not is_text(line))


def _number(cell: str, where: str, together: Together) -> float | None:
    """A number as a table has it: a whole one exactly, and without the underscores that Python allows."""
    with contextlib.suppress(ValueError):
        if "_" not in cell:
            return int(cell)
    with contextlib.suppress(ValueError):
        if "_" not in cell:
            return float(cell)
    together.tell(f"{where}: {cell!r:.80} is not a number")
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _wrong_name(valid: set[str], name: Any) -> str:
    if str(name).startswith("compute."):
        return "can't be scanned, since it changes no result"
    return f"no numeric field of that name; {nearest(str(name), valid)}"


def _wrong_value(value: Any) -> str:
    hint = " (YAML takes it for text; write 1e5 as 100000)" if isinstance(value, str) else ""
    return f"{value!r:.80} is not a finite number{hint}"
