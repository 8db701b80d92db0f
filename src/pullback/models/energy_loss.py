"""Mean energy loss of muons in a material by ionisation, and what it does to scattering."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .multiple_scattering import MUON_MASS

ELECTRON_MASS = 0.51099895069e-3
"""Mass of the electron, GeV/c² (PDG 2024)."""

K = 0.307075
"""4π N_A r_e² m_e c², MeV cm²/mol (PDG 2024, table 34.1)."""

PLASMA = 28.816
"""Plasma energy √(4π N_e r_e³) m_e c²/α over √(ρ Z/A), eV; ρ in g/cm³ (PDG 2024, table 34.1)."""

SLOWEST = 0.1 * MUON_MASS
"""Momentum at which a muon counts as stopped, GeV/c: below βγ = 0.1 the formula fails. Its range is 20 µm of iron."""

FASTEST = 1e10
"""Largest momentum of the table of ranges, GeV/c."""

LOG_STEP = 0.005
"""Step of the table of ranges in log p."""

PATH_NODES = np.polynomial.legendre.leggauss(6)
"""Nodes and weights on (−1, 1) of the integrals over log p along the path."""


class DensityEffect(NamedTuple):
    """Sternheimer's parameters of the density effect δ."""

    a: float
    k: float
    x0: float
    x1: float
    c: float
    delta0: float = 0.0


class Material(NamedTuple):
    """Constants of a material: density (g/cm³), Z/A (mol/g), mean excitation energy (eV), and its density effect."""

    density: float
    z_over_a: float
    excitation: float
    effect: DensityEffect


class Listed(NamedTuple):
    """A material of the table, and its radiation length (m)."""

    material: Material
    radiation_length: float


MaterialName = Literal["water", "concrete", "standard_rock", "aluminium", "iron", "copper", "lead", "uranium"]

MATERIALS: dict[str, Listed] = {
    "water": Listed(Material(1.0, 0.55508, 75.0, DensityEffect(0.09116, 3.4773, 0.24, 2.8004, 3.5017)), 0.3608),
    "concrete": Listed(Material(2.3, 0.50274, 135.2, DensityEffect(0.07515, 3.5467, 0.1301, 3.0466, 3.9464)), 0.1155),
    "standard_rock": Listed(Material(2.65, 0.5, 136.4, DensityEffect(0.08301, 3.4120, 0.0492, 3.0549, 3.7738)), 0.1002),
    "aluminium": Listed(
        Material(2.699, 0.48181, 166.0, DensityEffect(0.08024, 3.6345, 0.1708, 3.0127, 4.2395, 0.12)), 0.08897
    ),
    "iron": Listed(
        Material(7.874, 0.46557, 286.0, DensityEffect(0.1468, 2.9632, -0.0012, 3.1531, 4.2911, 0.12)), 0.01757
    ),
    "copper": Listed(
        Material(8.96, 0.45636, 322.0, DensityEffect(0.14339, 2.9044, -0.0254, 3.2792, 4.4190, 0.08)), 0.01436
    ),
    "lead": Listed(
        Material(11.35, 0.39575, 823.0, DensityEffect(0.09359, 3.1608, 0.3776, 3.8073, 6.2018, 0.14)), 0.005612
    ),
    "uranium": Listed(
        Material(18.95, 0.38651, 890.0, DensityEffect(0.19677, 2.8171, 0.2260, 3.3721, 5.8694, 0.14)), 0.003166
    ),
}
"""Constants of the PDG's Atomic and Nuclear Properties; with the parameters of R. M. Sternheimer, M. J. Berger and
S. M. Seltzer, Atom. Data Nucl. Data Tabl. 30 (1984) 261. Concrete is shielding concrete."""


def constants_of(name: str) -> dict[str, float]:
    """The constants of a material of the table, by their keys in the config."""
    material, radiation_length = MATERIALS[name]
    named = {key: getattr(material, key) for key in ("density", "z_over_a", "excitation")}
    return {"radiation_length": radiation_length, **named}


