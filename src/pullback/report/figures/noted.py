"""What a figure notes for its caption."""

from __future__ import annotations

from collections.abc import Sequence

from ...validation.coverage_evidence import TruthBin
from ...validation.evidence import Bin
from .base import BinPanel, Canvas


def note_drawn(canvas: Canvas, **parts: object) -> None:
    """Note which parts a figure has that not all of its kind have, for its caption (`captions.OF_DRAWN`)."""
    before = str(canvas.get_label()).split()
    canvas.set_label(" ".join([*before, *(name for name, there in parts.items() if there)]))


def note_bins(canvas: Canvas, found: Sequence[BinPanel[Bin]] | Sequence[BinPanel[TruthBin]]) -> None:
    """Note for the caption whether panels leave out bins, and whether observables share one."""
    together = any(not panel.place and len(panel.bins) > 1 for panel in found)
    note_drawn(canvas, left_out=any(panel.left_out for panel in found), together=together)
