"""Inference of the observables from the hits."""

from __future__ import annotations

from pathlib import Path

from ..store import artefact, columns
from ..study.artefact_configs import ThetaConfig
from ..study.batches import Batch
from .common import RECO, TRUTH, evaluate, open_parents, progress, read_hits


def infer_theta(
    batch: Batch[ThetaConfig], reco: str | Path, theta: str | Path, truth: str | Path | None = None
) -> None:
    """Infer the observables at the recorded hits, `<o>`, and at the true hits of a simulated study, `<o>_true`."""
    from ..detector.bound_model import bound
    from ..models.user_checks import check_model

    with (
        open_parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefact.create(theta, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            parameters, infer = bound(part)
            check_model(part.model, read_hits(parents[RECO], part, RECO, next(part.blocks))[0], parameters)
            for place, parent in parents.items():
                kinds = {"value": columns.ColumnSpec("{name}" + place.suffix, "{long_name}" + place.words)}
                table = columns.of_muons(out, part, kinds)
                for block in progress(part, f"inferred{place.words}"):
                    table.append({"value": evaluate(infer, parent.read(part, place.column, block))})
