"""Model of scattering: a muon is scattered in a volume between an upper and a lower tracker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, pairwise, starmap
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..errors import ConfigError
from ..uncertainty.arrays import Tensor
from . import NO_FOLD, Model, Quantity, energy_loss, line_fit, muon_source, planes, two_lines
from .base import LineOfHits, part_of, with_folds, with_reduction
from .closed_forms import scatter_form, with_closed_form
from .energy_loss import LossSection
from .line_fit import HeightsOfHits, LayerHeights, LayerNumbers, View
from .multiple_scattering import (
    LayerAngle,
    LayersSection,
    angle_and_displacement,
    highland,
    in_two_views,
    layer_covariance,
    scatterers_of,
    stepped_through,
)
from .muon_source import MuonSource


@runtime_checkable
class ScatterSection(LayersSection, Protocol):
    """The config's section of two tracks: heights of layers and planes, m; their scattering, and weights of the fit."""

    z_upper: Sequence[float]
    z_lower: Sequence[float]
    at: Sequence[float]
    fit: Literal["gls", "ols"]


class VolumeSection(LossSection, Protocol):
    """The config's section `source.volume`: height of its centre, thickness and radiation length, m; energy loss."""

    z: float
    thickness: float
    radiation_length: float


@runtime_checkable
class VolumeSource(MuonSource, Protocol):
    """What the model reads from the config's `source` section."""

    volume: VolumeSection


_POINT, _NEAR = "the point of closest approach", 10.0  # σ of θ_msc, within which linear propagation is not valid

OBSERVABLES = (
    Quantity("theta_in", "rad", "zenith angle above", "θ_in", folds=("px", "py")),
    Quantity("theta_out", "rad", "zenith angle below", "θ_out", folds=("qx", "qy")),
    Quantity("dtheta_x", "rad", "change of the angle in view x", "Δθ_x", fold=NO_FOLD),
    Quantity("dtheta_y", "rad", "change of the angle in view y", "Δθ_y", fold=NO_FOLD),
    Quantity("theta_msc", "rad", "scattering angle", "θ_msc", folds=("deflection_x", "deflection_y")),
    *(
        Quantity(f"poca_{axis}", "m", f"{axis} of {_POINT}", f"{axis} of PoCA", fold="theta_msc", domain=_NEAR)
        for axis in "xyz"
    ),
)

LINES = {f"{axis}_{arm}": of for arm, of in (("in", "the track above"), ("out", "the track below")) for axis in "xy"}

SIGNED = ("px", "py", "qx", "qy", "deflection_x", "deflection_y")
"""The quantities of `signed_scatter`."""


def signed_scatter(
    hits: Float[Tensor, "muon coordinate"], z_upper: LayerNumbers, z_lower: LayerNumbers, resolution: LayerNumbers
) -> Float[Tensor, "muon 6"]:
    """The signed quantities that fold into θ_in, θ_out and θ_msc: the slopes of both lines, and the deflection.

    θ_in and θ_out are the lengths of the slopes (p_x, p_y) and (q_x, q_y), through arctan. θ_msc is the length of the
    deflection, two angles in perpendicular planes that contain the bisector b of both directions. With n = p × q, the
    rotation from p to q is the vector θ_msc n/|n|, perpendicular to b. The frame in which its components are taken is
    that of the detector, turned by the shortest rotation that takes the vertical to b:

    deflection_x = (θ_msc/|n|) (n_y − n_z b_y/(1 + b_z)), deflection_y = −(θ_msc/|n|) (n_x − n_z b_x/(1 + b_z)).

    For a muon near the vertical they are Δθ_x and Δθ_y. For an inclined one these are angles between projections of the
    directions, and √(Δθ_x² + Δθ_y²) is not θ_msc. The deflection is smooth at p = q.

    Parameters and errors are those of `infer_scatter`.

    Returns
    -------
    tensor (muon, 6)
        p_x, p_y, q_x, q_y (1), deflection_x and deflection_y (rad). NaN if a required line is missing.

    References
    ----------
    The rotation vector of a rotation, e.g. H. Goldstein, Classical Mechanics, 2nd ed., section 4-7.

    Examples
    --------
    >>> import torch
    >>> from pullback.models.scatter import signed_scatter
    >>> hits = torch.tensor([[0.0, 0.0, 0.1, 0.2, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    >>> signed_scatter(hits, z_upper=[2.0, 1.0], z_lower=[-1.0, -2.0], resolution=[100.0] * 4)[0, 4:]
    tensor([-0.0997,  0.0000], dtype=torch.float64)

    """
    found, heights, resolutions = _prepared(hits, z_upper, z_lower, resolution)
    (px, _, x_above), (qx, _, x_under), (py, _, y_above), (qy, _, y_under) = (
        line_fit.fit(*part) for part in zip(found, heights, resolutions, strict=True)
    )
    above, under = line_fit.both(x_above, y_above), line_fit.both(x_under, y_under)
    every = line_fit.both(above, under)
    return line_fit.observables(
        [px, py, qx, qy, *two_lines.deflection(px, py, qx, qy)],
        [x_above, y_above, x_under, y_under, every, every],
    )


