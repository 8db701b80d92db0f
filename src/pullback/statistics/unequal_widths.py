"""Construction of intervals of the length of two Gaussian components of unequal widths.

The components are uncorrelated, with widths σ_x ≥ σ_y of ratio κ. Lengths r = |μ| are in units of σ_y, recorded points
(X, Y) = (x/σ_x, y/σ_y) each in units of its own. All is symmetric in X and in Y, so that one quadrant represents all.

The azimuth φ of μ is a nuisance parameter: coverage is to be nominal at every azimuth, not only on average. With a
prior π_r(φ) of the azimuth at each length, and f(X, Y|r) the density averaged over it,

    f(X, Y|r) = ∫ π_r(φ) N(X − r cos φ/κ) N(Y − r sin φ) dφ,    accepted at r: f(X, Y|r) ≥ g(X, Y),

where g ranks the points as the likelihood ratio does in Feldman-Cousins: g = (∫ f⁴ dr)^¼ with the prior of the element
of arc of the ellipse (r cos φ/κ, r sin φ), which makes f the Rice density for κ = 1 and the folded normal one of X for
κ → ∞. The power 4 stands between Feldman-Cousins (the largest f) and Pratt (the integral), which split intervals more.

π_r is the prior by which coverage at all azimuths is as near to nominal as it can be: the arc, times exp(v) at some
knots. Lengths are taken from the largest down. A point whose acceptance would end and begin again stays accepted above
its most likely length, and rejected below: so that each point is accepted for a single range of lengths, its interval.

Coverage by the committed tables, over |μ| from 0 to 10 σ_x and all azimuths, κ = 1 … 5: `docs/intervals.md`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares
from scipy.special import ndtr

from .intervals import half_width

Plane = Float[np.ndarray, "x y"]
Axis = Float[np.ndarray, " point"]
XAxis = Float[np.ndarray, " x"]
YAxis = Float[np.ndarray, " y"]
KnotValues = Float[np.ndarray, " knot"]

MARGIN = 5.5
"""Standard deviations by which the grid on which coverage is integrated exceeds the largest length."""

SPLIT_LENGTH = 4.0
"""Lengths, in units of the larger width, above which the fold splits no interval."""

ORDER = 4.0
"""Power of the mean of densities by which points are ranked."""

SMOOTHNESS, CONTINUITY = 0.01, 0.01
"""Weights of the change of the log prior between azimuths, and from one length to the next, against coverage."""


def folded(points: Axis, means: Float[np.ndarray, " mean"]) -> Float[np.ndarray, "point mean"]:
    """Density of |N(mean, 1)|, except for a constant."""
    distance = points[:, None] - means
    return np.exp(-(distance**2) / 2) * (1 + np.exp(-2 * points[:, None] * means))


def cell_masses(points: Axis, means: Float[np.ndarray, " mean"]) -> Float[np.ndarray, "mean point"]:
    """Probability of |N(mean, 1)| in the cell around each point; the last cell has no upper limit."""
    edges = np.concatenate([[0], (points[1:] + points[:-1]) / 2, [np.inf]])
    return np.diff(ndtr(edges - means[:, None]) - ndtr(-edges - means[:, None]), axis=1)


def share_inside(log_ratio: Plane) -> Plane:
    """Share of the cell around each point at which a function is positive, from its value and gradient there."""
    slopes = sum(np.abs(np.gradient(log_ratio, axis=axis)) for axis in (0, 1))
    return np.clip(0.5 + log_ratio / np.maximum(slopes, 1e-9), 0, 1)


def grid(largest: float) -> Axis:
    """Points on which coverage is integrated: 12 per standard deviation near the fold, 5 further out."""
    return np.concatenate([np.arange(0, 4, 1 / 12), np.arange(4, largest + MARGIN, 1 / 5)])


def lengths(largest: float, near: float) -> Axis:
    """Lengths at which acceptance regions are found: at most ½ apart up to `near`, 6 % apart further out."""
    found = [0.0]
    while found[-1] < largest:
        step = max(0.07, 0.06 * found[-1])
        found.append(found[-1] + (min(step, 0.5) if found[-1] < near else step))
    return np.array(found)


def knots(ratio: float) -> KnotValues:
    """Azimuths at which coverage is asked to be nominal: evenly spread, and around the narrow axis as finely as 1/κ."""
    even = np.linspace(0, np.pi / 2, 9)
    near = np.pi / 2 - np.arctan(np.tan(even[:-1]) / ratio)
    found = np.sort(np.concatenate([even, near[1:]]))
    apart = np.concatenate([[True], np.diff(found) > 0.04])
    return np.concatenate([found[apart & (found < np.pi / 2 - 0.04)], [np.pi / 2]])


class Points(NamedTuple):
    """All pairs of some X and Y, by what they are ranked, and their most likely lengths."""

    x: XAxis
    y: YAxis
    log_rank: Plane
    best: Plane


class Components:
    """Two components of one ratio of widths κ, for lengths up to `furthest`: their densities and intervals."""

    def __init__(self, ratio: float, furthest: float) -> None:
        self.ratio, self.furthest = ratio, furthest
        count = max(48, round(3 * furthest))
        self.azimuths = (np.arange(count) + 0.5) / count * np.pi / 2
        self.knots = knots(ratio)
        self.to_knots = np.stack([np.interp(self.azimuths, self.knots, row) for row in np.eye(len(self.knots))], axis=1)
        element = np.hypot(np.sin(self.azimuths) / ratio, np.cos(self.azimuths))
        self.prior = element / element.sum()

    def log_density(self, x: XAxis, y: YAxis, r: float, log_weights: KnotValues | None = None) -> Plane:
        """Logarithm of the density of all (X, Y) at the length r, averaged over azimuths, except for a constant.

        The prior of the azimuth is the element of arc of the ellipse (r cos φ/κ, r sin φ), times weights at the knots.
        """
        prior = self.prior if log_weights is None else self.prior * np.exp(self.to_knots @ log_weights)
        along, across = folded(x, r * np.cos(self.azimuths) / self.ratio), folded(y, r * np.sin(self.azimuths))
        return np.log(np.maximum((along * prior) @ across.T, 1e-300))

    def ranked(self, x: XAxis, y: YAxis) -> Points:
        """Logarithm of the mean g of the densities over all lengths, and the most likely length."""
        r = np.concatenate([np.arange(0, 4, 0.02), np.arange(4, self.furthest + 7 * self.ratio, 0.2)])
        total, best = np.zeros((2, len(x), len(y)))
        largest = np.full((len(x), len(y)), -np.inf)
        for length, step in zip(r, np.gradient(r), strict=True):
            found = self.log_density(x, y, length)
            best = np.where(found > largest, length, best)
            largest = np.maximum(found, largest)
            total += step * np.exp(ORDER * found)
        return Points(x, y, np.log(np.maximum(total, 1e-300)) / ORDER, best)

    def calibrated(self, level: float) -> tuple[Axis, Float[np.ndarray, "length knot"]]:
        """Log weights at the knots by which each length's coverage is nominal at all of them, as nearly as can be."""
        points = self.ranked(grid(self.furthest / self.ratio), grid(self.furthest))
        near = SPLIT_LENGTH * self.ratio
        found = lengths(self.furthest, near)
        weights, inside = np.zeros((len(found), len(self.knots))), None
        for index in reversed(range(len(found))):
            region = Region(self, points, found[index], inside)
            start = weights[min(index + 1, len(found) - 1)]
            weights[index] = region.calibrate(start, level)
            inside = region.inside(weights[index]) if found[index] < near else None
        return found, weights

    def squares(self, x: XAxis, y: YAxis, level: float) -> tuple[Plane, Plane]:
        """Squares of both ends at all (X, Y); that of the lower end continued below 0 where 0 is inside."""
        calibrated, weights = self.calibrated(level)
        points = self.ranked(x, y)
        near = calibrated[calibrated < 4]
        r = np.concatenate([near, np.arange(4, self.furthest, 0.2)])
        log_weights = np.stack([np.interp(r, calibrated, column) for column in weights.T], axis=1)
        ratios = [self.log_density(x, y, *each) - points.log_rank for each in zip(r, log_weights, strict=True)]
        return squared_ends(r, np.stack(ratios), points.best)


