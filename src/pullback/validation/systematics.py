"""What muons share, over all of them: the uncertainty of their mean, and whether toy experiments bear it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..statistics.exact_sum import ExactSum
from ..statistics.intervals import equivalence, sd_interval

Matrix = Float[np.ndarray, "systematic systematic"]


class Said(NamedTuple):
    """What is said of the muons in the experiments: total σ, G by the systematics, and the spread of their toys."""

    total: Float[np.ndarray, " muon"]
    jacobian: Float[np.ndarray, "muon systematic"]
    spread: Float[np.ndarray, " muon"]


class Seen(NamedTuple):
    """What the pseudo-experiments show of an observable, summed over all blocks."""

    sd: Float[np.ndarray, " muon"]
    pull: Float[np.ndarray, " experiment"]
    square: Float[np.ndarray, " experiment"]


class Sums:
    """What is gathered over the muons of a point, of one observable: budget, what they share, and slopes by the design.

    Fed block by block; those of batches are merged by way of `arrays`. Sums are exact, so that none depends on how the
    work was cut into batches.
    """

    _EXACT = ("square", "jacobian", "shares", "slopes", "differentiated", "seen")

    def __init__(self):
        self.muons = 0
        self._sums = {name: ExactSum() for name in self._EXACT}
        self._said: list[Said] = []
        self._sd: list[np.ndarray] = []

    def add(
        self,
        sigma: Float[np.ndarray, " muon"],
        shares: Float[np.ndarray, "muon source"] | None,
        jacobian: Float[np.ndarray, "muon systematic"] | None,
    ) -> None:
        """Add muons that have a σ, with their budget and their Jacobian by the systematics, where there are any."""
        known = np.isfinite(sigma) & (sigma > 0)
        self.muons += int(known.sum())
        self._sums["square"].add(np.square(sigma[known]).sum())
        if jacobian is not None:
            self._sums["jacobian"].add(jacobian[known].sum(axis=0))
        if shares is not None:
            self._sums["shares"].add(np.where(known[:, None], np.nan_to_num(shares), 0.0).sum(axis=0))

    def add_slopes(self, slopes: Float[np.ndarray, " parameter"], muons: float) -> None:
        """Add sums over muons of the slopes of σ."""
        self._sums["slopes"].add(slopes)
        self._sums["differentiated"].add(np.float64(muons))

    def add_experiments(self, said: Said, sd: Float[np.ndarray, " muon"]) -> None:
        """Add muons of the toy experiments."""
        self._said.append(said)
        self._sd.append(sd)

    def add_sums(self, sums: Float[np.ndarray, "2 experiment"]) -> None:
        """Add, of a block in each toy experiment, the sums of `Seen`."""
        self._sums["seen"].add(sums)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that is gathered, exactly; `merge` adds it to others."""
        said = [np.column_stack([*said, sd]) for said, sd in zip(self._said, self._sd, strict=True)]
        return {
            "muons": np.array([self.muons]),
            "experiments": np.concatenate(said) if said else np.zeros((0, 0)),
            **{name: each.parts for name, each in self._sums.items()},
        }

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add what `arrays` of others gave, of muons that come after these."""
        self.muons += int(arrays["muons"][0])
        for name, each in self._sums.items():
            for part in arrays[name]:
                each.add(part)
        if arrays["experiments"].shape[1]:
            total, *jacobian, spread, sd = arrays["experiments"].T
            self.add_experiments(Said(total, np.stack(jacobian, axis=1), spread), sd)

    @property
    def variance(self) -> float | None:
        """The mean variance of the budget, by the linear law."""
        return float(self._sum("shares").sum()) / self.muons if self.muons else None

    def _sum(self, name: str) -> np.ndarray:
        return self._sums[name].rounded

    def budget(self, sources: Sequence[str]) -> dict[str, float]:
        """The share that each source has in the mean variance; they add up to 1."""
        shares = self._sum("shares")
        total = float(shares.sum())
        return {name: float(share) / total for name, share in zip(sources, shares, strict=True)} if total else {}

    def design(self, parameters: Sequence[str]) -> dict[str, float | None]:
        """The slope of the mean σ by each parameter."""
        slopes, muons = self._sum("slopes"), float(self._sum("differentiated"))
        return dict(zip(parameters, (slopes / muons).tolist(), strict=True)) if muons else dict.fromkeys(parameters)

    def mean(self, sigma_eta: Matrix) -> dict[str, float]:
        """The standard uncertainty of the mean over all muons: u² = Σ σ²/N² + ḡ Σ_η ḡᵀ, and its two parts."""
        if not self.muons:
            return {}
        mean, independent = self._sum("jacobian") / self.muons, math.sqrt(self._sum("square")) / self.muons
        shared = math.sqrt(max(0.0, float(mean @ sigma_eta @ mean)))
        return {
            "mean_uncertainty": math.hypot(independent, shared),
            "mean_uncertainty_independent": independent,
            "mean_uncertainty_shared": shared,
        }

    def experiments(self, sigma_eta: Matrix, tolerance: float, confidence: float) -> dict[str, Any]:
        """What the toy experiments say, see `judge`."""
        said, sums = Said(*map(np.concatenate, zip(*self._said, strict=True))), self._sum("seen")
        seen = Seen(np.concatenate(self._sd), *(sums if sums.ndim else np.zeros((2, 0))))
        return judge(said, seen, sigma_eta, tolerance, confidence)


def judge(said: Said, seen: Seen, sigma_eta: Matrix, tolerance: float, confidence: float) -> dict[str, Any]:
    """Whether toy experiments bear out σ and what is shared.

    *Total*: the scatter of a muon over experiments, over √(σ² + G Σ_η Gᵀ), pooled over muons. *Mean*: how much the mean
    of all pulls moves between experiments, over √(1/N + h̄ Σ_η h̄ᵀ), with h = G over the spread of the muon's own toys by
    which pulls are taken; the mean of values would be that of the few with the greatest σ. Both should be 1. What is
    shared shifts all muons of an experiment alike, so that more muons don't sharpen either: their errors come from the
    number of experiments.

    Where muons are in the experiments that have no total σ, the mean of pulls holds more than what is said of muons: it
    is not judged, and the verdict is no pass.

    The width of pulls within an experiment, √(1 + Var h), is shown beside what is expected.
    """
    count = len(seen.pull)
    known = np.isfinite(said.total) & np.isfinite(seen.sd) & (said.total > 0)
    everyone = bool(np.isfinite(seen.sd).sum() == known.sum())
    muons = int(known.sum())
    result: dict[str, Any] = {"experiments": count, "experiment_muons": muons}
    if muons < 2:
        return {**result, "verdict": "inconclusive"}
    verdicts = []

    def ratio(name: str, value: float) -> None:
        low, high = sd_interval(value, count - 1, confidence)
        verdict = equivalence(low, high, tolerance)
        verdicts.append(verdict)
        result.update({name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_verdict": verdict})

    ratio("total", float(np.sqrt(np.square(seen.sd[known] / said.total[known]).mean())))
    if everyone:
        h = said.jacobian[known] / said.spread[known, None]
        centred, mean = h - h.mean(axis=0), h.mean(axis=0)
        between = float(np.einsum("mk,kl,ml->", centred, sigma_eta, centred)) / (muons - 1)
        shift, expected = float((seen.pull / muons).std(ddof=1)), math.sqrt(1 / muons + float(mean @ sigma_eta @ mean))
        ratio("mean", shift / expected)
        result |= {
            "pull_width": math.sqrt(float((seen.square - np.square(seen.pull) / muons).mean()) / (muons - 1)),
            "pull_width_expected": math.sqrt(1 + between),
            "pull_shift": shift,
            "pull_shift_expected": expected,
        }
    else:
        verdicts.append("inconclusive")
    worst = "pass" if set(verdicts) == {"pass"} else "fail" if "fail" in verdicts else "inconclusive"
    return {**result, "verdict": worst}
