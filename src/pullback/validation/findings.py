"""Why the answers are no pass: what was found at each point, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..config.schema import Validation
from ..statistics.intervals import Verdict
from ..study.plan import Study
from .answers import Question
from .coverage_evidence import SmearedEntry, TruthJudgement
from .coverage_judgement import BUDGET_TOLERANCE
from .coverage_reasons import TARGETS
from .estimates import Estimate
from .evidence import Bin, Entry
from .fit_evidence import FitEntry
from .fit_judgement import SHIFT

OF_TRUTH = "truth: "
"""Beginning of the reasons of an entry that concern the truth."""


class Finding(NamedTuple):
    """Why the answer to a question is no pass at a scan point.

    `observable` is empty for what concerns all observables; `off` is how far the worst number is from what it should
    be, in units of its tolerance.
    """

    question: Question
    point: str
    observable: str
    verdict: Verdict
    off: float
    reasons: list[str]


def findings(
    study: Study, entries: Sequence[Entry], smeared: Sequence[SmearedEntry], fits: Sequence[FitEntry]
) -> list[Finding]:
    """All that is no pass, the worst first; what concerns all observables comes before its effect on one."""
    settings = {point.label: point.config.validation for point in study.points}
    found = [each for entry in entries for each in _of_entry(entry, settings[entry.point])]
    for each in smeared:
        off = _off_of_pulls(each, settings[each.point])
        found.append(Finding("truth", each.point, "", each.verdict, off, each.reasons))
    for fit in fits:
        if isinstance(fit.verdict, Verdict):
            off = _off_of_fit(fit, settings[fit.point])
            found.append(Finding("data", fit.point, "", fit.verdict, off, fit.reasons))
    wrong = [each for each in found if each.verdict != Verdict.PASS]
    return sorted(wrong, key=lambda each: (-each.verdict.severity, bool(each.observable), -each.off))


def badness(
    entry: Entry, smeared: Sequence[SmearedEntry], fits: Sequence[FitEntry], settings: Validation
) -> tuple[tuple[int, float], tuple[int, float]]:
    """Order of entries from the best to the worst: by verdict, then by the deciding number that is furthest off.

    First by those of its point, then by its own.
    """
    own = [(each.verdict.severity, each.off) for each in _of_entry(entry, settings)]
    found = [*own]
    for each in smeared:
        if each.point == entry.point:
            found.append((each.verdict.severity, _off_of_pulls(each, settings)))
    for fit in fits:
        if fit.point == entry.point and isinstance(fit.verdict, Verdict):
            found.append((fit.verdict.severity, _off_of_fit(fit, settings)))
    return max(found), max(own)


def _of_entry(entry: Entry, settings: Validation) -> Iterator[Finding]:
    """Both answers of an entry, a pass too."""
    reasons = [each for each in entry.reasons if not each.startswith(OF_TRUTH)]
    off = _off_of_toys(entry, settings)
    yield Finding("propagation", entry.point, entry.observable, entry.propagation, off, reasons)
    if truth := entry.truth:
        off = _off_of_truth(truth, entry, settings)
        yield Finding("truth", entry.point, entry.observable, truth.verdict, off, truth.reasons)


def _off_of_toys(entry: Entry, settings: Validation) -> float:
    """Furthest number of the toys around recorded hits, in units of the tolerance."""
    ratios = [bin_.ratio for bin_ in (*entry.linear.bins, *entry.quoted.bins) if bin_.decides]
    ratios += [entry.shared.total, entry.shared.mean] if entry.shared else []
    zeros = [number for bin_ in entry.quoted.bins if bin_.decides for number in _of_zero(bin_)]
    return max(_furthest(ratios, 1.0), _furthest(zeros, 0.0)) / settings.of_toys


def _of_zero(bin_: Bin) -> Iterator[Estimate | None]:
    """The numbers of a bin that should be 0."""
    yield bin_.ratio_rms
    for each in (bin_.offsets.bias, *bin_.offsets.ends):
        yield from (each.mean, each.rms)


def _off_of_truth(truth: TruthJudgement, entry: Entry, settings: Validation) -> float:
    """Furthest number of the toys around true hits, in units of its tolerance."""
    found = [_furthest([each.toys for each in truth.budget], 0.0) / BUDGET_TOLERANCE]
    if entry.linear.domain.pull_sd_verdict and (pulls := entry.linear.domain.pulls):
        found.append(_furthest([pulls.sd], 1.0) / settings.of_toys)
    for each in truth.bins:
        for name, number in each.judged if each.decides else ():
            covers = name in ("confidence68", "confidence95")
            if not (covers and truth.at_least and number.value > TARGETS[name]):
                tolerance = settings.coverage_tolerance if covers else settings.of_truth
                found.append(_furthest([number], TARGETS[name]) / tolerance)
    return max(found)


def _off_of_pulls(smeared: SmearedEntry, settings: Validation) -> float:
    """Furthest pull of all muons, in units of the tolerance."""
    means = [number for each in smeared.pulls for number in (each.mean, *(of.mean for of in each.bins))]
    widths = [each.sd for each in smeared.pulls]
    return max(_furthest(means, 0.0), _furthest(widths, 1.0)) / settings.of_truth


def _off_of_fit(fit: FitEntry, settings: Validation) -> float:
    """Furthest number of the residuals, in units of the tolerance."""
    widths = [fit.width, *(each.pull_sd for each in fit.coordinates), *(each.factor for each in fit.resolution)]
    means = [number for each in fit.coordinates for number in (each.pull_mean, *each.dependences)]
    return max(_furthest(widths, 1.0), _furthest(means, 0.0) / SHIFT) / settings.data_tolerance


def _furthest(numbers: Sequence[Estimate | None], right: float) -> float:
    """The largest distance of a judged number from what it should be."""
    known = [abs(each.value - right) for each in numbers if each and each.verdict]
    return max((each for each in known if math.isfinite(each)), default=0.0)
