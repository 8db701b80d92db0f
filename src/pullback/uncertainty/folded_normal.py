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
from .elementwise import whole_vectors
from .folds import Folding
from .inference import Infer
from .linear import Law
from .quadrature import Integrals, unknown_integrals
from .signed import FoldedMuons, Signed, observable_along, signed_at

SIZES, OUTERMOST = 18, 5.5
"""Nodes in |s|, and their largest distance from the recorded one, in σ."""

INTEGRATED_AT_A_TIME = 16_384
"""Muons whose values at all nodes, 3 MiB, are held at a time."""

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
    shared = lambda rows: sigma_x if len(sigma_x) == 1 else sigma_x[rows]  # noqa: E731
    for index, fold in enumerate(folding.folds):
        if fold is None or fold.azimuth or len(fold.signed) > 1:
            continue
        for rows in whole_vectors(wanted[:, index].nonzero()[:, 0]).split(INTEGRATED_AT_A_TIME):
            if folding.observables is None:
                signed = signed_at(folding, hits[rows], shared(rows))
            else:
                parts = (part[rows] for part in (law.value, law.jacobian, law.covariance))
                signed = Signed(*parts).of(folding.observables)
            muons = FoldedMuons(infer, folding, fold, hits[rows], shared(rows), signed.of(fold.signed))
            integrals, right[rows, index] = _of_sizes(muons, index, law.value[rows, index])
            for column, each in zip(found, integrals, strict=True):
                column[rows, index] = each
    return found, right


def _of_sizes(muons: FoldedMuons, index: int, value: Float[Tensor, " muon"]) -> tuple[Integrals, Bool[Tensor, " muon"]]:
    """The integrals of one observable from its values at some sizes of s."""
    s, sigma = muons.s.value[:, 0], muons.s.covariance[:, 0, 0].sqrt()
    distance = s.abs() / sigma
    low = (distance - OUTERMOST).clamp(min=0)
    places, weights = (each.to(distance)[:, None] for each in _nodes())
    sizes = low + (distance + OUTERMOST - low) * places
    lengths = folded_normal_quantiles(distance)
    every = torch.cat([sizes, lengths, -lengths[1::2]])
    values = observable_along(muons, index, every.mul_(torch.where(s < 0, -sigma, sigma)))
    off, ends, opposite = (values - value).split([SIZES, 4, 2])
    mass = (sizes - distance).square_().mul_(-0.5).exp_()
    mass = mass.add_((sizes + distance).square_().mul_(-0.5).exp_()).mul_(weights)
    total = _added(mass)
    mean = _added(mass * off) / total
    sd = (_added((off - mean).square_().mul_(mass)) / total).sqrt()
    apart = (ends[1::2] - opposite).abs_().amax(dim=0)
    right = (apart <= LARGEST_ASYMMETRY * sd) & (off[1:] >= off[:-1]).all(dim=0)
    return Integrals(mean, sd, apart, ends.t()), right


def _added(terms: Float[Tensor, "size muon"]) -> Float[Tensor, " muon"]:
    """The sum over sizes in their order. torch takes another for the last muons, so it would depend on neighbours."""
    total = terms[0].clone()
    for term in terms[1:]:
        total.add_(term)
    return total


@lru_cache
def _nodes() -> tuple[Float[Tensor, " size"], Float[Tensor, " size"]]:
    """Places between 0 and 1, and weights."""
    places, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(SIZES))
    return (places + 1) / 2, weights


def folded_normal_quantiles(distance: Float[Tensor, " muon"]) -> Float[Tensor, "4 muon"]:
    """Quantiles of |z| with z ~ N(t, 1) for the ends of both intervals, from the distances t ≥ 0; linear in a table."""
    table = _table().to(distance)
    place = distance.clamp(max=TABLE_END) / TABLE_STEP
    entry = place.nan_to_num(0.0).long().clamp(max=table.shape[1] - 2)
    low = table[:, entry]
    return low + (table[:, entry + 1] - low) * (place - entry) + (distance - TABLE_END).clamp(min=0)


@lru_cache
def _table() -> Float[Tensor, "4 entry"]:
    """P(|z| ≤ q) = Φ(q − t) − Φ(−q − t) solved for q by bisection."""
    t = TABLE_STEP * torch.arange(round(TABLE_END / TABLE_STEP) + 1, dtype=torch.float64)[:, None]
    low, high = torch.zeros(len(t), 4, dtype=torch.float64), (t + 4).repeat(1, 4)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.special.ndtr(middle - t) - torch.special.ndtr(-middle - t) < torch.from_numpy(P_ENDS)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return ((low + high) / 2).t().contiguous()
