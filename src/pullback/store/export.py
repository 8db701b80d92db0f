"""A scan point of a study as one flat table, with one row per muon: Parquet, ROOT or CSV.

A column of several dimensions becomes one column per element, named by the labels along its axes: `x_reco` (muon,
coordinate) becomes `x_reco_x0`, `x_reco_x1`, and `interval68_theta` (muon, end) becomes `interval68_theta_low`,
`interval68_theta_high`. Flags are integers. Lengths and angles are in the units that suit their size, such as mm, µm
and mrad, and their names end with the unit: `sigma_theta_mrad`. With `units="si"` numbers and names are those of
`study.h5`, and exact in all three formats. Parquet stores `units` and `long_name` in the metadata of each field, which
ROOT and CSV cannot. The same study gives the same bytes, except for ROOT, which writes the time into its files.
Without a choice of columns, the table has those that most people want; `export_order` lists them, and the order of all
others. With `digits`, values in CSV have the digits that their σ deserves.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..errors import LONGEST_NAME, ArtefactError, PullbackError, one_line
from ..files import check_regular, check_replaceable, whole
from ..hits.root import load_uproot
from ..statistics.prefixes import prefixed
from ..study import blocks
from ..study.batches import short
from .artefact import Reader
from .encoding import dtype_of
from .export_digits import SIGMA_OF, rounded_texts
from .export_order import MUON, POINT, UNIT_OF, default_columns, ordered
from .study_file import StudyReader, open_study

TREE = "muons"
"""The name of the tree in a ROOT file."""

TABLES = {"muons": ("", "muon"), "toys": ("/toys", "toy_muon")}
"""Tables of a point: the subgroup of the columns, and the dimension of the rows."""

SCALED = ("m", "rad")
"""Units that are replaced by those that suit the size."""

UNIT_CHOICES = ("suited", "si")
"""Units of the columns: those that suit their size, or those of the study."""

FILE_ENDS = {".parquet": "parquet", ".pq": "parquet", ".root": "root", ".csv": "csv"}
"""Kinds of files by the end of their names."""

MOST_SIGMA_DIGITS = 9
"""Significant digits of σ at most."""

ALL = "all"
"""Stands for all columns in a choice of columns."""

INDEX = f"/{MUON}"
"""The column of the indices of the muons, which no study stores."""

Append = Callable[[list[Any]], None]
"""Writes the next rows of a table."""


class Field(NamedTuple):
    """A column of the table: one element of a column of the study."""

    name: str
    column: str
    element: tuple[slice | int, ...]
    dtype: np.dtype
    units: str
    long_name: str
    factor: float = 1.0
    sigma: str = ""
    """The column of the study whose σ sets the decimal place of the values; empty: they are written in full."""
    unit_of: str = ""
    """The column of the study whose size sets the unit; empty: this one."""
    label: bytes = b""
    """What stands in every row of the column of the point, which no study stores."""

    @property
    def dataset(self) -> str:
        """The name of the column of the study."""
        return self.column.rsplit("/", 1)[1]


class Exported(NamedTuple):
    """The written file and the size of its table."""

    path: Path
    rows: int
    columns: int


def export(
    study: str | Path,
    kind: str = "",
    *,
    point: str | None = None,
    table: str = "muons",
    columns: Sequence[str] = (),
    units: str = "suited",
    digits: int = 0,
    output: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a point of `study.h5` as a flat table, block by block.

    Parameters
    ----------
    study : path
        The file `study.h5`, beside the artefacts that it refers to.
    kind : str
        "parquet", "root" (a tree `muons`; needs uproot) or "csv". Default: by the end of the name of `output`.
    point : str, optional
        Label of the point; not needed if the study has only one.
    table : str
        "muons", or "toys" for the results of toys, with one row for each muon that has toys.
    columns : sequence of str
        Columns of the table, or columns of the study, which select all their elements; "all" selects all columns.
        Default: of muons the index, the point if the study has several, kept columns and hits, and of each observable
        its value, σ, 68 % confidence interval, flag and whether linear propagation is valid; of toys all columns.
    units : str
        "suited": lengths and angles in m, mm, µm, rad, mrad or µrad, by the median size of the column in the first
        block, with the unit at the end of the column's name; "si": as in `study.h5`.
    digits : int
        Significant digits of σ, 1 to 9, to whose decimal place values of CSV are rounded: see `export_digits`. 0: all
        digits.
    output : path, optional
        The file. Default: `<point>.<kind>` beside `study.h5`, and for toys `<point>.toys.<kind>`. No other name is
        accepted in the folder of a study.
    force : bool
        Whether to overwrite an existing file.

    Returns
    -------
    Exported
        Path, number of rows and number of columns.

    Raises
    ------
    ArtefactError
        The study or one of its artefacts is missing or damaged, or the point, table or column does not exist.
    PullbackError
        The file cannot be written, exists already, has a reserved name in the folder of a study, is no regular file, or
        is named as one of another kind; or `digits` are asked for in another kind of file than CSV.
    ValueError
        Unknown kind, table or units.

    """
    kind = kind or _kind(output)
    for value, allowed in ((kind, _WRITERS), (table, TABLES), (units, UNIT_CHOICES)):
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    _check_kind(kind, output, digits)
    with _opened(study) as reader:
        label = _point(reader, point)
        fields, rows = _table(reader, label, table)
        fields = _chosen(study, fields, columns or (_by_default(reader, label, fields) if table == "muons" else (ALL,)))
        fields = _suited(reader, fields, rows) if units == "suited" else fields
        suffix = kind if table == "muons" else f"{table}.{kind}"
        beside = Path(study).with_name(f"{short(label)}.{suffix}")
        path = Path(output) if output else beside
        _check_target(path, beside, force)
        if kind == "root":
            load_uproot(path)
        with whole(path) as part, (_plain_csv if digits else _WRITERS[kind])(part, fields, label) as append:
            for start in range(0, rows, blocks.BLOCK):
                stop = min(start + blocks.BLOCK, rows)
                found = _rows(reader, fields, start, stop)
                append([*_texts(reader, fields, found, start, stop, digits)] if digits else found)
    return Exported(path, rows, len(fields))


