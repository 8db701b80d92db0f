"""Model of a track in space: a muon crosses several layers that measure x and y."""

from __future__ import annotations

from itertools import chain
from math import pi
from typing import Any

import numpy as np
from jaxtyping import Float

from ..uncertainty import elementwise
from ..uncertainty.arrays import Tensor
from . import NO_FOLD, Model, Quantity, line_fit, muon_source, planes
from .base import LineOfHits, part_of, with_folds, with_reduction
from .closed_forms import track3d_form, with_closed_form
from .line_fit import HeightsOfHits, LayerHeights, LayerNumbers
from .multiple_scattering import LayerAngle, in_two_views, layer_covariance, scatterers_of, stepped_through
from .muon_source import MuonSource
from .track import TrackSection

SLOPES = ("tx", "ty")

OBSERVABLES = (
    Quantity("theta", "rad", "zenith angle", "θ", folds=SLOPES),
    Quantity("phi", "rad", "azimuth of the origin", "φ", 2 * pi, fold="theta", domain=5.0, folds=SLOPES),
    Quantity("tx", "1", "slope dx/dz of the track", "dx/dz", fold=NO_FOLD),
    Quantity("ty", "1", "slope dy/dz of the track", "dy/dz", fold=NO_FOLD),
)

LINES = {"x": "the track", "y": "the track"}


def linear_track3d(
    hits: Float[Tensor, "muon coordinate"], z: LayerNumbers, resolution: LayerNumbers, at: LayerNumbers = ()
) -> Float[Tensor, "muon parameter"]:
    """All of `infer_track3d` that is linear in the hits: both slopes, and positions on planes."""
    x, y = (line_fit.fit(*each) for each in line_fit.prepare(hits, z, resolution, in_views=2))
    there = [line_fit.positions(line, 0.0, at) for line in (x, y)]
    values = [x.slope, y.slope, *chain.from_iterable(zip(*there, strict=True))]
    return line_fit.observables(values, [x.known, y.known] * (len(at) + 1))


def _direction(slopes: Float[Tensor, "muon 2"], **_: Any) -> Float[Tensor, "muon 2"]:
    """θ and φ."""
    import torch

    tx, ty = slopes.unbind(1)
    return torch.stack([line_fit.zenith(tx, ty), elementwise.azimuth(tx, ty)], dim=1)


@with_closed_form(track3d_form)
@with_folds(OBSERVABLES)
@with_reduction(
    linear_track3d,
    {2: 0, 3: 1},
    part_of(OBSERVABLES, ["theta", "phi"], [0, 1], _direction, signed_names=SLOPES),
)
def infer_track3d(
    hits: Float[Tensor, "muon coordinate"], z: LayerNumbers, resolution: LayerNumbers, at: LayerNumbers = ()
) -> Float[Tensor, "muon observable"]:
    """Zenith angle, azimuth and slopes of each muon, from weighted fits of straight lines x(z) and y(z).

    With t_x = dx/dz and t_y = dy/dz as in `infer_track`: θ = arctan √(t_x² + t_y²) and φ = atan2(t_y, t_x). The
    direction (t_x, t_y, 1) points upwards, to the origin of the muon; θ and φ are its zenith angle and azimuth, φ from
    x towards y. The muon flies along (−t_x, −t_y, −1).

    θ has a fold in two dimensions: with an error σ of either slope, θ of a vertical muon follows the Rice distribution,
    with mean √(π/2) σ = 1.253 σ and standard deviation √(2 − π/2) σ = 0.655 σ. There φ is set to 0, and the gradients
    of both are 0.

    Parameters
    ----------
    hits : tensor (muon, 2 layers)
        Position x on each layer, then y on each, m; NaN for a missing hit. The fit of each view uses the available
        hits.
    z : sequence of float or tensor
        Height of each layer, m, in any order.
    resolution : sequence of float or tensor
        1/σ of each layer in either view, 1/m.
    at : sequence of float or tensor
        Heights of planes, m.

    Returns
    -------
    tensor (muon, 4 + 2 planes)
        θ (rad, 0 ≤ θ < π/2), φ (rad, −π ≤ φ ≤ π), t_x and t_y (1), then x and y on each plane (m). NaN if a required
        line is missing: in a view with hits at fewer than two heights, or with an infinite hit.

    Raises
    ------
    ValueError
        Hits, z or resolution have a wrong shape, or a resolution is not positive.

    References
    ----------
    The least-squares line of independent hits, PDG 2024, section 40.2.3; S. O. Rice, Bell Syst. Tech. J. 24
    (1945) 46.

    Examples
    --------
    >>> import torch
    >>> from pullback.models.track3d import infer_track3d
    >>> hits = torch.tensor([[0.1, 0.4, 0.5, 0.9]], dtype=torch.float64)
    >>> infer_track3d(hits, z=[0.0, 1.0], resolution=[100.0, 100.0])
    tensor([[0.4636, 0.9273, 0.3000, 0.4000]], dtype=torch.float64)

    """
    x, y = (line_fit.fit(*each) for each in line_fit.prepare(hits, z, resolution, in_views=2))
    theta = line_fit.zenith(x.slope, y.slope)
    known = line_fit.both(x.known, y.known)
    angles = [theta, elementwise.azimuth(x.slope, y.slope), x.slope, y.slope]
    there = [line_fit.positions(line, 0.0, at) for line in (x, y)]
    values = [*angles, *chain.from_iterable(zip(*there, strict=True))]
    return line_fit.observables(values, [known, known, *[x.known, y.known] * (len(at) + 1)])


