"""Sums over the fits of all muons of a point, merged exactly over blocks and batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..statistics.exact_sum import ExactSum
from ..store.artefact import Reader
from ..store.fit_columns import FIT_SUMS
from ..study.artefact_configs import TallyConfig
from ..study.batches import Part


class FitTally:
    """The sums of `FitSums` over all blocks of a point."""

    def __init__(self) -> None:
        self._sums = {name: ExactSum() for name in FIT_SUMS}

    def add(self, fits: Reader, part: Part[TallyConfig]) -> None:
        """Add the blocks of a part from its artefact of kind "fits"."""
        for name, total in self._sums.items():
            for row in fits.rows(f"{part.label}/fit_sums/{name}"):
                total.add(row)

    def of(self, name: str) -> np.ndarray:
        """One of the sums, rounded."""
        return self._sums[name].rounded

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The exact content by path, which `merge` adds to another tally."""
        return {name: total.parts for name, total in self._sums.items()}

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the `arrays` of another tally."""
        for name, total in self._sums.items():
            for part in arrays[name]:
                total.add(part)
