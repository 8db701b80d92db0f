"""Gaussian integrals over the hits of a muon: moments and quantiles of its observables, without random trials.

In one coordinate by quadrature on fixed nodes, in several by scrambled Sobol points. Neither needs to know of kinks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise
from operator import add
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..statistics.angles import wrap, wrap_last
from ..statistics.quantiles import P_ENDS, quantiles, sorted_rows
from ..statistics.sobol import normal_points
from .covariance import cholesky, combined, orthogonal, thrown
from .elementwise import whole_vectors
from .inference import Infer, at_points, periods_of
from .jacobians import masked_jacobian

NODES = 128
"""Nodes of the quadrature; at most 256, see `_order`."""

WIDTH = 1.25
"""Width of the nodes' Gaussian, in units of the hit's; wide enough for the tails of strongly bent functions."""

POINTS, RANDOMISATIONS = (512, 2048, 8192), 8
"""Sample sizes tried in turn; number of scramblings used for the error estimate."""

LARGEST_ERROR, LARGEST_TAIL = 0.0015, 0.02
"""Relative error of the sd at which refinement stops; and for an observable without one, whose intervals need one
refinement."""

LARGEST_END_ERROR, MANY, LARGEST_END_ERROR_OF_MANY = 0.01, 4, 0.02
"""Error of an interval end, in sd, at which refinement stops; and if more than `MANY` deviates have an effect."""

LARGEST_SD_ERROR = 0.01
"""Relative error of the sd from all points above which the observable counts as having no sd."""

HEAVY = 0.5
"""Excess kurtosis above which a pole is searched; that of Rice's distribution is 0.25 at most."""

REACH = 6.0
"""Largest distance of a pole, in deviates; no usable number of toys would notice one further off."""

STARTS, SEARCH, LONGEST = 4, 8 * (0.8,) + 10 * (1.0,), 2.0
"""Number of starting points of the search for a pole, factors on z after each step, and longest step."""

FURTHER, CLOSE = 50, 0.02
"""Smallest deviation of an observable near a pole, in sd, and largest distance from the pole, in deviates."""

SEARCHED_AT_A_TIME = 1024
"""Observables of muons whose poles are searched together."""

MOVED_FROM, MOVED_TO, EFFECT_ROUNDING = 2, (0.0, 4.0, -4.0), 1e-9
"""Points at which deviates are tested for an effect, the values they are set to, and the size of rounding errors
relative to all effects."""

EVALUATIONS_AT_A_TIME, SOBOL_AT_A_TIME = 81_920, 65_536
"""Evaluations of the inference held at a time, for one coordinate and for several."""


