"""Sums over the fits of hits that tests make, without files."""

from typing import Any

import numpy as np
import torch

from pullback.detector.bound_model import parameters_of
from pullback.detector.known import Known
from pullback.detector.reconstruction import Reconstruction
from pullback.models import Model
from pullback.steps.fit_comparison import FitComparison
from pullback.validation.fit_tally import FitTally

TELESCOPE = [0.0, 0.1, 0.2, 0.3, 0.45, 0.6]


def straight_hits(cosmic, z=TELESCOPE, views=1, muons=2000, seed=1, pitch=0.0):
    """Hits of straight tracks, in m, with σ = 20 µm or of pixels: a beam of 5 mm and 1 mrad, or cosmic muons."""
    rng = np.random.default_rng(seed)
    slopes = np.tan(rng.uniform(-0.8, 0.8, (views, muons))) if cosmic else rng.normal(0, 1e-3, (views, muons))
    at_zero = rng.uniform(-0.3, 0.3, (views, muons)) if cosmic else rng.normal(0, 5e-3, (views, muons))
    true = np.concatenate([x[:, None] + t[:, None] * np.array(z) for x, t in zip(at_zero, slopes, strict=True)], axis=1)
    return np.round(true / pitch) * pitch if pitch else true + 2e-5 * rng.normal(size=true.shape)


def tally_of(model: Model, resolution: float | list[float], hits: np.ndarray, recorded: Any = None) -> FitTally:
    """The tally of one block with these hits, whose variances or covariances may be recorded."""
    parameters, x = parameters_of(model, {"resolution": resolution}), torch.from_numpy(hits)
    known = Known(None if recorded is None else torch.from_numpy(recorded))
    sums = FitComparison(Reconstruction(model, parameters)).compared(x, known, 0, len(hits)).sums
    tally = FitTally()
    tally.merge({name: each[None] for name, each in sums.arrays.items()})
    return tally
