"""What is known of each muon besides its hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Known(NamedTuple):
    """The recorded covariance of the hits of each muon, m², its momentum, GeV/c, and the heights of its hits, m.

    Arrays or tensors, or None. A momentum is NaN if it is unknown.
    """

    covariance: Float[Any, "muon ..."] | None = None
    momentum: Float[Any, " muon"] | None = None
    z: Float[Any, "muon layer"] | None = None

    @property
    def given(self) -> list[Any]:
        """Those that are known."""
        return [values for values in self if values is not None]

    def each(self, change: Callable[[Any], Any]) -> Known:
        """All of them, changed alike: some muons, or on another device."""
        return Known(*(None if values is None else change(values) for values in self))

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """All muons of several parts, as arrays."""
        return cls(*(None if values[0] is None else np.concatenate(values) for values in zip(*parts, strict=True)))


NOTHING_KNOWN = Known()
"""Of muons of which only the hits are known."""