def material_of(density: float, z_over_a: float, excitation: float) -> Material:
    """A solid or liquid material with the density effect of the general expression.

    C = 2 ln(I/ħω_p) + 1; x0 = 0.2, or 0.326 C − 1 (1.5 from 100 eV on) where C is at least 3.681 (5.215); x1 = 2 (3);
    k = 3, and a such that δ(x0) = 0.

    Parameters
    ----------
    density : float
        g/cm³.
    z_over_a : float
        Z/A, mol/g.
    excitation : float
        Mean excitation energy I, eV.

    Source: R. M. Sternheimer and R. F. Peierls, Phys. Rev. B 3 (1971) 3681. dE/dx agrees with that of the fitted
    parameters of `MATERIALS` to 2.3 % from 50 MeV/c to 100 GeV/c.

    """
    c = 2 * np.log(excitation / (PLASMA * np.sqrt(density * z_over_a))) + 1
    x1, far, offset = (2.0, 3.681, 1.0) if excitation < 100 else (3.0, 5.215, 1.5)
    x0 = 0.2 if c < far else 0.326 * c - offset
    a = (c - 2 * np.log(10) * x0) / (x1 - x0) ** 3
    return Material(density, z_over_a, excitation, DensityEffect(float(a), 3.0, float(x0), x1, float(c)))


def bethe(momentum: float | Float[np.ndarray, "*muon"], material: Material) -> Float[np.ndarray, "*muon"]:
    """Mean energy loss −dE/dx of a muon by ionisation, MeV cm²/g.

    K (Z/A) β⁻² [½ ln(2 m_e c² β²γ² W_max/I²) − β² − δ/2] with W_max = 2 m_e c² β²γ²/(1 + 2γ m_e/M + (m_e/M)²) and the
    density effect δ. It holds to a few per cent for 0.1 < βγ < 1000 (11 MeV/c to 106 GeV/c). Fluctuations are
    neglected, and so are radiative losses, which in iron reach the loss by ionisation at 347 GeV.

    Parameters
    ----------
    momentum : float or array
        p, GeV/c.
    material : Material
        The material.

    References
    ----------
    PDG 2024, equations 34.4, 34.5 and 34.7.

    Examples
    --------
    >>> from pullback.models.energy_loss import MATERIALS, bethe
    >>> float(bethe(0.3, MATERIALS["iron"].material).round(3))
    1.458

    """
    bg = np.asarray(momentum, dtype=float) / MUON_MASS
    gamma, ratio = np.hypot(1, bg), ELECTRON_MASS / MUON_MASS
    most = 2e9 * ELECTRON_MASS * bg**2  # eV
    ratio_of_energies = most**2 / (1 + 2 * gamma * ratio + ratio**2) / material.excitation**2
    beta2 = (bg / gamma) ** 2
    logs = np.log(ratio_of_energies) / 2 - beta2 - density_effect(np.asarray(np.log10(bg)), material.effect) / 2
    return np.asarray(K * material.z_over_a / beta2 * logs)


def density_effect(x: Float[np.ndarray, "*muon"], effect: DensityEffect) -> Float[np.ndarray, "*muon"]:
    """The density effect δ at x = log10(βγ): PDG 2024, equation 34.7."""
    rising = 2 * np.log(10) * x - effect.c + effect.a * np.maximum(effect.x1 - x, 0.0) ** effect.k
    return np.where(x >= effect.x0, rising, effect.delta0 * 10 ** (2 * np.minimum(x - effect.x0, 0.0)))


@runtime_checkable
class LossSection(Protocol):
    """What the config's section `source.volume` says of the energy loss."""

    material: str | None
    density: float | None
    z_over_a: float | None
    excitation: float | None
    energy_loss: str


class Slowed(NamedTuple):
    """Muons behind a material: what energy loss does to them and to their scattering.

    `momentum` (GeV/c) behind it, `effective` momentum (GeV/c) for Highland's formula, and mean and standard deviation
    (m) of the distance from a scattering to the end of the path, weighted by (βcp)⁻². NaN where a muon stops.
    """

    momentum: Float[np.ndarray, " muon"]
    effective: Float[np.ndarray, " muon"]
    arm: Float[np.ndarray, " muon"]
    arm_sd: Float[np.ndarray, " muon"]


