"""Writes the tables of the intervals of folded quantities.

Command: python -m pullback.statistics.fold_construction
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import norm
from torch import Tensor

from .feldman_cousins import intervals
from .fold_tables import (
    RATIOS,
    TABLE_FILE,
    UNEQUAL_WIDTHS,
    WHOLE_CIRCLE,
    distances,
    entries_across,
    entries_along,
    equal_widths,
)
from .intervals import half_width
from .normal import P68, P95
from .unequal_widths import Entries, TrueVectors, square_and_scale


def whole_circle(level: float) -> float:
    """The distance from the fold, in standard deviations, below which the interval of the azimuth is the whole circle.

    With it the azimuth of μ = 0 is covered with the probability of the level: half of the u within ± z have v > 0, and
    all of the recorded s within the distance are covered. u and v are the components of s across and along a direction.
    """
    z = half_width(level)

    def coverage(distance: float) -> float:
        both, _ = quad(lambda u: norm.pdf(u) * erf(math.sqrt((distance**2 - u**2) / 2)), -z, z)
        return level / 2 - math.expm1(-(distance**2) / 2) - both / 2

    return float(brentq(lambda distance: coverage(distance) - level, z, z + 1, xtol=1e-12))


def unequal_widths(ratios: Float[np.ndarray, " ratio"], level: float) -> Float[Tensor, "ratio along across end=2"]:
    """Entries Q of both ends for some ratios of widths, the first of which is 1; each is found from the one before."""
    found = [equal_entries(level)]
    for ratio in ratios[1:]:
        found.append(TrueVectors(ratio, level).search(found[-1]))
    return torch.stack(found).movedim(1, -1)


def equal_entries(level: float) -> Entries:
    """Entries for equal widths. Where 0 is inside, the square of the lower end is continued below 0."""
    square, scale = square_and_scale(1.0, entries_along(), entries_across(1.0))
    length = np.sqrt(square)
    low, high = np.moveaxis(intervals(length.ravel(), 2, level).reshape(*length.shape, 2), -1, 0)
    t = distances()
    first = t[(intervals(t, 2, level)[:, 0] > 0).argmax()]
    ((low_beyond, _),) = intervals(np.array([first + 0.1]), 2, level)
    slope = low_beyond**2 / ((first + 0.1) ** 2 - first**2)
    low_square = np.where(low > 0, low**2, slope * (square - first**2))
    return torch.from_numpy((np.stack([low_square, high**2]) - square) / scale)


def write_fold_tables() -> None:
    """Write all tables."""
    tables = {WHOLE_CIRCLE: np.array([whole_circle(level) for level in (P68, P95)])}
    for components in (1, 2):
        ends = np.stack([intervals(distances(), components, level) for level in (P68, P95)], axis=1)
        tables[equal_widths(components)] = ends.astype(np.float32)
    tables[UNEQUAL_WIDTHS] = torch.cat([unequal_widths(RATIOS, level) for level in (P68, P95)], dim=-1).half().numpy()
    with TABLE_FILE.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **tables)


if __name__ == "__main__":
    write_fold_tables()
