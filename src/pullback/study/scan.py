"""The points of a scan, each a full set of parameters."""

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

from ..config.base import fields, kinds, nearest, numbers_within
from ..config.dotted_names import numeric_fields, raw_with_numbers, unit_of, with_numbers
from ..config.hints import as_number, written
from ..config.messages import Together, examine, rests_on
from ..config.schema import HEIGHTS_OF_FILE, MOST_POINTS, PointConfig, StudyConfig
from ..errors import ConfigError
from ..files import check_regular
from ..statistics.prefixes import suited

RowMaker = Callable[[list[str]], Iterable[dict[str, float]]]
"""Function that makes the rows of a scan for the given names."""

NOMINAL = "nominal"
"""Label of the only point of a study without a scan."""


@dataclass(frozen=True)
class Point:
    """One full set of parameters: label, scanned values by dotted name, and config."""

    label: str
    values: dict[str, float]
    config: PointConfig

    @property
    def scanned(self) -> dict[str, str]:
        """The scanned values by name, with units: `50 /m`, `1.5 m`."""
        return {name: suited(value, unit_of(name, self.config)) for name, value in self.values.items()}

    @property
    def words(self) -> str:
        """The label as people read it, with units: `detector.resolution = 50 /m, model.dz = 1.5 m`."""
        return ", ".join(f"{name} = {value}" for name, value in self.scanned.items()) or NOMINAL


def expand(config: StudyConfig, unsure: Collection[str] = frozenset()) -> list[Point]:
    """The points of the config's scan in the given order; the last name of a product varies fastest.

    Keys in `unsure` have a default instead of the intended value; mistakes that depend on them are not reported.

    Raises
    ------
    ConfigError
        The scan is empty, malformed or too long, contains names that cannot be scanned, impossible values, or duplicate
        points.

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
    """The names that can be scanned; mistakes in other names and in values are reported."""
    valid = dict.fromkeys(name for name in numeric_fields(config) if not name.startswith("compute."))
    for name, values in columns.items():
        field = fields(StudyConfig).get(str(name))
        if name not in valid and field and not {int, float, list, dict} & {*kinds(field)}:
            mistakes = ["only numbers can be scanned"]
        elif name in valid and config.height_in_file(name):
            mistakes = [HEIGHTS_OF_FILE.format("it")]
        elif name in valid or rests_on([str(name)], unsure):
            mistakes = [_wrong_value(value) for value in values if not _is_number(value)]
        else:
            mistakes = [_wrong_name(valid, str(name))]
        shown = name if str(name).isprintable() else repr(name)
        for mistake in mistakes:
            together.tell(f"config: scan: {shown}: {mistake}")
    return [name for name in columns if name in valid]


def _points(
    config: StudyConfig, rows: Iterable[dict[str, float]], unsure: Collection[str], together: Together, *, whole: bool
) -> list[Point]:
    """The points; mistakes are reported. Equal rows are duplicates only if `whole`, with no name left out."""
    points: dict[str, Point] = {}
    labels: set[str] = set()
    told: set[str] = set()
    for row in rows:
        label = label_of(row)
        found = examine(PointConfig, raw_with_numbers(config, row))
        for each in found.mistakes:  # report each mistake once, not for every point
            if each.text not in told and not rests_on(each.keys, set(unsure) - set(row)):
                told.add(each.text)
                together.tell(f"config: scan: point {label}: {each.text}")
        if whole and label in labels:
            together.tell(f"config: scan: point {label} is a duplicate; give each point once")
        if together.enough:
            break
        labels.add(label)
        if found.value is not None:  # otherwise refused
            points[label] = Point(label, row, found.value)
    return list(points.values())


def make_point(config: StudyConfig, values: dict[str, float]) -> Point:
    """The point at these scanned values, with a checked config."""
    label = label_of(values)
    where = f"config: scan: point {label}"
    return Point(label, values, with_numbers(config, values, where=where) if values else config.nominal)


def label_of(values: dict[str, float]) -> str:
    """The label of a point, from its scanned values."""
    return ",".join(f"{name}={number(value)}" for name, value in values.items()) or NOMINAL


def scanned_in(label: str) -> dict[str, str]:
    """The scanned values in a label by dotted name, as they are written there.

    >>> scanned_in("detector.resolution=50,model.dz=1.5"), scanned_in("nominal")
    ({'detector.resolution': '50', 'model.dz': '1.5'}, {})
    """
    return {name: text for name, equals, text in (each.partition("=") for each in label.split(",")) if equals}


def number(value: float) -> str:
    """A number in labels and tables: exact, and integers without a decimal point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)


def nearest_to_unscanned(points: list[Point], config: PointConfig) -> Point:
    """The point nearest to the unscanned values of the config.

    Distances are in units of each parameter's range in the scan. Of equal distances, the first point is taken.
    """
    base = numeric_fields(config)
    columns = {name: [point.values[name] for point in points] for name in points[0].values}
    widths = {name: max(column) - min(column) or 1.0 for name, column in columns.items()}

    def distance(point: Point) -> float:
        return sum(((value - base[name]) / widths[name]) ** 2 for name, value in point.values.items())

    return min(points, key=distance)


