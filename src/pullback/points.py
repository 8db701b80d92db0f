"""The points of a scan, each one full set of parameters."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import PointConfig, StudyConfig, numeric_fields, replace
from .errors import PullbackError
from .sections import nearest

NOMINAL = "nominal"
"""The label of the one point of a study without a scan."""


@dataclass(frozen=True)
class Point:
    """One full set of parameters: its label, the scanned values by dotted name, and its config."""

    label: str
    values: dict[str, float]
    config: PointConfig


def expand(config: StudyConfig) -> list[Point]:
    """The points of the config's scan in the order given, the last name of a product running fastest.

    Raises
    ------
    PullbackError : the scan is empty or malformed, names what can't be scanned, gives impossible values, or gives a
        point twice.

    """
    if config.scan is None:
        return [make_point(config, {})]
    rows = _rows(config.scan)
    valid = {name for name in numeric_fields(config) if not name.startswith("compute.")}
    mistakes = [_mistake(valid, name, value) for row in rows for name, value in row.items()]
    _refuse(mistakes)
    points: dict[str, Point] = {}
    for row in rows:
        try:
            point = make_point(config, row)
        except PullbackError as error:
            mistakes.append(str(error))
            continue
        if point.label in points:
            mistakes.append(f"config: scan: point {point.label} is there twice; give each point once")
        points[point.label] = point
    _refuse(mistakes)
    return list(points.values())


def make_point(config: StudyConfig, values: dict[str, float]) -> Point:
    """The point at some scanned values, its config checked."""
    label = ",".join(f"{name}={number(value)}" for name, value in values.items()) or NOMINAL
    return Point(label, values, replace(config, values, where=f"config: scan: point {label}"))


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


def _rows(scan: dict[str, Any]) -> list[dict[str, Any]]:
    if not scan:
        raise PullbackError("config: scan: is empty; give a list of values for a dotted name, or leave scan out")
    for form in ("zip", "table"):
        if form in scan and len(scan) > 1:
            others = ", ".join(str(key) for key in scan if key != form)
            raise PullbackError(f"config: scan: {form} stands alone; move {others} into it, or into a list of its own")
    if "table" in scan:
        return _table(scan["table"])
    if "zip" in scan:
        lists = _lists(scan["zip"], "scan.zip")
        lengths = {name: len(values) for name, values in lists.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise PullbackError(f"config: scan.zip: the lists must be of equal length, but {counts}")
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    lists = _lists(scan, "scan")
    return [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]


def _lists(lists: Any, where: str) -> dict[str, list[Any]]:
    if not isinstance(lists, dict) or not lists:
        raise PullbackError(f"config: {where}: is {lists!r}; it must map dotted names to lists of numbers")
    for name, values in lists.items():
        if not isinstance(values, list):
            raise PullbackError(f"config: {where}: {name}: is {values!r}; it must be a list of numbers")
        if not values:
            raise PullbackError(f"config: {where}: {name}: is an empty list; give at least one value")
    return lists


def _table(file: Any) -> list[dict[str, float]]:
    where = f"config: scan.table: {file}"
    if not isinstance(file, str):
        raise PullbackError(f"{where}: must be the path of a CSV file")
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as lines:
            header, *rows = [row for row in csv.reader(lines) if row] or [[]]
    except OSError as error:
        raise PullbackError(f"{where}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PullbackError(f"{where}: is not UTF-8 text (byte {error.start})") from None
    if not rows:
        raise PullbackError(f"{where}: has no points; it needs a header of dotted names, and a row a point")
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        raise PullbackError(f"{where}: a column is there twice; the header reads {', '.join(names)}")
    points = []
    for index, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise PullbackError(f"{where}: row {index} has {len(row)} cells, the header {len(names)}")
        point = {}
        for name, cell in zip(names, row, strict=True):
            try:
                point[name] = _cell(cell)
            except ValueError:
                raise PullbackError(f"{where}: row {index}, column {name}: {cell!r} is not a number") from None
        points.append(point)
    return points


def _cell(text: str) -> float:
    """A number as a table has it: a whole one exactly, and without the underscores that Python allows."""
    if "_" in text:
        raise ValueError
    try:
        return int(text)
    except ValueError:
        return float(text)


def _refuse(mistakes: list[str | None]) -> None:
    """Raise with each mistake once, in order."""
    found = list(dict.fromkeys(each for each in mistakes if each))
    if found:
        raise PullbackError("\n".join(found))


def _mistake(valid: set[str], name: Any, value: Any) -> str | None:
    """What is wrong with scanning a name over a value, if anything is."""
    if str(name).startswith("compute."):
        return f"config: scan: {name}: can't be scanned, since it changes no result"
    if name not in valid:
        return f"config: scan: {name}: no numeric field of that name; {nearest(str(name), valid)}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        hint = " (YAML takes it for text; write 1e5 as 100000)" if isinstance(value, str) else ""
        return f"config: scan: {name}: {value!r:.80} is not a finite number{hint}"
    return None
