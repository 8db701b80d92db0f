"""What a file of hits holds, as comments of YAML, followed by a config to start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..config.presets import NO_TRACKS
from ..config.starting import MOST_LAYERS, likely_hits, starting_config
from ..errors import one_line
from ..hits.contents import Contents, FileColumn, FileTable, is_known
from ..hits.guess import Guess

SHOWN_ROWS = 5
"""Rows that are shown."""

WIDEST = 24
"""Characters of a cell."""

ACTS_MEASUREMENTS = {"measurement_id", "geometry_id", "local_key", "local0"}
"""Columns of ACTS measurement files."""


def peek_page(contents: Contents) -> str:
    """A description in comments, and a config to start from: together a config file."""
    preset, found = likely_hits(contents)
    lines = [f"{contents.file}: {contents.format}", *_tables(contents), "", *_guessed(contents, preset, found)]
    page = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    if found is None or found.count > MOST_LAYERS:
        return page
    return f"{page}\n{starting_config(contents, preset, found)}"


def _tables(contents: Contents) -> Iterator[str]:
    if not contents.tables:
        yield "no table and no dataset with rows"
    for table in contents.tables:
        yield ""
        yield _title(contents, table)
        yield from _columns(table)
        if table.left_out:
            yield f"and {table.left_out} more columns"


def _title(contents: Contents, table: FileTable) -> str:
    what = f"{contents.key} {table.name!r}: " if table.name else "datasets: " if contents.key else ""
    return f"{what}{table.rows_are and f'{table.rows_are} '}{table.rows} row{'s' * (table.rows != 1)}"


def _columns(table: FileTable) -> list[str]:
    """One line per column: name, kind, unit, missing values, and the first rows."""
    read = max((len(column.values) for column in table.columns), default=0)
    head = ["column", "kind", "unit", f"missing in {read}"]
    shown = [f"row {row}" for row in range(1, min(SHOWN_ROWS, read) + 1)]
    lines = [head + shown, *(_line(column, len(shown)) for column in table.columns)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return ["  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _line(column: FileColumn, rows: int) -> list[str]:
    cells = [_cell(value) for value in column.values[:rows]]
    cells += [""] * (rows - len(cells))
    cells_before = [one_line(text) for text in (column.name, column.described, column.unit or "-")]
    return [*cells_before, str(column.missing), *cells]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        text = f"[{', '.join(map(_cell, value))}]"
    elif isinstance(value, float):
        text = f"{value:.7g}"
    else:
        text = str(value) if is_known(value) else "-"
    return one_line(text, WIDEST)


def _guessed(contents: Contents, preset: str, found: Guess | None) -> Iterator[str]:
    """What the columns seem to be."""
    if found is None:
        yield from _no_guess(contents)
        return
    if found.count > MOST_LAYERS:
        what = f"values of {found.layer}" if found.layer else "columns of positions"
        yield f"no config: {found.count} {what} look like layers, and a model has at most {MOST_LAYERS}; choose some"
        return
    layout = "one row per muon"
    if found.layer:
        layout = "one row per hit" if found.event else "one row per muon, with lists of hits"
    yield f"layout: {'long' if found.layer else 'wide'}, {layout}, {found.count} layer{'s' * (found.count > 1)}"
    if not found.table.rows:
        yield "no rows: a study needs some"
    yield f"preset: {preset or 'none fits'}"
    yield "A config to start from, for snakemake --configfile; check it, and fill in what is marked:"


def _no_guess(contents: Contents) -> Iterator[str]:
    names = {name for table in contents.tables for name in table.names}
    if names >= ACTS_MEASUREMENTS:
        yield f"no config: {NO_TRACKS['acts_measurements']}"
        return
    yield "no config: no columns look like the positions of hits; name them in source.columns, as in"
    yield "  source: {kind: recorded, file: …, unit: mm, columns: {x0: …, x1: …}}"
