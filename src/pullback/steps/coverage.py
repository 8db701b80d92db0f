"""Is the truth covered? Toys around true hits, and the pulls of all muons."""

from __future__ import annotations

from pathlib import Path

from ..store import artefact, columns
from ..study.artefact_configs import CoverageConfig
from ..study.batches import Batch
from .common import progress


def measure_coverage(
    batch: Batch[CoverageConfig], truth: str | Path, reco: str | Path, sigma: str | Path, coverage: str | Path
) -> None:
    """Throw toys around true hits of a batch, and compare recorded with true hits of all its muons.

    Writes in a group `coverage` of each point one row per truth: its bin and distance from the fold and, for each
    observable, bias and spread of its toys with their predictions, pulls, how many intervals of each kind hold the
    truth, and the budget as the toys have it; and in a group `pulls` the sums of `TruePulls`.
    """
    from .true_hits import SimulatedMuons
    from .true_pulls import TruePulls
    from .truth_toys import TruthToys

    with (
        artefact.read(truth, batch.of_kind("truth")) as true,
        artefact.read(reco, batch.of_kind("reco")) as recorded,
        artefact.read(sigma, batch.of_kind("sigma")) as quoted,
        artefact.create(coverage, batch, [true, recorded, quoted]) as out,
    ):
        for part in batch.parts:
            toys, pulls, rows = TruthToys(part), TruePulls(out, part), []
            for block in progress(part, "toys thrown around true hits"):
                x_true, x_reco = true.read(part, "x_true", block), recorded.read(part, "x_reco", block)
                momentum = true.read(part, columns.MOMENTUM, block) if columns.has_momenta(part) else None
                muons = SimulatedMuons(x_true, x_reco, momentum)
                rows.append(toys.throw(block, muons, quoted))
                pulls.append(block, muons, quoted)
            columns.of_truths(out, part, rows, toys.sources)
