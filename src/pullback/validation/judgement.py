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

The linear σ is judged by the mean over each bin of the linear domain, of muons that are called linear; if there are
none, nothing is quoted by it. The quoted σ is judged in all bins, by the mean and by the root mean square over muons,
in which opposite deviations do not cancel. `reasons.NEVER` lists what no muon with a quoted σ may show.
"""

from __future__ import annotations

import math

import numpy as np

from ..config.schema import ToySettings, Validation
from ..statistics.intervals import (
    ROOM,
    Verdict,
    coverage_interval,
    expected_scatter,
    factor_to_decide,
    mean_interval,
    sd_interval,
)
from ..uncertainty.monte_carlo import FEWEST_FOR_ENDS
from .bin_sums import Sums, Tally, ToyResiduals
from .estimates import Criteria, Estimate, deciding, worst
from .evidence import (
    ENDS,
    OFFSETS,
    Bin,
    ClosureScatter,
    Counts,
    Deviation,
    DomainStatistics,
    Judgement,
    NotJudged,
    Offset,
    Offsets,
    Pulls,
    Statistics,
)
from .reasons import advice, defects, reasons

FEWEST_FOR_SCATTER = 20
"""Minimum toy muons to judge their scatter; with fewer it would often fail by chance."""

MOSTLY_LINEAR = 0.9
"""Smallest share of the muons in the linear domain that are called linear, for the width of their pulls to be judged:
those of the others are no pulls, and a choice by the recorded hits would bias them."""

NARROWEST_SCATTER = 0.8
"""Scatter of closure between muons over its expectation from the number of toys; lower values mean dependent toys."""


class Judge:
    """Judges one σ of one observable at one point by its tally."""

    def __init__(self, tally: Tally, settings: Validation, toys: ToySettings, among: int, place: str = "θ/σ"):
        """Judge one of `among` tallies of the study; `settings.domain` must be the domain of the tally's bins.

        `place` is what the distance from the fold is called; empty without a fold.
        """
        self.settings, self.toys, self.place = settings, toys, place
        self.sigma, self.quoted = tally.sigma, tally.sigma == "quoted"
        self.edges, self.counts, self.has_truth = tally.edges, Counts(**tally.counts), tally.has_truth
        self.of_bins, self.measured = tally.bins, tally.toys
        bins = len(self.edges) - 1
        self.inside = (self.edges[:-1] >= settings.domain) | self.quoted
        # Bonferroni: one of many numbers deviates far by chance. A pass needs no correction, since all numbers must
        # pass. Judged are mean and root mean square of the ratio and all offsets, or the mean ratio and the pulls.
        judged = among * (2 * bins * (1 + len(OFFSETS)) if self.quoted else bins + 1)
        self.criteria = Criteria.among(settings.confidence, judged)

    def result(self) -> Judgement:
        """Verdict, reasons, counts, and the numbers of each bin, of all muons, and of the domain of this σ."""
        bins, domain = self._bins(), self._domain()
        found = [*defects(self.sigma, self.counts, self.criteria.confidence_to_fail)]
        scatter = domain.scatter
        # Inconclusive if no bin is judged, unless no muon is called linear: then nothing is quoted by it.
        judged = [each.verdict for each in bins if each.decides]
        of_bins = worst(judged if judged or self.quoted else [Verdict.PASS])
        return Judgement(
            sigma=self.sigma,
            verdict=worst([of_bins, scatter and scatter.verdict, *[Verdict.FAIL] * bool(found)]),
            reasons=[*reasons(self.sigma, found, bins, domain, self.place)],
            remedies=advice(self.toys, self.settings, self.sigma, bins, self.counts.muons),
            counts=self.counts,
            bins=bins,
            overall=self._statistics(np.ones_like(self.inside)),
            domain=domain,
        )

    def _bins(self) -> list[Bin]:
        """All bins, each with its verdict and whether it decides."""
        bins = [self._bin(index) for index in range(len(self.inside))]
        decides = deciding(bins, self._held, self.settings.strict)
        return [each.model_copy(update={"decides": of}) for each, of in zip(bins, decides, strict=True)]

    def _held(self, each: Bin) -> float:
        """Share of the muons that a bin holds, by true or by recorded hits, whichever is more."""
        return max(each.muons, each.recorded) / self.counts.muons if self.counts.muons else 0.0

    def _bin(self, index: int) -> Bin:
        """The numbers of a bin with their verdicts."""
        found = self._statistics(np.arange(len(self.inside)) == index)
        found = found.model_copy(update={"ratio": self._judge_width(found.ratio)})
        if self.quoted:
            offsets = Offsets(**{name: self._judge_deviation(found.offsets.of(name)) for name in OFFSETS})
            found = found.model_copy(update={"ratio_rms": self._judge_rms(found.ratio_rms), "offsets": offsets})
        verdict: Verdict | NotJudged
        factors: list[float] = []
        if not self.inside[index]:
            verdict = NotJudged.OUTSIDE
        elif not found.toy_muons:
            empty = NotJudged.EMPTY if self.quoted else NotJudged.NOT_LINEAR
            verdict = Verdict.INCONCLUSIVE if found.recorded else empty
        else:
            wanted = OFFSETS if found.ratio else ENDS  # without a standard deviation there is no bias
            unknown = self.quoted and any(found.offsets.of(name).mean is None for name in wanted)
            verdict = worst([*(each.verdict for each in found.judged), *[Verdict.INCONCLUSIVE] * unknown])
            factors = [each.factor for each in found.judged if each.factor is not None]
        low, high = self.edges[index : index + 2].tolist()
        return Bin(**dict(found), low=low, high=high, verdict=verdict, factor=max(factors, default=None))

    def _judge_width(self, ratio: Estimate | None) -> Estimate | None:
        """A ratio of standard deviations with its verdict."""
        if ratio is None or ratio.se is None:
            return ratio
        degrees = (ratio.value / ratio.se) ** 2 / 2 if ratio.se else 1.0
        return self.criteria.width(ratio.value, degrees, self.settings.of_toys)

    def _judge_deviation(self, deviation: Deviation) -> Deviation:
        """A deviation, which should be 0, with the verdicts on its mean and its root mean square."""
        mean = deviation.mean
        if mean is None or mean.se is None:
            return deviation
        judged = self.criteria.mean(mean.value, mean.se, self.settings.of_toys)
        return Deviation(mean=judged, rms=self._judge_rms(deviation.rms))

    def _judge_rms(self, rms: Estimate | None) -> Estimate | None:
        """A root mean square deviation, which should be 0, with its verdict; `se` is that of its square."""
        if rms is None or rms.se is None:
            return rms
        limit, square = self.settings.of_toys**2, rms.value**2
        narrow, wide = (mean_interval(square, rms.se, confidence) for confidence in self.criteria)
        if narrow[1] <= limit:
            return _judged(rms, Verdict.PASS)
        if wide[0] > limit:
            return _judged(rms, Verdict.FAIL)
        factor = factor_to_decide(square, rms.se, (-math.inf, limit), *self.criteria)
        # Without a true deviation, the square and its error fall as 1/sample.
        chance = square <= ROOM * rms.se
        return _judged(rms, Verdict.INCONCLUSIVE, math.sqrt(factor) if chance else factor)

    def _domain(self) -> DomainStatistics:
        """Numbers of the domain of this σ; for the linear σ with verdicts on pulls and on the scatter of closure."""
        low = 0.0 if self.quoted else self.settings.domain
        found, verdict, scatter = self._statistics(self.inside), None, None
        if not self.quoted:
            scatter = self._scatter()
            linear = (found.linear_valid or 0.0) >= MOSTLY_LINEAR
            if self.has_truth and found.muons and linear:
                verdict = Verdict.INCONCLUSIVE
            if linear and found.pulls and (sd := self._judge_width(found.pulls.sd)):
                verdict = sd.verdict
                found = found.model_copy(update={"pulls": found.pulls.model_copy(update={"sd": sd})})
        return DomainStatistics(**dict(found), low=low, high=math.inf, pull_sd_verdict=verdict, scatter=scatter)

    def _scatter(self) -> ClosureScatter | None:
        """Scatter of closure between muons over its expectation: over all muons, and between neighbours in θ.

        Where the function is curved, the ratio drifts with θ. This increases the scatter and could hide shared noise.
        Successive differences in order of θ are insensitive to the drift (von Neumann 1941, Ann. Math. Stat. 12:367),
        and have about two thirds of the degrees of freedom.
        """
        toys = self._toys_in(self.inside)
        toys = toys.take(np.isfinite(toys.ratio))
        ratios, count = toys.ratio, len(toys.ratio)
        if count < FEWEST_FOR_SCATTER or not ratios.any():  # toys without any spread have no scatter
            return None
        unit = ratios.mean() * math.sqrt((expected_scatter(_freedom(toys)) ** 2).mean())
        steps = np.diff(ratios[np.argsort(toys.value, kind="stable")])

        def estimate(width: float, degrees: float) -> Estimate:
            low, high = sd_interval(float(width / unit), degrees, self.settings.confidence)
            return Estimate(value=float(width / unit), low=low, high=high)

        everywhere = estimate(ratios.std(ddof=1), count - 1)
        local = estimate(math.sqrt((steps**2).mean() / 2), 2 * (count - 1) ** 2 / (3 * count - 4))
        narrow = min(everywhere.high, local.high) < NARROWEST_SCATTER
        return ClosureScatter(all=everywhere, local=local, verdict=Verdict.FAIL if narrow else Verdict.PASS)

    def _toys_in(self, which: np.ndarray) -> ToyResiduals:
        """The toy muons in the selected bins."""
        return self.measured.take(which[self.measured.bin])

    def _statistics(self, which: np.ndarray) -> Statistics:
        """Statistics of the selected bins taken together."""
        confidence = self.settings.confidence
        sums = Sums(*(float(each[which].sum()) for each in self.of_bins))
        muons, toys = int(sums.muons), self._toys_in(which)
        # With few toys, their errors are too rough for anything except the pooled width.
        known = (toys.number >= FEWEST_FOR_ENDS) & np.isfinite(toys.ratio)
        rms = _rms((toys.ratio - 1)[known], toys.ratio_error[known], confidence)
        return Statistics(
            muons=muons,
            recorded=int(sums.recorded),
            share=muons / self.counts.muons if self.counts.muons else None,
            linear_valid=sums.linear_valid / muons if muons else None,
            mean_value=sums.value / muons if muons else None,
            mean_sigma=sums.sigma / muons if muons else None,
            toy_muons=len(toys.ratio),
            toys=int(toys.number.sum()),
            ratio=_closure(toys, confidence),
            ratio_rms=rms if self.quoted else None,
            offsets=Offsets(**{name: self._deviation(toys, name) for name in OFFSETS}),
            pulls=_pulls(sums, confidence) if self.has_truth else None,
        )

    def _deviation(self, toys: ToyResiduals, name: Offset) -> Deviation:
        """Mean and root mean square of an offset; muons without an interval are counted elsewhere."""
        (off, error), confidence = toys.offset(name), self.settings.confidence
        known = (toys.number >= FEWEST_FOR_ENDS) & np.isfinite(off) & np.isfinite(error)
        if not known.any():
            return Deviation()
        off, error = off[known], error[known]
        mean, se = float(off.mean()), math.sqrt(float((error**2).sum())) / len(off)
        rms = _rms(off, error, confidence) if self.quoted else None
        return Deviation(mean=_mean_estimate(mean, se, confidence), rms=rms)


def _judged(estimate: Estimate, verdict: Verdict, factor: float | None = None) -> Estimate:
    return estimate.model_copy(update={"verdict": verdict, "factor": factor})


def _mean_estimate(mean: float, se: float, confidence: float) -> Estimate:
    low, high = mean_interval(mean, se, confidence)
    return Estimate(value=mean, se=se, low=low, high=high)


def _closure(toys: ToyResiduals, confidence: float) -> Estimate | None:
    """Standard deviation of the toys over σ, pooled over muons."""
    has_sd = np.isfinite(toys.ratio)
    if not has_sd.any():
        return None
    toys = toys.take(has_sd)
    # Pooled variance, weighted by the number of toys: unbiased however few toys a muon has.
    weight = (toys.number - 1) / (toys.number - 1).sum()
    square = float((weight * toys.ratio**2).sum())
    freedom = _freedom(toys)
    total = float((weight**2 * toys.ratio**4 / freedom).sum())
    degrees = square**2 / total if square else float(freedom.sum())
    low, high = sd_interval(math.sqrt(square), degrees, confidence)
    return Estimate(value=math.sqrt(square), se=math.sqrt(square / (2 * degrees)), low=low, high=high)


def _pulls(sums: Sums, confidence: float) -> Pulls | None:
    """Statistics of pulls; None for fewer than two."""
    count = int(sums.pulls)
    if count < 2:
        return None
    mean = sums.z / count
    second, third, fourth = (each / count for each in (sums.z2, sums.z3, sums.z4))
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

    def coverage(inside: float) -> Estimate:
        low, high = coverage_interval(int(inside), count, confidence)
        return Estimate(value=inside / count, low=low, high=high)

    return Pulls(
        mean=_mean_estimate(mean, sd / math.sqrt(count), confidence),
        sd=Estimate(value=sd, se=sd / math.sqrt(2 * freedom), low=low, high=high),
        rms=math.sqrt(second),
        coverage68=coverage(sums.in68),
        coverage95=coverage(sums.in95),
    )


def _freedom(toys: ToyResiduals) -> np.ndarray:
    """Degrees of freedom of each muon's sd over toys, from its standard error."""
    known = toys.ratio_error > 0
    return np.where(known, (toys.ratio / np.where(known, toys.ratio_error, 1)) ** 2 / 2, toys.number - 1)


def _rms(off: np.ndarray, error: np.ndarray, confidence: float) -> Estimate | None:
    """Root mean square of the deviations without the toys' statistical errors, and its interval.

    Opposite deviations of muons do not cancel in it. `se` is the standard error of the mean of off² - error², from the
    scatter between muons, and at least as large as the toys' errors imply.
    """
    if not len(off):
        return None
    square = off**2 - error**2
    mean = float(square.mean())
    least = math.sqrt(float((2 * error**4 + 4 * error**2 * max(mean, 0.0)).sum())) / len(off)
    se = max(least, float(square.std(ddof=1)) / math.sqrt(len(off)) if len(off) > 1 else 0.0)
    value, low, high = (math.sqrt(max(each, 0.0)) for each in (mean, *mean_interval(max(mean, 0.0), se, confidence)))
    return Estimate(value=value, se=se, low=low, high=high)
