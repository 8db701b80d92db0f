"""Effect of a detector's design on its uncertainties: slopes of the mean σ, and the design for a target σ."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .arguments import Hits, measured
from .covariance import HitUncertainty
from .inference import Infer
from .linear import linear_law


@dataclass(frozen=True)
class SigmaSums:
    """Sums over muons of σ and of its derivatives. Those of two blocks add up to those of both.

    Attributes
    ----------
    muons : Tensor
        Number of muons in the sums (observable,).
    sigma : Tensor
        Σ σ (observable,).
    slopes : dict of str to Tensor
        Σ ∂σ/∂p of each parameter by name (observable, …), followed by the parameter's own axes.

    """

    muons: Int[Tensor, " observable"]
    sigma: Float[Tensor, " observable"]
    slopes: dict[str, Tensor]

    def __add__(self, other: SigmaSums) -> SigmaSums:
        slopes = {name: each + other.slopes[name] for name, each in self.slopes.items()}
        return SigmaSums(self.muons + other.muons, self.sigma + other.sigma, slopes)

    @property
    def mean(self) -> Float[Tensor, " observable"]:
        """Mean σ; NaN without muons."""
        return self.sigma / self.muons

    @property
    def gradient(self) -> dict[str, Tensor]:
        """∂(mean σ)/∂p of each parameter by name (observable, …)."""
        return {name: each / self.muons.reshape(-1, *[1] * (each.ndim - 1)) for name, each in self.slopes.items()}


def mean_sigma_gradient(
    infer: Infer,
    hits: Hits,
    parameters: Mapping[str, Tensor],
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
) -> SigmaSums:
    """How the mean σ of each observable changes with each parameter, as sums over muons that blocks can share.

    d mean(σ)/dp, with σ by linear propagation, in all ways that p acts: through `infer`, through the covariance, and
    through hits that move with p. σ holds a derivative already, so that this differentiates backward twice.

    Parameters
    ----------
    infer : callable
        As for `propagate`.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,). The graph of all of them is held in memory: give at most some 100 000 at a
        time.
    parameters : mapping of str to Tensor
        Tensors that require gradients, by name, from which infer, hits, sigma and covariance are computed.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, exactly one of the two, as for `propagate`.

    Returns
    -------
    SigmaSums
        The sums: `mean` is the mean σ, and `gradient` is d mean(σ)/dp, exactly zero for a parameter that σ does not
        depend on. A muon with a σ that is not finite is left out of all observables, and one whose σ is 0 (at a kink,
        say) of that observable. Which muons are left out is taken as fixed.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises; a parameter that requires no gradient.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, mean_sigma_gradient
    >>> dz = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    >>> hits = torch.tensor([[0.5], [-0.5]], dtype=torch.float64)
    >>> mean_sigma_gradient(lambda x: infer_theta(x, dz), hits, {"dz": dz}, sigma=0.01).gradient
    {'dz': tensor([-0.0032], dtype=torch.float64)}

    """
    hits, sigma_x, _ = measured(infer, hits, sigma, covariance)
    for name, each in parameters.items():
        if not getattr(each, "requires_grad", False):
            raise ValueError(f"parameter {name!r} requires no gradient: call .requires_grad_() before it is used")
    with torch.no_grad():
        law = linear_law(infer, hits.detach(), sigma_x.detach())
    # A muon without σ is taken out before the backward pass: masked after it, its NaN would be in every sum.
    rows = torch.isfinite(law.sigma).all(dim=1)
    rows = rows if law.finite is None else rows & law.finite
    x = hits.detach()[rows].requires_grad_()
    with torch.enable_grad():
        found = linear_law(infer, x, sigma_x if len(sigma_x) == 1 else sigma_x[rows]).sigma
        # Where σ is 0, so is its derivative. That of a linear function has no graph without that of no hits.
        totals = found.sum(dim=0) + x[:0].sum()
    leaves = list(parameters.values())
    parts = [
        torch.autograd.grad(total, [*leaves, x], retain_graph=True, allow_unused=True, materialize_grads=True)
        for total in totals.unbind()
    ]
    *direct, by_hits = (torch.stack(each) for each in zip(*parts, strict=True))
    if hits.requires_grad:
        direct = [a + b for a, b in zip(direct, through_hits(hits, rows, by_hits, leaves), strict=True)]
    return SigmaSums((found > 0).sum(dim=0), totals.detach(), dict(zip(parameters, direct, strict=True)))


def through_hits(
    hits: Float[Tensor, "muon coordinate"],
    rows: Bool[Tensor, " muon"],
    by_hits: Float[Tensor, "observable some coordinate"],
    leaves: list[Tensor],
) -> list[Tensor]:
    """Change of the sums by hits that move with each parameter: Σ ∂σ/∂hits ∂hits/∂p over the muons of `rows`.

    ∂hits/∂p is found muon by muon, as the derivative of the backward pass vᵀ ∂hits/∂p by v: a backward pass with zeros
    for the other muons would still have their NaN, since 0 × NaN is NaN.
    """

    def of_element(each: Tensor) -> Tensor:
        if not each.requires_grad:  # the hits do not move with it
            return by_hits.new_zeros(len(by_hits))
        (moved,) = torch.autograd.grad(each, v, retain_graph=True, allow_unused=True, materialize_grads=True)
        return torch.where(there, by_hits * moved[rows], 0.0).sum(dim=(1, 2))

    there = torch.isfinite(hits.detach()[rows])  # a hit that is missing moves nothing, whatever its own slope is
    v = torch.zeros_like(hits).requires_grad_()
    with torch.enable_grad():
        # As a sum, since torch imports its symbolic algebra, for a second, to look at a vector that is given.
        total = (hits * v).sum()
        by_leaf = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        elements = [each.reshape(-1).unbind() for each in by_leaf]
    return [
        torch.stack([of_element(element) for element in each], dim=1).reshape(len(by_hits), *leaf.shape)
        for each, leaf in zip(elements, leaves, strict=True)
    ]


Excess = Callable[[float], float]
"""Excess of the mean σ over the wanted one, as a function of the parameter."""

LARGEST_JUMP = 1e-3
"""Largest relative distance from the wanted σ. A mean over thousands of muons jumps where one loses a hit."""

GRID_DECADES = 6
"""Range that `points` of a logarithmic grid cover; a wider range gets more points with the same spacing."""

MOST_EXTREMES = 10
"""Largest number of grid points around which an extreme is searched."""


class SolvedTarget(NamedTuple):
    """Result of `solve_target`.

    Attributes
    ----------
    value : float or None
        Value of the parameter that reaches the wanted mean σ; None where no value between the bounds does.
    reached : bool
        Whether there is such a value.
    nearest : float
        The value whose mean σ is nearest to the wanted one.
    nearest_sigma : float
        That mean σ; NaN where the mean σ is always NaN.
    grid : ndarray
        The curve that was computed: values of the parameter in ascending order. It includes the start and the extreme
        of the mean σ where one was searched.
    sigmas : ndarray
        Their mean σ.
    """

    value: float | None
    reached: bool
    nearest: float
    nearest_sigma: float
    grid: Float[np.ndarray, " value"]
    sigmas: Float[np.ndarray, " value"]


def solve_target(
    mean_sigma: Callable[[float], float], wanted: float, start: float, bounds: tuple[float, float], points: int = 41
) -> SolvedTarget:
    """The value of one parameter that reaches a wanted mean σ, or the nearest one where none does.

    The mean σ is computed on a grid between the bounds: logarithmic where both have the same sign, linear otherwise.
    Where mean σ − wanted changes sign between neighbours, the solution is refined. Where it never does, the extremes of
    the mean σ around the nearest grid points are refined, which finds two solutions close together, or the nearest
    possible σ. Of several solutions, the one nearest to the start is taken, by distance along the grid.

    Parameters
    ----------
    mean_sigma : callable
        Mean σ as a function of the parameter. NaN marks an impossible value, which is skipped.
    wanted : float
        The mean σ to reach, in its unit.
    start : float
        The parameter's present value, within the bounds.
    bounds : tuple of float
        The lowest and the highest value to try.
    points : int
        Number of grid points; of a logarithmic grid, for every `GRID_DECADES` decades. The start comes in addition.

    Returns
    -------
    SolvedTarget
        Its value has a relative precision of 1e-10, and is never outside the bounds.

    Raises
    ------
    ValueError
        A wanted σ that is not positive and finite, bounds that are not finite or in order, a start outside them, or
        fewer than 3 points.

    References
    ----------
    Brent's methods for roots and for minima, from scipy.optimize.

    Examples
    --------
    >>> from pullback import solve_target
    >>> found = solve_target(lambda resolution: 0.6 / resolution, 0.004, start=100.0, bounds=(10.0, 1000.0))
    >>> round(found.value, 8)
    150.0
    >>> solve_target(lambda resolution: 0.6 / resolution, 0.0001, start=100.0, bounds=(10.0, 1000.0)).value is None
    True

    """
    low, high = (float(each) for each in bounds)
    if not 0 < wanted < math.inf:
        raise ValueError(f"the wanted mean sigma must be positive and finite, not {wanted}")
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"bounds must be finite, the lower one first, not {bounds}")
    if not low <= start <= high:
        raise ValueError(f"start must be within the bounds {low:g} to {high:g}, not {start}")
    if points < 3:
        raise ValueError(f"the grid needs 3 points at least, not {points}")
    logarithmic = low > 0 or high < 0
    grid = np.unique(np.append(_grid(low, high, points, logarithmic), float(start)))

    def excess(value: float) -> float:
        return float(mean_sigma(float(value))) - wanted

    def distance(solution: tuple[float, float]) -> float:
        value = solution[0]
        return abs(math.log(abs(value)) - math.log(abs(start))) if logarithmic else abs(value - start)

    over = np.array([excess(value) for value in grid])
    found = _solutions(excess, grid, over, wanted)
    if not found:
        for extreme in [_extreme(excess, grid, over, index) for index in _nearest_points(over)]:
            if extreme not in grid:
                place = np.searchsorted(grid, extreme)
                grid, over = np.insert(grid, place, extreme), np.insert(over, place, excess(extreme))
        found = _solutions(excess, grid, over, wanted)
    if found:
        value, sigma = min(found, key=distance)
        return SolvedTarget(value, True, value, sigma, grid, over + wanted)
    if not np.isfinite(over).any():
        return SolvedTarget(None, False, math.nan, math.nan, grid, over + wanted)
    best = int(np.argmin(_size(over)))
    return SolvedTarget(None, False, float(grid[best]), float(over[best] + wanted), grid, over + wanted)


def _grid(low: float, high: float, points: int, logarithmic: bool) -> Float[np.ndarray, " value"]:
    if not logarithmic:
        return np.linspace(low, high, points)
    decades = abs(math.log10(abs(high)) - math.log10(abs(low)))
    return np.geomspace(low, high, max(points, 1 + math.ceil((points - 1) * decades / GRID_DECADES - 1e-9)))


def _size(over: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    """How far from the wanted σ each point is; infinitely far where σ is no number."""
    return np.where(np.isfinite(over), abs(over), np.inf)


def _nearest_points(over: Float[np.ndarray, " value"]) -> list[int]:
    """Points that are nearer to the wanted σ than their neighbours are, the nearest first, and not too many."""
    size = np.concatenate([[np.inf], _size(over), [np.inf]])
    lower = (size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])  # of equals the first
    return sorted(np.flatnonzero(lower).tolist(), key=lambda index: size[1 + index])[:MOST_EXTREMES]


def _solutions(excess: Excess, grid: np.ndarray, over: np.ndarray, wanted: float) -> list[tuple[float, float]]:
    """Each value with its σ where the excess over the wanted σ is 0, on the grid or between neighbours of it."""
    found = [(float(value), wanted) for value in grid[over == 0]]
    sign = np.sign(over)
    for index in np.flatnonzero(sign[:-1] * sign[1:] < 0):
        solution = _solution(excess, grid[index], grid[index + 1], wanted)
        if solution is not None:
            found.append(solution)
    return found


def _solution(excess: Excess, low: float, high: float, wanted: float) -> tuple[float, float] | None:
    """The solution between two values, with its σ; None where σ jumps far across it, or is NaN between."""
    for narrower in (lambda _, *ends: ends, _of_one_scale):
        try:
            value = _root(excess, *narrower(excess, low, high))
        except ArithmeticError:
            return None
        above = excess(value)
        if abs(above) <= LARGEST_JUMP * wanted:
            return value, wanted + above
    return None


def _extreme(excess: Excess, grid: np.ndarray, over: np.ndarray, index: int) -> float:
    """Where, about a point of the grid, σ goes farthest towards the wanted one."""
    from scipy import optimize  # which steps that look for no target need not wait for

    sign = math.copysign(1.0, over[index])
    # An impossible value counts as far off: Brent's parabolas need finite numbers.
    worst = 2 * float(abs(over[np.isfinite(over)]).max())

    def left(value: float) -> float:
        above = sign * excess(value)
        return above if math.isfinite(above) else worst

    ends = grid[max(index - 1, 0)], grid[min(index + 1, len(grid) - 1)]
    unit = 2.0 ** math.frexp(max(map(abs, ends)))[1] / 2  # scipy takes squares, which must be numbers
    low, high = (float(end) / unit for end in ends)
    found = unit * float(
        optimize.minimize_scalar(
            lambda each: left(each * unit), bounds=(low, high), method="bounded", options={"xatol": 1e-7 * (high - low)}
        ).x
    )
    return found if left(found) < abs(over[index]) else float(grid[index])


def _of_one_scale(excess: Excess, low: float, high: float) -> tuple[float, float]:
    """Ends of the same sign and within a factor of 2 about where a function changes its sign.

    The middle of two numbers is taken in the order that their bits give them, so that a thousand decades are few steps.
    """
    above = excess(low) > 0
    while not (low > 0 and high <= 2 * low) and not (high < 0 and low >= 2 * high):
        middle = _middle(low, high)
        if middle in (low, high):
            break
        if (_finite(excess, middle) > 0) == above:
            low = middle
        else:
            high = middle
    return low, high


def _middle(low: float, high: float) -> float:
    bits = [int(np.float64(abs(each)).view(np.int64)) * (1 if each >= 0 else -1) for each in (low, high)]
    middle = sum(bits) // 2
    return math.copysign(float(np.int64(abs(middle)).view(np.float64)), middle)


def _finite(excess: Excess, value: float) -> float:
    found = excess(value)
    if math.isnan(found):
        raise ArithmeticError
    return found


def _root(excess: Excess, low: float, high: float) -> float:
    """The root between two values with signs that differ."""
    from scipy import optimize

    # Large numbers may be many halvings apart.
    function = partial(_finite, excess)
    return float(
        optimize.brentq(
            function, low, high, xtol=max(1e-14 * (high - low), sys.float_info.min), rtol=1e-11, maxiter=1000
        )
    )
