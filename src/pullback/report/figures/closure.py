"""The figure of closure: the standard deviation of toys beside the linear and the quoted σ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from .base import (
    BLUE,
    FEW,
    GREY,
    PAGE_WIDTH,
    VERMILLION,
    Canvas,
    Observable,
    Subject,
    label_axis,
    legend,
    plt,
    say,
    say_outside,
)
from .noted import note_drawn
from .ranges import drawable, most_of

TAIL_BELOW = 0.01
"""Share of σ that may be too small for the panel, and are counted."""

MOST_OF_A_KIND = 80
"""Muons of each number of missing layers that are drawn: more would hide each other."""

BY_MISSING = (
    ("hits in all layers", BLUE, "o"),
    ("1 layer without a hit", "#009E73", "^"),
    ("2 or more layers without", "#CC79A7", "v"),
)
"""Words, colour and marker of the muons, by the number of layers without a hit: fewer hits give a larger σ."""


class SpreadPanel(NamedTuple):
    """The value, σ and toys of muons in ascending order of the value.

    `claimed` is true in the linear domain, and `missing` is the number of layers without a hit.
    """

    value: np.ndarray
    sd: np.ndarray
    linear: np.ndarray
    quoted: np.ndarray
    to_linear: np.ndarray
    to_quoted: np.ndarray
    claimed: np.ndarray
    missing: np.ndarray

    @property
    def style(self) -> dict[str, Any]:
        """The style of a point per muon."""
        many = len(self.value) > 100
        return {"ls": "none", "ms": 2 if many else 3.5, "rasterized": many}

    @property
    def squares(self) -> dict[str, Any]:
        """The style of the standard deviations of toys."""
        return {**self.style, "marker": "s", "color": VERMILLION, "alpha": 0.5 if len(self.value) > 100 else 1}


def closure(subject: Subject) -> Canvas:
    """Draw the standard deviation of toys beside each σ, and over it; of one hit once more, near the fold."""
    views = [(each, each.symbol, False) for each in subject.observables]
    height = 3.4
    if subject.one_hit:
        (theta,) = subject.observables
        views, height = [(theta, "all muons", False), (theta, f"small {theta.symbol}", True)], 4.2
        if _spread_of(theta).claimed.all():  # no muon is near the fold
            views = views[:1]
    columns = min(len(views), FEW)
    rows = -(-len(views) // columns)
    canvas, grid = plt.subplots(
        2 * rows,
        columns,
        figsize=(PAGE_WIDTH, height * rows),
        squeeze=False,
        gridspec_kw={"height_ratios": [1.5, 1] * rows},
    )
    tops, bottoms = grid[::2].ravel(), grid[1::2].ravel()
    for top, bottom, (each, title, near) in zip(tops, bottoms, views, strict=False):
        toys = _spread_of(each)
        _sigmas(top, toys, one_hit=subject.one_hit)
        _ratios(bottom, toys, subject.settings.of_toys, one_hit=subject.one_hit)
        _limit_values((top, bottom), toys, mark=subject.one_hit, near=near)
        top.set_title(title, loc="left" if top.texts else "center")  # what is outside stands at the right
        label_axis(bottom, "x", each.symbol, each.quantity.unit)
        label_axis(top, "y", f"uncertainty of {each.symbol}" if subject.one_hit else "uncertainty", each.quantity.unit)
    note_drawn(canvas, missing=not subject.one_hit and any(_spread_of(each).missing.any() for each, *_ in views))
    for axes in (*tops[len(views) :], *bottoms[len(views) :]):
        axes.remove()  # the legend is there
    for bottom in bottoms[::columns]:
        bottom.set_ylabel("toy sd / σ")
    legend(canvas, grid.flat, ncols=2 if subject.one_hit else 3, rows=2, markerscale=1.5)
    return canvas


def _spread_of(each: Observable) -> SpreadPanel:
    """The muons that have toys, without those that have no standard deviation."""
    muon, sd = each.toys("muon"), each.toys("toy_sd_{}")
    value, linear, quoted = (each.at(name, muon) for name in ("{}", "sigma_{}_linear", "sigma_{}"))
    claimed = (each.distance(muon=muon) >= each.domain) & (linear > 0)
    layers = np.array(each.subject.model.layers)
    hits = each.subject.at("x_reco", muon).reshape(-1, len(layers))
    missing = np.sum([np.isnan(hits[:, layers == layer]).any(axis=1) for layer in np.unique(layers)], axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = SpreadPanel(value, sd, linear, quoted, drawable(sd / linear), drawable(sd / quoted), claimed, missing)
    good = np.flatnonzero(np.isfinite(value) & (quoted > 0) & np.isfinite(found.to_quoted))
    good = good[np.argsort(value[good], kind="stable")]
    return SpreadPanel(*(column[good] for column in found))


def _sigmas(axes: Axes, toys: SpreadPanel, *, one_hit: bool) -> None:
    axes.tick_params(labelbottom=False)
    kinds = [np.arange(len(toys.value))] if one_hit else _by_missing(toys)
    shown = np.sort(np.concatenate(kinds))
    axes.plot(toys.value[shown], toys.sd[shown], label="sd of toys", **toys.squares)
    if one_hit:  # σ depends on the value alone
        axes.plot(
            toys.value, toys.quoted, color=BLUE, lw=1.5, marker="." if len(toys.value) < 3 else "", label="quoted σ"
        )
        axes.plot(toys.value, toys.linear, color="black", lw=1, ls="--", label="linear σ")
    else:
        _quoted_by_missing(axes, toys, kinds)
    if not len(toys.value):
        say(axes, "no toys")
        return
    low, high = np.quantile(np.concatenate([toys.sd, toys.quoted]), [TAIL_BELOW, 0.98])
    if 0 < 30 * low < high:
        axes.set(yscale="log", ylim=(low / 2, 2 * high))
    else:
        axes.set_ylim(0, 1.15 * high)
    say_outside(axes, (toys.quoted < axes.get_ylim()[0]) | (toys.quoted > axes.get_ylim()[1]))


def _by_missing(toys: SpreadPanel) -> list[np.ndarray]:
    """The muons that are drawn, by the number of layers without a hit: of many, some evenly over their values."""
    number = np.minimum(toys.missing, len(BY_MISSING) - 1)
    return [_evenly(np.flatnonzero(number == kind)) for kind in range(len(BY_MISSING))]


def _evenly(muons: np.ndarray) -> np.ndarray:
    """At most `MOST_OF_A_KIND` muons, with the first and the last."""
    if len(muons) <= MOST_OF_A_KIND:
        return muons
    return muons[np.linspace(0, len(muons) - 1, MOST_OF_A_KIND).round().astype(int)]


def _quoted_by_missing(axes: Axes, toys: SpreadPanel, kinds: Sequence[np.ndarray]) -> None:
    """The quoted σ, by the number of layers without a hit; the rarest muons are on top."""
    some_missing = bool(toys.missing.any())
    for muons, (words, colour, marker) in zip(kinds, BY_MISSING, strict=True):
        label = f"quoted σ, {words}" if some_missing else "quoted σ"
        if len(muons):
            more = sum(len(other) > len(muons) for other in kinds)
            outline = {"mec": "white", "mew": 0.3} if len(toys.value) <= 100 else {"mew": 0}
            style = {**toys.style, **outline, "ms": toys.style["ms"] + 1, "zorder": 2 + 0.1 * more}
            axes.plot(toys.value[muons], toys.quoted[muons], marker, color=colour, label=label, **style)


def _ratios(axes: Axes, toys: SpreadPanel, tolerance: float, *, one_hit: bool) -> None:
    axes.axhspan(1 - tolerance, 1 + tolerance, color=GREY, alpha=0.25, lw=0)
    axes.axhline(1, color="black", lw=0.6)
    axes.plot(toys.value, toys.to_quoted, label="toy sd / quoted σ", **toys.squares)
    crosses = {**toys.style, "mew": 0.6, "zorder": 1.9 if len(toys.value) > 100 else 2}  # many would hide the squares
    for which, colour, words in ((toys.claimed, "black", "in"), (~toys.claimed, GREY, "outside")):
        some = which & np.isfinite(toys.to_linear)
        label = f"toy sd / linear σ, {words} the linear domain" if some.any() else None
        axes.plot(toys.value[some], toys.to_linear[some], "x", color=colour, label=label, **crosses)
    if len(toys.value):
        linear = toys.to_linear[toys.claimed | one_hit]
        shown = np.concatenate([toys.to_quoted, linear, [1 - 2 * tolerance, 1 + 2 * tolerance]])
        most = max(2.5, np.quantile(toys.to_quoted, 0.98))
        axes.set_ylim(0.97 * np.nanmin(shown), 1.03 * min(np.nanmax(shown), most))


def _limit_values(panels: Sequence[Axes], toys: SpreadPanel, *, mark: bool, near: bool) -> None:
    """The range of values, or only that near the fold, and a mark where the linear domain begins."""
    low, high = most_of(toys.value)
    if mark and toys.claimed.any() and not toys.claimed.all():
        boundary = toys.value[toys.claimed].min()
        for axes in panels:
            axes.axvline(boundary, color="black", ls=":", lw=0.8)
        high = min(high, max(10 * np.median(toys.quoted), 2 * boundary)) if near else high
    for axes in panels:
        axes.set_xlim(low, high)
