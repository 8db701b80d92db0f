"""Space that HDF5 takes in a file beyond the numbers in it."""

from __future__ import annotations

from pathlib import Path

import h5py

ATTRIBUTES_IN_HEADER = 16, 8
"""Attributes of a dataset above which HDF5 moves them to a heap of several kB, and below which it moves them back."""


def attributes_in_header() -> h5py.h5p.PropDCID:
    """Properties of a new dataset that keep all its attributes in its header."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_attr_phase_change(*ATTRIBUTES_IN_HEADER)
    return properties


def truncate(path: str | Path) -> None:
    """Cut off what was reserved for a closed file and not used.

    HDF5 does not see that `pullback.store.checksum.reserve` lengthens an open file. If the last bytes that it writes
    are at the end of what it uses, it leaves the file as long as that. Only when it opens a file does it ask for the
    length, and cuts it to what is used when closing it.
    """
    with h5py.File(path, "r+", locking=False):
        pass
