"""The distribution of an observable that bends with one or two signed quantities, and is linear in all else.

A point of closest approach varies with the inverse of the deflection; for a given deflection it is nearly linear in the
hits, and so Gaussian. A sum of these Gaussians over a grid of signed quantities gives all that is quoted.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..statistics.quantiles import P_ENDS
from ..statistics.sobol import normal_points
from .covariance import cholesky, combined, orthogonal
from .elementwise import WHOLE_VECTORS, total, whole_vectors
from .folds import Folding, fold_distance
from .inference import Infer
from .linear import Law
from .quadrature import Integrals, Integrand, unknown_integrals
from .signed import signed_at

SPACINGS = ((6.0, 7.0, 0.4), (7.0, float("inf"), 0.8))
"""Smallest and largest distance from where signed quantities are 0, in σ, with the spacing of the grid there, in σ."""

GRID_RADIUS = 4.6
"""Largest distance of the grid from the recorded signed quantities, in σ."""

STEEPEST = 1.5
"""Largest change of an observable by one σ of the signed quantities, relative to its width for given ones."""

TRIED, LARGEST_BEND = 16, 0.03
"""Hits at which observables are compared with what is linear in all else, and their largest rms difference relative to
the width for given signed quantities."""

STEPS_TO_QUANTILE = 5
"""Steps to each quantile."""

PLACES_AT_A_TIME = 262_144
"""Evaluations of the inference held at a time."""


@lru_cache
def grid(directions: int, spacing: float) -> tuple[Float[Tensor, "place deviate"], Float[Tensor, " place"]]:
    """Places and weights of the trapezoidal rule for averages over one or two deviates."""
    steps = int(GRID_RADIUS / spacing)
    axis = spacing * torch.arange(-steps, steps + 1, dtype=torch.float64)
    places = torch.cartesian_prod(*[axis] * directions).reshape(-1, directions)
    square = places.square().sum(dim=1)
    weights = torch.exp(-square / 2)[square <= GRID_RADIUS**2]
    return places[square <= GRID_RADIUS**2], weights / weights.sum()


def conditional_integrals(
    infer: Infer,
    folding: Folding,
    hits: Float[Tensor, "muon coordinate"],
    sigma_x: Float[Tensor, "#muon coordinate *second"],
    law: Law,
    wanted: Bool[Tensor, "muon observable"],
) -> tuple[Integrals, Bool[Tensor, "muon observable"]]:
    """The integrals of the wanted observables that bend with signed quantities (`folding.bends`), and where right.

    They are where the signed quantities are at least 6 σ from their fold; and where observables at 16 hits around the
    recorded ones are linear, for given signed quantities, to within a root mean square of 0.03 of the width that they
    have there.
    """
    found, right = unknown_integrals(law.value, wanted.shape), torch.zeros_like(wanted)
    for bend in dict.fromkeys(each for each in folding.bends if each):
        columns = [index for index, each in enumerate(folding.bends) if each == bend]
        some = whole_vectors(wanted[:, columns].any(dim=1).nonzero()[:, 0])
        if not len(some):
            continue
        shared = sigma_x if len(sigma_x) == 1 else sigma_x[some]
        signed = signed_at(folding, hits[some], shared).of(bend.signed)
        distance = fold_distance(signed.value, signed.covariance)
        muons = Integrand(infer, hits[some], cholesky(shared), law.value[some])
        gradients = combined(muons.root.mT, signed.jacobian)
        size = total(gradients.square().unbind(2)).sqrt()[:, :, None]
        turned = combined(orthogonal(gradients / torch.where(size > 0, size, 1.0)), muons.root)
        muons = Integrand(infer, muons.hits, turned, muons.value)
        slopes = combined(muons.root.mT, law.jacobian[some][:, columns]).square()
        directions = len(bend.signed)
        steep = slopes[:, :, :directions].sum(dim=2) > STEEPEST**2 * slopes[:, :, directions:].sum(dim=2)
        for low, high, spacing in SPACINGS:
            places, weights = (each.to(hits) for each in grid(directions, spacing))
            few = whole_vectors(((distance >= low) & (distance < high)).nonzero()[:, 0])
            vectors = PLACES_AT_A_TIME // (len(weights) * hits.shape[1] * WHOLE_VECTORS)
            for rows in few.split(WHOLE_VECTORS * max(1, vectors)):
                integrals, agrees = _summed_up(muons.take(rows), columns, places, weights)
                at = some[rows][:, None], torch.tensor(columns, device=hits.device)
                right[at] = agrees & ~steep[rows] & wanted[at]
                for column, each in zip(found, integrals, strict=True):
                    column[at] = each
    return found, right


def _summed_up(
    muons: Integrand,
    columns: list[int],
    grid_places: Float[Tensor, "place direction"],
    weights: Float[Tensor, " place"],
) -> tuple[Integrals, Bool[Tensor, "muon observable"]]:
    """The integrals of some observables as sums over the grid, and whether they are right."""
    directions = grid_places.shape[1]
    places = torch.nn.functional.pad(grid_places, (0, muons.root.shape[2] - directions))
    bends = _bends(muons, columns, directions)
    centre, slopes = _linear(muons, columns, places, bends)
    mean, width = centre + bends.sum(dim=1, keepdim=True), total(slope.square() for slope in slopes).sqrt()
    each = weights[:, None]
    whole = (each * mean).sum(dim=1)
    sd = (each * (width.square() + (mean - whole[:, None]).square())).sum(dim=1).sqrt()
    ends = _mixture_quantiles(mean.mT.contiguous(), width.mT.contiguous(), weights, whole, sd)
    rest = _rest(muons, columns, bends)
    agrees = (rest <= LARGEST_BEND) & torch.isfinite(ends).all(dim=2)
    return Integrals(whole, sd, rest * sd, ends), agrees


def _bends(muons: Integrand, columns: list[int], directions: int) -> Float[Tensor, "muon deviate observable"]:
    """Terms of second order in each deviate in which observables are nearly linear, at the hit."""
    units = torch.eye(muons.root.shape[2]).to(muons.hits)[directions:]
    up, down = (muons.away((sign * units)[None])[:, :, columns] for sign in (1, -1))
    return (up + down) / 2


def _linear(
    muons: Integrand, columns: list[int], places: Float[Tensor, "place deviate"], bends: Tensor
) -> tuple[Float[Tensor, "muon place observable"], list[Float[Tensor, "muon place observable"]]]:
    """Observables at some places, and their derivatives by each deviate in which they are nearly linear."""
    deviates = places.shape[1]
    every = muons.away_and_ahead(places[None], range(deviates - bends.shape[1], deviates))
    centre, *ahead = (each[:, :, columns] for each in every)
    return centre, [each - centre - bend[:, None] for each, bend in zip(ahead, bends.unbind(1), strict=True)]


def _rest(muons: Integrand, columns: list[int], bends: Tensor) -> Float[Tensor, "muon observable"]:
    """The rms difference of observables around the hit from what is nearly linear, relative to their width there."""
    z = normal_points(muons.root.shape[2], TRIED, 1, 0).to(muons.hits)
    others = bends.shape[1]
    places = torch.nn.functional.pad(z[:, :-others], (0, others))
    centre, slopes = _linear(muons, columns, places, bends)
    found = total(slope * part[:, None] for slope, part in zip(slopes, z.t()[-others:], strict=True))
    width = total(each.square() for each in slopes).sqrt()
    off = (muons.away(z[None])[:, :, columns] - centre - found - bends.sum(dim=1, keepdim=True)) / width
    return (total(off.square().unbind(1)) / TRIED).sqrt()


def _mixture_quantiles(
    mean: Float[Tensor, "muon observable place"],
    width: Float[Tensor, "muon observable place"],
    weights: Float[Tensor, " place"],
    centre: Float[Tensor, "muon observable"],
    sd: Float[Tensor, "muon observable"],
) -> Float[Tensor, "muon observable 4"]:
    """Quantiles of a sum of Gaussians, by Newton's method for the deviate Φ⁻¹(F), which is nearly linear."""
    inverse, found = 1 / width, []
    for wanted in torch.special.ndtri(torch.from_numpy(P_ENDS)).tolist():
        at = centre + wanted * sd
        for _ in range(STEPS_TO_QUANTILE):
            z = (at[:, :, None] - mean) * inverse
            below = (weights * torch.special.ndtr(z)).sum(dim=2).clamp(1e-6, 1 - 1e-6)
            density = (weights * inverse * torch.exp(-z.square() / 2)).sum(dim=2)
            deviate = torch.special.ndtri(below)
            at = at + ((wanted - deviate).clamp(-1, 1) * torch.exp(-deviate.square() / 2) / density)
        found.append(at)
    return torch.stack(found, dim=2)
