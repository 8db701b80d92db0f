"""Is the quoted σ right? An equivalence test against toys and truth, in bins of θ/σ.

Two tests. *Closure*: the standard deviation of toys over the propagated σ, both where the toys are thrown.
*Pulls*: z = (θ_reco - θ_true)/σ(x_reco) of the smeared muons. A ratio passes when its confidence interval lies within
1 ± tolerance, fails when it lies outside, and is inconclusive otherwise: more toys sharpen the test and never make a
harmless bias fail, as a significance test would (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .config import Validation
from .intervals import coverage_interval, equivalence, expected_scatter, factor_to_settle, sd_interval

EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Bins of θ/σ: the fold at zero shows within about 3 σ of it."""

FEWEST_FOR_SCATTER = 20
"""Toy muons below which their scatter is not judged: it would fail too often by chance."""

NARROWEST_SCATTER = 0.8
"""Scatter of closure between muons, over what the toy count predicts, below which toys are not independent."""

RANK = {"pass": 0, "inconclusive": 1, "fail": 2}
PULLS = ("pull_mean", "pull_mean_se", "pull_sd", "pull_sd_se", "pull_sd_low", "pull_sd_high", "pull_rms")
PULLS += tuple(f"coverage{level}{end}" for level in ("68", "95") for end in ("", "_low", "_high"))
"""What is said of pulls, where there are at least two."""

OUTSIDE = "outside the linear domain"
EMPTY = "empty"


def worst(verdicts: list[str | None]) -> str:
    """The worst of some verdicts; those that decide nothing (`OUTSIDE`, `EMPTY`) don't count."""
    return max((each for each in verdicts if each in RANK), key=RANK.__getitem__, default="inconclusive")