def exported_columns(
    study: str | Path, *, point: str | None = None, table: str = "muons"
) -> list[tuple[str, str, str]]:
    """Name, unit and description of each column that `export` can write, in order.

    Raises
    ------
    ArtefactError
        As `export`.

    """
    with _opened(study) as reader:
        fields, _ = _table(reader, _point(reader, point or _labels(reader)[0]), table)
        return [(field.name, field.units, field.long_name) for field in fields]


def _opened(study: str | Path) -> AbstractContextManager[StudyReader]:
    check_regular(study, ArtefactError)
    return open_study(study, "name the study.h5 of a study")


def _kind(output: str | Path | None) -> str:
    """The kind of a file by its name."""
    if output and (kind := FILE_ENDS.get(Path(output).suffix.lower())):
        return kind
    wanted = (
        f"{one_line(str(output), LONGEST_NAME)}: doesn't end in"
        if output
        else "give --format, or an --output that ends in"
    )
    raise PullbackError(f"{wanted} {', '.join(FILE_ENDS)}{'; say which by --format' if output else ''}")


def _check_kind(kind: str, output: str | Path | None, digits: int) -> None:
    """Refuse a name of another kind of file, and digits where they are not written."""
    named = FILE_ENDS.get(Path(output).suffix.lower(), kind) if output else kind
    if named != kind:
        raise PullbackError(
            f"{output}: is named as {named}, and --format says {kind}: leave out --format, or rename it"
        )
    if digits and kind != "csv":
        raise PullbackError(
            f"--digits is for CSV, where numbers are text; {kind} holds them in full: leave --digits out"
        )
    if not 0 <= digits <= MOST_SIGMA_DIGITS:
        raise PullbackError(f"--digits is {digits}; it must be from 1 to {MOST_SIGMA_DIGITS}")


def _check_target(path: Path, beside: Path, force: bool) -> None:
    """Refuse to overwrite other files. In the folder of a study, only the default name cannot belong to the study."""
    check_replaceable(path)
    where, home = path.parent.resolve(), beside.parent.resolve()
    inside = any(folder == home or _is_study(folder) for folder in (where, *where.parents))
    if inside and (where, path.name) != (home, beside.name):
        raise PullbackError(
            f"{path}: is in the folder of a study, where only {beside} is allowed; name a file elsewhere with --output"
        )
    if path.exists() and not force:
        raise PullbackError(f"{path}: already exists; name another file with --output, or overwrite it with --force")


def _is_study(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("study.h5", "validation.json"))


