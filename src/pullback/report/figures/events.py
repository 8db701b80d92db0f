"""The figure of some tracks: as they fly, and hit by hit against the fitted line."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ...statistics.prefixes import prefixed
from ..formats import brief
from .base import GREY, PAGE_WIDTH, SMALL, Canvas, Subject, legend, plt, say, say_outside
from .ranges import all_of, drawable, not_far
from .tracks import VIEW_STYLES, DrawnLine, drawn_lines, largest, unit_of_heights

MOST_TRACKS = 10
"""Tracks that are shown as they fly."""

MOST_NEAR = 6
"""Tracks that are shown hit by hit."""

PER_ROW = 2
"""Tracks in a row of panels."""

EVENT_MARGIN = 0.1
"""How far a line is drawn beyond its layers, over the distance between its outermost layers."""


def events(subject: Subject) -> Canvas:
    """Draw the first tracks: as they fly, and hit by hit against the fitted line with its band of 68.27 %."""
    tracks = drawn_lines(subject, EVENT_MARGIN)
    fitted = np.any([np.isfinite(each.fit.position).all(axis=1) for each in tracks], axis=0)
    muons = np.flatnonzero(fitted)[:MOST_TRACKS].tolist()
    if not muons:
        canvas, axes = plt.subplots(figsize=(PAGE_WIDTH, 2.0))
        say(axes, "no tracks")
        axes.set_axis_off()
        return canvas
    nearer = muons[:MOST_NEAR]
    rows = -(-len(nearer) // PER_ROW)
    canvas = plt.figure(figsize=(PAGE_WIDTH, 2.8 + 1.7 * rows))
    grid = canvas.add_gridspec(2, 1, height_ratios=[2.8, 1.7 * rows])
    views = list(dict.fromkeys(each.view for each in tracks))
    above, below = grid[0].subgridspec(1, len(views)), grid[1].subgridspec(rows, PER_ROW)
    for place, view in enumerate(views):
        _flight(canvas.add_subplot(above[place]), [each for each in tracks if each.view == view], muons)
    panels = [canvas.add_subplot(below[divmod(place, PER_ROW)]) for place in range(len(nearer))]
    for place, (axes, muon) in enumerate(zip(panels, nearer, strict=True)):
        unit, unit_of_z = _deviations(axes, tracks, muon)
        axes.set_title(_in_words(subject, muon), fontsize=SMALL)
        axes.set(ylabel=f"hit − line ({unit})" if place % PER_ROW == 0 else "")
        axes.set(xlabel=f"z ({unit_of_z})" if place + PER_ROW >= len(panels) else "")
    legend(canvas, panels, "outside lower center")
    return canvas


def _flight(axes: Axes, tracks: list[DrawnLine], muons: list[int]) -> None:
    """The tracks in one view, with the layers at their heights."""
    factor, unit = unit_of_heights(tracks)
    near = [np.where(not_far(each.hits[muons]), each.hits[muons], np.nan) for each in tracks]
    sideways, unit_of_x = prefixed(largest(*near), "m")
    for each in tracks:
        axes.hlines(each.z * factor, 0, 1, color=GREY, lw=0.8, alpha=0.6, transform=axes.get_yaxis_transform())
        ends = np.array(each.span)
        for number, muon in enumerate(muons):
            colour = mpl.colormaps["cividis"](0.9 * number / MOST_TRACKS)
            axes.plot(drawable(each.fit.at(ends)[muon]) * sideways, ends * factor, color=colour, lw=1)
            axes.plot(each.hits[muon] * sideways, each.z * factor, "o", ms=3, color=colour)
    axes.set(xlabel=f"{tracks[0].view} ({unit_of_x})", ylabel=f"z ({unit})")
    hits = np.concatenate([each.hits[muons] for each in tracks], axis=1)
    shown = not_far(hits)
    if shown.any():
        low, high = all_of(hits[shown] * sideways)
        say_outside(axes, (np.isfinite(hits) & ~shown).any(axis=1), "track")
        axes.set_xlim(low - 0.2 * (high - low), high + 0.2 * (high - low))  # the line of a wrong combination is steep


def _deviations(axes: Axes, tracks: list[DrawnLine], muon: int) -> tuple[str, str]:
    """The hits of a track minus the fitted line, with their σ, and the band of the line; units of the axes."""
    heights, unit = unit_of_heights(tracks)
    z = [np.linspace(*each.span, 61) for each in tracks]
    bands = [drawable(each.fit.sigma(at)[muon]) for each, at in zip(tracks, z, strict=True)]
    factor, unit_of_x = prefixed(largest(*(each.sigma for each in tracks)), "m")
    for each, at, band in zip(tracks, z, bands, strict=True):
        colour, marker, _ = VIEW_STYLES.get(each.view, VIEW_STYLES["x"])
        name = f"{each.view}: line ± σ"
        if colour == VIEW_STYLES["x"][0]:
            style: dict[str, Any] = {"color": colour, "alpha": 0.25, "lw": 0, "label": name}
            axes.fill_between(at * heights, -band * factor, band * factor, **style)
        else:  # of two filled bands on top of each other, neither would have the colour of the legend
            style = {"color": colour, "lw": 0.9, "ls": "--", "label": [name, "_"]}
            axes.plot(at * heights, np.transpose([-band * factor, band * factor]), **style)
        style = {"fmt": marker, "ms": 3, "color": colour, "elinewidth": 0.8, "label": f"{each.view}: hits ± σ"}
        axes.errorbar(each.z * heights, each.deviation[muon] * factor, each.sigma[muon] * factor, **style)
    axes.axhline(0, color="black", lw=0.6)
    return unit_of_x, unit


def _in_words(subject: Subject, muon: int) -> str:
    """Number, χ² and degrees of freedom of a muon."""
    chi2, ndf = (float(subject.reader.rows(f"{subject.label}/{name}", muon, muon + 1)[0]) for name in ("chi2", "ndf"))
    return f"muon {muon}" + (f": χ²/ndf {brief(chi2)}/{ndf:.0f}" if ndf > 0 else "")
