"""The figures of the fits: unbiased residuals by coordinate, p-values, and residuals against the track."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from ...validation.estimates import Estimate
from ...validation.fit_evidence import CoordinateFit, FitEntry
from ...validation.fit_judgement import FEWEST_TRACKS, SHIFT
from .base import (
    BLUE,
    FEW,
    FOR_NARROW_BINS,
    FURTHEST_PULL,
    GREY,
    PAGE_WIDTH,
    SMALL,
    VERMILLION,
    Canvas,
    Subject,
    beyond_band,
    density,
    gaussian,
    in_bins,
    legend,
    mosaic,
    panels,
    plt,
    pull_bins,
    say,
    say_outside,
)
from .noted import note_drawn

P_VALUES_OF_FEW = 10
"""Bins of the p-values of few muons, of which each would be a spike."""

POSITIONS = 12
"""Bins of a track's position or slope, with the same number of hits in each."""


FURTHEST_MEAN = 5.0
"""Distance of a mean or a width of pulls from the expected one beyond which it is counted, not drawn."""

MOST_BESIDE = 10
"""Coordinates above which panels with one place for each are below each other."""


def _residuals(subject: Subject) -> Canvas:
    """Pulls of all hits, mean and width of the pulls of each coordinate, and p-values."""
    names = [each.symbol for each in subject.coordinates]
    tolerance, rows = subject.settings.data_tolerance, [["all", "p"], ["mean", "width"]]
    if not subject.fit.coordinates:
        rows = rows[:1]
    elif len(names) > MOST_BESIDE:
        rows[1:] = [["mean", "mean"], ["width", "width"]]
    canvas, by_name = mosaic(rows, 2.5)
    note_drawn(canvas, means=subject.fit.coordinates)
    _pulls(by_name["all"], subject)
    show_p_values(by_name["p"], subject.fit)
    if not subject.fit.coordinates:
        return canvas
    own = {each.name: each for each in subject.fit.coordinates}
    fits = [own.get(each.name) for each in subject.coordinates]
    means, widths = ([getattr(each, name, None) for each in fits] for name in ("pull_mean", "pull_sd"))
    _by_coordinate(by_name["mean"], means, 0.0, SHIFT * tolerance)
    _by_coordinate(by_name["width"], widths, 1.0, tolerance)
    for name, words in (("mean", "mean pull"), ("width", "width of pulls")):
        by_name[name].set_xticks(range(len(names)), names)
        by_name[name].set(ylabel=words, xlim=(-0.6, len(names) - 0.4))
    return canvas


def _by_coordinate(axes: Axes, numbers: list[Estimate | None], expected: float, tolerance: float) -> None:
    """A number of each coordinate with its interval, and the tolerance about what is expected."""
    axes.axhspan(expected - tolerance, expected + tolerance, color=GREY, alpha=0.25, lw=0)
    axes.axhline(expected, color="black", lw=0.6)
    in_bins(axes, numbers, color=BLUE, marker="s", ms=3.5)
    low, high = beyond_band(axes, expected, tolerance)
    axes.set_ylim(max(low, expected - FURTHEST_MEAN), min(high, expected + FURTHEST_MEAN))
    values = np.array([each.value for each in numbers if each])
    say_outside(axes, np.abs(values - expected) > FURTHEST_MEAN, "coordinate")


def _pulls(axes: Axes, subject: Subject) -> None:
    """The pulls of all hits, beside the unit Gaussian."""
    found = _pulls_of(subject)
    pulls = found[np.isfinite(found)]
    if not len(pulls):
        say(axes, "no residuals")
        return
    density(axes, pulls, pull_bins(len(pulls)), color=BLUE, alpha=0.5, label="all hits")
    gaussian(axes)
    say_outside(axes, np.abs(pulls) > FURTHEST_PULL, "hit")
    axes.set(xlabel="unbiased residual / its σ", ylabel="density")
    axes.set_ylim(0, max(0.52, 1.25 * axes.get_ylim()[1]))  # room for the legend
    axes.legend(loc="upper left", fontsize=SMALL)


