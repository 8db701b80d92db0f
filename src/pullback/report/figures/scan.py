"""The figure of a scan: statistics against the parameters that vary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...config.dotted_names import unit_of
from ...config.schema import Validation
from ...models import Quantity
from ...statistics.normal import P68, P95
from ...statistics.prefixes import prefixed
from ...study.plan import Study
from ...validation.csv_tables import columns as columns_of
from ...validation.csv_tables import truth_summary
from ...validation.evidence import Entry, Evidence
from ..gallery import Figure, fixed_entries, independent, is_grid, over, varying
from .base import GREY, Canvas, beyond_band, label_axis, legend, observables_of, panels
from .budget import COLOURS, budget_scan
from .symbols import key_in_math


class Statistic(NamedTuple):
    """What a panel of a scan shows: a number of the domain of a σ, or of the truth, its name, and its expected value.

    A study of several observables shows only those `of_several`, for each observable.
    """

    of: Literal["linear", "quoted", "truth"]
    key: str
    words: str
    expected: float | None = None
    of_several: bool = False


SCAN = (
    Statistic("quoted", "mean_sigma", "mean quoted σ", of_several=True),
    Statistic("linear", "mean_value", "mean {symbol} in the linear domain"),
    Statistic("quoted", "linear_valid", "share with linear propagation valid", of_several=True),
    Statistic("quoted", "ratio", "toy sd / quoted σ", 1.0, of_several=True),
    Statistic("linear", "ratio", "toy sd / linear σ, linear domain", 1.0),
    Statistic("linear", "pull_mean", "mean pull, linear domain", 0.0),
    Statistic("linear", "pull_sd", "sd of pulls, linear domain", 1.0),
    Statistic("truth", "coverage_confidence68", "coverage of 68.27 % interval", P68, of_several=True),
    Statistic("truth", "coverage_confidence95", "coverage of 95 % interval", P95),
)

IN_ITS_UNIT = ("mean_value", "mean_sigma")
"""Statistics in the unit of the observable."""

MOST_OBSERVABLES = 4
"""Number of observables above which only the first and the third of those statistics are drawn for each."""

MOST_LINES = 6
"""Values of the second parameter that have a line, if there are more: evenly spread over them."""

MARKERS = "os^Dv*"

LINE_STYLES = ("-", "--", "-.", ":", "-", "--")

APART = 0.02
"""Distance of lines beside each other, over the range of the axis, so that no line hides another."""

NO_CHANGE = 1e-3
"""Relative range up to which a statistic without an expected value does not vary, and has nothing to say."""


class ScanLine(NamedTuple):
    """A line of a scan: its label, the place of each point on the axis, and the entries in the evidence."""

    label: str
    where: np.ndarray
    entries: list[Entry]


class ScanPanel(NamedTuple):
    """A panel of a scan: the observable, what it shows, the parameter on its axis, and its lines."""

    quantity: Quantity
    statistic: Statistic
    along: str
    lines: list[ScanLine]


def _scan(study: Study, evidence: Evidence, figure: Figure) -> Canvas:
    found = scan_panels(study, evidence, figure)
    canvas, grid = panels(max(1, len(found)), 2.1)
    for axes, panel in zip(grid, found, strict=False):
        _draw(axes, panel, study.config.validation)
        unit = panel.quantity.unit if panel.statistic.key in IN_ITS_UNIT else "1"
        several = len(study.model.observables) > 1
        words = panel.statistic.words.format(symbol=panel.quantity.symbol)
        axes.set_title(f"{panel.quantity.symbol}: {words}" if several else words)
        label_axis(axes, "x", key_in_math(panel.along), unit_of(panel.along, study.config))
        label_axis(axes, "y", "", unit)
        axes.set_ylabel(axes.get_ylabel().strip(" ()"))
    if len(over(study)) > 1:
        legend(canvas, grid[:1])
    return canvas


def scan_panels(study: Study, evidence: Evidence, figure: Figure) -> list[ScanPanel]:
    """The panels of a scan that have something to say.

    Each statistic is drawn against the first parameter, with a line for each value of the second. Of a grid of more
    parameters, the mean σ is drawn against each of the others too.
    """
    observables = observables_of(study, figure)
    several = len(observables) > 1
    wanted = [each for each in SCAN if each.of_several or not several]
    if len(observables) > MOST_OBSERVABLES:
        wanted = wanted[::2]
    others = list(independent(study))[2:] if is_grid(study) else []
    axes = [(each, over(study)) for each in wanted] + [(SCAN[0], [name]) for name in others]
    made = [
        ScanPanel(quantity, statistic, names[0], _lines(study, evidence, quantity.name, names))
        for quantity in observables
        for statistic, names in axes
    ]
    return [panel for panel in made if _says_something(panel)]


def _lines(study: Study, evidence: Evidence, observable: str, names: Sequence[str]) -> list[ScanLine]:
    """The lines over the first of one or two parameters, one for each value of the second."""
    points = {each.label: each.values for each in study.points}
    entries = [each for each in fixed_entries(study, evidence, [*names]) if each.observable == observable]
    entries.sort(key=lambda entry: points[entry.point][names[0]])
    if len(names) == 1:
        return [_line_of(entries, [points[each.point][names[0]] for each in entries], "")]
    values = varying(study)[names[1]]
    spread = np.linspace(0, len(values) - 1, min(MOST_LINES, len(values))).round().astype(int)
    factor, unit = prefixed(max(map(abs, values)), unit_of(names[1], study.config))
    unit = "" if unit == "1" else unit
    lines = []
    for value in (values[index] for index in spread):
        own = [each for each in entries if points[each.point][names[1]] == value]
        label = f"{key_in_math(names[1])} = {factor * value:.6g} {unit}".rstrip()
        lines.append(_line_of(own, [points[each.point][names[0]] for each in own], label))
    return lines


def _line_of(entries: list[Entry], where: list[float], label: str) -> ScanLine:
    return ScanLine(label, np.array(where), entries)


def _says_something(panel: ScanPanel) -> bool:
    """Whether a statistic is known at some point, and has an expected value or varies."""
    values = np.concatenate([_numbers(line.entries, panel.statistic) for line in panel.lines])
    values = values[np.isfinite(values)]
    if not len(values):
        return False
    return panel.statistic.expected is not None or float(np.ptp(values)) > NO_CHANGE * float(np.abs(values).max())


def _numbers(entries: list[Entry], statistic: Statistic, end: str = "") -> np.ndarray:
    """The statistic at each point, or an end of its interval; NaN where there is none."""
    key = f"{statistic.key}{end}"
    if statistic.of == "truth":
        found = [truth_summary(each).get(key) for each in entries]
    else:
        found = [columns_of(each.of(statistic.of).domain, statistic.of, recorded=False).get(key) for each in entries]
    return np.array([np.nan if each is None else each for each in found], float)


def _tolerance(statistic: Statistic, settings: Validation) -> float:
    """The tolerance about the expected value."""
    if statistic.of == "truth":
        return settings.coverage_tolerance
    return settings.of_truth if statistic.key.startswith("pull") else settings.of_toys


def _draw(axes: Axes, panel: ScanPanel, settings: Validation) -> None:
    """The lines of a panel, with intervals and, if there is one, the expected value with its tolerance."""
    statistic = panel.statistic
    if statistic.expected is not None:
        tolerance = _tolerance(statistic, settings)
        axes.axhspan(statistic.expected - tolerance, statistic.expected + tolerance, color=GREY, alpha=0.25, lw=0)
        axes.axhline(statistic.expected, color="black", lw=0.6)
    every = np.concatenate([line.where for line in panel.lines])
    apart = APART * float(np.ptp(every)) if statistic.expected is not None else 0.0
    for index, line in enumerate(panel.lines):
        value, low, high = (_numbers(line.entries, statistic, end) for end in ("", "_low", "_high"))
        where = line.where + apart * (index - (len(panel.lines) - 1) / 2)
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        style: dict[str, Any] = {
            "ls": LINE_STYLES[index % len(LINE_STYLES)] if len({*line.where}) == len(line.where) else "none"
        }
        axes.plot(where, value, marker=marker, ms=3.5, lw=1, color=colour, label=line.label or None, **style)
        if np.isfinite(low).any():
            axes.vlines(where, low, high, color=colour, lw=1)
    if statistic.expected is not None:
        axes.set_ylim(beyond_band(axes, statistic.expected, tolerance))
    if statistic.key == "mean_sigma":  # small changes should look small
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


OF_SCAN: dict[str, Callable[[Study, Evidence, Figure], Canvas]] = {"scan": _scan, "budget": budget_scan}
