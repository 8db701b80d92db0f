"""Tables of the intervals of folded quantities: where they are kept, and at which distances they have entries.

They are written by `python -m pullback.statistics.fold_construction`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

TABLE_FILE = Path(__file__).with_name("fold_tables.npz")

ENTRY_STEP, LAST_ENTRY = 1 / 256, 12.0
"""Distance between the entries for components of equal width, and the largest distance, in standard deviations."""

WHOLE_CIRCLE = "whole_circle"
"""Name of the distances, by level, below which an interval of the azimuth is the whole circle."""

UNEQUAL_WIDTHS = "unequal_widths"
"""Name of the table for two components of unequal widths: (ratio, along, across, level and end)."""

LARGEST_RATIO = 5.0
RATIOS = LARGEST_RATIO ** (np.arange(15) / 14)
"""Ratios κ of the larger width to the smaller at which that table has entries, evenly spaced in log κ."""

LARGEST_LENGTH = 10.0
"""Largest recorded length in that table, in units of the larger width."""

ALONG, ACROSS = 40, 60
"""Number of entries in the direction of the larger width, and of the smaller; their spacing grows as asinh does."""

BEYOND = 1.02
"""Last entries, in units of the largest length."""


def entries_along() -> Float[np.ndarray, " entry"]:
    """Entries in the direction of the larger width, in units of it."""
    return np.sinh(np.linspace(0, np.arcsinh(BEYOND * LARGEST_LENGTH), ALONG))


def entries_across(ratio: float) -> Float[np.ndarray, " entry"]:
    """Entries in the direction of the smaller width, in units of it."""
    return np.sinh(np.linspace(0, np.arcsinh(BEYOND * LARGEST_LENGTH * ratio), ACROSS))


def distances() -> Float[np.ndarray, " entry"]:
    """Distances from the fold at which there are entries for components of equal width."""
    return np.arange(round(LAST_ENTRY / ENTRY_STEP) + 1) * ENTRY_STEP


def equal_widths(components: int) -> str:
    """Name of the table for one component, or two of equal width: (entry, level, end)."""
    return f"equal_widths_{components}"


@cache
def read_table(name: str) -> Float[np.ndarray, "..."]:
    """A table, read once."""
    with np.load(TABLE_FILE) as tables:
        return tables[name].astype(np.float64)
