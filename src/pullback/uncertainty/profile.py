"""Confidence intervals by profile likelihood, for observables of which nothing is said but that they are functions.

The interval of f at a muon is the range of f over all hits x + L u with |u| ≤ c, where Σ = L Lᵀ. Its ends are found by
gradients. At kinks and at the tips of folds, where gradients jump, tangent planes at several points are cut with each
other.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy.special import gammaincinv
from torch import Tensor

from ..statistics.normal import P68, P95
from ..statistics.sobol import normal_points
from .elementwise import total
from .quadrature import Integrand

FULL = 0.0
STEPS = (FULL, FULL, 0.3, 0.1, 0.03, 0.01, 0.001)
"""Steps of the search: down to the sphere, then by this many radii, where the tip of a fold that bends is."""

LOOKS = 8
"""Directions in which the search looks first, in addition to that of the gradient."""

LOOKED_IN = 1.25
"""Distance within which kinks and folds are looked for, in radii of the wider interval that they need."""

AROUND, NEARBY, TILT = 8, 0.002, 0.045
"""Number of points around an extreme at which gradients are compared, their distance in radii, and the smallest sine of
the angle of a gradient with those before it that makes one more direction."""

FLAT = 1e-6
"""Size of a component of a gradient, relative to the gradient, that is rounding."""

LEVELS = (P68, P95)


class Cut(NamedTuple):
    """A value at a point with its gradient: the plane φ + g·(v − u)."""

    value: Float[Tensor, "muon problem"]
    gradient: Float[Tensor, "muon problem deviate"]
    at: Float[Tensor, "muon problem deviate"]

    @property
    def offset(self) -> Float[Tensor, "muon problem"]:
        """The plane at u = 0."""
        return self.value - _dot(self.gradient, self.at)

    def better(self, other: Cut) -> Cut:
        """The lower of two, problem by problem."""
        return chosen(self.value <= other.value, self, other)


def chosen(first: Bool[Tensor, "muon problem"], one: Cut, other: Cut) -> Cut:
    """One of two planes, problem by problem."""
    return Cut(
        torch.where(first, one.value, other.value),
        torch.where(first[:, :, None], one.gradient, other.gradient),
        torch.where(first[:, :, None], one.at, other.at),
    )


class Search(NamedTuple):
    """A search for the extremes of one observable of each muon over balls |u| ≤ radius, as minima of sign · f.

    Problems are (level, end), the low end first.
    """

    muons: Integrand
    observable: Int[Tensor, " muon"]
    radius: Float[Tensor, "muon problem"]
    sign: Float[Tensor, " problem"]

    def cuts(self, *points: Float[Tensor, "muon problem deviate"]) -> list[Cut]:
        """The planes at some points of each problem."""
        problems = len(self.sign)
        away, gradient = self.muons.away_with_gradient(torch.cat(points, dim=1), self.observable)
        sign = self.sign.repeat(len(points))
        # Where f is not finite, or its gradient is not, a plane is level: nothing is known of other places.
        value = (sign * away).nan_to_num(torch.inf, torch.inf, torch.inf)
        gradient = (sign[:, None] * gradient).nan_to_num(0.0, 0.0, 0.0)
        parts = (value, gradient, torch.cat(points, dim=1))
        return list(map(Cut, *(each.split(problems, dim=1) for each in parts)))

    def downhill(self, cut: Cut, step: float) -> Tensor:
        """The lowest point of a plane within the ball, or as many radii further down within it."""
        ahead = -self.radius[:, :, None] * _unit(cut.gradient)
        return ahead if step == FULL else self.within(cut.at + step * ahead)

    def within(self, at: Tensor) -> Tensor:
        """The point itself within the ball, else the point of the sphere in this direction."""
        return at * (self.radius / _length(at).clamp(min=1e-300)).clamp(max=1)[:, :, None]

    def lowest_of(self, first: Cut, *others: Cut) -> Tensor:
        """The lowest point within the ball at which the first plane cuts one or two others.

        The point of the cut that is nearest to the hit, and from there down the first plane along the cut, to the
        sphere.
        """
        basis = _orthonormal([first.gradient - other.gradient for other in others], FLAT)
        near = torch.zeros_like(first.at)
        for e, other in zip(basis, others, strict=True):
            apart, level = first.gradient - other.gradient, other.offset - first.offset
            steps = (level - _dot(apart, near)) / torch.where(_dot(e, e) > 0.5, _dot(apart, e), 1.0)
            near = near + steps[:, :, None] * e
        slope = _without(first.gradient, basis)
        steep = _length(slope) > FLAT * _length(first.gradient)
        left = (self.radius.square() - _dot(near, near)).clamp(min=0).sqrt()
        found = near - torch.where(steep, left, 0.0)[:, :, None] * _unit(slope)
        return self.within(found)

    def run(self) -> Cut:
        """The minimum of each problem; NaN where the observable is not finite at some place within the ball."""
        start = torch.zeros(*self.radius.shape, self.muons.hits.shape[1]).to(self.radius)
        (hit,) = self.cuts(start)
        far = _unit(normal_points(start.shape[2], LOOKS, 1, 0).to(start))
        looks = [self.radius[:, :, None] * direction for direction in far]
        first = self.cuts(self.downhill(hit, FULL), -self.downhill(hit, FULL), *looks)
        second = self.cuts(*(self.downhill(cut, FULL) for cut in first))
        best = reduce(Cut.better, [*second, *first, hit])
        last = before = hit
        everywhere = reduce(and_, [torch.isfinite(cut.value) for cut in (*first, *second, hit)])
        for step in STEPS:
            points = self.downhill(best, step), self.lowest_of(best, last), self.lowest_of(best, last, before)
            overshot, kink, tip = found = self.cuts(*points)
            everywhere = reduce(and_, [everywhere, *(torch.isfinite(cut.value) for cut in found)])
            worse = chosen(kink.value <= tip.value, tip, kink)
            previous, best = best, best.better(overshot).better(kink).better(tip)
            # The best plane itself would cut nothing.
            last = chosen(best.value == worse.value, previous, worse)
            before = chosen(best.value == overshot.value, previous, overshot)
        return best._replace(value=torch.where(everywhere, best.value, torch.nan))


def profile_ends(muons: Integrand, observable: Int[Tensor, " muon"]) -> Float[Tensor, "muon 2 2"]:
    """The ends (muon, level, end) of the intervals of one observable of each muon, less its value at the hits."""
    sign = muons.hits.new_tensor([1.0, -1.0, 1.0, -1.0])
    two = torch.full((len(muons.hits), 4), 2, device=sign.device)
    wide = Search(muons, observable, LOOKED_IN * _radii(two, sign), sign)
    radius = _radii(_directions(wide, wide.run()), sign)
    return (Search(muons, observable, radius, sign).run().value * sign).unflatten(1, (2, 2))


def _radii(directions: Int[Tensor, "muon problem"], like: Tensor) -> Float[Tensor, "muon problem"]:
    """√χ² with as many degrees of freedom as directions, at the level of each problem."""
    most = int(directions.max()) if directions.numel() else 1
    table = [[(2 * gammaincinv(k / 2, level)) ** 0.5 for level in LEVELS for _ in range(2)] for k in range(1, most + 1)]
    return like.new_tensor(table)[directions - 1, torch.arange(4, device=like.device)]


def _directions(search: Search, best: Cut) -> Int[Tensor, "muon problem"]:
    """In how many directions the observable folds at an extreme: those of the gradients around it, at least one.

    Far from kinks all of them are nearly parallel. The larger number for both ends of a level.
    """
    off = NEARBY * normal_points(best.at.shape[2], AROUND, 1, 0).to(best.at)
    cuts = search.cuts(*(best.at + search.radius[:, :, None] * z for z in off))
    basis = _orthonormal([_unit(cut.gradient) for cut in cuts], TILT)
    count = total((_dot(e, e) > 0.5).long() for e in basis)
    return count.clamp(min=1).unflatten(1, (2, 2)).amax(dim=2).repeat_interleave(2, dim=1)


def _orthonormal(vectors: list[Float[Tensor, "muon problem deviate"]], least: float) -> list[Tensor]:
    """An orthonormal basis by Gram and Schmidt; 0 for a vector of which less than this share points elsewhere."""
    basis: list[Tensor] = []
    for vector in vectors:
        own = _without(vector, basis)
        basis.append(torch.where((_length(own) > least * _length(vector))[:, :, None], _unit(own), 0.0))
    return basis


def _without(vector: Tensor, basis: list[Tensor]) -> Tensor:
    """A vector without its components along a basis."""
    for e in basis:
        vector = vector - _dot(vector, e)[:, :, None] * e
    return vector


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return total((a * b).movedim(-1, 0))


def _length(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()


def _unit(a: Tensor) -> Tensor:
    size = _length(a)
    return torch.where(size > 0, 1 / size, 0.0)[..., None] * a
