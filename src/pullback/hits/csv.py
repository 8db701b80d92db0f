"""Hits in CSV files, also compressed by gzip or zstd: a header, then one row per muon.

Cells are separated by commas or, where the header has none, by semicolons or tabs; numbers then may have decimal
commas. An empty cell is a missing hit, and so is an empty line in a file with one column. Cells may be quoted; a quoted
cell may contain separators, line breaks and doubled quotes. Any other cell that begins with a quote is refused when
rows are counted, since an open quote would merge all following rows into one cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..errors import HitsError, one_line
from ..files import SEPARATORS, separator_of
from .arrow_kinds import ArrowKind, cells_to_kind
from .columns import Chunks, NoColumnError, WrongKindError, check_element, find_column, rows_of
from .compressed import chunks_of, open_bytes, open_text, whole_stream
from .native import AS_NUMBER, kinds_or_numbers

CSV_CHUNK_BYTES = 8 << 20
"""Bytes per chunk, and the maximum length of a row."""

TOO_LONG = f"is longer than {CSV_CHUNK_BYTES >> 20} MiB; is this CSV, with line ends?"

OTHER_SEPARATORS = {"|": "vertical lines", " ": "spaces"}
"""Separators that may have been used instead."""

DECIMAL_COMMA = r"^(\s*[+-]?\d*),(\d*(?:[eE][+-]?\d+)?\s*)$"
DECIMAL_POINT = r"^\s*[+-]?\d*\.\d*(?:[eE][+-]?\d+)?\s*$"
"""Numbers with decimal commas, and with decimal points."""

OF_NUMBERS = {DECIMAL_COMMA: "decimal comma", DECIMAL_POINT: "decimal point"}
"""What numbers have, in words."""

NAMED_AS_EXAMPLE = 5
"""Columns of a file without a header up to which an example of one is whole."""

MISSING = ("na", "n/a", "#n/a", "nil", "none", "null", "missing", "-", "--", "?")
"""Common marks of a missing hit in other formats."""


def count(file: str, names: Sequence[str], tree: str = "", kinds: Sequence[str] = ()) -> int:
    """The number of rows, from reading the file once."""
    with _arrow_errors(file):
        _check_quotes(file, _header(file, names))
        return sum(len(table) for table in _tables(file, names))


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "", kinds: Sequence[str] = ()) -> Chunks:
    """The rows [start, stop) of the columns, in a file whose rows were counted."""
    wanted = list(zip(names, kinds_or_numbers(names, kinds), strict=True))
    with _arrow_errors(file):
        for first, rows in rows_of(_tables(file, names), start, stop):
            yield [_values(rows.column(name), kind, file, name, first) for name, kind in wanted]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All rows of the columns as text, in chunks; the caller makes numbers of them by `text_to_numbers`."""
    with _arrow_errors(file):
        _check_quotes(file, _header(file, names))
        for rows in _tables(file, list(dict.fromkeys(names))):
            yield [rows.column(name) for name in names]


def find_kinds(file: str, names: Sequence[str], tree: str = "") -> list[str]:
    """The type of each column, from reading the file once."""
    found = [ArrowKind(file, name, of_cells=True) for name in names]
    with _arrow_errors(file):
        for rows in _tables(file, names):
            for name, kind in zip(names, found, strict=True):
                kind.add(rows.column(name))
    return [kind.kind() for kind in found]


def _values(column: pa.Array, kind: str, file: str, name: str, first: int) -> np.ndarray:
    return text_to_numbers(column, file, name, first) if kind == AS_NUMBER else cells_to_kind(column, kind)


