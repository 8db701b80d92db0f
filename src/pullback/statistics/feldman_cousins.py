"""Construction of Feldman-Cousins intervals of the length of one Gaussian component, or of two of equal width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import chndtr, chndtrix, i0e, i1e

Lengths = Float[np.ndarray, "value"]
Accepted = Bool[np.ndarray, "value"]

BISECTIONS = 48
"""Halvings of a range of some standard deviations, down to 1e-13 of one."""


def log_likelihood(t: Lengths, rho: Lengths, components: int) -> Lengths:
    """Logarithm of the density of t at ρ, except for factors of t alone.

    Folded normal for one component, φ(t − ρ) + φ(t + ρ); Rice for two, t exp(−(t² + ρ²)/2) I₀(tρ).
    """
    growth = np.log1p(np.exp(-2 * t * rho)) if components == 1 else np.log(i0e(t * rho))
    return growth - (t - rho) ** 2 / 2


def most_likely(t: Lengths, components: int) -> Lengths:
    """The ρ ≥ 0 of the largest likelihood: the root of ρ = t tanh(tρ), or of ρ = t I₁(tρ)/I₀(tρ); 0 if t² ≤ k."""

    def rises(rho: Lengths) -> Accepted:
        slope = np.tanh(t * rho) if components == 1 else i1e(t * rho) / i0e(t * rho)
        return t * slope > rho

    return bisect(rises, np.zeros_like(t), t)


def bisect(condition: Callable[[Lengths], Accepted], low: Lengths, high: Lengths) -> Lengths:
    """Where a condition that holds at `low` and fails at `high` changes."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        holds = condition(middle)
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return low


def accepted(t: Lengths, rho: Lengths, components: int, level: float) -> Accepted:
    """Whether t is in the acceptance region of ρ.

    The ratio R(t) = f(t|ρ)/max f(t|·) rises up to the t whose most likely value is ρ, and falls from there on. So the
    region is an interval between two t of equal R, or from 0, and t is inside if R(t) is at least the R of the other
    end of the interval that has the probability `level` and one end at t.
    """
    below = chndtr(t**2, components, rho**2)
    sign = np.where(most_likely(t, components) < rho, 1, -1)
    other = below + sign * level
    possible = (other > 0) & (other < 1)
    end = np.sqrt(chndtrix(np.where(possible, other, 0.5), components, rho**2))
    return ~possible | (ratio(t, rho, components) >= ratio(end, rho, components))


def ratio(t: Lengths, rho: Lengths, components: int) -> Lengths:
    """Logarithm of R = f(t|ρ)/max f(t|·), by which values are accepted."""
    best = most_likely(t, components)
    return log_likelihood(t, rho, components) - log_likelihood(t, best, components)


def intervals(t: Lengths, components: int, level: float) -> Float[np.ndarray, "value 2"]:
    """Lower and upper ends of the Feldman-Cousins interval of ρ, in standard deviations.

    Parameters
    ----------
    t : array, shape (value,)
        Recorded lengths |s|/σ.
    components : int
        1 for the folded normal distribution, 2 for Rice.
    level : float
        Confidence level.

    Returns
    -------
    array, shape (value, 2)
        The ends; the lower one is exactly 0 where 0 is inside.

    """
    best = most_likely(t, components)
    inside = lambda rho: accepted(t, rho, components, level)  # noqa: E731
    high = bisect(inside, best, t + 6)
    low = bisect(lambda rho: ~inside(rho), np.zeros_like(t), best)
    return np.stack([np.where(inside(np.zeros_like(t)), 0, low), high], axis=-1)