def _rows(scan: dict[str, Any], together: Together) -> tuple[dict[Any, list[Any]], RowMaker]:
    """The values of each name, and a function that makes the rows for the given names, without invalid values.

    Rows are counted before any is made.
    """
    if not scan:
        raise ConfigError("config: scan: is empty; give a list of values for a dotted name, or leave scan out")
    for form in ("zip", "table"):
        if form in scan and len(scan) > 1:
            others = ", ".join(str(key) for key in scan if key != form)
            raise ConfigError(f"config: scan: {form} excludes other keys; move {others} into it, or use no {form}")
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
        raise ConfigError(
            f"config: scan: has {count} points, and a study at most {MOST_POINTS}; give fewer values, "
            "lists in step by zip, or divide the scan among several studies"
        )


def _in_step(columns: dict[str, list[Any]], names: list[str]) -> Iterator[dict[str, float]]:
    """One row per position in the columns."""
    for row in zip(*(columns[name] for name in names), strict=True):
        if all(map(_is_number, row)):
            yield dict(zip(names, row, strict=True))


def _product(columns: dict[str, list[Any]], names: list[str]) -> Iterator[dict[str, float]]:
    """One row per combination of values."""
    good = {name: list(filter(_is_number, columns[name])) for name in names}
    good = {name: values for name, values in good.items() if values}
    for row in itertools.product(*good.values()) if good else ():
        yield dict(zip(good, row, strict=True))


def _lists(lists: Any, where: str, together: Together) -> dict[Any, list[Any]]:
    if not isinstance(lists, dict) or not lists:
        raise ConfigError(f"config: {where}: is {lists!r:.80}; it must map dotted names to lists of numbers")
    for name, values in lists.items():
        if not isinstance(values, list):
            together.tell(f"config: {where}: {name}: is {values!r:.80}; it must be a list of numbers")
        elif not values:
            together.tell(f"config: {where}: {name}: is an empty list; give at least one value")
    return {name: values for name, values in lists.items() if isinstance(values, list) and values}


def _table(file: Any, together: Together) -> dict[str, list[Any]]:
    """The columns of a CSV file with a header of dotted names and one row per point."""
    if not isinstance(file, str):
        raise ConfigError(f"config: scan.table: is {file!r:.80}; it must be the path of a CSV file")
    try:
        check_regular(file, ConfigError)
    except ConfigError as error:
        raise ConfigError(f"config: scan.table: {error}") from None
    where = f"config: scan.table: {file}"
    rows = _cells(file, where)
    names = [name.strip() for name in next(rows, [])]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: has a duplicate column; the header reads {', '.join(names):.200}")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    index = 0
    for index, row in enumerate(rows, 1):
        if index > MOST_POINTS:
            raise ConfigError(
                f"{where}: has more than {MOST_POINTS} rows, the most points of a study; "
                "divide them among several studies"
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
        raise ConfigError(f"{where}: has no points; it needs a header of dotted names, and one row per point")
    return columns


def _cells(file: str, where: str) -> Iterator[list[str]]:
    """The rows of a CSV file, without empty rows."""
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines, strict=True)  # otherwise an open quote would swallow all rows after it
            line = 1
            for row in reader:
                if row:
                    yield row
                line = reader.line_num + 1
    except OSError as error:
        raise ConfigError(f"{where}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: line {_line_not_utf8(file)} is not UTF-8 text") from None
    except csv.Error as error:
        reason = next((words for part, words in CSV_ERRORS.items() if part in str(error)), str(error))
        raise ConfigError(f"{where}: line {line}: {reason}") from None


CSV_ERRORS = {
    "field larger": "a cell is longer than 131072 characters; is a quote left open?",
    "unexpected end": 'a quote (") is opened and never closed',
    "expected after": 'a quote (") in the middle of a cell; is one left open?',
}
"""Explanations of errors of Python's CSV reader."""


def _line_not_utf8(file: str) -> int:
    """The first line of a file that is not UTF-8 text."""

    def is_text(line: bytes) -> bool:
        with contextlib.suppress(UnicodeDecodeError):
            return isinstance(line.decode("utf-8"), str)
        return False

    with Path(file).open("rb") as lines:
        return next(index for index, line in enumerate(lines, 1) if not is_text(line))


def _number(cell: str, where: str, together: Together) -> float | None:
    """A number in a table: integers are exact, and underscores are refused."""
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


def _wrong_name(valid: Collection[str], name: str) -> str:
    if name.startswith("compute."):
        return "can't be scanned, since it changes no result"
    if len(inside := numbers_within(name, valid)) > 1:
        in_step = ", ".join(f"'{each}': […]" for each in inside[:2])
        advice = f"scan one, such as {inside[0]}, or several in step: `scan: {{zip: {{{in_step}}}}}`"
        return f"has {len(inside)} numbers; {advice}"
    field = fields(StudyConfig).get(name)
    if field and list in kinds(field) and not inside:
        return f"has no numbers to scan; give it some, such as {name.rpartition('.')[2]}: [1], and scan {name}[0]"
    return f"no numeric field of that name; {nearest(name, valid)}"


def _wrong_value(value: Any) -> str:
    meant = as_number(value.strip()) if isinstance(value, str) else None
    hint = f" (YAML takes it for text; write {value.strip()} as {written(meant)})" if meant is not None else ""
    return f"{value!r:.80} is not a finite number{hint}"
