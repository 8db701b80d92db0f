"""Pulls of the smeared muons themselves: recorded less true, over σ, of quantities that do not fold.

An angle that cannot be negative is biased near its fold, whatever the detector does. The signed quantities that fold
into it are not, so that a shift, a gain or shared noise stands out in their pulls.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ..detector.bound_model import Inference
from ..detector.losses import losses_in_place
from ..detector.reconstruction import Reconstruction
from ..statistics.angles import holds, wrap
from ..statistics.normal import K68, K95
from ..store import columns
from ..store.artefact import Reader, Writer
from ..study.artefact_configs import CoverageConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..study.coverage_bins import PULL_EDGES, unfolded
from ..uncertainty.linear import propagate
from .common import evaluate
from .true_hits import Selected, SignedQuantities, SimulatedMuons, taken_at

Term = tuple[Float[np.ndarray, " muon"], Float[np.ndarray, " muon"]]
"""True values of a quantity in σ, and its pulls; NaN where there is none."""

SAMPLE = 128
"""Muons at the beginning of each block whose pulls are kept: repeated noise repeats them."""


class TruePulls:
    """Sums over the pulls of all muons of a part, block by block, as columns of a group `pulls`.

    By bins of the true quantity in σ: `count`, `sum` and `square` of pulls. `inside68` and `inside95` are the numbers
    of pulls within ±1 and ±1.96, `first` the pulls of the first muons of each block, and `seen` the numbers of muons
    with a hit in each layer (with an efficiency by view, in each view of a layer that alignment does not rotate), and
    with all hits. By observable: `intervals` is the number of muons with confidence intervals, and `held68` and
    `held95` are the numbers of intervals that hold the truth.
    """

    def __init__(self, out: Writer, part: Part[CoverageConfig]):
        self.part, self.model = part, part.model
        self.reconstruction = Reconstruction.of(part)
        self.infer, self.at_truth = self.reconstruction.infer, Inference(part.model, self.reconstruction.parameters)
        self.quantities = unfolded(part.model)
        self.losses = losses_in_place(part)
        names = [each.name for each in self.quantities]
        bins = [f"{low:g} to {high:g}" for low, high in zip((-np.inf, *PULL_EDGES), (*PULL_EDGES, np.inf), strict=True)]
        layers = [*(each.name for each in self.losses), "all layers"]
        observables = [each.name for each in part.model.observables]
        of_axes = {"quantity": names, "bin": bins, "layer": layers, "observable": observables}
        self.table = columns.of_pulls(out, part, {**of_axes, "sample": SAMPLE})

    def append(self, block: Block, muons: SimulatedMuons, quoted: Reader) -> None:
        """Add the muons of a block."""
        true = evaluate(self.at_truth, muons.x_true)
        terms = [*self._of_signed(muons), *self._of_observables(block, muons, true, quoted)]
        sums = np.array([_by_bin(at, pull) for at, pull in terms]).reshape(-1, 3, len(PULL_EDGES) + 1)
        first = np.full((len(terms), SAMPLE), np.nan)
        for row, (_, pull) in zip(first, terms, strict=True):
            row[: min(SAMPLE, len(pull))] = pull[:SAMPLE]
        whole = _finite(muons.x_true)  # without muons that stop, whose hits no detector loses
        x_reco = muons.x_reco[whole]
        hit = np.stack([_finite(x_reco[:, each.coordinates]) for each in self.losses], axis=1)
        seen = np.append(hit.sum(axis=0), hit.all(axis=1).sum())
        values = {
            "count": sums[:, 0],
            "sum": sums[:, 1],
            "square": sums[:, 2],
            "first": first,
            "seen": seen,
            "muons": np.count_nonzero(whole),
        }
        values["inside68"], values["inside95"] = (
            np.array([np.count_nonzero(np.abs(pull) <= factor) for _, pull in terms]) for factor in (K68, K95)
        )
        values["intervals"], values["held68"], values["held95"] = self._held(block, true, quoted)
        for name, each in values.items():
            self.table[name].append(np.array(each)[None])

    def _held(
        self, block: Block, true: Float[np.ndarray, "muon observable"], quoted: Reader
    ) -> Int[np.ndarray, "3 observable"]:
        """Number of muons with confidence intervals, and of those whose intervals hold the truth."""
        found = []
        for index, observable in enumerate(self.model.observables):
            kinds = (columns.QUOTED["confidence68"], columns.QUOTED["confidence95"])
            intervals = [quoted.read(self.part, kind.of(observable.name), block) for kind in kinds]
            known = np.isfinite(true[:, index]) & _finite(intervals[1])
            held = [known & holds(ends, true[:, index], observable.period) for ends in intervals]
            found.append([np.count_nonzero(each) for each in (known, *held)])
        return np.array(found, "i8").T

    def _of_signed(self, muons: SimulatedMuons) -> Iterator[Term]:
        """The signed quantities that fold into observables."""
        which = [each for each in self.quantities if each.component is not None]
        if not which:
            return
        taken, covariance, _ = taken_at(self.reconstruction, torch.from_numpy(muons.x_reco), muons.momentum)
        law = propagate(SignedQuantities(self.infer), taken, covariance=covariance)
        true = evaluate(SignedQuantities(self.at_truth), muons.x_true)
        value, sigma = law.value.numpy(), law.sigma.numpy()
        for each in which:
            fold = self.infer.folding.folds[each.observable]
            assert fold
            column = fold.signed[each.component or 0]
            yield _over(true[:, column], sigma[:, column]), _over((value - true)[:, column], sigma[:, column])

    def _of_observables(
        self, block: Block, muons: SimulatedMuons, true: Float[np.ndarray, "muon observable"], quoted: Reader
    ) -> Iterator[Term]:
        """The observables that do not fold, less their quoted bias."""
        which = [each for each in self.quantities if each.component is None]
        if not which:
            return
        at = partial(taken_at, self.reconstruction, momentum=muons.momentum)
        value, (taken, covariance, _) = (
            evaluate(self.infer, at(torch.from_numpy(muons.x_reco)).hits.numpy()),
            at(muons.seen()),
        )
        # σ at the true hits: σ at the recorded ones would select on the noise.
        infer = Selected(self.infer, tuple(each.observable for each in which))
        law = propagate(infer, taken, covariance=covariance)
        for each, sigma in zip(which, law.sigma.numpy().T, strict=True):
            column, period = each.observable, self.model.observables[each.observable].period
            bias = quoted.read(self.part, columns.QUOTED["bias"].of(each.name), block)
            off = wrap(value[:, column] - true[:, column], period) - bias
            yield _over(true[:, column], sigma), _over(off, sigma)


def _over(value: Float[np.ndarray, " muon"], sigma: Float[np.ndarray, " muon"]) -> Float[np.ndarray, " muon"]:
    """The quotient; NaN without a σ."""
    return value / np.where(sigma > 0, sigma, np.nan)


def _by_bin(at: Float[np.ndarray, " muon"], pull: Float[np.ndarray, " muon"]) -> Float[np.ndarray, "3 bin"]:
    """Number, sum and sum of squares of the pulls in each bin of the true value."""
    known = np.isfinite(at) & np.isfinite(pull)
    at, pull = (at, pull) if known.all() else (at[known], pull[known])
    place = np.zeros(len(at), "u1")
    for edge in PULL_EDGES:  # several times faster than a binary search
        place += at >= edge
    sums = [np.bincount(place, power, len(PULL_EDGES) + 1) for power in (None, pull, pull * pull)]
    return np.array(sums, float)  # without any muon, bincount returns integers


def _finite(rows: Float[np.ndarray, "muon _"]) -> Bool[np.ndarray, " muon"]:
    """Whether all numbers of each row are finite, column by column, which is many times faster than along rows."""
    return reduce(np.logical_and, np.isfinite(rows).T, np.ones(len(rows), bool))