def fitted(
    hits: Float[Tensor, "muon coordinate"], z: LayerNumbers, resolution: LayerNumbers
) -> Float[Tensor, "muon coordinate"]:
    """Position of the fitted lines on each layer, m, in the order of the hits; NaN in a view without a line."""
    return line_fit.fitted_of_all(line_fit.prepare(hits, z, resolution, in_views=2))


def covariance(
    hits: Float[Tensor, "muon coordinate"], z: HeightsOfHits, theta0: LayerAngle
) -> Float[Tensor, "*muons coordinate coordinate"]:
    """Covariance of the hits due to scattering in the layers: `layer_covariance` in each view."""
    of_one_view = layer_covariance(line_fit.as_heights(z, hits, "z"), theta0)
    return in_two_views(of_one_view)


def deviate(kicks: Float[Any, "muon coordinate"], z: LayerHeights, theta0: LayerAngle) -> Float[Any, "muon coordinate"]:
    """Simulated deviations of the hits by scattering in the layers, in each view: `stepped_through`."""
    layers = len(z)
    return line_fit.side_by_side([stepped_through(part, z, theta0) for part in (kicks[:, :layers], kicks[:, layers:])])


def generate(rng: np.random.Generator, muons: int, source: MuonSource) -> Float[np.ndarray, "muon 5"]:
    """True lines of `muon_source.draw_muons`: x and y at z = 0, m, slopes dx/dz and dy/dz, and momentum, GeV/c."""
    drawn = muon_source.draw_muons(rng, muons, source)
    return np.concatenate([drawn.position, drawn.slopes, drawn.momentum[:, None]], axis=1)


def intersect_layers(generated: Float[Any, "muon _"], z: LayerHeights) -> Float[Any, "muon coordinate"]:
    """The true hits (muon, coordinate) of lines from `generate`, on layers at the heights z."""
    lines, heights = line_fit.as_one_type(generated, z)
    return line_fit.side_by_side([lines[:, :1] + lines[:, 2:3] * heights, lines[:, 1:2] + lines[:, 3:4] * heights])


def model(section: TrackSection) -> Model:
    """The model with the parameters of a config's section."""
    z, scatterers = tuple(section.z), scatterers_of(section)
    at = planes.planes_parameter(section.at)
    line_fit.check_heights("z", z)
    return Model(
        coordinates=line_fit.coordinates("x", len(z)) + line_fit.coordinates("y", len(z)),
        observables=(*OBSERVABLES, *(positions := planes.positions_on(LINES, section.at))),
        infer=planes.with_planes(infer_track3d, len(positions)),
        generate=generate,
        intersect_layers=intersect_layers,
        layers=2 * tuple(range(len(z))),
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
        heights=2 * z,
        fitted_uses=("z", "resolution"),
        lines=tuple(LineOfHits("z", range(start, start + len(z))) for start in (0, len(z))),
        fit=section.fit,
    )
