"""Uncertainty shared by all muons: the uncertainty of their mean, and its test by pseudo-experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..statistics.exact_sum import ExactSum
from ..statistics.intervals import Verdict, equivalence, sd_interval
from .estimates import Estimate, worst
from .evidence import Expected, Shared, UncertaintyOfMean

Matrix = Float[np.ndarray, "systematic systematic"]


class Predicted(NamedTuple):
    """Predictions for muons in pseudo-experiments: total σ, Jacobian G by the systematics, and sd of their own toys."""

    total: Float[np.ndarray, " muon"]
    jacobian: Float[np.ndarray, "muon systematic"]
    spread: Float[np.ndarray, " muon"]


class Observed(NamedTuple):
    """Observations in pseudo-experiments of one observable: sd of each muon, and sums of pulls over all blocks."""

    sd: Float[np.ndarray, " muon"]
    pull: Float[np.ndarray, " experiment"]
    square: Float[np.ndarray, " experiment"]


class _ExactSums(NamedTuple):
    square: ExactSum
    jacobian: ExactSum
    shares: ExactSum
    slopes: ExactSum
    differentiated: ExactSum
    seen: ExactSum


class SystematicSums:
    """Sums over the muons of a point, of one observable: budget, systematics, and slopes by the design.

    They are filled block by block; `arrays` and `merge` combine batches. Sums are exact, so that they do not depend on
    how the work is divided into batches.
    """

    def __init__(self) -> None:
        self.muons = 0
        self._sums = _ExactSums(*(ExactSum() for _ in _ExactSums._fields))
        self._predicted: list[Predicted] = []
        self._sd: list[np.ndarray] = []

    def add(
        self,
        sigma: Float[np.ndarray, " muon"],
        shares: Float[np.ndarray, "muon source"] | None,
        jacobian: Float[np.ndarray, "muon systematic"] | None,
    ) -> None:
        """Add muons that have a σ, with their budget and their systematic Jacobian, where these exist."""
        known = np.isfinite(sigma) & (sigma > 0)
        self.muons += int(known.sum())
        self._sums.square.add(np.square(sigma[known]).sum())
        if jacobian is not None:
            self._sums.jacobian.add(jacobian[known].sum(axis=0))
        if shares is not None:
            self._sums.shares.add(np.where(known[:, None], np.nan_to_num(shares), 0.0).sum(axis=0))

    def add_slopes(self, slopes: Float[np.ndarray, " parameter"], muons: float) -> None:
        """Add sums over muons of the slopes of σ."""
        self._sums.slopes.add(slopes)
        self._sums.differentiated.add(np.float64(muons))

    def add_experiments(self, predicted: Predicted, sd: Float[np.ndarray, " muon"]) -> None:
        """Add muons of the pseudo-experiments."""
        self._predicted.append(predicted)
        self._sd.append(sd)

    def add_sums(self, sums: Float[np.ndarray, "2 experiment"]) -> None:
        """Add the pull sums of one block, by pseudo-experiment."""
        self._sums.seen.add(sums)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The exact content, which `merge` adds to other sums."""
        predicted = [np.column_stack([*predicted, sd]) for predicted, sd in zip(self._predicted, self._sd, strict=True)]
        return {
            "muons": np.array([self.muons]),
            "experiments": np.concatenate(predicted) if predicted else np.zeros((0, 0)),
            **{name: each.parts for name, each in self._sums._asdict().items()},
        }

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the `arrays` of other sums, whose muons come after the muons of these."""
        self.muons += int(arrays["muons"][0])
        for name, each in self._sums._asdict().items():
            for part in arrays[name]:
                each.add(part)
        if arrays["experiments"].shape[1]:
            total, *jacobian, spread, sd = arrays["experiments"].T
            self.add_experiments(Predicted(total, np.stack(jacobian, axis=1), spread), sd)

    @property
    def variance(self) -> float | None:
        """The mean variance of the budget, by linear propagation."""
        return float(self._sums.shares.rounded.sum()) / self.muons if self.muons else None

    def budget(self, sources: Sequence[str]) -> dict[str, float]:
        """The share of each source in the mean variance; the shares add up to 1."""
        shares = self._sums.shares.rounded
        total = float(shares.sum())
        return {name: float(share) / total for name, share in zip(sources, shares, strict=True)} if total else {}

    def design(self, parameters: Sequence[str]) -> dict[str, float]:
        """The slope of the mean σ by each parameter; NaN without muons."""
        slopes, muons = self._sums.slopes.rounded, float(self._sums.differentiated.rounded)
        return (
            dict(zip(parameters, (slopes / muons).tolist(), strict=True))
            if muons
            else dict.fromkeys(parameters, math.nan)
        )

    def mean(self, sigma_eta: Matrix) -> UncertaintyOfMean | None:
        """The standard uncertainty of the mean over all muons, u² = Σ σ²/N² + ḡ Σ_η ḡᵀ, and its two parts."""
        if not self.muons:
            return None
        mean, independent = self._sums.jacobian.rounded / self.muons, math.sqrt(self._sums.square.rounded) / self.muons
        shared = math.sqrt(max(0.0, float(mean @ sigma_eta @ mean)))
        return UncertaintyOfMean(total=math.hypot(independent, shared), independent=independent, shared=shared)

    def shared(self, sigma_eta: Matrix, tolerance: float, confidence: float) -> Shared:
        """The uncertainty of the mean, and the judgement of the pseudo-experiments, see `judge`."""
        predicted, sums = Predicted(*map(np.concatenate, zip(*self._predicted, strict=True))), self._sums.seen.rounded
        observed = Observed(np.concatenate(self._sd), *(sums if sums.ndim else np.zeros((2, 0))))
        shared = judge(predicted, observed, sigma_eta, tolerance, confidence)
        return shared.model_copy(update={"mean_uncertainty": self.mean(sigma_eta)})


def judge(predicted: Predicted, observed: Observed, sigma_eta: Matrix, tolerance: float, confidence: float) -> Shared:
    """Whether pseudo-experiments confirm the total and the shared uncertainty.

    Two ratios are judged, and both should be 1:

    - *Total*: scatter of a muon over pseudo-experiments divided by √(σ² + G Σ_η Gᵀ), pooled over muons.
    - *Mean*: scatter of the mean pull over pseudo-experiments divided by √(1/N + h̄ Σ_η h̄ᵀ). Here h is G over the sd of
      the muon's own toys, which also normalises the pulls. A mean of values would be dominated by the few muons with
      the largest σ.

    Their errors follow from the number of pseudo-experiments: shared shifts move all muons of one alike, so that more
    muons do not help. If muons without a total σ take part, the mean pull is not judged, and the verdict is not a pass.

    The width of pulls within a pseudo-experiment is reported with its expectation √(1 + Var h).
    """
    count = len(observed.pull)
    known = np.isfinite(predicted.total) & np.isfinite(observed.sd) & (predicted.total > 0)
    muons = int(known.sum())
    if muons < 2:
        return Shared(experiments=count, experiment_muons=muons, verdict=Verdict.INCONCLUSIVE)

    def ratio(value: float) -> Estimate:
        low, high = sd_interval(value, count - 1, confidence)
        return Estimate(value=value, low=low, high=high, verdict=equivalence(low, high, tolerance))

    total = ratio(float(np.sqrt(np.square(observed.sd[known] / predicted.total[known]).mean())))
    shared = Shared(
        experiments=count,
        experiment_muons=muons,
        total=total,
        verdict=worst([total.verdict, Verdict.INCONCLUSIVE]),
    )
    if np.isfinite(observed.sd).sum() != muons:
        return shared
    h = predicted.jacobian[known] / predicted.spread[known, None]
    centred, mean_h = h - h.mean(axis=0), h.mean(axis=0)
    between = float(np.einsum("mk,kl,ml->", centred, sigma_eta, centred)) / (muons - 1)
    shift = float((observed.pull / muons).std(ddof=1))
    expected = math.sqrt(1 / muons + float(mean_h @ sigma_eta @ mean_h))
    width = math.sqrt(float((observed.square - np.square(observed.pull) / muons).mean()) / (muons - 1))
    mean = ratio(shift / expected)
    judged = {
        "mean": mean,
        "pull_width": Expected(value=width, expected=math.sqrt(1 + between)),
        "pull_shift": Expected(value=shift, expected=expected),
        "verdict": worst([total.verdict, mean.verdict]),
    }
    return shared.model_copy(update=judged)
