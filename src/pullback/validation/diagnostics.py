"""The results of all diagnostics at a point, side by side, since no single one detects every error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..statistics.intervals import equivalence, half_width, mean_interval
from ..statistics.normal import P68, P95
from .bin_sums import LEVELS
from .judgement import OUTSIDE, worst

Numbers = dict[str, Any]


class Diagnostic(NamedTuple):
    """A diagnostic: name, expected value, whether the verdict depends on it, and what it can and cannot detect."""

    name: str
    right: float
    decides: bool
    sees: str
    misses: str


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
    ),
    "coverage95": Diagnostic(
        "coverage of ±1.96 σ, linear domain",
        P95,
        False,
        "strips and clipped noise, which always cover; and tails",
        "how far off the hits outside the interval are",
    ),
    "scatter": Diagnostic(
        "scatter of closure between muons, linear domain",
        1.0,
        True,
        "toys that share noise",
        "everything else",
    ),
}


def diagnose(linear: Numbers, quoted: Numbers, tolerance: float, confidence: float) -> dict[str, Numbers]:
    """Value and verdict (pass, fail or inconclusive) of each diagnostic.

    Parameters
    ----------
    linear, quoted : dict
        Judgements of the two σ, see `pullback.validation.judgement.Judgement.result`.
    tolerance, confidence : float
        Settings of the study's validation. Coverage is judged by the half-width of the Gaussian interval with the
        observed coverage, over the nominal half-width. The mean of pulls is judged by its deviation from 0.

    """
    domain = linear["domain"]
    found = {
        "closure_linear": _of_bins(linear["bins"], {"ratio": "ratio_verdict"}, 1.0),
        "closure_quoted": _of_bins(quoted["bins"], {"ratio": "ratio_verdict"}, 1.0),
        "bias": _of_bins(quoted["bins"], {"bias_off": "bias_verdict"}, 0.0),
        **{
            f"ends{level}": _of_bins(
                quoted["bins"], {f"{end}{level}_off": f"{end}{level}_verdict" for end in ("low", "high")}, 0.0
            )
            for level in LEVELS
        },
        "pull_sd": {"value": domain.get("pull_sd"), "verdict": domain.get("pull_sd_verdict")},
        "scatter": {"value": domain.get("scatter"), "verdict": domain.get("scatter_verdict")},
    }
    if domain.get("pull_mean") is not None:
        limits = mean_interval(1 + domain["pull_mean"], domain["pull_mean_se"], confidence)
        found["pull_mean"] = {"value": domain["pull_mean"], "verdict": equivalence(*limits, tolerance)}
        for level, nominal in zip(LEVELS, (P68, P95), strict=True):
            limits = (half_width(domain[f"coverage{level}{end}"]) / half_width(nominal) for end in ("_low", "_high"))
            verdict = equivalence(*limits, tolerance)
            found[f"coverage{level}"] = {"value": domain[f"coverage{level}"], "verdict": verdict}
    return {name: found[name] for name in DIAGNOSTICS if found.get(name, {}).get("verdict")}


def _of_bins(bins: Sequence[Numbers], keys: Mapping[str, str], right: float) -> Numbers:
    """The largest deviation from the expected value and the worst verdict, over the bins where this σ is judged."""
    known = [
        (each[value], each[verdict])
        for each in bins
        for value, verdict in keys.items()
        if each["verdict"] != OUTSIDE and each.get(verdict) is not None
    ]
    if not known:
        return {}
    values, verdicts = zip(*known, strict=True)
    return {"value": max(values, key=lambda value: abs(value - right)), "verdict": worst([*verdicts])}
