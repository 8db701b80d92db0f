"""The figure of σ of a track's position over z."""

from __future__ import annotations

import numpy as np

from ...statistics.prefixes import prefixed
from .base import GREY, PAGE_WIDTH, Canvas, Subject, legend, plt, say
from .ranges import drawable
from .tracks import VIEW_STYLES, DrawnLine, drawn_lines, largest, unit_of_heights

TYPICAL = 1000
"""Muons with the most hits among which one is typical."""

POINTING_MARGIN = 0.25
"""How far σ is drawn beyond the layers, over the distance between the outermost ones."""


def pointing(subject: Subject) -> Canvas:
    """Draw σ of the position of a typical track over z, with the layers and σ of the hits."""
    tracks, planes = drawn_lines(subject, POINTING_MARGIN), planes_of(subject.point.config.model)
    z = [np.linspace(*_with_planes(each.span, planes), 301) for each in tracks]
    muon = _typical(tracks, [drawable(each.fit.sigma(at)) for each, at in zip(tracks, z, strict=True)])
    sizes = [drawable(each.fit.sigma(at)[muon]) for each, at in zip(tracks, z, strict=True)]
    canvas, axes = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
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
        hits = each.sigma[muon] * factor
        size = 8 if marker == "o" else 4  # those of both views may be at the same place
        axes.plot(each.z * heights, hits, marker, ms=size, mfc="white", color=colour, label=f"hits, {each.view}")
    axes.set(xlabel=f"z ({unit_of_z})", ylabel=f"σ of the position ({unit})", ylim=(0, None))
    legend(canvas, [axes])
    return canvas


def planes_of(model: object) -> list[float]:
    """The heights, m, at which the config asks for positions."""
    return [float(height) for height in getattr(model, "at", None) or ()]


def _with_planes(span: tuple[float, float], planes: list[float]) -> tuple[float, float]:
    """A span that contains the planes."""
    return min(span[0], *planes, span[1]), max(span[1], *planes, span[0])


def _typical(tracks: list[DrawnLine], sigma: list[np.ndarray]) -> int:
    """The muon with the median of the mean σ, among the first with the most hits; the first one if none has any σ."""
    hits = np.sum([np.isfinite(each.hits).sum(axis=1) for each in tracks], axis=0)
    muons = np.flatnonzero(hits == hits.max(initial=0))[:TYPICAL]
    mean = np.sum([each[muons].mean(axis=1) for each in sigma], axis=0)
    order = np.argsort(mean, kind="stable")[: max(1, np.isfinite(mean).sum())]
    return int(muons[order[(len(order) - 1) // 2]])
