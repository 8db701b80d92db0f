"""The figures of a scan point: a panel for each observable; one hit has views of its own, over its one coordinate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...statistics.angles import wrap
from ...statistics.normal import K95, P68, P95
from ...validation.evidence import ENDS, Bin, Entry
from ..formats import percent
from .base import (
    BLUE,
    FEW,
    FURTHEST_PULL,
    GREY,
    PAGE_WIDTH,
    SMALL,
    VERMILLION,
    BinPanel,
    Canvas,
    Observable,
    Subject,
    bin_panels,
    density,
    gaussian,
    height_of,
    in_bins,
    is_estimated,
    label_axis,
    legend,
    mosaic,
    named,
    panels,
    plt,
    pull_bins,
    say,
    say_outside,
    say_what_is_beyond,
    with_minus,
)
from .closure import closure
from .coverage import coverage
from .noted import note_bins, note_drawn
from .ranges import all_of, most_of, not_far

FEWEST_BELOW = 10
"""Minimum number of muons near the fold for which they are drawn: one alone makes a spike as high as the panel."""

OF_SHARES: dict[str, Any] = {"color": GREY, "alpha": 0.4}
"""Style of shares of muons for which linear propagation is valid."""

MOST_MARKS = 200
"""Hits with a mark at the axis: more would be a bar."""

FEWEST_IN_MAP = 100
"""Muons below which each is a point, not a count on a map."""

FEWEST_IN_BINS = 200
"""Muons from which a histogram of values has narrow bins."""

FEW_NAMES = 6
"""Coordinates above which a panel is as wide as the figure."""

MINUS_VALUE = "minus the value"
"""Title of the panel in which intervals are about 0."""

ENDS_STYLES = (
    (BLUE, "v", "68.27 %, lower"),
    (BLUE, "^", "68.27 %, upper"),
    (VERMILLION, "v", "95 %, lower"),
    (VERMILLION, "^", "95 %, upper"),
)


def _hits(subject: Subject) -> Canvas:
    return _hits_of_one_layer(subject) if subject.one_hit else _hits_in_layers(subject)


def _hits_of_one_layer(subject: Subject) -> Canvas:
    (x,) = subject.coordinates
    reco = subject.column("x_reco")
    hit = np.isfinite(reco[:, 0])
    if subject.recorded:
        canvas, left = plt.subplots(figsize=(PAGE_WIDTH, 3.0))
        shown = not_far(reco[:, 0])
        _positions(left, reco[shown, 0])
        say_outside(left, hit & ~shown, "hit")
        left.set(ylabel="muons")
    else:
        true = subject.column("x_true")
        canvas, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 2.8))
        shown = not_far(reco[:, 0])
        _density_map(canvas, left, true[shown, 0], reco[shown, 0])
        say_outside(left, hit & ~shown, "hit")
        label_axis(left, "y", f"recorded {x.symbol}", x.unit)
        if not hit.all():
            left.set_title(f"{hit.sum()} of {len(hit)} muons have a hit")
        _residuals(right, (reco - true) * subject.resolution)
    label_axis(left, "x", f"{'recorded' if subject.recorded else 'true'} {x.symbol}", x.unit)
    say_what_is_beyond(left, subject.as_recorded("x_reco"))
    return canvas


def _positions(axes: Axes, hits: np.ndarray) -> None:
    """Histogram of the positions of hits, with marks at the first ones."""
    if not len(hits):
        say(axes, "no hits")
        return
    axes.hist(hits, bins=min(100, max(10, len(hits) // 50)), range=all_of(hits), color=BLUE)
    first = hits[:MOST_MARKS]
    label = "each hit" if len(hits) <= MOST_MARKS else f"the first {MOST_MARKS} hits"
    # Their ends are at the axis, so that they do not run through its labels.
    axes.vlines(first, 0, 0.05, color="black", lw=1, transform=axes.get_xaxis_transform(), label=label)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def _density_map(canvas: Canvas, axes: Axes, true: np.ndarray, reco: np.ndarray) -> None:
    """Number of muons by true and recorded position."""
    if not len(reco):
        say(axes, "no hits")
        return
    if len(reco) < FEWEST_IN_MAP:
        axes.plot(true, reco, "o", ms=3.5, color=BLUE, label="muons")
    else:
        counts, xs, ys = np.histogram2d(true, reco, bins=120, range=[all_of(true), all_of(reco)])
        style: dict[str, Any] = {"norm": "log", "rasterized": True, "cmap": "cividis_r"}
        mesh = axes.pcolormesh(xs, ys, np.where(counts > 0, counts, np.nan).T, **style)
        canvas.colorbar(mesh, ax=axes, label="muons")
    axes.axline((true.mean(), true.mean()), slope=1, color=VERMILLION, lw=1.2, ls="--", label="recorded = true")
    axes.legend(loc="upper left")


def _residuals(axes: Axes, off: np.ndarray) -> None:
    """The residuals of all hits, in units of the resolution."""
    off = off[np.isfinite(off)]
    density(axes, off, pull_bins(len(off)), color=BLUE, alpha=0.5, label="all hits")
    gaussian(axes)
    axes.set(xlabel="(recorded − true) × resolution", ylabel="density", ylim=(0, max(0.52, 1.25 * axes.get_ylim()[1])))
    say_outside(axes, np.abs(off) > FURTHEST_PULL, "hit")
    axes.legend(loc="upper left", fontsize=SMALL)


def _hits_in_layers(subject: Subject) -> Canvas:
    reco, names = subject.column("x_reco"), [each.symbol for each in subject.coordinates]
    hits = subject.as_recorded("x_reco")
    missing = not np.isfinite(hits).all()
    canvas, by_name = _panels_of_hits(len(names), pulls=not subject.recorded, shares=missing)
    where = by_name["where"]
    note_drawn(canvas, shares=missing)
    if subject.recorded:
        _spread(where, reco, names)
        units = dict.fromkeys(each.unit for each in subject.coordinates)
        label_axis(where, "y", "recorded", ", ".join(units))
    else:
        off = (reco - subject.column("x_true")) * subject.resolution
        _residuals(by_name["pulls"], off)
        for edge in (-K95, -1, 0, 1, K95):
            where.axhline(edge, color="black", lw=0.6, ls="-" if edge == 0 else ":")
        _spread(where, off, names)
        where.set(ylabel="(recorded − true) × resolution")
    where.legend(loc="upper right", fontsize=SMALL, ncols=2)
    low, high = where.get_ylim()
    where.set_ylim(low, high + 0.25 * (high - low))
    if missing:
        _found(by_name["shares"], np.isfinite(hits).mean(axis=0), names)
    else:
        where.set_title("every muon has all hits", fontsize=SMALL)
    say_what_is_beyond(where, hits)
    return canvas


def _panels_of_hits(coordinates: int, *, pulls: bool, shares: bool) -> tuple[Canvas, dict[str, Axes]]:
    """Panels of hits by coordinate, of the pulls of all hits and of the share of hits found, of which some are there.

    Panels of very many coordinates are as wide as the figure.
    """
    names = ["pulls"] * pulls + ["shares"] * shares
    rows = [["where", *names]] if len(names) < 2 else [names, ["where", "where"]]
    if coordinates > FEW_NAMES:
        rows = [[name] for name in (*names, "where")]
    return mosaic(rows, 2.7)


def _found(axes: Axes, share: np.ndarray, names: Sequence[str]) -> None:
    """The share of the muons with a hit, by coordinate."""
    axes.bar(range(len(names)), share, color=BLUE, alpha=0.7)
    for index, height in enumerate(share if len(names) <= FEW_NAMES else ()):
        axes.text(index, height, percent(height), ha="center", va="bottom", fontsize=SMALL, clip_on=False)
    axes.set(ylabel="share of muons with a hit", ylim=(0, 1.12), xlabel="coordinate")
    axes.set_xticks(range(len(names)), names)


def _spread(axes: Axes, columns: np.ndarray, names: Sequence[str]) -> None:
    """Where 68.27 % and 95 % of the hits in each coordinate lie, and their median."""
    samples = [column[not_far(column)] for column in columns.T]
    say_outside(axes, np.isfinite(columns) & ~np.transpose([not_far(column) for column in columns.T]), "hit")
    known = [index for index, sample in enumerate(samples) if len(sample)]
    levels = [(1 - P95) / 2, (1 - P68) / 2, 0.5, (1 + P68) / 2, (1 + P95) / 2]
    found = np.array([np.quantile(samples[index], levels) for index in known]).reshape(-1, 5)
    axes.vlines(known, found[:, 0], found[:, 4], color=BLUE, lw=1, label="95 % of hits")
    axes.vlines(known, found[:, 1], found[:, 3], color=BLUE, lw=4, alpha=0.6, label="68.27 %")
    axes.plot(known, found[:, 2], "o", ms=4, color="black", label="median")
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="coordinate", xlim=(-0.5, len(names) - 0.5))


def _value(subject: Subject) -> Canvas:
    if subject.one_hit:
        return _value_over_hits(subject)
    canvas, grid = panels(len(subject.observables), 2.2)
    for axes, each in zip(grid, subject.observables, strict=True):
        value, sigma = each.column("{}"), each.column("sigma_{}")
        value, sigma = value[np.isfinite(value)], sigma[np.isfinite(sigma)]
        low, high = most_of(value)
        missing = 3 * float(np.median(sigma)) - (high - low) if len(sigma) else 0.0
        low, high = low - max(0.0, missing) / 2, high + max(0.0, missing) / 2
        bins = np.linspace(low, high, 41 if len(value) >= FEWEST_IN_BINS else 13)
        density(axes, value, bins, color=BLUE, alpha=0.5, label="recorded")
        if not subject.recorded:
            true = each.true()
            style = {"histtype": "step", "color": "black", "ls": "--", "label": "true"}
            density(axes, true[np.isfinite(true)], bins, **style)
        top = 1.25 * axes.get_ylim()[1]
        if len(sigma):
            # A bar as wide as ±1 σ, at the top of the panel.
            axes.errorbar(
                (low + high) / 2,
                0.92 * top,
                xerr=np.median(sigma),
                color=VERMILLION,
                capsize=3,
                lw=2,
                label="± median quoted σ",
            )
        axes.set(ylim=(0, top), xlim=(low, high), yticks=[])
        say_outside(axes, (value < low) | (value > high))
        label_axis(axes, "x", each.symbol, each.quantity.unit)
    for axes in grid[::FEW]:
        axes.set_ylabel("density")
    legend(canvas, grid[:1])
    return canvas


def _value_over_hits(subject: Subject) -> Canvas:
    """Values and intervals of at most 60 hits, over their coordinate; once more near the fold, or minus the value."""
    (x_axis,), (theta,) = subject.coordinates, subject.observables
    x = subject.column("x_reco")[:, 0]
    known = (theta.column("flag_{}") == 0) & np.isfinite(x)
    usable = known & not_far(x)
    outside, x = known & ~usable, x[usable]
    value, sigma, interval = (theta.column(name)[usable] for name in ("{}", "sigma_{}_linear", "interval68_{}"))
    views = {"all hits": np.full(len(x), True), "within 6 σ of the fold": np.abs(x) < 6 / subject.resolution[0]}
    views = {title: which for title, which in views.items() if which.any()} or views
    if len(views) == 1:  # beside the range of the values, the intervals can be too short to be seen
        views[MINUS_VALUE] = np.full(len(x), True)
    canvas, grid = panels(len(views), 2.9)
    for axes, (title, which) in zip(grid, views.items(), strict=True):
        origin = value if title == MINUS_VALUE else np.zeros_like(value)
        order = np.flatnonzero(which)[np.argsort(x[which], kind="stable")]
        if len(order) > 60:
            wanted = np.linspace(x[order[0]], x[order[-1]], 60)  # evenly over x, as far as there are muons
            order = order[np.unique(np.searchsorted(x[order], wanted).clip(0, len(order) - 1))]
        style: dict[str, Any] = {"fmt": "none", "elinewidth": 2.5, "color": "lightgrey", "label": "±1 σ, linear"}
        axes.errorbar(x[order], (value - origin)[order], sigma[order], **style)
        # Not as error bars, since near a fold the value at the hit can lie outside its interval.
        ends = interval - origin[:, None]
        axes.vlines(x[order], *ends[order].T, lw=1, color=BLUE, label="68.27 % coverage interval")
        axes.plot(x[order], (value - origin)[order], "o", ms=2.5, color=BLUE)
        axes.axhline(0, color="black", lw=0.6)
        axes.set(title=title)
        label_axis(axes, "x", f"recorded {x_axis.symbol}", x_axis.unit)
        words = f"interval − {theta.symbol}" if title == MINUS_VALUE else theta.symbol
        label_axis(axes, "y", words, theta.quantity.unit)
    say_outside(grid[0], outside)
    legend(canvas, grid[:1])
    return canvas


def _pulls(subject: Subject) -> Canvas:
    number = len(subject.observables)
    alone = number == 1
    # Three beside each other, since there is no common legend for a free place.
    canvas, grid = panels(number, 3.4 if alone else 2.6, most=3 if number == 3 else FEW)
    for axes, each in zip(grid, subject.observables, strict=True):
        sigma = each.column("sigma_{}_linear")
        value, true = each.column("{}"), each.column("{}_true")
        usable = np.isfinite(value) & np.isfinite(true) & (sigma > 0) & np.isfinite(sigma)
        z = wrap(value - true, each.quantity.period)[usable] / sigma[usable]
        limit = each.domain
        inside = (each.distance("_true") >= limit)[usable]
        pulls = each.linear.domain.pulls
        numbers = (f"mean {pulls.mean.value:+.3f}", f"sd {pulls.sd.value:.3f}") if pulls and pulls.sd.value > 0 else ()
        words = with_minus(("\n" if number == 3 else ", ").join(numbers))
        condition = f"{each.place} ≥ {limit:g}" if each.fold else "all muons"
        label = f"{condition}\n{words}" if words else condition
        density(axes, z[inside], pull_bins(int(inside.sum())), color=BLUE, alpha=0.5, label=label)
        if (below := int((~inside).sum())) >= FEWEST_BELOW:
            style: dict[str, Any] = {"histtype": "step", "color": VERMILLION, "ls": "--"}
            density(axes, z[~inside], pull_bins(below), **style, label=f"{each.place} < {limit:g}")
        gaussian(axes)
        say_outside(axes, np.abs(z) > FURTHEST_PULL)
        axes.set(xlabel=f"pull of {each.symbol}", ylabel="density" if alone else "")
        handles, names = axes.get_legend_handles_labels()
        if not alone:  # the caption explains the line
            handles, names = handles[:-1], names[:-1]
        axes.legend(handles, names, loc="upper left", fontsize=SMALL)
        axes.set_ylim(0, (1.25 if alone else 1.65 if number == 3 else 1.45) * axes.get_ylim()[1])  # room for the words
    return canvas


def _ends(subject: Subject) -> Canvas:
    compared = [(each, each.quoted.bins) for each in subject.observables]
    found = bin_panels(compared, lambda each: any(is_estimated(each.offsets.of(end).mean) for end in ENDS))
    canvas, grid = panels(len(found), height_of(found))
    note_bins(canvas, found)
    tolerance = subject.settings.of_toys
    for axes, panel in zip(grid, found, strict=True):
        axes.axhspan(-tolerance, tolerance, color=GREY, alpha=0.25, lw=0)
        axes.axhline(0, color="black", lw=0.6)
        for index, (end, (colour, marker, label)) in enumerate(zip(ENDS, ENDS_STYLES, strict=True)):
            shift = 0.12 * (index - 1.5)
            means = [each.offsets.of(end).mean for each in panel.bins]
            in_bins(axes, means, shift, fmt=marker, ms=4, color=colour, label=label)
        named(axes, panel, "recorded ", len(found))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -2 * tolerance), max(high, 2 * tolerance))
        axes.set(ylabel="(toy end − quoted end) / half-width" if len(found) == 1 else "difference / half-width")
    legend(canvas, grid[:1])
    return canvas


def _validity(subject: Subject) -> Canvas:
    fewest = 1 if subject.one_hit else FEWEST_BELOW
    folded = [each for each in subject.observables if each.fold and len(_near(each)) >= fewest]
    canvas, (first, *grid) = panels(1 + len(folded), 2.9 if subject.one_hit else 2.4)
    if subject.one_hit:
        theta = subject.observables[0]
        (found,) = bin_panels([(theta, theta.quoted.bins)], lambda each: each.linear_valid is not None)
        _valid_in_bins(first, found, "" if subject.recorded else "true ")
    else:
        _valid_of_each(first, subject.observables)
        for axes, each in zip(grid, folded, strict=True):
            bins = each.quoted.bins
            edges = [bin_.low for bin_ in bins]
            label = f"share with linear propagation valid{'' if subject.recorded else ', at true hits'}"
            axes.stairs(_valid(bins)[:-1], edges, label=label, fill=True, **OF_SHARES)
    for axes, each in zip(grid, folded, strict=True):
        _near_fold(axes, each)
    note_drawn(canvas, near_fold=grid)
    if grid:
        legend(canvas, grid[:1], markerscale=2.5)
    return canvas


def _valid(entries: Sequence[Bin | Entry]) -> list[float]:
    """The share of muons for which linear propagation is valid; NaN where there are none."""
    return [np.nan if each.linear_valid is None else each.linear_valid for each in entries]


def _valid_in_bins(axes: Axes, panel: BinPanel[Bin], at: str) -> None:
    """Where linear propagation is valid, in bins of the distance from a fold."""
    share = _valid(panel.bins)
    axes.bar(range(len(share)), share, **OF_SHARES)
    named(axes, panel, at, 1)
    axes.set(ylabel="share with linear propagation valid", ylim=(0, 1.05))


def _valid_of_each(axes: Axes, observables: Sequence[Observable]) -> None:
    """Where linear propagation is valid, for each observable."""
    share = _valid([each.entry for each in observables])
    place = np.arange(len(share))
    axes.barh(place, share, **OF_SHARES)
    for index, each in enumerate(share):
        axes.text(0, index, f" {percent(each)}", va="center", fontsize=SMALL)
    axes.set_yticks(place, [each.symbol for each in observables])
    axes.invert_yaxis()
    axes.set(xlabel="share with linear propagation valid", xlim=(0, 1.02))


def _limit(each: Observable) -> float:
    """Distance from the fold, in σ, up to which muons are drawn."""
    return 6.0 if each.subject.one_hit else 10.0


def _near(each: Observable) -> np.ndarray:
    """The muons near the fold."""
    linear = each.column("sigma_{}_linear")
    return np.flatnonzero((each.distance() < _limit(each)) & (linear > 0) & np.isfinite(linear))


def _near_fold(axes: Axes, each: Observable) -> None:
    """Quoted σ and bias over the linear σ, of muons near the fold."""
    one_hit, linear, distance = each.subject.one_hit, each.column("sigma_{}_linear"), each.distance()
    near = _near(each)
    near = near[np.argsort(distance[near], kind="stable")][:: max(1, len(near) // 500)]
    style: dict[str, Any] = {} if one_hit else {"ms": 2.5, "rasterized": True}
    kinds = (("sigma_{}", BLUE, "-", ".", "quoted σ"), ("bias_{}", VERMILLION, "--", "x", "bias"))
    for kind, colour, line, marker, label in kinds:
        ratio = each.column(kind)[near] / linear[near]
        # Of one hit, both depend on the distance alone.
        axes.plot(
            distance[near], ratio, line if one_hit else marker, color=colour, label=f"{label} / linear σ", **style
        )
    axes.axhline(1, color="black", lw=0.6)
    # Of simulated hits, the shares in the panels of other models are in bins at the true hits.
    at = " at the recorded hit" if one_hit or each.subject.recorded else ""
    axes.set(xlabel=f"{each.place}{at}", xlim=(0, _limit(each)))
    if not one_hit:
        axes.set(ylim=(-0.3, 1.6), title=each.symbol)


OF_POINT: dict[str, Callable[[Subject], Canvas]] = {
    "hits": _hits,
    "value": _value,
    "sigma": closure,
    "validity": _validity,
    "ends": _ends,
    "pulls": _pulls,
    "coverage": coverage,
}
