"""Writes the tables of the intervals of folded quantities.

Command: python -m pullback.statistics.fold_construction
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import norm

from .feldman_cousins import intervals
from .fold_tables import (
    LARGEST_LENGTH,
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
from .unequal_widths import Components, Plane


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


def unequal_widths(ratio: float) -> Float[np.ndarray, "along across 4"]:
    """Entries for one ratio of widths: Q of each end, with end² = |s|² + Q √(κ⁴(1 + X²) + Y²) in narrow widths.

    Far from the fold Q is ± 2z. Where 0 is inside, Q is continued to end² < 0, so that it bends nowhere.
    """
    x, y = entries_along(), entries_across(ratio)
    length = np.hypot(ratio * x[:, None], y)
    scale = np.sqrt(ratio**4 * (1 + x[:, None] ** 2) + y**2)
    found = []
    for level in (P68, P95):
        squares = equal_squares(length, level) if ratio == 1 else Components(ratio, 14 * ratio).squares(x, y, level)
        far = length > 1.15 * LARGEST_LENGTH * ratio  # never looked up, nor within reach of the largest lengths
        for square, sign in zip(squares, (-1, 1), strict=True):
            found.append(np.where(far, sign * 2 * half_width(level), (square - length**2) / scale))
    return np.stack(found, axis=-1)


def equal_squares(length: Plane, level: float) -> tuple[Plane, Plane]:
    """Squares of the ends for equal widths; that of the lower end continued below 0 where 0 is inside."""
    low, high = np.moveaxis(intervals(length.ravel(), 2, level).reshape(*length.shape, 2), -1, 0)
    t = distances()
    first = t[(intervals(t, 2, level)[:, 0] > 0).argmax()]
    ((low_beyond, _),) = intervals(np.array([first + 0.1]), 2, level)
    slope = low_beyond**2 / ((first + 0.1) ** 2 - first**2)
    return np.where(low > 0, low**2, slope * (length**2 - first**2)), high**2


def write_fold_tables() -> None:
    """Write all tables."""
    tables = {WHOLE_CIRCLE: np.array([whole_circle(level) for level in (P68, P95)])}
    for components in (1, 2):
        ends = np.stack([intervals(distances(), components, level) for level in (P68, P95)], axis=1)
        tables[equal_widths(components)] = ends.astype(np.float32)
    tables[UNEQUAL_WIDTHS] = np.stack([unequal_widths(ratio) for ratio in RATIOS]).astype(np.float16)
    with TABLE_FILE.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **tables)


if __name__ == "__main__":
    write_fold_tables()