def _point(
    lines: Float[Tensor, "muon 8"], z_upper: LayerNumbers, z_lower: LayerNumbers, **_: Any
) -> Float[Tensor, "muon 3"]:
    """The point of closest approach from the parameters of the lines; NaN for parallel ones."""
    heights = (line_fit.as_layers(z_upper, lines, "z_upper"), line_fit.as_layers(z_lower, lines, "z_lower"))
    point, scattered = two_lines.closest_approach(lines.unbind(1), _middle(*heights))
    return line_fit.observables(point, [scattered] * 3)


def _deflection(lines: Float[Tensor, "muon _"], **_: Any) -> Float[Tensor, "muon 2"]:
    """The deflection from the parameters of the lines, slopes first."""
    return two_lines.as_columns(two_lines.deflection)(lines[:, :4])


_part = partial(part_of, OBSERVABLES)


def _middle(upper: Float[Tensor, " upper"], lower: Float[Tensor, " lower"]) -> Float[Tensor, ""]:
    """The height between the trackers at which positions of lines are taken."""
    return (upper.detach().mean() + lower.detach().mean()) / 2


def linear_scatter(
    hits: Float[Tensor, "muon coordinate"],
    z_upper: LayerNumbers,
    z_lower: LayerNumbers,
    resolution: LayerNumbers,
    at: LayerNumbers = (),
) -> Float[Tensor, "muon parameter"]:
    """The lines of `infer_scatter`: p_x, p_y, q_x, q_y, and x and y above and below, between trackers and on planes."""
    found, heights, resolutions = _prepared(hits, z_upper, z_lower, resolution)
    middle, parts = _middle(*heights[:2]), zip(found, heights, resolutions, strict=True)
    x_above, x_under, y_above, y_under = (line_fit.fit(*part, middle) for part in parts)
    lines = [x_above, y_above, x_under, y_under]
    values = [*(line.slope for line in lines), *(line.position for line in lines)]
    values += chain.from_iterable(zip(*(line_fit.positions(line, middle, at) for line in lines), strict=True))
    return line_fit.observables(values, [line.known for line in lines] * (2 + len(at)))