class Region:
    """The acceptance region of one length, on a grid of points."""

    def __init__(self, components: Components, points: Points, r: float, beyond: Plane | None) -> None:
        self.components, self.points, self.r, self.beyond = components, points, r, beyond
        self.along = cell_masses(points.x, r * np.cos(components.knots) / components.ratio)
        self.across = cell_masses(points.y, r * np.sin(components.knots))

    def inside(self, log_weights: KnotValues) -> Plane:
        """Share of each cell inside, where the density f exceeds g.

        Going down in length, a point that has left below its most likely length stays out, and one that has come in
        above it stays in: so each point is inside for one range of lengths, which is its interval.
        """
        points = self.points
        share = share_inside(self.components.log_density(points.x, points.y, self.r, log_weights) - points.log_rank)
        if self.beyond is None:
            return share
        return np.where(points.best > self.r, np.minimum(share, self.beyond), np.maximum(share, self.beyond))

    def coverage(self, log_weights: KnotValues) -> KnotValues:
        """Coverage at each knot."""
        return ((self.along @ self.inside(log_weights)) * self.across).sum(1)

    def mean(self, values: KnotValues) -> float:
        """Average of values at the knots over evenly spread azimuths."""
        return float(np.trapezoid(values, self.components.knots)) / (np.pi / 2)

    def calibrate(self, start: KnotValues, level: float) -> KnotValues:
        """Log weights of nearly nominal coverage at all knots, by least squares, and with small changes."""
        z = half_width(level)
        steepness = 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / z
        spacing = np.sqrt(np.diff(self.components.knots) * len(start))
        start = start + self.common(start, level)

        def misfit(log_weights: KnotValues) -> Axis:
            off = (self.coverage(log_weights) - level) / steepness
            return np.concatenate(
                [off, SMOOTHNESS * np.diff(log_weights) / spacing, CONTINUITY * (log_weights - start)]
            )

        return least_squares(misfit, start, diff_step=1e-3, xtol=1e-3, ftol=1e-3, max_nfev=8).x

    def common(self, start: KnotValues, level: float) -> float:
        """What is to be added to all log weights for a nominal mean coverage."""
        low, high = -10.0, 20.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self.mean(self.coverage(start + middle)) < level else (low, middle)
        return low


