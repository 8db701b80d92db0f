"""Directions and momenta of cosmic muons at sea level."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .base import UniformSource

REYNA = 0.2455, 1.288, -0.2555, 0.0209
"""Coefficients c2 … c5 of the intensity in `vertical_intensity`."""

GRID = 4001
"""Grid points for the integral of the spectrum, 0.23 % apart."""

SPECTRUM_DECADES = 4
"""Range of the spectrum above 1 GeV/c or the minimum momentum, in powers of ten; 1e-7 of the muons lie beyond."""


@runtime_checkable
class Spectrum(Protocol):
    """Momenta of the muons: all equal to `momentum`, GeV/c, or `sea_level` above it."""

    spectrum: str
    momentum: float


@runtime_checkable
class CosmicSection(Spectrum, Protocol):
    """The config's section `source.cosmic`."""

    zenith_max: float


@runtime_checkable
class CosmicSource(UniformSource, Protocol):
    """What models of cosmic muons read from the config's `source` section."""

    cosmic: CosmicSection


def slopes(uniform: Float[np.ndarray, "muon 2"], zenith_max: float) -> Float[np.ndarray, "muon 2"]:
    """Slopes dx/dz and dy/dz of muons from above, from uniform deviates.

    The intensity (muons per area perpendicular to their direction, solid angle and time) is proportional to cos²θ. A
    horizontal layer appears reduced by cos θ, so that muons crossing it have dN ∝ cos³θ sin θ dθ dφ. The fraction below
    θ is (1 − cos⁴θ)/(1 − cos⁴θ_max), and its inverse gives θ. φ is uniform.

    Parameters
    ----------
    uniform : array (muon, 2)
        Deviates, 0 ≤ u < 1.
    zenith_max : float
        θ_max, rad, 0 < θ_max < π/2.

    Returns
    -------
    array (muon, 2)
        dx/dz and dy/dz.

    Source: cos²θ as in PDG 2024, 30.3.1 (valid for muons of about 3 GeV, up to θ of about 70°).

    """
    most = np.sin(zenith_max) ** 2 * (1 + np.cos(zenith_max) ** 2)  # 1 − cos⁴θ_max, without cancellation
    share = uniform[:, 0] * most
    tan = np.sqrt(share / ((1 + np.sqrt(1 - share)) * np.sqrt(1 - share)))
    phi = 2 * np.pi * uniform[:, 1]
    return np.stack([tan * np.cos(phi), tan * np.sin(phi)], axis=1)


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


def momenta(uniform: Float[np.ndarray, " muon"], cosmic: Spectrum) -> Float[np.ndarray, " muon"]:
    """The momentum of each muon (GeV/c), from uniform deviates.

    `fixed`: the momentum of the config. `sea_level`: the spectrum of vertical muons above that momentum, whatever the
    zenith angle, by the inverse of its integral on a grid in log p.

    Parameters
    ----------
    uniform : array (muon,)
        Deviates, 0 ≤ u < 1.
    cosmic : Spectrum
        The kind of spectrum and its momentum.

    """
    if cosmic.spectrum == "fixed":
        return np.full(len(uniform), float(cosmic.momentum))
    log = np.linspace(np.log(cosmic.momentum), np.log(max(cosmic.momentum, 1.0)) + SPECTRUM_DECADES * np.log(10), GRID)
    density = np.exp(log) * vertical_intensity(np.exp(log))  # per log p
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.exp(np.interp(uniform * below[-1], below, log))
