"""The straight lines of a model: the coordinates that each goes through, and their heights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .base import Model

TRACKERS = {"z": "", "z_upper": " above", "z_lower": " below"}
"""Parameters with the heights of the layers of a tracker, in the order of the layers, and words for its lines."""


class StraightLine(NamedTuple):
    """A line of each muon: its view, its name, the indices of its coordinates, and their heights, m."""

    view: str
    name: str
    places: tuple[int, ...]
    heights: tuple[float, ...]

    @property
    def range(self) -> tuple[float, float]:
        """The heights of its lowest and its highest layer, m."""
        return min(self.heights), max(self.heights)


def straight_lines(model: Model) -> list[StraightLine]:
    """The lines of a model, view by view; none for a model without fit or without known heights."""
    return [*_lines_of(model)] if model.fitted and model.heights else []


def _lines_of(model: Model) -> Iterator[StraightLine]:
    for view in dict.fromkeys(each.name[0] for each in model.coordinates):
        first = 0
        for tracker, words in TRACKERS.items():
            heights = model.parameters.get(tracker, ())
            layers = range(first, first + len(heights)) if isinstance(heights, tuple) else range(0)
            places = tuple(
                place
                for place, each in enumerate(model.coordinates)
                if each.name[0] == view and model.layers[place] in layers
            )
            if places:
                yield StraightLine(view, f"{view}{words}", places, tuple(model.heights[place] for place in places))
            first = layers.stop or first
