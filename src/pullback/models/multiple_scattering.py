"""Multiple scattering: Highland's width, and the effect of scattering in the layers on the hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from ..uncertainty.elementwise import total
from .line_fit import as_one_type, side_by_side

LayerAngle = float | Float[Any, ""] | Float[Any, " #layer"] | Float[Any, "muon #layer"]
"""θ0 of the layers, rad: one for all layers or one for each, for all muons or for each muon."""

UNIT_ANGLE = 1e-3
"""θ0, rad, in units of which scattering is looked for in layers of which none is stated."""

MUON_MASS = 0.1056583755
"""Mass of the muon, GeV/c² (PDG 2024)."""


def highland(
    momentum: float | Float[Any, "*shape"], path: float | Float[Any, "*other"], radiation_length: float
) -> Float[Any, "*both"]:
    """Standard deviation of the scattering angle of a muon in a material, in one view.

    θ0 = 13.6 MeV/(β c p) √(x/X0) [1 + 0.038 ln(x/(X0 β²))] for unit charge. It describes the central 98 % of the
    angles, to 11 % for 1e-3 < x/X0 < 100. Because of the logarithm, x must be the whole path in the material: slices
    added in quadrature give too small a width, by 8 % for 10 cm of iron in ten slices. Where the bracket would be
    negative, below 4e-12 radiation lengths, it is 0.

    Parameters
    ----------
    momentum : float, array or tensor
        p, GeV/c; with energy loss, the effective one of `energy_loss.slow_down`.
    path : float, array or tensor
        Path length x in the material, m.
    radiation_length : float
        X0, m.

    Returns
    -------
    array or tensor
        θ0, rad; a tensor with the gradients of momentum and path if any of them is one.

    References
    ----------
    V. L. Highland, Nucl. Instrum. Meth. 129 (1975) 497, with the constants of G. R. Lynch and O. I. Dahl, Nucl.
    Instrum. Meth. B 58 (1991) 6, as in PDG 2024, section 34.3.

    Examples
    --------
    >>> from pullback.models.multiple_scattering import highland
    >>> float(1e3 * highland(3.0, 0.1, 0.01757).round(6))  # mrad, of 10 cm of iron
    11.537

    """
    momentum, path, mass = as_one_type(momentum, path, MUON_MASS)
    library = _library(momentum)
    beta = momentum / library.hypot(momentum, mass)
    there = path > 0
    lengths = library.where(there, path / radiation_length, 1.0)  # no root of 0, whose derivative is infinite
    log = library.log(lengths / beta**2)
    width = 13.6e-3 / (beta * momentum) * library.sqrt(lengths) * library.clip(1 + 0.038 * log, 0.0, None)
    return library.where(there, width, 0.0)


def _library(values: Any) -> Any:
    """Numpy for arrays, torch for tensors."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def angle_and_displacement(
    deviates: Float[np.ndarray, "muon 2"],
    theta0: Float[np.ndarray, " muon"],
    arm: Float[np.ndarray, " muon"],
    arm_sd: Float[np.ndarray, " muon"],
) -> tuple[Float[np.ndarray, " muon"], Float[np.ndarray, " muon"]]:
    """Angle (rad) and displacement (m) in one view behind a material, from two standard normal deviates z1, z2.

    angle = z2 θ0 and displacement = (z2 l + z1 s) θ0, where l and s are mean and standard deviation of the distance
    from a scattering to the end of the path. For scattering that is uniform along a path x they are x/2 and x/√12; the
    standard deviation of the displacement is then x θ0/√3, and its correlation with the angle √3/2.

    Source: PDG 2024, section 34.3; the moments of E. Fermi and L. Eyges, Phys. Rev. 74 (1948) 1534.
    """
    first, second = deviates.T
    angle = second * theta0
    return angle, first * arm_sd * theta0 + arm * angle


@runtime_checkable
class LayersSection(Protocol):
    """What the config's `model` section says of scattering in the layers.

    θ0, rad, and the momentum that it belongs to, GeV/c; or the material, in radiation lengths, and the momentum of
    muons whose own is not known. Numbers for all layers, or lists with one for each.
    """

    theta0: float | Sequence[float] | None
    theta0_momentum: float | None
    material: float | Sequence[float] | None
    momentum: float | None


class Scatterers(NamedTuple):
    """What a model has from its `LayersSection`: parameters, whether layers scatter, and whether by momentum."""

    parameters: Mapping[str, float | tuple[float, ...]]
    there: bool
    by_momentum: bool


def scatterers_of(section: LayersSection) -> Scatterers:
    """The scattering in the layers of a config's `model` section."""
    own = {"theta0": section.theta0, "theta0_momentum": section.theta0_momentum}
    if section.material is not None:
        own = {"material": section.material, "momentum": section.momentum}
    parameters = {
        name: tuple(value) if isinstance(value, Sequence) else value for name, value in own.items() if value is not None
    }
    amount = parameters.get("material", parameters.get("theta0", 0.0))
    there = (max(amount) if isinstance(amount, tuple) else amount) > 0
    return Scatterers(parameters, there, not {"material", "theta0_momentum"}.isdisjoint(parameters))


