"""The distribution of an observable that folds, from the Gaussian distribution of the signed quantities.

An increasing function of the length |s| of one or two signed quantities, or their azimuth, needs no integration over
all hits: s ~ N(s(x), J Σ Jᵀ), and one sum over lengths or angles, around the fold, gives all that is quoted.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..statistics.angles import wrap
from ..statistics.quantiles import P_ENDS
from ..statistics.sobol import normal_points
from .covariance import cholesky, combined, thrown
from .elementwise import total, whole_vectors
from .folds import Folding, gain
from .inference import Infer, at_points, periods_of
from .linear import Law
from .quadrature import Integrals, unknown_integrals
from .signed import FoldedMuons, Signed, ahead, observable_at, signed_at

LENGTHS, ANGLES = 96, 256
"""Panels of equal width into which the lengths and the angles are divided."""

WITHIN = 5.0
"""Distance of the signed quantities from those recorded, in their own σ, up to which they are summed over."""

NODES_ACROSS, PLACES, ON_THE_RIM = 16, 8, 32
"""Points of a circle of equal length, of an observable along its length, and on the ellipse that limits lengths."""

LARGEST_LOSS = 1e-3
"""Largest error of the probability of all panels, and of the mean square of the length, relative to its own."""

COMPARED, LARGEST_REST = 16, 0.015
"""Hits at which observables are compared with what follows from s alone, and their largest rms difference, in sd."""

FOLDED_AT_A_TIME = 1024
"""Muons that are summed over together; their intermediate results stay in the cache."""


class Panels(NamedTuple):
    """Panels of a length or of an angle, with the probability of each, and whether these add up."""

    edges: Float[Tensor, "muon edge"]
    mass: Float[Tensor, "muon panel"]
    right: Bool[Tensor, " muon"]


def folded_integrals(
    infer: Infer,
    folding: Folding,
    hits: Float[Tensor, "muon coordinate"],
    sigma_x: Float[Tensor, "#muon coordinate *second"],
    law: Law,
    wanted: Bool[Tensor, "muon observable"],
) -> tuple[Integrals, Bool[Tensor, "muon observable"]]:
    """The integrals of the wanted observables with a fold, and for which of them they are right.

    They are where the panels have the probability of 1 and the mean square |s|² + tr C to within 1e-3; and where
    observables at 16 hits around the recorded ones are those that follow from s(x) + J (x' - x) alone, to within a root
    mean square of 0.015 sd. The difference of an sd is at most that of the observables, which is given as its error.
    """
    found, right = unknown_integrals(law.value, wanted.shape), torch.zeros_like(wanted)
    periodic = periods_of(infer) or (0.0,) * len(folding.folds)
    # An azimuth without a period is no angle on a circle: it jumps.
    folds = [(i, fold) for i, fold in enumerate(folding.folds) if fold and bool(periodic[i]) == fold.azimuth]
    some = whole_vectors(wanted[:, [index for index, _ in folds]].any(dim=1).nonzero()[:, 0])
    for rows in some.split(FOLDED_AT_A_TIME):
        shared = sigma_x if len(sigma_x) == 1 else sigma_x[rows]
        if folding.observables is None:
            signed = signed_at(folding, hits[rows], shared)
        else:
            parts = (part[rows] for part in (law.value, law.jacobian, law.covariance))
            signed = Signed(*parts).of(folding.observables)
        near = _Near.around(infer, hits[rows], shared)
        for index, fold in folds:
            few = whole_vectors(wanted[rows, index].nonzero()[:, 0])
            if not len(few):
                continue
            muons = FoldedMuons(infer, folding, fold, hits[rows], shared, signed.of(fold.signed)).take(few)
            work = _azimuth if fold.azimuth else _length
            integrals, right[rows[few], index] = work(muons, index, law.value[rows[few], index], near.take(few))
            for column, each in zip(found, integrals, strict=True):
                column[rows[few], index] = each
    return found, right


class _Near(NamedTuple):
    """Hits around the recorded ones: how far off they are, and their observables."""

    off: Float[Tensor, "muon probe coordinate"]
    observables: Float[Tensor, "muon probe observable"]

    @classmethod
    def around(cls, infer: Infer, hits: Tensor, sigma_x: Tensor) -> _Near:
        """Probes for muons with their Σ."""
        deviates = normal_points(hits.shape[1], COMPARED, 1, 0).to(hits)
        off = combined(cholesky(sigma_x), deviates[None]).expand(len(hits), -1, -1)
        return cls(off, at_points(infer, thrown(hits, off)))

    def take(self, rows: Int[Tensor, " few"]) -> _Near:
        """Some of the muons."""
        return _Near(self.off[rows], self.observables[rows])

    def signed(self, signed: Signed) -> Float[Tensor, "muon probe quantity"]:
        """The signed quantities there, if they are linear."""
        return signed.value[:, None] + combined(signed.jacobian, self.off)


def _length(
    muons: FoldedMuons, index: int, value: Float[Tensor, " muon"], near: _Near
) -> tuple[Integrals, Bool[Tensor, " muon"]]:
    """The integrals of an increasing function of the length."""
    signed, kind = muons.s, value.dtype
    panels = _lengths(signed.value.double(), signed.covariance.double())
    lowest, highest = panels.edges[:, :1], panels.edges[:, -1:]
    shift, direction = gain(signed.jacobian, muons.sigma_x), ahead(signed.value)
    between = _between().to(panels.edges)
    at = _places().to(panels.edges)
    at_edges = torch.zeros_like(panels.edges)
    for place, weights in zip(at.tolist(), between, strict=True):
        length = (lowest + (highest - lowest) * place).to(kind)
        off = observable_at(muons, index, shift, length * direction) - value
        at_edges = at_edges + off.double()[:, None] * weights
    lengths = total(near.signed(signed).square().movedim(2, 0)).sqrt().double()
    position = ((lengths - lowest) / (highest - lowest) * LENGTHS).nan_to_num(0.0).clamp(0, LENGTHS)
    low = position.long().clamp(max=LENGTHS - 1)
    start, end = at_edges.gather(1, low), at_edges.gather(1, low + 1)
    follows = start + (end - start) * (position - low)
    return _summed(at_edges, panels, follows, near.observables[:, :, index] - value[:, None])


def _azimuth(
    muons: FoldedMuons, index: int, value: Float[Tensor, " muon"], near: _Near
) -> tuple[Integrals, Bool[Tensor, " muon"]]:
    """The integrals of the azimuth of two signed quantities."""
    period = (periods_of(muons.infer) or ())[index]
    s, covariance = muons.s.value.double(), muons.s.covariance.double()
    root = cholesky(covariance)
    (a, _), (skew, b) = (row.unbind(1) for row in root.unbind(1))
    first = s[:, 0] / a
    second = (s[:, 1] - skew * first) / b
    panels = _angles((first.square() + second.square()).sqrt())
    turned = second.arctan2(first)[:, None] + panels.edges
    x, y = a[:, None] * turned.cos(), skew[:, None] * turned.cos() + b[:, None] * turned.sin()
    recorded = s[:, 1].arctan2(s[:, 0])[:, None]
    off = wrap(y.arctan2(x) - recorded, 2 * pi)
    # At half a turn either way, the difference may be rounded to the other side.
    off = torch.where(panels.edges.abs() >= pi, torch.copysign(off.abs(), panels.edges), off)
    there = near.signed(muons.s).double()
    follows = wrap(there[:, :, 1].arctan2(there[:, :, 0]) - recorded, 2 * pi)
    unit = period / (2 * pi)
    seen = wrap(near.observables[:, :, index] - value[:, None], period)
    return _summed(unit * off, panels, unit * follows, seen, period)


def _summed(
    edges: Float[Tensor, "muon edge"],
    panels: Panels,
    follows: Float[Tensor, "muon probe"],
    seen: Float[Tensor, "muon probe"],
    period: float = 0.0,
) -> tuple[Integrals, Bool[Tensor, " muon"]]:
    """The integrals of an observable that is straight over each panel, and whether they are right."""
    step = edges.diff(dim=1)
    middle = edges[:, :-1] + step / 2
    mean = (panels.mass * middle).sum(dim=1)
    sd = (panels.mass * ((middle - mean[:, None]).square() + step.square() / 12)).sum(dim=1).sqrt()
    below = torch.nn.functional.pad(panels.mass.cumsum(dim=1), (1, 0))
    wanted = torch.from_numpy(P_ENDS).to(below).expand(len(below), -1).contiguous()
    after = torch.searchsorted(below, wanted).clamp(1, step.shape[1])
    p0, p1 = below.gather(1, after - 1), below.gather(1, after)
    ends = edges.gather(1, after - 1) + step.gather(1, after - 1) * ((wanted - p0) / (p1 - p0)).clamp(0, 1)
    rest = wrap(seen - follows, period) if period else seen - follows
    rms = (total(rest.square().t()) / COMPARED).sqrt()
    right = panels.right & (rms <= LARGEST_REST * sd)
    return Integrals(*(each.to(seen) for each in (mean, sd, rms, ends))), right


def _lengths(s: Float[Tensor, "muon quantity"], covariance: Float[Tensor, "muon quantity quantity"]) -> Panels:
    """Panels of the length of s ~ N(s, C)."""
    wide, narrow, a, b = _by_axes(s, covariance)
    turn = torch.arange(ON_THE_RIM).to(s) * (2 * pi / ON_THE_RIM)
    rim = (
        (a[:, None] + WITHIN * wide[:, None] * turn.cos()).square()
        + (b[:, None] + WITHIN * narrow[:, None] * turn.sin()).square()
    ).sqrt()
    inside = (a / wide).square() + (b / torch.where(narrow > 0, narrow, 1.0)).square() <= WITHIN**2
    lowest = torch.where(inside, 0.0, rim.amin(dim=1))
    step = (rim.amax(dim=1) - lowest) / LENGTHS
    edges = lowest[:, None] + step[:, None] * torch.arange(LENGTHS + 1).to(s)
    middle = edges[:, :-1] + step[:, None] / 2
    along = _folded_gauss if s.shape[1] == 1 else _across
    mass = along(middle, a, b, wide, narrow) * step[:, None]
    square = (mass * (middle.square() + step.square()[:, None] / 12)).sum(dim=1)
    expected = a.square() + b.square() + wide.square() + narrow.square()
    everything = mass.sum(dim=1)
    right = ((everything - 1).abs() <= LARGEST_LOSS) & ((square / expected - 1).abs() <= LARGEST_LOSS)
    return Panels(edges, mass / everything[:, None], right)


def _by_axes(s: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """σ along the long and the short axis of the error ellipse, and s along these; of one quantity, the short is 0."""
    if s.shape[1] == 1:
        return covariance[:, 0, 0].sqrt(), torch.zeros_like(s[:, 0]), s[:, 0], torch.zeros_like(s[:, 0])
    (aa, ab), (_, bb) = (row.unbind(1) for row in covariance.unbind(1))
    half, turn = (aa - bb) / 2, torch.atan2(2 * ab, aa - bb) / 2
    around, middle = (half.square() + ab.square()).sqrt(), (aa + bb) / 2
    wide = (middle + around).sqrt()
    narrow = ((aa * bb - ab.square()).clamp(min=0)).sqrt() / wide
    cos, sin = turn.cos(), turn.sin()
    return wide, narrow, cos * s[:, 0] + sin * s[:, 1], cos * s[:, 1] - sin * s[:, 0]


def _gauss(off: Tensor, sigma: Float[Tensor, " muon"]) -> Tensor:
    """The density of N(0, σ²), up to 1/σ."""
    return (-0.5 * (off / sigma[:, None]).square()).exp()


def _folded_gauss(
    length: Float[Tensor, "muon panel"], a: Tensor, b: Tensor, wide: Tensor, narrow: Tensor
) -> Float[Tensor, "muon panel"]:
    """The density of |s| for one quantity, N(a, wide²) folded at 0."""
    both = _gauss(length - a[:, None], wide) + _gauss(length + a[:, None], wide)
    return both / ((2 * pi) ** 0.5 * wide[:, None])


def _across(
    length: Float[Tensor, "muon panel"], a: Tensor, b: Tensor, wide: Tensor, narrow: Tensor
) -> Float[Tensor, "muon panel"]:
    """The density of |s| for two, ∫ R dψ n_a(± R cos ψ) n_b(R sin ψ) over |ψ| ≤ π/2.

    By Gauss-Legendre in ψ, where R sin ψ is within reach of b.
    """
    reach, place = WITHIN * narrow[:, None], b[:, None]
    low, high = (((place + sign * reach) / length).clamp(-1, 1).arcsin() for sign in (-1, 1))
    density = torch.zeros_like(length)
    size = a.abs()[:, None]
    ratio = -2 * size / wide.square()[:, None]

    def add(cos: Tensor, sin: Tensor, weight: float) -> None:
        along, across = cos.mul_(length), sin.mul_(length).sub_(place)
        near = (along - size).div_(wide[:, None]).square_().add_(across.div_(narrow[:, None]).square_())
        # The density at −along is smaller by exp(−2 a along/wide²).
        density.addcmul_(near.mul_(-0.5).exp_(), along.mul_(ratio).exp_().add_(1.0), value=weight / 2)

    # Nodes lie at equal distances on either side of the middle, which share their sines and cosines.
    middle, half = (low + high) / 2, (high - low) / 2
    cos, sin = middle.cos(), middle.sin()
    nodes, weights = np.polynomial.legendre.leggauss(NODES_ACROSS)
    for node, weight in zip(nodes[NODES_ACROSS // 2 :], weights[NODES_ACROSS // 2 :], strict=True):
        off = half * node
        across, along = off.sin(), off.cos_()
        both = cos * along, sin * across, sin * along, across.mul_(cos)
        add(both[0] - both[1], both[2] + both[3], weight)
        add(both[0].add_(both[1]), both[2].sub_(both[3]), weight)
    return density * (high - low) * length / (2 * pi * wide * narrow)[:, None]


def _angles(distance: Float[Tensor, " muon"]) -> Panels:
    """Panels of the angle around s, in axes in which it has a covariance of 1 and lies at a distance from the fold.

    Its density is exp(-ρ²/2)/2π + ρ cos χ exp(-½ ρ² sin² χ) Φ(ρ cos χ)/√(2π).
    """
    far = torch.where(distance > WITHIN, (WITHIN / distance).clamp(max=1).arcsin(), pi)
    edges = far[:, None] * torch.linspace(-1, 1, ANGLES + 1).to(distance)
    step = edges.diff(dim=1)
    middle = edges[:, :-1] + step / 2
    rho = distance[:, None]
    along = rho * middle.cos()
    beside = along * (-0.5 * (rho * middle.sin()).square()).exp() * torch.special.ndtr(along) / (2 * pi) ** 0.5
    mass = ((-0.5 * rho.square()).exp() / (2 * pi) + beside) * step
    everything = mass.sum(dim=1)
    return Panels(edges, mass / everything[:, None], (everything - 1).abs() <= LARGEST_LOSS)


@lru_cache
def _places() -> Float[Tensor, " place"]:
    """Chebyshev's points from 0 to 1, ends included."""
    return torch.from_numpy((1 - np.cos(pi * np.arange(PLACES) / (PLACES - 1))) / 2)


@lru_cache
def _between() -> Float[Tensor, "place edge"]:
    """Weights of the values at these points in the polynomial through them, at the edges of panels."""
    places, edges = _places().numpy(), np.linspace(0, 1, LENGTHS + 1)
    weights = [
        np.prod([(edges - other) / (place - other) for other in places if other != place], axis=0) for place in places
    ]
    return torch.from_numpy(np.stack(weights))
