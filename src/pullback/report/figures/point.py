"""The figures of a point, of any model: a panel for each of its observables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from ...statistics.angles import wrap
from ...statistics.normal import K95, P68, P95
from ...validation.evidence import ENDS, NotJudged
from .base import (
    BLUE,
    FEW,
    GREY,
    VERMILLION,
    BinPanel,
    Canvas,
    Observable,
    Subject,
    axis,
    density,
    gaussian,
    in_bins,
    most_of,
    of_bins,
    panels,
    plt,
    say_what_is_beyond,
    ticks,
)

ENDS_STYLES = (
    (BLUE, "v", "68.27 %, lower"),
    (BLUE, "^", "68.27 %, upper"),
    (VERMILLION, "v", "95 %, lower"),
    (VERMILLION, "^", "95 %, upper"),
)

COVERAGE_STYLES = (
    ("linear", "68", BLUE, "o", "none", "±1 σ, linear"),
    ("quoted", "68", BLUE, "o", BLUE, "68.27 %, quoted"),
    ("linear", "95", VERMILLION, "s", "none", "±1.96 σ, linear"),
    ("quoted", "95", VERMILLION, "s", VERMILLION, "95 %, quoted"),
)


def _hits(subject: Subject) -> Canvas:
    reco, names = subject.column("x_reco"), [each.symbol for each in subject.model.coordinates]
    wide = max(3.0, 0.4 * len(names))
    if subject.recorded:
        canvas, (where, recorded) = plt.subplots(1, 2, figsize=(3 + 2 * wide, 3.4))
        _spread(where, [each[np.isfinite(each)] for each in reco.T], names)
        units = dict.fromkeys(each.unit for each in subject.model.coordinates)
        where.set(ylabel=f"recorded ({', '.join(units)})")
    else:
        canvas, (pooled, where, recorded) = plt.subplots(
            1, 3, figsize=(3.2 + 2 * wide, 3.4), gridspec_kw={"width_ratios": [3.2, wide, wide]}
        )
        off = (reco - subject.column("x_true")) * subject.resolution
        density(pooled, off[np.isfinite(off)], np.linspace(-4.5, 4.5, 61), color=BLUE, alpha=0.5, label="all hits")
        gaussian(pooled)
        pooled.set(xlabel="(recorded − true) × resolution", ylabel="density", ylim=(0, 0.52))
        pooled.legend(loc="upper left", fontsize=8)
        for edge in (-K95, -1, 0, 1, K95):
            where.axhline(edge, color="black", lw=0.6, ls="-" if edge == 0 else ":")
        _spread(where, [each[np.isfinite(each)] for each in off.T], names)
        where.set(ylabel="(recorded − true) × resolution")
    where.legend(loc="upper right", fontsize=7, ncols=2)
    low, high = where.get_ylim()
    where.set_ylim(low, high + 0.15 * (high - low))
    hits = subject.as_recorded("x_reco")
    say_what_is_beyond(where, hits)
    share = np.isfinite(hits).mean(axis=0)
    recorded.bar(range(len(names)), share, color=BLUE, alpha=0.7)
    for index, each in enumerate(share):
        recorded.text(index, each, f"{100 * each:.3g} %", ha="center", va="bottom", fontsize=6, clip_on=False)
    recorded.set(ylabel="share of muons with a hit", ylim=(0, 1.08), xlabel="coordinate")
    recorded.set_xticks(range(len(names)), names)
    return canvas


def _spread(axes: Axes, samples: list[np.ndarray], names: list[str]) -> None:
    """Where 68.27 % and 95 % of each sample lie, and its median."""
    known = [index for index, each in enumerate(samples) if len(each)]
    levels = [(1 - P95) / 2, (1 - P68) / 2, 0.5, (1 + P68) / 2, (1 + P95) / 2]
    found = np.array([np.quantile(samples[index], levels) for index in known]).reshape(-1, 5)
    axes.vlines(known, found[:, 0], found[:, 4], color=BLUE, lw=1, label="95 % of hits")
    axes.vlines(known, found[:, 1], found[:, 3], color=BLUE, lw=4, alpha=0.6, label="68.27 %")
    axes.plot(known, found[:, 2], "o", ms=4, color="black", label="median")
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="coordinate", xlim=(-0.5, len(names) - 0.5))


def _value(subject: Subject) -> Canvas:
    canvas, grid = panels(len(subject.observables), 3.0, 2.4)
    for axes, each in zip(grid, subject.observables, strict=True):
        value, sigma = each.column("{}"), each.column("sigma_{}")
        value, sigma = value[np.isfinite(value)], sigma[np.isfinite(sigma)]
        low, high = most_of(value)
        bins = np.linspace(low, high, 41)
        density(axes, value, bins, color=BLUE, alpha=0.5, label="recorded")
        if not subject.recorded:
            true = each.true
            style = {"histtype": "step", "color": "black", "ls": "--", "label": "true"}
            density(axes, true[np.isfinite(true)], bins, **style)
        top = 1.25 * axes.get_ylim()[1]
        if len(sigma):
            # In the middle and at the top, as wide as ±1 σ.
            axes.errorbar(
                (low + high) / 2,
                0.92 * top,
                xerr=np.median(sigma),
                color=VERMILLION,
                capsize=3,
                lw=2,
                label="± median quoted σ",
            )
        axes.set(xlabel=axis(each.quantity), ylim=(0, top), xlim=(low, high), yticks=[])
    for axes in grid[::FEW]:
        axes.set_ylabel("density")
    _legend(canvas, grid[0])
    return canvas


def _sigma(subject: Subject) -> Canvas:
    count = len(subject.observables)
    columns = min(count, FEW)
    rows = -(-count // columns)
    canvas, grid = plt.subplots(
        2 * rows,
        columns,
        figsize=(3.1 * columns, 3.6 * rows),
        squeeze=False,
        gridspec_kw={"height_ratios": [1.5, 1] * rows},
    )
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        top, bottom = grid[2 * row : 2 * row + 2, column]
        if place < count:
            _closure(top, bottom, subject.observables[place])
        else:
            top.remove()
            bottom.remove()
    for row in range(rows):
        grid[2 * row, 0].set_ylabel("uncertainty")
        grid[2 * row + 1, 0].set_ylabel("toy sd / σ")
    handles = {label: handle for axes in grid[:2, 0] for handle, label in zip(*axes.get_legend_handles_labels())}  # noqa: B905
    canvas.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=min(5, 1 + columns),
        fontsize=8,
        markerscale=2,
    )
    return canvas


def _closure(top: Axes, bottom: Axes, each: Observable) -> None:
    """The spread of toys beside σ, and over it, against the value of an observable."""
    muon, sd = each.toys("muon"), each.toys("toy_sd_{}")
    value, linear, quoted = (each.at(name, muon) for name in ("{}", "sigma_{}_linear", "sigma_{}"))
    claimed = (each.distance(muon=muon) >= each.domain) & (linear > 0)
    good = np.isfinite(value) & (quoted > 0) & np.isfinite(sd)
    many = good.sum() > 100
    style = {"ls": "none", "ms": 2 if many else 3.5, "rasterized": bool(many)}
    top.plot(value[good], sd[good], "s", color=VERMILLION, label="sd of toys", **style)
    top.plot(value[good], quoted[good], ".", color=BLUE, label="quoted σ", **style)
    tolerance = each.subject.settings.tolerance
    bottom.axhspan(1 - tolerance, 1 + tolerance, color=GREY, alpha=0.25, lw=0)
    bottom.axhline(1, color="black", lw=0.6)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_linear, to_quoted = sd / linear, sd / quoted
    bottom.plot(value[good], to_quoted[good], "s", color=VERMILLION, label="to the quoted σ", **style)
    domains = ((claimed, "black", "in the linear domain"), (~claimed, GREY, "outside the linear domain"))
    for which, colour, words in domains:
        some = good & which & np.isfinite(to_linear)
        bottom.plot(
            value[some], to_linear[some], "x", mew=0.6, color=colour, label=f"to the linear σ, {words}", **style
        )
    limits = most_of(value[good])
    for axes in (top, bottom):
        axes.set_xlim(*limits)
    if good.any():
        low, high = np.quantile(np.concatenate([sd[good], quoted[good]]), [0, 0.98])
        if 0 < 30 * low < high:
            top.set_yscale("log")
        else:
            top.set_ylim(0, 1.15 * high)
        shown = np.concatenate([to_quoted[good], to_linear[good & claimed], [1 - 2 * tolerance, 1 + 2 * tolerance]])
        bottom.set_ylim(0.97 * shown.min(), 1.03 * min(shown.max(), 2.5))
    else:
        top.text(0.5, 0.5, "no toys", transform=top.transAxes, ha="center")
    top.set(title=axis(each.quantity))
    top.tick_params(labelbottom=False)
    bottom.set_xlabel(axis(each.quantity))


def _pulls(subject: Subject) -> Canvas:
    alone = len(subject.observables) == 1
    canvas, grid = panels(len(subject.observables), *((5.5, 3.6) if alone else (3.2, 2.8)))
    for axes, each in zip(grid, subject.observables, strict=True):
        sigma = each.column("sigma_{}_linear")
        value, true = each.column("{}"), each.column("{}_true")
        usable = np.isfinite(value) & np.isfinite(true) & (sigma > 0) & np.isfinite(sigma)
        z = wrap(value - true, each.quantity.period)[usable] / sigma[usable]
        limit = each.domain
        inside = (each.distance("_true") >= limit)[usable]
        bins = np.linspace(-4.5, 4.5, 61)
        pulls = each.linear.domain.pulls
        words = f"mean {pulls.mean.value:+.3f}, sd {pulls.sd.value:.3f}" if pulls and pulls.sd.value > 0 else ""
        condition = f"{each.place} ≥ {limit:g}" if each.fold else "all muons"
        density(axes, z[inside], bins, color=BLUE, alpha=0.5, label=f"{condition}\n{words}" if words else condition)
        if not inside.all():
            below = f"{each.place} < {limit:g}"
            density(axes, z[~inside], bins, histtype="step", color=VERMILLION, ls="--", label=below)
        gaussian(axes)
        axes.set(xlabel=f"pull of {each.symbol}", ylabel="density" if alone else "")
        handles, names = axes.get_legend_handles_labels()
        if not alone:  # what the line is, the caption says
            handles, names = handles[:-1], names[:-1]
        axes.legend(handles, names, loc="upper left", fontsize=8 if alone else 7)
        # Few muons near the fold make high spikes, which would leave no room for the others.
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1] if alone else min(0.9, 1.45 * axes.get_ylim()[1]))
    return canvas


def _ends(subject: Subject) -> Canvas:
    found = of_bins(subject.observables)
    canvas, grid = panels(len(found), *((6.5, 3.6) if len(found) == 1 else (4.6, 2.8)), most=2)
    tolerance = subject.settings.tolerance
    for axes, panel in zip(grid, found, strict=True):
        axes.axhspan(-tolerance, tolerance, color=GREY, alpha=0.25, lw=0)
        axes.axhline(0, color="black", lw=0.6)
        for index, (end, (colour, marker, label)) in enumerate(zip(ENDS, ENDS_STYLES, strict=True)):
            shift = 0.12 * (index - 1.5)
            in_bins(
                axes,
                [each.offsets.of(end).mean for each in panel.quoted],
                shift,
                fmt=marker,
                ms=4,
                color=colour,
                label=label,
            )
        _named(axes, panel, "recorded ", len(found))
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -2 * tolerance), max(high, 2 * tolerance))
        axes.set(ylabel="(toy end − quoted end) / half-width" if len(found) == 1 else "difference / half-width")
    _legend(canvas, grid[0])
    return canvas


def _coverage(subject: Subject) -> Canvas:
    found = of_bins(subject.observables)
    canvas, grid = panels(len(found), *((6.5, 3.6) if len(found) == 1 else (4.6, 2.8)), most=2)
    for axes, panel in zip(grid, found, strict=True):
        axes.axhline(P68, color=BLUE, ls="--", lw=0.8)
        axes.axhline(P95, color=VERMILLION, ls="--", lw=0.8)
        for index, (sigma, level, colour, marker, face, label) in enumerate(COVERAGE_STYLES):
            shift = 0.12 * (index - 1.5)
            style = {"fmt": marker, "ms": 4, "color": colour, "mfc": face, "label": label}
            in_bins(axes, panel.coverages(sigma, level), shift, **style)
        outside = sum(each.verdict == NotJudged.OUTSIDE for each in panel.linear) if panel.place else 0
        axes.axvspan(-0.5, outside - 0.5, color=GREY, alpha=0.2, lw=0)
        _named(axes, panel, "true ", len(found))
        axes.set(ylabel="coverage", ylim=(None, 1.02))
    _legend(canvas, grid[0])
    return canvas


def _law(subject: Subject) -> Canvas:
    folded = [each for each in subject.observables if each.fold]
    found = of_bins(folded)
    canvas, (first, *grid) = panels(1 + len(folded), 3.2, 2.6)
    share = [np.nan if each.entry.linear_valid is None else each.entry.linear_valid for each in subject.observables]
    place = np.arange(len(share))
    first.barh(place, share, color=BLUE, alpha=0.7)
    for index, each in enumerate(share):
        words = "–" if np.isnan(each) else f" {100 * each:.3g} %"
        first.text(0, index, words, va="center", fontsize=7)
    first.set_yticks(place, [each.symbol for each in subject.observables])
    first.invert_yaxis()
    first.set(xlabel="share with linear propagation valid", xlim=(0, 1.02))
    for axes, each, panel in zip(grid, folded, found, strict=True):
        linear, distance = each.column("sigma_{}_linear"), each.distance()
        near = np.flatnonzero((distance < 10) & (linear > 0) & np.isfinite(linear))
        near = near[:: max(1, len(near) // 500)]
        edges = [bin_.low for bin_ in panel.quoted]
        ok = [np.nan if bin_.linear_valid is None else bin_.linear_valid for bin_ in panel.quoted]
        axes.stairs(ok[:-1], edges, color=GREY, alpha=0.3, fill=True, label="share with linear propagation valid")
        for kind, colour, marker, label in (("sigma_{}", BLUE, ".", "quoted σ"), ("bias_{}", VERMILLION, "x", "bias")):
            ratio = each.column(kind)[near] / linear[near]
            style = {"ms": 2.5, "ls": "none", "rasterized": True}
            axes.plot(distance[near], ratio, marker, color=colour, label=f"{label} / linear σ", **style)
        axes.axhline(1, color="black", lw=0.6)
        axes.set(xlabel=each.place, xlim=(0, 10), ylim=(-0.3, 1.6), title=each.symbol)
    if grid:
        _legend(canvas, grid[0], markerscale=2.5)
    return canvas


def _named(axes: Axes, panel: BinPanel, at: str, among: int) -> None:
    """The bins along an axis, and a title where there are several panels."""
    ticks(axes, panel.words, f"{at}{panel.place}" if panel.place else "")
    if among > 1:
        axes.set_title(panel.title)


def _legend(canvas: Canvas, axes: Axes, **style: float) -> None:
    """The legend of a panel, above all of them."""
    canvas.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8, **style)


OF_POINT: dict[str, Callable[[Subject], Canvas]] = {
    "hits": _hits,
    "value": _value,
    "sigma": _sigma,
    "law": _law,
    "ends": _ends,
    "pulls": _pulls,
    "coverage": _coverage,
}
