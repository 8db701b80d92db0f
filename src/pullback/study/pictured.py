"""The blocks of a point that pictures of its data are made from."""

from __future__ import annotations

MOST_PICTURED = 64
"""Blocks (8 million muons) above which pictures show a sample, so that they take no longer."""


def pictured(total: int) -> list[int]:
    """Indices of the blocks, of a point's `total`, that pictures are made from: all, or 64 that are evenly spread.

    >>> pictured(3), len(pictured(1000)), pictured(1000)[-1]
    ([0, 1, 2], 64, 984)

    """
    count = min(total, MOST_PICTURED)
    return [total * index // count for index in range(count)]
