"""Effective degrees of freedom, and expanded uncertainties of a stated coverage (JCGM 100:2008, annex G)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from .arguments import Hits, give_back, measured
from .arrays import Given
from .covariance import HitUncertainty
from .inference import Infer
from .linear import by_blocks, linear_law, masked

ROUNDED_BELOW = 1e-9
"""Part by which ν_eff may lie below a whole number and still be that number, rounded."""

Freedom = float | Sequence[float] | Float[Tensor, "..."] | Float[np.ndarray, "..."]
"""Degrees of freedom: one number for all quantities, or one for each; infinite where an uncertainty is exact."""


class Expanded(NamedTuple):
    """What `expanded_uncertainty` returns, muon by muon, and observable by observable."""

    value: Float[Tensor, "muon observable"]
    sigma: Float[Tensor, "muon observable"]
    freedom: Float[Tensor, "muon observable"]
    factor: Float[Tensor, "muon observable"]
    expanded: Float[Tensor, "muon observable"]


def effective_freedom(contributions: Float[Given, "*result quantity"], freedom: Freedom) -> Float[Given, "*result"]:
    """The effective degrees of freedom of a combined standard uncertainty, by the Welch-Satterthwaite formula.

    ν_eff = u⁴ / Σ (u_i⁴ / ν_i), with u² = Σ u_i² and u_i = |∂f/∂x_i| u(x_i) (JCGM 100:2008, equation G.2b). It holds
    for independent quantities, and is never above Σ ν_i. An uncertainty that was judged, not measured, and is thought
    right to within Δu, has ν = ½ (Δu/u)⁻² (equation G.3), or is exact: ν infinite.

    Parameters
    ----------
    contributions : Tensor or ndarray
        u_i (…, quantity), all in the unit of the result.
    freedom : float, sequence, Tensor or ndarray
        ν_i, a number or (quantity,), each at least 1.

    Returns
    -------
    Tensor or ndarray
        ν_eff (…); infinite where all contributions are 0 or exact, NaN where one is NaN.

    Raises
    ------
    ValueError
        A shape other than those, or fewer than one degree of freedom.

    References
    ----------
    JCGM 100:2008, G.4.1 and G.4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from pullback import effective_freedom
    >>> effective_freedom(np.array([0.25, 0.57, 0.82]), [9, 4, 14]).round(1)  # the example of G.4.1
    np.float64(19.0)

    """
    if isinstance(contributions, Tensor):
        return _effective(contributions, _checked(freedom, contributions))
    given = torch.from_numpy(np.asarray(contributions, float))
    return _effective(given, _checked(freedom, given)).numpy()


def expanded_uncertainty(
    infer: Infer,
    hits: Hits,
    *,
    sigma: HitUncertainty,
    freedom: Freedom,
    coverage: float = 0.95,
    interpolate: bool = False,
) -> Expanded:
    """The expanded uncertainty U = k u of each muon's observables where σ of the hits was found from few measurements.

    k = t_p(ν_eff), the quantile of Student's t at (1 + p)/2, with u from linear propagation and ν_eff from
    `effective_freedom`: U is U95 for a coverage p of 0.95, and U99 for 0.99. ν_eff is truncated to the next lower
    whole number, as in the standard's examples, or else used as it is: G.6.4 allows both.

    Parameters
    ----------
    infer : callable
        As for `propagate`.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,).
    sigma : float, Tensor or ndarray
        Standard uncertainties of the hits, which are independent: shapes as for `propagate`.
    freedom : float, sequence, Tensor or ndarray
        Degrees of freedom ν of σ, a number or (coordinate,): n - 1 for the standard deviation of n measurements.
    coverage : float
        p, the coverage probability.
    interpolate : bool
        Whether t_p is evaluated at ν_eff itself, which gives a slightly smaller U.

    Returns
    -------
    Expanded
        value, sigma (u), freedom (ν_eff, not truncated), factor (k) and expanded (U), each (muon, observable), without
        gradients; numpy arrays where hits are one. NaN where `propagate` has NaN.

    Raises
    ------
    TypeError, ValueError
        What `propagate` and `effective_freedom` raise; a coverage that is not between 0 and 1.

    References
    ----------
    JCGM 100:2008, G.4.1 and G.6.4, table G.2.

    Examples
    --------
    >>> import torch
    >>> from pullback import expanded_uncertainty, infer_theta
    >>> hits = torch.tensor([[0.5]], dtype=torch.float64)
    >>> found = expanded_uncertainty(infer_theta, hits, sigma=0.01, freedom=9)  # σ from ten measurements
    >>> tuple(round(each.item(), 5) for each in (found.sigma, found.factor, found.expanded))
    (0.006, 2.26216, 0.01357)

    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, such as 0.95, not {coverage:g}")
    given = measured(infer, hits, sigma, None)
    work = partial(_expand, infer, _checked(freedom, given.hits), coverage, interpolate)
    with torch.no_grad():
        return give_back(hits, by_blocks(work, given.hits.detach(), given.covariance.detach()))


def _expand(
    infer: Infer, freedom: Tensor, coverage: float, interpolate: bool, hits: Tensor, variances: Tensor
) -> Expanded:
    law = linear_law(infer, hits, variances)
    contributions = law.jacobian.abs() * variances.sqrt()[:, None]
    effective = torch.where(law.sigma.isnan(), law.sigma, _effective(contributions, freedom))
    factor = _factor(effective, coverage, interpolate)
    return masked(Expanded(law.value, law.sigma, effective, factor, factor * law.sigma), law.finite)


def _effective(contributions: Float[Tensor, "*result quantity"], freedom: Tensor) -> Float[Tensor, "*result"]:
    """ν_eff from the shares of the variance, so that no fourth power overflows."""
    largest = contributions.abs().amax(dim=-1, keepdim=True)
    squares = (contributions / torch.where(largest > 0, largest, 1.0)).square()
    shares = squares / torch.where(largest > 0, squares.sum(dim=-1, keepdim=True), 1.0)
    return 1 / (shares.square() / freedom).sum(dim=-1)


def _factor(freedom: Float[Tensor, "*result"], coverage: float, interpolate: bool) -> Float[Tensor, "*result"]:
    """t_p at ν, or at the whole number below it."""
    used = freedom if interpolate else (freedom * (1 + ROUNDED_BELOW)).floor()
    return torch.from_numpy(np.asarray(stdtrit(used.numpy(force=True), (1 + coverage) / 2))).to(freedom)


def _checked(freedom: Freedom, given: Float[Tensor, "*result quantity"]) -> Float[Tensor, " quantity"]:
    """Degrees of freedom of each quantity."""
    found = torch.as_tensor(freedom, dtype=given.dtype, device=given.device)
    quantities = given.shape[-1]
    if found.shape not in {(), (quantities,)}:
        raise ValueError(
            f"freedom must be a number or ({quantities},), one for each quantity, not {tuple(found.shape)}"
        )
    if not bool((found >= 1).all()):
        raise ValueError(f"freedom must be at least 1, not {found[~(found >= 1)][0].item():g}")
    return found.expand(quantities)
