"""The figure of coverage: how often each kind of interval holds the truth, by toys around true hits."""

from __future__ import annotations

from matplotlib.axes import Axes

from ...statistics.normal import P68, P95
from ...validation.coverage_evidence import Interval
from .base import (
    BLUE,
    GREY,
    VERMILLION,
    Canvas,
    Subject,
    bin_panels,
    height_of,
    in_bins,
    is_estimated,
    legend,
    named,
    panels,
)
from .noted import note_bins

STYLES: tuple[tuple[Interval, str, str, str, str], ...] = (
    ("linear68", BLUE, "o", "none", "±1 σ, linear"),
    ("interval68", BLUE, "x", BLUE, "68.27 % coverage interval (JCGM 101)"),
    ("confidence68", BLUE, "D", BLUE, "68.27 % confidence interval"),
    ("linear95", VERMILLION, "o", "none", "±1.96 σ, linear"),
    ("interval95", VERMILLION, "x", VERMILLION, "95 % coverage interval (JCGM 101)"),
    ("confidence95", VERMILLION, "D", VERMILLION, "95 % confidence interval"),
)
"""Kind of interval, colour, marker, its face, and label: 68.27 % first."""


def coverage(subject: Subject) -> Canvas:
    """Coverage in bins of the true distance from the fold; a single observable has a panel for each level."""
    measured = [(each, each.entry.truth.bins) for each in subject.observables if each.entry.truth]
    found = bin_panels(measured, lambda each: any(is_estimated(each.coverage.of(kind)) for kind, *_ in STYLES))
    alone = len(found) == 1
    views = [(panel, STYLES[which]) for panel in found for which in ((slice(3), slice(3, 6)) if alone else (slice(6),))]
    canvas, grid = panels(len(views), 3.2 if alone else height_of(found))
    note_bins(canvas, found)
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
