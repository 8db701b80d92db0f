"""Directions and momenta of cosmic muons at sea level."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

REYNA = 0.2455, 1.288, -0.2555, 0.0209
"""Coefficients c2 … c5 of the intensity in `vertical_intensity`."""

GRID = 4001
"""Grid points for the integral of the spectrum, 0.23 % apart."""

INCLINED_GRID = 501
"""Further grid points below the minimum momentum, where only inclined muons contribute."""

SPECTRUM_DECADES = 4
"""Range of the spectrum above 1 GeV/c or the minimum momentum, in powers of ten; 1e-7 of the muons lie beyond."""


@runtime_checkable
class CosmicSection(Protocol):
    """The config's section `source.cosmic`: all momenta equal to `momentum`, GeV/c, or `sea_level` above it."""

    zenith_max: float
    spectrum: str
    momentum: float


def directions_and_momenta(
    uniform: Float[np.ndarray, "muon 3"], cosmic: CosmicSection
) -> tuple[Float[np.ndarray, "muon 2"], Float[np.ndarray, " muon"]]:
    """Slopes dx/dz and dy/dz, and momenta (GeV/c), of cosmic muons that cross a horizontal layer.

    The intensity (muons per area perpendicular to their direction, solid angle and time) is proportional to cos²θ for
    the spectrum `fixed`, and I(p, θ) = cos³θ I_V(p cos θ) for `sea_level`, with I_V from `vertical_intensity`. A
    horizontal layer appears reduced by cos θ. φ is uniform, and every muon takes three deviates.

    Parameters
    ----------
    uniform : array (muon, 3)
        Deviates, 0 ≤ u < 1, of the zenith angle, φ and the momentum.
    cosmic : CosmicSection
        The spectrum, its momentum, and the maximum zenith angle θ_max, 0 < θ_max < π/2.

    Returns
    -------
    array (muon, 2), array (muon,)
        dx/dz and dy/dz, and p.

    Source: cos²θ as in PDG 2024, 30.3.1 (valid for muons of about 3 GeV, up to θ of about 70°); the spectrum from D.
    Reyna, hep-ph/0604145 (2006), equation 2.

    """
    if cosmic.spectrum == "fixed":
        share, momenta = uniform[:, 0] * _share(cosmic.zenith_max), np.full(len(uniform), float(cosmic.momentum))
    else:
        share, momenta = _sea_level(uniform[:, 0], uniform[:, 2], cosmic)
    tan = np.sqrt(share / ((1 + np.sqrt(1 - share)) * np.sqrt(1 - share)))
    phi = 2 * np.pi * uniform[:, 1]
    return np.stack([tan * np.cos(phi), tan * np.sin(phi)], axis=1), momenta


def _share(zenith: float) -> float:
    """1 − cos⁴θ, without cancellation: the fraction of dN ∝ cos³θ sin θ dθ below θ."""
    return float(np.sin(zenith) ** 2 * (1 + np.cos(zenith) ** 2))


def _sea_level(
    of_angle: Float[np.ndarray, " muon"], of_momentum: Float[np.ndarray, " muon"], cosmic: CosmicSection
) -> tuple[Float[np.ndarray, " muon"], Float[np.ndarray, " muon"]]:
    """1 − cos⁴θ and p of muons with the joint density cos⁴θ I_V(p cos θ) dp dcos θ, above p_min and up to θ_max.

    With ζ = p cos θ it is I_V(ζ) cos³θ dζ dcos θ, which factorises except for the limit p > p_min, or
    cos θ < ζ/p_min. So ζ has the density I_V(ζ) (min(1, ζ/p_min)⁴ − cos⁴θ_max), drawn by the inverse of its integral on
    a grid in log ζ, and given ζ, cos⁴θ is uniform between cos⁴θ_max and min(1, ζ/p_min)⁴.
    """
    most = _share(cosmic.zenith_max)
    far = np.log(max(1.0, 1 / cosmic.momentum)) + SPECTRUM_DECADES * np.log(10)
    log = np.concatenate([np.linspace(np.log1p(-most) / 4, 0, INCLINED_GRID)[:-1], np.linspace(0, far, GRID)])
    zeta = cosmic.momentum * np.exp(log)
    density = zeta * vertical_intensity(zeta) * (most - _least_share(log))  # per log ζ
    below = np.concatenate([[0.0], np.cumsum(np.diff(log) * (density[1:] + density[:-1]) / 2)])
    drawn = np.interp(of_momentum * below[-1], below, log)  # log(ζ/p_min)
    least = _least_share(drawn)
    share = least + of_angle * (most - least)
    above = np.exp(drawn - np.log1p(-share) / 4)  # p/p_min, 1 or more except for rounding
    return share, cosmic.momentum * np.maximum(above, 1.0)


def _least_share(log: Float[np.ndarray, " muon"]) -> Float[np.ndarray, " muon"]:
    """1 − cos⁴θ at the smallest zenith angle of muons above p_min, by log(ζ/p_min)."""
    return -np.expm1(4 * np.minimum(log, 0))


def vertical_intensity(momentum: float | Float[np.ndarray, "*muon"]) -> Float[np.ndarray, "*muon"]:
    """Intensity of vertical muons at sea level, 1/(cm² s sr GeV/c).

    I(p) = c1 p^−(c2 + c3 y + c4 y² + c5 y³) with y = log10 p, for 1 < p < 2000 GeV/c; outside it is an extrapolation.

    Parameters
    ----------
    momentum : float or array
        p, GeV/c.

    Source: D. Reyna, hep-ph/0604145 (2006), equation 3 and the best fit of section 4.

    """
    c2, c3, c4, c5 = REYNA
    y = np.log10(np.asarray(momentum, dtype=float))
    return np.asarray(0.00253 * 10 ** (-y * (c2 + y * (c3 + y * (c4 + y * c5)))))
