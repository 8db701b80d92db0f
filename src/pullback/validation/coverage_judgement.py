"""Is the truth covered? Judgement of toys around true hits, bin by bin of the distance of the truth from a fold.

Judged are, in every bin:

- *Coverage* of both confidence intervals: nominal ± `validation.coverage_tolerance`; at least nominal less the
  tolerance where no exact interval is claimed, and less twice as much where fewer toys measure it.
- *Bias*: mean of recorded minus true, less the predicted bias at the truth, over the predicted standard deviation.
- *Width of pulls*, of observables without a fold.

and the *budget*: share of each layer in the variance, by regression of the toys on the deviations of hits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..config.schema import Validation
from ..models import NO_FOLD, Model
from ..statistics.fold_tables import LARGEST_RATIO
from ..statistics.intervals import Verdict
from ..statistics.normal import P68, P95
from ..study.coverage_bins import series_of
from .coverage_evidence import JUDGED, Coverage, Interval, LayerShare, TruthBin, TruthJudgement
from .coverage_reasons import of_truth
from .estimates import Criteria, Estimate, NotJudged, deciding, worst
from .reasons import place_of

INTERVALS: tuple[Interval, ...] = ("linear68", "linear95", "interval68", "interval95", "confidence68", "confidence95")

BUDGET_TOLERANCE = 0.05
"""Largest difference of a layer's share in the variance, in units of the variance."""

BY_FEWER_TOYS = 2
"""Tolerance of a coverage that is measured by fewer toys, over `validation.coverage_tolerance`."""

WIDER, UNEQUAL = 1.1, 0.005
"""Ratio of the widths of two quantities that fold above which no construction is exact at all azimuths, and by how much
more often its intervals may then hold the truth at an azimuth (docs/intervals.md)."""

NOMINAL_COVERAGE = {"68": P68, "95": P95}

Truths = Mapping[str, np.ndarray]


def is_exact(model: Model, observable: int, rows: Truths) -> bool:
    """Whether the confidence intervals of an observable hold the truth neither more nor less often than they say.

    Not where two quantities that fold have widths of a ratio beyond the tables of the intervals (`LARGEST_RATIO`).
    """
    quantity = model.observables[observable]
    if quantity.fold != NO_FOLD and (not quantity.folds or quantity.period):
        return False
    own = np.isfinite(rows["true"][:, observable])
    return not bool((rows["width_ratio"][own] > LARGEST_RATIO).any())


