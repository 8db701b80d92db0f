"""True hits around which toys are thrown: spread over bins of the distance from a fold, down to the fold itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..detector.bound_model import Inference, Parameters, hit_covariance
from ..models import Model
from ..study.coverage_bins import TRUTHS, Series, series_of
from ..study.toy_selection import GOLDEN
from ..uncertainty.covariance import canonical
from ..uncertainty.folds import Fold, Folding, fold_distance, moved
from ..uncertainty.inference import Infer
from ..uncertainty.jacobians import value_and_jacobian
from ..uncertainty.linear import covariance_and_sigma

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


class SimulatedMuons(NamedTuple):
    """The muons of a block: true and recorded hits, and momenta where the layers scatter by them."""

    x_true: Float[np.ndarray, "muon coordinate"]
    x_reco: Float[np.ndarray, "muon coordinate"]
    momentum: Float[np.ndarray, " muon"] | None


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
    """The signed quantities of one fold as an inference."""

    def __init__(self, infer: Inference, fold: Fold):
        self._signed, self._columns = infer.folding.signed, list(fold.signed)
        self.missing, self.refuse, self.periods = infer.missing, infer.refuse, None

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon quantity"]:
        """One or two signed quantities."""
        return self._signed(hits)[:, self._columns]


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

    def __init__(self, model: Model, parameters: Parameters, infer: Inference, per_bin: int):
        self.model, self.parameters, self.infer = model, parameters, infer
        self.truths = min(TRUTHS, per_bin)

    def choose(self, rng: np.random.Generator, numbers: range, muons: SimulatedMuons) -> Iterator[TrueHits]:
        """The true hits of a block; `numbers` are those of its truths in each bin, of `truths` in all blocks."""
        hits = torch.from_numpy(np.where(np.isnan(muons.x_reco), np.nan, muons.x_true))
        for series in series_of(self.model):
            away = self.distance(series, hits, muons.momentum)
            for index, low, high in series.bins:
                nearest = low if series.moved or series.fold is None else max(low, NEAREST)
                inside = np.flatnonzero((away >= nearest) & (away < high))
                moves = series.moved and math.isfinite(high)
                if not series.moved and series.fold is not None and len(inside) < FEWEST_MUONS:
                    continue
                if moves and not len(inside):
                    inside = np.flatnonzero(~np.isnan(away))
                azimuths = 2 * np.pi * rng.random(len(numbers))
                if not len(inside) or not len(numbers):
                    continue
                muon = inside[(np.mod((np.array(numbers) + 0.5) * GOLDEN, 1.0) * len(inside)).astype(int)]
                chosen, momentum = hits[muon], None if muons.momentum is None else muons.momentum[muon]
                if moves:
                    fractions = np.mod(np.array(numbers) * GOLDEN, 1.0)  # number 0 lies on the lower edge
                    chosen = self._moved(series, chosen, momentum, low + fractions * (high - low), azimuths)
                yield TrueHits(series, index, moves, muon, chosen.numpy(), momentum)

    def covariance(self, hits: Tensor, momentum: Momenta) -> Tensor:
        """The covariance of the hits that propagation assumes."""
        known = None if momentum is None else torch.from_numpy(momentum)
        return hit_covariance(self.model, self.parameters, hits, momentum=known)

    def distance(self, series: Series, hits: Tensor, momentum: Momenta) -> Float[np.ndarray, " muon"]:
        """Distance from the fold of a series at true hits, in σ; NaN for a muon without it, 0 without a fold."""
        if series.fold is None:
            seen = torch.isfinite(self.infer(hits)[:, list(series.observables)]).any(dim=1)
            return torch.where(seen, 0.0, float("nan")).numpy()
        if self.infer.folding.folds[series.fold]:
            s, _, covariance, _ = self._signed(series, hits, momentum)
        else:
            s, covariance, finite = self._propagated(Selected(self.infer, (series.fold,)), hits, momentum)
            s = s if finite is None else torch.where(finite[:, None], s, float("nan"))
        return fold_distance(s, covariance).numpy()

    def width_ratio(self, series: Series, hits: Tensor, momentum: Momenta) -> Float[np.ndarray, " muon"]:
        """Larger over smaller width of the two signed quantities of a series; 1 for others."""
        fold = None if series.fold is None else self.infer.folding.folds[series.fold]
        if fold is None or len(fold.signed) < 2:
            return np.ones(len(hits))
        _, _, covariance, _ = self._signed(series, hits, momentum)
        half, spread = (covariance[:, 0, 0] + covariance[:, 1, 1]) / 2, (covariance[:, 0, 0] - covariance[:, 1, 1]) / 2
        radius = torch.hypot(spread, covariance[:, 0, 1])
        return ((half + radius) / (half - radius)).sqrt().numpy()

    def _propagated(self, infer: Infer, hits: Tensor, momentum: Momenta) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values and their covariance by linear propagation, and which muons have finite hits."""
        value, jac, finite = value_and_jacobian(infer, hits)
        sigma_x = canonical(self.covariance(hits, momentum), hits)
        return value, covariance_and_sigma(jac, sigma_x)[0], finite

    def _signed(self, series: Series, hits: Tensor, momentum: Momenta) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The signed quantities of a series, their Jacobian and covariance, and Σ of the hits."""
        fold = self.infer.folding.folds[series.fold or 0]
        assert fold is not None
        s, jac, finite = value_and_jacobian(SignedQuantities(self.infer, fold), hits)
        if finite is not None:
            s = torch.where(finite[:, None], s, float("nan"))
        sigma_x = canonical(self.covariance(hits, momentum), hits)
        return s, jac, covariance_and_sigma(jac, sigma_x)[0], sigma_x

    def _moved(self, series: Series, hits: Tensor, momentum: Momenta, rho: np.ndarray, azimuth: np.ndarray) -> Tensor:
        """The true hits nearest to these at a distance `rho` from the fold."""
        s, jac, covariance, sigma_x = self._signed(series, hits, momentum)
        cosine, sine = torch.from_numpy(np.cos(azimuth)), torch.from_numpy(np.sin(azimuth))
        unit = torch.sign(cosine)[:, None] if s.shape[1] == 1 else torch.stack([cosine, sine], dim=1)
        target = unit * (torch.from_numpy(rho) / fold_distance(unit, covariance))[:, None]
        fold = self.infer.folding.folds[series.fold or 0]
        assert fold is not None
        return moved(hits, s, jac, sigma_x, target, SignedQuantities(self.infer, fold))