@with_closed_form(scatter_form)
@with_folds(OBSERVABLES, signed_scatter, SIGNED)
@with_reduction(
    linear_scatter,
    {},
    _part(["theta_in"], (0, 1), two_lines.as_columns(line_fit.zenith), signed_names=SIGNED[:2]),
    _part(["theta_out"], (2, 3), two_lines.as_columns(line_fit.zenith), signed_names=SIGNED[2:4]),
    _part(["dtheta_x"], (0, 2), two_lines.as_columns(two_lines.turn)),
    _part(["dtheta_y"], (1, 3), two_lines.as_columns(two_lines.turn)),
    _part(["theta_msc"], (0, 1, 2, 3), two_lines.as_columns(two_lines.angle), _deflection, SIGNED[4:]),
    _part(["poca_x", "poca_y", "poca_z"], range(8), _point, _deflection, SIGNED[4:]),
)
def infer_scatter(
    hits: Float[Tensor, "muon coordinate"],
    z_upper: LayerNumbers,
    z_lower: LayerNumbers,
    resolution: LayerNumbers,
    at: LayerNumbers = (),
) -> Float[Tensor, "muon observable"]:
    """Scattering angles and point of closest approach of each muon, from straight lines in two trackers.

    p = (dx/dz, dy/dz, 1) is the direction above and q the direction below, each fitted as in `infer_track3d`. They
    point upwards, to the origin of the muon.

    - θ_in and θ_out: zenith angles of p and q.
    - Δθ_x = arctan q_x − arctan p_x and Δθ_y: changes of the angles in the two views.
    - θ_msc = atan2(|p × q|, p·q): angle between p and q. It keeps its precision where arccos loses it.
    - Point of closest approach: middle of the shortest line between both tracks. With points P and Q on the tracks,
      v = Q − P and n = p × q, its ends are P + s p and Q + t q with s = (v × q)·n/|n|² and t = (v × p)·n/|n|².

    θ_msc, θ_in and θ_out have a fold at 0, where their gradient is 0. Parallel tracks have no point of closest approach
    (NaN), and its uncertainty grows as the scattering angle decreases.

    Parameters
    ----------
    hits : tensor (muon, 2 layers)
        Position x on each layer, then y on each, m; the layers of the upper tracker first. NaN for a missing hit. Each
        fit uses the available hits.
    z_upper, z_lower : sequence of float or tensor
        Height of each layer, m; in any order within a tracker.
    resolution : sequence of float or tensor
        1/σ of each layer in either view, 1/m, in the order of the hits.
    at : sequence of float or tensor
        Heights of planes, m.

    Returns
    -------
    tensor (muon, 8 + 4 planes)
        θ_in, θ_out, Δθ_x, Δθ_y, θ_msc (rad), and x, y and z of the point (m); then on each plane x and y of the line
        above, and x and y of the line below (m), each extended as a straight line. NaN if a required line is missing.

    Raises
    ------
    ValueError
        Hits, heights or resolution have a wrong shape, or a resolution is not positive.

    References
    ----------
    The point of closest approach as in L. J. Schultz et al., Nucl. Instrum. Meth. A 519 (2004) 687; the
    least-squares line of independent hits, PDG 2024, section 40.2.3.

    Examples
    --------
    >>> import torch
    >>> from pullback.models.scatter import infer_scatter
    >>> hits = torch.tensor([[0.0, 0.0, 0.1, 0.2, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    >>> infer_scatter(hits, z_upper=[2.0, 1.0], z_lower=[-1.0, -2.0], resolution=[100.0] * 4)[0]
    tensor([ 0.0000,  0.0997, -0.0997,  0.0000,  0.0997,  0.0000,  0.0000,  0.0000],
           dtype=torch.float64)

    """
    found, heights, resolutions = _prepared(hits, z_upper, z_lower, resolution)
    middle = _middle(*heights[:2])
    parts = zip(found, heights, resolutions, strict=True)
    (px, x, _), (qx, x_below, _), (py, y, _), (qy, y_below, _) = fits = [line_fit.fit(*part, middle) for part in parts]
    lines = [fits[place] for place in (0, 2, 1, 3)]  # x and y above, x and y below
    slopes, positions = (px, py, qx, qy), (x, y, x_below, y_below)
    point, scattered = two_lines.closest_approach((*slopes, *positions), middle)
    values = [
        line_fit.zenith(px, py),
        line_fit.zenith(qx, qy),
        two_lines.turn(px, qx),
        two_lines.turn(py, qy),
        two_lines.angle(*slopes),
        *point,
    ]
    x_above, x_under, y_above, y_under = (each.known for each in fits)
    above, under = line_fit.both(x_above, y_above), line_fit.both(x_under, y_under)
    in_x, in_y, every = line_fit.both(x_above, x_under), line_fit.both(y_above, y_under), line_fit.both(above, under)
    meeting = line_fit.both(every, scattered)
    values += chain.from_iterable(zip(*(line_fit.positions(line, middle, at) for line in lines), strict=True))
    there = [line.known for line in lines] * len(at)
    return line_fit.observables(values, [above, under, in_x, in_y, every, meeting, meeting, meeting, *there])


def fitted(
    hits: Float[Tensor, "muon coordinate"], z_upper: LayerNumbers, z_lower: LayerNumbers, resolution: LayerNumbers
) -> Float[Tensor, "muon coordinate"]:
    """Position of the four fitted lines on each layer, m, in the order of the hits; NaN where a line is missing."""
    found, heights, resolutions = _prepared(hits, z_upper, z_lower, resolution)
    return line_fit.fitted_of_all(zip(found, heights, resolutions, strict=True))


