"""The choice between several hits in a layer: the nearest to the straight line through the other layers of the event.

The line x(z) = x̄ + s (z − z̄) of a view is the least-squares fit, with equal weights, to the layers of the event with a
single finite hit, s = Σ (z − z̄) x / Σ (z − z̄)². It needs two different heights. A model with two lines, above and below
a volume, has one of its own for each. Heights are those of the layers, or each hit has its own. The squared distances
of a hit from the line at its height in its views, as far as these have a line, are added. Of hits at the same distance
the first in the file is taken, and of a layer without a prediction none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Cells = Float[np.ndarray, "event layer"]


class Layers(NamedTuple):
    """Height, m, and line of each layer: layers with the same number are crossed by the same straight line."""

    heights: Float[np.ndarray, " layer"]
    lines: Int[np.ndarray, " layer"]


class Choice(NamedTuple):
    """The hits that are taken, and the numbers of cells (event, layer) with a choice, and without."""

    taken: Bool[np.ndarray, " hit"]
    chosen: int
    undecided: int


def choose_nearest(
    cell: Int[np.ndarray, " hit"],
    several: Bool[np.ndarray, "event layer"],
    views: Sequence[np.ndarray],
    layers: Layers,
    z: Float[np.ndarray, " hit"] | None = None,
) -> Choice:
    """Choose among the hits in cells with several.

    Parameters
    ----------
    cell : array (hit,)
        Index of the cell of each hit, event × layers + layer, in the order of the file.
    several : array (event, layer)
        Whether a cell has several hits.
    views : sequence of arrays (hit,)
        Positions in each view, NaN where it is not known; in the unit of the file.
    layers : Layers
        Heights and lines of the layers.
    z : array (hit,), optional
        Height of each hit, m, NaN where it is not known; default: that of its layer.

    """
    among = several.ravel()[cell]
    event, layer = np.divmod(cell[among], several.shape[1])
    line = layers.lines[layer]
    heights = np.broadcast_to(layers.heights, several.shape) if z is None else _single(z, cell, among, several)
    z_among = layers.heights[layer] if z is None else z[among]
    distance, predicted = np.zeros(len(event)), np.zeros(len(event), dtype=bool)
    for positions in views:
        mean_z, mean_x, slope = _lines(_single(positions, cell, among, several), heights, layers)[:, event, line]
        known = np.isfinite(slope)
        predicted |= known
        with np.errstate(all="ignore"):
            off = (positions[among] - (mean_x + slope * (z_among - mean_z))) ** 2
        distance += np.where(known, off, 0.0)
    order = np.lexsort((distance, cell[among]))  # stable, and NaN comes last
    cells = cell[among][order]
    first = np.concatenate([[True], cells[1:] != cells[:-1]])[: len(cells)]
    usable = first & predicted[order] & np.isfinite(distance[order])
    taken = ~among
    taken[np.flatnonzero(among)[order[usable]]] = True
    return Choice(taken, int(usable.sum()), int(first.sum() - usable.sum()))


def _single(
    values: Float[np.ndarray, " hit"], cell: Int[np.ndarray, " hit"], among: np.ndarray, several: np.ndarray
) -> Cells:
    """Values of the hits that are alone in their cell."""
    found = np.full(several.shape, np.nan)
    found.ravel()[cell[~among]] = values[~among]
    return found


def _lines(x: Cells, z: Cells, layers: Layers) -> Float[np.ndarray, "3 event line"]:
    """Mean height and position and slope of the lines through single hits; NaN without a line."""
    found = np.full((3, len(x), layers.lines.max() + 1), np.nan)
    for number in np.unique(layers.lines):
        mine = layers.lines == number
        found[:, :, number] = _line(x[:, mine], z[:, mine])
    return found


def _line(x: Cells, z: Cells) -> Float[np.ndarray, "3 event"]:
    """Mean height and position and slope of one line of each event."""
    used = np.isfinite(x) & np.isfinite(z)
    count = np.maximum(used.sum(axis=1), 1)[:, None]
    mean_z = np.where(used, z, 0.0).sum(axis=1, keepdims=True) / count
    mean_x = np.where(used, x, 0.0).sum(axis=1, keepdims=True) / count
    arm = np.where(used, z - mean_z, 0.0)
    # Heights are compared, since the mean of equal ones may be rounded.
    spread = np.where(used, z, -np.inf).max(axis=1) > np.where(used, z, np.inf).min(axis=1)
    with np.errstate(all="ignore"):
        slope = (arm * np.where(used, x - mean_x, 0.0)).sum(axis=1) / (arm**2).sum(axis=1)
    found = np.stack([mean_z[:, 0], mean_x[:, 0], slope])
    return np.where(spread, found, np.nan)
