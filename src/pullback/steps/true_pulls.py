"""Pulls of the smeared muons themselves: recorded less true, over σ, of quantities that do not fold.

An angle that cannot be negative is biased near its fold, whatever the detector does. The signed quantities that fold
into it are not, so that a shift, a gain or shared noise stands out in their pulls.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from ..detector.bound_model import bound, hit_covariance
from ..statistics.angles import holds, wrap
from ..statistics.normal import K68, K95
from ..store import columns
from ..store.artefact import Reader, Writer
from ..study.artefact_configs import CoverageConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..study.coverage_bins import PULL_EDGES, Unfolded, unfolded
from ..uncertainty.folds import Fold
from ..uncertainty.linear import propagate
from .common import evaluate
from .true_hits import Selected, SignedQuantities, SimulatedMuons

SAMPLE = 128
"""Muons at the beginning of each block whose pulls are kept: repeated noise repeats them."""


class TruePulls:
    """Sums over the pulls of all muons of a part, block by block, as columns of a group `pulls`.

    By bins of the true quantity in σ: `count`, `sum` and `square` of pulls. `inside68` and `inside95` are the numbers
    of pulls within ±1 and ±1.96, `first` the pulls of the first muons of each block, and `seen` the numbers of muons
    with a hit in each layer, and with all hits. By observable: `intervals` is the number of muons with confidence
    intervals, and `held68` and `held95` are the numbers of intervals that hold the truth.
    """

    def __init__(self, out: Writer, part: Part[CoverageConfig]):
        self.part, self.model = part, part.model
        self.parameters, self.infer = bound(part)
        self.quantities = unfolded(part.model)
        self.layers = sorted(set(part.model.layers))
        names = [each.name for each in self.quantities]
        bins = [f"{low:g} to {high:g}" for low, high in zip((-np.inf, *PULL_EDGES), (*PULL_EDGES, np.inf), strict=True)]
        layers = [*(f"layer {layer}" for layer in self.layers), "all layers"]
        observables = [each.name for each in part.model.observables]
        of_axes = {"quantity": names, "bin": bins, "layer": layers, "observable": observables}
        self.table = columns.of_pulls(out, part, {**of_axes, "sample": SAMPLE})

    def append(self, block: Block, muons: SimulatedMuons, quoted: Reader) -> None:
        """Add the muons of a block."""
        terms = [self._terms(each, block, muons, quoted) for each in self.quantities]
        sums = np.array([_by_bin(at, pull) for at, pull in terms]).reshape(len(terms), 3, -1)
        first = np.full((len(terms), SAMPLE), np.nan)
        for row, (_, pull) in zip(first, terms, strict=True):
            row[: min(SAMPLE, len(pull))] = pull[:SAMPLE]
        layers = np.array(self.model.layers)
        whole = np.isfinite(muons.x_true).all(axis=1)  # without muons that stop, whose hits no detector loses
        x_reco = muons.x_reco[whole]
        hit = np.stack([np.isfinite(x_reco[:, layers == layer]).all(axis=1) for layer in self.layers], axis=1)
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
        values["intervals"], values["held68"], values["held95"] = self._held(block, muons, quoted)
        for name, each in values.items():
            self.table[name].append(np.array(each)[None])

    def _held(self, block: Block, muons: SimulatedMuons, quoted: Reader) -> Int[np.ndarray, "3 observable"]:
        """Number of muons with confidence intervals, and of those whose intervals hold the truth."""
        true, found = evaluate(self.infer, muons.x_true), []
        for index, observable in enumerate(self.model.observables):
            kinds = (columns.QUOTED["confidence68"], columns.QUOTED["confidence95"])
            intervals = [quoted.read(self.part, kind.of(observable.name), block) for kind in kinds]
            known = np.isfinite(true[:, index]) & np.isfinite(intervals[1]).all(axis=1)
            held = [known & holds(ends, true[:, index], observable.period) for ends in intervals]
            found.append([np.count_nonzero(each) for each in (known, *held)])
        return np.array(found, "i8").T

    def _covariance(self, hits: torch.Tensor, muons: SimulatedMuons) -> torch.Tensor:
        momentum = None if muons.momentum is None else torch.from_numpy(muons.momentum)
        return hit_covariance(self.model, self.parameters, hits, momentum=momentum)

    def _terms(
        self, quantity: Unfolded, block: Block, muons: SimulatedMuons, quoted: Reader
    ) -> tuple[Float[np.ndarray, " muon"], Float[np.ndarray, " muon"]]:
        """True values in σ, and pulls; NaN where there is none."""
        fold = self.infer.folding.folds[quantity.observable]
        if fold and quantity.component is not None:
            signed, hits = (
                SignedQuantities(self.infer, Fold((fold.signed[quantity.component],))),
                torch.from_numpy(muons.x_reco),
            )
            law = propagate(signed, hits, covariance=self._covariance(hits, muons))
            value, sigma, true = law.value[:, 0].numpy(), law.sigma[:, 0].numpy(), evaluate(signed, muons.x_true)[:, 0]
            return _over(true, sigma), _over(value - true, sigma)
        observable, name = self.model.observables[quantity.observable], quantity.name
        value, true = (evaluate(self.infer, x)[:, quantity.observable] for x in (muons.x_reco, muons.x_true))
        # σ at the true hits, as far as they were recorded: σ at the recorded ones would select on the noise.
        hits = torch.from_numpy(np.where(np.isnan(muons.x_reco), np.nan, muons.x_true))
        infer = Selected(self.infer, (quantity.observable,))
        sigma = propagate(infer, hits, covariance=self._covariance(hits, muons)).sigma[:, 0].numpy()
        off = wrap(value - true, observable.period) - quoted.read(self.part, columns.QUOTED["bias"].of(name), block)
        return _over(true, sigma), _over(off, sigma)


def _over(value: Float[np.ndarray, " muon"], sigma: Float[np.ndarray, " muon"]) -> Float[np.ndarray, " muon"]:
    """The quotient; NaN without a σ."""
    return value / np.where(sigma > 0, sigma, np.nan)


def _by_bin(at: Float[np.ndarray, " muon"], pull: Float[np.ndarray, " muon"]) -> Float[np.ndarray, "3 bin"]:
    """Number, sum and sum of squares of the pulls in each bin of the true value."""
    known = np.isfinite(at) & np.isfinite(pull)
    place, pull = np.searchsorted(PULL_EDGES, at[known], side="right"), pull[known]
    return np.stack([np.bincount(place, weights, len(PULL_EDGES) + 1) for weights in (None, pull, pull * pull)])