@dataclass(frozen=True)
class Integrand:
    """Muons whose observables are to be integrated over hits x + A z with z ~ N(0, 1), where Σ = A Aᵀ.

    Where observables change along some directions of z only, A may be the part of it along these.
    """

    infer: Infer
    hits: Float[Tensor, "muon coordinate"]
    root: Float[Tensor, "#muon coordinate deviate"]
    value: Float[Tensor, "muon observable"]

    def away(self, deviates: Float[Tensor, "#muon point coordinate"]) -> Float[Tensor, "muon point observable"]:
        """Differences of the observables from their values at the hits when the hits are off by A z, for deviates z."""
        return self._away_at(thrown(self.hits, combined(self.root, deviates)))

    def away_and_ahead(
        self, deviates: Float[Tensor, "#muon point coordinate"], moved: range
    ) -> Iterator[Float[Tensor, "muon point observable"]]:
        """`away` for these deviates, and then with each of those in `moved`, one at a time, larger by 1."""
        hits = thrown(self.hits, combined(self.root, deviates))
        yield self._away_at(hits)
        for index in moved:
            yield self._away_at(hits + self.root[:, None, :, index])

    def _away_at(self, hits: Float[Tensor, "muon point coordinate"]) -> Float[Tensor, "muon point observable"]:
        return wrap_last(at_points(self.infer, hits) - self.value[:, None], periods_of(self.infer))

    def some_away(
        self, deviates: Float[Tensor, "point some"], of: Int[Tensor, " wanted"], observable: Int[Tensor, " wanted"]
    ) -> Float[Tensor, "wanted point"]:
        """The same for some observables of some muons, by the first deviates."""
        # Coordinate by coordinate, so that every product runs along memory.
        hits = self.hits.t()[:, :, None].repeat(1, 1, len(deviates))
        root = self.root.movedim(0, -1).contiguous()
        for index, z in enumerate(deviates.t().contiguous()):
            hits.addcmul_(root[:, index, :, None], z)
        values = at_points(self.infer, hits.movedim(0, -1))
        return self._wrapped(values[of, :, observable] - self.value[of, observable, None], observable)

    def away_with_gradient(
        self, deviates: Float[Tensor, "muon point some"], observable: Int[Tensor, " muon"]
    ) -> tuple[Float[Tensor, "muon point"], Float[Tensor, "muon point some"]]:
        """One observable of each muon, by the first deviates, with its gradient by these."""
        root = self.root[:, :, : deviates.shape[2]]
        with torch.enable_grad():
            hits = thrown(self.hits, combined(root, deviates)).flatten(0, 1).contiguous().requires_grad_()
            values = self.infer(hits)
            column = observable.repeat_interleave(deviates.shape[1])[:, None]
            (gradient,) = torch.autograd.grad(values.gather(1, column).sum(), hits)
        away = values.detach().gather(1, column).unflatten(0, deviates.shape[:2])[:, :, 0]
        away = self._wrapped(away - self.value.gather(1, observable[:, None]), observable)
        return away, combined(root.mT, gradient.unflatten(0, deviates.shape[:2]))

    def _wrapped(self, away: Float[Tensor, "some point"], observable: Int[Tensor, " some"]) -> Tensor:
        for index, period in enumerate(periods_of(self.infer) or ()):
            if period:
                rows = observable == index
                away[rows] = wrap(away[rows], period)
        return away

    def turned(self, jacobian: Float[Tensor, "muon observable coordinate"]) -> Integrand:
        """The same, with the first deviates along the gradients of the observables, which change most along these.

        In order: the gradients at the hit, what those nearby add to them, and the remaining directions. A gradient that
        adds no direction to those before it has no deviate of its own.
        """
        off = self.hits + combined(self.root, normal_points(self.hits.shape[1], 1, 1, 0).to(self.hits)[None])[:, 0]
        jacobians = torch.cat([jacobian, masked_jacobian(self.infer, off)], dim=1)
        gradients = combined(self.root.mT, jacobians).nan_to_num(0.0, 0.0, 0.0)
        norm = combined(gradients, gradients).diagonal(dim1=1, dim2=2)[:, :, None].sqrt()
        gradients = gradients / torch.where(norm > 0, norm, 1.0)
        own = cholesky(combined(gradients, gradients)).diagonal(dim1=1, dim2=2) > 0
        gradients = gradients * own[:, :, None]
        order = (~own).to(torch.uint8).argsort(dim=1, stable=True)
        gradients = gradients.gather(1, order[:, :, None].expand_as(gradients))
        return Integrand(self.infer, self.hits, combined(orthogonal(gradients), self.root), self.value)

    def take(self, rows: Int[Tensor, " few"] | slice) -> Integrand:
        """A subset of the muons."""
        root = self.root if len(self.root) == 1 else self.root[rows]
        return Integrand(self.infer, self.hits[rows], root, self.value[rows])


class Integrals(NamedTuple):
    """Mean, standard deviation with its error, and quantiles for `ENDS`, all but sd from the value at the hit."""

    mean: Float[Tensor, "muon observable"]
    sd: Float[Tensor, "muon observable"]
    sd_error: Float[Tensor, "muon observable"]
    ends: Float[Tensor, "muon observable 4"]


