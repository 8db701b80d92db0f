"""The least values of observables over balls of hits, found by their gradients.

Where an observable is smooth, by Newton's steps within the ball, with second derivatives from differences of gradients.
At kinks and at the tips of folds, where gradients jump, by cutting tangent planes with each other.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from operator import and_
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..statistics.sobol import normal_points
from .covariance import orthogonal
from .elementwise import total, whole_vectors
from .quadrature import Integrand

LOOKS = 8
"""Smallest number of directions in which a search looks first, in several deviates."""

STEPS, FULL, FIRST, SMALLER = 24, 2, 0.3, 0.3
"""Most steps of a search; how many of them go downhill all the way to the sphere; length of the next such step, in
radii; and factor on it where nothing lower is found."""

PATIENCE = 6
"""Steps without a lower value after which a search ends."""

STATIONARY, LOWER, CLOSED = 1e-6, 1e-13, 1e-9
"""Largest slope along which the ball allows a step at an extreme, in spans of values per radius; smallest decrease that
counts; and largest change that planes promise at a tip, in spans."""

DOUBT = 0.03
"""Largest shift of the value where a search does not settle at a tip, in spans."""

MULTIPLIERS = 5
"""Trials of Lagrange's multiplier for a step within the ball."""

FLAT = 1e-6
"""Size of a component of a gradient, relative to the gradient, that is rounding."""

ON_SPHERE = 1e-6
"""Relative distance from the sphere that is rounding, also of hits of single precision."""


class Cut(NamedTuple):
    """A value at a point with its gradient: the plane φ + g·(v − u)."""

    value: Float[Tensor, "muon problem"]
    gradient: Float[Tensor, "deviate muon problem"]
    at: Float[Tensor, "deviate muon problem"]

    @property
    def offset(self) -> Float[Tensor, "muon problem"]:
        """The plane at u = 0."""
        return self.value - dot(self.gradient, self.at)

    def better(self, other: Cut) -> Cut:
        """The lower of two, problem by problem."""
        return chosen(self.value <= other.value, self, other)

    def take(self, muons: Int[Tensor, " few"]) -> Cut:
        """The planes of some of the muons."""
        return Cut(self.value[muons], self.gradient[:, muons], self.at[:, muons])

    def put(self, muons: Int[Tensor, " few"], few: Cut) -> Cut:
        """The same with other planes for some of the muons."""
        value, gradient, at = (each.clone() for each in self)
        value[muons], gradient[:, muons], at[:, muons] = few
        return Cut(value, gradient, at)


def chosen(first: Bool[Tensor, "muon problem"], one: Cut, other: Cut) -> Cut:
    """One of two planes, problem by problem."""
    return Cut(*(torch.where(first, a, b) for a, b in zip(one, other, strict=True)))