def _prepared(
    hits: Float[Tensor, "muon coordinate"], z_upper: LayerNumbers, z_lower: LayerNumbers, resolution: LayerNumbers
) -> tuple[list[View], list[Float[Tensor, " layer"]], list[Float[Tensor, " layer"]]]:
    """The views x above and below, y above and below, with their heights and resolutions."""
    upper, lower = len(z_upper), len(z_lower)
    found = line_fit.views(hits, upper, lower, upper, lower)
    heights = [line_fit.as_layers(z_upper, hits, "z_upper"), line_fit.as_layers(z_lower, hits, "z_lower")]
    resolutions = line_fit.resolutions_by_view(resolution, hits, upper + lower, 2)
    return found, 2 * heights, [part for each in resolutions for part in (each[:upper], each[upper:])]


def covariance(
    hits: Float[Tensor, "muon coordinate"],
    z_upper: HeightsOfHits,
    z_lower: HeightsOfHits,
    theta0: LayerAngle,
) -> Float[Tensor, "*muons coordinate coordinate"]:
    """Covariance of the hits due to scattering in the layers: `layer_covariance` in each view.

    It includes the layers of both trackers, since a layer above the volume also deflects the line below. Its effects on
    p and q are correlated and partly cancel in the angles between them. True angles are those of a muon without
    scattering in the layers: θ_out excludes the deflections above the volume.
    """
    import torch

    heights = [line_fit.as_heights(z_upper, hits, "z_upper"), line_fit.as_heights(z_lower, hits, "z_lower")]
    of_one_view = layer_covariance(torch.cat(heights, dim=-1), theta0)
    return in_two_views(of_one_view)


def deviate(
    kicks: Float[Any, "muon coordinate"],
    z_upper: LayerHeights,
    z_lower: LayerHeights,
    theta0: LayerAngle,
) -> Float[Any, "muon coordinate"]:
    """Simulated deviations of the hits by scattering in the layers of both trackers: `stepped_through` each view."""
    kicks, *heights = line_fit.as_one_type(kicks, z_upper, z_lower)
    z = line_fit.side_by_side([each[None] for each in heights])[0]
    return line_fit.side_by_side(
        [stepped_through(part, z, theta0) for part in (kicks[:, : len(z)], kicks[:, len(z) :])]
    )


def generate(rng: np.random.Generator, muons: int, source: VolumeSource) -> Float[np.ndarray, "muon 11"]:
    """True lines above and below the volume, of muons scattered in the volume.

    `muon_source.draw_muons` gives the muons that enter the volume, at its top. On its path of thickness/cos θ_in, each
    is scattered by `angle_and_displacement`, with θ0 from `highland` for the whole path, independently in two
    perpendicular planes through its line. The angles rotate it about an axis perpendicular to its line, so that θ_msc²
    is the sum of their squares. The displacements shift it perpendicular to its line where the line leaves the volume.

    With `energy_loss: bethe`, `energy_loss.slow_down` gives the effective momentum and where on the path muons scatter.

    Approximations: θ0 is small; the path is that of the unscattered line; the volume extends to infinity in x and y. A
    muon that stops, or is deflected by 90° or more, or upwards, has no line below, which is NaN.

    Returns
    -------
    array (muon, 11)
        x, y, dx/dz and dy/dz of the line above, at the volume's top, and of the line below, at its bottom, then the
        heights of top and bottom; m and 1; and the momentum above, GeV/c.

    """
    volume = source.volume
    top, bottom = volume.z + volume.thickness / 2, volume.z - volume.thickness / 2
    start, p, momentum = muon_source.draw_muons(rng, muons, source)
    normal = rng.standard_normal((muons, 4))
    px, py = p.T
    slant = np.sqrt(1 + px**2 + py**2)  # 1/cos θ
    path = volume.thickness * slant
    _, effective, *arms = energy_loss.behind(momentum, path, volume)
    theta0 = highland(effective, path, volume.radiation_length)
    (a, shift_a), (b, shift_b) = (angle_and_displacement(normal[:, i : i + 2], theta0, *arms) for i in (0, 2))
    # Two directions perpendicular to the line and to each other, the first in the plane of x and z.
    width = np.sqrt(1 + px**2)
    first = np.stack([1 / width, np.zeros(muons), -px / width], axis=1)
    second = np.stack([-px * py, 1 + px**2, -py], axis=1) / (slant * width)[:, None]
    bend = a[:, None] * first + b[:, None] * second
    angle = np.hypot(a, b)
    stretch = slant * np.where(angle > 0, np.tan(angle) / np.where(angle > 0, angle, 1.0), 1.0)
    q = np.stack([px, py, np.ones(muons)], axis=1) + stretch[:, None] * bend
    q[(angle >= np.pi / 2) | (q[:, 2] <= 0)] = np.nan
    q = q[:, :2] / q[:, 2:]
    # The muon flies along −p, so that its deflection and shift are opposite to `bend`.
    shift = -shift_a[:, None] * first - shift_b[:, None] * second
    end = start - volume.thickness * p + shift[:, :2] - q * shift[:, 2:]
    ends = np.broadcast_to([top, bottom], (muons, 2))
    return np.concatenate([start, p, end, q, ends, momentum[:, None]], axis=1)


