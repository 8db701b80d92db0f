"""The columns of an exported table, with their names, units and descriptions."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArtefactError
from ..statistics.prefixes import in_names, prefixed, product_of_units
from ..study import blocks
from ..study.scan import scanned_in
from .encoding import dtype_of
from .export_digits import SIGMA_OF
from .export_order import COVARIANCES, MUON, POINT, SIZED_BY, default_columns, ordered
from .study_file import StudyReader

TABLES = {"muons": ("", "muon"), "toys": ("toys/", "toy_muon")}
"""Tables of a point: the subgroup of the columns, and the dimension of the rows."""

SCALED = ("m", "rad")
"""Units that are replaced by those that suit the size."""

UNITS_IN_NAMES = [f"{prefix}{unit}" for unit in SCALED for prefix in ("", "m", "u", "c", "k")]
"""Units at the end of a name that may be those of another size."""

ALL = "all"
"""Stands for all columns in a choice of columns."""

Measure = tuple[str, float]
"""Unit of the numbers of a column and their size; of squares, those of the root."""


class Field(NamedTuple):
    """A column of the table: an element of a column of the study, the index of the muon, or a constant of its point."""

    name: str
    column: str
    """The path of the column of the study within its point; empty: the index of the muon."""
    element: tuple[slice | int, ...]
    dtype: np.dtype
    units: str
    long_name: str
    comment: str = ""
    sized_by: tuple[str, ...] = ()
    """The columns of the study whose sizes set the unit, which is the product of theirs; one of squares twice."""
    per: str = "1"
    """The unit by which that of `sized_by` is divided."""
    sigma: str = ""
    """The column of the study whose σ sets the decimal place of the values; empty: they are written in full."""
    constants: Mapping[str, Any] = {}
    """What stands in every row of a point, by its label; empty: what the study stores."""
    factor: float = 1.0

    @property
    def dataset(self) -> str:
        """The name of the column of the study."""
        return self.column.rsplit("/", 1)[-1] if self.column else self.name


class PointTable(NamedTuple):
    """The columns of a table at a point, and its number of rows."""

    label: str
    fields: list[Field]
    rows: int


def table_of(reader: StudyReader, label: str, table: str, points: Sequence[str] = ()) -> PointTable:
    """The columns of a table in order; the first ones are the scanned values of several points, if they are given."""
    fields, rows = _stored(reader, label, table)
    there = {field.dataset: field.column for field in fields}
    observables = reader.observables(label)
    places = {name: place for place, name in enumerate(ordered(there, reader.kept(label), observables))}
    sigma = {
        form.format(each): there.get(other.format(each), "") for form, other in SIGMA_OF.items() for each in observables
    }
    sized_by, units = _sized_by(observables, there), {field.column: field.units for field in fields}
    fields = [
        _in_units(reader, label, field._replace(sigma=sigma.get(field.dataset, "")), sized_by, units)
        for field in sorted(fields, key=lambda field: places[field.dataset])
    ]
    if MUON not in there:
        fields.insert(0, Field(MUON, "", (slice(None),), np.dtype("i8"), "1", "index of the muon in its point"))
    if POINT not in there and len(reader.labels()) > 1:
        labels = {each: each.encode() for each in points or [label]}
        kind = np.dtype(f"S{max(map(len, labels.values()))}")
        fields.insert(1, Field(POINT, POINT, (), kind, "1", "label of the scan point", constants=labels))
    scanned = [*_scanned(reader, points)]
    if twice := {field.name for field in scanned} & {field.name for field in fields}:
        raise ArtefactError(
            f"{reader.path}: the scanned value and the kept column {', '.join(twice)} share a name; export one point"
        )
    return PointTable(label, [*scanned, *fields], rows)


def _stored(reader: StudyReader, label: str, table: str) -> tuple[list[Field], int]:
    """The columns that a study stores of a point, and their number of rows."""
    group, rows_dim = TABLES[table]
    fields, rows = [], 0
    for path, dataset in reader.columns(label):
        column = path.removeprefix(f"{label}/")
        name = column.removeprefix(group)
        dims = reader.dims(path)
        if column != f"{group}{name}" or "/" in name or next(iter(dims)) != rows_dim:
            continue
        rows = len(dataset)
        labels = [
            labels or [*map(str, range(n))] for n, labels in zip(dataset.shape[1:], [*dims.values()][1:], strict=True)
        ]
        about, dtype = dataset.attrs, np.dtype("u1") if dataset.dtype == bool else dtype_of(dataset)
        for indices in np.ndindex(dataset.shape[1:]):
            words = [names[index] for names, index in zip(labels, indices, strict=True)]
            flat = "_".join([name, *map(plain, words)])
            if [*dims][1:] == ["coordinate"]:  # of hits
                words = [f"coordinate {words[0]}"]
            described = ", ".join([about["long_name"], *words]), str(about.get("comment", ""))
            fields.append(Field(flat, column, (slice(None), *indices), dtype, about["units"], *described))
    if not fields:
        raise ArtefactError(f"{reader.path}: point {label} has no table of {table}")
    return fields, rows


def plain(label: str) -> str:
    """A label that is valid in column names: ROOT would read the brackets of `alignment.x[1]` as those of an array."""
    return re.sub(r"\W+", "_", label).strip("_")


def _scanned(reader: StudyReader, points: Sequence[str]) -> Iterator[Field]:
    """The columns of the scanned values of these points."""
    for name in scanned_in(points[0]) if points else ():
        texts = {label: scanned_in(label)[name] for label in points}
        unit, whole = reader.unit_of(points[0], name), all(text.lstrip("-").isdecimal() for text in texts.values())
        kind = int if whole and unit == "1" else float
        values = {label: kind(text) for label, text in texts.items()}
        yield Field(plain(name), name, (), np.dtype(kind), unit, f"scanned value of {name}", constants=values)


def _sized_by(observables: Sequence[str], there: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The columns whose sizes set the unit of a column, by its name, where these are there."""
    found = {
        form.format(each): tuple(there.get(other.format(each), "") for other in others)
        for form, others in SIZED_BY.items()
        for each in observables
    }
    return {name: paths for name, paths in found.items() if all(paths)}


