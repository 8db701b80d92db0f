"""Is the σ right? An equivalence test against toys and truth, in bins of θ/σ, of the linear σ and of the quoted one.

Three tests. *Closure*: the standard deviation of toys over σ, both where the toys are thrown. *Ends*: the ends of the
toys' intervals less those of the quoted intervals, over half of their width. *Pulls*: z = (θ_reco - θ_true)/σ(x_reco)
of the smeared muons. A number passes when its confidence interval lies within the tolerance of what it should be,
fails when an interval that is as much wider as so many numbers together need (Bonferroni) lies outside, and is
inconclusive otherwise: more toys sharpen the test and never make a harmless bias fail, as a significance test would
(Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657).

The linear σ is judged where the linear law is claimed, the quoted one everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .config import FEWEST_FOR_ENDS, Toys, Validation
from .intervals import (
    coverage_interval,
    equivalence,
    expected_scatter,
    factor_to_settle,
    mean_interval,
    sd_interval,
)

EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Bins of θ/σ by the linear law: the fold at zero shows within about 3 σ of it."""

FEWEST_FOR_SCATTER = 20
"""Toy muons below which their scatter is not judged: it would fail too often by chance."""

NARROWEST_SCATTER = 0.8
"""Scatter of closure between muons, over what the toy count predicts, below which toys are not independent."""

SIGMAS = ("linear", "quoted")
"""The two uncertainties of an observable that are judged."""

LEVELS = ("68", "95")
ENDS = tuple(f"{end}{level}" for level in LEVELS for end in ("low", "high"))
"""The ends of both intervals, in the order of the columns."""

WORDS = {
    f"{end}{level}": f"the {words} end of the {percent} interval"
    for level, percent in (("68", "68.27 %"), ("95", "95 %"))
    for end, words in (("low", "lower"), ("high", "upper"))
}

RANK = {"pass": 0, "inconclusive": 1, "fail": 2}
PULLS = ("pull_mean", "pull_mean_se", "pull_sd", "pull_sd_se", "pull_sd_low", "pull_sd_high", "pull_rms")
PULLS += tuple(f"coverage{level}{end}" for level in LEVELS for end in ("", "_low", "_high"))
"""What is said of pulls, where there are at least two."""

OUTSIDE = "outside the linear domain"
EMPTY = "empty"


class Muons(NamedTuple):
    """Muons of a block: value, σ and intervals at the recorded hits, whether these are finite, and where they are."""

    value: np.ndarray
    sigma: np.ndarray
    interval68: np.ndarray
    interval95: np.ndarray
    linear_ok: np.ndarray
    hit_finite: np.ndarray
    distance: np.ndarray


class ToyMuons(NamedTuple):
    """Those of them that toys were thrown around: rows of the block, what toys say, and what is said of σ there."""

    row: np.ndarray
    count: np.ndarray
    sd: np.ndarray
    sd_error: np.ndarray
    ends: np.ndarray
    ends_error: np.ndarray
    sigma: np.ndarray
    quoted_ends: np.ndarray


def distance(value: np.ndarray, sigma_linear: np.ndarray) -> np.ndarray:
    """θ/σ, by which muons are put into bins; where the linear law has no σ, 0 at θ = 0 and else infinity."""
    has_sigma = (sigma_linear > 0) & np.isfinite(sigma_linear)
    without = np.where(value == 0, 0.0, np.inf)
    return np.where(has_sigma, np.abs(value) / np.where(has_sigma, sigma_linear, 1), without)


def worst(verdicts: list[str | None]) -> str:
    """The worst of some verdicts; those that decide nothing (`OUTSIDE`, `EMPTY`) don't count."""
    return max((each for each in verdicts if each in RANK), key=RANK.__getitem__, default="inconclusive")


