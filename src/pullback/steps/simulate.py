"""Simulated hits: the true hits, and the hits that the detector records."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..detector import response
from ..detector.smearing import smear
from ..store import artefact, columns
from ..study.batches import Batch, Part
from .common import progress


def simulate_hits(batch: Batch, truth: str | Path) -> None:
    """Draw the true hits of a batch: x_true (muon, coordinate), m."""
    with artefact.create(truth, batch) as out:
        for part in batch.parts:
            model, column = part.model, columns.of_hits(out, part, "x_true", "true")
            where = {name: np.asarray(model.parameters[name], dtype="f8") for name in model.intersect_uses}
            for block in progress(part, "simulated"):
                column.append(model.intersect_layers(response.generated(part, block), **where))


def smear_hits(batch: Batch, truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the detector's noise: x_reco (muon, coordinate), m, with NaN for lost hits."""
    with artefact.read(truth, batch.of_kind("truth")) as true, artefact.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column = columns.of_hits(out, part, "x_reco", "recorded")
            scale = response.resolution(part) / response.factor(part)
            if part.model.covariance:
                _check_covariance(part, true.read(part, "x_true", next(part.blocks)))
            for block in progress(part, "smeared"):
                x_true = true.read(part, "x_true", block)
                x_reco = smear(x_true, scale, response.deviates(part, block))
                x_reco = x_reco + response.scattered(part, block, x_true)
                lost = response.lost(part, block)
                column.append(x_reco if lost is None else np.where(lost, np.nan, x_reco))


def _check_covariance(part: Part, x_true: np.ndarray) -> None:
    from ..detector.bound_model import parameters_of
    from ..models.user_checks import check_covariance_function

    check_covariance_function(part.model, x_true, parameters_of(part.model, part.settings.detector.resolution))