def unknown_integrals(value: Tensor, shape: Sequence[int]) -> Integrals:
    """Integrals of muons and observables of this shape, all NaN, of the type and on the device of `value`."""
    return Integrals(*(value.new_full((*shape, *ends), float("nan")) for ends in ((), (), (), (4,))))


class Sampled(NamedTuple):
    """Integrals from points, the largest error of an end, the points furthest off, and whether tails are heavy."""

    integrals: Integrals
    end_error: Float[Tensor, " wanted"]
    furthest: Int[Tensor, "wanted start"]
    heavy: Bool[Tensor, " wanted"]


def integrate(
    muons: Integrand,
    jacobian: Float[Tensor, "muon observable coordinate"],
    seed: int,
    wanted: Bool[Tensor, "muon observable"] | None = None,
    refine: bool = True,
) -> Integrals:
    """Integrate muons, a few at a time: all observables, or those that are wanted; the others are NaN.

    Without `refine`, several coordinates have the fewest points.
    """
    count = len(muons.hits)
    every = whole_vectors(torch.arange(count, device=muons.hits.device))
    if muons.hits.shape[1] == 1:
        parts = [_quadrature(muons.take(rows)) for rows in every.split(EVALUATIONS_AT_A_TIME // NODES)]
        found = Integrals(*(torch.cat(each)[:count] for each in zip(*parts, strict=True)))
        # Not finite at one point means unknown.
        return found._replace(ends=torch.where(torch.isfinite(found.sd)[:, :, None], found.ends, float("nan")))
    wanted = torch.ones_like(muons.value, dtype=torch.bool) if wanted is None else wanted
    whole = unknown_integrals(muons.value, wanted.shape)
    turned = muons.take(every).turned(jacobian[every]).take(slice(0, count))
    found = _by_points(turned, wanted, seed, POINTS if refine else POINTS[:1])
    for column, each in zip(whole, found, strict=True):
        column[wanted] = each
    return whole


def _by_points(
    muons: Integrand, wanted: Bool[Tensor, "muon observable"], seed: int, sizes: tuple[int, ...]
) -> Integrals:
    """The integrals of the wanted observables, one after the other, by as many points as each needs, of some sizes.

    An observable without a standard deviation has NaN for sd and mean, an infinite error, and finite quantiles.
    """
    muon, observable = wanted.nonzero().unbind(1)
    few = max(1, SOBOL_AT_A_TIME // (MOVED_FROM * (1 + len(MOVED_TO) * muons.hits.shape[1])))
    deviates = torch.cat([moving(muons.take(slice(at, at + few))) for at in range(0, len(muons.hits), few)])[muon]
    found = Integrals(*(muons.value.new_empty(len(muon), *ends) for ends in ((), (), (), (4,))))
    starts = muons.value.new_zeros(len(muon), STARTS, muons.hits.shape[1])
    end_error = torch.zeros_like(found.sd)
    heavy, endless = torch.zeros(2, len(muon), dtype=torch.bool, device=muon.device)
    rest = torch.arange(len(muon), device=muon.device)
    for points in sizes:
        z = normal_points(muons.hits.shape[1], points, RANDOMISATIONS, seed).to(muons.hits)
        step = max(1, SOBOL_AT_A_TIME // len(z))
        for count in deviates[rest].unique().tolist():
            some = rest[deviates[rest] == count]
            rows, which = muon[some].unique_consecutive(return_inverse=True)
            cuts = torch.searchsorted(which, torch.arange(0, len(rows) + step, step, device=which.device)).tolist()
            for at, (first, last) in enumerate(pairwise(cuts)):
                here, chunk = some[first:last], muons.take(rows[at * step : (at + 1) * step])
                away = chunk.some_away(z[:, :count], which[first:last] - at * step, observable[here])
                sampled = _sobol(away)
                for column, each in zip(found, sampled.integrals, strict=True):
                    column[here] = each
                starts[here], heavy[here], end_error[here] = z[sampled.furthest], sampled.heavy, sampled.end_error
            some = some[heavy[some]]
            for here in some.split(SEARCHED_AT_A_TIME):
                endless[here] = has_pole(
                    muons.take(muon[here]), observable[here], starts[here, :, :count], found.mean[here], found.sd[here]
                )
        sd = found.sd[rest]
        allowed = torch.where(deviates[rest] > MANY, LARGEST_END_ERROR_OF_MANY, LARGEST_END_ERROR)
        error, unsure = found.sd_error[rest] / sd, end_error[rest] > allowed * sd
        tail = (error > LARGEST_TAIL) & (points == POINTS[0])
        more = torch.where(endless[rest], tail, (error > LARGEST_ERROR) | unsure)
        rest = rest[more]
        if not len(rest):
            break
    without = endless | (found.sd_error > LARGEST_SD_ERROR * found.sd)
    for column in (found.mean, found.sd):
        column[without] = float("nan")
    found.sd_error[without] = float("inf")
    return found


def _quadrature(muons: Integrand) -> Integrals:
    rule = Rule(*(each.to(muons.hits) for each in _rule()))
    away = muons.away(rule.nodes[None, :, None])
    mean = (rule.weights[:, None] * away).sum(dim=1)
    square = (away - mean[:, None]).square()
    sd, second = ((weights[:, None] * square).sum(dim=1).sqrt() for weights in (rule.weights, rule.trapezoid))
    ends = torch.stack([_quantiles(each.contiguous(), rule) for each in away.unbind(dim=2)], dim=1)
    return Integrals(mean, sd, (second - sd).abs(), ends)


class Rule(NamedTuple):
    """Nodes z, their weights, those of the trapezoid rule in probability, and the probabilities between the nodes."""

    nodes: Float[Tensor, " node"]
    weights: Float[Tensor, " node"]
    trapezoid: Float[Tensor, " node"]
    between: Float[Tensor, " gap"]


@lru_cache
def _rule() -> Rule:
    """∫ g(z) φ(z) dz = ∫ g(z) φ(z)/φ_w(z) dp with p = Φ(z/w), by Gauss-Legendre in p.

    What lies below the first node and above the last is given to these.
    """
    x, in_p = np.polynomial.legendre.leggauss(NODES)
    narrow = torch.special.ndtri(torch.from_numpy((x + 1) / 2))
    nodes = WIDTH * narrow
    weights = torch.from_numpy(in_p) * torch.exp((narrow.square() - nodes.square()) / 2)
    below = torch.special.ndtr(nodes)
    between = below.diff()
    ends = below.new_zeros(NODES)
    ends[0], ends[-1] = below[0], 1 - below[-1]
    trapezoid = ends + torch.nn.functional.pad(between, (0, 1)) / 2 + torch.nn.functional.pad(between, (1, 0)) / 2
    return Rule(nodes, weights / weights.sum(), trapezoid, between)


def _quantiles(y: Float[Tensor, "muon node"], rule: Rule) -> Float[Tensor, "muon 4"]:
    """Quantiles of a function that is straight in probability between the nodes.

    Its distribution F is then straight between any two values at nodes: over the sorted values, the slope of F changes
    where a piece begins or ends, and F jumps where a piece is level. What is beyond the last nodes, 4.7 σ away, has too
    little probability to matter.
    """
    steps = y.diff(dim=1)
    low, high = y.amin(dim=1, keepdim=True), y.amax(dim=1, keepdim=True)
    smallest = 1e-9 * (high - low)
    any_level = bool((steps.abs().amin(dim=1, keepdim=True) <= smallest).any())
    density = rule.between / steps  # negative where the function falls
    if any_level:
        level = steps.abs() <= smallest
        density.masked_fill_(level, 0)
    bend = torch.empty_like(y)
    bend[:, 0], bend[:, -1] = density[:, 0], -density[:, -1]
    torch.sub(density[:, 1:], density[:, :-1], out=bend[:, 1:-1])
    ordered, order = _order(y)
    slope = bend.gather(1, order).cumsum(dim=1)
    gained = torch.zeros_like(y)
    torch.mul(slope[:, :-1], ordered.diff(dim=1), out=gained[:, 1:])
    if any_level:
        jump = torch.nn.functional.pad(rule.between * level, (0, 1)).gather(1, order)
        gained += jump
    below = gained.cumsum(dim=1)
    wanted = torch.from_numpy(P_ENDS).to(y).expand(len(y), -1).contiguous()
    after = torch.searchsorted(below, wanted).clamp(1, NODES - 1)
    until = below - jump if any_level else below  # the upper value is reached where F begins to jump
    p0, p1 = below.gather(1, after - 1), until.gather(1, after)
    y0, y1 = ordered.gather(1, after - 1), ordered.gather(1, after)
    found = y0 + (y1 - y0) * ((wanted - p0) / (p1 - p0)).clamp(0, 1).nan_to_num(1.0)
    return torch.minimum(torch.maximum(found, low), high)  # where `_order` changed the least or the greatest value


def _order(y: Float[Tensor, "muon node"]) -> tuple[Float[Tensor, "muon node"], Int[Tensor, "muon node"]]:
    """Each row in order, and where its entries were."""
    if y.device.type != "cpu":
        return y.sort(dim=1)
    # numpy sorts plain numbers several times faster than it, or torch, finds their order. So the last byte of each
    # number's mantissa is made to say where it was: values change by a part in 1e13 of the distance from the hit's.
    keys = ((y.double().numpy().view(np.int64) & ~0xFF) | np.arange(y.shape[1])).view(np.float64)
    keys.sort(axis=1)
    return torch.from_numpy(keys).to(y), torch.from_numpy(keys.view(np.int64) & 0xFF)


def _sobol(away: Float[Tensor, "wanted point"]) -> Sampled:
    """The integrals from the values at all points of all scramblings."""
    mean = away.mean(dim=1, keepdim=True)
    square = (away - mean).square_()
    variance = square.mean(dim=1)
    sd = variance.sqrt()
    scrambled = away.unflatten(1, (RANDOMISATIONS, -1)).mean(dim=2) - mean
    scrambled = (square.unflatten(1, (RANDOMISATIONS, -1)).mean(dim=2) - scrambled.square()).clamp(min=0).sqrt()
    # Term by term (docs/reproducibility.md): the error decides what is quoted.
    parts = scrambled.unbind(1)
    centre = reduce(add, parts) / RANDOMISATIONS
    error = (reduce(add, [(part - centre).square() for part in parts]) / (RANDOMISATIONS * (RANDOMISATIONS - 1))).sqrt()
    furthest = square.topk(STARTS, dim=1).indices
    heavy = square.square_().mean(dim=1) > (3 + HEAVY) * variance.square()
    ordered = sorted_rows(away)
    ends = quantiles(ordered, tuple(P_ENDS.tolist()))
    # Not finite at one point means unknown.
    ends = torch.where(torch.isfinite(sd)[:, None], ends, float("nan"))
    return Sampled(Integrals(mean[:, 0], sd, error, ends), _end_error(away, ordered, ends), furthest, heavy)


def _end_error(
    away: Float[Tensor, "wanted point"], ordered: Float[Tensor, "wanted point"], ends: Float[Tensor, "wanted 4"]
) -> Float[Tensor, " wanted"]:
    """The largest standard error of the ends, from the numbers of points below them in the scramblings.

    If the number below an end has a standard error of k points, the values k ranks above and below lie one
    standard error from the end. Both ends of an interval share a variance: eight scramblings tell little of one.
    """
    points, scrambled = away.shape[1], away.unflatten(1, (RANDOMISATIONS, -1))
    variances = []
    for end in ends.unbind(1):
        below = (scrambled < end[:, None, None]).sum(dim=2)
        around = RANDOMISATIONS * below - below.sum(dim=1, keepdim=True)
        variances.append(around.square().sum(dim=1) / (RANDOMISATIONS * (RANDOMISATIONS - 1)))
    largest = torch.zeros_like(ends[:, 0])
    for index, probability in enumerate(P_ENDS.tolist()):
        both = index - index % 2
        ranks = ((variances[both] + variances[both + 1]) / 2).sqrt()
        whole = ranks.ceil().clamp(min=1)
        up, down = (
            ordered.gather(1, (int(probability * points) + sign * whole.long()).clamp(0, points - 1)[:, None])[:, 0]
            for sign in (1, -1)
        )
        largest = torch.maximum(largest, ranks / whole * (up - down) / 2)
    return largest


def has_pole(
    muons: Integrand,
    observable: Int[Tensor, " muon"],
    starts: Float[Tensor, "muon start deviate"],
    mean: Float[Tensor, " muon"],
    sd: Float[Tensor, " muon"],
) -> Bool[Tensor, " muon"]:
    """Whether an observable goes to infinity at some point that is not further off than `REACH`.

    A ratio does where its denominator is 0, and has no standard deviation however unlikely that is. With d(z) the
    distance of the observable from its mean, 1/d is 0 there. Newton's method looks for that, from the points at which
    |d| is largest: the next z is z + d ∇d/|∇d|². At first z is also scaled towards the hit at each step, which
    removes components that do not bring it nearer to the pole. The length |d|/|∇d| of a step is at most the distance of
    the pole, and becomes as small as required; for d = zⁿ it is z/n.
    """
    z, found = starts, torch.zeros_like(mean, dtype=torch.bool)
    for shrink in SEARCH:
        away, gradient = muons.away_with_gradient(z, observable)
        away = away - mean[:, None]
        steepness = gradient.square().sum(dim=2)
        length = away.abs() / steepness.sqrt()
        near = z.square().sum(dim=2) <= REACH**2
        found |= (near & (away.abs() > FURTHER * sd[:, None]) & (length < CLOSE)).any(dim=1)
        step = (away * (LONGEST / length).clamp(max=1) / steepness)[:, :, None] * gradient
        z = shrink * (z + torch.where(torch.isfinite(step), step, 0.0))
    return found


def moving(muons: Integrand) -> Int[Tensor, " muon"]:
    """Number of deviates of rotated muons before those, at the end, that change no observable.

    Of a track's hits, only the combinations that determine its parameters have any effect. A deviate has none if the
    observables change by no more than rounding when it is set to 0 or ±4.
    """
    coordinates = muons.hits.shape[1]
    base = normal_points(coordinates, MOVED_FROM, 1, 0).to(muons.hits)
    trials = [base]
    for value in MOVED_TO:
        for column in range(coordinates):
            trials.append(base.clone())
            trials[-1][:, column] = value
    away = muons.away(torch.cat(trials)[None]).unflatten(1, (-1, MOVED_FROM))
    most = away.abs().amax(dim=(1, 2))
    nowhere = away.isnan().all(dim=2).all(dim=1)  # an observable that isn't there is not changed

    def still(off: Tensor) -> Tensor:
        return ((off <= EFFECT_ROUNDING * most) | nowhere).all(dim=1)

    off = (away[:, 1:] - away[:, :1]).abs().amax(dim=2).unflatten(1, (len(MOVED_TO), coordinates)).amax(dim=1)
    count = coordinates - torch.stack([still(each) for each in off.flip(1).unbind(1)]).long().cumprod(dim=0).sum(dim=0)
    # All of them together too.
    kept = torch.arange(coordinates, device=count.device) < count[:, None]
    together = muons.away(torch.where(kept[:, None], base, 0.0)) - away[:, 0]
    return torch.where(still(together.abs().amax(dim=1)), count, coordinates).clamp(min=1)
