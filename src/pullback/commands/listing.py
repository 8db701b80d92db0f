"""What an export can write: columns, flags and points of a study, as `pullback export --list` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..store.columns import FLAG_WORDS, FLAGS
from ..store.export import exported_columns, exported_points


def listing(study: str | Path, point: str | None, table: str) -> Iterator[str]:
    """The lines of the list, with cells between tabs; blank lines divide columns, bits of flags, and points of a scan.

    Raises
    ------
    ArtefactError
        The study is missing or damaged, or has no such point.

    """
    columns = exported_columns(study, point=point, table=table)
    yield from map("\t".join, columns)
    if any(name.startswith("flag_") for name, *_ in columns):
        yield from ("", "bits of flag_…:")
        for name, bit in FLAGS.items():
            yield f"{bit}\t{name}\t{FLAG_WORDS[name]}"
    points = exported_points(study)
    if len(points) > 1:
        yield from ("", "points, for --point (all: all of them in one table):")
        for number, (label, words) in enumerate(points, 1):
            yield f"{number}\t{label}\t{words}"
