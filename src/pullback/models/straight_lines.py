"""The straight lines of a model: the coordinates that each goes through, and their heights."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from .base import LineOfHits, Model

TRACKERS = {"z": "", "z_upper": " above", "z_lower": " below"}
"""Words for the lines of a tracker, by the parameter with the heights of its layers."""


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
    """The lines of a model with known heights, view by view; none for a model without fit."""
    return [*map(partial(_line, model), model.lines)] if model.fitted and model.heights else []


def _line(model: Model, line: LineOfHits) -> StraightLine:
    view, places = model.coordinates[line.coordinates.start].name[0], tuple(line.coordinates)
    return StraightLine(view, f"{view}{TRACKERS[line.z]}", places, tuple(model.heights[place] for place in places))
