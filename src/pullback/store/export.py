"""A scan point of a study, or all, as one flat table with one row per muon: Parquet, ROOT or CSV.

A column of several dimensions becomes one column per element, named by the labels along its axes: `x_reco` (muon,
coordinate) becomes `x_reco_x0`, `x_reco_x1`, and `interval68_theta` (muon, end) becomes `interval68_theta_low`,
`interval68_theta_high`. Flags are integers. Lengths and angles are in the units that suit their size, such as mm, µm
and mrad, and all names end with the unit: `sigma_theta_mrad`, `budget_theta_layer_0_mrad2`. With `units="si"` numbers
and names are those of `study.h5`, and exact in all three formats. Parquet stores `units` and `long_name` in the
metadata of each field, and ROOT in a text `columns`; CSV can't. The same study gives the same bytes, except for ROOT,
which writes the time into its files. Without a choice of columns, the table has those that most people want;
`export_order` lists them, and the order of all others. With `digits`, values in CSV have the digits that their σ
deserves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import LONGEST_NAME, ArtefactError, PullbackError, one_line
from ..files import check_regular, check_replaceable, whole
from ..hits.root import load_uproot
from ..study import blocks
from ..study.batches import short
from .export_digits import rounded_texts
from .export_fields import (
    ALL,
    TABLES,
    Field,
    PointTable,
    chosen_fields,
    default_of,
    suited_fields,
    table_of,
    without_units,
)
from .export_files import WRITERS, as_text, described, plain_csv
from .export_points import ALL_POINTS, chosen_points
from .study_file import StudyReader, open_study

UNIT_CHOICES = ("suited", "si")
"""Units of the columns: those that suit their size, or those of the study."""

FILE_ENDS = {".parquet": "parquet", ".pq": "parquet", ".root": "root", ".csv": "csv"}
"""Kinds of files by the end of their names."""

MOST_SIGMA_DIGITS = 9
"""Significant digits of σ at most."""


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
    """Write a point of `study.h5`, or all, as a flat table, block by block.

    Parameters
    ----------
    study : path
        The file `study.h5`, beside the artefacts that it refers to.
    kind : str
        "parquet", "root" (a tree `muons`; needs uproot) or "csv". Default: by the end of the name of `output`.
    point : str, optional
        The point by its label, its number in the scan, or some of its scanned values, with or without units:
        "model.dz=1.5 m". "all": all points in one table, with the scanned values as first columns. Not needed if the
        study has only one point.
    table : str
        "muons", or "toys" for the results of toys, with one row for each muon that has toys.
    columns : sequence of str
        Columns of the table, with or without the unit that ends their names, as `theta`, `theta_mrad` and
        `theta [mrad]`; or columns of the study, which select all their elements; "all" selects all columns.
        Default: of muons the index, the point if the study has several, kept columns and hits, and of each observable
        its value, σ, 68 % confidence interval, flag and whether linear propagation is valid; of toys all columns.
    units : str
        "suited": lengths and angles in m, mm, µm, rad, mrad or µrad, by the median size of the column in the first
        block (of several points, by the median over the points), with the unit at the end of the names of all columns
        that have one; "si": as in `study.h5`, with names that are the same for all studies of a model.
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
        The study or one of its artefacts is missing or damaged; the point, table or column does not exist; or several
        points are meant.
    PullbackError
        The file cannot be written, exists already, is in a folder that does not exist, has a reserved name in the
        folder of a study, is no regular file, or is named as one of another kind; or `digits` are asked for in another
        kind of file than CSV.
    ValueError
        Unknown kind, table or units.

    """
    if str(output) == "-":
        raise PullbackError("-: a table is written to a file, not to the standard output; name one with --output")
    for value, allowed in ((kind or "csv", WRITERS), (table, TABLES), (units, UNIT_CHOICES)):
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    with _opened(study) as reader:
        tables = _tables(reader, point, table)
        first = tables[0]
        names = columns or (default_of(reader, first) if table == "muons" else (ALL,))
        names = without_units(reader, tables, names) if units == "suited" else names
        fields = chosen_fields(study, first.fields, names)
        kind = kind or _kind(output)
        _check_kind(kind, output, digits)
        _check_alike(reader, tables, fields)
        fields = suited_fields(reader, tables, fields) if units == "suited" else fields
        label = first.label if len(tables) == 1 else ALL_POINTS
        suffix = kind if table == "muons" else f"{table}.{kind}"
        beside = Path(study).with_name(f"{short(label)}.{suffix}")
        path = Path(output) if output else beside
        _check_target(path, beside, force)
        if kind == "root":
            load_uproot(path)
        with whole(path) as part, (plain_csv if digits else WRITERS[kind])(part, fields, label) as append:
            for block in _texts(reader, tables, fields, digits) if digits else _blocks(reader, tables, fields):
                append(block)
    return Exported(path, sum(each.rows for each in tables), len(fields))


def exported_columns(
    study: str | Path, *, point: str | None = None, table: str = "muons"
) -> list[tuple[str, str, str]]:
    """Name, unit and description of each column that `export` can write, in order; of the first point by default.

    Raises
    ------
    ArtefactError
        As `export`.

    """
    with _opened(study) as reader:
        return described(_tables(reader, point or reader.labels()[0], table)[0].fields)


def exported_points(study: str | Path) -> list[tuple[str, str]]:
    """Label of each point in the order of the scan, and what people read in its place.

    Raises
    ------
    ArtefactError
        The study is missing or damaged.

    """
    with _opened(study) as reader:
        return [(label, reader.words(label)) for label in reader.labels()]


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
    if not path.parent.is_dir():
        raise PullbackError(f"{path}: there is no folder {path.parent}; make it, or name another with --output")
    if path.exists() and not force:
        raise PullbackError(f"{path}: already exists; name another file with --output, or overwrite it with --force")


def _is_study(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("study.h5", "validation.json"))


def _tables(reader: StudyReader, point: str | None, table: str) -> list[PointTable]:
    """The tables of the wanted points."""
    labels = chosen_points(reader, point)
    return [table_of(reader, label, table, labels if point == ALL_POINTS else ()) for label in labels]


def _check_alike(reader: StudyReader, tables: Sequence[PointTable], fields: Sequence[Field]) -> None:
    """Refuse to put points into one table that have not all of these columns alike."""
    for each in tables[1:]:
        there = {field.name: field for field in each.fields}
        for field in fields:
            other = there.get(field.name)
            if other is None or (other.units, other.dtype) != (field.units, field.dtype):
                raise ArtefactError(
                    f"{reader.path}: the points {tables[0].label} and {each.label} differ in the column {field.name}; "
                    "export one point, or choose other --columns"
                )


Span = tuple[str, int, int]
"""Label of a point, and a range of rows."""


def _spans(tables: Sequence[PointTable]) -> Iterator[Span]:
    for each in tables:
        for start in range(0, each.rows, blocks.BLOCK):
            yield each.label, start, min(start + blocks.BLOCK, each.rows)


def _blocks(reader: StudyReader, tables: Sequence[PointTable], fields: Sequence[Field]) -> Iterator[list[np.ndarray]]:
    """The rows of each column, of small points together: a block of a file for each would take long to read."""
    held: list[list[np.ndarray]] = []
    for span in _spans(tables):
        found = _rows(reader, fields, span)
        if held and sum(len(each[0]) for each in held) + len(found[0]) > blocks.BLOCK:
            yield _together(held)
            held = []
        held.append(found)
    if held:
        yield _together(held)


def _together(held: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(columns) if len(columns) > 1 else columns[0] for columns in zip(*held, strict=True)]


def _rows(reader: StudyReader, fields: Iterable[Field], span: Span) -> list[np.ndarray]:
    """A range of rows of each column of the table."""
    once = {field.column: field for field in fields}
    columns = {column: _column(reader, field, span) for column, field in once.items()}
    found = [np.ascontiguousarray(columns[field.column][field.element], field.dtype) for field in fields]
    return [each if field.factor == 1 else field.factor * each for field, each in zip(fields, found, strict=True)]


def _column(reader: StudyReader, field: Field, span: Span) -> np.ndarray:
    """A range of rows of a column of the study, or of one that is not stored."""
    label, start, stop = span
    if field.constants:
        return np.full(stop - start, field.constants[label], field.dtype)
    return reader.rows(f"{label}/{field.column}", start, stop) if field.column else np.arange(start, stop)


def _texts(
    reader: StudyReader, tables: Sequence[PointTable], fields: Sequence[Field], digits: int
) -> Iterator[list[list[Any]]]:
    """The rows as they are written: values with the digits that their σ deserves, others in full."""
    paths = dict.fromkeys(field.sigma for field in fields if field.sigma)
    for label, start, stop in _spans(tables):
        sigmas = {path: reader.rows(f"{label}/{path}", start, stop) for path in paths}
        found = zip(fields, _rows(reader, fields, (label, start, stop)), strict=True)
        yield [
            rounded_texts(values, field.factor * sigmas[field.sigma], digits) if field.sigma else as_text(values)
            for field, values in found
        ]
