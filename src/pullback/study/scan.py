"""The points of a scan, each a full set of parameters."""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.base import fields, kinds, nearest, numbers_within
from ..config.dotted_names import numeric_fields, raw_with_numbers, unit_of, with_numbers
from ..config.hints import as_number, written
from ..config.messages import Together, examine, rests_on
from ..config.named_numbers import UnitByName, unit_by_name
from ..config.schema import HEIGHTS_OF_FILE, MOST_POINTS, PointConfig, StudyConfig
from ..config.units import in_unit
from ..errors import ConfigError
from ..files import check_regular, separator_of
from ..statistics.prefixes import suited

ScanLists = dict[Any, list[Any]]
"""The values of a scan by name."""

STATED = ("detector.resolution", "detector.sigma")
"""The width of hits, of which one is given."""

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
    together, unit = Together(), unit_by_name(StudyConfig, config.model_dump())
    groups = _groups(config.scan, unit, together)
    columns = {name: values for group in groups for name, values in group.items()}
    names = _scannable(config, columns, unit, unsure, together)
    points = _points(config, _rows(groups, names), unsure, together, whole=len(names) == len(columns))
    together.refuse()
    return points


def _scannable(
    config: StudyConfig, columns: ScanLists, unit: UnitByName, unsure: Collection[str], together: Together
) -> list[str]:
    """The names that can be scanned; mistakes in other names and in values are reported."""
    valid = dict.fromkeys(name for name in numeric_fields(config) if not name.startswith("compute."))
    for name, values in columns.items():
        field = fields(StudyConfig).get(str(name))
        wrong = [value for value in values if not _is_number(value)]
        if name not in valid and field and not {int, float, list, dict} & {*kinds(field)}:
            mistakes = ["only numbers can be scanned"]
        elif name in valid and config.height_in_file(name):
            mistakes = [HEIGHTS_OF_FILE.format("it")]
        elif rests_on([str(name)], unsure):  # as may its unit
            mistakes = [_wrong_value(value, None) for value in wrong]
        elif name in valid:
            mistakes = [_wrong_value(value, unit(name)) for value in wrong]
        else:
            mistakes = [_wrong_name(valid, str(name))]
        shown = name if str(name).isprintable() else repr(name)
        for mistake in filter(None, mistakes):
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


def _groups(scan: dict[str, Any], unit: UnitByName, together: Together) -> list[ScanLists]:
    """The lists of the scan, in groups that go in step: those of a zip, the columns of a table, any other list alone.

    The points, which are the product of the groups, are counted before any is made.
    """
    if not scan:
        raise ConfigError("config: scan: is empty; give a list of values for a dotted name, or leave scan out")
    groups: list[ScanLists] = []
    for key, value in scan.items():
        if key == "table":
            groups.append(_table(value, unit, together))
        elif key == "zip":
            groups.append(_lists(value, "scan.zip", together))
        else:
            groups.append(_lists({key: value}, "scan", together))
    for name, number in Counter(name for group in groups for name in group).items():
        if number > 1:
            together.tell(f"config: scan: {name}: is a duplicate; give it once, in zip, in the table or beside them")
    for group in groups:
        if len({len(values) for values in group.values()}) > 1:
            counts = ", ".join(f"{name} has {len(values)}" for name, values in group.items())
            together.tell(f"config: scan.zip: the lists must be of equal length, but {counts}")
    _refuse_many(math.prod(max(map(len, group.values())) for group in groups if group))
    return groups


def _refuse_many(count: int) -> None:
    if count > MOST_POINTS:
        raise ConfigError(
            f"config: scan: has {count} points, and a study at most {MOST_POINTS}; give fewer values, "
            "lists in step by zip, or divide the scan among several studies"
        )


