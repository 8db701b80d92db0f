r"""A muon spectrometer: three layers in a magnet give a muon's momentum, by how far its track bends.

The model of config/own_model.yaml. docs/models.md says how to write one.

    z[0] ───x0───────────────     A muon comes from above. The magnetic field B is the same everywhere and points out of
              \                   the page, so that the muon flies on a circle of radius R = p / (0.3 B), with p in
    z[1] ───────x1───────────     GeV/c, B in T and R in m. The curvature 1/R is positive towards greater x, as is
                |                 the sagitta: how far the straight line from x0 to x2 passes beside x1.
    z[2] ───────x2───────────
"""

import numpy as np
import torch

GEV_PER_TESLA_METRE = 0.299792458  # p = 0.2998 B R: the speed of light in 10⁹ m/s
RADIATION_LENGTHS = 0.005  # thickness of a layer: some mm of scintillating fibre


def infer(hits, B, z):
    """Sagitta (m) and charge over momentum (c/GeV) of each muon.

    `hits` has the shape (muon, coordinate), m, with the coordinates in the order of the config. `B` (T) and `z` (m) are
    the config's parameters, as tensors.
    """
    x0, x1, x2 = hits.unbind(1)
    (ax, az), (bx, bz) = (x1 - x0, z[1] - z[0]), (x2 - x1, z[2] - z[1])  # from layer to layer
    cx, cz = x2 - x0, z[2] - z[0]
    sagitta = cx * (az / cz) - ax
    # Through any three points goes one circle, of curvature 2 (a × b) / (|a| |b| |c|). Differences come first, so that
    # nothing is lost where hits are far from the origin, and a track that is straight has the curvature 0, not 0/0.
    lengths = torch.hypot(ax, az) * torch.hypot(bx, bz) * torch.hypot(cx, cz)
    curvature = 2 * (ax * bz - az * bx) / lengths
    return torch.stack([sagitta, curvature / (GEV_PER_TESLA_METRE * B)], dim=1)


def covariance(hits, B, z):
    """What scattering in the middle layer adds to the covariance of the hits (muon, coordinate, coordinate), m².

    The layer turns the muon by an angle of standard deviation θ₀ (PDG, Passage of particles through matter, 34.16, at
    β = 1), so that it arrives θ₀ |z2 - z1| beside its circle in the last layer.
    """
    thickness = hits.new_tensor(RADIATION_LENGTHS)  # float64, and on the GPU where the hits are
    q_over_p = infer(hits, B, z)[:, 1]
    variance = (0.0136 * q_over_p * (1 + 0.038 * thickness.log())).square() * thickness
    last = hits.new_tensor([0.0, 0.0, 1.0])
    return (variance * (z[2] - z[1]) ** 2)[:, None, None] * torch.outer(last, last)


def draw(rng, muons, B, z):
    """True hits of muons of both charges, of 2 GeV/c and more, at up to 0.2 rad from the vertical; all by NumPy.

    Every random number comes from `rng`, so that the same config gives the same muons.
    """
    q_over_p = rng.uniform(-0.5, 0.5, muons)  # c/GeV
    x0 = rng.uniform(-0.1, 0.1, muons)  # m
    sine = np.sin(rng.uniform(-0.2, 0.2, muons))  # of its angle, where it crosses the first layer
    curvature = GEV_PER_TESLA_METRE * B * q_over_p
    hits = [x0]
    for depth in z[0] - z[1:]:
        # Along a circle the sine grows by curvature × depth. This form of the chord holds for straight tracks too.
        below = sine + curvature * depth
        hits.append(x0 + depth * (sine + below) / (np.sqrt(1 - sine**2) + np.sqrt(1 - below**2)))
    return np.stack(hits, axis=1)
