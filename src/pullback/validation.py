"""Is the quoted σ right? An equivalence test against toys and truth, in bins of θ/σ.

Two tests. *Closure*: the standard deviation of toys over the propagated σ, both where the toys are thrown.
*Pulls*: z = (θ_reco - θ_true)/σ(x_reco) of the smeared muons. A ratio passes when its confidence interval lies within
1 ± tolerance, fails when it lies outside, and is inconclusive otherwise: more toys sharpen the test and never make a
harmless bias fail, as a significance test would (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import betaincinv, gammaincinv, gammaln

from .config import Validation

EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Bins of θ/σ: the fold at zero shows within about 3 σ of it."""

NARROWEST_SCATTER = 0.8
"""Scatter of closure between muons, over what the toy count predicts, below which toys are not independent."""

RANK = {"pass": 0, "inconclusive": 1, "fail": 2}
OUTSIDE = "outside the linear domain"
EMPTY = "empty"


def worst(verdicts: list[str]) -> str:
    """The worst of some verdicts; those that decide nothing (`OUTSIDE`, `EMPTY`) don't count."""
    return max((each for each in verdicts if each in RANK), key=RANK.__getitem__, default="inconclusive")


def sd_interval(ratio: float, freedom: float, confidence: float) -> tuple[float, float]:
    """Confidence interval of a standard deviation with so many degrees of freedom, from the χ² distribution."""
    tail = (1 - confidence) / 2
    low, high = (freedom / (2 * gammaincinv(freedom / 2, p)) for p in (1 - tail, tail))
    return ratio * math.sqrt(low), ratio * math.sqrt(high)


def coverage_interval(inside: int, total: int, confidence: float) -> tuple[float, float]:
    """Clopper-Pearson interval of a binomial proportion (Clopper and Pearson 1934, Biometrika 26:404)."""
    tail = (1 - confidence) / 2
    low = betaincinv(inside, total - inside + 1, tail) if inside else 0.0
    high = betaincinv(inside + 1, total - inside, 1 - tail) if inside < total else 1.0
    return float(low), float(high)


def equivalence(low: float, high: float, tolerance: float) -> str:
    """The verdict on a ratio from its interval: pass inside 1 ± tolerance, fail outside, else inconclusive."""
    if 1 - tolerance <= low and high <= 1 + tolerance:
        return "pass"
    return "fail" if high < 1 - tolerance or low > 1 + tolerance else "inconclusive"


def factor_to_settle(ratio: float, low: float, high: float, tolerance: float) -> float:
    """By how much the sample must grow for an inconclusive ratio to be settled, if it stays where it is.

    The half-width of the interval falls as 1/sqrt(sample), and must become the distance to the nearer limit.
    """
    distance = min(abs(ratio - (1 - tolerance)), abs(ratio - (1 + tolerance)))
    half = max(high - ratio, ratio - low)
    return (half / distance) ** 2 if distance else math.inf


def expected_scatter(freedom: int) -> float:
    """Relative scatter of a sample standard deviation of normal values, sqrt(1 - c4²), by its degrees of freedom ν.

    c4 = sqrt(2/ν) Γ((ν+1)/2) / Γ(ν/2); for large ν by the series 1/(2ν) - 1/(8ν²), which loses no digits.
    """
    if freedom > 100:
        return math.sqrt(1 / (2 * freedom) - 1 / (8 * freedom**2))
    c4 = math.sqrt(2 / freedom) * math.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2))
    return math.sqrt(1 - c4**2)


