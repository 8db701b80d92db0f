"""Scattering in the layers that the residuals want, in place of another resolution of each layer.

What the layers add to the covariance of the hits is t times C, that of the stated θ0, or of `UNIT_ANGLE` where none is
stated. With y = M r of `fit_estimates`, the log-likelihood of the residuals has the slope (yᵀ C y − tr(M C))/2 by t and
the information tr(M C M C)/2. One step of Fisher's scoring gives t as there it gives factors of σ²: linear in yᵀ C y,
and without bias for any true t, if σ is as stated. Uᵀ F⁻¹ U, with slopes U and information F of the parameters of a
hypothesis, is how much of the second moments of the residuals it explains.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..models import Model
from ..models.multiple_scattering import UNIT_ANGLE
from .fit_estimates import FitEstimates, Found

AS_WELL = 0.9
"""Share of what a σ of each layer explains from which scattering is named beside it."""


class Scattering(NamedTuple):
    """One factor of the stated θ0 of all layers, or one θ0 (rad) where none is stated, with σ as stated.

    `better` is whether it explains the residuals better than the wanted resolution does.
    """

    angle: Found
    better: bool


def wanted_scattering(of: FitEstimates, model: Model) -> Scattering | None:
    """The scattering that the residuals want, if that explains them about as well as another resolution would."""
    if model.scattered is None:
        return None
    sums, noise = of.sums(), of.noise_alone
    slope = float((sums["q"] * noise / of.shrinkage - sums["qe"]).sum()) / 2
    information = float(sums["qf"].sum())
    if not information > 0:
        return None
    explained, by_resolution = slope**2 / information, of.explained_by_factors()
    if not explained > AS_WELL * by_resolution:
        return None
    spread = max(float(sums["qq"].sum()) - float(sums["q"].sum()) ** 2 / of.kept_muons, 0.0) / of.shrinkage**2
    stated = model.covariance is not None
    amount = (1.0 if stated else 0.0) + slope / information
    angle, se = math.sqrt(max(amount, 0.0)), math.sqrt(spread) / (2 * information)
    unit = 1.0 if stated else UNIT_ANGLE
    error = se / (2 * angle) if angle else math.sqrt(se)
    return Scattering(Found(unit * angle, unit * error), explained > by_resolution)