def behind(momentum: Float[np.ndarray, " muon"], path: Float[np.ndarray, " muon"], volume: LossSection) -> Slowed:
    """Muons behind a path (m) through a volume, by its kind of energy loss."""
    if volume.energy_loss == "none":
        return unchanged(momentum, path)
    if volume.material is not None:
        return slow_down(momentum, path, MATERIALS[volume.material].material)
    assert volume.density is not None  # the config has all three
    assert volume.z_over_a is not None
    assert volume.excitation is not None
    return slow_down(momentum, path, material_of(volume.density, volume.z_over_a, volume.excitation))


def unchanged(momentum: Float[np.ndarray, " muon"], path: Float[np.ndarray, " muon"]) -> Slowed:
    """Muons that lose no energy: scattering is uniform along the path."""
    return Slowed(momentum, momentum, path / 2, path / 12**0.5)


def slow_down(momentum: Float[np.ndarray, " muon"], path: Float[np.ndarray, " muon"], material: Material) -> Slowed:
    """Muons that lose the mean energy of `bethe` on a path through a material.

    The range R(p) = ∫ β dp/(−dE/dx), tabulated in log p, decreases by the path. The effective momentum has the mean of
    (βcp)⁻² over the path, so that θ0² = (13.6 MeV)² [1 + 0.038 ln(x/(X0 β²))]² ∫ dx/(X0 β²c²p²) with the logarithm of
    the whole path. Means over the path are integrals over log p, by six nodes of Gauss and Legendre.

    Parameters
    ----------
    momentum : array (muon,)
        p where the muon enters, `SLOWEST` ≤ p ≤ `FASTEST`, GeV/c.
    path : array (muon,)
        Path length, m.
    material : Material
        The material.

    Returns
    -------
    Slowed
        The muons behind it; NaN for those that stop, which have a range shorter than the path.

    Source: the scattering of particles that slow down as in B. Gottschalk et al., Nucl. Instrum. Meth. B 74 (1993)
    467, there right to 5 % for protons in targets up to their range.

    """
    log, steps, ranges = _range_table(material)
    start, grams = np.log(momentum), 100 * material.density * path
    left = np.interp(start, log, ranges) - grams
    left = np.where(left > 0, left, np.nan)
    end = np.interp(left, ranges, log)
    nodes, weights = (np.asarray(each) for each in PATH_NODES)
    at = end[:, None] + (start - end)[:, None] * (1 + nodes) / 2
    p = np.exp(at)
    inverse = (1 + (MUON_MASS / p) ** 2) / p**2  # 1/(βp)²
    lengths = weights * np.interp(at, log, steps)
    kicks = lengths * inverse
    mean_inverse = kicks.sum(axis=1) / lengths.sum(axis=1)
    kicks /= kicks.sum(axis=1, keepdims=True)
    # Without material, every place on the path is its end.
    arms = (np.interp(at, log, ranges) - left[:, None]) / (100 * material.density)
    arm = (kicks * arms).sum(axis=1)
    arm_sd = np.sqrt((kicks * (arms - arm[:, None]) ** 2).sum(axis=1))
    return Slowed(np.exp(end), _with_inverse(mean_inverse), arm, arm_sd)


def _range_table(
    material: Material,
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """The table of log p, the derivative dR/dlog p and the range R (g/cm²) from `SLOWEST` on."""
    log = np.arange(np.log(SLOWEST), np.log(FASTEST) + LOG_STEP, LOG_STEP)
    p = np.exp(log)
    steps = 1000 * p**2 / np.hypot(p, MUON_MASS) / bethe(p, material)
    ranges = np.concatenate([[0.0], np.cumsum((steps[1:] + steps[:-1]) / 2 * LOG_STEP)])
    return log, steps, ranges


def _with_inverse(inverse: Float[np.ndarray, " muon"]) -> Float[np.ndarray, " muon"]:
    """The momentum of muons with these 1/(βp)²."""
    square = 1 / inverse  # (βp)² = p⁴/(p² + M²)
    return np.sqrt((square + np.sqrt(square * (square + 4 * MUON_MASS**2))) / 2)
