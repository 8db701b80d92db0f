"""Which muons toys are thrown around: shared out over the blocks of a point, and spread over θ within each."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

GOLDEN = (5**0.5 - 1) / 2

FEWEST_SHOWN = 100
"""Toy muons that figures show at least, where there are so many."""


def share(blocks: range, total: int, count: int) -> range:
    """Which of `count` toy muons a range of a point's `total` blocks has: each block its even share, in order."""
    return range(count * blocks.start // total, count * blocks.stop // total)


def blocks_shown(total: int, count: int) -> int:
    """From how many of a point's `total` blocks figures show toy muons: from the first with 100 of `count` in all."""
    return max(1, -(-min(count, FEWEST_SHOWN) * total // max(count, 1)))


def spread_over_all(values: Float[np.ndarray, "muon observable"], toys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of distinct muons, and which toys they get: the toys take turns in which observable they are spread over.

    Muons without a value are passed over; where there are too few, some toys are left over.
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
    """Indices of distinct muons whose values are evenly spread between the least and the greatest.

    Toy muon number k aims at the fraction (k + ½)·0.618… mod 1 of the range: golden-ratio steps are spread evenly
    over any run of numbers, so the blocks of a point needn't know of each other. Every tenth is spread evenly over the
    logarithm of |value| instead: with a fine detector, the bins next to the fold would have no toys otherwise. Muons
    without a value are passed over.
    """
    index = np.flatnonzero(np.isfinite(values))
    count = min(len(toys), len(index))
    if not count:
        return index[:0]
    values, toys = values[index], toys[:count]
    ordered = np.sort(values)
    low, high = ordered[0] / 2, ordered[-1] / 2  # halves, since the range of all doubles is not one
    targets = 2 * (low + np.mod((toys + 0.5) * GOLDEN, 1) * (high - low))
    size = np.abs(ordered[ordered != 0])
    tenth = toys % 10 == 9
    if len(size):
        fraction = np.mod(toys[tenth] // 10 * GOLDEN, 1)  # the first at the least value itself
        # Of the sign that the values have where the range reaches furthest.
        sign = 1 if ordered[-1] >= -ordered[0] else -1
        with np.errstate(over="ignore"):
            ratio = min(size.max() / size.min(), np.finfo(float).max)
        targets[tenth] = sign * size.min() * ratio**fraction
    targets.sort()
    step = np.arange(count)
    position = np.maximum.accumulate(np.searchsorted(ordered, targets) - step) + step  # each muon once
    return index[_of_ranks(values, ordered, np.minimum(position, len(index) - count + step))]


def _of_ranks(values: np.ndarray, ordered: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Where the values of some ranks are, equal ones ranked as they come: `np.argsort(values, kind="stable")[ranks]`.

    To find the order of all values takes ten times as long as sorting them, and few are wanted.
    """
    found = np.flatnonzero(np.isin(values, ordered[ranks]))
    found = found[np.argsort(values[found], kind="stable")]
    there = values[found]
    after_equals = np.arange(len(found)) - np.searchsorted(there, there)
    return found[np.searchsorted(np.searchsorted(ordered, there) + after_equals, ranks)]
