"""The header and the first rows of a CSV file, compressed or not."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Sequence
from typing import Any

from ..errors import HitsError
from ..files import SEPARATORS, separator_of
from .compressed import COMPRESSION, open_bytes, whole_stream
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name
from .csv import DECIMAL_COMMA, header_advice, not_utf8, without_header
from .guards import suffix_of

HEAD_BYTES = 4 << 20
"""Bytes of text that are read at most."""


def describe(file: str, name: str = "") -> Contents:
    """The columns of a CSV file, whose kinds are those of its first rows; it has no tables by name."""
    if name:
        raise HitsError(f"{file}: a CSV file has no tables by name; leave {name!r} out")
    compression = COMPRESSION.get(suffix_of(file), "")
    with whole_stream(file), open_bytes(file) as stream:
        start = stream.read(HEAD_BYTES)
        whole = len(start) < HEAD_BYTES
    text = _text(file, start, whole)
    separator = separator_of(text.partition("\n")[0])
    header, rows, more = _parsed(file, text, separator)
    columns = [
        FileColumn(title, *_typed([row[index] for row in rows], separator), unit=unit_in_name(title))
        for index, title in enumerate(header[:MOST_LISTED])
    ]
    left_out, counted, rows_are = max(0, len(header) - MOST_LISTED), len(rows) + more, ""
    if not whole and compression:
        rows_are = "more than"
    elif not whole:
        counted, rows_are = int(float(f"{counted * os.path.getsize(file) / len(start):.2g}")), "about"
    table = FileTable("", counted, tuple(columns), rows_are, left_out)
    separated = "" if separator == "," else f"separated by {SEPARATORS[separator]}"
    kind = ", ".join(filter(None, ("CSV", separated, compression and f"compressed by {compression}")))
    return Contents(file, kind, "", (table,))


def _parsed(file: str, text: str, separator: str) -> tuple[list[str], list[list[str]], int]:
    """The header, the first rows, and the number of the others."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        header = [title.strip() for title in next(lines, [])]
        rows = (row or [""] for row in lines if row or len(header) == 1)
        first = list(itertools.islice(rows, head_rows(len(header))))
        more = sum(1 for _ in rows)
    except csv.Error as error:
        raise HitsError(f"{file}: line {lines.line_num}: {error}; is a quote opened and not closed?") from None
    if not header:
        raise HitsError(f"{file}: the first line is empty; it must be the header, which names the columns")
    if advice := without_header(header, separator) or header_advice(header):
        raise HitsError(f"{file}: {advice}")
    for number, row in enumerate(first, start=1):
        if len(row) != len(header):
            raise HitsError(
                f"{file}: row {number}: has {len(row)} cell{'s' * (len(row) != 1)}, and the header {len(header)}"
            )
    return header, first, more


def _text(file: str, start: bytes, whole: bool) -> str:
    """The whole lines of the start of a file; the last line of a part of a file is left out."""
    try:
        text = (start if whole else start[: start.rfind(b"\n") + 1]).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise not_utf8(file) from None
    if not text:
        raise HitsError(f"{file}: the first line is longer than {HEAD_BYTES >> 20} MiB; is this CSV, with line ends?")
    return text


def _typed(cells: Sequence[str], separator: str) -> tuple[str, list[Any]]:
    """The kind of the cells, and their values: integers if all are, else numbers if all are, else text."""
    trimmed = [cell.strip() for cell in cells]
    if separator != ",":
        trimmed = [re.sub(DECIMAL_COMMA, r"\1.\2", cell) for cell in trimmed]
    for kind, read in (("int64", int), ("float64", float)):
        try:
            return kind, [read(cell) if cell else None for cell in trimmed]
        except ValueError:
            continue
    return "text", [cell or None for cell in trimmed]
