"""Confidence intervals of widths and coverages, and the equivalence test of a ratio that should be 1."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv, gammaincinv, gammaln, ndtri


class Verdict(StrEnum):
    """Result of an equivalence test, from the best to the worst."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """Order of the verdicts; the larger, the worse."""
        return list(Verdict).index(self)


def sd_interval(ratio: float, freedom: float, confidence: float) -> tuple[float, float]:
    """Confidence interval of a standard deviation with `freedom` degrees of freedom, from the χ² distribution.

    With very few degrees of freedom, its upper end is infinite.
    """
    tail = (1 - confidence) / 2
    with np.errstate(divide="ignore", over="ignore"):
        low, high = (freedom / (2 * gammaincinv(freedom / 2, p)) for p in (1 - tail, tail))
    return ratio * math.sqrt(low), ratio * math.sqrt(high)


def mean_interval(mean: float, se: float, confidence: float) -> tuple[float, float]:
    """Normal confidence interval of a mean with a standard error."""
    half = half_width(confidence) * se
    return mean - half, mean + half


def coverage_interval(inside: int, total: int, confidence: float) -> tuple[float, float]:
    """Clopper-Pearson interval of a binomial proportion (Clopper and Pearson 1934, Biometrika 26:404)."""
    tail = (1 - confidence) / 2
    low = betaincinv(inside, total - inside + 1, tail) if inside else 0.0
    high = betaincinv(inside + 1, total - inside, 1 - tail) if inside < total else 1.0
    return float(low), float(high)


def half_width(coverage: float) -> float:
    """Half-width of the central interval of a unit Gaussian with this coverage."""
    return float(ndtri((1 + coverage) / 2))


def equivalence(low: float, high: float, tolerance: float) -> Verdict:
    """The verdict on a ratio from its interval: pass inside 1 ± tolerance, fail outside, else inconclusive."""
    if 1 - tolerance <= low and high <= 1 + tolerance:
        return Verdict.PASS
    return Verdict.FAIL if high < 1 - tolerance or low > 1 + tolerance else Verdict.INCONCLUSIVE


ROOM = 4.0
"""Standard errors by which a number of a larger sample may differ from what is expected of it."""


def factor_to_decide(
    off: float, se: float, limits: tuple[float, float], confidence: float, to_fail: float | None = None
) -> float:
    """Factor by which the sample must grow to decide a number that is `off` what it should be, and may lie in `limits`.

    The standard error falls as 1/sqrt(sample). It must be so small that the interval, and `ROOM` standard errors more,
    fit between the number and the nearer limit. A number that is off by less than `ROOM` standard errors is expected to
    be right: its distance from a limit is chance. Beyond the limits, the interval has the confidence `to_fail`.
    """
    expected = off if abs(off) > ROOM * se else 0.0
    inside = limits[0] <= expected <= limits[1]
    distance = min(abs(expected - limit) for limit in limits)
    errors = half_width(confidence if inside or to_fail is None else to_fail) + ROOM
    return (errors * se / distance) ** 2 if distance else math.inf


def expected_scatter(freedom: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Relative scatter of the sample standard deviation of normal values, sqrt(1 - c4²), with ν degrees of freedom.

    c4 = sqrt(2/ν) Γ((ν+1)/2) / Γ(ν/2). For large ν, the series 1/(2ν) - 1/(8ν²) avoids cancellation.
    """
    few = np.minimum(freedom, 100.0)
    c4 = np.sqrt(2 / few) * np.exp(gammaln((few + 1) / 2) - gammaln(few / 2))
    return np.sqrt(np.where(freedom > 100, 1 / (2 * freedom) - 1 / (8 * freedom**2), 1 - c4**2))
