"""What the verdict in words rests on: numbers of the evidence, over all points and observables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..models import NO_FOLD
from ..statistics.intervals import Verdict, half_width
from ..statistics.normal import P68, P95
from ..study.plan import Study
from ..validation.diagnostics import DIAGNOSTICS, Diagnostic
from ..validation.evidence import Entry, Evidence, NotJudged, worst
from .formats import span

FAILED = {
    "hit_not_finite": "hit NaN or infinite",
    "value_not_finite": "value NaN or infinite",
    "sigma_zero_or_nan": "σ zero or NaN",
    "sigma_negative": "σ negative",
    "toys_without_spread": "toys without a spread",
}
"""The counts of muons whose uncertainty can't be used or tested, and what they are called."""


def failed_of(study: Study) -> dict[str, str]:
    """Why muons failed: the names of the counts, and their words."""
    return {**FAILED, "hit_not_finite": "too few hits"} if study.model.missing else FAILED


@dataclass(frozen=True)
class LowCoverage:
    """A quoted interval near a fold that contains the truth too seldom, although σ is right."""

    bin: str
    interval: str
    value: float
    low: float
    high: float
    point: str
    observable: str


@dataclass(frozen=True)
class Findings:
    """The numbers that the verdict in words is made of.

    Attributes
    ----------
    verdicts : entries (a point and an observable) by verdict.
    linear_valid : the least and the largest share of muons for which linear propagation is valid; empty if unknown.
    fold : whether there are muons in the bin that begins at the fold.
    folds : observables with a fold.
    off_outside : relative error of the linear σ in the worst bin outside its domain.
    low_coverage : intervals that contain the truth too seldom near a fold.
    warnings : diagnostics that fail without being part of the verdict, with entry and value.
    lost : failed muons by reason.
    muons, toy_muons, unsettled, without_sd : muons; with toys; with toys that did not become stable; without a
        standard deviation.
    without_sd_of : symbols of the observables that these are of.
    shared : the verdict on what all muons share.
    fits : χ² per degree of freedom of each entry, ascending.

    """

    verdicts: Counter[Verdict]
    linear_valid: tuple[float, float] | tuple[()]
    fold: bool
    folds: int
    off_outside: float | None
    low_coverage: list[LowCoverage]
    warnings: list[tuple[Entry, Diagnostic, float]]
    lost: dict[str, int]
    muons: int
    toy_muons: int
    unsettled: int
    without_sd: int
    without_sd_of: list[str]
    shared: Verdict
    fits: list[float]


def find(study: Study, evidence: Evidence) -> Findings:
    """Look for what the verdict in words mentions."""
    entries = evidence.points
    shares = [entry.linear_valid for entry in entries if entry.linear_valid is not None]
    outside = [each for entry in entries for each in entry.linear.bins if each.verdict == NotJudged.OUTSIDE]
    ratios = [each.ratio.value for each in outside if each.ratio and each.ratio.value > 0]

    def counted(name: str) -> int:
        return over_points(study, entries, lambda entry: getattr(entry.quoted.counts, name))

    return Findings(
        verdicts=Counter(entry.verdict for entry in entries),
        linear_valid=(min(shares), max(shares)) if shares else (),
        fold=any(each.low == 0 and each.muons for entry in entries for each in entry.quoted.bins),
        folds=len([each for each in study.model.observables if each.fold != NO_FOLD]),
        off_outside=max((1 / ratio - 1 for ratio in ratios), key=abs, default=None),
        low_coverage=_low_coverage(study, entries),
        warnings=_warnings(entries),
        lost={name: counted(name) for name in FAILED},
        muons=counted("muons"),
        toy_muons=over_points(study, entries, lambda entry: entry.quoted.overall.toy_muons),
        unsettled=counted("toys_unsettled"),
        without_sd=counted("no_standard_deviation"),
        without_sd_of=_without_sd_of(study, entries),
        shared=worst(entry.shared.verdict for entry in entries if entry.shared),
        fits=sorted(entry.chi2_per_ndf for entry in entries if entry.chi2_per_ndf is not None),
    )


def over_points(study: Study, entries: list[Entry], number: Callable[[Entry], int]) -> int:
    """A number of muons, summed over the points; at each point, that of the observable with the most."""
    return sum(max(number(entry) for entry in entries if entry.point == point.label) for point in study.points)


def _warnings(entries: list[Entry]) -> list[tuple[Entry, Diagnostic, float]]:
    return [
        (entry, DIAGNOSTICS[name], each.value)
        for entry in entries
        for name, each in entry.diagnostics.items()
        if each.verdict == Verdict.FAIL and not DIAGNOSTICS[name].decides
    ]


def _without_sd_of(study: Study, entries: list[Entry]) -> list[str]:
    names = {entry.observable for entry in entries if entry.quoted.counts.no_standard_deviation}
    return [each.symbol for each in study.model.observables if each.name in names]


def _low_coverage(study: Study, entries: list[Entry]) -> list[LowCoverage]:
    """Quoted intervals that contain the truth too seldom near a fold though σ is right, each at its worst point."""
    smallest, several = 1 - study.config.validation.tolerance, len(study.model.observables) > 1
    found: dict[object, LowCoverage] = {}
    for entry in entries:
        for each in entry.quoted.bins:
            if each.low >= entry.linear.domain.low or not each.pulls:
                continue
            pulls = each.pulls
            for level, coverage, nominal in (("68", pulls.coverage68, P68), ("95", pulls.coverage95, P95)):
                # Of several observables, each is mentioned once.
                key = entry.observable if several else (each.low, level)
                # Where coverage is wrong far from the fold too, its cause is another.
                elsewhere = entry.diagnostics.get(f"coverage{level}")
                if Verdict.FAIL in (each.ratio and each.ratio.verdict, elsewhere and elsewhere.verdict):
                    continue
                too_low = half_width(coverage.high) / half_width(nominal) < smallest
                if too_low and (key not in found or coverage.value < found[key].value):
                    found[key] = LowCoverage(
                        bin=span(each),
                        interval=f"{100 * nominal:g} %",
                        value=coverage.value,
                        low=coverage.low,
                        high=coverage.high,
                        point=entry.point,
                        observable=entry.observable,
                    )
    return list(found.values())
