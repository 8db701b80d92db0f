"""Blocks: consecutive muons of a point, the unit of random numbers, of computation and of HDF5 chunks."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 131_072
"""Muons per block. A block is the unit of random numbers, of computation, and of HDF5 chunks (1 MiB per coordinate)."""


@dataclass(frozen=True)
class Block:
    """Muons [start, stop) of a point, and the index of the block in the point."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def block_count(muons: int) -> int:
    """Number of blocks for a number of muons."""
    return -(-muons // BLOCK)
