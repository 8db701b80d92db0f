"""True hits around which toys are thrown: spread over bins of the distance from a fold, down to the fold itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..detector.bound_model import Inference
from ..detector.known import Known
from ..detector.reconstruction import Reconstruction, Taken
from ..statistics.fold_intervals import principal_widths
from ..study.coverage_bins import TRUTHS, Series, series_of
from ..study.toy_selection import GOLDEN
from ..uncertainty.covariance import canonical
from ..uncertainty.folds import Folding, fold_distance, moved, only_columns
from ..uncertainty.linear import linear_law, masked, propagate
from ..uncertainty.signed import Signed

Momenta = Float[np.ndarray, " muon"] | None
"""Momenta of the muons, GeV/c, where layers scatter by them."""


@dataclass(frozen=True)
class TrueHits:
    """True hits in one bin of a series.

    `muon` is the index in the block of the muon that each was made from; `hits` (truth, coordinate) has NaN where this
    muon has lost its hit, and `momentum` is that of the muon. The hits are those of the muon itself unless `moved`.
    """

    series: Series
    bin: int
    moved: bool
    muon: Int[np.ndarray, " truth"]
    hits: Float[np.ndarray, "truth coordinate"]
    momentum: Float[np.ndarray, " truth"] | None

    def take(self, rows: slice) -> TrueHits:
        """The selected truths."""
        momentum = None if self.momentum is None else self.momentum[rows]
        return replace(self, muon=self.muon[rows], hits=self.hits[rows], momentum=momentum)

    @classmethod
    def joined(cls, several: Sequence[TrueHits]) -> TrueHits:
        """The truths of several bins of a series; the bin is that of the first."""
        momenta = [each.momentum for each in several if each.momentum is not None]
        return replace(
            several[0],
            muon=np.concatenate([each.muon for each in several]),
            hits=np.concatenate([each.hits for each in several]),
            momentum=np.concatenate(momenta) if momenta else None,
        )


class SimulatedMuons(NamedTuple):
    """The muons of a block: true and recorded hits, and momenta where the layers scatter by them."""

    x_true: Float[np.ndarray, "muon coordinate"]
    x_reco: Float[np.ndarray, "muon coordinate"]
    momentum: Float[np.ndarray, " muon"] | None

    def seen(self) -> Float[Tensor, "muon coordinate"]:
        """The true hits, as far as they were recorded."""
        return torch.from_numpy(np.where(np.isnan(self.x_reco), np.nan, self.x_true))


class Selected:
    """An inference restricted to some of its observables, with its attributes."""

    def __init__(self, infer: Inference, columns: tuple[int, ...]):
        self._infer, self._columns = infer, list(columns)
        self.missing, self.refuse = infer.missing, infer.refuse
        self.periods = infer.periods and tuple(infer.periods[column] for column in columns)
        folding = infer.folding
        undeclared = tuple(index for index, column in enumerate(columns) if column in folding.undeclared)
        folds = tuple(folding.folds[column] for column in columns)
        self.folding = Folding(folding.signed, folds, undeclared=undeclared)

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon observable"]:
        """The selected observables."""
        return self._infer(hits)[:, self._columns]


class SignedQuantities:
    """The signed quantities that fold into observables, as an inference."""

    def __init__(self, infer: Inference):
        self._signed = infer.folding.signed
        self.missing, self.refuse, self.periods, self.folding = infer.missing, infer.refuse, None, None

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon quantity"]:
        """All signed quantities."""
        return self._signed(hits)


def taken_at(reconstruction: Reconstruction, hits: Tensor, momentum: Momenta) -> Taken:
    """What the inference takes of hits, with the covariance that propagation assumes."""
    return reconstruction.taken(hits, Known(momentum=None if momentum is None else torch.from_numpy(momentum)))


class AtTrueHits:
    """The muons of a block at true hits, whose signed quantities are propagated once for all series."""

    def __init__(self, reconstruction: Reconstruction, hits: Float[Tensor, "muon coordinate"], momentum: Momenta):
        self.infer, self.reconstruction, self.recorded = reconstruction.infer, reconstruction, hits
        self.hits, self.covariance, _ = taken_at(reconstruction, hits, momentum)
        self.sigma_x = canonical(self.covariance, self.hits)

    @cached_property
    def _every_signed(self) -> Signed:
        law = linear_law(SignedQuantities(self.infer), self.hits, self.sigma_x)
        return masked(Signed(law.value, law.jacobian, law.covariance), law.finite)

    def _signed(self, series: Series) -> Signed | None:
        """The signed quantities of a series; None where none are declared."""
        fold = None if series.fold is None else self.infer.folding.folds[series.fold]
        return fold and self._every_signed.of(fold.signed)

    def distance(self, series: Series) -> Float[np.ndarray, " muon"]:
        """Distance from the fold of a series, in σ; NaN for a muon without it, 0 without a fold."""
        if series.fold is None:
            seen = torch.isfinite(self.infer(self.hits)[:, list(series.observables)]).any(dim=1)
            return torch.where(seen, 0.0, float("nan")).numpy()
        if signed := self._signed(series):
            return fold_distance(signed.value, signed.covariance).numpy()
        found = propagate(Selected(self.infer, (series.fold,)), self.hits, covariance=self.covariance)
        return fold_distance(found.value, found.covariance).numpy()

    def width_ratio(self, series: Series) -> Float[np.ndarray, " muon"]:
        """Larger over smaller width of the two signed quantities of a series; 1 for others."""
        signed = self._signed(series)
        if signed is None or signed.value.shape[1] < 2:
            return np.ones(len(self.hits))
        wide, narrow = principal_widths(signed.covariance)
        return (wide / narrow).numpy()

    def moved(self, series: Series, rho: np.ndarray, azimuth: np.ndarray) -> Tensor:
        """The true hits nearest to these at a distance `rho` from the fold."""
        fold = self.infer.folding.folds[series.fold or 0]
        assert fold
        s, jac, covariance = self._every_signed.of(fold.signed)
        cosine, sine = torch.from_numpy(np.cos(azimuth)), torch.from_numpy(np.sin(azimuth))
        unit = torch.sign(cosine)[:, None] if s.shape[1] == 1 else torch.stack([cosine, sine], dim=1)
        target = unit * (torch.from_numpy(rho) / fold_distance(unit, covariance))[:, None]
        signed = only_columns(self.infer.folding.signed, fold.signed)
        found = self.reconstruction.positions(moved(self.hits, s, jac, self.sigma_x, target, signed))
        return torch.where(self.recorded.isnan() | found.isnan(), self.recorded, found)


NEAREST = 0.1
"""Distance from the fold of another observable, in σ, below which no interval is claimed: parallel tracks have no point
of closest approach, and nearly parallel ones may have it anywhere."""

FEWEST_MUONS = 20
"""Minimum muons in a bin of true hits that are not moved; of fewer, coverage would be that of these very muons."""


class Chooser:
    """Chooses true hits from the muons of a block.

    Each truth takes a muon of the bin, with the hits that this muon recorded. Where the fold is declared, it is moved
    along the shortest way to its own distance from the fold, at a random azimuth, so that bins without muons have
    truths too; beyond the last finite edge it stays where it is.
    """

    def __init__(self, reconstruction: Reconstruction, per_bin: int):
        self.reconstruction, self.truths = reconstruction, min(TRUTHS, per_bin)

    def at(self, hits: Tensor, momentum: Momenta) -> AtTrueHits:
        """The muons at true hits."""
        return AtTrueHits(self.reconstruction, hits, momentum)

    def choose(self, rng: np.random.Generator, numbers: range, muons: SimulatedMuons) -> Iterator[TrueHits]:
        """The true hits of a block; `numbers` are those of its truths in each bin, of `truths` in all blocks."""
        if not len(numbers):  # as in most blocks of a large study
            return
        hits = muons.seen()
        every = self.at(hits, muons.momentum)
        for series in series_of(self.reconstruction.model):
            away = every.distance(series)
            for index, low, high in series.bins:
                nearest = low if series.moved or series.fold is None else max(low, NEAREST)
                inside = np.flatnonzero((away >= nearest) & (away < high))
                moves = series.moved and math.isfinite(high)
                if not series.moved and series.fold is not None and len(inside) < FEWEST_MUONS:
                    continue
                if moves and not len(inside):
                    inside = np.flatnonzero(~np.isnan(away))
                azimuths = 2 * np.pi * rng.random(len(numbers))
                if not len(inside):
                    continue
                muon = inside[(np.mod((np.array(numbers) + 0.5) * GOLDEN, 1.0) * len(inside)).astype(int)]
                chosen, momentum = hits[muon], None if muons.momentum is None else muons.momentum[muon]
                if moves:
                    fractions = np.mod(np.array(numbers) * GOLDEN, 1.0)  # number 0 lies on the lower edge
                    chosen = self.at(chosen, momentum).moved(series, low + fractions * (high - low), azimuths)
                yield TrueHits(series, index, moves, muon, chosen.numpy(), momentum)
