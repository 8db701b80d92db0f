"""Numbers of docs/physics.md: momenta of inclined muons, and what energy loss does to scattering.

Command: python benchmarks/muons.py [--docs]
"""

import sys
from types import SimpleNamespace

import numpy as np
from common import PROJECT, aligned, into_docs, markdown
from scipy.integrate import quad

from pullback import random_stream
from pullback.models.cosmic_rays import directions_and_momenta, vertical_intensity
from pullback.models.energy_loss import MATERIALS, bethe, slow_down
from pullback.models.multiple_scattering import MUON_MASS, highland

PAGE = PROJECT / "docs" / "physics.md"
LEAST = (0.5, 1.0, 3.0, 10.0)
ANGLES = (0.2, 0.4, 0.6, 0.8, 1.0)
PATHS = ((3.0, 0.1), (3.0, 1.0), (1.0, 0.1), (1.0, 0.4), (0.5, 0.1), (0.5, 0.2))
"""Momenta, GeV/c, and paths in iron, m."""


def inverse(zenith, least):
    """Root mean square of 1/p at a zenith angle, above a minimum momentum."""

    def moment(power):
        per_log = lambda log: np.exp((1 + power) * log) * vertical_intensity(np.exp(log) * np.cos(zenith))  # noqa: E731
        return quad(per_log, np.log(least), np.log(least) + 15, limit=200)[0]

    return (moment(-2) / moment(0)) ** 0.5


def drawn(zenith, least, muons=2_000_000):
    """The same of simulated muons within 0.02 rad."""
    uniform = random_stream(1, "truth").random((muons, 3))
    cosmic = SimpleNamespace(spectrum="sea_level", momentum=least, zenith_max=zenith + 0.02)
    slopes, momenta = directions_and_momenta(uniform, cosmic)
    chosen = momenta[abs(np.arctan(np.hypot(*slopes.T)) - zenith) < 0.02]
    return np.mean(1 / chosen**2) ** 0.5


def of_inclined_muons():
    """Scattering with the spectrum of vertical muons over that with Reyna's, by zenith angle."""
    head = ["minimum momentum", *(f"{angle:g} rad" for angle in ANGLES), "0.8 rad, simulated"]
    rows = []
    for least in LEAST:
        vertical = inverse(0.0, least)
        off = [*(vertical / inverse(angle, least) for angle in ANGLES), vertical / drawn(0.8, least)]
        rows.append([f"{least:g} GeV/c", *(f"{100 * (each - 1):+.1f} %" for each in off)])
    return head, rows


def of_slower_muons():
    """Momentum behind iron, θ0 with and without energy loss, and with geometric means of both ends."""
    head = ["p, iron", "p behind", "θ0 (mrad)", "without loss", "geometric mean"]
    material, length = MATERIALS["iron"]
    rows = []
    for momentum, path in PATHS:
        found = slow_down(np.array([momentum]), np.array([path]), material)
        behind, theta0 = found.momentum[0], float(highland(found.effective[0], path, length))
        product = np.prod([p**2 / np.hypot(p, MUON_MASS) for p in (momentum, behind)]) ** 0.5  # βp
        effective = ((product**2 + product * np.hypot(product, 2 * MUON_MASS)) / 2) ** 0.5
        others = [float(highland(each, path, length)) / theta0 - 1 for each in (momentum, effective)]
        rows.append(
            [
                f"{momentum:g} GeV/c, {path:g} m",
                f"{behind:.3f} GeV/c",
                f"{1e3 * theta0:.2f}",
                *(f"{100 * each:+.1f} %" for each in others),
            ]
        )
    return head, rows


def of_materials():
    """Smallest dE/dx of each material, and the energy lost per metre at 3 GeV/c."""
    p = np.geomspace(0.1, 3, 20_001)
    head = ["material", "minimum dE/dx (MeV cm²/g)", "at 3 GeV/c", "energy lost per m (GeV)"]
    rows = []
    for name, (material, _) in MATERIALS.items():
        loss = bethe(p, material)
        per_metre = 0.1 * material.density * loss[-1]
        rows.append([name, f"{loss.min():.3f}", f"{loss[-1]:.3f}", f"{per_metre:.2f}"])
    return head, rows


TABLES = {"inclined muons": of_inclined_muons, "slower muons": of_slower_muons, "materials": of_materials}

if __name__ == "__main__":
    for name, table in TABLES.items():
        head, rows = table()
        print(f"{name}\n{aligned(head, rows)}\n")
        if "--docs" in sys.argv:
            into_docs(name, markdown(head, rows), PAGE)
