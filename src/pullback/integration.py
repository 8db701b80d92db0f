"""Gaussian integrals over the hits of a muon: moments and quantiles of its observables, without random trials.

In one coordinate by quadrature on fixed nodes, in several by scrambled Sobol points. Neither needs to know where a kink
is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .circular import wrap_last
from .covariances import combined
from .quantiles import ENDS, quantiles, sorted_rows

NODES = 128
"""Nodes of the quadrature; at most 256, see `_order`."""

WIDTH = 1.25
"""They lie like a Gaussian this much wider than the hit's, which takes in the tails of strongly bent functions too."""

POINTS, RANDOMISATIONS = (512, 2048, 8192), 8
"""Sobol points, more where fewer leave too large an error, which is taken from so many independent scramblings."""

LARGEST_ERROR = 0.0015
"""Of a standard deviation, relative to it, for which no more points are taken."""

EVALUATIONS_AT_A_TIME = 81_920
"""Evaluations of the inference that are held at a time: 640 KiB for each coordinate and observable."""


@dataclass(frozen=True)
class Muons:
    """Muons whose observables are to be integrated over hits x + A z with z ~ N(0, 1), where Σ = A Aᵀ."""

    infer: Callable
    hits: Float[Tensor, "muon coordinate"]
    root: Float[Tensor, "#muon coordinate coordinate"]
    value: Float[Tensor, "muon observable"]

    def away(self, deviates: Float[Tensor, "#muon point coordinate"]) -> Float[Tensor, "muon point observable"]:
        """How far the observables are from their values at the hits when these are off by A z, for some deviates z."""
        hits = self.hits[:, None] + combined(self.root, deviates)
        away = self.infer(hits.flatten(0, 1)).unflatten(0, hits.shape[:2]) - self.value[:, None]
        return wrap_last(away, getattr(self.infer, "periods", None))

    def turned(self, jacobian: Float[Tensor, "muon observable coordinate"]) -> Muons:
        """The same, with the first deviates along the gradients of the observables, which change most along these."""
        gradients = (jacobian[:, :, :, None] * self.root[:, None]).sum(dim=2).nan_to_num(0.0, 0.0, 0.0)
        basis = torch.linalg.qr(gradients.mT, mode="complete").Q
        root = (self.root[:, :, :, None] * basis[:, None]).sum(dim=2)
        return Muons(self.infer, self.hits, root, self.value)

    def take(self, rows: Int[Tensor, " few"] | slice) -> Muons:
        """Some of them."""
        root = self.root if len(self.root) == 1 else self.root[rows]
        return Muons(self.infer, self.hits[rows], root, self.value[rows])


class Integrals(NamedTuple):
    """Mean, standard deviation with its error, and quantiles for `ENDS`, all but sd from the value at the hit."""

    mean: Float[Tensor, "muon observable"]
    sd: Float[Tensor, "muon observable"]
    sd_error: Float[Tensor, "muon observable"]
    ends: Float[Tensor, "muon observable 4"]


def integrate(muons: Muons, jacobian: Float[Tensor, "muon observable coordinate"], seed: int) -> Integrals:
    """Integrate muons, a few at a time."""
    if muons.hits.shape[1] == 1:
        found = _in_turn(muons, NODES, _quadrature)
    else:
        muons = muons.turned(jacobian)
        found = _in_turn(muons, POINTS[0] * RANDOMISATIONS, partial(_sobol, POINTS[0], seed))
        for points in POINTS[1:]:
            more = (found.sd_error > LARGEST_ERROR * found.sd).any(dim=1).nonzero()[:, 0]
            if not len(more):
                break
            better = _in_turn(muons.take(more), points * RANDOMISATIONS, partial(_sobol, points, seed))
            for column, each in zip(found, better, strict=True):
                column[more] = each
    # What is not finite at one point is not known.
    return found._replace(ends=torch.where(torch.isfinite(found.sd)[:, :, None], found.ends, float("nan")))


def _in_turn(muons: Muons, points: int, method: Callable[[Muons], Integrals]) -> Integrals:
    """A method that takes so many points, for a few muons at a time."""
    step = max(1, EVALUATIONS_AT_A_TIME // points)
    parts = [method(muons.take(slice(at, at + step))) for at in range(0, max(1, len(muons.hits)), step)]
    return Integrals(*map(torch.cat, zip(*parts, strict=True)))


def _quadrature(muons: Muons) -> Integrals:
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
    x, weights = np.polynomial.legendre.leggauss(NODES)
    narrow = torch.special.ndtri(torch.from_numpy((x + 1) / 2))
    nodes = WIDTH * narrow
    weights = torch.from_numpy(weights) * torch.exp((narrow.square() - nodes.square()) / 2)
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
    wanted = torch.from_numpy(ENDS).to(y).expand(len(y), -1).contiguous()
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


def _sobol(points: int, seed: int, muons: Muons) -> Integrals:
    away = muons.away(normal_points(muons.hits.shape[1], points, RANDOMISATIONS, seed).to(muons.hits)[None])
    mean = away.mean(dim=1)
    sd = (away - mean[:, None]).square().mean(dim=1).sqrt()
    scrambled = away.unflatten(1, (RANDOMISATIONS, points)).std(dim=2, correction=0)
    ends = quantiles(sorted_rows(away.transpose(1, 2).contiguous()), tuple(ENDS.tolist()))
    return Integrals(mean, sd, scrambled.std(dim=1) / RANDOMISATIONS**0.5, ends)


@lru_cache
def normal_points(
    coordinates: int, count: int, randomisations: int, seed: int
) -> Float[Tensor, "{randomisations*count} coordinate"]:
    """Scrambled Sobol points as standard normal deviates, one scrambling after the other.

    Sources: Joe and Kuo 2008, SIAM J. Sci. Comput. 30:2635; scrambling: Matoušek 1998, J. Complexity 14:527.
    """
    found = []
    for index in range(randomisations):
        engine = torch.quasirandom.SobolEngine(coordinates, scramble=True, seed=seed * randomisations + index)
        # A point is the lower corner of its cell, of side 2^-30: half of one more keeps it off 0.
        found.append(torch.special.ndtri(engine.draw(count, dtype=torch.float64) + 2.0**-31))
    return torch.cat(found)