class Ball(NamedTuple):
    """Balls |u| ≤ radius around muons' hits, over which sign · f is to be minimised for one observable of each."""

    muons: Integrand
    observable: Int[Tensor, " muon"]
    radius: Float[Tensor, "muon problem"]
    sign: Float[Tensor, " problem"]

    @property
    def frames(self) -> Float[Tensor, "axis deviate"]:
        """Axes of one frame or of several."""
        return axes(self.muons.root.shape[2]).to(self.radius)

    def take(self, muons: Int[Tensor, " few"]) -> Ball:
        """Some of the muons."""
        return Ball(self.muons.take(muons), self.observable[muons], self.radius[muons], self.sign)

    def cuts(self, *points: Float[Tensor, "deviate muon problem"]) -> list[Cut]:
        """The planes at some points of each problem."""
        deviates, problems = torch.cat(points, dim=2), len(self.sign)
        away, gradient = self.muons.away_with_gradient(deviates.movedim(0, 2).contiguous(), self.observable)
        sign = self.sign.repeat(len(points))
        # Where f is not finite, or its gradient is not, a plane is level: nothing is known of other places.
        value = (sign * away).nan_to_num(torch.inf, torch.inf, torch.inf)
        gradient = (sign * gradient.movedim(2, 0)).nan_to_num(0.0, 0.0, 0.0).contiguous()
        parts = value.split(problems, 1), gradient.split(problems, 2), deviates.split(problems, 2)
        return [Cut(*part) for part in zip(*parts, strict=True)]

    def looks(self) -> list[Float[Tensor, "deviate muon problem"]]:
        """Pairs of opposite points of the sphere."""
        return [sign * axis[:, None, None] * self.radius for axis in self.frames for sign in (1, -1)]

    def downhill(self, cut: Cut) -> Tensor:
        """The lowest point of a plane within the ball."""
        return -self.radius * direction(cut.gradient)

    def within(self, at: Tensor) -> Tensor:
        """The point itself within the ball, else the point of the sphere in this direction."""
        return at * (self.radius / norm(at).clamp(min=1e-300)).clamp(max=1)

    def inside(self, cut: Cut) -> Bool[Tensor, "muon problem"]:
        """Whether a point is clearly within the sphere."""
        return norm(cut.at) < (1 - ON_SPHERE) * self.radius

    def pressure(self, cut: Cut) -> Float[Tensor, "muon problem"]:
        """Lagrange's multiplier λ of a point of the sphere, where g + λ u has no part along u; 0 within."""
        return torch.where(self.inside(cut), 0.0, -dot(cut.gradient, cut.at) / self.radius.square()).clamp(min=0)

    def lowest_of(self, first: Cut, others: list[Cut]) -> list[Tensor]:
        """The lowest points within the ball at which the first plane cuts one, two, and all of the others.

        The point of the cut that is nearest to the hit, and from there down the first plane along the cut, to the
        sphere. Planes at a tip all go through it.
        """
        basis: list[Tensor] = []
        near, slope, found = torch.zeros_like(first.at), first.gradient, []
        for index, other in enumerate(others):
            apart, level = first.gradient - other.gradient, other.offset - first.offset
            e = direction(without(apart, basis), FLAT * norm(apart))
            rate = dot(apart, e)
            near = near + torch.where(rate > 0, (level - dot(apart, near)) / rate, 0.0) * e
            slope = slope - dot(slope, e) * e
            basis.append(e)
            if index < 2 or index == len(others) - 1:
                left = (self.radius.square() - dot(near, near)).clamp(min=0).sqrt()
                found.append(self.within(near - left * direction(slope, FLAT * norm(first.gradient))))
        return found


class State(NamedTuple):
    """What a search knows: its best plane, earlier ones, second derivatives, and how it goes on."""

    best: Cut
    earlier: list[Cut]
    bend: Float[Tensor, "deviate deviate muon problem"]
    step: Float[Tensor, "muon problem"]
    failures: Float[Tensor, "muon problem"]
    span: Float[Tensor, "muon 1"]
    finite: Bool[Tensor, "muon problem"]

    def take(self, muons: Int[Tensor, " few"]) -> State:
        """Some of the muons."""
        earlier = [cut.take(muons) for cut in self.earlier]
        return State(self.best.take(muons), earlier, self.bend[:, :, muons], *(each[muons] for each in self[3:]))


def minimum(ball: Ball, *guesses: Float[Tensor, "deviate muon problem"]) -> Cut:
    """The minimum of each problem; NaN where the observable is not finite at some place within the ball.

    Where the search does not settle at a tip, as at that of |x| + y² for some muons, the value is what planes promise
    there, at most 3 % of the span of values lower; of a convex function they promise no more than its minimum.
    """
    state = _started(ball, *guesses)
    found, rows = state.best, torch.arange(len(ball.radius), device=ball.radius.device)
    for index in range(STEPS):
        state = _stepped(ball, state, full=index < FULL)
        settled, promised = _settled(ball, state)
        doubt = torch.where(settled | ~ball.inside(state.best), 0.0, promised).clamp(min=0).minimum(DOUBT * state.span)
        known = torch.where(state.finite, state.best.value - doubt, torch.nan)
        found = found.put(rows, state.best._replace(value=known))
        left = whole_vectors((~settled & (state.failures < PATIENCE)).any(dim=1).nonzero()[:, 0])
        if not len(left):
            break
        ball, state, rows = ball.take(left), state.take(left), rows[left]
    return found


