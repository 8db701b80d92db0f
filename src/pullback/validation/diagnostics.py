"""The results of all diagnostics at a point, side by side, since no single one detects every error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..statistics.intervals import Verdict, equivalence, half_width, mean_interval
from ..statistics.normal import P68, P95
from .estimates import Estimate, worst
from .evidence import DiagnosticResult, Judgement


class Diagnostic(NamedTuple):
    """A diagnostic: name, expected value, whether the verdict depends on it, and what it can and cannot detect.

    `too_low` and `too_high` are the possible causes of a value that is; without them, these are what it can detect.
    """

    name: str
    right: float
    decides: bool
    sees: str
    misses: str
    too_low: str = ""
    too_high: str = ""


DIAGNOSTICS = {
    "closure_linear": Diagnostic(
        "spread of toys / linear σ, linear domain",
        1.0,
        True,
        "a wrong Jacobian or resolution; noise of another width",
        "the fold, which is outside its domain; the shape of noise; an error in the smearing",
    ),
    "closure_quoted": Diagnostic(
        "spread of toys / quoted σ, everywhere",
        1.0,
        True,
        "the same, and a wrong σ at the fold",
        "the shape of noise away from the fold; an error in the smearing",
    ),
    "ends68": Diagnostic(
        "ends of the 68.27 % interval, everywhere",
        0.0,
        True,
        "the shape of noise; intervals that are wrong",
        "rare tails, whose hits are beyond the ends",
    ),
    "ends95": Diagnostic(
        "ends of the 95 % interval, everywhere",
        0.0,
        True,
        "the same, and tails",
        "noise that affects less than a few per cent of the hits",
    ),
    "bias": Diagnostic(
        "bias, everywhere",
        0.0,
        True,
        "noise that shifts the inference by another bias than the quoted one",
        "the width and shape of noise away from the fold",
    ),
    "pull_sd": Diagnostic(
        "width of pulls, linear domain",
        1.0,
        True,
        "smearing that differs from the assumption of propagation",
        "the shape of noise: strips have the right width",
    ),
    "pull_mean": Diagnostic(
        "mean of pulls, linear domain",
        0.0,
        False,
        "a biased inference, or different geometries in smearing and inference",
        "anything symmetric",
    ),
    "coverage68": Diagnostic(
        "coverage of ±1 σ, linear domain",
        P68,
        False,
        "strips, which have too few hits in the middle",
        "tails, if the core of the noise is as assumed",
        too_low="noise wider than stated; strips, which have too few hits in the middle",
        too_high="noise narrower than stated; clipped noise",
    ),
    "coverage95": Diagnostic(
        "coverage of ±1.96 σ, linear domain",
        P95,
        False,
        "strips and clipped noise, which always cover; and tails",
        "how far off the hits outside the interval are",
        too_low="noise wider than stated; tails",
        too_high="noise narrower than stated; strips or clipped noise, which have no hits far out",
    ),
    "scatter": Diagnostic(
        "scatter of closure between muons, linear domain",
        1.0,
        True,
        "toys that share noise",
        "everything else",
    ),
}


def diagnose(linear: Judgement, quoted: Judgement, tolerance: float, confidence: float) -> dict[str, DiagnosticResult]:
    """Value and verdict of each diagnostic, from the judgements of both σ.

    Coverage is judged by the half-width of the Gaussian interval with the observed coverage, over the nominal
    half-width. The mean of pulls is judged by its deviation from 0.
    """
    domain, offsets = linear.domain, [each.offsets for each in quoted.bins]
    found: dict[str, DiagnosticResult | None] = {
        "closure_linear": _furthest([each.ratio for each in linear.bins if isinstance(each.verdict, Verdict)], 1.0),
        "closure_quoted": _furthest([each.ratio for each in quoted.bins], 1.0),
        "ends68": _furthest([end.mean for of_bin in offsets for end in (of_bin.low68, of_bin.high68)], 0.0),
        "ends95": _furthest([end.mean for of_bin in offsets for end in (of_bin.low95, of_bin.high95)], 0.0),
        "bias": _furthest([each.bias.mean for each in offsets], 0.0),
    }
    if domain.pull_sd_verdict:
        value = domain.pulls.sd.value if domain.pulls else math.nan
        found["pull_sd"] = DiagnosticResult(value=value, verdict=domain.pull_sd_verdict)
    if domain.scatter:
        found["scatter"] = DiagnosticResult(value=domain.scatter.all.value, verdict=domain.scatter.verdict)
    if pulls := domain.pulls:
        limits = mean_interval(1 + pulls.mean.value, pulls.mean.se or 0.0, confidence)
        found["pull_mean"] = DiagnosticResult(value=pulls.mean.value, verdict=equivalence(*limits, tolerance))
        for name, coverage, nominal in (("coverage68", pulls.coverage68, P68), ("coverage95", pulls.coverage95, P95)):
            limits = half_width(coverage.low) / half_width(nominal), half_width(coverage.high) / half_width(nominal)
            found[name] = DiagnosticResult(value=coverage.value, verdict=equivalence(*limits, tolerance))
    return {name: result for name in DIAGNOSTICS if (result := found.get(name))}


def _furthest(estimates: Sequence[Estimate | None], right: float) -> DiagnosticResult | None:
    """The judged value furthest from the expected one, and the worst verdict."""
    known = [each for each in estimates if each and each.verdict]
    if not known:
        return None
    value = max((each.value for each in known), key=lambda value: abs(value - right))
    return DiagnosticResult(value=value, verdict=worst(each.verdict for each in known))