def at_momenta(parameters: Mapping[str, Any], momentum: Float[Any, " muon"] | None) -> Mapping[str, Any]:
    """The parameters of a model with `theta0` of the layers for each muon.

    With `theta0_momentum` p₀ it is θ0 (βcp)₀/(βcp), and a muon whose momentum is unknown, which is NaN, keeps the
    stated θ0; without momenta, all do. With `material` it is that of Highland for the path of a vertical muon, and a
    muon of unknown momentum has the parameter `momentum`.

    Parameters
    ----------
    parameters : mapping
        With `theta0` (rad) and `theta0_momentum` (GeV/c), or `material` (radiation lengths) and `momentum` (GeV/c), as
        arrays or tensors.
    momentum : array or tensor (muon,), optional
        p, GeV/c.

    Source: the dependence of Highland's θ0 on the momentum, PDG 2024, section 34.3; for `theta0_momentum` without that
    of its logarithm.
    """
    if "material" in parameters:
        own = parameters["momentum"] if momentum is None else momentum
        if momentum is not None and "momentum" in parameters:
            own = _where(momentum == momentum, momentum, parameters["momentum"])
        return {**parameters, "theta0": highland(own[..., None], parameters["material"], 1.0)}
    if momentum is None or "theta0_momentum" not in parameters:
        return parameters
    known = momentum == momentum
    # Without NaN, whose derivatives would be NaN too.
    ratio = _beta_p(parameters["theta0_momentum"]) / _beta_p(_where(known, momentum, 1.0))
    return {**parameters, "theta0": parameters["theta0"] * _where(known, ratio, 1.0)[:, None]}


def _where(condition: Any, values: Any, other: Any) -> Any:
    """The values, and others elsewhere, of arrays or tensors."""
    return np.where(condition, values, other) if isinstance(values, np.ndarray) else values.where(condition, other)


def _beta_p(momentum: Any) -> Any:
    """βp, GeV/c, of floats, arrays or tensors."""
    return momentum**2 / (momentum**2 + MUON_MASS**2) ** 0.5


def layer_covariance(z: Float[Tensor, "*rows layer"], theta0: LayerAngle) -> Float[Tensor, "*muons layer layer"]:
    """Covariance of the hits, about the line above all layers, due to scattering in the layers.

    C_ij = Σ_k θ0_k² (z_k − z_i) (z_k − z_j), summed over the layers k above both i and j. The muon comes from above,
    and each layer k deflects it independently by an angle of standard deviation θ0_k. z is in any order.

    Parameters
    ----------
    z : tensor (layer,) or (muon, layer)
        Height of each layer, m; one for all muons, or those of each.
    theta0 : float or tensor
        θ0 of the layers, rad: an angle in one view, of a muon near the vertical; one for all layers or (layer,), and
        for each muon (muon, 1) or (muon, layer).

    Returns
    -------
    tensor (layer, layer) or (muon, layer, layer)
        C, m².

    Source: the linear model of multiple scattering, e.g. R. Frühwirth, Nucl. Instrum. Meth. A 262 (1987) 444.

    """
    arms = (z[..., None, :] - z[..., :, None]).clamp(min=0)
    if z.ndim == 1 and (isinstance(theta0, float) or theta0.ndim == 0 or theta0.shape[-1] == 1):
        of_one = (arms[:, None, :] * arms[None, :, :]).sum(dim=2)
        return of_one * (theta0 if isinstance(theta0, float) else theta0.reshape(*theta0.shape[:-1], 1, 1)) ** 2
    kicks = arms * (theta0 if isinstance(theta0, float) or theta0.ndim == 0 else theta0[..., None, :])
    return total(kicks[..., :, None, layer] * kicks[..., None, :, layer] for layer in range(z.shape[-1]))


def in_two_views(of_one: Float[Tensor, "*muon layer layer"]) -> Float[Tensor, "*muon coordinate coordinate"]:
    """The covariance of independent views x and y with the same covariance."""
    import torch

    none = torch.zeros_like(of_one)
    return torch.cat([torch.cat([of_one, none], dim=-1), torch.cat([none, of_one], dim=-1)], dim=-2)


def stepped_through(
    kicks: Float[Any, "muon layer"],
    z: Float[Any, " layer"],
    theta0: LayerAngle,
) -> Float[Any, "muon layer"]:
    """Deviations of the hits in one view from the line above all layers, of muons that the layers scatter.

    Each muon is stepped down from layer to layer: it is recorded, and then deflected by θ0 times its kick in this
    layer. The simulation uses this, and propagation `layer_covariance`, so that an error in one of them is seen.

    Parameters
    ----------
    kicks : array or tensor (muon, layer)
        Standard normal deviates.
    z : array or tensor (layer,)
        Height of each layer, m, in any order.
    theta0 : float, array or tensor
        θ0 of the layers, rad; one for all or (layer,), and for each muon (muon, 1) or (muon, layer).

    Returns
    -------
    array or tensor (muon, layer)
        Deviations, m; a tensor with the gradients of z and θ0 if any argument is one.

    """
    kicks, z, theta0 = as_one_type(kicks, z, theta0)
    position = angle = 0.0 * kicks[:, 0]
    previous: int | None = None
    found = {}
    for layer in sorted(range(len(z)), key=z.tolist().__getitem__, reverse=True):
        if previous is not None:
            position = position + angle * (z[previous] - z[layer])
        found[layer] = position
        angle = angle + _of_layer(theta0, layer) * kicks[:, layer]
        previous = layer
    return side_by_side([found[layer][:, None] for layer in range(len(z))])


def _of_layer(theta0: Any, layer: int) -> Any:
    """θ0 of one layer, of an array or a tensor."""
    return theta0 if theta0.ndim == 0 else theta0[..., layer if theta0.shape[-1] > 1 else 0]
