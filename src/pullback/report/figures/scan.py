"""The figures of a scan: statistics over the parameters that vary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...config.dotted_names import unit_of
from ...config.schema import Validation
from ...statistics.normal import P68, P95
from ...statistics.prefixes import prefixed
from ...study.plan import Study
from ...validation.csv_tables import columns as columns_of
from ...validation.csv_tables import truth_summary
from ...validation.evidence import Entry, Evidence
from ..gallery import Figure, fixed_entries, over, varying
from .base import BLUE, GREY, Canvas, label_axis, observables_of, plt, scaled_ticks, titled
from .budget import budget_scan


class Panel(NamedTuple):
    """A panel of a scan: a statistic of the domain of a σ, or of the truth, its title, and its expected value.

    A study of several observables shows only the panels `of_several`, for each observable.
    """

    of: Literal["linear", "quoted", "truth"]
    key: str
    words: str
    expected: float | None = None
    of_several: bool = False


SCAN = (
    Panel("linear", "mean_value", "mean {symbol}"),
    Panel("quoted", "mean_sigma", "mean quoted σ, all muons", of_several=True),
    Panel("quoted", "linear_valid", "linear propagation valid, all muons", of_several=True),
    Panel("linear", "share", "share of muons in the linear domain"),
    Panel("linear", "ratio", "closure of the linear σ", 1.0),
    Panel("quoted", "ratio", "closure of the quoted σ, all muons", 1.0, of_several=True),
    Panel("linear", "scatter", "scatter of closure / expected"),
    Panel("linear", "pull_mean", "pull mean", 0.0),
    Panel("linear", "pull_sd", "pull sd", 1.0),
    Panel("linear", "pull_rms", "pull RMS", 1.0),
    Panel("truth", "coverage_confidence68", "68.27 % confidence interval, worst bin", P68, of_several=True),
    Panel("truth", "coverage_confidence95", "95 % confidence interval, worst bin", P95),
)

IN_ITS_UNIT = ("mean_value", "mean_sigma")
"""Statistics in the unit of the observable."""

MOST_OBSERVABLES = 4
"""Number of observables above which only the first and the third of those panels are drawn for each."""


def _scan(study: Study, evidence: Evidence, figure: Figure) -> Canvas:
    values, names, observables = varying(study), over(study), observables_of(study, figure)
    points = {each.label: each.values for each in study.points}
    entries = fixed_entries(study, evidence, names)
    wanted: tuple[Panel, ...] = SCAN
    columns = 3
    if len(observables) > 1:
        wanted = tuple(panel for panel in SCAN if panel.of_several)[:: 1 if len(observables) <= MOST_OBSERVABLES else 2]
        columns = 4
    cells = []
    for quantity in observables:
        own = [each for each in entries if each.observable == quantity.name]
        cells += [(quantity, own, panel) for panel in wanted if np.isfinite(_numbers(own, panel, panel.key)).any()]
    rows = max(1, -(-len(cells) // columns))
    canvas, grid = plt.subplots(rows, columns, figsize=(10 if columns == 3 else 12, 2.9 * rows), squeeze=False)
    where = np.array([[points[each.point][name] for name in names] for each in own])
    scanned = [(name, unit_of(name, study.config)) for name in names]
    for axes, (quantity, own, panel) in zip(grid.flat, cells, strict=False):
        words = panel.words.format(symbol=quantity.symbol)
        tolerance, column = _tolerance(panel, study.config.validation), _numbers(own, panel, panel.key)
        factor, unit = prefixed(np.nanmax(np.abs(column)), quantity.unit if panel.key in IN_ITS_UNIT else "1")
        axes.set_title(titled(f"{quantity.symbol}: {words}" if len(observables) > 1 else words, unit))
        if len(names) == 1:
            _line(axes, where[:, 0], own, panel, tolerance)
            axes.yaxis.set_major_formatter(scaled_ticks(factor))
            label_axis(axes, "x", *scanned[0])
        else:
            _map(canvas, axes, where, factor * column, [values[name] for name in names], _limits(panel, tolerance))
            _label_map(axes, scanned, values)
    for axes in grid.flat[len(cells) :]:
        axes.set_visible(False)
    return canvas


def _numbers(entries: list[Entry], panel: Panel, key: str) -> np.ndarray:
    """The statistic of a panel at each point; NaN where there is none."""
    if panel.of == "truth":
        found = [truth_summary(each).get(key) for each in entries]
    else:
        found = [columns_of(each.of(panel.of).domain, panel.of, recorded=False).get(key) for each in entries]
    return np.array([np.nan if each is None else each for each in found], float)


def _tolerance(panel: Panel, settings: Validation) -> float:
    """The tolerance about the expected value."""
    if panel.of == "truth":
        return settings.coverage_tolerance
    return settings.of_truth if panel.key.startswith("pull") else settings.of_toys


def _line(axes: Axes, where: np.ndarray, entries: list[Entry], panel: Panel, tolerance: float) -> None:
    """A statistic against the first parameter, with its interval and its expected value if it has them."""
    order = np.argsort(where, kind="stable")
    value, low, high = (_numbers(entries, panel, f"{panel.key}{end}") for end in ("", "_low", "_high"))
    if panel.expected is not None:
        axes.axhspan(panel.expected - tolerance, panel.expected + tolerance, color=GREY, alpha=0.25, lw=0)
        axes.axhline(panel.expected, color="black", ls="--", lw=0.8)
    axes.plot(where[order], value[order], "o-", ms=3.5, color=BLUE)
    if np.isfinite(low).any():
        axes.vlines(where, low, high, color=BLUE, lw=1)
    if panel.key == "mean_sigma" and np.isfinite(value).any():  # small changes should look small
        bottom, top = axes.get_ylim()
        axes.set_ylim(min(bottom, 0.95 * np.nanmin(value)), max(top, 1.05 * np.nanmax(value)))
    axes.locator_params(axis="x", nbins=4)  # small numbers have long labels


def _limits(panel: Panel, tolerance: float) -> tuple[float, float] | tuple[None, None]:
    """The range of colours: the tolerance about the expected value, so that noise looks small."""
    return (None, None) if panel.expected is None else (panel.expected - tolerance, panel.expected + tolerance)


def _map(
    canvas: Canvas,
    axes: Axes,
    where: np.ndarray,
    column: np.ndarray,
    ticks: list[list[float]],
    limits: tuple[float, float] | tuple[None, None],
) -> None:
    """A statistic against two parameters that fill a grid."""
    grid = np.full((len(ticks[1]), len(ticks[0])), np.nan)
    for (x, y), value in zip(where, column, strict=True):
        grid[ticks[1].index(y), ticks[0].index(x)] = value
    image = axes.imshow(grid, origin="lower", aspect="auto", vmin=limits[0], vmax=limits[1])
    canvas.colorbar(image, ax=axes, extend="neither" if limits[0] is None else "both", format="{x:.4g}")
    if grid.size <= 36 and grid.shape[1] <= 5:  # wider numbers would overlap
        middle = sum(image.get_clim()) / 2
        for (row, place), value in np.ndenumerate(grid):
            colour = "white" if value < middle else "black"
            axes.text(place, row, f"{value:.4g}", ha="center", va="center", fontsize=7, color=colour)


def _label_map(axes: Axes, scanned: list[tuple[str, str]], values: dict[str, list[float]]) -> None:
    """Labels of a map, whose ticks are the values of both parameters."""
    for along, (name, unit) in zip("xy", scanned, strict=True):
        factor, suited_unit = prefixed(max(map(abs, values[name])), unit)
        every = -(-len(values[name]) // 8)
        words = [f"{factor * value:.6g}" for value in values[name][::every]]
        axes.set(**{f"{along}label": titled(name, suited_unit)})
        getattr(axes, f"set_{along}ticks")(range(0, len(values[name]), every), words)


OF_SCAN: dict[str, Callable[[Study, Evidence, Figure], Canvas]] = {"scan": _scan, "budget": budget_scan}