def _labels(reader: Reader) -> list[str]:
    return list(dict.fromkeys(name.split("/")[1] for name, _ in reader.columns(".")))


def _point(reader: Reader, label: str | None) -> str:
    """The label of the named point, or of the only point."""
    labels = _labels(reader)
    if label is None and len(labels) == 1:
        return labels[0]
    if label in labels:
        return label
    problem = "has several points" if label is None else f"has no point {label!r}"
    raise ArtefactError(f"{reader.path}: {problem}; name one by --point: {' '.join(labels)}")


def _plain(label: str) -> str:
    """A label that is valid in column names: ROOT would read the brackets of `alignment.x[1]` as those of an array."""
    return re.sub(r"\W+", "_", label).strip("_")


def _fields(reader: Reader, label: str, table: str) -> tuple[list[Field], int]:
    """The columns of a table, and its number of rows."""
    suffix, rows_dim = TABLES[table]
    fields, rows = [], 0
    for path, dataset in reader.columns(label):
        group, name = path.rsplit("/", 1)
        dims = reader.dims(path)
        if group != label + suffix or next(iter(dims)) != rows_dim:
            continue
        rows = len(dataset)
        labels = [
            labels or [*map(str, range(n))] for n, labels in zip(dataset.shape[1:], [*dims.values()][1:], strict=True)
        ]
        dtype = np.dtype("u1") if dataset.dtype == bool else dtype_of(dataset)
        for indices in np.ndindex(dataset.shape[1:]):
            words = [names[index] for names, index in zip(labels, indices, strict=True)]
            long_name = ", ".join([dataset.attrs["long_name"], *words])
            flat = "_".join([name, *map(_plain, words)])
            fields.append(Field(flat, path, (slice(None), *indices), dtype, dataset.attrs["units"], long_name))
    if not fields:
        raise ArtefactError(f"{reader.path}: point {label} has no table of {table}")
    return fields, rows


def _table(reader: StudyReader, label: str, table: str) -> tuple[list[Field], int]:
    """The columns of a table in order, and its number of rows; the first is the index of the muon."""
    fields, rows = _fields(reader, label, table)
    there = {field.dataset: field.column for field in fields}
    observables = reader.observables(label)
    places = {name: place for place, name in enumerate(ordered(there, reader.kept(label), observables))}
    sigma, unit_of = (_related(forms, observables, there) for forms in (SIGMA_OF, UNIT_OF))
    found = [field._replace(sigma=sigma(field), unit_of=unit_of(field)) for field in fields]
    found.sort(key=lambda field: places[field.dataset])
    if MUON not in there:
        index = Field(MUON, INDEX, (slice(None),), np.dtype("i8"), "1", "index of the muon in its point")
        found.insert(0, index)
    if POINT not in there and len(_labels(reader)) > 1:
        text = label.encode()
        kind, about = np.dtype(f"S{len(text)}"), "label of the scan point"
        found.insert(1, Field(POINT, f"/{POINT}", (slice(None),), kind, "1", about, label=text))
    return found, rows


def _by_default(reader: StudyReader, label: str, fields: Sequence[Field]) -> list[str]:
    """The columns of the study that are exported by default."""
    return default_columns([field.dataset for field in fields], reader.kept(label), reader.observables(label))


def _related(forms: Mapping[str, str], observables: Sequence[str], there: Mapping[str, str]) -> Callable[[Field], str]:
    """The related column of the study of each column; empty if there is none."""
    names = {form.format(each): other.format(each) for form, other in forms.items() for each in observables}
    return lambda field: there.get(names.get(field.dataset, ""), "")


def _chosen(study: str | Path, fields: list[Field], names: Sequence[str]) -> list[Field]:
    """The columns of these names in this order."""
    chosen: list[Field] = []
    for name in names:
        found = [field for field in fields if name in (field.name, field.dataset, ALL)]
        if not found:
            there = [*dict.fromkeys(each for field in fields for each in (field.dataset, field.name))]
            close = difflib.get_close_matches(name, there, n=3)
            advice = f"did you mean {' or '.join(close)}? " if close else ""
            raise ArtefactError(f"{study}: no column {name!r}; {advice}--list names all")
        chosen += [field for field in found if field not in chosen]
    return chosen


