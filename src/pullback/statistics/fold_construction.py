"""Writes the tables of the intervals of folded quantities.

Command: python -m pullback.statistics.fold_construction
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import norm

from .feldman_cousins import intervals
from .fold_tables import TABLE_FILE, WHOLE_CIRCLE, distances, equal_widths
from .intervals import half_width
from .normal import P68, P95


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


def write_fold_tables() -> None:
    """Write all tables."""
    tables = {WHOLE_CIRCLE: np.array([whole_circle(level) for level in (P68, P95)])}
    for components in (1, 2):
        ends = np.stack([intervals(distances(), components, level) for level in (P68, P95)], axis=1)
        tables[equal_widths(components)] = ends.astype(np.float32)
    with TABLE_FILE.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **tables)


if __name__ == "__main__":
    write_fold_tables()
