"""Multiple scattering: Highland's width, and what scattering in the layers does to the hits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor

MUON_MASS = 0.1056583755
"""GeV/c² (PDG 2024)."""


def highland(
    momentum: float | Float[np.ndarray, " muon"],
    path: float | Float[np.ndarray, " muon"],
    radiation_length: float,
) -> Float[np.ndarray, "*muon"]:
    """Standard deviation of the angle in one view by which a material scatters a muon.

    θ0 = 13.6 MeV/(β c p) √(x/X0) [1 + 0.038 ln(x/(X0 β²))] for the charge 1. It describes the central 98 % of the
    angles, to 11 % for 1e-3 < x/X0 < 100. Because of the logarithm x is the whole path in the material: slices added in
    quadrature come out low, ten of them in 10 cm of iron by 8 %. Where the bracket would be negative, below 4e-12 of a
    radiation length, it is 0.

    Parameters
    ----------
    momentum : p, GeV/c; it is not lost on the way.
    path : length of the path in the material x, m.
    radiation_length : X0, m.

    Returns
    -------
    θ0, rad.

    Source: V. L. Highland, Nucl. Instrum. Meth. 129 (1975) 497, with the constants of G. R. Lynch and O. I. Dahl, Nucl.
    Instrum. Meth. B 58 (1991) 6, as in PDG 2024, section 34.3.

    Examples
    --------
    >>> from pullback.models.multiple_scattering import highland
    >>> float(1e3 * highland(3.0, 0.1, 0.01757).round(6))  # mrad, of 10 cm of iron
    11.537

    """
    momentum = np.asarray(momentum, dtype=float)
    beta = momentum / np.hypot(momentum, MUON_MASS)
    lengths = np.asarray(path, dtype=float) / radiation_length
    log = np.log(np.where(lengths > 0, lengths, 1.0) / beta**2)
    return np.where(lengths > 0, 13.6e-3 / (beta * momentum) * np.sqrt(lengths) * np.maximum(1 + 0.038 * log, 0.0), 0.0)


def angle_and_displacement(
    deviates: Float[np.ndarray, "muon 2"], theta0: Float[np.ndarray, " muon"], path: Float[np.ndarray, " muon"]
) -> tuple[Float[np.ndarray, " muon"], Float[np.ndarray, " muon"]]:
    """Angle (rad) and displacement (m) in one view behind a material, from two standard normal deviates z1, z2.

    angle = z2 θ0 and displacement = z1 x θ0/√12 + z2 x θ0/2: with the standard deviations θ0 and x θ0/√3 and the
    correlation ρ = √3/2, as scattering that is spread evenly over the path x has them.

    Source: PDG 2024, section 34.3.
    """
    first, second = deviates.T
    angle = second * theta0
    return angle, first * path * theta0 / 12**0.5 + path * angle / 2


def layer_covariance(z: Float[Tensor, " layer"], theta0: float | Float[Tensor, ""]) -> Float[Tensor, "layer layer"]:
    """What scattering in the layers adds to the covariance of the hits about the line above all layers.

    C_ij = θ0² Σ_k (z_k − z_i) (z_k − z_j), over the layers k above both i and j: the muon comes from above, and each
    layer k bends its line by an angle of standard deviation θ0, independently of the others. z is in any order.

    Parameters
    ----------
    z : height of each layer, m.
    theta0 : θ0 of one layer, rad: an angle in one view, of a muon near the vertical.

    Returns
    -------
    C, m².

    Source: the linear model of multiple scattering, e.g. R. Frühwirth, Nucl. Instrum. Meth. A 262 (1987) 444.
    """
    arms = (z[None, :] - z[:, None]).clamp(min=0)
    return (arms[:, None, :] * arms[None, :, :]).sum(dim=2) * theta0**2
