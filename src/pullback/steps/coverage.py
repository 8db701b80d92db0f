"""Toys around true hits: bias, width of pulls, and how often every quoted interval holds the truth.

Toys around recorded hits cannot see an error that is the same for truth and recorded hits, such as a shift. These toys
begin at the truth and are recorded by the simulated detector (`Response.record`), not by the propagated covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..detector.bound_model import Inference, Parameters, bound, hit_covariance
from ..detector.response import Response
from ..statistics.angles import wrap
from ..statistics.normal import K68, K95
from ..statistics.random import key_of, random_stream
from ..store import artefact, columns
from ..store.artefact import Reader
from ..study.artefact_configs import CoverageConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block, block_count
from ..study.toy_selection import share
from ..uncertainty.distribution import propagate_distribution
from ..uncertainty.linear import propagate
from ..uncertainty.quoting import quote
from .common import progress
from .true_hits import Chooser, Selected, TrueHits

TOYS_AT_A_TIME = 65_536
"""Toys held together."""

QUOTED_TOYS = 32
"""Toys of each truth for which the JCGM 101 intervals are computed too, which is slow near a fold."""


def measure_coverage(
    batch: Batch[CoverageConfig], truth: str | Path, reco: str | Path, sigma: str | Path, coverage: str | Path
) -> None:
    """Throw toys around true hits of a batch, and compare recorded with true hits of all its muons.

    Writes in a group `coverage` of each point one row per truth and, for each observable, bias and spread of its toys
    with their predictions, pulls, how many intervals of each kind hold the truth, and the budget that the toys have;
    in a group `pulls`, sums over the pulls of all muons (`pullback.steps.true_pulls`).
    """
    with (
        artefact.read(truth, batch.of_kind("truth")) as true,
        artefact.read(reco, batch.of_kind("reco")) as recorded,
        artefact.read(sigma, batch.of_kind("sigma")) as quoted,
        artefact.create(coverage, batch, [true, recorded, quoted]) as out,
    ):
        for part in batch.parts:
            toys, pulls = TruthToys(part), TruePulls(out, part)
            for block in progress(part, "toys thrown around true hits"):
                x_true, x_reco = true.read(part, "x_true", block), recorded.read(part, "x_reco", block)
                toys.throw(block, x_true, x_reco, quoted)
                pulls.append(block, x_true, x_reco, quoted)
            toys.write(out)


class TruthToys:
    """The toys of a part around true hits."""

    def __init__(self, part: Part[CoverageConfig]):
        self.part = part
        self.parameters, self.infer = bound(part)
        self.response = Response(part)
        per_bin = part.config.coverage.toys_per_bin
        self.chooser = Chooser(part.model, self.parameters, self.infer, per_bin)
        self.per_truth = -(-per_bin // self.chooser.truths)
        sources = sources_of(part.of_kind(SigmaConfig))
        self.sources = [name for name in sources if name.startswith("layer")] if len(sources) > 1 else []
        self._rows: list[dict[str, np.ndarray]] = []

    def throw(self, block: Block, x_true: np.ndarray, x_reco: np.ndarray, quoted: Reader) -> None:
        """Throw the toys around true hits of a block."""
        numbers = share(range(block.index, block.index + 1), block_count(self.part.muons), self.chooser.truths)
        streams = {name: self._stream(block, index) for index, name in enumerate(STREAMS)}
        for chosen in self.chooser.choose(streams["choice"], numbers, x_true, x_reco):
            step = max(1, TOYS_AT_A_TIME // self.per_truth)
            for start in range(0, len(chosen.muon), step):
                self._rows.append(self._thrown(block, chosen.take(slice(start, start + step)), streams, quoted))

    def _stream(self, block: Block, index: int) -> np.random.Generator:
        config = self.part.config
        own = key_of(self.part.label) if config.random_numbers == "independent" else ()
        return random_stream(config.seed, "coverage", *own, block.index, index)

    def _thrown(
        self, block: Block, chosen: TrueHits, streams: Mapping[str, np.random.Generator], quoted: Reader
    ) -> dict[str, np.ndarray]:
        """The rows of some truths of one bin; NaN for observables of other series."""
        truths, toys = len(chosen.muon), self.per_truth
        x_true = np.repeat(chosen.hits, toys, axis=0)
        drawn = self.response.drawn(streams.__getitem__, len(x_true))._replace(chances=None)
        hits = self.response.record(x_true, drawn)
        series, infer = chosen.series, Selected(self.infer, chosen.series.observables)
        at_truth, at_toys = Around(self, infer, torch.from_numpy(chosen.hits)), Around(self, infer, torch.from_numpy(hits))
        found = {**self._of_truth(at_truth), **self._of_toys(at_toys, at_truth.value, truths)}
        shape = truths, len(self.part.model.observables)
        rows = {name: _spread(values, series.observables, shape) for name, values in found.items()}
        ...
