"""Recorded hits as the config describes them, and blocks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .scaling import ScaledName
from .selection import Written


@runtime_checkable
class RecordedSource(Protocol):
    """The config's `source` section of recorded hits."""

    @property
    def file(self) -> str:
        """Path of the file."""

    @property
    def tree(self) -> str:
        """Tree of a ROOT file; empty for its only tree."""

    @property
    def table(self) -> str:
        """Table of an HDF5 file; empty for its only table, or for plain datasets."""

    @property
    def unit(self) -> str:
        """Unit of positions and their uncertainties."""

    @property
    def columns(self) -> Mapping[str, str | ScaledName]:
        """Columns by coordinate, if not of its name."""

    @property
    def sigma(self) -> Mapping[str, str | ScaledName]:
        """Columns of standard uncertainties by coordinate."""

    @property
    def covariance(self) -> Mapping[str, str]:
        """Columns of covariances by two coordinates, `x0,x1`."""

    @property
    def momentum_column(self) -> str:
        """Column of the momenta of the muons; empty without one."""

    @property
    def z(self) -> Sequence[str]:
        """Column of the height of each layer; empty without."""

    @property
    def condition(self) -> Written | None:
        """The condition on the rows that are used, if there is one."""

    @property
    def keep(self) -> Sequence[str]:
        """Columns that are kept as they are."""


NONE_KEPT: Mapping[str, np.ndarray] = MappingProxyType({})
"""No kept columns."""


class RecordedHits(NamedTuple):
    """A block of recorded hits, m, their recorded covariance, m², the momentum of each muon, GeV/c, and kept columns.

    The covariance is None without columns of uncertainties, variances (muon, coordinate) with them, and matrices (muon,
    coordinate, coordinate) if covariances are given too. A variance is NaN if its coordinate has no column of
    uncertainties or the hit is not finite; a covariance is 0 there. Momenta are None without a column, and NaN where
    they are unknown. Heights of the layers, m, are None without columns, and NaN at most where a layer has no hit.
    """

    hits: Float[np.ndarray, "muon coordinate"]
    covariance: Float[np.ndarray, "muon coordinate *second"] | None
    momentum: Float[np.ndarray, " muon"] | None = None
    kept: Mapping[str, np.ndarray] = NONE_KEPT
    z: Float[np.ndarray, "muon layer"] | None = None
