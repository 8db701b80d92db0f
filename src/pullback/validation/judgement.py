"""Is σ right? An equivalence test of the linear and the quoted σ against toys and truth, in bins of θ/σ.

Toys are thrown around the recorded hits, where σ is quoted. These numbers are judged:

- *Closure*: standard deviation of the toys over σ.
- *Ends*: ends of the toys' intervals minus ends of the quoted intervals, over the half-width of the quoted interval.
- *Bias*: mean of the toys minus value and quoted bias, over σ.
- *Pulls*: z = (θ_reco - θ_true)/σ(x_reco) of the smeared muons.
- *Scatter* of closure between muons.

A number passes when its confidence interval lies within the tolerance. It fails when its Bonferroni-corrected interval
lies outside, and is inconclusive otherwise. More toys sharpen the test and never make a harmless bias fail, unlike a
significance test (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657).

The linear σ is judged in the linear domain, by the mean over each bin. The quoted σ is judged in all bins, by the mean
and by the root mean square over muons, in which opposite deviations do not cancel. `NEVER` lists what no muon with a
quoted σ may show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..config.schema import Toys, Validation
from ..statistics.intervals import (
    coverage_interval,
    equivalence,
    expected_scatter,
    factor_to_settle,
    mean_interval,
    sd_interval,
)
from ..uncertainty.monte_carlo import FEWEST_FOR_ENDS
from .bin_sums import LEVELS, Tally, ToyResiduals

FEWEST_FOR_SCATTER = 20
"""Minimum toy muons to judge their scatter; with fewer it would often fail by chance."""

NARROWEST_SCATTER = 0.8
"""Scatter of closure between muons over its expectation from the number of toys; lower values mean dependent toys."""

ENDS = tuple(f"{end}{level}" for level in LEVELS for end in ("low", "high"))
"""The ends of both intervals."""

OFFS = ("bias", *ENDS)
"""Deviations of toys from the quoted values, which should be 0: bias in σ, ends in half-widths."""

MEASURED = {
    "linear": ("ratio", *(f"{name}_off" for name in OFFS)),
    "quoted": ("ratio", "ratio_rms", *(f"{name}_{kind}" for name in OFFS for kind in ("off", "rms"))),
}
"""Numbers measured by toys for each σ in each bin, with suffixes `_se`, `_low` and `_high`."""

WORDS = {"bias": "bias"} | {
    f"{end}{level}": f"{words} end of the {percent} interval"
    for level, percent in (("68", "68.27 %"), ("95", "95 %"))
    for end, words in (("low", "lower"), ("high", "upper"))
}

NEVER = {
    "sigma_negative": "have a negative σ",
    "sigma_zero_or_nan": "have no σ or σ = 0, although their hits and values are finite",
    "interval_unusable": "have an interval that is not finite, or a 68.27 % interval not inside the 95 % interval",
    "sigma_not_linear": "are flagged as linear, but their σ is not the linear one",
    "toys_contradict": "have toys that contradict their flag linear_valid",
    "sd_withheld": "are quoted without a standard deviation, although their toys have no tails",
}
"""Defects that no muon with a quoted σ may have, with their descriptions."""

MOST_MORE = 100
"""Largest factor of additional toys that is advised."""

RANK = {"pass": 0, "inconclusive": 1, "fail": 2}
PULLS = ("pull_mean", "pull_mean_se", "pull_sd", "pull_sd_se", "pull_sd_low", "pull_sd_high", "pull_rms")
PULLS += tuple(f"coverage{level}{end}" for level in LEVELS for end in ("", "_low", "_high"))
"""Statistics of pulls, given for at least two pulls."""

OUTSIDE = "outside the linear domain"
EMPTY = "empty"

MOST_DISAGREEING, FEWEST_TO_DISAGREE = 0.5, 20
"""Largest tolerated fraction of toy muons that disagree with `linear_valid`, which happens by chance where interval
ends deviate by about δ; and minimum toy muons able to test linearity.
"""


def worst(verdicts: list[str | None]) -> str:
    """The worst verdict; those that decide nothing (`OUTSIDE`, `EMPTY`) are ignored."""
    return max((each for each in verdicts if each in RANK), key=RANK.__getitem__, default="inconclusive")


class Judgement:
    """The verdict on one σ of one observable at one point, from its tally."""

    def __init__(self, tally: Tally, settings: Validation, toys: Toys, among: int):
        """Judge one of `among` tallies of the study; `settings.domain` must be the domain of the tally's bins."""
        self.settings, self.toys, self.sigma = settings, toys, tally.sigma
        self.edges, self.counts, self.has_truth = tally.edges, tally.counts, tally.has_truth
        self.sums, self.measured = tally.bins, tally.toys
        bins = len(self.edges) - 1
        self.inside = (self.edges[:-1] >= settings.domain) | (self.sigma == "quoted")
        # Bonferroni: one of many numbers deviates far by chance. A pass needs no correction, since all numbers must
        # pass.
        judged = among * (2 * bins * (1 + len(OFFS)) if self.sigma == "quoted" else bins + 1)
        self.confidence_to_fail = 1 - (1 - settings.confidence) / judged

    def result(self) -> dict[str, Any]:
        """Verdict, reasons, counts, and the numbers of each bin, of all muons, and of the domain of this σ."""
        bins = [self._bin(index) for index in range(len(self.inside))]
        domain = self._domain()
        whole = [domain.get("pull_sd_verdict"), domain.get("scatter_verdict"), *("fail" for _ in self._never())]
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

    def _never(self) -> Iterator[str]:
        """Defects that some muons have and none may have."""
        for name, words in NEVER.items():
            if self.counts[name] and (name == "sigma_negative" or self.sigma == "quoted"):
                yield f"{self.counts[name]} muons {words}"
        telling, disagreeing = self.counts["toys_can_tell"], self.counts["toys_disagree"]
        if self.sigma == "quoted" and telling >= FEWEST_TO_DISAGREE and disagreeing > MOST_DISAGREEING * telling:
            yield f"toys of {disagreeing} of {telling} muons disagree with linear_valid"

    def _reasons(self, bins: list[dict[str, Any]], domain: dict[str, Any]) -> Iterator[str]:
        """Reasons why the verdict is not a pass."""
        yield from self._never()
        for each in bins:
            if each["verdict"] not in ("fail", "inconclusive"):
                continue
            high = f" < {each['high']:g}" if math.isfinite(each["high"]) else ""
            where = f"at {each['low']:g} ≤ θ/σ{high}"
            if not each["toy_muons"]:
                yield f"no toys {where}"
                continue
            if each["ratio_verdict"] not in ("pass", None):
                yield f"toy sd / σ = {each['ratio']:.4f} [{each['ratio_low']:.4f}, {each['ratio_high']:.4f}] {where}"
            elif self.sigma == "quoted" and each.get("ratio_rms_verdict", "pass") != "pass":
                limits = f"[{each['ratio_rms_low']:.4f}, {each['ratio_rms_high']:.4f}]"
                yield f"root mean square deviation of σ over muons = {each['ratio_rms']:.4f} {limits} {where}"
            if self.sigma == "quoted":
                yield from self._offs_reason(each, where)
        if not any(each["verdict"] in RANK for each in bins):
            yield "no muons in the linear domain" if self.sigma == "linear" else "no muons with a usable σ"
        if domain.get("pull_sd_verdict") in ("fail", "inconclusive"):
            if domain["pull_sd"] is None:
                yield "fewer than two pulls in the linear domain"
            else:
                yield f"pull sd = {domain['pull_sd']:.4f} [{domain['pull_sd_low']:.4f}, {domain['pull_sd_high']:.4f}]"
        if domain.get("scatter_verdict") == "fail":
            low = min(domain["scatter"], domain["scatter_local"])
            yield f"scatter of closure between muons is {low:.3f} of that of independent toys; do they share noise?"

    def _offs_reason(self, numbers: dict[str, Any], where: str) -> Iterator[str]:
        """The worst of bias and interval ends that do not pass."""
        if any(numbers[f"{end}_off"] is None for end in ENDS):
            yield f"too few toys for the ends of intervals {where}"
        kinds = [(f"{name}_off", f"{name}_verdict", "") for name in OFFS]
        kinds += [(f"{name}_rms", f"{name}_rms_verdict", " in root mean square") for name in OFFS]
        known = [each for each in kinds if numbers.get(each[1]) in ("fail", "inconclusive")]
        if known:
            key, verdict, how = max(known, key=lambda each: (RANK[numbers[each[1]]], abs(numbers[each[0]])))
            limits = f"[{numbers[f'{key}_low']:+.4f}, {numbers[f'{key}_high']:+.4f}]"
            name = verdict.split("_")[0]
            unit = "σ" if name == "bias" else "half-widths"
            others = f", the worst of {len(known)} such numbers," if len(known) > 1 else ""
            yield f"{WORDS[name]} of toys{others} is {numbers[key]:+.4f} {limits} {unit} off{how} {where}"

    def _more(self, bins: list[dict[str, Any]], domain: dict[str, Any]) -> list[str]:
        """Advice that would settle an inconclusive verdict if the numbers stay at their present values."""
        advice = []
        open_bins = [each for each in bins if each["verdict"] == "inconclusive"]
        empty = sum(not each["toy_muons"] for each in open_bins)
        if empty:
            advice.append(f"raise toys.muons: {empty} bins have muons but no toys")
        if self.sigma == "linear" and not any(each["verdict"] in RANK for each in bins):
            advice.append("use muons further from the fold, or a finer resolution: none is in the linear domain")
        advice += self._more_toys([each for each in open_bins if each["toy_muons"]])
        if domain.get("pull_sd_verdict") == "inconclusive" and math.isfinite(domain["pull_sd_factor"] or math.inf):
            total = math.ceil(self.counts["muons"] * domain["pull_sd_factor"])
            more, outcome = total - self.counts["muons"], self._outcome([domain["pull_sd"]])
            advice.append(f"take {more} more muons for the width of pulls ({total} in all), for a {outcome}")
        return advice

    def _more_toys(self, bins: list[dict[str, Any]]) -> Iterator[str]:
        """The number of toys that would settle bins with toys."""
        if not bins:
            return
        now = max(1, round(sum(each["toys"] for each in bins) / sum(each["toy_muons"] for each in bins)))
        # Toys are distributed over all bins, so the bin with the greatest need sets the number of toys per muon.
        factor = max((each["factor"] for each in bins if each["factor"] is not None), default=1.0)
        few = any(each[f"{end}_off"] is None for each in bins for end in ENDS if self.sigma == "quoted")
        if factor > MOST_MORE and not few:
            yield f"not even {MOST_MORE} times as many toys would settle a number so near to the limit"
            return
        needed = FEWEST_FOR_ENDS if factor > MOST_MORE else 1 + math.ceil((now - 1) * factor)
        needed = max(needed, FEWEST_FOR_ENDS) if few else needed
        if needed <= now:
            yield "find out why some muons have no intervals"
            return
        settled = [self._outcome([1 + value for value in self._deviations(each)]) for each in bins]
        change = f"raise toys.per_muon from {now} to {needed}"
        if self.toys.mode == "adaptive":
            change = f"set toys.mode to fixed and toys.per_muon to {needed}"
        muons = sum(each["toy_muons"] for each in bins)
        yield f"{change} ({(needed - now) * muons} more toys), for a {worst(settled)}"

    def _deviations(self, numbers: dict[str, Any]) -> list[float]:
        """Deviations from expectation of the numbers that decide a bin."""
        offs = [numbers[f"{name}_off"] for name in OFFS] if self.sigma == "quoted" else []
        ratio = None if numbers["ratio"] is None else numbers["ratio"] - 1
        return [each for each in (ratio, *offs) if each is not None]

    def _outcome(self, ratios: list[float]) -> str:
        """The verdict if the ratios were known exactly."""
        return worst([equivalence(ratio, ratio, self.settings.tolerance) for ratio in ratios])

    def _bin(self, index: int) -> dict[str, Any]:
        numbers = self._numbers(np.arange(len(self.inside)) == index)
        judged: dict[str, tuple[str, float | None]] = {}
        if numbers["ratio"] is not None:
            judged["ratio"] = self._judge_width(numbers["ratio"], numbers["ratio_se"])
        if numbers["toy_muons"] and self.sigma == "quoted":
            if numbers["ratio_rms"] is not None:
                judged["ratio_rms"] = self._judge_rms(numbers["ratio_rms"], numbers["ratio_rms_se"])
            for name in OFFS:
                if numbers[f"{name}_off"] is not None:
                    limits = partial(mean_interval, 1 + numbers[f"{name}_off"], numbers[f"{name}_off_se"])
                    judged[name] = self._judge(1 + numbers[f"{name}_off"], limits)
                    judged[f"{name}_rms"] = self._judge_rms(numbers[f"{name}_rms"], numbers[f"{name}_rms_se"])
        if not self.inside[index]:
            verdict, factors = OUTSIDE, []
        elif not numbers["toy_muons"]:
            verdict, factors = "inconclusive" if numbers["recorded"] else EMPTY, []
        else:
            wanted = OFFS if numbers["ratio"] is not None else ENDS  # without a standard deviation there is no bias
            unknown = self.sigma == "quoted" and any(name not in judged for name in wanted)
            verdict = worst([each for each, _ in judged.values()] + ["inconclusive"] * unknown)
            factors = [factor for _, factor in judged.values() if factor is not None]
        low, high = float(self.edges[index]), float(self.edges[index + 1])
        head = {"sigma": self.sigma, "low": low, "high": high}
        verdicts = {"ratio_verdict": None} | {f"{name}_verdict": each for name, (each, _) in judged.items()}
        return {**head, **numbers, **verdicts, "verdict": verdict, "factor": max(factors, default=None)}

    def _judge_width(self, ratio: float, se: float) -> tuple[str, float | None]:
        """The verdict on a ratio of standard deviations."""
        degrees = (ratio / se) ** 2 / 2 if se else 1.0
        return self._judge(ratio, lambda confidence: sd_interval(ratio, degrees, confidence))

    def _judge(self, ratio: float, limits: Callable[[float], tuple[float, float]]) -> tuple[str, float | None]:
        """The verdict on a ratio from its intervals; if inconclusive, also the factor by which toys must increase."""
        tolerance = self.settings.tolerance
        narrow, wide = limits(self.settings.confidence), limits(self.confidence_to_fail)
        if equivalence(*narrow, tolerance) == "pass":
            return "pass", None
        if equivalence(*wide, tolerance) == "fail":
            return "fail", None
        within = abs(ratio - 1) <= tolerance
        return "inconclusive", factor_to_settle(ratio, *(narrow if within else wide), tolerance)

    def _judge_rms(self, rms: float, se: float) -> tuple[str, float | None]:
        """The verdict on a root mean square deviation, which should be 0, from the standard error of its square."""
        limit = self.settings.tolerance**2
        narrow, wide = (
            mean_interval(rms**2, se, confidence) for confidence in (self.settings.confidence, self.confidence_to_fail)
        )
        if narrow[1] <= limit:
            return "pass", None
        if wide[0] > limit:
            return "fail", None
        half = (narrow if rms**2 <= limit else wide)[1] - rms**2
        return "inconclusive", half / abs(limit - rms**2) if rms**2 != limit else math.inf

    def _domain(self) -> dict[str, Any]:
        """Numbers of the domain of this σ; for the linear σ with verdicts on pulls and on the scatter of closure."""
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
        """Scatter of closure between muons over its expectation: over all muons, and between neighbours in θ.

        Where the function is curved, the ratio drifts with θ. This increases the scatter and could hide shared noise.
        Successive differences in order of θ are insensitive to the drift (von Neumann 1941, Ann. Math. Stat. 12:367),
        and have about two thirds of the degrees of freedom.
        """
        names = ("scatter", "scatter_local")
        result: dict[str, Any] = dict.fromkeys((*names, *(f"{n}_{end}" for n in names for end in ("low", "high"))))
        toys = self._toys_in(self.inside)
        toys = ToyResiduals(*(each[np.isfinite(toys.ratio)] for each in toys))
        at, ratios, freedom = toys.value, toys.ratio, _freedom(toys)
        if len(ratios) < FEWEST_FOR_SCATTER or not ratios.any():  # toys without any spread have no scatter
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

    def _toys_in(self, which: np.ndarray) -> ToyResiduals:
        """The toy muons in the selected bins."""
        return ToyResiduals(*(each[which[self.measured.bin]] for each in self.measured))

    def _numbers(self, which: np.ndarray) -> dict[str, Any]:
        """Statistics of the selected bins taken together."""
        confidence = self.settings.confidence
        sums = {name: float(each[which].sum()) for name, each in self.sums.items()}
        muons, toys = int(sums["muons"]), self._toys_in(which)
        numbers: dict[str, Any] = {
            "muons": muons,
            "recorded": int(sums["recorded"]),
            "share": muons / self.counts["muons"] if self.counts["muons"] else None,
            "linear_valid": sums["linear_valid"] / muons if muons else None,
            "mean_value": sums["value"] / muons if muons else None,
            "mean_sigma": sums["sigma"] / muons if muons else None,
            "toy_muons": len(toys.ratio),
            "toys": int(toys.count.sum()),
            **dict.fromkeys(
                f"{name}{limit}" for name in MEASURED[self.sigma] for limit in ("", "_se", "_low", "_high")
            ),
        }
        found: dict[str, float] = {}
        # With few toys, their errors are too rough for anything except the pooled width.
        enough = toys.count >= FEWEST_FOR_ENDS
        has_sd = np.isfinite(toys.ratio)
        if has_sd.any():
            spread = ToyResiduals(*(each[has_sd] for each in toys))
            # Pooled variance, weighted by the number of toys: unbiased however few toys a muon has.
            weight = (spread.count - 1) / (spread.count - 1).sum()
            square = float((weight * spread.ratio**2).sum())
            freedom = _freedom(spread)
            total = float((weight**2 * spread.ratio**4 / freedom).sum())
            degrees = square**2 / total if square else float(freedom.sum())
            low, high = sd_interval(math.sqrt(square), degrees, confidence)
            found = {
                "ratio": math.sqrt(square),
                "ratio_se": math.sqrt(square / (2 * degrees)),
                "ratio_low": low,
                "ratio_high": high,
            }
            if (enough & has_sd).any():
                known = enough & has_sd
                found |= _rms("ratio_rms", (toys.ratio - 1)[known], toys.ratio_error[known], confidence)
        for name in OFFS:
            off, error = getattr(toys, name), getattr(toys, f"{name}_error")
            known = enough & np.isfinite(off) & np.isfinite(error)  # muons without an interval are counted elsewhere
            if known.any():
                off, error = off[known], error[known]
                mean, se = float(off.mean()), math.sqrt(float((error**2).sum())) / len(off)
                limits = dict(zip(("_low", "_high"), mean_interval(mean, se, confidence), strict=True))
                found |= {f"{name}_off{key}": number for key, number in {"": mean, "_se": se, **limits}.items()}
                found |= _rms(f"{name}_rms", off, error, confidence)
        numbers |= {key: number for key, number in found.items() if key in numbers}
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
        # Var(s²)/σ⁴ = 2/(n-1) + κ/n with the excess kurtosis κ, expressed as degrees of freedom of a χ². κ is estimated
        # without bias. Negative estimates are set to 0, since they occur by chance in small samples.
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


def _freedom(toys: ToyResiduals) -> np.ndarray:
    """Degrees of freedom of each muon's sd over toys, from its standard error."""
    known = toys.ratio_error > 0
    return np.where(known, (toys.ratio / np.where(known, toys.ratio_error, 1)) ** 2 / 2, toys.count - 1)


def _rms(name: str, off: np.ndarray, error: np.ndarray, confidence: float) -> dict[str, float]:
    """Root mean square of the deviations without the toys' statistical errors, and its interval.

    Opposite deviations of muons do not cancel in it. `_se` is the standard error of the mean of off² - error², from the
    scatter between muons, and at least as large as the toys' errors imply.
    """
    square = off**2 - error**2
    mean = float(square.mean())
    least = math.sqrt(float((2 * error**4 + 4 * error**2 * max(mean, 0.0)).sum())) / len(off)
    se = max(least, float(square.std(ddof=1)) / math.sqrt(len(off)) if len(off) > 1 else 0.0)
    low, high = mean_interval(max(mean, 0.0), se, confidence)
    root = lambda number: math.sqrt(max(number, 0.0))  # noqa: E731
    return {name: root(mean), f"{name}_se": se, f"{name}_low": root(low), f"{name}_high": root(high)}
