"""The figures of the sources of uncertainty: the budget, and the pseudo-experiments with systematics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ...config.dotted_names import unit_of
from ...statistics.prefixes import prefixed
from ...store.columns import EXPERIMENTS
from ...study.plan import Study
from ...study.scan import number
from ...uncertainty.budget import HIT_CORRELATIONS
from ...validation.evidence import Evidence
from ..gallery import Figure, fixed_entries, over
from .base import (
    BLUE,
    FEW,
    GREY,
    PAGE_WIDTH,
    VERMILLION,
    Canvas,
    Observable,
    Subject,
    density,
    legend,
    normal,
    observables_of,
    panels,
    plt,
    say,
    titled,
)
from .symbols import key_in_math

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's, in an order in which neighbours differ in grey too."""

OF_CORRELATIONS = "#404040"
"""Colour of the correlations between hits, which are neither a layer nor a parameter."""

SMALLEST_SHARE = 5e-4
"""Share below which a source can't be seen at any point, and is left out with its label."""

HATCHES = ("", "///", "...", "\\\\\\", "xxx")


def _budget(subject: Subject) -> Canvas:
    budgets = [each.entry.budget for each in subject.observables]
    canvas, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.4 + 0.42 * len(budgets)))
    stacked(axes.barh, budgets, "left", "height")
    axes.set_yticks(range(len(budgets)), [each.symbol for each in subject.observables])
    axes.invert_yaxis()
    axes.axvline(0, color="black", lw=0.8)
    axes.axvline(1, color="black", lw=0.8, ls="--")
    axes.set(xlabel="share of the mean variance")
    axes.spines["left"].set_visible(False)
    legend(canvas, [axes], "outside lower center")
    return canvas


def stacked(bar: Callable[..., Any], budgets: Sequence[dict[str, float]], start: str, wide: str) -> None:
    """Draw stacked bars of shares: positive ones upward from 0, negative ones downward."""
    names = list(dict.fromkeys(name for each in budgets for name in each))
    above, below = np.zeros(len(budgets)), np.zeros(len(budgets))
    with mpl.rc_context({"hatch.color": "#404040"}):
        for index, (name, colour) in enumerate(zip(names, cycle(COLOURS), strict=False)):
            share = np.array([each.get(name) or 0.0 for each in budgets])
            if np.abs(share).max() < SMALLEST_SHARE:
                continue
            style = {start: np.where(share < 0, below, above), "label": key_in_math(name), wide: 0.8}
            style["color"] = OF_CORRELATIONS if name == HIT_CORRELATIONS else colour
            hatch = HATCHES[(index + index // len(COLOURS)) % len(HATCHES)]
            bar(range(len(budgets)), share, hatch=hatch, edgecolor="white", linewidth=0.5, **style)
            above, below = above + share.clip(min=0), below + share.clip(max=0)


def budget_scan(study: Study, evidence: Evidence, figure: Figure) -> Canvas:
    """Draw the shares of the sources at each scan point, a panel for each observable."""
    name = over(study)[0]
    points = {each.label: each.values for each in study.points}
    observables = observables_of(study, figure)
    columns = min(FEW, len(observables))
    factor, unit = prefixed(max(abs(each[name]) for each in points.values()), unit_of(name, study.config))
    canvas, grid = panels(len(observables), 2.3, sharex=True, sharey=True)
    for axes, each in zip(grid, observables, strict=True):
        entries = sorted(
            (entry for entry in fixed_entries(study, evidence, [name]) if entry.observable == each.name),
            key=lambda entry: points[entry.point][name],
        )
        stacked(axes.bar, [entry.budget for entry in entries], "bottom", "width")
        every = -(-len(entries) // 8)
        words = [_tick(factor, points[entry.point][name]) for entry in entries]
        axes.set_xticks(range(0, len(entries), every), words[::every])
        axes.axhline(0, color="black", lw=0.8)
        axes.axhline(1, color="black", lw=0.8, ls="--")
        axes.set(title=each.symbol)
    for axes in grid[::columns]:
        axes.set_ylabel("share of variance")
    for axes in grid[-columns:]:  # the lowest panel of each column
        axes.set_xlabel(titled(key_in_math(name), unit))
        axes.tick_params(labelbottom=True)
    legend(canvas, grid[:1], "outside lower center")
    return canvas


def _tick(factor: float, value: float) -> str:
    """A value of the scan in the unit of the axis: exact in its own unit, else without the noise of the product."""
    return number(value if factor == 1 else float(f"{factor * value:.12g}"))


def _systematics(subject: Subject) -> Canvas:
    rows = len(subject.observables)
    canvas, grid = plt.subplots(rows, 2, figsize=(PAGE_WIDTH, 0.6 + 2.0 * rows), squeeze=False)
    for (left, right), each in zip(grid, subject.observables, strict=True):
        _experiments(left, right, each)
    for axes, words in zip(grid[0], ("mean pull", "width of pulls"), strict=True):
        axes.set_title(f"{words} of each pseudo-experiment\n", loc="left")
    legend(canvas, [*grid[:, 0::2].flat, *grid[:, 1::2].flat], "outside lower center", 3)
    return canvas


def _experiments(left: Axes, right: Axes, each: Observable) -> None:
    """The mean and the width of the pulls in every pseudo-experiment."""
    pull, square, count = (
        each.subject.whole(f"experiments/{EXPERIMENTS[field].of(each.name)}").sum(axis=0)
        for field in ("pull", "square", "count")
    )
    shared = each.entry.shared
    if count < 2 or not shared or not shared.pull_shift or not shared.pull_width:
        words = "too few muons" if count < 2 else "not judged"
        say(left, words)
        left.set(xlabel=f"mean pull of {each.symbol}")
        right.set_axis_off()  # still there for the title of its column
        return
    mean = pull / count
    width = np.sqrt((square - pull**2 / count) / (count - 1))
    narrow, expected = 1 / np.sqrt(count), shared.pull_shift.expected
    at = float(mean.mean())
    half = 4 * max(expected, float(mean.std()))
    x = np.linspace(at - half, at + half, 301)
    density(left, mean, x[::6], color=BLUE, alpha=0.5, label="pseudo-experiments")
    left.plot(x, normal(x, at, expected), color="black", lw=1.2, label="expected with systematics")
    top = 1.3 * left.get_ylim()[1]
    # Without the systematics it would be too narrow to show: its peak is out of the panel.
    left.plot(x, normal(x, at, narrow), color=VERMILLION, ls="--", lw=1, label="expected without: 1/√N")
    left.set(xlabel=f"mean pull of {each.symbol}", ylabel="density", ylim=(0, top), xlim=(x[0], x[-1]))
    low, high = float(width.min()), float(width.max())
    low, high = min(low, 0.95), max(high, 1.05)
    density(right, width, np.linspace(low, high, 51), color=BLUE, alpha=0.5)
    right.axvline(1, color=GREY, lw=1, label="1")
    right.axvline(shared.pull_width.expected, color="black", lw=1.2, ls=":", label="expected width")
    right.set(xlabel=f"sd of the pulls of {each.symbol}", ylabel="density", ylim=(0, 1.15 * right.get_ylim()[1]))


OF_SOURCES: dict[str, Callable[[Subject], Canvas]] = {"budget": _budget, "systematics": _systematics}
