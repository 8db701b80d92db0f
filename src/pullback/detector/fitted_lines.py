"""The fitted straight lines of muons: position and σ at any height."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from ..models import Model
from ..models.straight_lines import StraightLine, straight_lines
from ..uncertainty.placement import Placement
from .bound_model import hit_covariance, parameters_of
from .known import Known
from .reconstruction import Reconstruction


class FittedLine(NamedTuple):
    """A straight line of each muon, by its positions at two heights and their covariance.

    Attributes
    ----------
    line : StraightLine
        The coordinates that it goes through.
    heights : tuple of float
        The two heights, m.
    position : array (muon, 2)
        The position at both, m; NaN for a muon without this line.
    covariance : array (muon, 2, 2)
        Their covariance, m².
    """

    line: StraightLine
    heights: tuple[float, float]
    position: Float[np.ndarray, "muon 2"]
    covariance: Float[np.ndarray, "muon 2 2"]

    def at(self, z: Float[np.ndarray, " height"]) -> Float[np.ndarray, "muon height"]:
        """The position at heights z, m: x(z) = (1 − t) x₀ + t x₁ with t = (z − z₀)/(z₁ − z₀)."""
        low, high = _shares(z, self.heights)
        return self.position[:, :1] * low + self.position[:, 1:] * high

    def sigma(self, z: Float[np.ndarray, " height"]) -> Float[np.ndarray, "muon height"]:
        """Its standard uncertainty, m: σ² = (1 − t)² C₀₀ + 2 t (1 − t) C₀₁ + t² C₁₁."""
        low, high = _shares(z, self.heights)
        first, both, last = (self.covariance[:, row, column, None] for row, column in ((0, 0), (0, 1), (1, 1)))
        return np.sqrt(np.maximum(low**2 * first + 2 * low * high * both + high**2 * last, 0.0))


def fitted_lines(
    model: Model,
    stated: Mapping[str, float | list[float]],
    hits: Float[np.ndarray, "muon coordinate"],
    known: Known,
    placement: Placement | None = None,
) -> list[FittedLine]:
    """The lines of each muon, by the weights of its fit, with their covariance.

    A line is given by its positions at two reference heights. They are linear in the hits, G h, and their covariance is
    G Σ Gᵀ with the Σ of `hit_covariance`.

    Parameters
    ----------
    model : Model
        A model with `straight_lines`.
    stated : dict
        What is stated of the detector (`Detector.stated`).
    hits : array (muon, coordinate)
        Recorded hits, m; NaN where missing.
    known : Known
        Recorded covariances, momenta and heights of the muons, as arrays.
    placement : Placement, optional
        That by which hits have been corrected.

    Returns
    -------
    list of FittedLine
        In the order of `straight_lines`.

    Source: the law of propagation of uncertainty, JCGM 102:2011, 6.2.1.

    """
    reconstruction = Reconstruction(model, parameters_of(model, stated), by_lines=True, placement=placement)
    taken = reconstruction.taken(torch.from_numpy(hits), known.each(torch.from_numpy))
    positions = taken.hits.detach().numpy()
    matrices = taken.covariance.detach().expand(len(hits), -1, -1).numpy()
    lines = []
    for index, (line, heights) in enumerate(zip(straight_lines(model), reconstruction.line_heights, strict=True)):
        ends = slice(2 * index, 2 * index + 2)
        exists = np.isfinite(positions[:, ends]).all(axis=1)
        covariance = np.where(exists[:, None, None], matrices[:, ends, ends], np.nan)
        lines.append(FittedLine(line, heights, positions[:, ends], covariance))
    return lines


def hit_sigma(
    model: Model,
    stated: Mapping[str, float | list[float]],
    hits: Float[np.ndarray, "muon coordinate"],
    known: Known,
    placement: Placement | None = None,
) -> Float[np.ndarray, "muon coordinate"]:
    """The standard uncertainty of each hit by the detector alone, m, without scattering."""
    own = None if known.covariance is None else torch.from_numpy(known.covariance)
    parameters = parameters_of(model, stated)
    variance = hit_covariance(model, parameters, torch.from_numpy(hits), own, placement=placement, added=False)
    diagonal = variance.diagonal(dim1=1, dim2=2) if variance.ndim == 3 else variance
    return diagonal.sqrt().expand(len(hits), -1).numpy()


def _shares(
    z: Float[np.ndarray, " height"], heights: tuple[float, float]
) -> tuple[Float[np.ndarray, " height"], Float[np.ndarray, " height"]]:
    """The shares 1 − t and t of the positions at both heights in that at z."""
    share = (z - heights[0]) / (heights[1] - heights[0])
    return 1 - share, share
