"""Pulls of the smeared muons themselves: recorded less true, over σ, of quantities that do not fold.

An angle that cannot be negative is biased near its fold, whatever the detector does. The signed quantities that fold
into it are not, so that a shift, a gain or shared noise stands out in their pulls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from ..detector.bound_model import bound, hit_covariance
from ..models import NO_FOLD, Model
from ..statistics.angles import wrap
from ..store import columns
from ..store.artefact import Reader, Writer
from ..study.artefact_configs import CoverageConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..uncertainty.linear import propagate
from .common import evaluate

_ABOVE = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

PULL_EDGES = (*(-edge for edge in reversed(_ABOVE)), 0.0, *_ABOVE)
"""Inner edges of the bins of the true quantity, in σ; with its sign, since a gain shifts both sides apart."""

SAMPLE = 128
"""Muons at the beginning of each block whose pulls are kept: repeated noise repeats them."""


class Unfolded(NamedTuple):
    """A quantity that does not fold: name, and its column among the signed quantities or the observables."""

    name: str
    signed: bool
    column: int


def unfolded(model: Model, folds: Sequence[Fold | None]) -> list[Unfolded]:
    """The signed quantities of a model, by the names that observables give them, and observables that do not fold.

    An observable of which nothing is said takes part where linear propagation is valid.
    """
    found: dict[str, Unfolded] = {}
    for each, fold in zip(model.observables, folds, strict=True):
        for name, column in zip(each.folds, fold.signed if fold else (), strict=True):
            found.setdefault(name, Unfolded(name, True, column))
    for index, each in enumerate(model.observables):
        if each.name not in found and not each.folds and each.fold in ("", each.name, NO_FOLD):
            found[each.name] = Unfolded(each.name, False, index)
    return list(found.values())


class TruePulls:
    """Sums over the pulls of all muons of a part, block by block, as columns."""

    def __init__(self, out: Writer, part: Part[CoverageConfig]):
        self.part, self.model = part, part.model
        self.parameters, self.infer = bound(part)
        self.quantities = unfolded(part.model, self.infer.folding.folds)
        self.layers = sorted(set(part.model.layers))
        rows, names = part.last - part.first, [each.name for each in self.quantities]
        self.table = columns.of_pulls(out, part, rows, names, len(PULL_EDGES) + 1, SAMPLE, self.layers)

    def append(self, block: Block, x_true: np.ndarray, x_reco: np.ndarray, quoted: Reader) -> None:
        """Add the muons of a block."""
        hits = torch.from_numpy(x_reco)
        covariance = hit_covariance(self.model, self.parameters, hits)
        signed = self._signed
        law = propagate(signed, hits, covariance=covariance)
        s_true = evaluate(signed, x_true)
        value, true = (evaluate(self.infer, x) for x in (x_reco, x_true))
        found = []
        for each in self.quantities:
            if each.signed:
                here, at, sigma = law.value.numpy()[:, each.column], s_true[:, each.column], law.sigma.numpy()[:, each.column]
                found.append(_pulls(here - at, at, sigma))
            else:
                found.append(self._of_observable(each, value, true, block, quoted))
        ...
