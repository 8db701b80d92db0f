"""Blocks: consecutive muons of a point, the unit of random numbers, of computation and of HDF5 chunks."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 131_072
"""Consecutive muons of a point that are handled at a time: the unit of random numbers, of computation, and of HDF5
chunks (1 MiB for a coordinate)."""


@dataclass(frozen=True)
class Block:
    """Muons [start, stop) of a point, and the block's index in the point."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def block_count(muons: int) -> int:
    """How many blocks hold that many muons."""
    return -(-muons // BLOCK)