def _tables(file: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns as text, in chunks."""
    header, lines, separator = _header(file, names)
    reader = pa.csv.open_csv(
        open_bytes(file),
        # One thread, so that rows come in order and errors name the first row.
        read_options=pa.csv.ReadOptions(
            use_threads=False, block_size=CSV_CHUNK_BYTES, column_names=header, skip_rows=len(lines)
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=separator, ignore_empty_lines=len(header) > 1, newlines_in_values=True
        ),
        # Cells are read as text, so that an invalid number can be reported with row and column.
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(dict.fromkeys(names)),
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    with reader:
        yield from reader if separator == "," else _with_points(file, reader)


def _with_points(file: str, tables: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Numbers with decimal points in place of decimal commas; a file that has numbers of both kinds is refused."""
    start, seen = 0, dict[str, _Cell]()
    for rows in tables:
        wanted = [pattern for pattern in OF_NUMBERS if pattern == DECIMAL_COMMA or pattern not in seen]
        here = {pattern: cell for pattern in wanted if (cell := _first_cell(rows, pattern, start))}
        seen = here | seen
        if len(seen) > 1:
            (_, before), (cell, what) = sorted((cell, OF_NUMBERS[pattern]) for pattern, cell in seen.items())
            where = f"{file}: row {cell.row}, column {rows.schema.names[cell.column]!r}: '{one_line(cell.text)}'"
            raise HitsError(f"{where} has a {what}, and numbers before it have {before}s; write all alike")
        commas = DECIMAL_COMMA in here
        columns = (
            [pc.replace_substring_regex(each, DECIMAL_COMMA, r"\1.\2") for each in rows.columns] if commas else None
        )
        yield pa.RecordBatch.from_arrays(columns, schema=rows.schema) if columns else rows
        start += len(rows)


class _Cell(NamedTuple):
    """A cell by its row, from 1, and the index of its column."""

    row: int
    column: int
    text: str


def _first_cell(rows: pa.RecordBatch, pattern: str, start: int) -> _Cell | None:
    """The first cell with such a number; `start` rows are before these."""
    found = [pc.index(pc.match_substring_regex(column, pattern), True).as_py() for column in rows.columns]
    cells = [
        _Cell(start + at + 1, index, rows.column(index)[at].as_py().strip())
        for index, at in enumerate(found)
        if at >= 0
    ]
    return min(cells, default=None)


class _Header(NamedTuple):
    """All columns, the lines of the header, and the separator of cells."""

    columns: list[str]
    lines: list[str]
    separator: str


def _header(file: str, names: Sequence[str] = ()) -> _Header:
    """The header, checked to contain the given names."""
    lines: list[str] = []
    with open_text(file) as stream:
        try:
            every = _lines(stream, lines)
            first = next(every, "")
            separator = separator_of(first)
            cells = csv.reader(chain([first], every) if first else [], strict=True, delimiter=separator)
            header = [name.strip() for name in next(cells, [])]
        except csv.Error as error:
            raise HitsError(f"{file}: the header: {_explain(error)}") from None
    try:
        "".join(header).encode()
    except UnicodeEncodeError:
        raise not_utf8(file) from None
    if not header:
        if not any(lines):
            raise HitsError(f"{file}: the file is empty; it needs named columns, and one row per muon")
        raise HitsError(f"{file}: the first line is empty; it must be the header, which names the columns")
    for name in names:
        try:
            check_element(file, *find_column(file, name, header, header_advice), ())
        except NoColumnError:
            if missing := without_header(header, separator):
                raise HitsError(f"{file}: {missing}") from None
            raise
    return _Header(header, lines, separator)


def without_header(header: Sequence[str], separator: str) -> str:
    """What to write above a first line that holds only numbers; empty if it holds anything else."""
    line = separator.join(header).strip()
    for each in [*SEPARATORS, None]:  # None: spaces
        cells = [re.sub(DECIMAL_COMMA, r"\1.\2", cell).strip() for cell in line.split(each)]
        if not any(cells) or not _are_numbers(pa.array([cell or "0" for cell in cells])):
            continue
        names = [f"x{index}" for index in range(len(cells))] if len(cells) <= NAMED_AS_EXAMPLE else ["x0", "x1", "…"]
        columns = f"{len(cells)} columns" if len(cells) > 1 else "column"
        separated = {"\t": ", separated by tabs", None: "; cells must be separated by commas, semicolons or tabs"}
        between = ", " if each == "\t" else each or ","
        example = f"names its {columns}, such as {between.join(names)}{separated.get(each, '')}"
        return f"the header is missing, since the first line holds only numbers: write a line above it that {example}"
    return ""


def _lines(stream: TextIOWrapper, taken: list[str]) -> Iterator[str]:
    """The lines of a file; `taken` collects the last ones until it is cleared."""
    while line := stream.readline(CSV_CHUNK_BYTES):
        if 4 * len(line) >= CSV_CHUNK_BYTES and len(line.encode(errors="surrogateescape")) >= CSV_CHUNK_BYTES:
            raise csv.Error(TOO_LONG)
        taken.append(line)
        yield line


def _check_quotes(file: str, header: _Header) -> None:
    """Refuse a cell that begins with a quote and is not ended by the next single quote."""
    quotes = sum(part.count(b'"') for part in chunks_of(file))
    if quotes == sum(line.count('"') for line in header.lines):
        return  # the usual case; the check takes longer than reading the numbers
    row, lines = 0, list[str]()
    with open_text(file) as stream:
        try:
            for cells in csv.reader(_lines(stream, lines), strict=True, delimiter=header.separator):
                row += bool(cells) or len(header.columns) == 1  # other empty lines are ignored
                lines.clear()
        except csv.Error as error:
            raise HitsError(f"{file}: row {row}: {_explain(error)}: '{one_line(lines[0])}'") from None


def _explain(error: csv.Error) -> str:
    """Explanation of an error with quotes or lengths, with advice."""
    if "unexpected end" in str(error):
        return "a quote is opened and not closed, so that all following rows are one cell; close it or remove it"
    if "field larger" in str(error):
        return f"a cell has more than {csv.field_size_limit()} characters; is a quote opened and not closed?"
    if "expected after" in str(error):
        return "text follows the quote that ends a cell; close the cell before, or write quotes within it twice"
    return str(error)


def header_advice(header: Sequence[str]) -> str:
    """Advice about a header without a requested column; empty without advice."""
    first = header[0]
    if "\0" in first:
        return "this is not UTF-8 text: save it as CSV UTF-8"
    if first.startswith("#"):
        return "the first line must be the header: remove the #, and all comments"
    if first.startswith("sep="):
        return "the first line must be the header: remove the line that begins with sep="
    for separator, words in (SEPARATORS | OTHER_SEPARATORS).items():
        if separator == "," or not any(separator in name.strip() for name in header):
            continue
        if separator in SEPARATORS:
            return f"the header has commas and {words}; it must have one of them, which separates the cells"
        if separator != " " or len(header) == 1:
            return f"cells must be separated by commas, semicolons or tabs, not by {words}"
    return ""


def text_to_numbers(column: pa.Array, file: str, name: str, first: int) -> np.ndarray:
    """Cells as numbers; `first` is the index of the first row, used to report an invalid cell."""
    cells = pc.utf8_trim_whitespace(column)
    cells = pc.if_else(pc.equal(cells, ""), "nan", cells)
    if _are_numbers(cells):
        return cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
    good, bad = 0, len(cells)  # bisection: cells before `good` are numbers, a bad one is before `bad`
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _are_numbers(cells[good:middle]) else (good, middle)
    cell = column[good].as_py()
    line = f"{file}: row {first + bad}, column {name!r}: '{one_line(cell)}' is not a number{_why(cell, name)}"
    raise WrongKindError(line, name, AS_NUMBER)


def _why(cell: str, name: str) -> str:
    """Advice about a cell that is not a number; empty without advice."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return "; leave the cell of a missing hit empty"
    if cell == name:
        return "; duplicate of the header: remove that line"
    if "\n" in cell or "\r" in cell:
        return "; close the quote at the beginning of the cell, or remove it"
    if re.fullmatch(r"[+-]?[\d.]+(,\d*)+", cell):
        return "; numbers have decimal points and no other separators"
    if re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?\s*[a-zµμ]+", cell):
        return "; cells are numbers alone, in the unit of source.unit"
    if re.fullmatch(r"[+-]?[\d.]+[dD][+-]?\d+", cell):
        return "; an exponent begins with e: 1e-3"
    if cell.startswith(("\N{MINUS SIGN}", "\N{EN DASH}")):
        return "; a minus sign is -"
    return ""


def _are_numbers(cells: pa.Array) -> bool:
    try:
        cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


@contextmanager
def _arrow_errors(file: str) -> Iterator[None]:
    """Report errors of the reader as one line that names the file."""
    with whole_stream(file):
        try:
            yield
        except pa.ArrowInvalid as error:
            raise _refusal(file, next(iter(str(error).splitlines()), "")) from error


def _refusal(file: str, reason: str) -> HitsError:
    """The error for a message of the reader."""
    if "UTF8" in reason:
        return not_utf8(file)
    if "straddling" in reason:
        return HitsError(f"{file}: a row {TOO_LONG}")
    _, lines, separator = _header(file)
    if "Empty CSV file" in reason or "Could not skip initial" in reason:
        if len("".join(lines)) < Path(file).stat().st_size // 8:
            return HitsError(f"{file}: the header {TOO_LONG}")
        return HitsError(f"{file}: holds no hits, only a header")
    if not (found := re.search(r"Row #(\d+): Expected (\d+) columns?, got (\d+): (.*)", reason)):
        return HitsError(f"{file}: can't be read: {one_line(reason)}")
    row, expected, got = map(int, found.groups()[:3])
    advice = "is a cell missing, or the end of the file?"
    if got > expected:
        advice = f"text with {SEPARATORS[separator]} is quoted"
        advice = f"numbers have decimal points, and {advice}" if separator == "," else advice
    if found[4].startswith("#"):
        advice = "remove comments"
    # Rows are counted from 1, without the header.
    where = f"{file}: row {row - len(lines)}"
    cells = f"{got} cell{'s' * (got > 1)}"
    return HitsError(f"{where}: has {cells}, and the header {expected}: '{one_line(found[4])}'; {advice}")


def not_utf8(file: str) -> HitsError:
    """The error for a file that is not UTF-8, with the location of the first invalid byte."""
    separator = b","
    with BufferedReader(open_bytes(file)) as lines:
        for row, line in enumerate(lines):
            separator = separator if row else separator_of(line.decode(errors="replace")).encode()
            for column, cell in enumerate(line.split(separator), 1):
                try:
                    cell.decode("utf-8")
                except UnicodeDecodeError:
                    where = f"row {row}, column {column}" if row else f"the header, column {column}"
                    return HitsError(f"{file}: {where}: is not UTF-8 text; save the file as CSV UTF-8")
    return HitsError(f"{file}: is not UTF-8 text; save the file as CSV UTF-8")
