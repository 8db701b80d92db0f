"""The value of one parameter of a detector's design that gives a wanted mean σ."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LARGEST_JUMP = 1e-3
"""Largest relative distance from the wanted σ. A mean over thousands of muons jumps where one loses a hit."""

GRID_DECADES = 6
"""Range that `points` of a logarithmic grid cover; a wider range gets more points with the same spacing."""

MOST_EXTREMES = 10
"""Largest number of grid points around which an extreme is searched."""

AT_AN_END = 1e-3
"""Part of the last step of the grid that is looked at to see whether the extreme is its end."""

ROOT_PRECISION = 1e-11
"""Relative precision of a solution."""

SAME_AS_START = 1e-12
"""Relative distance from the start at which a point of the grid is the start."""


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
        The values of the parameter that were tried, in ascending order, with the start.
    sigmas : ndarray
        Their mean σ.
    others : tuple of float
        Other values that were seen to reach it, in ascending order. All are farther from the start than `value`.
    """

    value: float | None
    reached: bool
    nearest: float
    nearest_sigma: float
    grid: Float[np.ndarray, " value"]
    sigmas: Float[np.ndarray, " value"]
    others: tuple[float, ...] = ()


def solve_target(
    mean_sigma: Callable[[float], float], wanted: float, start: float, bounds: tuple[float, float], points: int = 41
) -> SolvedTarget:
    """The value of one parameter that reaches a wanted mean σ, or the nearest one where none does.

    The search goes outward from the start on both sides, on a grid between the bounds: logarithmic where both have the
    same sign, linear otherwise. Its steps are 1, 2, 4, … of the grid's, and single ones about a value whose mean σ is
    nearer to the wanted one than on either side of it. Where mean σ − wanted changes sign between neighbours, the
    solution is refined. Of several solutions, the one nearest to the start is taken, by distance along the grid: the
    search ends when both sides were searched as far as this one. It doesn't see two solutions within one step.

    Where there is none, the whole grid is computed, and the extremes of the mean σ around the nearest grid points are
    refined, which finds two solutions close together, or the nearest possible σ.

    Parameters
    ----------
    mean_sigma : callable
        Mean σ as a function of the parameter, called once for each value. NaN marks an impossible value, which is
        skipped.
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
    Brent's methods for roots and for minima, from scipy.optimize; that for roots takes logarithms, in which a power law
    is a straight line.

    Examples
    --------
    >>> from pullback import solve_target
    >>> found = solve_target(lambda resolution: 0.6 / resolution, 0.004, start=100.0, bounds=(10.0, 1000.0))
    >>> round(found.value, 8)
    150.0
    >>> solve_target(lambda resolution: 0.6 / resolution, 0.0001, start=100.0, bounds=(10.0, 1000.0)).value is None
    True

    """
    low, high, start = float(bounds[0]), float(bounds[1]), float(start)
    if not 0 < wanted < math.inf:
        raise ValueError(f"the wanted mean sigma must be positive and finite, not {wanted}")
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"bounds must be finite, the lower one first, not {bounds}")
    if not low <= start <= high:
        raise ValueError(f"start must be within the bounds {low:g} to {high:g}, not {start}")
    if points < 3:
        raise ValueError(f"the grid needs 3 points at least, not {points}")
    curve, search = _Curve(mean_sigma, wanted), _Search(_grid(low, high, points, start), start)
    values, found = search.outward(curve)
    if not found:
        values = search.grid
        found = _solutions(curve, values)
    if not found:
        extremes = [_extreme(curve, values, index) for index in _nearest_points(curve, values)]
        found = _solutions(curve, sorted({*values, *extremes}))
    tried = sorted(curve.sigmas)
    all_tried = np.array(tried), np.array([curve.sigmas[value] for value in tried])
    if found:
        value = min(found, key=search.distance)
        others = tuple(other for other in found if other != value)
        return SolvedTarget(value, True, value, curve.sigmas[value], *all_tried, others)
    nearest = min(tried, key=curve.size)
    if math.isinf(curve.size(nearest)):
        return SolvedTarget(None, False, math.nan, math.nan, *all_tried)
    return SolvedTarget(None, False, nearest, curve.sigmas[nearest], *all_tried)