def _pulls_of(subject: Subject) -> np.ndarray:
    """Unbiased residual over its σ (muon, coordinate)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return subject.column("residual") / subject.column("residual_sigma")


def show_p_values(axes: Axes, fit: FitEntry) -> None:
    """The number of muons in each bin of the p-value, over the expected one."""
    if not fit.muons:
        say(axes, "no degrees of freedom")
        return
    counts = np.array(fit.p_values)
    if fit.muons < FOR_NARROW_BINS:
        counts = counts.reshape(P_VALUES_OF_FEW, -1).sum(axis=1)
    axes.stairs(counts / counts.mean(), np.linspace(0, 1, len(counts) + 1), color=BLUE, fill=True, alpha=0.5)
    axes.axhline(1, color="black", lw=0.8, ls="--")
    axes.set(xlabel="p-value", ylabel="muons / expected", xlim=(0, 1), ylim=(0, None))


def _trends(subject: Subject) -> Canvas:
    """Mean pull of each coordinate against the position and the slope of the track."""
    fits = subject.fit.coordinates
    if not fits:
        canvas, axes = plt.subplots(figsize=(PAGE_WIDTH, 0.6))
        few = 0 < subject.fit.muons < FEWEST_TRACKS
        say(axes, f"fewer than {FEWEST_TRACKS} muons: too few for means" if few else "no residuals")
        axes.set_axis_off()
        return canvas
    canvas, grid = panels(len(fits), 2.0, sharey=True)
    note_drawn(canvas, profiles=True)
    index = {each.name: place for place, each in enumerate(subject.coordinates)}
    where, pulls, band = _positions(subject), _pulls_of(subject), SHIFT * subject.settings.data_tolerance
    for axes, each in zip(grid, fits, strict=True):
        own = index[each.name]
        axes.axhspan(-band, band, color=GREY, alpha=0.25, lw=0)
        axes.axhline(0, color="black", lw=0.6)
        _profile(axes, where[:, own], pulls[:, own], BLUE, "o", "against position")
        slope = _slope(subject, where, each, index)
        on = "position" if slope is None else "position or slope"
        if slope is not None:
            _profile(axes, slope, pulls[:, own], VERMILLION, "s", "against slope")
        axes.set(title=subject.coordinates[own].symbol, xlabel=f"quantile of {on}")
    for axes in grid[::FEW]:
        axes.set_ylabel("mean pull")
    legend(canvas, grid[:1])
    return canvas


def _positions(subject: Subject) -> np.ndarray:
    """The fitted position on each layer: the hit minus its residual, which is the unbiased one times σ²/σ_m²."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((1 / subject.resolution / subject.column("residual_sigma")) ** 2, 0, 1)
        return subject.column("x_reco") - subject.column("residual") * share


def _slope(subject: Subject, where: np.ndarray, fit: CoordinateFit, index: dict[str, int]) -> np.ndarray | None:
    """The slope between the outermost layers of a line; None where heights are not known."""
    heights = subject.model.heights
    if not heights:
        return None
    places = sorted((index[name] for name in fit.fitted_with), key=lambda place: heights[place])
    low, high = places[0], places[-1]
    return (where[:, high] - where[:, low]) / (heights[high] - heights[low]) if heights[high] > heights[low] else None


def _profile(axes: Axes, on: np.ndarray, pulls: np.ndarray, colour: str, marker: str, label: str) -> None:
    """Mean pull in bins with the same number of hits."""
    good = np.isfinite(on) & np.isfinite(pulls)
    if good.sum() < 5 * POSITIONS:
        return
    parts = np.array_split(pulls[good][np.argsort(on[good], kind="stable")], POSITIONS)
    mean, error = np.array([(part.mean(), part.std() / np.sqrt(len(part))) for part in parts]).T
    middle = (np.arange(POSITIONS) + 0.5) / POSITIONS
    axes.errorbar(middle, mean, error, color=colour, marker=marker, label=label, ms=3, lw=0.8, capsize=2)


OF_FITS: dict[str, Callable[[Subject], Canvas]] = {"residuals": _residuals, "trends": _trends}
