"""Selects the muons that get toys: equal counts per block, evenly spread in θ within each."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

GOLDEN = (5**0.5 - 1) / 2

MUONS_PER_EXPERIMENT = 200
"""Toy muons of a point that take part in pseudo-experiments, distributed over its blocks like all toy muons."""

FEW_IN_BLOCK = 6
"""Toy muons of a block for which values are compared instead of sorted, which takes less time for a few."""

FEWEST_SHOWN = 100
"""Minimum number of toy muons in figures, if the point has as many."""


def share(blocks: range, total: int, count: int) -> range:
    """The toy muons, of `count` in all, that belong to a range of a point's `total` blocks: equal shares, in order."""
    return range(count * blocks.start // total, count * blocks.stop // total)


def blocks_shown(total: int, count: int) -> int:
    """Number of leading blocks, of a point's `total`, whose toy muons appear in figures: at least 100 of `count`."""
    return max(1, -(-min(count, FEWEST_SHOWN) * total // max(count, 1)))


def spread_over_all(values: Float[np.ndarray, "muon observable"], toys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of distinct muons, and the number of the toy muon for each; the toys alternate between observables.

    Muons without a value are skipped. If there are too few muons, some toy numbers remain unused.
    """
    values, found = values.copy(), []
    for turn in range(values.shape[1]):
        mine = toys[toys % values.shape[1] == turn]
        chosen = spread_over(values[:, turn], mine // values.shape[1])
        values[chosen] = np.nan  # each muon once
        found.append((chosen, mine[: len(chosen)]))
    muons, numbers = (np.concatenate(each) for each in zip(*found, strict=True))
    return muons, numbers


def spread_over(values: np.ndarray, toys: np.ndarray) -> np.ndarray:
    """Indices of distinct muons whose values are evenly spread between the minimum and the maximum.

    Toy muon number k aims at the fraction (k + ½)·0.618… mod 1 of the range. Golden-ratio steps are even over any
    consecutive numbers, so that blocks can be treated independently. Every tenth toy muon is spread evenly over log
    |value| instead; otherwise, with a fine detector, the bins near the fold would have no toys. Muons without a value
    are skipped.
    """
    index = np.flatnonzero(np.isfinite(values))
    count = min(len(toys), len(index))
    if not count:
        return index[:0]
    values, toys = values if len(index) == len(values) else values[index], toys[:count]
    smallest, largest = values.min(), values.max()
    low, high = smallest / 2, largest / 2  # halves, since the full range of doubles would overflow
    targets = 2 * (low + np.mod((toys + 0.5) * GOLDEN, 1) * (high - low))
    tenth = toys % 10 == 9
    if tenth.any() and (size := np.abs(values[values != 0])).size:
        fraction = np.mod(toys[tenth] // 10 * GOLDEN, 1)  # the first at the smallest value
        # The sign of the values on the longer side of the range.
        sign = 1 if largest >= -smallest else -1
        with np.errstate(over="ignore"):
            ratio = min(size.max() / size.min(), np.finfo(float).max)
        targets[tenth] = sign * size.min() * ratio**fraction
    targets.sort()
    return index[_next_to(values, targets)]


def _next_to(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Positions of the smallest values that are not below each target, in order; each is taken once."""
    if len(targets) <= FEW_IN_BLOCK:
        ranks = np.array([np.count_nonzero(values < target) for target in targets])
        if (np.diff(ranks) > 0).all() and ranks[-1] < len(values):
            return np.array([np.where(values < target, np.inf, values).argmin() for target in targets])
    ordered, step = np.sort(values), np.arange(len(targets))
    position = np.maximum.accumulate(np.searchsorted(ordered, targets) - step) + step
    return _of_ranks(values, ordered, np.minimum(position, len(values) - len(targets) + step))


def _of_ranks(values: np.ndarray, ordered: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Positions of the values with these ranks, like `np.argsort(values, kind="stable")[ranks]`.

    A full argsort takes ten times as long as sorting, and only a few positions are needed.
    """
    found = np.flatnonzero(np.isin(values, ordered[ranks]))
    found = found[np.argsort(values[found], kind="stable")]
    there = values[found]
    after_equals = np.arange(len(found)) - np.searchsorted(there, there)
    return found[np.searchsorted(np.searchsorted(ordered, there) + after_equals, ranks)]