def _grid(low: float, high: float, points: int, start: float) -> list[float]:
    """The grid between two bounds, with the start."""
    if not _logarithmic(low, high):
        grid = np.linspace(low, high, points)
    else:
        decades = abs(math.log10(abs(high)) - math.log10(abs(low)))
        grid = np.geomspace(low, high, max(points, 1 + math.ceil((points - 1) * decades / GRID_DECADES - 1e-9)))
    apart = abs(grid - start) > SAME_AS_START * abs(start)
    apart[[0, -1]] = grid[[0, -1]] != start
    return sorted([*grid[apart].tolist(), start])


def _logarithmic(low: float, high: float) -> bool:
    return low > 0 or high < 0


class _Curve:
    """The mean σ as a function of the parameter, computed once for each value."""

    def __init__(self, mean_sigma: Callable[[float], float], wanted: float):
        self.mean_sigma, self.wanted = mean_sigma, wanted
        self.sigmas: dict[float, float] = {}

    def excess(self, value: float) -> float:
        """The mean σ less the wanted one."""
        if value not in self.sigmas:
            self.sigmas[value] = float(self.mean_sigma(value))
        return self.sigmas[value] - self.wanted

    def size(self, value: float) -> float:
        """How far the mean σ is from the wanted one; infinitely far where it is no number."""
        above = abs(self.excess(value))
        return math.inf if math.isnan(above) else above

    def crossed(self, *values: float) -> bool:
        """Whether the mean σ is above the wanted one at one of two values, and below it at the other."""
        one, other = map(self.excess, values)
        return one < 0 < other or other < 0 < one

    def log_excess(self, value: float) -> float:
        """The logarithm of the mean σ over the wanted one."""
        above = self.excess(value) / self.wanted
        if math.isnan(above):
            raise ArithmeticError
        return math.log1p(above) if above > -1 else -math.inf


class _Search:
    """The points of a grid that are tried from the start outward."""

    def __init__(self, grid: list[float], start: float):
        at = grid.index(start)
        self.grid, self.start, self.logarithmic = grid, start, _logarithmic(grid[0], grid[-1])
        self.tried = {at}
        self.ends, self.steps = [at, at], [1, 1]

    def distance(self, value: float) -> float:
        """The distance from the start along the grid."""
        if self.logarithmic:
            return abs(math.log(abs(value)) - math.log(abs(self.start)))
        return abs(value - self.start)

    def outward(self, curve: _Curve) -> tuple[list[float], list[float]]:
        """Try points until the solution nearest to the start is known; what was tried, and the solutions seen."""
        while True:
            values = [self.grid[index] for index in sorted(self.tried)]
            found = _solutions(curve, values)
            nearest = min(map(self.distance, found), default=math.inf)
            short = [side for side in (0, 1) if self._reach(side) < nearest]
            if not short:
                return values, found
            self._go_on(min(short, key=lambda side: (self.steps[side], curve.size(self._end(side)))), nearest)
            self._look_closer(curve)

    def _end(self, side: int) -> float:
        return self.grid[self.ends[side]]

    def _reach(self, side: int) -> float:
        """How far the search has come on one side; infinitely far at the end of the grid."""
        return math.inf if self._end(side) == self.grid[(0, -1)[side]] else self.distance(self._end(side))

    def _go_on(self, side: int, far: float) -> None:
        """Go one step farther, and twice as far the next time, but no farther than is needed to reach a distance."""
        for _ in range(self.steps[side]):
            if self._reach(side) < far:
                self.ends[side] += (-1, 1)[side]
        self.steps[side] *= 2
        self.tried.add(self.ends[side])

    def _look_closer(self, curve: _Curve) -> None:
        """Try all points about one that is nearer to the wanted σ than on either side of it."""
        order = sorted(self.tried)
        for ends in zip(order, order[1:], order[2:], strict=False):
            before, here, after = (self.grid[index] for index in ends)
            nearer = curve.size(before) > curve.size(here) <= curve.size(after)
            if nearer and not any(curve.crossed(here, beside) for beside in (before, after)):
                self.tried.update(range(ends[0], ends[2]))


