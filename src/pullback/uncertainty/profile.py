"""Confidence intervals by profile likelihood, for observables of which nothing is said but that they are functions.

The interval of f at a muon is the range of f over all hits x + L u with |u| ≤ c, where Σ = L Lᵀ. It holds the true
value if the surface of hits at which f has this value comes within c of the hit. For a plane through the true hits that
is |z| ≤ c with z ~ N(0, 1); for a sphere of radius R in k deviates it is |χ_k(R) − R| ≤ c, with a noncentral χ. So c
follows from how the surfaces through the ends bend.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import chndtr
from torch import Tensor

from ..statistics.normal import P68, P95
from .covariance import combined
from .elementwise import total, whole_vectors
from .extremes import FLAT, Ball, Cut, direction, dot, minimum, without
from .quadrature import Integrand

LEVELS = (P68, P95)

NEARBY, TILT, BEND = 0.25, 0.045, 0.005
"""Distance from an end at which gradients are compared, in σ, and the smallest sine of the angle of a gradient with
those before it that makes one more direction: at a tip, and at a surface, which then has a radius below 50 σ."""

ROUNDS = 2
"""Times that c is found again from the surfaces at the ends. c falls with the radius of a surface, and the first is
that of a point: so each is too large at an end where the radius decreases outwards. Where it increases, as at the upper
end of √(x² + y²), every other one is, hence an even number."""

UNCHANGED = 1e-3
"""Relative change of c that is none."""

LOOKED_AT = 2.5
"""Distance at which gradients are compared first, to find the directions in which an observable changes, in σ."""

OUTWARD = 5e-7
"""Shift outwards of an end at a tip, in widths of the interval; more than what the search leaves there."""

PARTS = 8
"""Parts of the radius along a single deviate, in each of which the search looks first."""

PER_UNIT, HALVINGS, FLATTEST = 40, 50, 1e9
"""Entries of the table of c per unit of R/(1 + R), steps to find one, and the radius of a plane."""


def profile_ends(muons: Integrand, observable: Int[Tensor, " muon"]) -> Float[Tensor, "muon 2 2"]:
    """The ends (muon, level, end) of the intervals of one observable of each muon, less its value at the hits.

    NaN where the observable is not finite at some place within reach that the search comes to. At a tip within reach,
    where the observable is least or greatest, the search leaves some 1e-9 of the interval's width, in up to 12
    coordinates; the end is shifted outwards by 5e-7, so that it holds a truth at the tip. Two kinds of tips are known
    to be missed by more, so that intervals hold a truth there less often: of √|x|, whose slope grows without limit, 0 %
    at the tip and the nominal share from 1e-4 σ on; and of |x| + y², which has a kink in one direction and none in
    another, 66 and 92 % at the tip and the nominal shares from 0.003 σ on.
    """
    basis, size = _basis(muons, observable)
    ends = torch.empty(len(size), 4).to(muons.hits)
    for count in size.unique().tolist():
        rows = whole_vectors((size == count).nonzero()[:, 0])
        some = muons.take(rows)
        root = combined(some.root, basis[rows, :count]).mT
        ends[rows] = _ends(replace(some, root=root), observable[rows])
    return ends.unflatten(1, (2, 2))


def _basis(
    muons: Integrand, observable: Int[Tensor, " muon"]
) -> tuple[Float[Tensor, "muon direction deviate"], Int[Tensor, " muon"]]:
    """An orthonormal basis of the gradients, and how many directions it has; the others are 0.

    Where the observable is not finite everywhere, all directions count.
    """
    count, deviates = len(muons.hits), muons.hits.shape[1]
    every = torch.eye(deviates).to(muons.hits).expand(count, -1, -1)
    if deviates == 1:
        return every, torch.ones_like(observable)
    ball = Ball(muons, observable, torch.full((count, 1), LOOKED_AT).to(muons.hits), muons.hits.new_ones(1))
    looks = ball.looks()
    cuts = ball.cuts(0 * looks[0], *looks, *(look / 2 for look in looks))
    basis = torch.stack(_orthonormal(cuts, FLAT))[:, :, :, 0].permute(2, 0, 1)  # muon, gradient, deviate
    own = total(basis.square().unbind(dim=2)) > 0.5
    order = (~own).to(torch.uint8).argsort(dim=1, stable=True)[:, :deviates]
    basis = basis.gather(1, order[:, :, None].expand(-1, -1, deviates))
    finite = torch.stack([torch.isfinite(cut.value[:, 0]) for cut in cuts]).all(dim=0)
    return torch.where(finite[:, None, None], basis, every), torch.where(finite, own.sum(dim=1).clamp(min=1), deviates)


def _ends(muons: Integrand, observable: Int[Tensor, " muon"]) -> Float[Tensor, "muon 4"]:
    """The ends of muons whose observables change in as many directions as there are deviates."""
    sign = muons.hits.new_tensor([1.0, -1.0, 1.0, -1.0])
    flat = torch.ones(len(muons.hits), 4).to(sign)
    deviates = muons.root.shape[2]
    ball = Ball(muons, observable, thresholds(deviates * flat, 0 * flat), sign)
    if deviates > 1:
        most = _directions(ball.cuts(*ball.looks()), TILT).amax(dim=1, keepdim=True)
        ball = ball._replace(radius=thresholds(most * flat, 0 * flat))
    best = minimum(ball, *_within(ball))
    for _ in range(ROUNDS if deviates > 1 else 0):
        radius = thresholds(*_surface(ball, best))
        other = (radius - ball.radius).abs() > UNCHANGED * radius
        ball = ball._replace(radius=torch.where(other, radius, ball.radius))
        rows = whole_vectors(other.any(dim=1).nonzero()[:, 0])
        if len(rows):
            few = ball.take(rows)
            at = best.at[:, rows]
            best = best.put(rows, minimum(few, few.radius * direction(at), few.within(at)))
    ends = best.value * sign
    width = ends.unflatten(1, (2, 2)).diff(dim=2).expand(-1, -1, 2).flatten(1)
    value = sign * torch.where(ball.inside(best), ends - sign * OUTWARD * width, ends)
    # Of several extremes the search may miss the furthest; the wider interval holds the narrower one all the same.
    narrow, wide = value.split(2, dim=1)
    return sign * torch.cat([narrow, torch.minimum(narrow, wide)], dim=1)


def _within(ball: Ball) -> list[Float[Tensor, "deviate muon problem"]]:
    """Where minima of their own may be within the ball, along the only deviate: between slopes down and up."""
    if ball.muons.root.shape[2] > 1:
        return []
    cuts = ball.cuts(*(k / PARTS * ball.radius[None] for k in range(-PARTS, PARTS + 1)))
    found = []
    for left, right in pairwise(cuts):
        turns = (left.gradient < 0) & (right.gradient > 0)
        step = left.gradient / torch.where(turns, left.gradient - right.gradient, 1.0)
        found.append(left.at + torch.where(turns, step, 0.5) * (right.at - left.at))
    return found


def _surface(ball: Ball, best: Cut) -> tuple[Float[Tensor, "muon problem"], Float[Tensor, "muon problem"]]:
    """In how many directions the surfaces through the ends bend, and their mean radius: those of a sphere.

    The divergence of the unit normals is (k − 1)/R for a sphere in k deviates. Shifts by a finite distance δ find
    √(R² + δ²) in the place of R. A tip within reach is a sphere of radius 0.
    """
    frame = ball.frames[: ball.muons.root.shape[2]]
    cuts = ball.cuts(*(best.at + sign * NEARBY * axis[:, None, None] for axis in frame for sign in (1, -1)))
    pairs = zip(frame, cuts[::2], cuts[1::2], strict=True)
    terms = (dot(axis[:, None, None], direction(up.gradient) - direction(down.gradient)) for axis, up, down in pairs)
    divergence = (total(terms) / (2 * NEARBY)).abs()
    directions = _directions(cuts, BEND)
    radius = ((directions - 1) / divergence.clamp(min=1 / FLATTEST)).square() - NEARBY**2
    radius = torch.where(directions > 1, radius.clamp(min=0).sqrt(), FLATTEST)
    tip = ball.inside(best)
    return torch.where(tip, _directions(cuts, TILT), directions), torch.where(tip, 0.0, radius)


def _directions(cuts: list[Cut], least: float) -> Float[Tensor, "muon problem"]:
    """How many directions gradients have, at least one."""
    return total(dot(e, e) for e in _orthonormal(cuts, least)).round().clamp(min=1)


def _orthonormal(cuts: list[Cut], least: float) -> list[Float[Tensor, "deviate muon problem"]]:
    """An orthonormal basis of gradients, by Gram and Schmidt; 0 for one of which less than a share points elsewhere."""
    basis: list[Tensor] = []
    for cut in cuts:
        basis.append(direction(without(direction(cut.gradient), basis), least))
    return basis


def thresholds(
    directions: Float[Tensor, "muon problem"], radius: Float[Tensor, "muon problem"]
) -> Float[Tensor, "muon problem"]:
    """The c at the level of each problem (level, end), for spheres in some directions of given radii, in σ."""
    most = int(directions.max()) if directions.numel() else 1
    table = radius.new_tensor(_table(most)).repeat_interleave(2, dim=0)
    level, row = torch.arange(4, device=radius.device), directions.long() - 1
    place = PER_UNIT * radius / (1 + radius)
    before = place.long().clamp(max=PER_UNIT - 1)
    left, right = table[level, row, before], table[level, row, before + 1]
    return left + (place - before) * (right - left)


@lru_cache
def _table(most: int) -> Float[np.ndarray, "level direction radius"]:
    """Least c with P(|χ_k(R') − R'| ≤ c) at least the level for all R' ≥ R, by k from 1, and by R/(1 + R) to 1."""
    k, v = np.arange(1, most + 1)[:, None], np.arange(PER_UNIT) / PER_UNIT
    radius = v / (1 - v)
    found = []
    for level in LEVELS:
        low, high = np.zeros((most, PER_UNIT)), np.repeat(3 + 2 * k**0.5, PER_UNIT, axis=1)
        for _ in range(HALVINGS):
            c = (low + high) / 2
            held = chndtr((radius + c) ** 2, k, radius**2) - chndtr(np.maximum(radius - c, 0) ** 2, k, radius**2)
            low, high = np.where(held < level, c, low), np.where(held < level, high, c)
        plane = np.full((most, 1), high[0, -1])  # spheres in one deviate are two planes, of which far ones are one
        found.append(np.maximum.accumulate(np.hstack([high, plane])[:, ::-1], axis=1)[:, ::-1])
    return np.array(found)
