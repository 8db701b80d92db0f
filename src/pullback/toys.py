"""Toy Monte Carlo: many recorded hits around one position, and the spread of what is inferred from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .jacobians import check_hits

AT_A_TIME = 65_536
"""Toys that are held at a time, times coordinates: 512 KiB, which stays in the cache."""


class Toys(NamedTuple):
    """Mean and standard deviation (divided by toys - 1) of the observables over the toys of each muon."""

    mean: Float[Tensor, "muon observable"]
    sd: Float[Tensor, "muon observable"]


class Throw(NamedTuple):
    """What toys are thrown for: an inference, the hits (muon, coordinate), and the hits' standard uncertainty."""

    infer: Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]]
    hits: Float[Tensor, "muon coordinate"]
    noise: float | Float[Tensor, "*noise"]


def run_toys(
    infer: Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]],
    hits: Float[Tensor, "muon coordinate"],
    noise: float | Float[Tensor, "*noise"],
    toys: int,
    rng: np.random.Generator,
) -> Toys:
    """Mean and standard deviation of the observables over toys thrown around each hit.

    Toy t of muon m is infer(hits[m] + noise · z[m, t]) with z ~ N(0, 1), independent for all muons, toys and
    coordinates. The standard deviation has the relative standard error 1/sqrt(2 (toys - 1)) where the observable is
    normal. The deviates are read from `rng` in the order muon, toy, coordinate and handled in blocks, so memory
    doesn't grow with muons × toys.

    Parameters
    ----------
    infer : function of hits (row, coordinate) that returns observables (row, observable), row by row: rows are toys of
        several muons, so an inference that couples them (see `muon_jacobian`) gives nonsense.
    hits : positions to throw around (muon, coordinate), floating point. A muon
        with one that is NaN or infinite gets NaN.
    noise : standard uncertainty of the hits, in their unit: a number, (coordinate,) or (muon, coordinate).
    toys : number for each muon, at least 2.
    rng : the random generator, such as `pullback.stream(seed, "toys", 0)`.

    Returns
    -------
    mean and sd, each (muon, observable), in the units of the observables.

    Raises
    ------
    TypeError, ValueError : hits of a wrong type or shape, noise that is negative, not finite or of another shape, or
        fewer than 2 toys.

    Source: propagation of distributions by Monte Carlo, JCGM 101:2008, clause 7.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, run_toys, stream
    >>> hits = torch.tensor([[0.5]], dtype=torch.float64)
    >>> run_toys(infer_theta, hits, 0.01, 100_000, stream(1, "toys")).sd
    tensor([[0.0060]], dtype=torch.float64)

    """
    return throw_toys([Throw(infer, hits, noise)], toys, [rng] * len(hits))[0]


def throw_toys(throws: Sequence[Throw], toys: int, rngs: Sequence[np.random.Generator]) -> list[Toys]:
    """`run_toys` for several throws over as many muons each, with common deviates: muon m's come from rngs[m].

    Throws that share deviates have correlated errors, so that differences between them are smooth; drawing the
    deviates once is also most of the time saved.
    """
    if not all(isinstance(rng, np.random.Generator) for rng in rngs):
        raise TypeError('rng must be a numpy random generator, such as pullback.stream(seed, "toys")')
    if toys < 2:
        raise ValueError(f"toys must be at least 2 to have a spread, not {toys}")
    prepared = [_prepare(throw) for throw in throws]
    if {len(throw.hits) for throw in throws} - {len(rngs)}:
        raise ValueError("every throw needs as many muons as there are random generators")
    sums = [_Sums(throw, centre, toys) for throw, centre in zip(prepared, map(_centre, prepared), strict=True)]
    coordinates = prepared[0].hits.shape[1] if prepared else 1
    step = max(1, AT_A_TIME // coordinates)
    group = max(1, step // toys)
    for first in range(0, len(rngs), group):
        rows = slice(first, first + group)
        for start in range(0, toys, step):
            count = min(step, toys - start)
            z = torch.from_numpy(draw_deviates(rngs[rows], count, coordinates))
            for each in sums:
                each.add(rows, z)
    return [each.moments() for each in sums]


def draw_deviates(
    rngs: Sequence[np.random.Generator], toys: int, coordinates: int
) -> Float[np.ndarray, "muon toy coordinate"]:
    """Standard normal deviates, each muon's from its own generator."""
    z = np.empty((len(rngs), toys, coordinates))
    for rng, out in zip(rngs, z, strict=True):
        rng.standard_normal(out=out)
    return z


def _prepare(throw: Throw) -> Throw:
    check_hits(throw.hits)
    hits = throw.hits.detach()
    noise = torch.as_tensor(throw.noise, dtype=hits.dtype, device=hits.device).detach()
    if tuple(noise.shape) not in {(), (hits.shape[1],), tuple(hits.shape)}:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}; for hits {tuple(hits.shape)} it must be a number, "
            f"({hits.shape[1]},) or {tuple(hits.shape)}"
        )
    if not (torch.isfinite(noise) & (noise >= 0)).all():
        raise ValueError("noise must be finite and not negative: it is the standard uncertainty of the hits")
    return Throw(throw.infer, hits, noise.expand(hits.shape))


def _centre(throw: Throw) -> Tensor:
    with torch.no_grad():
        return throw.infer(throw.hits)


class _Sums:
    """Running sums of the observables' distance from their value at the hit, which loses no digits."""

    def __init__(self, throw: Throw, centre: Tensor, toys: int):
        self.throw, self.centre, self.toys = throw, centre, toys
        self.first = torch.zeros_like(centre)
        self.second = torch.zeros_like(centre)

    def add(self, rows: slice, z: Float[Tensor, "muon toy coordinate"]) -> None:
        infer, hits, noise = self.throw
        thrown = hits[rows, None, :] + noise[rows, None, :] * z.to(hits)
        with torch.no_grad():
            value = infer(thrown.reshape(-1, hits.shape[1]))
        away = value.reshape(*z.shape[:2], -1) - self.centre[rows, None, :]
        self.first[rows] += away.sum(dim=1)
        self.second[rows] += (away * away).sum(dim=1)

    def moments(self) -> Toys:
        nan = float("nan")
        mean = self.first / self.toys
        variance = (self.second - self.toys * mean * mean) / (self.toys - 1)
        finite = torch.isfinite(self.throw.hits).all(dim=1, keepdim=True)
        return Toys(*(torch.where(finite, each, nan) for each in (self.centre + mean, variance.clamp(min=0).sqrt())))