class Tally:
    """Running sums over the muons of one point and observable, bin by bin, and the verdict on them.

    Fed block by block, so that memory doesn't grow with the muons.
    """

    _SUMS = ("muons", "pulls", "z", "z2", "z3", "z4", "in68", "in95", "value", "sigma")

    def __init__(self, settings: Validation, toys_per_muon: int):
        self.settings, self.per_muon = settings, toys_per_muon
        self.edges = np.unique([*EDGES, settings.domain])
        bins = len(self.edges) - 1
        self.inside = self.edges[:-1] >= settings.domain
        self.sums = {name: np.zeros(bins) for name in self._SUMS}
        self.counts = dict.fromkeys(("muons", "hit_not_finite", "sigma_zero_or_nan", "sigma_negative"), 0)
        self.has_truth = False
        self._ratios: list[np.ndarray] = []
        self._ratio_bins: list[np.ndarray] = []

    def add(
        self,
        value: np.ndarray,
        sigma: np.ndarray,
        hit_finite: np.ndarray,
        toy_muon: np.ndarray,
        toy_sd: np.ndarray,
        truth: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Add a block: value and σ at the recorded hits, toys (rows of the block, sd), value and σ at the truth."""
        at, sigma_at = truth or (value, sigma)
        negative = (sigma < 0) | (sigma_at < 0)
        unusable = hit_finite & ~negative & ~((sigma > 0) & (sigma_at > 0) & np.isfinite(sigma) & np.isfinite(sigma_at))
        self.counts["muons"] += len(value)
        self.counts["hit_not_finite"] += int((~hit_finite).sum())
        self.counts["sigma_zero_or_nan"] += int(unusable.sum())
        self.counts["sigma_negative"] += int(negative.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.abs(at / sigma_at)
        placed = (sigma_at > 0) & np.isfinite(distance)
        bins = np.searchsorted(self.edges, np.where(placed, distance, 0), side="right") - 1

        good = hit_finite & ~negative & ~unusable & placed
        self._sum("muons", bins[good])
        self._sum("value", bins[good], value[good])
        self._sum("sigma", bins[good], sigma[good])
        if truth:
            self.has_truth = True
            z = (value[good] - at[good]) / sigma[good]
            self._sum("pulls", bins[good])
            for power, name in enumerate(("z", "z2", "z3", "z4"), 1):
                self._sum(name, bins[good], z**power)
            self._sum("in68", bins[good], np.abs(z) <= 1)
            self._sum("in95", bins[good], np.abs(z) <= 1.96)
        toys = placed[toy_muon]
        self._ratios.append(toy_sd[toys] / sigma_at[toy_muon[toys]])
        self._ratio_bins.append(bins[toy_muon[toys]])

    def _sum(self, name: str, bins: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.sums[name] += np.bincount(bins, weights, minlength=len(self.edges) - 1)

    def result(self) -> dict[str, Any]:
        """Verdict, reasons, counts, and the numbers of each bin, of all muons, and of the linear domain."""
        everywhere = np.ones_like(self.inside)
        bins = [self._bin(index) for index in range(len(self.inside))]
        domain = self._domain()
        reasons = [
            f"toy sd / σ = {each['ratio']:.4f} [{each['ratio_low']:.4f}, {each['ratio_high']:.4f}] {_range(each)}"
            if each["toy_muons"]
            else f"no toys {_range(each)}: raise toys.muons"
            for each in bins
            if each["verdict"] in ("fail", "inconclusive")
        ]
        verdicts = [each["verdict"] for each in bins]
        if not any(each in RANK for each in verdicts):
            reasons.append("no muons in the linear domain")
        if domain.get("pull_sd_verdict") in ("fail", "inconclusive"):
            verdicts.append(domain["pull_sd_verdict"])
            reasons.append(
                f"pull sd = {domain['pull_sd']:.4f} [{domain['pull_sd_low']:.4f}, {domain['pull_sd_high']:.4f}]"
            )
        if domain.get("scatter_verdict") == "fail":
            verdicts.append("fail")
            reasons.append(
                f"closure scatters between muons by only {domain['scatter']:.3f} of what independent toys would: "
                "do they share their noise?"
            )
        if self.counts["sigma_negative"]:
            verdicts.append("fail")
            reasons.append(f"{self.counts['sigma_negative']} muons have a negative σ")
        return {
            "verdict": worst(verdicts),
            "reasons": reasons,
            "counts": self.counts,
            "bins": bins,
            "overall": self._numbers(everywhere),
            "domain": domain,
        }

    def _bin(self, index: int) -> dict[str, Any]:
        this = np.arange(len(self.inside)) == index
        numbers = self._numbers(this)
        if not self.inside[index]:
            verdict = OUTSIDE
        elif numbers["toy_muons"]:
            verdict = equivalence(numbers["ratio_low"], numbers["ratio_high"], self.settings.tolerance)
        else:
            verdict = "inconclusive" if numbers["muons"] else EMPTY
        more = None
        if verdict == "inconclusive" and numbers["toy_muons"]:
            factor = factor_to_settle(
                numbers["ratio"], numbers["ratio_low"], numbers["ratio_high"], self.settings.tolerance
            )
            more = math.ceil((factor - 1) * numbers["toys"]) if math.isfinite(factor) else None
        low, high = float(self.edges[index]), float(self.edges[index + 1])
        return {"low": low, "high": high, **numbers, "verdict": verdict, "more_toys": more}

    def _domain(self) -> dict[str, Any]:
        """The linear domain as a whole, with the verdicts on the width of pulls and on the scatter of closure."""
        numbers: dict[str, Any] = {
            "low": self.settings.domain,
            "high": math.inf,
            **self._numbers(self.inside),
        }
        if numbers.get("pull_sd") is not None:
            limits = numbers["pull_sd_low"], numbers["pull_sd_high"]
            verdict = equivalence(*limits, self.settings.tolerance)
            numbers["pull_sd_verdict"] = verdict
            if verdict == "inconclusive":
                factor = factor_to_settle(numbers["pull_sd"], *limits, self.settings.tolerance)
                numbers["more_muons"] = math.ceil((factor - 1) * numbers["muons"]) if math.isfinite(factor) else None
        ratios = self._ratios_in(self.inside)
        if len(ratios) > 1:
            scatter = float(ratios.std(ddof=1) / ratios.mean() / expected_scatter(self.per_muon - 1))
            low, high = sd_interval(scatter, len(ratios) - 1, self.settings.confidence)
            verdict = "fail" if high < NARROWEST_SCATTER else "pass"
            numbers |= {
                "scatter": scatter,
                "scatter_low": low,
                "scatter_high": high,
                "scatter_verdict": verdict,
            }
        return numbers

    def _ratios_in(self, which: np.ndarray) -> np.ndarray:
        if not self._ratios:
            return np.empty(0)
        return np.concatenate(self._ratios)[which[np.concatenate(self._ratio_bins)]]

    def _numbers(self, which: np.ndarray) -> dict[str, Any]:
        """The statistics of some bins taken together."""
        confidence = self.settings.confidence
        sums = {name: float(each[which].sum()) for name, each in self.sums.items()}
        muons = int(sums["muons"])
        total = self.sums["muons"].sum()
        ratios = self._ratios_in(which)
        numbers: dict[str, Any] = {
            "muons": muons,
            "share": muons / total if total else None,
            "mean_value": sums["value"] / muons if muons else None,
            "mean_sigma": sums["sigma"] / muons if muons else None,
            "toy_muons": len(ratios),
            "toys": len(ratios) * self.per_muon,
            **dict.fromkeys(("ratio", "ratio_se", "ratio_low", "ratio_high")),
        }
        if len(ratios):
            # Pooled variance: unbiased however few toys a muon has, and χ² with toys - 1 degrees of freedom a muon.
            freedom = len(ratios) * (self.per_muon - 1)
            ratio = math.sqrt(float((ratios**2).mean()))
            low, high = sd_interval(ratio, freedom, confidence)
            numbers |= {
                "ratio": ratio,
                "ratio_se": ratio / math.sqrt(2 * freedom),
                "ratio_low": low,
                "ratio_high": high,
            }
        return numbers | (self._pulls(sums, confidence) if self.has_truth else {})

    def _pulls(self, sums: dict[str, float], confidence: float) -> dict[str, Any]:
        count = int(sums["pulls"])
        if count < 2:
            return {}
        mean = sums["z"] / count
        second, third, fourth = (sums[name] / count for name in ("z2", "z3", "z4"))
        central2 = second - mean**2
        central4 = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        sd = math.sqrt(central2 * count / (count - 1))
        # Var(s²)/σ⁴ = 2/(n-1) + κ/n with the excess kurtosis κ; as degrees of freedom of a χ².
        excess = central4 / central2**2 - 3 if central2 > 0 else 0.0
        freedom = 2 / max(2 / (count - 1) + excess / count, 1e-2 / count)
        low, high = sd_interval(sd, freedom, confidence)
        numbers = {
            "pull_mean": mean,
            "pull_mean_se": sd / math.sqrt(count),
            "pull_sd": sd,
            "pull_sd_se": sd / math.sqrt(2 * freedom),
            "pull_sd_low": low,
            "pull_sd_high": high,
            "pull_rms": math.sqrt(second),
        }
        for name in ("68", "95"):
            inside = int(sums[f"in{name}"])
            low, high = coverage_interval(inside, count, confidence)
            numbers |= {
                f"coverage{name}": inside / count,
                f"coverage{name}_low": low,
                f"coverage{name}_high": high,
            }
        return numbers


def _range(numbers: dict[str, Any]) -> str:
    high = f" < {numbers['high']:g}" if math.isfinite(numbers["high"]) else ""
    return f"at {numbers['low']:g} ≤ θ/σ{high}"
