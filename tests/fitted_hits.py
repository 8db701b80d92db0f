"""Sums over the fits of hits that tests make, without files."""

from typing import Any

import numpy as np
import torch

from pullback.detector.bound_model import Fit, hit_covariance, parameters_of
from pullback.models import Model
from pullback.steps.fit_sums import FitSums
from pullback.steps.fits import of_group
from pullback.uncertainty.fit_residuals import FitGroups, p_values
from pullback.validation.fit_tally import FitTally


def tally_of(model: Model, resolution: float | list[float], hits: np.ndarray, recorded: Any = None) -> FitTally:
    """The tally of one block with these hits, whose variances or covariances may be recorded."""
    parameters, x = parameters_of(model, {"resolution": resolution}), torch.from_numpy(hits)
    own = None if recorded is None else torch.from_numpy(recorded)
    covariance = hit_covariance(model, parameters, x, own)
    detector = hit_covariance(model, parameters, x, own, added=False)
    sums = FitSums(model, (1 / parameters["resolution"][list(model.layers)]).numpy(), len(hits))
    chi2, ndf = np.full((2, len(hits)), np.nan)
    for group in FitGroups(Fit(model, parameters), linear=True).of(x, covariance):
        chi2[group.rows], ndf[group.rows] = group.chi2, group.ndf
        sums.add(group, x[group.rows][:, group.used], of_group(group, covariance), of_group(group, detector), 0)
    sums.add_chi2(chi2, ndf, p_values(torch.from_numpy(chi2), torch.from_numpy(ndf)).numpy())
    tally = FitTally()
    tally.merge({name: each[None] for name, each in sums.arrays.items()})
    return tally
