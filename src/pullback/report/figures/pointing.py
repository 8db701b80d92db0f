"""The figure of σ of a track's position over z."""

from __future__ import annotations

import numpy as np

from ...statistics.prefixes import prefixed
from .base import GREY, Canvas, Subject, drawable, legend, plt, say
from .tracks import VIEW_STYLES, DrawnLine, drawn_lines, largest, unit_of_heights

TYPICAL = 1000
"""Muons with the most hits of which the median is taken."""

POINTING_MARGIN = 0.25
"""How far σ is drawn beyond the layers, over the distance between the outermost ones."""


def pointing(subject: Subject) -> Canvas:
    """Draw σ of the position of a typical track over z, with the layers and σ of the hits."""
    tracks, planes = drawn_lines(subject, POINTING_MARGIN), planes_of(subject.point.config.model)
    muons = _typical(tracks)
    z = [np.linspace(*_with_planes(each.span, planes), 301) for each in tracks]
    sizes = [_median(each.fit.sigma(at)[muons]) for each, at in zip(tracks, z, strict=True)]
    canvas, axes = plt.subplots(figsize=(7, 3.6))
    if not largest(*sizes):
        say(axes, "no tracks")
        axes.set_axis_off()
        return canvas
    (factor, unit), (heights, unit_of_z) = prefixed(largest(*sizes), "m"), unit_of_heights(tracks)
    for height in np.unique(np.concatenate([each.z for each in tracks])):
        axes.axvline(height * heights, color=GREY, lw=0.8, ls=":")
    for height in planes:
        axes.axvline(height * heights, color="black", lw=1, ls="--", label="planes of model.at")
    for each, at, sigma in zip(tracks, z, sizes, strict=True):
        colour, marker, line = VIEW_STYLES.get(each.view, VIEW_STYLES["x"])
        axes.plot(at * heights, sigma * factor, line, color=colour, label=f"track, {each.view}")
        hits = _median(each.sigma[muons]) * factor
        axes.plot(each.z * heights, hits, marker, ms=5, mfc="white", color=colour, label=f"hits, {each.view}")
    axes.set(xlabel=f"z ({unit_of_z})", ylabel=f"σ of the position ({unit})", ylim=(0, None))
    legend(canvas, [axes])
    return canvas


def planes_of(model: object) -> list[float]:
    """The heights, m, at which the config asks for positions."""
    return [float(height) for height in getattr(model, "at", None) or ()]


def _with_planes(span: tuple[float, float], planes: list[float]) -> tuple[float, float]:
    """A span that contains the planes."""
    return min(span[0], *planes, span[1]), max(span[1], *planes, span[0])


def _typical(tracks: list[DrawnLine]) -> np.ndarray:
    """The first muons among those with the most hits."""
    hits = np.sum([np.isfinite(each.hits).sum(axis=1) for each in tracks], axis=0)
    return np.flatnonzero(hits == hits.max(initial=0))[:TYPICAL]


def _median(values: np.ndarray) -> np.ndarray:
    """The median over muons; NaN where none has a value."""
    good = drawable(values)
    good = good[np.isfinite(good).all(axis=1)]
    return np.median(good, axis=0) if len(good) else np.full(values.shape[1], np.nan)
