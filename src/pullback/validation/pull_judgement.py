"""Is the truth covered? Judgement of the smeared muons themselves, by their pulls in quantities that do not fold.

Judged are the mean of pulls over all muons, in bins of the true quantity and from block to block, their width, whether
blocks repeat each other's noise, and the hits that each layer loses. In a quantity that does not fold, no bias is
predicted: a shift, a gain and shared noise are seen.

How often intervals hold the truth is measured by toys, as many as are needed. The muons of a study are as many as they
are: they can only contradict, and numbers that they cannot settle decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..config.schema import Validation
from ..statistics.intervals import Verdict
from ..statistics.normal import P68, P95
from .coverage_evidence import HeldTruth, LayerHits, PullBin, QuantityPulls, SmearedEntry
from .coverage_judgement import UNEQUAL
from .coverage_reasons import held_reasons, hit_reasons, pull_reasons
from .coverage_sums import sum_over_blocks
from .estimates import Criteria, Estimate

FEWEST_IN_BIN = 30
"""Minimum pulls in a bin to judge their mean."""

FEWEST_BLOCKS = 2
"""Minimum blocks to compare their means."""

BLOCK_TOLERANCE = 0.2
"""Largest deviation from 1 of the scatter of the means of blocks, over that of independent muons."""

HIT_TOLERANCE = 0.01
"""Largest deviation of the share of muons with a hit from the efficiency."""

PullSums = Mapping[str, np.ndarray]


class PullJudge:
    """Judges the pulls of all muons of a point from the sums of its blocks."""

    def __init__(self, sums: PullSums, settings: Validation, among: int):
        """Judge one of `among` points of the study."""
        self.sums, self.settings = sums, settings
        quantities, bins = sums["count"].shape[1:]
        self.criteria = Criteria.among(settings.confidence, among * (quantities * (bins + 5) + sums["seen"].shape[1]))

    def result(
        self,
        point: str,
        quantities: Sequence[str],
        exact: Mapping[str, bool],
        efficiency: Mapping[str, float],
        edges: Sequence[float],
    ) -> SmearedEntry:
        """The judgement of a point, by the names of its quantities and the efficiency of each of its layers, by name.

        `exact` says of each observable whether its confidence intervals hold the truth neither more nor less often.
        """
        pulls = [each for index, name in enumerate(quantities) if (each := self._pulls(index, name, edges))]
        hits = self._hits(efficiency)
        held = self._held(exact)
        found = [*(each.verdict for each in pulls), *(each.found.verdict for each in hits)]
        found += [of.verdict for each in held for of in (each.confidence68, each.confidence95)]
        verdict = Verdict.FAIL if Verdict.FAIL in found else Verdict.PASS
        reasons = [reason for each in pulls for reason in pull_reasons(each)] + [
            *hit_reasons(hits),
            *held_reasons(held),
        ]
        return SmearedEntry(point=point, verdict=verdict, reasons=reasons, pulls=pulls, held=held, hits=hits)

    def _held(self, exact: Mapping[str, bool]) -> list[HeldTruth]:
        """How often the quoted confidence intervals hold the truth; at least nominal where they are not exact."""
        found = []
        for index, (name, is_exact) in enumerate(exact.items()):
            muons = int(self.sums["intervals"][:, index].sum())
            if not muons:
                continue
            tolerance = self.settings.coverage_tolerance
            above = tolerance + UNEQUAL if is_exact else math.inf
            held68, held95 = (
                self.criteria.share(int(self.sums[f"held{level}"][:, index].sum()), muons, nominal, tolerance, above)
                for level, nominal in (("68", P68), ("95", P95))
            )
            found.append(HeldTruth(observable=name, muons=muons, confidence68=held68, confidence95=held95))
        return found

    def _pulls(self, index: int, name: str, edges: Sequence[float]) -> QuantityPulls | None:
        """The pulls of a quantity; None for fewer than two."""
        count, sums, square = (self.sums[field][:, index] for field in ("count", "sum", "square"))
        by_bin = [sum_over_blocks(each) for each in (count, sums, square)]
        muons, mean = int(by_bin[0].sum()), float(by_bin[1].sum())
        if muons < 2:
            return None
        mean /= muons
        sd = math.sqrt(max(0.0, float(by_bin[2].sum()) - muons * mean**2) / (muons - 1))
        tolerance, coverage = self.settings.of_truth, self.settings.coverage_tolerance
        inside68, inside95 = (
            self.criteria.share(int(self.sums[f"inside{level}"][:, index].sum()), muons, nominal, coverage)
            for level, nominal in (("68", P68), ("95", P95))
        )
        found = QuantityPulls(
            quantity=name,
            muons=muons,
            mean=self.criteria.mean(mean, sd / math.sqrt(muons), tolerance),
            sd=self.criteria.width(sd, muons - 1, tolerance),
            inside68=inside68,
            inside95=inside95,
            bins=[*self._bins(by_bin[0], by_bin[1], edges, sd)],
            blocks=self._blocks(count.sum(axis=1), sums.sum(axis=1), sd),
            repeated=self._repeated(index),
            verdict=Verdict.PASS,
        )
        return found.model_copy(update={"verdict": Verdict.FAIL}) if found.contradicted else found

    def _bins(self, count: np.ndarray, sums: np.ndarray, edges: Sequence[float], sd: float) -> Iterator[PullBin]:
        """The mean pulls in bins of the true quantity with enough muons."""
        limits = zip((-math.inf, *edges), (*edges, math.inf), strict=True)
        for (low, high), number, each in zip(limits, count.tolist(), sums.tolist(), strict=True):
            if number >= FEWEST_IN_BIN:
                mean = self.criteria.mean(each / number, sd / math.sqrt(number), self.settings.of_truth)
                yield PullBin(low=low, high=high, muons=int(number), mean=mean)

    def _blocks(self, count: np.ndarray, sums: np.ndarray, sd: float) -> Estimate | None:
        """Scatter of the means of blocks over that expected of independent muons."""
        known = count > 0
        if known.sum() < FEWEST_BLOCKS or not sd:
            return None
        count, means = count[known], sums[known] / count[known]
        mean = float((count * means).sum() / count.sum())
        freedom = len(count) - 1
        scatter = math.sqrt(float((count * (means - mean) ** 2).sum()) / freedom) / sd
        return self.criteria.width(scatter, freedom, BLOCK_TOLERANCE)

    def _repeated(self, index: int) -> float | None:
        """Mean correlation of the pulls at the same place in consecutive blocks."""
        first = self.sums["first"][:, index]
        before, after = first[:-1].ravel(), first[1:].ravel()
        known = np.isfinite(before) & np.isfinite(after)
        if known.sum() < FEWEST_IN_BIN:
            return None
        before, after = before[known], after[known]
        power = math.sqrt(float((before**2).sum() * (after**2).sum()))
        return float((before * after).sum()) / power if power else None

    def _hits(self, efficiency: Mapping[str, float]) -> list[LayerHits]:
        """The share of muons with a hit, in each layer and in all of them."""
        seen, muons = self.sums["seen"].sum(axis=0), int(self.sums["muons"].sum())
        expected = {**efficiency, "all layers": math.prod(efficiency.values())}
        if not muons or (min(expected.values()) == 1 and (seen == muons).all()):
            return []
        return [
            LayerHits(layer=name, found=self.criteria.share(int(number), muons, target, HIT_TOLERANCE), expected=target)
            for (name, target), number in zip(expected.items(), seen.tolist(), strict=True)
        ]