class CoverageJudge:
    """Judges one observable of a point from the rows of its truths."""

    def __init__(self, model: Model, observable: int, rows: Truths, settings: Validation, among: int):
        """Judge one of `among` observables and points of the study."""
        self.observable, self.rows, self.settings = observable, rows, settings
        self.place = place_of(model.observables[observable], model.observables)
        self.series = next(each for each in series_of(model) if observable in each.observables)
        quantity = model.observables[observable]
        self.unfolded = quantity.fold == NO_FOLD and not quantity.folds
        # The azimuth, whatever depends on another fold, and what declares nothing: no exact interval is claimed.
        self.at_least = not is_exact(model, observable, rows)
        bins = len(self.series.edges) - 1
        self.criteria = Criteria.among(settings.confidence, among * (len(JUDGED) * bins + 1))

    def result(self, muons: Sequence[int], sources: Sequence[str]) -> TruthJudgement:
        """The judgement; `muons` are those of the point in each bin."""
        bins, budget = self._bins(muons), [*self._budget(sources)]
        decides = [each.verdict for each in bins if each.decides]
        return TruthJudgement(
            verdict=worst([*decides, *(each.toys.verdict for each in budget)]),
            reasons=[*of_truth(bins, budget, self.place)],
            at_least=self.at_least,
            bins=bins,
            budget=budget,
        )

    def _bins(self, muons: Sequence[int]) -> list[TruthBin]:
        """All bins, each with its verdict and whether it decides."""
        bins = [self._bin(index, low, high, muons) for index, low, high in self.series.bins]
        decides = deciding(bins, lambda each: each.share, self.settings.strict)
        return [each.model_copy(update={"decides": of}) for each, of in zip(bins, decides, strict=True)]

    def _bin(self, index: int, low: float, high: float, muons: Sequence[int]) -> TruthBin:
        inside = self.rows["bin"] == index
        here = {name: each[inside] for name, each in self.rows.items() if each.ndim == 1}
        here |= {name: each[inside, self.observable] for name, each in self.rows.items() if each.ndim == 2}
        known = here["toys"] > 0
        here = {name: each[known] for name, each in here.items()}
        number = lambda name: int(np.nansum(here[name]))  # noqa: E731
        found = TruthBin(
            low=low,
            high=high,
            muons=muons[index],
            share=muons[index] / sum(muons) if sum(muons) else None,
            truths=len(here["toys"]),
            toys=number("toys"),
            without=number("without"),
            coverage=Coverage(),
            verdict=NotJudged.EMPTY,
        )
        if not found.toys:
            return found
        bias, predicted = self._bias(here)
        unequal = bool((here["width_ratio"] > WIDER).any())
        pulls = here["pulls"] > 1
        judged = {
            "bias": bias,
            "predicted_bias": predicted,
            "pull_mean": float(here["pull_mean"][pulls].mean()) if pulls.any() else None,
            "pull_sd": self._width(here["pull_sd"][pulls], here["pulls"][pulls]),
            "coverage": Coverage(**{name: self._coverage(name, number, unequal) for name in INTERVALS}),
        }
        found = found.model_copy(update=judged)
        wrong = [Verdict.FAIL] if found.without else []  # a muon with a value has an interval
        verdict = worst([*(each.verdict for _, each in found.judged), *wrong])
        factors = [each.factor for _, each in found.judged if each.factor is not None]
        return found.model_copy(update={"verdict": verdict, "factor": max(factors, default=None)})

    def _bias(self, here: Truths) -> tuple[Estimate | None, float | None]:
        """Mean of the toys' bias less the predicted one, and this; where the observable has a standard deviation."""
        known = np.isfinite(here["sd"]) & (here["sd"] > 0) & (here["toys"] > 1)
        if not known.any():
            return None, None
        of = {name: here[name][known] for name in ("off_mean", "bias", "sd", "off_sd", "toys")}
        off = (of["off_mean"] - of["bias"]) / of["sd"]
        se = math.sqrt(float((np.square(of["off_sd"] / of["sd"]) / of["toys"]).sum())) / len(off)
        predicted = float((of["bias"] / of["sd"]).mean())
        return self.criteria.mean(float(off.mean()), se, self.settings.of_truth), predicted

    def _width(self, sd: np.ndarray, pulls: np.ndarray) -> Estimate | None:
        """Pooled standard deviation of pulls; judged for an observable without a fold."""
        freedom = float((pulls - 1).sum())
        if not freedom:
            return None
        width = math.sqrt(float(((pulls - 1) * sd**2).sum()) / freedom)
        found = self.criteria.width(width, freedom, self.settings.of_truth)
        return found if self.unfolded else found.model_copy(update={"verdict": None})

    def _coverage(self, name: Interval, number: Callable[[str], int], unequal: bool) -> Estimate | None:
        """How often one kind of interval holds the truth; judged for confidence intervals.

        `unequal`: the two quantities that fold have different widths.
        """
        counted = {"interval": "toys_quoted", "confidence": "toys_confident", "linear": "toys"}
        toys = number(counted[name[:-2]])
        if not toys:
            return None
        nominal, tolerance = NOMINAL_COVERAGE[name[-2:]], self.settings.coverage_tolerance
        tolerance *= 1 if self.series.moved or self.unfolded else BY_FEWER_TOYS
        above = math.inf if self.at_least else tolerance + (UNEQUAL if unequal else 0.0)
        found = self.criteria.share(number(name), toys, nominal, tolerance, above)
        return found if name.startswith("confidence") else found.model_copy(update={"verdict": None})

    def _budget(self, sources: Sequence[str]) -> Iterator[LayerShare]:
        """Shares of the layers in the variance of the toys, compared with the quoted ones of the same muons."""
        if not sources or "budget_toys" not in self.rows or self.at_least:
            return
        toys, quoted = (self.rows[name][:, self.observable] for name in ("budget_toys", "budget_quoted"))
        known = np.isfinite(toys).all(axis=1) & np.isfinite(quoted).all(axis=1) & (toys.sum(axis=1) > 0)
        if known.sum() < 2:
            return
        toys, quoted = (each[known] / each[known].sum(axis=1, keepdims=True) for each in (toys, quoted))
        off = toys - quoted
        se = off.std(axis=0, ddof=1) / math.sqrt(len(off))
        for index, source in enumerate(sources):
            estimate = self.criteria.mean(float(off[:, index].mean()), float(se[index]), BUDGET_TOLERANCE)
            yield LayerShare(source=source, toys=estimate, quoted=float(quoted[:, index].mean()))
