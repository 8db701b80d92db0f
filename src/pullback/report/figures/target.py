"""The figure of a target: the mean σ against the parameter that is varied to reach it."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from ...config.dotted_names import unit_of
from ...statistics.prefixes import suited
from ...store.target_file import TargetAnswer, TargetAnswers
from ...study.plan import Study
from .base import PAGE_WIDTH, VERMILLION, Canvas, label_axis, legend, plt, say
from .symbols import key_in_math, with_symbol

MOST_LABELS = 8
"""Maximum number of curves with a legend entry each."""

WIDEST_WITH_MARGINS = 1e100
"""Ratio of the ends of a logarithmic axis above which margins and ticks beyond the ends may overflow."""


def target_figure(study: Study, target: TargetAnswers) -> Canvas:
    """Draw the mean σ against the varied parameter for each answer, with the target and the present value."""
    observable = next(with_symbol(each) for each in study.model.observables if each.name == target.observable)
    vary, answers = target.vary, target.answers
    canvas, axes = plt.subplots(figsize=(PAGE_WIDTH, 3.8))
    colours = mpl.colormaps["cividis"](np.linspace(0, 0.85, len(answers)))
    for colour, answer in zip(colours, answers, strict=True):
        words = ((name, suited(value, target.units.get(name, ""), 6)) for name, value in answer.values.items())
        label = "\n".join(f"{key_in_math(name)} = {value}" for name, value in words)
        axes.plot(
            answer.grid, answer.sigmas, ".-", ms=4, color=colour, lw=1.3, label=label if _has_room(answers) else None
        )
        if math.isfinite(answer.start_sigma):
            axes.plot(answer.start, answer.start_sigma, "o", ms=5, mfc="white", color=colour)
        if answer.value is not None:
            axes.plot(answer.value, target.wanted, "s", ms=6, color=colour)
    axes.axhline(target.wanted, color=VERMILLION, ls="--", lw=1, label="target")
    axes.plot([], [], "o", ms=5, mfc="white", color="black", label="present value")
    if any(answer.reached for answer in answers):
        axes.plot([], [], "s", ms=6, color="black", ls="none", label="target reached")
    if not any(math.isfinite(sigma) for answer in answers for sigma in answer.sigmas):
        say(axes, "no muon has any σ")
    else:  # a logarithmic scale must have points
        if all(value > 0 for answer in answers for value in answer.grid):
            if _range(answers) > WIDEST_WITH_MARGINS:
                _stay_inside(axes, [value for answer in answers for value in answer.grid])
            else:
                axes.set_xscale("log" if _range(answers) > 20 else "linear")
        axes.set_yscale("log")
    label_axis(axes, "x", key_in_math(vary), unit_of(vary, study.config))
    label_axis(axes, "y", f"mean σ of {observable.symbol}", observable.unit)
    legend(canvas, [axes])
    return canvas


def _stay_inside(axes: Axes, values: list[float]) -> None:
    """Set a logarithmic axis that has no margin or tick beyond the values."""
    first, last = math.ceil(math.log10(min(values))), math.floor(math.log10(max(values)))
    axes.set_xlim(min(values), max(values))  # before the scale, which would add margins
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([10.0**each for each in range(first, last + 1, (last - first) // 6)]))
    axes.xaxis.set_minor_locator(NullLocator())


def _has_room(answers: list[TargetAnswer]) -> bool:
    """Whether the legend has room for the scanned values of every curve, one per line."""
    return len(answers) <= MOST_LABELS and sum(len(answer.values) for answer in answers) <= 2 * MOST_LABELS


def _range(answers: list[TargetAnswer]) -> float:
    values = [value for answer in answers for value in answer.grid]
    return max(values) / min(values)
