"""Simulated hits: the true hits, and the hits that the detector records."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..detector.response import Response, generated, true_hits
from ..store import artefact, columns
from ..study.artefact_configs import DetectedConfig, RecoConfig, TruthConfig
from ..study.batches import Batch, Part
from .common import progress


def simulate_hits(batch: Batch[TruthConfig], truth: str | Path) -> None:
    """Draw the true hits of a batch: x_true (muon, coordinate), m."""
    with artefact.create(truth, batch) as out:
        for part in batch.parts:
            column = columns.of_hits(out, part, "x_true", "true")
            for block in progress(part, "simulated"):
                column.append(true_hits(part, generated(part, block)))


def smear_hits(batch: Batch[RecoConfig], truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the detector's noise: x_reco (muon, coordinate), m, with NaN for lost hits."""
    with artefact.read(truth, batch.of_kind("truth")) as true, artefact.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column, response = columns.of_hits(out, part, "x_reco", "recorded"), Response(part)
            if part.model.covariance:
                _check_covariance(part, true.read(part, "x_true", next(part.blocks)))
            for block in progress(part, "smeared"):
                column.append(response.record(true.read(part, "x_true", block), response.draw(block)))


def _check_covariance(part: Part[DetectedConfig], x_true: np.ndarray) -> None:
    from ..detector.bound_model import bound
    from ..models.user_checks import check_covariance_function

    check_covariance_function(part.model, x_true, bound(part)[0])
