"""The results of all diagnostics at a point, side by side, since no single one detects every error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..config.schema import Validation
from ..statistics.intervals import Verdict
from ..statistics.normal import P68, P95
from .answers import Question
from .coverage_evidence import SmearedEntry, TruthJudgement
from .estimates import Estimate, worst
from .evidence import DiagnosticResult, Judgement


class Diagnostic(NamedTuple):
    """A diagnostic: name, question, expected value, whether it decides, and what it can and cannot detect.

    `too_low` and `too_high` are the possible causes of a value that is; without them, these are what it can detect.
    """

    name: str
    question: Question
    right: float
    decides: bool
    sees: str
    misses: str
    too_low: str = ""
    too_high: str = ""


DIAGNOSTICS = {
    "closure_linear": Diagnostic(
        "spread of toys / linear σ, linear domain",
        "propagation",
        1.0,
        True,
        "a wrong Jacobian or resolution; noise of another width",
        "the fold, which is outside its domain; the shape of noise; an error in the smearing",
    ),
    "closure_quoted": Diagnostic(
        "spread of toys / quoted σ, everywhere",
        "propagation",
        1.0,
        True,
        "noise of another width or shape; a wrong σ at the fold",
        "the shape of noise away from the fold; an error in the smearing",
    ),
    "ends68": Diagnostic(
        "ends of the 68.27 % coverage interval, everywhere",
        "propagation",
        0.0,
        True,
        "the shape of noise; coverage intervals (JCGM 101) that are wrong",
        "rare tails, whose hits are beyond the ends",
    ),
    "ends95": Diagnostic(
        "ends of the 95 % coverage interval, everywhere",
        "propagation",
        0.0,
        True,
        "tails; the shape of noise; coverage intervals (JCGM 101) that are wrong",
        "noise that affects less than a few per cent of the hits",
    ),
    "bias": Diagnostic(
        "bias of toys around recorded hits, everywhere",
        "propagation",
        0.0,
        True,
        "noise that shifts the inference by another bias than the quoted one",
        "the width and shape of noise away from the fold; a shift that truth and recorded hits share",
    ),
    "scatter": Diagnostic(
        "scatter of closure between muons, linear domain",
        "propagation",
        1.0,
        True,
        "toys that share noise",
        "everything else",
    ),
    "confidence68": Diagnostic(
        "coverage of the 68.27 % confidence interval, everywhere",
        "truth",
        P68,
        True,
        "intervals that do not hold the truth as often as they say; noise of another width or shape",
        "tails, if the core of the noise is as assumed",
    ),
    "confidence95": Diagnostic(
        "coverage of the 95 % confidence interval, everywhere",
        "truth",
        P95,
        True,
        "tails; intervals that do not hold the truth as often as they say; noise of another width or shape",
        "how far off the hits outside the interval are",
    ),
    "truth_bias": Diagnostic(
        "bias of toys around true hits less the predicted one, everywhere",
        "truth",
        0.0,
        True,
        "a shift or gain in the detector",
        "anything symmetric, away from the fold",
    ),
    "coverage68": Diagnostic(
        "coverage of ±1 σ, linear domain",
        "truth",
        P68,
        False,
        "strips, which have too few hits in the middle",
        "tails, if the core of the noise is as assumed",
        too_low="noise wider than stated; strips, which have too few hits in the middle",
        too_high="noise narrower than stated; clipped noise",
    ),
    "coverage95": Diagnostic(
        "coverage of ±1.96 σ, linear domain",
        "truth",
        P95,
        False,
        "strips and clipped noise, which always cover; and tails",
        "how far off the hits outside the interval are",
        too_low="noise wider than stated; tails",
        too_high="noise narrower than stated; strips or clipped noise, which have no hits far out",
    ),
    "pull_sd": Diagnostic(
        "width of the pulls of all muons, linear domain",
        "truth",
        1.0,
        True,
        "smearing that differs from the assumption of propagation",
        "the shape of noise: strips have the right width",
    ),
    "pull_mean": Diagnostic(
        "mean of the pulls of all muons, in quantities that do not fold",
        "truth",
        0.0,
        True,
        "recorded hits that are shifted or scaled; noise that muons share",
        "anything symmetric",
    ),
}


def diagnose(
    linear: Judgement,
    quoted: Judgement,
    truth: TruthJudgement | None,
    smeared: SmearedEntry | None,
    settings: Validation,
) -> dict[str, DiagnosticResult]:
    """Value and verdict of each diagnostic, from the judgements of an observable and of the muons of its point."""
    domain, offsets = linear.domain, [each.offsets for each in quoted.bins if each.decides]
    found: dict[str, DiagnosticResult | None] = {
        "closure_linear": _furthest([each.ratio for each in linear.bins if each.decides], 1.0),
        "closure_quoted": _furthest([each.ratio for each in quoted.bins if each.decides], 1.0),
        "ends68": _furthest([end.mean for of_bin in offsets for end in (of_bin.low68, of_bin.high68)], 0.0),
        "ends95": _furthest([end.mean for of_bin in offsets for end in (of_bin.low95, of_bin.high95)], 0.0),
        "bias": _furthest([each.bias.mean for each in offsets], 0.0),
    }
    if domain.scatter:
        found["scatter"] = DiagnosticResult(value=domain.scatter.all.value, verdict=domain.scatter.verdict)
    if truth:
        found |= dict(_of_truth(truth, settings))
    if domain.pull_sd_verdict:
        value = domain.pulls.sd.value if domain.pulls else math.nan
        found["pull_sd"] = DiagnosticResult(value=value, verdict=domain.pull_sd_verdict)
    if smeared and smeared.pulls:
        found["pull_mean"] = _contradiction(smeared)
    return {name: result for name in DIAGNOSTICS if (result := found.get(name))}


def _of_truth(truth: TruthJudgement, settings: Validation) -> Iterator[tuple[str, DiagnosticResult | None]]:
    """The diagnostics by toys around true hits."""
    known = [each for each in truth.bins if each.decides]
    yield "confidence68", _furthest([each.coverage.confidence68 for each in known], P68)
    yield "confidence95", _furthest([each.coverage.confidence95 for each in known], P95)
    yield "truth_bias", _furthest([each.bias for each in known], 0.0)
    linear = [each for each in known if each.low >= settings.domain or len(truth.bins) == 1]
    tolerance = settings.coverage_tolerance
    yield "coverage68", _shown([each.coverage.linear68 for each in linear], P68, tolerance)
    yield "coverage95", _shown([each.coverage.linear95 for each in linear], P95, tolerance)


def _contradiction(smeared: SmearedEntry) -> DiagnosticResult:
    """The mean pull that fails and is furthest off, in all muons or a bin; without any, that of all muons passes."""
    overall = [each.mean for each in smeared.pulls]
    means = [*overall, *(of.mean for each in smeared.pulls for of in each.bins)]
    failed = [each for each in means if each.verdict == Verdict.FAIL]
    value = max((each.value for each in failed or overall), key=abs)
    return DiagnosticResult(value=value, verdict=Verdict.FAIL if failed else Verdict.PASS)


def _furthest(estimates: Sequence[Estimate | None], right: float) -> DiagnosticResult | None:
    """The judged value furthest from the expected one among those with the worst verdict."""
    known = [each for each in estimates if each and each.verdict]
    if not known:
        return None
    verdict = worst(each.verdict for each in known)
    value = max((each.value for each in known if each.verdict == verdict), key=lambda value: abs(value - right))
    return DiagnosticResult(value=value, verdict=verdict)


def _shown(coverages: Sequence[Estimate | None], nominal: float, tolerance: float) -> DiagnosticResult | None:
    """The coverage furthest from nominal, which decides nothing, with the verdict that it would have."""

    def verdict(each: Estimate) -> Verdict:
        if nominal - tolerance <= each.low and each.high <= nominal + tolerance:
            return Verdict.PASS
        outside = each.high < nominal - tolerance or each.low > nominal + tolerance
        return Verdict.FAIL if outside else Verdict.INCONCLUSIVE

    known = [each.model_copy(update={"verdict": verdict(each)}) for each in coverages if each]
    return _furthest(known, nominal)
