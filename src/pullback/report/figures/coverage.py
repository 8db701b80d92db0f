"""The figure of coverage: how often each kind of interval holds the truth, by toys around true hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from ...statistics.normal import P68, P95
from ...validation.coverage_evidence import Interval, TruthBin
from .base import BLUE, GREY, VERMILLION, Canvas, Observable, Subject, height_of, in_bins, labels, legend, named, panels

STYLES: tuple[tuple[Interval, str, str, str, str], ...] = (
    ("linear68", BLUE, "o", "none", "±1 σ, linear"),
    ("interval68", BLUE, "x", BLUE, "68.27 % coverage interval (JCGM 101)"),
    ("confidence68", BLUE, "D", BLUE, "68.27 % confidence interval"),
    ("linear95", VERMILLION, "o", "none", "±1.96 σ, linear"),
    ("interval95", VERMILLION, "x", VERMILLION, "95 % coverage interval (JCGM 101)"),
    ("confidence95", VERMILLION, "D", VERMILLION, "95 % confidence interval"),
)
"""Kind of interval, colour, marker, its face, and label: 68.27 % first."""


class CoveragePanel(NamedTuple):
    """A panel with bins of true values along its axis: title, quantity that is binned, labels, and the bins."""

    title: str
    place: str
    words: list[str]
    bins: list[TruthBin]


def coverage(subject: Subject) -> Canvas:
    """Coverage in bins of the true distance from the fold; a single observable has a panel for each level."""
    found = _panels(subject.observables)
    alone = len(found) == 1
    views = [(panel, STYLES[which]) for panel in found for which in ((slice(3), slice(3, 6)) if alone else (slice(6),))]
    canvas, grid = panels(len(views), 3.2 if alone else height_of(found))
    tolerance = subject.settings.coverage_tolerance
    for axes, (panel, styles) in zip(grid, views, strict=True):
        _nominal(axes, tolerance, alone=alone, level=styles[0][0][-2:])
        for index, (kind, colour, marker, face, label) in enumerate(styles):
            shift = 0.24 * (index % 3 - 1) + (0.0 if alone else 0.08 * (index // 3 - 0.5))
            style = {"fmt": marker, "ms": 4, "color": colour, "mfc": face, "label": label}
            in_bins(axes, [each.coverage.of(kind) for each in panel.bins], shift, **style)
        named(axes, panel, "true ", len(found))
        low = min(0.6, axes.get_ylim()[0])
        axes.set(ylabel="coverage", ylim=(low, 1.02))
    legend(canvas, grid, ncols=2)
    return canvas


def _nominal(axes: Axes, tolerance: float, *, alone: bool, level: str) -> None:
    """The nominal coverages of a panel, with the tolerance as a band."""
    for name, nominal, colour in (("68", P68, BLUE), ("95", P95, VERMILLION)):
        if not alone or name == level:
            axes.axhspan(nominal - tolerance, nominal + tolerance, color=GREY, alpha=0.25, lw=0)
            axes.axhline(nominal, color=colour, ls="--", lw=0.8)


def _panels(observables: Sequence[Observable]) -> list[CoveragePanel]:
    """A panel for each observable with bins; those without a fold are together in one."""
    known = [(each, each.entry.truth) for each in observables if each.entry.truth]
    found = [
        CoveragePanel(each.symbol, each.place, labels(truth.bins), truth.bins)
        for each, truth in known
        if len(truth.bins) > 1
    ]
    flat = [(each.symbol, truth.bins[0]) for each, truth in known if len(truth.bins) == 1]
    if flat:
        symbols, bins = zip(*flat, strict=True)
        found.append(CoveragePanel("without a fold", "", [*symbols], [*bins]))
    return found
