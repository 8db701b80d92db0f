"""Small arrays as numpy's `npz`, as one array of bytes: HDF5 takes 0.2 ms to write an array, however small."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8


def to_npz(arrays: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, " byte"]:
    """The bytes of arrays by name, the same for the same arrays in the same order. Names do not end in `.npy`."""
    file, members = io.BytesIO(), dict[str, Any]({f"/{name}": values for name, values in arrays.items()})
    np.savez(file, **members)  # which takes `file` and others as arguments of its own
    return np.frombuffer(file.getvalue(), np.uint8)


def from_npz(content: UInt8[np.ndarray, " byte"]) -> dict[str, np.ndarray]:
    """The arrays that `to_npz` was given."""
    with np.load(io.BytesIO(content.tobytes())) as members:
        return {name.removeprefix("/"): values for name, values in members.items()}
