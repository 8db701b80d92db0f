"""What is told of hits that are left out of a file of recorded hits."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import one_line
from ..hits.counts import ImportCounts
from ..statistics.parts import of_all
from .formats import count, percent


def left_out(imported: Mapping[str, int]) -> str:
    """How many hits `source.several` leaves out; empty without any. Of the counts by name."""
    counts = ImportCounts(**imported)
    hits = counts.nearest_left + counts.dropped_hits
    return f"{of_all(hits, counts.hits, 'hit', count)} are left out by source.several" if hits else ""


def loss_warning(imported: Mapping[str, int] | None, separating: str) -> str:
    """A sentence about events that seem to be merged, or hits that are left out; empty without cause.

    `separating` is the column that separates the merged events; empty without one.
    """
    counts = ImportCounts(**(imported or {}))
    if not counts.notable_loss:
        return ""
    left = left_out(counts.plain())
    if not counts.crowded:
        return (
            f"{left} ({percent(counts.nearest_left / counts.hits)}), as others in their layers are nearer to the line: "
            "is so much of it noise? If not, source.event may need a second column, such as that of the run"
        )
    crowded = f"{of_all(counts.crowded_events, counts.events, 'event', count)} have several hits in most layers"
    words = f"{crowded}, and {left}" if left else crowded
    if separating:
        return f"{words}: column {one_line(separating)!r} separates these events; list it in source.event, too."
    return f"{words}: do they hold several tracks, or does source.event need a second column, such as that of the run?"
