"""The figures of a point that the model of one hit has of its own: one coordinate gives one angle, which folds at 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from ...statistics.normal import P68, P95
from .base import (
    BLUE,
    GREY,
    VERMILLION,
    Canvas,
    Subject,
    all_of,
    axis,
    density,
    gaussian,
    in_bins,
    of_bins,
    plt,
    say_what_is_beyond,
    ticks,
)


def _hits(subject: Subject) -> Canvas:
    return _recorded(subject) if subject.recorded else _against_truth(subject)


def _recorded(subject: Subject) -> Canvas:
    (x,) = subject.model.coordinates
    reco = subject.column("x_reco")[:, 0]
    canvas, axes = plt.subplots(figsize=(5.5, 3.2))
    reco = reco[np.isfinite(reco)]
    if len(reco):
        axes.hist(reco, bins=min(100, max(10, len(reco) // 50)), range=all_of(reco), color=BLUE)
    else:
        axes.text(0.5, 0.5, "no hits", transform=axes.transAxes, ha="center")
    axes.plot(
        reco[:200],
        np.zeros_like(reco[:200]),
        "|",
        color="black",
        ms=12,
        clip_on=False,
        label="the first 200 hits",
    )
    axes.set(xlabel=axis(x, "recorded "), ylabel="muons")
    say_what_is_beyond(axes, subject.as_recorded("x_reco"))
    axes.legend()
    return canvas


def _against_truth(subject: Subject) -> Canvas:
    (x,) = subject.model.coordinates
    reco, true = (subject.column(name)[:, 0] for name in ("x_reco", "x_true"))
    canvas, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
    hit = np.isfinite(reco)
    if not hit.all():
        left.set_title(f"{hit.sum()} of {len(hit)} muons have a hit")
    reco, true = reco[hit], true[hit]
    if len(reco):
        _density_map(canvas, left, true, reco)
        left.legend(loc="upper left")
    else:
        left.text(0.5, 0.5, "no hits", transform=left.transAxes, ha="center")
    left.set(xlabel=axis(x, "true "), ylabel=axis(x, "recorded "))
    density(
        right, (reco - true) * subject.resolution[0], np.linspace(-4.5, 4.5, 61), color=BLUE, alpha=0.5, label="hits"
    )
    gaussian(right)
    right.set(xlabel=f"(recorded − true) {x.symbol} × resolution", ylabel="density", ylim=(0, 0.48))
    right.legend()
    return canvas


def _density_map(canvas: Canvas, axes: Axes, true: np.ndarray, reco: np.ndarray) -> None:
    """How many muons there are at each true and recorded position."""
    counts, xs, ys = np.histogram2d(true, reco, bins=120, range=[all_of(true), all_of(reco)])
    mesh = axes.pcolormesh(
        xs, ys, np.where(counts > 0, counts, np.nan).T, norm="log", rasterized=True, cmap="cividis_r"
    )
    canvas.colorbar(mesh, ax=axes, label="muons")
    axes.axline((true.mean(), true.mean()), slope=1, color=VERMILLION, lw=1.2, ls="--", label="recorded = true")


def _value(subject: Subject) -> Canvas:
    (x_axis,), (theta,) = subject.model.coordinates, subject.observables
    x = subject.column("x_reco")[:, 0]
    usable = theta.usable & np.isfinite(x)
    x = x[usable]
    value, sigma, interval = (theta.column(name)[usable] for name in ("{}", "sigma_{}_linear", "interval68_{}"))
    panels = {"all hits": np.full(len(x), True), "within 6 σ of the fold": np.abs(x) < 6 / subject.resolution[0]}
    panels = {title: which for title, which in panels.items() if which.any()} or panels
    canvas, grid = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.4), squeeze=False)
    for axes, (title, which) in zip(grid.flat, panels.items(), strict=True):
        order = np.flatnonzero(which)[np.argsort(x[which], kind="stable")]
        if len(order) > 60:
            wanted = np.linspace(x[order[0]], x[order[-1]], 60)  # evenly over x, as far as there are muons
            order = order[np.unique(np.searchsorted(x[order], wanted).clip(0, len(order) - 1))]
        axes.errorbar(
            x[order], value[order], sigma[order], fmt="none", elinewidth=2.5, color="lightgrey", label="±1 σ, linear"
        )
        # By themselves, since near a fold the value at the hit can lie outside of its interval.
        axes.vlines(x[order], *interval[order].T, lw=1, color=BLUE, label="68.27 % interval")
        axes.plot(x[order], value[order], "o", ms=2.5, color=BLUE)
        axes.axhline(0, color="black", lw=0.6)
        axes.set(xlabel=axis(x_axis, "recorded "), ylabel=axis(theta.quantity), title=title)
    grid.flat[0].legend(loc="upper left")
    return canvas


def _sigma(subject: Subject) -> Canvas:
    (theta,), settings = subject.observables, subject.settings
    muon, sd = theta.toys("muon"), theta.toys("toy_sd_{}")
    value, sigma, quoted = (theta.at(name, muon) for name in ("{}", "sigma_{}_linear", "sigma_{}"))
    good = np.isfinite(value) & (quoted > 0) & np.isfinite(sd)
    order = np.argsort(value[good], kind="stable")
    value, sigma, quoted, sd = (each[good][order] for each in (value, sigma, quoted, sd))
    canvas, panels = plt.subplots(
        2, 2, figsize=(8, 4.6), sharex="col", sharey="row", gridspec_kw={"height_ratios": [2, 1.3]}
    )
    if not len(value):
        panels[0, 0].text(0.5, 0.5, "no toys", transform=panels[0, 0].transAxes)
        return canvas
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, to_linear = np.abs(value / sigma) >= settings.domain, sd / sigma
    boundary = value[inside].min() if inside.any() else value.max()
    zoom = min(value.max(), max(10 * np.median(sigma), 2 * boundary))
    for column, (title, limit) in enumerate((("all muons", value.max()), (f"small {theta.symbol}", zoom))):
        top, bottom = panels[:, column]
        few = len(value) <= 100
        points = {
            "ms": 4 if few else 2,
            "rasterized": not few,
            "color": VERMILLION,
            "alpha": 1 if few else 0.5,
            "ls": "none",
        }
        top.plot(value, sd, "s", label="sd of toys", **points)
        top.plot(value, quoted, color=BLUE, lw=1.5, label="quoted σ")
        top.plot(value, sigma, color="black", lw=1, ls="--", label="linear σ")
        bottom.axhspan(1 - settings.tolerance, 1 + settings.tolerance, color=GREY, alpha=0.25, lw=0)
        bottom.axhline(1, color=BLUE, lw=1)
        bottom.plot(value, to_linear, "x", **{**points, "color": "black"}, label="to the linear σ")
        bottom.plot(value, sd / quoted, "s", **points, label="to the quoted σ")
        if inside.any() and not inside.all():
            for axes in (top, bottom):
                axes.axvline(boundary, color="black", ls=":", lw=0.8)
        top.set(title=title)
        limit = limit or quoted.max()  # where all muons are at zero
        bottom.set(xlabel=axis(theta.quantity), xlim=(-0.02 * limit, 1.02 * limit))
    panels[0, 0].set(ylabel=f"uncertainty of {axis(theta.quantity)}", ylim=(0, 1.15 * max(sigma.max(), sd.max())))
    panels[0, 0].legend(loc="lower left", ncols=3)
    panels[1, 0].set(ylabel="toy sd / σ")
    panels[1, 1].legend(loc="lower right", fontsize=8)
    return canvas


def _law(subject: Subject) -> Canvas:
    (theta,) = subject.observables
    (panel,), usable = of_bins([theta]), theta.usable
    canvas, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    share = [np.nan if each.linear_valid is None else each.linear_valid for each in panel.quoted]
    left.bar(range(len(share)), share, color=BLUE, alpha=0.7)
    ticks(left, panel.words, f"{'' if subject.recorded else 'true '}{panel.place}")
    left.set(ylabel="share with linear propagation valid", ylim=(0, 1.05))
    linear = theta.column("sigma_{}_linear")[usable]
    has_sigma = linear > 0
    linear = linear[has_sigma]
    place = np.abs(theta.column("{}")[usable][has_sigma]) / linear
    near = np.flatnonzero(place < 6)
    near = near[np.argsort(place[near], kind="stable")]
    near = near[:: max(1, len(near) // 500)]
    for kind, colour, style, label in (("sigma_{}", BLUE, "-", "quoted σ"), ("bias_{}", VERMILLION, "--", "bias")):
        ratio = theta.column(kind)[usable][has_sigma] / linear
        right.plot(place[near], ratio[near], style, color=colour, label=label)
    right.axhline(1, color="black", lw=0.6)
    right.set(xlabel=f"{theta.place} at the recorded hit", ylabel="ratio to the linear σ", xlim=(0, 6))
    right.legend()
    return canvas


def _coverage(subject: Subject) -> Canvas:
    canvas, panels = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    (panel,) = of_bins(subject.observables)
    outside = sum(each.low < subject.settings.domain for each in panel.linear)
    kinds = (("linear", ("±1 σ, linear", "±1.96 σ, linear")), ("quoted", ("68.27 %, quoted", "95 %, quoted")))
    for axes, (sigma, words) in zip(panels, kinds, strict=True):
        styles = ((P68, "68", BLUE, "o"), (P95, "95", VERMILLION, "s"))
        for (nominal, level, colour, marker), label in zip(styles, words, strict=True):
            axes.axhline(nominal, color=colour, ls="--", lw=0.8)
            in_bins(axes, panel.coverages(sigma, level), fmt=marker, color=colour, label=label)
        ticks(axes, panel.words, f"true {panel.place}")
        axes.legend(loc="lower right", fontsize=8)
    panels[0].axvspan(-0.5, outside - 0.5, color=GREY, alpha=0.2, lw=0)
    if outside:
        panels[0].text(-0.4, 0.03, "outside the linear domain", transform=panels[0].get_xaxis_transform(), fontsize=8)
    panels[0].set(ylabel="coverage", ylim=(None, 1.02))
    return canvas


ONE_HIT: dict[str, Callable[[Subject], Canvas]] = {
    "hits": _hits,
    "value": _value,
    "sigma": _sigma,
    "law": _law,
    "coverage": _coverage,
}
"""Those that differ from the figures of any model."""