class Tally:
    """Running sums over the muons of one point and observable, bin by bin, and the verdict on them.

    Fed block by block, so that memory doesn't grow with the muons.
    """

    _SUMS = ("muons", "pulls", "z", "z2", "z3", "z4", "in68", "in95", "value", "sigma")
    COUNTS = (
        "muons",
        "hit_not_finite",
        "value_not_finite",
        "sigma_zero_or_nan",
        "sigma_negative",
        "toys_without_spread",
    )

    def __init__(self, settings: Validation, toys_per_muon: int):
        self.settings, self.per_muon = settings, toys_per_muon
        self.edges = np.unique([*EDGES, settings.domain])
        bins = len(self.edges) - 1
        self.inside = self.edges[:-1] >= settings.domain
        self.sums = {name: np.zeros(bins) for name in self._SUMS}
        self.counts = dict.fromkeys(self.COUNTS, 0)
        self.has_truth = False
        self._toys: list[np.ndarray] = []  # for each toy muon: bin, value where thrown, sd over σ

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
        valued = np.isfinite(value) & np.isfinite(at)
        negative = hit_finite & ((sigma < 0) | (sigma_at < 0))
        usable = (sigma > 0) & (sigma_at > 0) & np.isfinite(sigma) & np.isfinite(sigma_at)
        good = hit_finite & valued & usable
        self.counts["muons"] += len(value)
        self.counts["hit_not_finite"] += int((~hit_finite).sum())
        self.counts["value_not_finite"] += int((hit_finite & ~valued).sum())
        self.counts["sigma_zero_or_nan"] += int((hit_finite & valued & ~usable & ~negative).sum())
        self.counts["sigma_negative"] += int(negative.sum())
        # Bins go by where the toys are thrown; what has no place there is in no bin.
        placed = np.isfinite(at) & np.isfinite(sigma_at) & (sigma_at > 0)
        distance = np.abs(at / np.where(placed, sigma_at, 1))
        bins = np.searchsorted(self.edges, np.where(placed, distance, 0), side="right") - 1

        self._sum("muons", bins[good])
        self._sum("value", bins[good], value[good])
        self._sum("sigma", bins[good], sigma[good])
        if truth:
            self.has_truth = True
            z = (value[good] - at[good]) / sigma[good]
            self._sum("pulls", bins[good])
            power = np.ones_like(z)
            for name in ("z", "z2", "z3", "z4"):
                power = power * z
                self._sum(name, bins[good], power)
            self._sum("in68", bins[good], np.abs(z) <= 1)
            self._sum("in95", bins[good], np.abs(z) <= 1.96)
        spread = placed[toy_muon] & np.isfinite(toy_sd)
        self.counts["toys_without_spread"] += int((~spread).sum())
        muon = toy_muon[spread]
        self._toys.append(np.stack([bins[muon], at[muon], toy_sd[spread] / sigma_at[muon]]))

    def _sum(self, name: str, bins: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.sums[name] += np.bincount(bins, weights, minlength=len(self.edges) - 1)

    def result(self) -> dict[str, Any]:
        """Verdict, reasons, counts, and the numbers of each bin, of all muons, and of the linear domain."""
        bins = [self._bin(index) for index in range(len(self.inside))]
        domain = self._domain()
        closure = worst([each["verdict"] for each in bins])
        sign = "fail" if self.counts["sigma_negative"] else None
        return {
            "verdict": worst([closure, domain["pull_sd_verdict"], domain["scatter_verdict"], sign]),
            "reasons": [*self._reasons(bins, domain)],
            "more": self._more(bins, domain),
            "counts": self.counts,
            "bins": bins,
            "overall": self._numbers(np.ones_like(self.inside)),
            "domain": domain,
        }

    def _reasons(self, bins: list[dict[str, Any]], domain: dict[str, Any]) -> Iterator[str]:
        """What kept the verdict from being a pass."""
        for each in bins:
            if each["verdict"] in ("fail", "inconclusive"):
                interval = f"[{each['ratio_low']:.4f}, {each['ratio_high']:.4f}]" if each["toy_muons"] else ""
                found = f"toy sd / σ = {each['ratio']:.4f} {interval}" if each["toy_muons"] else "no toys"
                high = f" < {each['high']:g}" if math.isfinite(each["high"]) else ""
                yield f"{found} at {each['low']:g} ≤ θ/σ{high}"
        if not any(each["verdict"] in RANK for each in bins):
            yield "no muons in the linear domain"
        if domain["pull_sd_verdict"] in ("fail", "inconclusive"):
            if domain["pull_sd"] is None:
                yield "fewer than two pulls in the linear domain"
            else:
                yield f"pull sd = {domain['pull_sd']:.4f} [{domain['pull_sd_low']:.4f}, {domain['pull_sd_high']:.4f}]"
        if domain["scatter_verdict"] == "fail":
            low = min(domain["scatter"], domain["scatter_local"])
            yield f"closure scatters between muons by {low:.3f} of what independent toys would; do they share noise?"
        if self.counts["sigma_negative"]:
            yield f"{self.counts['sigma_negative']} muons have a negative σ"

    def _more(self, bins: list[dict[str, Any]], domain: dict[str, Any]) -> list[str]:
        """What would settle an inconclusive verdict, if the ratios stay where they are."""
        advice = []
        open_bins = [each for each in bins if each["verdict"] == "inconclusive"]
        factors = [each["factor"] for each in open_bins if each["toy_muons"]]
        if any(not each["toy_muons"] for each in open_bins):
            advice.append(
                f"raise toys.muons: {sum(not each['toy_muons'] for each in open_bins)} bins have muons but no toys"
            )
        if not any(each["verdict"] in RANK for each in bins):
            advice.append("have muons further from the fold, or a finer resolution: none is in the linear domain")
        if factors and math.isfinite(max(factors)):
            # Toys are spread over all bins, so the neediest bin sets how many each muon must have.
            needed = 1 + math.ceil((self.per_muon - 1) * max(factors))
            more = (needed - self.per_muon) * sum(each["toy_muons"] for each in bins)
            outcome = self._outcome([each["ratio"] for each in open_bins if each["toy_muons"]])
            advice.append(f"raise toys.per_muon from {self.per_muon} to {needed} ({more} more toys), for a {outcome}")
        elif factors:
            advice.append("no number of toys would settle a ratio that lies on the limit itself")
        if domain["pull_sd_verdict"] == "inconclusive" and math.isfinite(domain["pull_sd_factor"] or math.inf):
            total = math.ceil(self.counts["muons"] * domain["pull_sd_factor"])
            more, outcome = total - self.counts["muons"], self._outcome([domain["pull_sd"]])
            advice.append(f"take {more} more muons for the width of pulls ({total} in all), for a {outcome}")
        return advice

    def _outcome(self, ratios: list[float]) -> str:
        """What ratios would be judged if they were known exactly."""
        return worst([equivalence(ratio, ratio, self.settings.tolerance) for ratio in ratios])

    def _bin(self, index: int) -> dict[str, Any]:
        numbers = self._numbers(np.arange(len(self.inside)) == index)
        factor = None
        if not self.inside[index]:
            verdict = OUTSIDE
        elif numbers["toy_muons"]:
            limits = numbers["ratio_low"], numbers["ratio_high"]
            verdict = equivalence(*limits, self.settings.tolerance)
            if verdict == "inconclusive":
                factor = factor_to_settle(numbers["ratio"], *limits, self.settings.tolerance)
        else:
            verdict = "inconclusive" if numbers["muons"] else EMPTY
        low, high = float(self.edges[index]), float(self.edges[index + 1])
        return {"low": low, "high": high, **numbers, "verdict": verdict, "factor": factor}

    def _domain(self) -> dict[str, Any]:
        """The linear domain as a whole, with the verdicts on the width of pulls and on the scatter of closure."""
        numbers = self._numbers(self.inside)
        pulls: dict[str, Any] = {"pull_sd_verdict": None, "pull_sd_factor": None}
        if self.has_truth and numbers["muons"]:
            pulls["pull_sd_verdict"] = "inconclusive"
            if numbers["pull_sd"] is not None:
                limits = numbers["pull_sd_low"], numbers["pull_sd_high"]
                pulls["pull_sd_verdict"] = equivalence(*limits, self.settings.tolerance)
                if pulls["pull_sd_verdict"] == "inconclusive":
                    pulls["pull_sd_factor"] = factor_to_settle(numbers["pull_sd"], *limits, self.settings.tolerance)
        return {"low": self.settings.domain, "high": math.inf, **numbers, **pulls, **self._scatter()}

    def _scatter(self) -> dict[str, Any]:
        """The scatter of closure between muons over what the toy count predicts: as it is, and between neighbours.

        Where the law bends, the ratio drifts with θ and the scatter grows, which would hide shared noise. Successive
        differences in order of θ don't see the drift (von Neumann 1941, Ann. Math. Stat. 12:367), and have about two
        thirds of the degrees of freedom.
        """
        names = ("scatter", "scatter_local")
        result: dict[str, Any] = dict.fromkeys((*names, *(f"{n}_{end}" for n in names for end in ("low", "high"))))
        _, at, ratios = self._toys_in(self.inside)
        if len(ratios) < FEWEST_FOR_SCATTER:
            return {**result, "scatter_verdict": None}
        unit = ratios.mean() * expected_scatter(self.per_muon - 1)
        steps = np.diff(ratios[np.argsort(at, kind="stable")])
        count = len(ratios)
        widths = {
            "scatter": (ratios.std(ddof=1), count - 1),
            "scatter_local": (math.sqrt((steps**2).mean() / 2), 2 * (count - 1) ** 2 / (3 * count - 4)),
        }
        for name, (width, freedom) in widths.items():
            low, high = sd_interval(float(width / unit), freedom, self.settings.confidence)
            result |= {name: float(width / unit), f"{name}_low": low, f"{name}_high": high}
        narrow = any(result[f"{name}_high"] < NARROWEST_SCATTER for name in names)
        return {**result, "scatter_verdict": "fail" if narrow else "pass"}

    def _toys_in(self, which: np.ndarray) -> np.ndarray:
        """Bin, value and ratio of the toy muons in some bins."""
        toys = np.concatenate([np.empty((3, 0)), *self._toys], axis=1)
        return toys[:, which[toys[0].astype(int)]]

    def _numbers(self, which: np.ndarray) -> dict[str, Any]:
        """The statistics of some bins taken together."""
        confidence = self.settings.confidence
        sums = {name: float(each[which].sum()) for name, each in self.sums.items()}
        muons = int(sums["muons"])
        ratios = self._toys_in(which)[2]
        numbers: dict[str, Any] = {
            "muons": muons,
            "share": muons / self.counts["muons"] if self.counts["muons"] else None,
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
            return dict.fromkeys(PULLS)
        mean = sums["z"] / count
        second, third, fourth = (sums[name] / count for name in ("z2", "z3", "z4"))
        central2 = second - mean**2
        central4 = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        sd = math.sqrt(central2 * count / (count - 1))
        # Var(s²)/σ⁴ = 2/(n-1) + κ/n with the excess kurtosis κ, as degrees of freedom of a χ². κ is estimated without
        # bias, and taken as that of a Gaussian where it comes out lighter: in small samples it would by chance.
        excess = central4 / central2**2 - 3 if central2 > 0 else 0.0
        if count > 3:
            excess = (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6)
        freedom = 2 / (2 / (count - 1) + max(0.0, excess) / count)
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