def _started(ball: Ball, *guesses: Tensor) -> State:
    start = torch.zeros(ball.muons.root.shape[2], *ball.radius.shape).to(ball.radius)
    (hit,) = ball.cuts(start)
    cuts = ball.cuts(*ball.looks(), ball.downhill(hit), -ball.downhill(hit), *guesses)
    further = ball.cuts(*map(ball.downhill, cuts))  # towards extremes of their own
    best = reduce(Cut.better, [*further, *cuts], hit)
    span = torch.stack([cut.value.masked_fill(torch.isinf(cut.value), 0.0).abs() for cut in cuts]).amax(dim=(0, 2))
    pairs = list(zip(cuts[: 2 * len(start) : 2], cuts[1 : 2 * len(start) : 2], strict=True))
    turns = [(up.gradient - down.gradient) / (2 * ball.radius) for up, down in pairs]
    # Exact for a function of second order, as opposite points of a frame are compared.
    bend = total(axis[:, None, None, None] * turn for axis, turn in zip(ball.frames[: len(start)], turns, strict=True))
    finite = _finite([hit, *cuts, *further])
    step, failures = torch.full_like(ball.radius, FIRST), torch.zeros_like(ball.radius)
    earlier = [hit, *(up for up, _ in pairs)][: max(len(start), 2)]
    return State(best, earlier, (bend + bend.transpose(0, 1)) / 2, step, failures, span[:, None], finite)


def _stepped(ball: Ball, state: State, *, full: bool) -> State:
    best, ahead = state.best, ball.downhill(state.best)
    ahead = ahead if full else ball.within(best.at + state.step * ahead)
    found = ball.cuts(_newton(ball, state), ahead, *ball.lowest_of(best, state.earlier))
    lowest = reduce(Cut.better, found, best)
    lower = lowest.value < best.value - LOWER * state.span
    step = state.step if full else torch.where(lower, 1.0, SMALLER) * state.step
    return State(
        lowest,
        [*_telling(found, best, lowest), *state.earlier][: len(state.earlier)],
        reduce(lambda bend, cut: _learned(bend, cut, best), reversed(found), state.bend),
        step,
        torch.where(lower, 0.0, state.failures + 1),
        state.span,
        state.finite & _finite(found),
    )


def _telling(found: list[Cut], best: Cut, lowest: Cut) -> list[Cut]:
    """The planes to cut the lowest one with next: that itself would cut nothing."""
    newton, overshot, kink, tip, *_ = found
    worse = chosen(kink.value <= tip.value, tip, kink)
    last = chosen(lowest.value == worse.value, best, worse)
    return [last, chosen(lowest.value == overshot.value, best, overshot), newton]


def _settled(ball: Ball, state: State) -> tuple[Bool[Tensor, "muon problem"], Float[Tensor, "muon problem"]]:
    """Whether the ball allows no step along a slope, or all planes meet at a tip; and how much lower planes go."""
    best = state.best
    slope = norm(best.gradient + ball.pressure(best) * best.at)
    promised = dot(best.gradient, best.at - ball.lowest_of(best, state.earlier)[-1])
    tip = ball.inside(best) & (promised.abs() <= CLOSED * state.span)
    return (slope * ball.radius <= STATIONARY * state.span) | tip, promised


def _finite(cuts: list[Cut]) -> Bool[Tensor, "muon problem"]:
    return reduce(and_, [torch.isfinite(cut.value) for cut in cuts])


def _learned(bend: Tensor, cut: Cut, other: Cut) -> Tensor:
    """Second derivatives that give the difference of two gradients: the symmetric update of rank one."""
    apart = cut.at - other.at
    off = cut.gradient - other.gradient - _applied(bend, apart)
    size = dot(off, apart)
    safe = size.abs() > 1e-8 * norm(off) * norm(apart)
    return bend + torch.where(safe, off[:, None] * off / size, 0.0)


