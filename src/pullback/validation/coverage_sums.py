"""What a tally keeps of the toys around true hits and of the pulls of all muons, and merges over batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..statistics.exact_sum import ExactSum
from ..store.artefact import Reader
from ..store.columns import COVERED, PULLS, TRUTH_PLACES
from ..study.artefact_configs import TallyConfig
from ..study.batches import Part

Arrays = dict[str, np.ndarray]


class CoverageSums:
    """The rows of all truths of a point, and the sums of pulls of its blocks, in order.

    They are few: some hundred truths, and one row of pulls per block.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, list[np.ndarray]] = {}

    def add(self, reader: Reader, part: Part[TallyConfig]) -> None:
        """Add those of a part."""
        names = [each.name for each in part.model.observables]
        for name in TRUTH_PLACES:
            self._append(f"rows/{name}", reader.rows(f"{part.label}/coverage/{name}"))
        for name, kind in COVERED.items():
            paths = [f"{part.label}/coverage/{kind.of(each)}" for each in names]
            if reader.has(paths[0]):
                self._append(f"rows/{name}", np.stack([reader.rows(path) for path in paths], axis=1))
        for name in PULLS:
            self._append(f"pulls/{name}", reader.rows(f"{part.label}/pulls/{name}"))

    def _append(self, name: str, values: np.ndarray) -> None:
        self._pieces.setdefault(name, []).append(values)

    @property
    def arrays(self) -> Arrays:
        """All of it by path, which `merge` adds to others."""
        return {name: np.concatenate(pieces) for name, pieces in self._pieces.items()}

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the `arrays` of a tally whose muons come after the muons of this one."""
        for name, values in arrays.items():
            self._append(name, values)

    def of(self, kind: str) -> Arrays:
        """The rows of truths (`rows`), or the sums of pulls by block (`pulls`); empty for recorded hits."""
        return {
            name.removeprefix(f"{kind}/"): each for name, each in self.arrays.items() if name.startswith(f"{kind}/")
        }


def sum_over_blocks(values: np.ndarray) -> np.ndarray:
    """The sum over the first axis, whatever the order."""
    sums = ExactSum()
    sums.add(np.zeros(values.shape[1:]))
    for each in values:
        sums.add(each)
    return sums.rounded
