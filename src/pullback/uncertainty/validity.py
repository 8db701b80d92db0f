"""Validity of linear propagation, muon by muon (JCGM 101:2008, clause 8)."""

from __future__ import annotations

import sys
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float, Int

from ..statistics.normal import END95_ERROR, K95

SIGMA_OFF = 0.05
"""Largest relative error of the linear σ, in addition to what clause 8 asks of the intervals."""

END_OFF = 0.05
"""Largest error of an end of the linear 95 % interval, in half-widths of the right one, in addition to clause 8."""

CLEARLY = 6
"""Standard errors beyond which a difference is not statistical, among any number of muons."""

TELLING = 2.5
"""Smallest tolerance, in standard errors, at which Monte Carlo can tell whether an interval end is within it."""


@overload
def numerical_tolerance(u: float, n_dig: int = 1) -> float: ...
@overload
def numerical_tolerance(u: Float[Any, "*shape"], n_dig: int = 1) -> Float[Any, "*shape"]: ...
def numerical_tolerance(u: float | Float[Any, "*shape"], n_dig: int = 1) -> float | Float[Any, "*shape"]:
    """The numerical tolerance δ of a standard uncertainty u: half a unit of its last significant digit.

    u = c · 10^l with c a whole number of `n_dig` digits, and δ = ½ · 10^l (JCGM 101:2008, 7.9.2). Where u rounds up to
    c = 10^n_dig, it has one more digit, and l is greater by one. δ = 0 where u = 0.

    Parameters
    ----------
    u : float, Tensor or ndarray
        Standard uncertainties, not negative. NaN gives NaN.
    n_dig : int
        Significant digits of u that must be right, usually 1 or 2.

    Returns
    -------
    float, Tensor or ndarray
        δ, as u is given and in its unit.

    Raises
    ------
    ValueError
        `n_dig` is below 1.

    Examples
    --------
    >>> import torch
    >>> from pullback import numerical_tolerance
    >>> numerical_tolerance(torch.tensor([0.00667, 0.0755, 9.7]))
    tensor([5.0000e-04, 5.0000e-03, 5.0000e+00])

    """
    check_digits(n_dig)
    if isinstance(u, float | int):
        return numerical_tolerance(np.array(float(u)), n_dig).item()
    xp = _arrays(u)
    u = xp.asarray(u)
    unit = 10.0 ** (xp.floor(xp.log10(xp.where(u > 0, u, 1.0))) - (n_dig - 1))
    c = xp.floor(u / unit + 0.5)
    delta = xp.where(c >= 10**n_dig, 5 * unit, 0.5 * unit)
    return xp.where(u > 0, delta, u)


def check_digits(n_dig: int) -> None:
    """Refuse fewer than one significant digit."""
    if n_dig < 1:
        raise ValueError(f"n_dig must be at least 1, not {n_dig}")


def _arrays(of: object) -> Any:
    """The module of functions of an array; the validation does not need torch."""
    torch = sys.modules.get("torch")  # unless torch is imported, nothing is a tensor
    return torch if torch and isinstance(of, torch.Tensor) else np


def end_tolerance(
    sigma: Float[Any, "*muon"], low: Float[Any, "*muon"], high: Float[Any, "*muon"], n_dig: int
) -> Float[Any, "*muon"]:
    """Largest error of an end of the linear 95 % interval, where low and high are the ends of the right one."""
    return _arrays(sigma).minimum(numerical_tolerance(sigma, n_dig), END_OFF * (high - low) / 2)


def linear_valid(
    value: Float[Any, "*muon observable"],
    sigma: Float[Any, "*muon observable"],
    sd: Float[Any, "*muon observable"],
    interval95: Float[Any, "*muon observable 2"],
    n_dig: int = 1,
) -> Bool[Any, "*muon observable"]:
    """Whether linear propagation is valid, for each muon and observable.

    Clause 8 of JCGM 101:2008: both ends of the linear 95 % interval, y ± 1.96 u, must agree with those of the right
    interval to within the numerical tolerance δ of u. Where the first digits of u are 1.0 to 1.5, δ is up to u/2, and
    clause 8 would accept a σ that is 8 % off, or an interval that is 17 % too wide (9.2.4). So σ must be right to 5 %,
    and the ends to 5 % of half the width of the interval.

    Parameters
    ----------
    value, sigma : Tensor or ndarray
        y and u from `propagate`.
    sd, interval95 : Tensor or ndarray
        Standard deviation and ends of the 95 % interval, from `propagate_distribution` or Monte Carlo.
    n_dig : int
        Significant digits of u that must be right.

    Returns
    -------
    Tensor or ndarray
        True where linear propagation is valid; False where it is not, or where any of the numbers is NaN.

    """
    low, high = interval95[..., 0], interval95[..., 1]
    off = end_tolerance(sigma, low, high, n_dig)
    agree = (abs(value - K95 * sigma - low) <= off) & (abs(value + K95 * sigma - high) <= off)
    return agree & (sigma <= (1 + SIGMA_OFF) * sd) & (sigma >= (1 - SIGMA_OFF) * sd)


def contradicted(
    ok: Bool[np.ndarray, " muon"],
    value: Float[np.ndarray, " muon"],
    sigma: Float[np.ndarray, " muon"],
    sd: Float[np.ndarray, "muon 2"],
    ends95: Float[np.ndarray, "muon end 2"],
    trials: Int[np.ndarray, " muon"],
    n_dig: int,
) -> tuple[Bool[np.ndarray, " muon"], Bool[np.ndarray, " muon"], Bool[np.ndarray, " muon"]]:
    """Whether Monte Carlo clearly contradicts `linear_valid`, whether it can tell, and whether it then disagrees.

    Clearly means by more than six standard errors. It can tell, except for a few in a hundred muons, where the
    tolerance of an end is more than two and a half standard errors of both; it then disagrees if its own verdict
    differs at all. `ok` is the result of `linear_valid`; `sd` and `ends95` are by Monte Carlo of `trials`, each with
    its standard error. That is estimated from the same trials, an end's from a few order statistics, and is now and
    then several times too small. So a standard error is at least that of the linear law.
    """
    errors = np.maximum(ends95[:, :, 1], (sigma * END95_ERROR / np.sqrt(trials))[:, None])
    sd_error = np.maximum(sd[:, 1], sigma / np.sqrt(2 * (trials - 1)))
    tolerance = end_tolerance(sigma, ends95[:, 0, 0], ends95[:, 1, 0], n_dig)[:, None]
    law = np.stack([value - K95 * sigma, value + K95 * sigma], axis=1)
    beyond = np.abs(law - ends95[:, :, 0]) - tolerance
    surely = CLEARLY * errors
    # Both in units of the observable: the spread of the toys may be zero.
    width, unsure = np.abs(sigma - sd[:, 0]) - SIGMA_OFF * sd[:, 0], CLEARLY * sd_error
    fails = (beyond > surely).any(axis=1) | (width > unsure)
    holds = (beyond < -surely).all(axis=1) & (width < -unsure)
    can_tell = (TELLING * errors < tolerance).all(axis=1)
    says_ok = (beyond <= 0).all(axis=1) & (width <= unsure)
    return np.where(ok, fails, holds), can_tell, can_tell & (says_ok != ok)
