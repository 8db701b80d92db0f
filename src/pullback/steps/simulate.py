"""Simulated hits: the true hits, and the hits that the detector records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..detector.response import Response, generated, momenta, true_hits
from ..store import artefact, columns
from ..store.artefact import Writer
from ..study.artefact_configs import ArtefactConfig, DetectedConfig, RecoConfig, TruthConfig
from ..study.batches import Batch, Part
from .common import progress


def simulate_hits(batch: Batch[TruthConfig], truth: str | Path) -> None:
    """Draw the true hits of a batch: x_true (muon, coordinate), m; and the momenta by which layers scatter, GeV/c."""
    with artefact.create(truth, batch) as out:
        for part in batch.parts:
            column, momentum = columns.of_hits(out, part, "x_true", "true"), _momentum(out, part)
            for block in progress(part, "simulated"):
                drawn = generated(part, block)
                column.append(true_hits(part, drawn))
                momentum(momenta(part, drawn))


def smear_hits(batch: Batch[RecoConfig], truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the detector's noise: x_reco (muon, coordinate), m, with NaN for lost hits.

    Momenta by which layers scatter are copied, for propagation to use them.
    """
    with artefact.read(truth, batch.of_kind("truth")) as true, artefact.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column, response = columns.of_hits(out, part, "x_reco", "recorded"), Response(part)
            momentum, known = _momentum(out, part), columns.has_momenta(part)
            if part.model.covariance and part.config.model.name == "own":
                _check_covariance(part, true.read(part, "x_true", next(part.blocks)))
            for block in progress(part, "smeared"):
                p = true.read(part, columns.MOMENTUM, block) if known else None
                column.append(response.record(true.read(part, "x_true", block), response.draw(block), momentum=p))
                momentum(p)


def _momentum(out: Writer, part: Part[ArtefactConfig]) -> Callable[[np.ndarray | None], None]:
    """A function that writes the momenta of a block, if they are known."""
    if not columns.has_momenta(part):
        return lambda _: None
    column = columns.of_momenta(out, part)

    def write(momentum: np.ndarray | None) -> None:
        assert momentum is not None
        column.append(momentum)

    return write


def _check_covariance(part: Part[DetectedConfig], x_true: np.ndarray) -> None:
    from ..detector.bound_model import bound
    from ..models.user_checks import check_covariance_function

    check_covariance_function(part.model, x_true, bound(part)[0])
