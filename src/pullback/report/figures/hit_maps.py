"""The figure of where hits are: a map of each layer that measures two coordinates, else histograms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...models import Quantity
from ...statistics.prefixes import prefixed
from ..formats import count
from .base import BLUE, SMALL, Canvas, Subject, panels, say, titled
from .passes import Bins, all_rows, bins_of, counted, sample

TAIL = 1e-3
"""Share of hits at either end that may lie outside a map, so that a few far hits do not hide the others."""

HITS_IN_BIN = 8
"""Mean number of hits in a bin of a map, if there are enough."""

WIDEST_TO_SCALE = 3.0
"""Ratio of the sides of a map below which both have the same scale."""


class HitMap(NamedTuple):
    """A panel: layer, indices of its coordinates (two, or one), their bins, and the counts."""

    layer: int
    places: tuple[int, ...]
    bins: tuple[Bins, ...]
    counts: np.ndarray


def hit_maps(subject: Subject) -> Canvas:
    """Draw the density of hits on each layer."""
    found, hits = _maps(subject)
    quantities = subject.coordinates
    canvas, grid = panels(len(found), 2.4)
    for axes, each in zip(grid, found, strict=True):
        total = int(hits[each.places[0]])
        outside = total - int(each.counts.sum())
        name = f"layer {each.layer}: {count(total)} hit{'s' * (total != 1)}" + f", {count(outside)} outside" * (
            outside > 0
        )
        axes.set_title(name, fontsize=SMALL)
        if not total:
            say(axes, "no hits")
            axes.set(xticks=[], yticks=[])
        elif len(each.places) == 2:
            _density(canvas, axes, each, [quantities[place] for place in each.places])
        else:
            _histogram(axes, each, quantities[each.places[0]])
    return canvas


def _maps(subject: Subject) -> tuple[list[HitMap], np.ndarray]:
    """The counts of each map, and the number of hits in each coordinate; where there are two, of both together."""
    (some,) = sample(subject, "x_reco")
    views = _by_layer(subject.model.layers)
    alone = {places[0] for _, places in views if len(places) == 1}
    bins = [bins_of(column, TAIL, 1 if place in alone else HITS_IN_BIN) for place, column in enumerate(some.T)]
    maps = [HitMap(layer, places, tuple(bins[place] for place in places), np.zeros(())) for layer, places in views]
    hits = np.zeros(len(bins))
    for rows in all_rows(subject, "x_reco"):
        (x,) = rows.columns
        for index, each in enumerate(maps):
            counts = counted(*((bins[place], x[:, place]) for place in each.places))
            maps[index] = each._replace(counts=each.counts + counts)
            hits[list(each.places)] += np.isfinite(x[:, each.places]).all(axis=1).sum()
    return maps, hits


def _by_layer(layers: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """The coordinates of each panel: both of a layer that measures two, else each by itself."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for layer in sorted({*layers}):
        places = tuple(place for place, each in enumerate(layers) if each == layer)
        found += [(layer, places)] if len(places) == 2 else [(layer, (place,)) for place in places]
    return found


def _in_words(quantity: Quantity, bins: Bins) -> tuple[float, str]:
    """The factor to the unit that suits the bins of a coordinate, and the label of its axis."""
    factor, unit = prefixed(max(abs(bins.low), abs(bins.high)), quantity.unit)
    return factor, titled(quantity.symbol, unit)


def _density(canvas: Canvas, axes: Axes, each: HitMap, quantities: list[Quantity]) -> None:
    (x, x_words), (y, y_words) = (_in_words(*pair) for pair in zip(quantities, each.bins, strict=True))
    edges = each.bins[0].edges * x, each.bins[1].edges * y
    counts = np.where(each.counts > 0, each.counts, np.nan).T
    mesh = axes.pcolormesh(*edges, counts, rasterized=True, cmap="cividis_r", vmin=0)
    canvas.colorbar(mesh, ax=axes, shrink=0.75, ticks=MaxNLocator(integer=True))
    sides = [side[-1] - side[0] for side in edges]
    if quantities[0].unit == quantities[1].unit and max(sides) < WIDEST_TO_SCALE * min(sides) and x == y:
        axes.set_aspect("equal")
    axes.set(xlabel=x_words, ylabel=y_words)


def _histogram(axes: Axes, each: HitMap, quantity: Quantity) -> None:
    factor, words = _in_words(quantity, each.bins[0])
    axes.stairs(each.counts, each.bins[0].edges * factor, fill=True, color=BLUE)
    axes.set(xlabel=words, ylabel="hits", ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
