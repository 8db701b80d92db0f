"""Layers that say nothing: without a hit in any track, or with the same one in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..models import Quantity
from .fit_estimates import FitEstimates
from .fit_evidence import FitEntry
from .fit_reasons import symbols_of

CONSTANT_WITHIN = 1e-6
"""Variance of the hits of a coordinate over that of their residuals below which they are all the same."""


def silent(of: FitEstimates) -> list[int]:
    """The coordinates without a hit in any fit, if others have hits."""
    used = of.used
    return [] if not used.any() else np.flatnonzero(~used).tolist()


def constant(of: FitEstimates) -> list[int]:
    """The coordinates whose hits are all the same although tracks differ there."""
    sums = of.sums(robust=False)
    return [index for index in range(len(sums["count"])) if sums["count"][index] > 1 and _is_constant(sums, index)]


def _is_constant(sums: Mapping[str, np.ndarray], index: int) -> bool:
    count, h, h2, m, m2 = (float(sums[name][index]) for name in ("count", "h", "h2", "m", "m2"))
    return h2 / count - (h / count) ** 2 < CONSTANT_WITHIN * (m2 / count - (m / count) ** 2)


def constant_words(entry: FitEntry, coordinates: Mapping[str, Quantity]) -> Iterator[str]:
    """That hits are all the same, and what to do."""
    if entry.constant:
        where = symbols_of(entry.constant, coordinates)
        yield (
            f"all hits of {where} are the same: a dead layer, or a wrong column in source; mend this, or leave its "
            "layer out of the model, first"
        )


def silent_words(entry: FitEntry, coordinates: Mapping[str, Quantity]) -> Iterator[str]:
    """That there are no hits of some coordinates."""
    if entry.silent:
        yield (
            f"No track has a hit of {symbols_of(entry.silent, coordinates)}: a dead layer, or a wrong column in "
            "source; leave its layer out of the model if it is dead"
        )