def _in_units(
    reader: StudyReader, label: str, field: Field, sized_by: Mapping[str, tuple[str, ...]], units: Mapping[str, str]
) -> Field:
    """A column of a study with its unit, and the columns whose sizes set a suited one."""
    if field.dataset == COVARIANCES:
        dims = [*reader.dims(f"{label}/{field.column}").values()][1:]
        names = [names[index] for names, index in zip(dims, field.element[1:], strict=True) if names]
        found = tuple(f"sigma_{name}" for name in names)
    else:
        found = sized_by.get(field.dataset, (field.column,))
    found = tuple(column for column in found for _ in range(1 if _root(units[column]) == units[column] else 2))
    per = "1"
    if field.dataset.startswith("systematic_jacobian_"):
        (systematics,) = [*reader.dims(f"{label}/{field.column}").values()][1:]
        place = next(index for index in field.element if isinstance(index, int))
        per = reader.unit_of(label, (systematics or [])[place])
    product = product_of_units([_root(units[column]) for column in found], per)
    return field._replace(sized_by=found, per=per, units=product)


def _root(unit: str) -> str:
    """The unit of a length or an angle whose square this is; any other unit as it is."""
    return unit[:-1] if unit[-1:] == "2" and unit[:-1] in SCALED else unit


def default_of(reader: StudyReader, table: PointTable) -> list[str]:
    """The names of the columns that are exported by default."""
    label, fields = table.label, table.fields
    names = default_columns([field.dataset for field in fields], reader.kept(label), reader.observables(label))
    return [*(field.name for field in fields if field.constants and field.name != POINT), *names]


def chosen_fields(study: object, fields: Sequence[Field], names: Sequence[str]) -> list[Field]:
    """The columns of these names in this order.

    Raises
    ------
    ArtefactError
        There is no column of a name.

    """
    found: list[Field] = []
    for name in names:
        named = [field for field in fields if name in (field.name, field.dataset, ALL)]
        if not named:
            there = [*dict.fromkeys(each for field in fields for each in (field.dataset, field.name))]
            close = difflib.get_close_matches(name, there, n=3)
            advice = f"did you mean {' or '.join(close)}? " if close else ""
            raise ArtefactError(f"{study}: no column {name!r}; {advice}--list names all")
        found += [field for field in named if field not in found]
    return found


def without_units(reader: StudyReader, tables: Sequence[PointTable], names: Sequence[str]) -> list[str]:
    """Names of columns without the suited unit, with which they may be asked for: `theta_mrad` or `theta [mrad]`.

    Raises
    ------
    ArtefactError
        A column is asked for in a unit that it does not have.

    """
    fields, found = tables[0].fields, []
    known = {ALL, *(field.name for field in fields), *(field.dataset for field in fields)}
    for name in names:
        united = re.fullmatch(r"(\w+)\s*\[([^\[\]]+)\]", name)
        flat = f"{united[1]}_{in_names(united[2])}" if united else name
        # The longest name that it begins with: sigma_theta_mrad is none of sigma.
        begun = [field for field in fields if flat.startswith(f"{field.name}_")]
        if name in known or not begun:
            found.append(name)
            continue
        field = max(begun, key=lambda each: len(each.name))
        (suited,) = suited_fields(reader, tables, [field])
        if suited.name == flat:
            found.append(field.name)
        elif suited.name != field.name and flat.removeprefix(f"{field.name}_") in UNITS_IN_NAMES:
            raise ArtefactError(f"{reader.path}: no column {name!r}; here it is {suited.name}, or write {field.name}")
        else:
            found.append(name)
    return found


def suited_fields(reader: StudyReader, tables: Sequence[PointTable], fields: Sequence[Field]) -> list[Field]:
    """The columns in the units that suit the median of their sizes in the first block; of points, the median of these.

    Their names end with the unit.
    """

    @cache
    def measure(column: str) -> Measure:
        unit = str(reader.attributes(f"{tables[0].label}/{column}")["units"])
        if (base := _root(unit)) not in SCALED:
            return unit, 0.0
        sizes = [size_of(reader.rows(f"{each.label}/{column}", 0, min(each.rows, blocks.BLOCK))) for each in tables]
        size = size_of(np.array(sizes))
        return base, size if base == unit else math.sqrt(size)

    return [in_suited_unit(field, _measures(field, measure)) for field in fields]


def _measures(field: Field, measure: Callable[[str], Measure]) -> list[Measure]:
    """What sets the unit of a column."""
    if field.constants and field.units != "1":
        return [(field.units, size_of(np.array([*field.constants.values()], float)))]
    return [measure(column) for column in field.sized_by] if field.units != "1" else []


def size_of(values: np.ndarray) -> float:
    """The median of the sizes of numbers that are finite and not 0; 0 without any."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.median(sizes)) if len(sizes) else 0.0


def in_suited_unit(field: Field, measures: Sequence[Measure]) -> Field:
    """A column in the product of the units that suit these sizes, with a name that ends with it."""
    scales = [prefixed(size, unit) for unit, size in measures]
    unit = product_of_units([unit for _, unit in scales], field.per)
    end = f"_{in_names(unit)}" if in_names(unit) else ""
    factor = math.prod(factor for factor, _ in scales)
    return field._replace(name=f"{field.name}{end}", factor=factor, units=unit)
