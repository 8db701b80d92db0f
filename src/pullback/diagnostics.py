"""What each diagnostic says of a point, side by side: none of them sees everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .intervals import equivalence, mean_interval
from .normal import P68, P95
from .validation import LEVELS, OUTSIDE, worst

Numbers = dict[str, Any]


class Diagnostic(NamedTuple):
    """A diagnostic: its name, whether the verdict depends on it, and what it can and can't see."""

    name: str
    decides: bool
    sees: str
    misses: str


DIAGNOSTICS = {
    "closure_linear": Diagnostic(
        "spread of toys / linear σ, linear domain",
        True,
        "a wrong Jacobian or resolution; noise of another width",
        "the fold, which is outside of its domain; the shape of noise; an error in the smearing",
    ),
    "closure_quoted": Diagnostic(
        "spread of toys / quoted σ, everywhere",
        True,
        "the same, and σ that is wrong at the fold",
        "the shape of noise away from the fold; an error in the smearing",
    ),
    "ends68": Diagnostic(
        "ends of the 68.27 % interval, everywhere",
        True,
        "the shape of noise; intervals that are wrong",
        "rare tails, whose hits are beyond the ends",
    ),
    "ends95": Diagnostic(
        "ends of the 95 % interval, everywhere",
        True,
        "the same, and tails",
        "what happens to fewer than some per cent of hits",
    ),
    "pull_sd": Diagnostic(
        "width of pulls, linear domain",
        True,
        "a smearing that is not what propagation assumes",
        "the shape of noise: strips have the right width",
    ),
    "pull_mean": Diagnostic(
        "mean of pulls, linear domain",
        False,
        "an inference that is biased, or another geometry in smearing and inference",
        "anything symmetric",
    ),
    "success68": Diagnostic(
        "success of ±1 σ, linear domain",
        False,
        "strips, which have too few hits in the middle",
        "tails, if only the core of the noise is as assumed",
    ),
    "success95": Diagnostic(
        "success of ±1.96 σ, linear domain",
        False,
        "strips and clipped noise, which never fail",
        "how far off the failures are",
    ),
    "scatter": Diagnostic(
        "scatter of closure between muons, linear domain",
        True,
        "toys that share noise",
        "everything else",
    ),
}


def diagnose(linear: Numbers, quoted: Numbers, tolerance: float, confidence: float) -> dict[str, Numbers]:
    """The number that each diagnostic rests on, and what it says: pass, fail or inconclusive.

    Parameters
    ----------
    linear, quoted : what is said of either σ, see `pullback.validation.Tally`.
    tolerance, confidence : of the study's validation. Success is held against what it should be as a ratio, the mean
        of pulls as a difference in σ.

    """
    domain = linear["domain"]
    found = {
        "closure_linear": _of_bins(linear["bins"], ["ratio"], 1.0),
        "closure_quoted": _of_bins(quoted["bins"], ["ratio"], 1.0),
        **{f"ends{level}": _of_bins(quoted["bins"], [f"low{level}", f"high{level}"], 0.0) for level in LEVELS},
        "pull_sd": {"value": domain.get("pull_sd"), "verdict": domain.get("pull_sd_verdict")},
        "scatter": {"value": domain.get("scatter"), "verdict": domain.get("scatter_verdict")},
    }
    if domain.get("pull_mean") is not None:
        limits = mean_interval(1 + domain["pull_mean"], domain["pull_mean_se"], confidence)
        found["pull_mean"] = {"value": domain["pull_mean"], "verdict": equivalence(*limits, tolerance)}
        for level, nominal in zip(LEVELS, (P68, P95), strict=True):
            limits = (domain[f"coverage{level}{end}"] / nominal for end in ("_low", "_high"))
            verdict = equivalence(*limits, tolerance)
            found[f"success{level}"] = {"value": domain[f"coverage{level}"], "verdict": verdict}
    return {name: found[name] for name in DIAGNOSTICS if found.get(name, {}).get("verdict")}


def _of_bins(bins: Sequence[Numbers], names: Sequence[str], right: float) -> Numbers:
    """The value furthest from what is right, and the worst verdict, in the bins where this σ is claimed."""
    keys = [("ratio", "ratio_verdict") if name == "ratio" else (f"{name}_off", f"{name}_verdict") for name in names]
    known = [
        (each[value], each[verdict])
        for each in bins
        for value, verdict in keys
        if each["verdict"] != OUTSIDE and each.get(verdict) is not None
    ]
    if not known:
        return {}
    values, verdicts = zip(*known, strict=True)
    return {"value": max(values, key=lambda value: abs(value - right)), "verdict": worst([*verdicts])}