def intersect_layers(
    generated: Float[Any, "muon 11"], z_upper: LayerHeights, z_lower: LayerHeights
) -> Float[Any, "muon coordinate"]:
    """The true hits (muon, coordinate) of lines from `generate`, on layers at the heights z_upper and z_lower.

    Raises
    ------
    ConfigError
        A layer is not outside the volume, on its tracker's side.

    """
    lines, upper, lower = line_fit.as_one_type(generated, z_upper, z_lower)
    if len(lines):
        top, bottom = float(lines[0, 8]), float(lines[0, 9])
        if upper.min() < top:
            raise ConfigError(f"model.z_upper: {float(upper.min()):g} m is below the volume's top at {top:g} m")
        if lower.max() > bottom:
            raise ConfigError(f"model.z_lower: {float(lower.max()):g} m is above the volume's bottom at {bottom:g} m")

    def positions(x: int, height: int, z: Any) -> Any:
        return lines[:, x, None] + lines[:, x + 2, None] * (z - lines[:, height, None])

    return line_fit.side_by_side(
        [positions(0, 8, upper), positions(4, 9, lower), positions(1, 8, upper), positions(5, 9, lower)]
    )


def model(section: ScatterSection) -> Model:
    """The model with the parameters of a config's section."""
    z_upper, z_lower, scatterers = tuple(section.z_upper), tuple(section.z_lower), scatterers_of(section)
    at = planes.planes_parameter(section.at)
    line_fit.check_heights("z_upper", z_upper)
    line_fit.check_heights("z_lower", z_lower)
    if min(z_upper) <= max(z_lower):
        raise ConfigError(
            f"model.z_upper: a layer at {min(z_upper):g} m is not above the lower tracker, which reaches up to "
            f"{max(z_lower):g} m"
        )
    layers = len(z_upper) + len(z_lower)
    starts = (0, len(z_upper), layers, layers + len(z_upper), 2 * layers)
    names = 2 * ("z_upper", "z_lower")
    return Model(
        coordinates=line_fit.coordinates("x", layers) + line_fit.coordinates("y", layers),
        observables=(*OBSERVABLES, *(positions := planes.positions_on(LINES, section.at))),
        infer=planes.with_planes(infer_scatter, len(positions)),
        generate=generate,
        intersect_layers=intersect_layers,
        layers=2 * tuple(range(layers)),
        parameters={"z_upper": z_upper, "z_lower": z_lower, **scatterers.parameters, **at},
        momentum=-1 if scatterers.by_momentum else None,
        infer_uses=("z_upper", "z_lower", "resolution", *at),
        intersect_uses=("z_upper", "z_lower"),
        missing=True,
        covariance=covariance if scatterers.there else None,
        covariance_uses=("z_upper", "z_lower", "theta0") if scatterers.there else (),
        scattered=covariance,
        deviate=deviate,
        fitted=fitted,
        heights=2 * (z_upper + z_lower),
        fitted_uses=("z_upper", "z_lower", "resolution"),
        lines=tuple(LineOfHits(*each) for each in zip(names, starmap(range, pairwise(starts)), strict=True)),
        fit=section.fit,
        squared=("theta_msc",),
        slow=True,  # closest approach at small angles needs thousands of points
    )
