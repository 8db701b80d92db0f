"""The distribution of an observable that increases with the size |s| of one signed quantity, in one coordinate.

s ~ N(s(x), σ²), so |s| follows the folded normal distribution. Its quantiles are tabulated, and the observable is a
smooth function of |s|, which few nodes integrate.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..statistics.quantiles import P_ENDS
from .folds import Folding, gain
from .inference import Infer
from .linear import Law
from .quadrature import Integrals, unknown_integrals
from .signed import FoldedMuons, Signed, observable_at, signed_at

SIZES, OUTERMOST = 24, 5.5
"""Nodes in |s|, and their largest distance from the recorded one, in σ."""

TABLE_STEP, TABLE_END = 1 / 256, 8.0
"""Distance between entries of the table of quantiles, and the distance from the fold where it ends, in σ."""

LARGEST_ASYMMETRY = 0.015
"""Largest difference of the observable between s and −s, in sd."""


def folded_normal_integrals(
    infer: Infer,
    folding: Folding,
    hits: Float[Tensor, "muon 1"],
    sigma_x: Float[Tensor, "#muon 1"],
    law: Law,
    wanted: Bool[Tensor, "muon observable"],
) -> tuple[Integrals, Bool[Tensor, "muon observable"]]:
    """The integrals of the wanted observables that one signed quantity folds into, and for which they are right.

    They are where the observable increases from node to node, and is the same at s and −s to within 0.015 sd.
    """
    found, right = unknown_integrals(law.value, wanted.shape), torch.zeros_like(wanted)
    for index, fold in enumerate(folding.folds):
        if fold is None or fold.azimuth or len(fold.signed) > 1:
            continue
        rows = wanted[:, index].nonzero()[:, 0]
        shared = sigma_x if len(sigma_x) == 1 else sigma_x[rows]
        if folding.observables is None:
            signed = signed_at(folding, hits[rows], shared)
        else:
            parts = (part[rows] for part in (law.value, law.jacobian, law.covariance))
            signed = Signed(*parts).of(folding.observables)
        muons = FoldedMuons(infer, folding, fold, hits[rows], shared, signed.of(fold.signed))
        integrals, right[rows, index] = _of_sizes(muons, index, law.value[rows, index])
        for column, each in zip(found, integrals, strict=True):
            column[rows, index] = each
    return found, right


def _of_sizes(muons: FoldedMuons, index: int, value: Float[Tensor, " muon"]) -> tuple[Integrals, Bool[Tensor, " muon"]]:
    """The integrals of one observable from its values at some sizes of s."""
    s, sigma = muons.s.value[:, 0], muons.s.covariance[:, 0, 0].sqrt()
    distance, shift = s.abs() / sigma, gain(muons.s.jacobian, muons.sigma_x)
    unit = torch.where(s < 0, -sigma, sigma)

    def at(size: Float[Tensor, " muon"], side: int = 1) -> Float[Tensor, " muon"]:
        return observable_at(muons, index, shift, (side * size * unit)[:, None]) - value

    low = (distance - OUTERMOST).clamp(min=0)
    width = distance + OUTERMOST - low
    sizes = [low + width * place for place in _nodes()[0]]
    off = torch.stack([at(size) for size in sizes])
    weights = [
        weight * (torch.exp(-(size - distance).square() / 2) + torch.exp(-(size + distance).square() / 2))
        for size, weight in zip(sizes, _nodes()[1], strict=True)
    ]
    mass = torch.stack(weights)
    mass = mass / mass.sum(dim=0)
    mean = (mass * off).sum(dim=0)
    sd = (mass * (off - mean).square()).sum(dim=0).sqrt()
    lengths = folded_normal_quantiles(distance)
    ends = torch.stack([at(length) for length in lengths.unbind(1)], dim=1)
    apart = torch.maximum((ends[:, 1] - at(lengths[:, 1], -1)).abs(), (ends[:, 3] - at(lengths[:, 3], -1)).abs())
    right = (apart <= LARGEST_ASYMMETRY * sd) & (off.diff(dim=0) >= 0).all(dim=0)
    return Integrals(mean, sd, apart, ends), right


@lru_cache
def _nodes() -> tuple[list[float], list[float]]:
    """Places between 0 and 1, and weights."""
    places, weights = np.polynomial.legendre.leggauss(SIZES)
    return ((places + 1) / 2).tolist(), weights.tolist()


def folded_normal_quantiles(distance: Float[Tensor, " muon"]) -> Float[Tensor, "muon 4"]:
    """Quantiles of |z| with z ~ N(t, 1) for the ends of both intervals, from the distances t ≥ 0; linear in a table."""
    table = _table().to(distance)
    place = distance.clamp(max=TABLE_END) / TABLE_STEP
    entry = place.nan_to_num(0.0).long().clamp(max=len(table) - 2)
    low = table[entry]
    return low + (table[entry + 1] - low) * (place - entry)[:, None] + (distance - TABLE_END).clamp(min=0)[:, None]


@lru_cache
def _table() -> Float[Tensor, "entry 4"]:
    """P(|z| ≤ q) = Φ(q − t) − Φ(−q − t) solved for q by bisection."""
    t = TABLE_STEP * torch.arange(round(TABLE_END / TABLE_STEP) + 1, dtype=torch.float64)[:, None]
    low, high = torch.zeros(len(t), 4, dtype=torch.float64), (t + 4).repeat(1, 4)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.special.ndtr(middle - t) - torch.special.ndtr(-middle - t) < torch.from_numpy(P_ENDS)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