class Tally:
    """Running sums over the muons of one point and observable, bin by bin, and the verdict on one of its σ.

    Fed block by block, so that memory doesn't grow with the muons.
    """

    _SUMS = ("muons", "pulls", "z", "z2", "z3", "z4", "in68", "in95", "value", "sigma", "linear_ok")
    COUNTS = (
        "muons",
        "hit_not_finite",
        "value_not_finite",
        "sigma_zero_or_nan",
        "sigma_negative",
        "toys_without_spread",
    )

    def __init__(self, settings: Validation, toys: Toys, sigma: str, among: int = 1):
        """A tally of one σ of one observable at one point, among so many of them in the study."""
        self.settings, self.toys, self.sigma = settings, toys, sigma
        self.edges = np.unique([*EDGES, settings.domain])
        bins = len(self.edges) - 1
        self.inside = (self.edges[:-1] >= settings.domain) | (sigma == "quoted")
        # One of many numbers is far off by chance. A pass needs no correction for that, since all of them must pass.
        judged = among * (bins * (1 + (len(ENDS) if sigma == "quoted" else 0)) + 1)
        self.confidence_to_fail = 1 - (1 - settings.confidence) / judged
        self.sums = {name: np.zeros(bins) for name in self._SUMS}
        self.counts = dict.fromkeys(self.COUNTS, 0)
        self.has_truth = False
        self._toys: list[np.ndarray] = []  # for each toy muon: see `_toys_in`

    def add(self, muons: Muons, toys: ToyMuons, truth: np.ndarray | None = None) -> None:
        """Add a block, with the values at the true hits if there are any."""
        value, sigma, finite = muons.value, muons.sigma, muons.hit_finite
        at = value if truth is None else truth
        valued = np.isfinite(value) & np.isfinite(at)
        negative = finite & (sigma < 0)
        usable = (sigma > 0) & np.isfinite(sigma)
        good = finite & valued & usable
        self.counts["muons"] += len(value)
        self.counts["hit_not_finite"] += int((~finite).sum())
        self.counts["value_not_finite"] += int((finite & ~valued).sum())
        self.counts["sigma_zero_or_nan"] += int((finite & valued & ~usable & ~negative).sum())
        self.counts["sigma_negative"] += int(negative.sum())
        # What has no value where the toys are thrown has no place, and is in no bin.
        bins = np.searchsorted(self.edges, np.where(np.isfinite(at), muons.distance, 0), side="right") - 1
        bins = np.minimum(bins, len(self.edges) - 2)

        self._sum("muons", bins[good])
        self._sum("value", bins[good], value[good])
        self._sum("sigma", bins[good], sigma[good])
        self._sum("linear_ok", bins[good], muons.linear_ok[good])
        if truth is not None:
            self.has_truth = True
            z = (value[good] - at[good]) / sigma[good]
            self._sum("pulls", bins[good])
            power = np.ones_like(z)
            for name in ("z", "z2", "z3", "z4"):
                power = power * z
                self._sum(name, bins[good], power)
            for level, interval in (("68", muons.interval68), ("95", muons.interval95)):
                low, high = interval[good].T
                self._sum(f"in{level}", bins[good], (low <= at[good]) & (at[good] <= high))
        spread = (toys.sigma > 0) & np.isfinite(toys.sigma) & np.isfinite(toys.sd) & np.isfinite(at[toys.row])
        self.counts["toys_without_spread"] += int((~spread).sum())
        row, count, sd, sd_error, ends, ends_error, sigma_at, quoted_ends = (each[spread] for each in toys)
        known = sd_error > 0
        freedom = np.where(known, (sd / np.where(known, sd_error, 1)) ** 2 / 2, count - 1)
        # Over half of the width of the interval, so that a σ off by some per cent puts its intervals off by as much.
        half = ((quoted_ends[:, 1::2] - quoted_ends[:, ::2]) / 2).repeat(2, axis=1)
        off, error = ((each / half).T for each in (ends - quoted_ends, ends_error))
        self._toys.append(np.stack([bins[row], at[row], count, sd / sigma_at, freedom, *off, *error]))

    def _sum(self, name: str, bins: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.sums[name] += np.bincount(bins, weights, minlength=len(self.edges) - 1)

    def result(self) -> dict[str, Any]:
        """Verdict, reasons, counts, and the numbers of each bin, of all muons, and of the domain of this σ."""
        bins = [self._bin(index) for index in range(len(self.inside))]
        domain = self._domain()
        sign = "fail" if self.counts["sigma_negative"] else None
        whole = [domain.get("pull_sd_verdict"), domain.get("scatter_verdict"), sign]
        return {
            "sigma": self.sigma,
            "verdict": worst([worst([each["verdict"] for each in bins]), *whole]),
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
            if each["verdict"] not in ("fail", "inconclusive"):
                continue
            high = f" < {each['high']:g}" if math.isfinite(each["high"]) else ""
            where = f"at {each['low']:g} ≤ θ/σ{high}"
            if not each["toy_muons"]:
                yield f"no toys {where}"
            elif each["ratio_verdict"] != "pass":
                yield f"toy sd / σ = {each['ratio']:.4f} [{each['ratio_low']:.4f}, {each['ratio_high']:.4f}] {where}"
            if self.sigma == "quoted" and each["toy_muons"]:
                yield from self._ends_reason(each, where)
        if not any(each["verdict"] in RANK for each in bins):
            yield "no muons in the linear domain" if self.sigma == "linear" else "no muons with a usable σ"
        if domain.get("pull_sd_verdict") in ("fail", "inconclusive"):
            if domain["pull_sd"] is None:
                yield "fewer than two pulls in the linear domain"
            else:
                yield f"pull sd = {domain['pull_sd']:.4f} [{domain['pull_sd_low']:.4f}, {domain['pull_sd_high']:.4f}]"
        if domain.get("scatter_verdict") == "fail":
            low = min(domain["scatter"], domain["scatter_local"])
            yield f"closure scatters between muons by {low:.3f} of what independent toys would; do they share noise?"
        if self.counts["sigma_negative"]:
            yield f"{self.counts['sigma_negative']} muons have a negative σ"

    def _ends_reason(self, numbers: dict[str, Any], where: str) -> Iterator[str]:
        """The worst of the ends that don't pass."""
        if any(numbers[f"{end}_off"] is None for end in ENDS):
            yield f"too few toys for the ends of intervals {where}"
            return
        open_ends = [end for end in ENDS if numbers[f"{end}_verdict"] != "pass"]
        if open_ends:
            end = max(open_ends, key=lambda e: (RANK[numbers[f"{e}_verdict"]], abs(numbers[f"{e}_off"])))
            limits = f"[{numbers[f'{end}_off_low']:+.4f}, {numbers[f'{end}_off_high']:+.4f}]"
            count = f", the worst of {len(open_ends)} ends," if len(open_ends) > 1 else ""
            yield f"{WORDS[end]} of toys{count} is {numbers[f'{end}_off']:+.4f} {limits} half-widths off {where}"

    def _more(self, bins: list[dict[str, Any]], domain: dict[str, Any]) -> list[str]:
        """What would settle an inconclusive verdict, if the numbers stay where they are."""
        advice = []
        open_bins = [each for each in bins if each["verdict"] == "inconclusive"]
        empty = sum(not each["toy_muons"] for each in open_bins)
        if empty:
            advice.append(f"raise toys.muons: {empty} bins have muons but no toys")
        if self.sigma == "linear" and not any(each["verdict"] in RANK for each in bins):
            advice.append("have muons further from the fold, or a finer resolution: none is in the linear domain")
        advice += self._more_toys([each for each in open_bins if each["toy_muons"]])
        if domain.get("pull_sd_verdict") == "inconclusive" and math.isfinite(domain["pull_sd_factor"] or math.inf):
            total = math.ceil(self.counts["muons"] * domain["pull_sd_factor"])
            more, outcome = total - self.counts["muons"], self._outcome([domain["pull_sd"]])
            advice.append(f"take {more} more muons for the width of pulls ({total} in all), for a {outcome}")
        return advice

    def _more_toys(self, bins: list[dict[str, Any]]) -> Iterator[str]:
        """How many toys would settle bins that have some."""
        if not bins:
            return
        factors = [each["factor"] for each in bins if each["factor"] is not None]
        if any(not math.isfinite(factor) for factor in factors):
            yield "no number of toys would settle what lies on the limit itself"
            return
        now = max(1, round(sum(each["toys"] for each in bins) / sum(each["toy_muons"] for each in bins)))
        # Toys are spread over all bins, so the neediest bin sets how many each muon must have.
        needed = 1 + math.ceil((now - 1) * max(factors, default=1.0))
        if any(each[f"{end}_off"] is None for each in bins for end in ENDS if self.sigma == "quoted"):
            needed = max(needed, FEWEST_FOR_ENDS)
        settled = [self._outcome([1 + value for value in self._deviations(each)]) for each in bins]
        change = f"raise toys.per_muon from {now} to {needed}"
        if self.toys.mode == "adaptive":
            change = f"set toys.mode to fixed and toys.per_muon to {needed}"
        muons = sum(each["toy_muons"] for each in bins)
        yield f"{change} ({(needed - now) * muons} more toys), for a {worst(settled)}"

    def _deviations(self, numbers: dict[str, Any]) -> list[float]:
        """How far what decides a bin is from what it should be."""
        ends = [numbers[f"{end}_off"] for end in ENDS] if self.sigma == "quoted" else []
        return [each for each in (numbers["ratio"] - 1, *ends) if each is not None]

    def _outcome(self, ratios: list[float]) -> str:
        """What ratios would be judged if they were known exactly."""
        return worst([equivalence(ratio, ratio, self.settings.tolerance) for ratio in ratios])

    def _bin(self, index: int) -> dict[str, Any]:
        numbers = self._numbers(np.arange(len(self.inside)) == index)
        verdicts: dict[str, Any] = {"ratio_verdict": None}
        factors = []
        if numbers["toy_muons"]:
            judged = {"ratio": self._judge_width(numbers["ratio"], numbers["ratio_se"])}
            for end in ENDS if self.sigma == "quoted" else ():
                if numbers[f"{end}_off"] is not None:
                    limits = partial(mean_interval, 1 + numbers[f"{end}_off"], numbers[f"{end}_off_se"])
                    judged[end] = self._judge(1 + numbers[f"{end}_off"], limits)
            for name, (found, factor) in judged.items():
                verdicts[f"{name}_verdict"] = found
                factors += [] if factor is None else [factor]
        if not self.inside[index]:
            verdict, factors = OUTSIDE, []
        elif not numbers["toy_muons"]:
            verdict = "inconclusive" if numbers["muons"] else EMPTY
        else:
            ends = [verdicts.get(f"{end}_verdict", "inconclusive") for end in ENDS] if self.sigma == "quoted" else []
            verdict = worst([verdicts["ratio_verdict"], *ends])
        low, high = float(self.edges[index]), float(self.edges[index + 1])
        head = {"sigma": self.sigma, "low": low, "high": high}
        return {**head, **numbers, **verdicts, "verdict": verdict, "factor": max(factors, default=None)}

    def _judge_width(self, ratio: float, se: float) -> tuple[str, float | None]:
        """The verdict on a ratio of standard deviations."""
        degrees = (ratio / se) ** 2 / 2 if se else 1.0
        return self._judge(ratio, lambda confidence: sd_interval(ratio, degrees, confidence))

    def _judge(self, ratio: float, limits: Callable[[float], tuple[float, float]]) -> tuple[str, float | None]:
        """The verdict on a ratio from its intervals, and if it is inconclusive what the toys must be multiplied by."""
        tolerance = self.settings.tolerance
        narrow, wide = limits(self.settings.confidence), limits(self.confidence_to_fail)
        if equivalence(*narrow, tolerance) == "pass":
            return "pass", None
        if equivalence(*wide, tolerance) == "fail":
            return "fail", None
        within = abs(ratio - 1) <= tolerance
        return "inconclusive", factor_to_settle(ratio, *(narrow if within else wide), tolerance)

    def _domain(self) -> dict[str, Any]:
        """The domain of this σ as a whole; for the linear one with verdicts on pulls and on the scatter of closure."""
        low = self.settings.domain if self.sigma == "linear" else 0.0
        numbers = {"sigma": self.sigma, "low": low, "high": math.inf, **self._numbers(self.inside)}
        if self.sigma == "quoted":
            return numbers
        pulls: dict[str, Any] = {"pull_sd_verdict": None, "pull_sd_factor": None}
        if self.has_truth and numbers["muons"]:
            pulls["pull_sd_verdict"] = "inconclusive"
            if numbers["pull_sd"] is not None:
                verdict, factor = self._judge_width(numbers["pull_sd"], numbers["pull_sd_se"])
                pulls = {"pull_sd_verdict": verdict, "pull_sd_factor": factor}
        return {**numbers, **pulls, **self._scatter()}

    def _scatter(self) -> dict[str, Any]:
        """The scatter of closure between muons over what the toy count predicts: as it is, and between neighbours.

        Where the law bends, the ratio drifts with θ and the scatter grows, which would hide shared noise. Successive
        differences in order of θ don't see the drift (von Neumann 1941, Ann. Math. Stat. 12:367), and have about two
        thirds of the degrees of freedom.
        """
        names = ("scatter", "scatter_local")
        result: dict[str, Any] = dict.fromkeys((*names, *(f"{n}_{end}" for n in names for end in ("low", "high"))))
        _, at, _, ratios, freedom, *_ = self._toys_in(self.inside)
        if len(ratios) < FEWEST_FOR_SCATTER:
            return {**result, "scatter_verdict": None}
        unit = ratios.mean() * math.sqrt((expected_scatter(freedom) ** 2).mean())
        steps = np.diff(ratios[np.argsort(at, kind="stable")])
        count = len(ratios)
        widths = {
            "scatter": (ratios.std(ddof=1), count - 1),
            "scatter_local": (math.sqrt((steps**2).mean() / 2), 2 * (count - 1) ** 2 / (3 * count - 4)),
        }
        for name, (width, degrees) in widths.items():
            low, high = sd_interval(float(width / unit), degrees, self.settings.confidence)
            result |= {name: float(width / unit), f"{name}_low": low, f"{name}_high": high}
        narrow = any(result[f"{name}_high"] < NARROWEST_SCATTER for name in names)
        return {**result, "scatter_verdict": "fail" if narrow else "pass"}

    def _toys_in(self, which: np.ndarray) -> np.ndarray:
        """Bin, value, toys, ratio, degrees of freedom, how far four ends are off, and their errors, of toy muons."""
        toys = np.concatenate([np.empty((5 + 2 * len(ENDS), 0)), *self._toys], axis=1)
        return toys[:, which[toys[0].astype(int)]]

    def _numbers(self, which: np.ndarray) -> dict[str, Any]:
        """The statistics of some bins taken together."""
        confidence = self.settings.confidence
        sums = {name: float(each[which].sum()) for name, each in self.sums.items()}
        muons = int(sums["muons"])
        _, _, count, ratios, freedom, *ends = self._toys_in(which)
        numbers: dict[str, Any] = {
            "muons": muons,
            "share": muons / self.counts["muons"] if self.counts["muons"] else None,
            "linear_ok": sums["linear_ok"] / muons if muons else None,
            "mean_value": sums["value"] / muons if muons else None,
            "mean_sigma": sums["sigma"] / muons if muons else None,
            "toy_muons": len(ratios),
            "toys": int(count.sum()),
            **dict.fromkeys(("ratio", "ratio_se", "ratio_low", "ratio_high")),
            **dict.fromkeys(f"{end}_off{limit}" for end in ENDS for limit in ("", "_se", "_low", "_high")),
        }
        if len(ratios):
            # Pooled variance, weighted by toys: unbiased however few a muon has.
            weight = (count - 1) / (count - 1).sum()
            square = float((weight * ratios**2).sum())
            degrees = square**2 / float((weight**2 * ratios**4 / freedom).sum()) if square else float(freedom.sum())
            low, high = sd_interval(math.sqrt(square), degrees, confidence)
            numbers |= {
                "ratio": math.sqrt(square),
                "ratio_se": math.sqrt(square / (2 * degrees)),
                "ratio_low": low,
                "ratio_high": high,
            }
            for name, off, error in zip(ENDS, ends[: len(ENDS)], ends[len(ENDS) :], strict=True):
                known = np.isfinite(off)
                if known.any():
                    mean = float(off[known].mean())
                    se = math.sqrt(float((error[known] ** 2).sum())) / int(known.sum())
                    low, high = mean_interval(mean, se, confidence)
                    numbers |= {
                        f"{name}_off": mean,
                        f"{name}_off_se": se,
                        f"{name}_off_low": low,
                        f"{name}_off_high": high,
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
        for name in LEVELS:
            inside = int(sums[f"in{name}"])
            low, high = coverage_interval(inside, count, confidence)
            numbers |= {
                f"coverage{name}": inside / count,
                f"coverage{name}_low": low,
                f"coverage{name}_high": high,
            }
        return numbers
