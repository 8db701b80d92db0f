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


def tally_of(model: Model, resolution: float | list[float], hits: np.ndarray, recorded: Any = None) -> FitTally:
    """The tally of one block with these hits, whose variances or covariances may be recorded."""
    parameters, x = parameters_of(model, {"resolution": resolution}), torch.from_numpy(hits)
    known = Known(None if recorded is None else torch.from_numpy(recorded))
    sums = FitComparison(Reconstruction(model, parameters)).compared(x, known, 0, len(hits)).sums
    tally = FitTally()
    tally.merge({name: each[None] for name, each in sums.arrays.items()})
    return tally