def _newton(ball: Ball, state: State) -> Float[Tensor, "deviate muon problem"]:
    """The minimum within the ball of the function of second order around the best point: (B + λ) u = B v − g.

    λ is bracketed, and found by Newton's steps for 1/|u| = 1/radius (Moré and Sorensen 1983, SIAM J. Sci. Stat. Comput.
    4:553).
    """
    best, bend, radius = state.best, state.bend, ball.radius
    toward = _applied(bend, best.at) - best.gradient
    least, most = torch.zeros_like(radius), norm(toward) / radius + total(total(bend.square())).sqrt()
    trial, answer = ball.pressure(best), best.at
    for _ in range(MULTIPLIERS):
        at, square, positive = _solved(bend, trial, toward)
        far = norm(at)
        answer = torch.where(positive, at, answer)
        short = positive & (far <= radius)
        least, most = torch.where(short, least, trial), torch.where(short, trial, most)
        following = trial + far.square() / square * (far - radius) / radius
        following = torch.where(short, following.clamp(min=0), following)
        good = positive & (following >= least) & (following <= most)
        trial = torch.where(good, following, (least * most).sqrt().clamp(min=1e-3 * most))
    return ball.within(answer)


def _applied(bend: Tensor, at: Tensor) -> Tensor:
    """The product with a symmetric matrix."""
    return total(bend * at[:, None])


def _solved(
    bend: Tensor, multiplier: Float[Tensor, "muon problem"], toward: Float[Tensor, "deviate muon problem"]
) -> tuple[Tensor, Tensor, Bool[Tensor, "muon problem"]]:
    """U = (B + λ)⁻¹ q, uᵀ (B + λ)⁻¹ u, and whether B + λ is positive; by its factors L D Lᵀ."""
    left, u, size = bend.clone(), toward.clone(), len(bend)
    diagonal = left.diagonal(dim1=0, dim2=1)
    diagonal += multiplier[:, :, None]
    least = 1e-10 * diagonal.abs().amax(dim=2).clamp(min=1e-300)
    positive = torch.ones_like(multiplier, dtype=torch.bool)
    for i in range(size):
        positive &= left[i, i] > least
        left[i, i] = torch.where(left[i, i] > least, left[i, i], 1.0)
        left[i + 1 :, i] /= left[i, i]
        left[i + 1 :, i + 1 :] -= left[i + 1 :, i, None] * left[i, i + 1 :]
        u[i + 1 :] -= left[i + 1 :, i] * u[i]
    for i in reversed(range(size)):
        u[i] = total([u[i] / left[i, i], *(-left[j, i] * u[j] for j in range(i + 1, size))])
    rest, square = u.clone(), torch.zeros_like(multiplier)
    for i in range(size):
        square += rest[i].square() / left[i, i]
        rest[i + 1 :] -= left[i + 1 :, i] * rest[i]
    return u, square, positive


@lru_cache
def axes(deviates: int) -> Float[Tensor, "axis deviate"]:
    """Axes of orthonormal frames, turned so that no deviate is special."""
    frames = 1 if deviates == 1 else -(-LOOKS // (2 * deviates))
    vectors = normal_points(deviates, frames * deviates, 1, 0).unflatten(0, (frames, deviates))
    return orthogonal(vectors).flatten(0, 1)


def without(vector: Tensor, basis: list[Tensor]) -> Tensor:
    """A vector without its components along a basis."""
    for e in basis:
        vector = vector - dot(vector, e) * e
    return vector


def direction(vector: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """The unit vector along a vector that is longer than the least length, else 0."""
    size = norm(vector)
    return torch.where(size > least, 1 / size, 0.0) * vector


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The scalar product."""
    return total(a * b)


def norm(vector: Tensor) -> Tensor:
    """The length of a vector."""
    return dot(vector, vector).sqrt()
