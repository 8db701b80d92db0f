"""The picture of one hit: origin, plane, the muon between them, and the resolution of its hit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...statistics.prefixes import prefixed, with_unit
from .base import BLUE, GREY, PAGE_WIDTH, SMALL, VERMILLION, Canvas, Subject, legend, plt
from .to_scale import draw_angle, set_scale
from .tracks import first_hits

NEAR_HIT = 4.0
"""Half-width of the panel about the hit, in σ."""


def picture_of_one_hit(subject: Subject) -> Canvas:
    """Draw the plane, the origin dz above it and the first muon with a hit; and the hit, much larger."""
    dz = float(getattr(subject.point.config.model, "dz"))  # noqa: B009 - of one of several sections
    hits, sigma = first_hits(subject)
    found = np.flatnonzero(np.isfinite(hits[:, 0]))
    muon = int(found[0]) if len(found) else None
    count = 1 if muon is None else 2
    canvas, grid = plt.subplots(1, count, figsize=(PAGE_WIDTH, 3.4), squeeze=False)
    x = 0.0 if muon is None else float(hits[muon, 0])
    _whole(grid[0, 0], x, dz, drawn=muon is not None)
    if muon is not None:
        true = np.nan if subject.recorded else float(subject.column("x_true")[muon, 0])
        _near_the_hit(grid[0, 1], x, true, float(sigma[muon, 0]), dz)
        (theta,) = subject.observables
        value, width = (float(theta.column(name)[muon]) for name in ("{}", "sigma_{}"))
        if np.isfinite(width):
            words = with_unit(value, theta.quantity.unit, width)
            canvas.suptitle(f"muon {muon}: {theta.symbol} = {words}", fontsize=9)
    legend(canvas, grid.flat, "outside lower center", 3)
    return canvas


def _whole(axes: Axes, x: float, dz: float, *, drawn: bool) -> None:
    """The origin, the plane, and the muon."""
    (upward, unit_of_z), (sideways, unit_of_x) = prefixed(dz, "m"), prefixed(max(abs(x), 0.1 * dz), "m")
    factor, top, at = sideways / upward, dz * upward, x * sideways
    stretched = set_scale(axes, (min(0.0, at), max(0.0, at)), (-0.12 * top, 1.12 * top), "x", factor)
    axes.axhline(0, color=GREY, lw=2, alpha=0.7, label="plane", zorder=1)
    axes.plot([0], [top], "*", ms=9, color="black", label="origin of the muons", zorder=4)
    axes.plot([0, 0], [0, top], color="black", lw=0.8, ls=":")
    side, away = ("right", -4) if x >= 0 else ("left", 4)  # beside the dotted line, away from the muon
    style: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "rotation": 90}
    axes.annotate(f"dz = {with_unit(dz, 'm')}", (0, 0.5 * top), (away, 0), fontsize=SMALL, **style)
    if drawn:
        axes.plot([0, at], [top, 0], color=BLUE, lw=1.2, label="inferred direction")
        axes.plot([at], [0], "o", ms=5, mfc="white", color=BLUE, label="recorded hit", zorder=4)
        draw_angle(axes, (0.0, top), (at, 0.0), "θ", stretched / factor)
    axes.set(xlabel=f"x ({unit_of_x})", ylabel=f"z ({unit_of_z})")


def _near_the_hit(axes: Axes, x: float, true: float, sigma: float, dz: float) -> None:
    """The hit with its resolution, and the directions to which it extends."""
    half = NEAR_HIT * sigma
    factor, unit = prefixed(half, "m")
    z = np.array([-half, half])
    axes.axhline(0, color=GREY, lw=2, alpha=0.7, zorder=1)
    for at, line in ((x - sigma, ":"), (x, "-"), (x + sigma, ":")):
        axes.plot((at * (1 - z / dz) - x) * factor, z * factor, color=BLUE, lw=1, ls=line)
    axes.errorbar([0], [0], xerr=[sigma * factor], fmt="o", ms=5, mfc="white", color=BLUE, capsize=4, lw=1.5, zorder=4)
    style: dict[str, Any] = {"fontsize": SMALL, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
    axes.text(0, -0.22 * half * factor, f"± σ = {with_unit(sigma, 'm')}", ha="center", va="top", **style)
    if abs(true - x) < half:
        axes.plot([(true - x) * factor], [0], "x", ms=7, mew=2, color=VERMILLION, label="true hit", zorder=5)
    set_scale(axes, (-half * factor, half * factor), (-half * factor, half * factor), "x", 1.0)
    axes.set(xlabel=f"x − recorded x ({unit})", ylabel=f"z ({unit})", title="near the hit, to scale")
