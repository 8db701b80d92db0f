"""Quasi-random points of independent normal deviates."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


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