def _rows(groups: list[ScanLists], names: Collection[str]) -> Iterator[dict[str, float]]:
    """The product of the groups, the last varying fastest, without other names than these and invalid values."""
    of_groups = []
    for group in groups:
        columns = {name: values for name, values in group.items() if name in names}
        rows = [row for row in zip(*columns.values(), strict=False) if all(map(_is_number, row))]
        of_groups.append([dict(zip(columns, row, strict=True)) for row in rows])
    of_groups = [rows for rows in of_groups if rows]
    for together in itertools.product(*of_groups) if of_groups else ():
        yield {name: value for row in together for name, value in row.items()}


def _is(value: Any) -> str:
    """What a value is, in words."""
    return "is empty" if value is None else f"is {value!r:.80}"


def _lists(lists: Any, where: str, together: Together) -> ScanLists:
    if not isinstance(lists, dict) or not lists:
        raise ConfigError(f"config: {where}: {_is(lists)}; it must map dotted names to lists of numbers")
    found = {}
    for name, values in lists.items():
        if isinstance(values, str) and values.lstrip().startswith("["):
            values = [values]  # numbers with a unit that is wrong, or that of a wrong name
        if not isinstance(values, list):
            together.tell(f"config: {where}: {name}: {_is(values)}; it must be a list of numbers")
        elif not values:
            together.tell(f"config: {where}: {name}: is an empty list; give at least one value")
        else:
            found[name] = values
    return found


def _table(file: Any, unit: UnitByName, together: Together) -> ScanLists:
    """The columns of a CSV file with a header of dotted names and one row per point."""
    if not isinstance(file, str):
        raise ConfigError(f"config: scan.table: {_is(file)}; it must be the path of a CSV file")
    try:
        check_regular(file, ConfigError)
    except ConfigError as error:
        raise ConfigError(f"config: scan.table: {error}") from None
    where = f"config: scan.table: {file}"
    rows = _cells(file, where)
    names = [name.strip() for name in next(rows, [])]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: has a duplicate column; the header reads {', '.join(names):.200}")
    if "" in names:
        raise ConfigError(
            f"{where}: column {1 + names.index('')} has no name; the header reads {', '.join(names):.200}"
        )
    units = {name: unit(name) for name in names}
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
        numbers = [_number(cell, units[name], f"{where}: row {index}, column {name}", together) for name, cell in cells]
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
            header = next((text for text in lines if text.strip()), "")
            lines.seek(0)
            # Unless strict, an open quote would swallow all rows after it.
            reader = csv.reader(lines, delimiter=separator_of(header), strict=True)
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


def _number(cell: str, unit: str | None, where: str, together: Together) -> float | None:
    """A number in a table, perhaps with a unit: integers are exact, and underscores are refused."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if "_" not in cell:
                return kind(cell)
    mistake = f"{cell!r:.80} is not a number"
    try:
        if isinstance(found := in_unit(cell, unit), float):
            return found
    except ValueError as error:
        mistake = str(error)
    together.tell(f"{where}: {mistake}")
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
    stated = [each for each in STATED if each in valid or numbers_within(each, valid)]
    if name in STATED and name not in stated:
        return f"is not given, but {stated[0]} is; give {name} in place of it, and scan that"
    field = fields(StudyConfig).get(name)
    if field and list in kinds(field) and not inside:
        return f"has no numbers to scan; give it some, such as {name.rpartition('.')[2]}: [1], and scan {name}[0]"
    return f"no numeric field of that name; {nearest(name, {*valid, *STATED})}"


def _wrong_value(value: Any, unit: str | None) -> str:
    """What is wrong with a value; nothing if it is one with a unit, in a list of which another is wrong."""
    try:
        if isinstance(value, str) and not isinstance(in_unit(value, unit), str):
            return ""
    except ValueError as error:
        return str(error)
    meant = as_number(value.strip()) if isinstance(value, str) else None
    hint = f" (YAML takes it for text; write {value.strip()} as {written(meant)})" if meant is not None else ""
    return f"{value!r:.80} is not a finite number{hint}"
