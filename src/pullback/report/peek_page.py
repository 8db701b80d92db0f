"""What a file of hits holds, as comments of YAML, followed by a config to start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..config.fill_in import FILL_IN
from ..config.presets import NO_TRACKS, PRESETS
from ..config.starting import MOST_LAYERS, likely_hits, starting_config
from ..errors import one_line
from ..hits.contents import Contents, FileColumn, FileTable, is_known
from ..hits.guess import Guess

SHOWN_ROWS = 5
"""Rows that are shown."""

SHOWN_OTHERS = 12
"""Columns that are not used and named."""

WIDEST = 24
"""Characters of a cell."""

ACTS_MEASUREMENTS = {"measurement_id", "geometry_id", "local_key", "local0"}
"""Columns of ACTS measurement files."""


def peek_page(contents: Contents) -> str:
    """A description in comments, and a config to start from: together a config file."""
    preset, found = likely_hits(contents)
    usable = found is not None and found.count <= MOST_LAYERS
    config = starting_config(contents, preset, found) if found and usable else ""
    described = [*_tables(contents, preset, found), "", *_guessed(contents, preset, found)]
    lines = [f"{contents.file}: {contents.format}", *described, *_what_to_do(config)]
    page = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return f"{page}\n{config}" if config else page


def has_config(page: str) -> bool:
    """Whether a page is more than a description."""
    return any(line and not line.startswith("#") for line in page.splitlines())


def _what_to_do(config: str) -> Iterator[str]:
    """How to go on from a config."""
    if FILL_IN in config:
        yield f"A config to start from: check it, and write your values for {FILL_IN}; until then it is refused."
    elif config:
        yield "A config to start from: check it."


def _tables(contents: Contents, preset: str, found: Guess | None) -> Iterator[str]:
    if not contents.tables and not contents.notes:
        yield "no table and no dataset with rows"
    for note in contents.notes:
        yield ""
        yield note
    for table in contents.tables:
        yield ""
        yield _title(contents, table)
        yield from _columns(_with_units(table, preset) if found and table is found.table else table)
        if table.left_out:
            yield f"and {table.left_out} more columns"


def _with_units(table: FileTable, preset: str) -> FileTable:
    """A table whose lengths have the unit of its preset."""
    if not preset:
        return table
    lengths, unit = PRESETS[preset].lengths, str(PRESETS[preset].source["unit"])
    return replace(
        table,
        columns=tuple(replace(each, unit=unit) if lengths.fullmatch(each.name) else each for each in table.columns),
    )


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
        lists = found.table.column(found.layer).jagged
        layout = "one row per muon, with lists of hits" if lists else "one row per hit"
    how = ""
    if found.by_values:
        how = f"; guessed, since {one_line(found.layer)} has few values in many rows"
    elif found.count == 1:
        how = "; guessed, since no column is named like layers; if each row is a hit, write layout: long"
    yield f"layout: {'long' if found.layer else 'wide'}, {layout}, {found.count} layer{'s' * (found.count > 1)}{how}"
    if not found.table.rows:
        yield "no rows: a study needs some"
    yield f"preset: {preset or 'none fits'}"
    if found.others:
        listed = ", ".join(map(one_line, found.others[:SHOWN_OTHERS]))
        more = f" and {len(found.others) - SHOWN_OTHERS} more" if len(found.others) > SHOWN_OTHERS else ""
        yield f"not used, though named like {'layers' if found.layer else 'positions'}: {listed}{more}"


def _no_guess(contents: Contents) -> Iterator[str]:
    names = {name for table in contents.tables for name in table.names}
    if names >= ACTS_MEASUREMENTS:
        yield f"no config: {NO_TRACKS['acts_measurements']}"
        return
    if contents.notes and not contents.tables:
        yield "no config: nothing else is in the file"
        return
    if any(column.jagged for table in contents.tables for column in table.columns):
        yield "no config: no columns look like positions and layers of hits; name those with lists of hits, as in"
        yield "  source: {kind: recorded, file: …, unit: mm, layout: long, layer: …, x: …}"
        return
    yield "no config: no columns look like the positions of hits; name them in source.columns, as in"
    yield "  source: {kind: recorded, file: …, unit: mm, columns: {x0: …, x1: …}}"
    yield "or, with one row per hit, in source itself, as in"
    yield "  source: {kind: recorded, file: …, unit: mm, layout: long, event: …, layer: …, x: …, y: …}"
