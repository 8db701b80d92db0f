"""Lines of true muons, from cosmic rays or from a beam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from . import cosmic_rays
from .base import UniformSource, uniform
from .cosmic_rays import CosmicSection

PerView = float | Sequence[float]
"""One number for both views, or one for x and one for y."""


@runtime_checkable
class BeamSection(Protocol):
    """The config's section `source.beam`: mean slopes and their spread, 1; spot and its centre, m; momentum, GeV/c."""

    slope_x: float
    slope_y: float
    spread: PerView
    x: float
    y: float
    spot: PerView | None
    momentum: float


@runtime_checkable
class MuonSource(UniformSource, Protocol):
    """What models of muon tracks read from the config's `source` section: one of `cosmic` and `beam`."""

    cosmic: CosmicSection | None
    beam: BeamSection | None


class DrawnMuons(NamedTuple):
    """Muons that cross a horizontal plane: positions x, y (m) there, slopes dx/dz, dy/dz (1), and momenta (GeV/c)."""

    position: Float[np.ndarray, "muon 2"]
    slopes: Float[np.ndarray, "muon 2"]
    momentum: Float[np.ndarray, " muon"]


def draw_muons(rng: np.random.Generator, muons: int, source: MuonSource) -> DrawnMuons:
    """Muons of a source.

    Of `cosmic`: positions x, y ~ U(x_min, x_max), directions and momenta by `cosmic_rays.directions_and_momenta`.

    Of `beam`: slopes ~ N(slope_x, spread), N(slope_y, spread), and positions ~ N(x, spot), N(y, spot), or
    U(x_min, x_max) without a spot. All are independent, and all muons have one momentum.
    """
    if source.beam is None:
        assert source.cosmic is not None  # the config has either
        deviates = rng.random((muons, 5))
        return DrawnMuons(
            uniform(source, deviates[:, :2]), *cosmic_rays.directions_and_momenta(deviates[:, 2:], source.cosmic)
        )
    beam, deviates, normal = source.beam, rng.random((muons, 2)), rng.standard_normal((muons, 4))
    slopes = np.array([beam.slope_x, beam.slope_y]) + np.asarray(beam.spread) * normal[:, :2]
    if beam.spot is None:
        position = uniform(source, deviates)
    else:
        position = np.array([beam.x, beam.y]) + np.asarray(beam.spot) * normal[:, 2:]
    return DrawnMuons(position, slopes, np.full(muons, float(beam.momentum)))
