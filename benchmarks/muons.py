"""Numbers of docs/physics.md: momenta of inclined muons, energy loss, and layers that scatter by momentum.

Command: python benchmarks/muons.py [--docs]
"""

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch
from common import PROJECT, aligned, into_docs, markdown
from scipy.integrate import quad

from pullback import propagate, random_stream
from pullback.detector.known import Known
from pullback.detector.reconstruction import Reconstruction
from pullback.detector.response import Response, generated, momenta, true_hits
from pullback.models.cosmic_rays import directions_and_momenta, vertical_intensity
from pullback.models.energy_loss import MATERIALS, bethe, slow_down
from pullback.models.multiple_scattering import MUON_MASS, highland
from pullback.study.blocks import BLOCK
from pullback.study.plan import Study

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


def of_layers():
    """Width of pulls of dx/dz of the model's fit by momentum, with and without the momentum of each muon."""
    raw = {
        "study": "muons",
        "model": {"name": "track3d", "z": [0.0, 0.3, 0.6, 1.0], "theta0": 0.003, "theta0_momentum": 2.0},
        "source": {"muons": BLOCK, "cosmic": {"spectrum": "sea_level", "momentum": 0.5, "zenith_max": 0.5}},
        "detector": {"resolution": 2000},
    }
    part, block = Study.from_config(raw).first_part("nominal")
    drawn, response = generated(part, block), Response(part)
    p, x_true = momenta(part, drawn), true_hits(part, drawn)
    reconstruction = Reconstruction.of(part)
    p, x_true = momenta(part, drawn), true_hits(part, drawn)
    true, hits = (
        torch.from_numpy(each) for each in (x_true, response.record(x_true, response.draw(block), momentum=p))
    )
    pulls = []
    for known in (Known(momentum=torch.from_numpy(p)), Known()):
        taken = reconstruction.taken(hits, known)
        law = propagate(reconstruction.infer, taken.hits, covariance=taken.covariance)
        truth = reconstruction.infer(reconstruction.arguments(true, known))
        pulls.append(((law.value - truth) / law.sigma)[:, 2].numpy())
    rows = []
    for low, high in pairwise((0.5, 0.8, 1.5, 3.0, 10.0, 1000.0)):
        some = (p >= low) & (p < high)
        widths = [f"{each[some].std():.3f}" for each in pulls]
        rows.append([f"{low:g} to {high:g} GeV/c", *widths, f"{1 / np.sqrt(2 * some.sum()):.3f}"])
    return ["momentum", "width of pulls", "with one θ0 for all", "standard error"], rows


TABLES = {
    "inclined muons": of_inclined_muons,
    "slower muons": of_slower_muons,
    "materials": of_materials,
    "layers": of_layers,
}

if __name__ == "__main__":
    for name, table in TABLES.items():
        head, rows = table()
        print(f"{name}\n{aligned(head, rows)}\n")
        if "--docs" in sys.argv:
            into_docs(name, markdown(head, rows), PAGE)
