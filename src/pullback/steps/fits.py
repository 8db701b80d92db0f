"""Residuals of the fits, which show whether the hits agree with the stated resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..detector.known import Known
from ..store import artefact, fit_columns
from ..study.artefact_configs import FitsConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block
from ..uncertainty.arrays import Tensor
from .common import RECO, open_parents, progress, read_hits


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
        from ..detector.reconstruction import Reconstruction
        from .fit_comparison import FitComparison

        self.part, self.comparison = part, FitComparison(Reconstruction.of(part))
        self.columns = fit_columns.of_fits(out, part)
        self.sums = fit_columns.of_fit_sums(out, part)

    def append(self, block: Block, hits: Tensor, known: Known) -> None:
        """Add a block of muons with their hits, and what else is known of them."""
        found = self.comparison.compared(hits, known, block.start, self.part.muons)
        for name, column in self.columns.items():
            column.append(getattr(found, name).numpy())
        for name, column in self.sums.items():
            column.append(np.asarray(found.sums.arrays[name])[None])