def _nearest_points(curve: _Curve, values: list[float]) -> list[int]:
    """Points that are nearer to the wanted σ than their neighbours are, the nearest first, and not too many."""
    size = np.array([math.inf, *map(curve.size, values), math.inf])
    lower = (size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])  # of equals the first
    return sorted(np.flatnonzero(lower).tolist(), key=lambda index: size[1 + index])[:MOST_EXTREMES]


def _solutions(curve: _Curve, values: list[float]) -> list[float]:
    """Each value where σ is the wanted one, among these in ascending order or between neighbours of them."""
    found = [value for value in values if curve.excess(value) == 0]
    for low, high in pairwise(values):
        if curve.crossed(low, high) and (solution := _solution(curve, low, high)) is not None:
            found.append(solution)
    return sorted(found)


def _solution(curve: _Curve, low: float, high: float) -> float | None:
    """The solution between two values; None where σ jumps far across it, or is NaN between."""
    for narrower in (lambda _, *ends: ends, _of_one_scale):
        try:
            value = _root(curve, *narrower(curve, low, high))
        except ArithmeticError:
            return None
        if curve.size(value) <= LARGEST_JUMP * curve.wanted:
            return value
    return None


def _extreme(curve: _Curve, values: list[float], index: int) -> float:
    """Where, about one of the values, σ goes farthest towards the wanted one."""
    from scipy import optimize  # which steps that look for no target need not wait for

    here, ends = values[index], (values[max(index - 1, 0)], values[min(index + 1, len(values) - 1)])
    if here in ends:
        inner = here + AT_AN_END * (sum(ends) - 2 * here)
        if curve.size(inner) >= curve.size(here):
            return here
    # An impossible value counts as far off: Brent's parabolas need finite numbers.
    worst = 2 * max(size for size in map(curve.size, values) if size < math.inf)
    sign = math.copysign(1.0, curve.excess(here))

    def left(value: float) -> float:
        above = sign * curve.excess(value)
        return above if math.isfinite(above) else worst

    unit = 2.0 ** math.frexp(max(map(abs, ends)))[1] / 2  # scipy takes squares, which must be numbers
    low, high = (end / unit for end in ends)
    options = {"xatol": 1e-7 * (high - low)}
    found = optimize.minimize_scalar(
        lambda each: left(float(each) * unit), bounds=(low, high), method="bounded", options=options
    )
    value = float(found.x) * unit
    return value if left(value) < left(here) else here


def _of_one_scale(curve: _Curve, low: float, high: float) -> tuple[float, float]:
    """Ends of the same sign and within a factor of 2 about where a function changes its sign.

    The middle of two numbers is taken in the order that their bits give them, so that a thousand decades are few steps.
    """
    above = curve.excess(low) > 0
    while not (low > 0 and high <= 2 * low) and not (high < 0 and low >= 2 * high):
        middle = _middle(low, high)
        if middle in (low, high):
            break
        if (curve.log_excess(middle) > 0) == above:
            low = middle
        else:
            high = middle
    return low, high


def _middle(low: float, high: float) -> float:
    bits = [int(np.float64(abs(each)).view(np.int64)) * (1 if each >= 0 else -1) for each in (low, high)]
    middle = sum(bits) // 2
    return math.copysign(float(np.int64(abs(middle)).view(np.float64)), middle)


def _root(curve: _Curve, low: float, high: float) -> float:
    """The root between two values with signs that differ."""
    from scipy import optimize

    if not _logarithmic(low, high):
        # Large numbers may be many halvings apart.
        xtol = max(1e-14 * (high - low), sys.float_info.min)
        return float(optimize.brentq(lambda value: curve.log_excess(float(value)), low, high, xtol=xtol, maxiter=1000))
    sign = math.copysign(1.0, low)
    ends = {math.log(abs(end)): end for end in (low, high)}

    def value_at(scale: float) -> float:
        return ends.get(scale) or min(max(sign * math.exp(scale), low), high)

    return value_at(optimize.brentq(lambda scale: curve.log_excess(value_at(scale)), *ends, xtol=ROOT_PRECISION))
