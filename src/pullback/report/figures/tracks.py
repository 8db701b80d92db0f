"""The first tracks of a point with their fitted lines, for figures of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...detector.known import Known
from ...models import Model
from ...statistics.prefixes import prefixed
from ...store import columns
from ...study import blocks
from ...study.aligning import placement_of
from ...uncertainty.placement import Placement
from .base import BLUE, VERMILLION, Subject
from .ranges import drawable

if TYPE_CHECKING:
    from ...detector.fitted_lines import FittedLine

SEARCHED = 4096
"""Muons at the beginning among which those of the figures are."""

VIEW_STYLES = {"x": (BLUE, "o", "-"), "y": (VERMILLION, "s", "--")}
"""Colour, marker and line of each view."""


class DrawnLine(NamedTuple):
    """One line of some muons, all in m.

    Attributes
    ----------
    fit : FittedLine
        The line, without those that are too far to be drawn.
    z : array (coordinate,)
        Heights of its hits.
    hits, sigma, deviation : array (muon, coordinate)
        Its hits, σ of each by the detector, and the hits minus the line; NaN where missing.
    span : tuple of float
        From where to where it is drawn.
    """

    fit: FittedLine
    z: np.ndarray
    hits: np.ndarray
    sigma: np.ndarray
    deviation: np.ndarray
    span: tuple[float, float]

    @property
    def view(self) -> str:
        """The view that it is in."""
        return self.fit.line.view


def drawn_lines(subject: Subject, margin: float) -> list[DrawnLine]:
    """The lines of the first muons, drawn to a margin beyond their layers."""
    from ...detector.fitted_lines import fitted_lines, hit_sigma

    made_from = _what_lines_are_made_from(subject)
    sigma, fits = hit_sigma(*made_from), fitted_lines(*made_from)
    spans = spans_of([(each.line.view, each.line.range) for each in fits], margin)
    hits = drawable(made_from[2])
    return [_drawn(fit, hits, sigma, span) for fit, span in zip(fits, spans, strict=True)]


def first_hits(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """The hits of the first muons, and σ of each by the detector, m; NaN where missing or too far to be drawn."""
    from ...detector.fitted_lines import hit_sigma

    made_from = _what_lines_are_made_from(subject)
    return drawable(made_from[2]), drawable(hit_sigma(*made_from))


def _what_lines_are_made_from(
    subject: Subject,
) -> tuple[Model, Mapping[str, float | list[float]], np.ndarray, Known, Placement | None]:
    """The model of the first part of a point, what is stated of its detector, the hits and what is known of them."""
    part, _ = subject.study.first_part(subject.label)
    covariance = _rows(subject, columns.COVARIANCE) if columns.has_covariances(part) else None
    momentum = _rows(subject, columns.MOMENTUM) if columns.has_momenta(part) else None
    heights = _rows(subject, columns.HEIGHTS) if columns.has_heights(part) else None
    known = Known(covariance, momentum, heights)
    return part.model, part.config.detector.stated, _rows(subject, "x_reco"), known, placement_of(part)


def _drawn(fit: FittedLine, hits: np.ndarray, sigma: np.ndarray, span: tuple[float, float]) -> DrawnLine:
    z, places = np.array(fit.line.heights), list(fit.line.places)
    fit = fit._replace(position=drawable(fit.position))
    return DrawnLine(fit, z, hits[:, places], drawable(sigma[:, places]), drawable(hits[:, places] - fit.at(z)), span)


def _rows(subject: Subject, name: str) -> np.ndarray:
    """A column of the first muons as it is in the artefact."""
    return subject.reader.rows(f"{subject.label}/{name}", 0, min(SEARCHED, blocks.BLOCK))


def spans_of(lines: list[tuple[str, tuple[float, float]]], margin: float) -> list[tuple[float, float]]:
    """From where to where each line is drawn, by its view and its lowest and highest layer.

    Beyond its layers by a share of their distance; between two trackers of a view, to the middle.
    """
    found = []
    for view, (low, high) in lines:
        more = margin * (high - low)
        below = [top for of_view, (_, top) in lines if of_view == view and top < low]
        above = [bottom for of_view, (bottom, _) in lines if of_view == view and bottom > high]
        start = (low + max(below)) / 2 if below else low - more
        found.append((start, (high + min(above)) / 2 if above else high + more))
    return found


def unit_of_heights(tracks: list[DrawnLine]) -> tuple[float, str]:
    """The factor and the unit that suit the heights of the layers."""
    return prefixed(float(np.abs(np.concatenate([each.z for each in tracks])).max()), "m")


def finite(values: np.ndarray) -> np.ndarray:
    """The values that are not missing."""
    return values[np.isfinite(values)]


def largest(*values: np.ndarray) -> float:
    """The largest size of some values, of which some may be missing; 0 if all are."""
    return max(float(np.abs(finite(each)).max(initial=0.0)) for each in values)
