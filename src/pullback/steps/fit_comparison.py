"""Hits compared with their fit, by the covariance that is propagated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..detector.bound_model import Fit
from ..detector.known import Known
from ..detector.reconstruction import Reconstruction
from ..models.stated import resolution_of
from ..uncertainty.fit_residuals import FitGroup, FitGroups, p_values
from .fit_sums import Covariances, FitSums

FURTHEST_FITTED = 1e150
"""Distance beyond which a hit has a fit as if it were there."""


class ComparedHits(NamedTuple):
    """χ², degrees of freedom and p-value of each muon, the unbiased residual of each hit and its σ, and their sums."""

    chi2: Float[Tensor, " muon"]
    ndf: Float[Tensor, " muon"]
    p_value: Float[Tensor, " muon"]
    residual: Float[Tensor, "muon coordinate"]
    residual_sigma: Float[Tensor, "muon coordinate"]
    sums: FitSums


class FitComparison:
    """Compares the hits of muons with their fit, block by block."""

    def __init__(self, reconstruction: Reconstruction):
        self.model, self.reconstruction = reconstruction.model, reconstruction
        self.fit = Fit(self.model, reconstruction.parameters)
        self._groups = FitGroups(self.fit, self.fit.linear, best=reconstruction.best)
        self._unit = (1 / resolution_of(reconstruction.parameters, self.model)).numpy(force=True)

    def groups(self, hits: Float[Tensor, "muon coordinate"], known: Known) -> Iterator[tuple[FitGroup, Tensor]]:
        """The muons with the same hits, and the covariance of these hits, of each muon or of all."""
        covariance = self.reconstruction.covariance(hits, known).detach()
        hat = None if known.z is None else self.reconstruction.hat(hits, known)
        for group in self._groups.of(hits, covariance, hat):
            yield group, of_group(group, covariance)

    def compared(self, hits: Float[Tensor, "muon coordinate"], known: Known, start: int, muons: int) -> ComparedHits:
        """A block of muons; `start` is the number of its first one, and `muons` that of all at the scan point.

        Hits beyond ±`FURTHEST_FITTED` are taken to be there, so that sums of hits are doubles.
        """
        hits = torch.where(hits.isfinite(), hits.clamp(-FURTHEST_FITTED, FURTHEST_FITTED), hits)
        sums = FitSums(self.model, self._unit, muons)
        detector = self.reconstruction.covariance(hits, known, added=False)
        scattering = self.reconstruction.scattering(hits, known)
        chi2, ndf = hits.new_full((2, len(hits)), float("nan")).unbind(0)
        residual, sigma = hits.new_full((2, *hits.shape), float("nan")).unbind(0)
        for group, covariance in self.groups(hits, known) if self.model.fitted else ():
            chi2[group.rows], ndf[group.rows] = group.chi2, float(group.ndf)
            where = group.rows[:, None], group.used[None]
            residual[where], sigma[where] = group.unbiased, group.sigma.expand(len(group.rows), -1)
            of_layers = None if scattering is None else of_group(group, scattering.detach())
            sums.add(group, hits[where], Covariances(covariance, of_group(group, detector), of_layers), start)
        if (by_model := self.fit.chi2(hits)) is not None:
            chi2, ndf = by_model.unbind(1)
        p_value = p_values(chi2, ndf)
        sums.add_chi2(chi2.numpy(), ndf.numpy(), p_value.numpy(), hits.numpy())
        return ComparedHits(chi2, ndf, p_value, residual, sigma, sums)


def of_group(group: FitGroup, covariance: Tensor) -> Tensor:
    """The covariance of the hits of a group, of each of its muons or of all."""
    own = covariance if len(covariance) == 1 else covariance[group.rows]
    return own[:, group.used] if own.ndim == 2 else own[:, group.used][:, :, group.used]
