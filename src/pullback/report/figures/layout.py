"""The layout of a figure: places that are rounded, and labels of ticks that do not overlap."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import Bbox

LABEL_GAP = 1.0
"""Least distance of two labels in points."""


def lay_out(canvas: Canvas) -> None:
    """Lay a figure out, once for all its files, with rounded places (docs/reproducibility.md)."""
    engine = canvas.get_layout_engine()
    assert engine
    engine.execute(canvas)
    changed = [_free_labels(axis) for axes in canvas.axes for axis in (axes.xaxis, axes.yaxis)]
    if any(changed):
        engine.execute(canvas)
    canvas.set_layout_engine(None)  # as the style says by now: with an engine, each file would be drawn twice
    for axes in canvas.axes:
        places: tuple[Literal["original", "active"], ...] = ("original", "active")
        for which in places:
            place = axes.get_position(original=which == "original")
            axes.set_position(Bbox.from_bounds(*(round(each, 6) for each in place.bounds)), which=which)


def shown_labels(axis: Axis) -> list[Text]:
    """The labels of the ticks in view, in their order along the axis."""
    along = 0 if isinstance(axis, XAxis) else 1
    low, high = sorted(axis.get_view_interval())
    labels = [each for each in axis.get_majorticklabels() if each.get_visible() and each.get_text().strip()]
    inside = [each for each in labels if low <= each.get_position()[along] <= high]
    return sorted(inside, key=lambda each: float(each.get_position()[along]))


def overlapping(axis: Axis) -> bool:
    """Whether labels of neighbouring ticks overlap."""
    gap = LABEL_GAP * axis.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    boxes = [label_box(each) for each in shown_labels(axis)]
    pairs = [*pairwise(boxes), *zip(boxes, boxes[2:], strict=False)]  # these on the same line
    return any(_apart(*pair) < gap for pair in pairs)


def label_box(label: Text) -> Bbox:
    """Where a label is drawn: of one on the second line, without the first."""
    box = label.get_window_extent()
    if not label.get_text().startswith("\n"):
        return box
    return Bbox.from_extents(box.x0, box.y0, box.x1, (box.y0 + box.y1) / 2)


def _apart(one: Bbox, other: Bbox) -> float:
    """The distance of two boxes along either axis, the larger; negative where they overlap."""
    across = max(one.x0, other.x0) - min(one.x1, other.x1)
    along = max(one.y0, other.y0) - min(one.y1, other.y1)
    return float(max(across, along))


def _free_labels(axis: Axis) -> bool:
    """Have fewer ticks, or names on two lines, where labels overlap; true if they need another layout."""
    if not axis.get_visible() or not overlapping(axis):
        return False
    if isinstance(axis.get_major_locator(), FixedLocator):
        return _on_two_lines(axis)
    locator = axis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        for most in (6, 5, 4, 3, 2):
            locator.set_params(nbins=most)
            if not overlapping(axis):
                break
    return False


def _on_two_lines(axis: Axis) -> bool:
    """Every second name below the others; of very many names, some."""
    labels = shown_labels(axis)
    along = 0 if isinstance(axis, XAxis) else 1
    places, words = [each.get_position()[along] for each in labels], [each.get_text() for each in labels]
    if along == 0:
        axis.set_ticks(places, ["\n" * (index % 2) + word for index, word in enumerate(words)])
    every = 1
    while overlapping(axis) and every < len(words):
        every *= 2
        axis.set_ticks(places[::every], words[::every])
    return True
