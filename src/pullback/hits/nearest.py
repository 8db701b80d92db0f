"""The choice between several hits in a layer: the nearest to the straight line through the other layers of the event.

The line x(z) = x̄ + s (z − z̄) of a view is the least-squares fit, with equal weights, to the layers of the event with a
single finite hit, s = Σ (z − z̄) x / Σ (z − z̄)². It needs two different heights. A model with two lines, above and below
a volume, has one of its own for each. The squared distances of a hit in its views, as far as these have a line, are
added. Of hits at the same distance the first in the file is taken, and of a layer without a prediction none.
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
    cell: Int[np.ndarray, " hit"], several: Bool[np.ndarray, "event layer"], views: Sequence[np.ndarray], layers: Layers
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

    """
    among = several.ravel()[cell]
    distance = np.zeros(int(among.sum()))
    predicted = np.zeros(several.shape, dtype=bool)
    for positions in views:
        single = np.full(several.size, np.nan)
        single[cell[~among]] = positions[~among]
        line = _predicted(single.reshape(several.shape), layers)
        known = np.isfinite(line)
        predicted |= known
        off = (positions[among] - line.ravel()[cell[among]]) ** 2
        distance += np.where(known.ravel()[cell[among]], off, 0.0)
    order = np.lexsort((distance, cell[among]))  # stable, and NaN comes last
    cells = cell[among][order]
    first = np.concatenate([[True], cells[1:] != cells[:-1]])[: len(cells)]
    usable = first & predicted.ravel()[cells] & np.isfinite(distance[order])
    taken = ~among
    taken[np.flatnonzero(among)[order[usable]]] = True
    return Choice(taken, int(usable.sum()), int(first.sum() - usable.sum()))


def _predicted(single: Cells, layers: Layers) -> Cells:
    """Positions of the lines through single hits on all layers; NaN without a line."""
    found = np.full(single.shape, np.nan)
    for number in np.unique(layers.lines):
        mine = layers.lines == number
        z, x = layers.heights[mine], single[:, mine]
        used = np.isfinite(x)
        count = np.maximum(used.sum(axis=1), 1)[:, None]
        mean_z = np.where(used, z, 0.0).sum(axis=1, keepdims=True) / count
        mean_x = np.where(used, x, 0.0).sum(axis=1, keepdims=True) / count
        arm = np.where(used, z - mean_z, 0.0)
        square = (arm**2).sum(axis=1, keepdims=True)
        # Heights are compared, since the mean of equal ones may be rounded.
        spread = np.where(used, z, -np.inf).max(axis=1) > np.where(used, z, np.inf).min(axis=1)
        with np.errstate(all="ignore"):
            slope = (arm * np.where(used, x - mean_x, 0.0)).sum(axis=1, keepdims=True) / square
            found[:, mine] = np.where(spread[:, None], mean_x + slope * (z - mean_z), np.nan)
    return found