def _suited(reader: Reader, fields: list[Field], rows: int) -> list[Field]:
    """The columns in the units that suit the median of their sizes in the first block."""
    scaled = dict.fromkeys(field.unit_of or field.column for field in fields if field.units in SCALED)
    first = {path: reader.rows(path, 0, min(rows, blocks.BLOCK)) for path in scaled}
    return [
        _in_unit_of(field, first[field.unit_of or field.column]) if field.units in SCALED else field for field in fields
    ]


def _in_unit_of(field: Field, values: np.ndarray) -> Field:
    """A column of lengths or angles in the unit that suits the size of the values."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    factor, unit = prefixed(float(np.median(sizes)) if len(sizes) else 0.0, field.units)
    return field._replace(name=f"{field.name}_{unit.replace('µ', 'u')}", factor=factor, units=unit)


def _rows(reader: Reader, fields: list[Field], start: int, stop: int) -> list[np.ndarray]:
    """Rows [start, stop) of each column of the table."""
    once = {field.column: field for field in fields}
    columns = {path: _column(reader, field, start, stop) for path, field in once.items()}
    found = [np.ascontiguousarray(columns[field.column][field.element], field.dtype) for field in fields]
    return [each if field.factor == 1 else field.factor * each for field, each in zip(fields, found, strict=True)]


def _column(reader: Reader, field: Field, start: int, stop: int) -> np.ndarray:
    """Rows [start, stop) of a column of the study, or of one that is not stored."""
    if field.column == INDEX:
        return np.arange(start, stop)
    if field.label:
        return np.full(stop - start, field.label, field.dtype)
    return reader.rows(field.column, start, stop)


def _texts(
    reader: Reader, fields: list[Field], found: list[np.ndarray], start: int, stop: int, digits: int
) -> Iterator[list[Any]]:
    """The rows [start, stop) as they are written: values with the digits that their σ deserves, others in full."""
    paths = dict.fromkeys(field.sigma for field in fields if field.sigma)
    sigmas = {path: reader.rows(path, start, stop) for path in paths}
    for field, values in zip(fields, found, strict=True):
        if field.sigma:
            yield rounded_texts(values, field.factor * sigmas[field.sigma], digits)
        else:
            yield (_decoded(values) if values.dtype.kind == "S" else values).tolist()


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8", "replace")


@contextmanager
def _plain_csv(part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    """Columns of text and numbers as CSV, where numbers are written as they are given."""
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields])
        yield lambda columns: writer.writerows(zip(*columns, strict=True))


@contextmanager
def _arrow(writer_class: Any, part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    schema = _schema(fields, label)
    with writer_class(part, schema) as writer:
        yield lambda columns: writer.write_batch(pa.record_batch([*map(_of_arrow, columns)], schema=schema))


def _of_arrow(values: np.ndarray) -> Any:
    """A column as Arrow takes it: text as such."""
    return pa.array(_decoded(values).tolist()) if values.dtype.kind == "S" else values


@contextmanager
def _root(part: Path, fields: list[Field], label: str) -> Iterator[Append]:
    uproot = load_uproot(part)
    # An open file instead of its name, in which uproot would interpret a colon.
    with part.open("w+b") as stream, uproot.recreate(stream) as file:
        kinds = {field.name: "string" if field.dtype.kind == "S" else field.dtype for field in fields}
        tree = file.mktree(TREE, kinds, title=label)
        yield lambda columns: tree.extend(
            {field.name: _of_root(values) for field, values in zip(fields, columns, strict=True)}
        )


def _of_root(values: np.ndarray) -> Any:
    """A column as uproot takes it: text as such."""
    if values.dtype.kind != "S":
        return values
    import awkward  # which uproot needs, too

    return awkward.from_iter(_decoded(values).tolist())


_WRITERS: dict[str, Callable[[Path, list[Field], str], AbstractContextManager[Append]]] = {
    "parquet": partial(_arrow, pa.parquet.ParquetWriter),
    "root": _root,
    "csv": partial(_arrow, pa.csv.CSVWriter),
}


def _schema(fields: list[Field], label: str) -> pa.Schema:
    columns = [
        pa.field(
            field.name,
            pa.string() if field.dtype.kind == "S" else pa.from_numpy_dtype(field.dtype),
            nullable=False,
            metadata={"units": field.units, "long_name": field.long_name},
        )
        for field in fields
    ]
    return pa.schema(columns, metadata={"point": label})
