"""The figure of tracks in time: χ², residuals and missing hits by the number of the muon."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from scipy.special import gammaincinv

from ...models import has_fit
from ..picture_captions import order_of
from .base import PAGE_WIDTH, Canvas, Subject, plt
from .budget import COLOURS
from .passes import Bins, all_rows, counted, medians, sample

MOST_RANGES = 40
"""Ranges of the muon number, if there are enough muons."""

FEWEST_IN_RANGE = 50
"""Muons below which a range is not divided."""

LOG_WIDTH = Bins(-3.0, 3.0, 1200)
"""Bins of log₁₀ √(χ²/its expected median); those beyond are in the last ones."""

SHIFTS = Bins(-20.0, 20.0, 400)
"""Bins of residuals over their σ, or of positions over their width; those beyond are in the last ones."""

MOST_NAMED = 16
"""Number of curves above which they have no names."""

LINES = ("-", "--", ":", "-.")
"""Line of the first coordinate of a layer, of the second, and so on."""


class _Counts(NamedTuple):
    """Numbers of muons in ranges of the muon number: all, those without a hit in each layer, and in bins of values."""

    muons: np.ndarray
    missing: np.ndarray
    widths: np.ndarray
    shifts: np.ndarray


def in_time(subject: Subject) -> Canvas:
    """Draw the width of a typical track, the median residuals and the share of missing hits over the muon number."""
    ranges, of_fit = _ranges(subject), has_fit(subject.model)
    found = _counts(subject, ranges)
    canvas, panels = plt.subplots(2 + of_fit, 1, figsize=(PAGE_WIDTH, 1.7 * (2 + of_fit) + 0.3), sharex=True)
    x = ranges.middles
    if of_fit:
        value, low, high = (10**each for each in medians(found.widths, LOG_WIDTH))
        panels[0].axhline(1, color="black", lw=0.6)
        _curve(panels[0], x, (value, low, high), color="black")
        panels[0].set(ylabel="median width\n√(χ²/expected)")
    panels[-2].axhline(0, color="black", lw=0.6)
    styles = _styles(subject)
    for counts, style in zip(found.shifts, styles, strict=True):
        _curve(panels[-2], x, medians(counts, SHIFTS), **style)
    panels[-2].set(ylabel="median residual / σ" if subject.model.fitted else "median position,\nover its width")
    for layer, missing in enumerate(found.missing):
        with np.errstate(invalid="ignore"):
            style = {**styles[subject.model.layers.index(layer)], "ls": "-", "label": f"layer {layer}"}
            panels[-1].plot(x, missing / found.muons, marker="o", ms=2.5, lw=0.8, **style)
    panels[-1].set(
        ylabel="share without a hit",
        xlabel=order_of(subject.study).axis,
        ylim=(0, None),
        xlim=(ranges.low, ranges.high),
    )
    for axes in panels[-2:]:
        _legend(axes)
    return canvas


def _ranges(subject: Subject) -> Bins:
    muons = subject.study.muons[subject.label]
    return Bins(-0.5, max(muons, 1) - 0.5, int(np.clip(muons // FEWEST_IN_RANGE, 1, MOST_RANGES)))


def _counts(subject: Subject, ranges: Bins) -> _Counts:
    """One pass over the muons."""
    model, of_fit = subject.model, has_fit(subject.model)
    names = ("x_reco", *(("chi2", "ndf", "residual", "residual_sigma") if of_fit else ()))
    centre, width = (0.0, 1.0) if model.fitted else _centre_and_width(*sample(subject, "x_reco"))
    layers = [[place for place, each in enumerate(model.layers) if each == layer] for layer in sorted({*model.layers})]
    muons, widths = np.zeros(ranges.number), np.zeros((ranges.number, LOG_WIDTH.number))
    missing = np.zeros((len(layers), ranges.number))
    shifts = np.zeros((len(model.layers), ranges.number, SHIFTS.number))
    for rows in all_rows(subject, *names):
        number, (hits, *fit) = (ranges, rows.muon), rows.columns
        muons += counted(number)
        for places, row in zip(layers, missing, strict=True):
            lost = ~np.isfinite(hits[:, places]).all(axis=1)
            row += counted((ranges, rows.muon[lost]))
        if of_fit:
            widths += counted(number, (LOG_WIDTH, _log_width(*fit[:2])))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            off = fit[2] / fit[3] if model.fitted else (hits - centre) / width
        for column, table in zip(np.clip(off, SHIFTS.low, SHIFTS.high).T, shifts, strict=True):
            table += counted(number, (SHIFTS, column))
    return _Counts(muons, missing, widths, shifts)


def _centre_and_width(hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median and the 68.27 % half-width of each coordinate; NaN without hits."""
    found = [column[np.isfinite(column)] for column in hits.T]
    quantiles = [np.quantile(each, [0.15865, 0.5, 0.84135]) if len(each) else np.full(3, np.nan) for each in found]
    low, middle, high = np.transpose(quantiles)
    return middle, (high - low) / 2


def _log_width(chi2: np.ndarray, ndf: np.ndarray) -> np.ndarray:
    """log₁₀ √(χ²/its expected median), within its bins; NaN without degrees of freedom."""
    known = np.isfinite(chi2) & (ndf > 0)
    freedom, which = np.unique(np.where(known, ndf, 1.0), return_inverse=True)
    expected = 2 * gammaincinv(freedom / 2, 0.5)[which]
    with np.errstate(divide="ignore"):
        found = np.log10(np.where(known, chi2, np.nan) / expected) / 2
    return np.clip(found, LOG_WIDTH.low, LOG_WIDTH.high)


def _styles(subject: Subject) -> list[dict[str, Any]]:
    """The style of each coordinate: the colour is that of its layer."""
    layers = subject.model.layers
    count = max(layers) + 1
    colours = COLOURS if count <= len(COLOURS) else mpl.colormaps["cividis"](np.linspace(0, 0.9, count))
    order = [layers[:place].count(layer) for place, layer in enumerate(layers)]
    return [
        {"color": colours[layer], "ls": LINES[place % len(LINES)], "label": each.symbol}
        for layer, place, each in zip(layers, order, subject.coordinates, strict=True)
    ]


def _curve(axes: Axes, x: np.ndarray, found: tuple[np.ndarray, ...], **style: Any) -> None:
    """A value in each range, with its interval."""
    value, low, high = found
    axes.plot(x, value, marker="o", ms=2.5, lw=0.8, **style)
    axes.vlines(x, low, high, lw=0.8, color=style["color"])


def _legend(axes: Axes) -> None:
    """The names of the curves, beside the panel."""
    count = len(axes.get_legend_handles_labels()[1])
    if count <= MOST_NAMED:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + (count > 6))
