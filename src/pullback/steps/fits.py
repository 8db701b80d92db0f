"""Residuals of the fits, which show whether the hits agree with the stated resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..detector.known import Known
from ..store import artefact, fit_columns
from ..study.artefact_configs import FitsConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block
from ..uncertainty.arrays import Tensor
from .common import RECO, open_parents, progress, read_hits

if TYPE_CHECKING:
    from ..uncertainty.fit_residuals import FitGroup


def fit_residuals(batch: Batch[FitsConfig], reco: str | Path, fits: str | Path) -> None:
    """Compare the recorded hits with the fit, by the covariance that is propagated.

    Of each muon, write `chi2`, `ndf` and `p_value`; of each of its hits, `residual` (muon, coordinate), unbiased, and
    `residual_sigma`. A group `fit_sums` holds sums over the muons of each block, from which the study is judged.
    """
    from ..detector.bound_model import parameters_of
    from ..models.user_checks import check_fit_functions

    with open_parents(batch, {RECO: reco}) as parents, artefact.create(fits, batch, parents.values()) as out:
        for part in batch.parts:
            parameters = parameters_of(part.model, part.config.detector.stated)
            check_fit_functions(part.model, read_hits(parents[RECO], part, RECO, next(part.blocks))[0], parameters)
            work = _Fits(out, part)
            for block in progress(part, "fits compared"):
                work.append(block, *read_hits(parents[RECO], part, RECO, block))


class _Fits:
    """The columns of a part, filled block by block."""

    def __init__(self, out: artefact.Writer, part: Part[FitsConfig]):
        from ..detector.bound_model import Fit
        from ..detector.reconstruction import Reconstruction
        from ..uncertainty.fit_residuals import FitGroups

        self.part, self.model, self.reconstruction = part, part.model, Reconstruction.of(part)
        self.fit = Fit(part.model, self.reconstruction.parameters)
        self.groups = FitGroups(self.fit, self.fit.linear, best=self.reconstruction.best)
        self.columns = fit_columns.of_fits(out, part)
        self.sums = fit_columns.of_fit_sums(out, part)

    def append(self, block: Block, hits: Tensor, known: Known) -> None:
        """Add a block of muons with their hits, and what else is known of them."""
        from ..detector.bound_model import hit_covariance
        from ..models.stated import resolution_of
        from ..uncertainty.fit_residuals import p_values
        from .fit_sums import FitSums

        parameters = self.reconstruction.parameters
        unit = (1 / resolution_of(parameters, self.model)).numpy()
        sums = FitSums(self.model, unit, self.part.muons)
        covariance = self.reconstruction.covariance(hits, known).detach()
        detector = hit_covariance(self.model, parameters, hits, known.covariance, added=False)
        hat = None if known.z is None else self.reconstruction.hat(hits, known)
        chi2, ndf = hits.new_full((2, len(hits)), float("nan")).unbind(0)
        residual, sigma = hits.new_full((2, *hits.shape), float("nan")).unbind(0)
        for group in self.groups.of(hits, covariance, hat) if self.model.fitted else ():
            chi2[group.rows], ndf[group.rows] = group.chi2, float(group.ndf)
            where = group.rows[:, None], group.used[None]
            residual[where], sigma[where] = group.unbiased, group.sigma.expand(len(group.rows), -1)
            sums.add(group, hits[where], of_group(group, covariance), of_group(group, detector), block.start)
        if (by_model := self.fit.chi2(hits)) is not None:
            chi2, ndf = by_model.unbind(1)
        p_value = p_values(chi2, ndf)
        sums.add_chi2(chi2.numpy(), ndf.numpy(), p_value.numpy())
        found = {"chi2": chi2, "ndf": ndf, "p_value": p_value, "residual": residual, "residual_sigma": sigma}
        for name, column in self.columns.items():
            column.append(found[name].numpy())
        for name, column in self.sums.items():
            column.append(np.asarray(sums.arrays[name])[None])


def of_group(group: FitGroup, covariance: Tensor) -> Tensor:
    """The covariance of the hits of a group, of each of its muons or of all."""
    own = covariance if len(covariance) == 1 else covariance[group.rows]
    return own[:, group.used] if own.ndim == 2 else own[:, group.used][:, :, group.used]
