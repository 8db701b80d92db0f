"""Model of a track in one view: a straight line through the hits of several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from . import NO_FOLD, Model, Quantity, line_fit, muon_source, planes
from .base import LineOfHits, part_of, with_folds, with_reduction
from .closed_forms import track_form, with_closed_form
from .line_fit import HeightsOfHits, LayerHeights, LayerNumbers
from .multiple_scattering import LayerAngle, LayersSection, layer_covariance, scatterers_of, stepped_through
from .muon_source import MuonSource


@runtime_checkable
class TrackSection(LayersSection, Protocol):
    """The config's `model` section of a track: heights of layers and planes, m; scattering, and weights of the fit."""

    z: Sequence[float]
    at: Sequence[float]
    fit: Literal["gls", "ols"]


OBSERVABLES = (
    Quantity("slope", "1", "slope of the track", "dx/dz", fold=NO_FOLD),
    Quantity("theta", "rad", "angle from the vertical", "θ", folds=("slope",)),
    Quantity("intercept", "m", "position of the track at z = 0", "x(0)", fold=NO_FOLD),
)

LINES = {"x": "the track"}


def linear_track(
    hits: Float[Tensor, "muon layer"], z: LayerNumbers, resolution: LayerNumbers, at: LayerNumbers = ()
) -> Float[Tensor, "muon parameter"]:
    """All of `infer_track` that is linear in the hits: slope, intercept, and positions on planes."""
    (view,) = line_fit.prepare(hits, z, resolution, in_views=1)
    line = line_fit.fit(*view)
    values = [line.slope, line.position, *line_fit.positions(line, 0.0, at)]
    return line_fit.observables(values, [line.known] * len(values))


def _angle(slope: Float[Tensor, "muon 1"], **_: Any) -> Float[Tensor, "muon 1"]:
    return line_fit.zenith(slope[:, 0])[:, None]


@with_closed_form(track_form)
@with_folds(OBSERVABLES)
@with_reduction(linear_track, {0: 0, 2: 1}, part_of(OBSERVABLES, ["theta"], [0], _angle, signed_names=["slope"]))
def infer_track(
    hits: Float[Tensor, "muon layer"], z: LayerNumbers, resolution: LayerNumbers, at: LayerNumbers = ()
) -> Float[Tensor, "muon observable"]:
    """Slope, angle from the vertical and intercept of each muon, from a weighted fit of a straight line x(z).

    With the weights w = resolution², z̄ = Σ w z/Σ w, d = z − z̄: slope dx/dz = Σ w d x/Σ w d², θ = arctan|dx/dz|, and
    intercept x(0) = Σ w x/Σ w − z̄ dx/dz. θ has a fold where the slope is 0; slope and intercept are linear in the
    hits.

    For N equidistant layers of equal σ over a length L, σ_slope = (σ/L) √(12 (N − 1)/(N (N + 1))): 3 layers are no
    better than 2.

    Parameters
    ----------
    hits : tensor (muon, layer)
        Position on each layer, m; NaN for a missing hit. The fit uses the available hits.
    z : sequence of float or tensor
        Height of each layer, m, in any order.
    resolution : sequence of float or tensor
        1/σ of each layer, 1/m.
    at : sequence of float or tensor
        Heights of planes, m.

    Returns
    -------
    tensor (muon, 3 + planes)
        Slope (1), θ (rad, 0 ≤ θ < π/2), intercept (m), and the position x(0) + at dx/dz on each plane (m). NaN for a
        muon with hits at fewer than two heights, or with an infinite hit.

    Raises
    ------
    ValueError
        Hits, z or resolution have a wrong shape, or a resolution is not positive.

    References
    ----------
    The least-squares line of independent hits, PDG 2024, section 40.2.3.

    Examples
    --------
    >>> import torch
    >>> from pullback.models.track import infer_track
    >>> hits = torch.tensor([[0.1, 0.2, 0.3], [0.1, float("nan"), 0.1]], dtype=torch.float64)
    >>> infer_track(hits, z=[0.0, 0.5, 1.0], resolution=[100.0, 100.0, 100.0])
    tensor([[0.2000, 0.1974, 0.1000],
            [0.0000, 0.0000, 0.1000]], dtype=torch.float64)

    """
    (view,) = line_fit.prepare(hits, z, resolution, in_views=1)
    line = line_fit.fit(*view)
    values = [line.slope, line_fit.zenith(line.slope), line.position, *line_fit.positions(line, 0.0, at)]
    return line_fit.observables(values, [line.known] * len(values))


def fitted(hits: Float[Tensor, "muon layer"], z: LayerNumbers, resolution: LayerNumbers) -> Float[Tensor, "muon layer"]:
    """Position of the fitted line on each layer, m, with the arguments of `infer_track`; NaN without a line."""
    return line_fit.fitted_of_all(line_fit.prepare(hits, z, resolution, in_views=1))


def covariance(
    hits: Float[Tensor, "muon layer"], z: HeightsOfHits, theta0: LayerAngle
) -> Float[Tensor, "*muons layer layer"]:
    """Covariance of the hits due to scattering in the layers: `layer_covariance`, equal for all muons with one θ0."""
    return layer_covariance(line_fit.as_heights(z, hits, "z"), theta0)


def deviate(kicks: Float[Any, "muon layer"], z: LayerHeights, theta0: LayerAngle) -> Float[Any, "muon layer"]:
    """Simulated deviations of the hits by scattering in the layers, layer by layer: `stepped_through`."""
    return stepped_through(kicks, z, theta0)


def generate(rng: np.random.Generator, muons: int, source: MuonSource) -> Float[np.ndarray, "muon 3"]:
    """True lines in view x, of `muon_source.draw_muons`: position x at z = 0, m, slope dx/dz, and momentum, GeV/c."""
    drawn = muon_source.draw_muons(rng, muons, source)
    return np.stack([drawn.position[:, 0], drawn.slopes[:, 0], drawn.momentum], axis=1)


def intersect_layers(generated: Float[Any, "muon _"], z: LayerHeights) -> Float[Any, "muon coordinate"]:
    """The true hits (muon, layer) of lines from `generate`, on layers at the heights z."""
    lines, heights = line_fit.as_one_type(generated, z)
    return lines[:, :1] + lines[:, 1:2] * heights


def model(section: TrackSection) -> Model:
    """The model with the parameters of a config's section."""
    z, scatterers = tuple(section.z), scatterers_of(section)
    at = planes.planes_parameter(section.at)
    line_fit.check_heights("z", z)
    return Model(
        coordinates=line_fit.coordinates("x", len(z)),
        observables=(*OBSERVABLES, *(positions := planes.positions_on(LINES, section.at))),
        infer=planes.with_planes(infer_track, len(positions)),
        generate=generate,
        intersect_layers=intersect_layers,
        layers=tuple(range(len(z))),
        parameters={"z": z, **scatterers.parameters, **at},
        momentum=-1 if scatterers.by_momentum else None,
        infer_uses=("z", "resolution", *at),
        intersect_uses=("z",),
        missing=True,
        covariance=covariance if scatterers.there else None,
        covariance_uses=("z", "theta0") if scatterers.there else (),
        scattered=covariance,
        deviate=deviate,
        fitted=fitted,
        heights=z,
        fitted_uses=("z", "resolution"),
        lines=(LineOfHits("z", range(len(z))),),
        fit=section.fit,
    )
