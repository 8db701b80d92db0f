"""Heights of all layers of a line together, from the change of its residuals with the slope of the track.

A track through layers at the heights v, fitted as a line through the stated heights z, has the slope t and residuals
r = ρ t with ρ = v/β − z, except for a line in z, and a common β: slopes are wrong too. So r by t gives v, if the
lowest and the highest layer are where they are stated to be. Only tracks without a missing hit are alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..models import Model
from ..statistics.prefixes import with_unit

EXPLAINS = 0.1
"""Largest part of the change with slope that a cause may leave unexplained."""

SIGNIFICANT = 5.0
"""Standard errors by which a height is off."""

PRECISION = 0.01
"""Relative error of a change of a height, as slopes are not exact, and tracks of large slope may be left out."""

FEWEST_LAYERS = 4
"""Minimum layers of a line whose heights are told apart."""


class SeveralHeights(NamedTuple):
    """Of the layers of a line: the parameter with their heights, stated and found ones (m), and errors of these.

    `exchanged` are two layers whose heights, exchanged, explain the residuals; none are if a single one does.
    """

    key: str
    stated: Float[np.ndarray, " layer"]
    found: Float[np.ndarray, " layer"]
    se: Float[np.ndarray, " layer"]
    exchanged: tuple[int, int] | None

    @property
    def _error(self) -> Float[np.ndarray, " layer"]:
        return np.hypot(self.se, PRECISION * (self.found - self.stated))

    @property
    def words(self) -> str:
        """What to change."""
        if self.exchanged:
            i, j = self.exchanged
            return (
                f"layers {i} and {j} of model.{self.key} look exchanged: exchange their heights, model.{self.key}[{i}] "
                f"and model.{self.key}[{j}], or their columns"
            )
        off = np.abs(self.found - self.stated)
        which = np.flatnonzero((off > SIGNIFICANT * self.se) & (off > EXPLAINS * off.max())).tolist()
        wanted = ", ".join(
            f"model.{self.key}[{index}] = {with_unit(self.found[index], 'm', float(self._error[index]))} "
            f"(stated {with_unit(self.stated[index], 'm')})"
            for index in which
        )
        return f"more than one height is wrong; if those of the lowest and the highest layer are right, write {wanted}"


def several_heights(sums: Mapping[str, np.ndarray], model: Model, coordinate: int) -> SeveralHeights | None:
    """The heights of the layers on the line of a coordinate, if more than one is wrong."""
    key = next((line.z for line in model.lines if coordinate in line.coordinates), None)
    if key is None or not model.heights:
        return None
    lines = [line.coordinates for line in model.lines if line.z == key]
    z = np.array([model.heights[index] for index in lines[0]])
    slopes = [each for line in lines if (each := _by_slope(sums, line)) is not None]
    if len(z) < FEWEST_LAYERS or not slopes:
        return None
    weights = np.array([1 / se**2 for _, se in slopes])
    rho = (weights * [each for each, _ in slopes]).sum(axis=0) / weights.sum(axis=0)
    se = 1 / np.sqrt(weights.sum(axis=0))
    every, one = _left(rho, z), min(_left(rho, z, np.eye(len(z))[layer]) for layer in range(len(z)))
    if one < max(EXPLAINS * every, SIGNIFICANT * float(np.linalg.norm(se))):
        return None
    return SeveralHeights(key, z, *_fixed_ends(z, rho, se), _exchanged(z, rho, EXPLAINS * every))


def _by_slope(sums: Mapping[str, np.ndarray], line: range) -> tuple[np.ndarray, np.ndarray] | None:
    """∂r/∂t of each coordinate and its error; None without tracks that have all hits."""
    count, t, t2, r, r2, rt = (sums[name][line.start : line.stop] for name in ("w", "wt", "wt2", "wr", "wr2", "wrt"))
    if not (count > 1).all():
        return None
    spread = t2 / count - (t / count) ** 2
    if not (spread > 0).all():
        return None
    rho = (rt / count - t * r / count**2) / spread
    rest = np.maximum(r2 / count - (r / count) ** 2 - rho**2 * spread, np.finfo(float).tiny)
    return rho, np.sqrt(rest / (count * spread))


def _left(values: np.ndarray, *columns: np.ndarray) -> float:
    """What least squares with a constant and these columns leave of the values."""
    design = np.stack([np.ones_like(values), *columns], axis=1)
    return float(np.linalg.norm(values - design @ np.linalg.lstsq(design, values, rcond=None)[0]))


def _fixed_ends(z: np.ndarray, rho: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The heights v = z_low + β (z + ρ − z_low − ρ_low), with the lowest and the highest as stated, and errors."""
    low, high = int(z.argmin()), int(z.argmax())
    beta = (z[high] - z[low]) / (z[high] + rho[high] - z[low] - rho[low])
    return z[low] + beta * (z + rho - z[low] - rho[low]), abs(beta) * np.hypot(se, se[[low, high]].max())


def _exchanged(z: np.ndarray, rho: np.ndarray, most: float) -> tuple[int, int] | None:
    """The two layers whose heights must be exchanged for residuals to follow, if that leaves little."""

    def left(pair: tuple[int, int]) -> float:
        other = z.copy()
        other[[*pair]] = other[[*pair[::-1]]]
        return _left(z + rho, other)

    best = min(combinations(range(len(z)), 2), key=left)
    return best if left(best) < most else None


def shifts_by_slope(sums: Mapping[str, np.ndarray], effects: Mapping[int, float]) -> bool:
    """Whether mean pulls follow from the mean slope of tracks and the change of each pull by one sd of the slope."""
    means, left = [], []
    for index, effect in effects.items():
        count = float(sums["count"][index])
        mean, t = float(sums["z"][index]) / count, float(sums["t"][index]) / count
        means.append(abs(mean))
        left.append(abs(mean - effect * t / np.sqrt(float(sums["t2"][index]) / count - t**2)))
    return bool(means) and bool(max(left) < 2 * EXPLAINS * max(means))