def squared_ends(r: Axis, ratios: Float[np.ndarray, "length x y"], best: Plane) -> tuple[Plane, Plane]:
    """Squares of the ends of the range of lengths at which each point is inside.

    The lower end is the last length below the most likely one at which a point is outside. Near 0 the logarithm of the
    ratio is a parabola in r, which continues r² of the lower end to where 0 is inside.
    """
    inside, last = ratios >= 0, len(r) - 1
    outside = (r[:, None, None] < best) & ~inside
    some = outside.any(0)
    low = crossing(r, ratios, np.where(some, last - outside[::-1].argmax(0), 0))
    high = crossing(r, ratios, last - inside[::-1].argmax(0))
    step = np.searchsorted(r, 0.2)
    bend = np.clip((ratios[step] - ratios[0]) / r[step] ** 2, 0.05, None)
    return np.where(some, np.minimum(low, high) ** 2, -np.maximum(ratios[0], 0) / bend), high**2


def crossing(r: Axis, ratios: Float[np.ndarray, "length x y"], index: Int[np.ndarray, "x y"]) -> Plane:
    """Length between an index and the next one at which the logarithm of the ratio is 0."""
    following = np.minimum(index + 1, len(r) - 1)
    here, there = (np.take_along_axis(ratios, each[None], axis=0)[0] for each in (index, following))
    share = np.clip(-here / np.where(there == here, 1, there - here), 0, 1)
    return r[index] + share * (r[following] - r[index])
