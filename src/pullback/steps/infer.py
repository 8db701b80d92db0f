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
    from ..detector.bound_model import Inference
    from ..detector.reconstruction import Reconstruction
    from ..models.user_checks import check_model

    with (
        open_parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefact.create(theta, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            reconstruction = Reconstruction.of(part)
            parameters = reconstruction.parameters
            at_truth = Inference(part.model, parameters)
            check_model(part.model, read_hits(parents[RECO], part, RECO, next(part.blocks))[0], parameters)
            for place, parent in parents.items():
                kinds = {"value": columns.ColumnSpec("{name}" + place.suffix, "{long_name}" + place.words)}
                table = columns.of_muons(out, part, kinds)
                for block in progress(part, f"inferred{place.words}"):
                    if place is TRUTH:  # on lines, whatever the weights
                        table.append({"value": evaluate(at_truth, parent.read(part, place.column, block))})
                        continue
                    taken = reconstruction.arguments(*read_hits(parent, part, place, block))
                    table.append({"value": evaluate(reconstruction.infer, taken.numpy())})
