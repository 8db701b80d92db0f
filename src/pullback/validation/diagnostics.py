"""What each diagnostic says of a point, side by side: none of them sees everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..statistics.intervals import equivalence, half_width, mean_interval
from ..statistics.normal import P68, P95
from .bin_sums import LEVELS
from .judgement import OUTSIDE, worst

Numbers = dict[str, Any]


class Diagnostic(NamedTuple):
    """A diagnostic: its name, what it should be, whether the verdict depends on it, and what it can and can't see."""

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
        "a smearing that is not what propagation assumes",
        "the shape of noise: strips have the right width",
    ),
    "pull_mean": Diagnostic(
        "mean of pulls, linear domain",
        0.0,
        False,
        "an inference that is biased, or another geometry in smearing and inference",
        "anything symmetric",
    ),
    "coverage68": Diagnostic(
        "coverage of ±1 σ, linear domain",
        P68,
        False,
        "strips, which have too few hits in the middle",
        "tails, if only the core of the noise is as assumed",
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
    """The number that each diagnostic rests on, and what it says: pass, fail or inconclusive.

    Parameters
    ----------
    linear, quoted : what is said of either σ, see `pullback.validation.judgement.Tally`.
    tolerance, confidence : of the study's validation. Success is judged by the half-width that a Gaussian interval of
        such success has, over that which it should have; the mean of pulls by the difference in σ.

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
    """The value furthest from what is right, and the worst verdict, in the bins where this σ is claimed."""
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
