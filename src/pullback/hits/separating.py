"""Columns that may number events together with those that the config names, such as the number of the run."""

from __future__ import annotations

from .column_words import RUN_WORDS, is_called
from .long_rows import LongColumns
from .peek import peek

MOST_TRIED = 4
"""Columns that are tried; each takes as long as counting the events of the file."""


def columns_to_separate(file: str, tree: str, used: LongColumns) -> list[str]:
    """The first columns of whole numbers that are not used, those called like runs first."""
    found = []
    for table in peek(file, tree).tables:
        if used.layer in table.names and used.event:
            found += [
                column.name
                for column in table.columns
                if column.kind.startswith(("int", "uint")) and not column.shape and not column.jagged
            ]
    left = [name for name in found if name not in {*used.event, used.layer, *used.numbers}]
    return sorted(left, key=lambda name: not is_called(name, RUN_WORDS))[:MOST_TRIED]
