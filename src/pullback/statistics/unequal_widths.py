"""Construction of intervals of the length of two Gaussian components of unequal widths.

The components are uncorrelated, with widths σ_x ≥ σ_y of ratio κ. Lengths r = |μ| are in units of σ_y, recorded points
(X, Y) = (x/σ_x, y/σ_y) each in units of its own. All is symmetric in X and in Y, so that one quadrant represents all.

The azimuth φ of μ is a nuisance parameter: coverage is to be nominal at every azimuth, not only on average. Each end of
the interval of a recorded point is given by a number Q,

    end² = |s|² + Q √(κ⁴(1 + X²) + Y²),    |s|² = κ²X² + Y²,

which a table holds, to be interpolated linearly in asinh X and asinh Y. Far from the fold Q is ± 2z. Where 0 is inside,
Q of the lower end is continued to end² < 0, so that it bends nowhere.

For κ = 1 the intervals are those of Feldman and Cousins. For each larger ratio a search, which starts at the Q of the
ratio before, minimises

    10⁴ ⟨((c(r, φ) − level)/c')²⟩ + a ⟨length⟩/2z + b Σ |∇²Q|² + d Σ |ΔQ|²,    c' = 2zφ(z),

with the coverage c at all true lengths and azimuths, c' its derivative with respect to the logarithm of the length, the
length of the intervals averaged over the truths, second differences of neighbouring entries, and the change ΔQ from the
ratio before. So coverage is nominal everywhere; among all such intervals these are short, and their ends are smooth
functions of what was recorded and of κ, which a coarse table holds.

Coverage by the committed tables, over |μ| from 0 to 10 σ_x and all azimuths, κ = 1 … 5: `docs/intervals.md`.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import ndtr
from torch import Tensor

from .fold_tables import LARGEST_LENGTH, entries_across, entries_along
from .intervals import half_width

Plane = Float[np.ndarray, "x y"]
Axis = Float[np.ndarray, " point"]
XAxis = Float[np.ndarray, " x"]
YAxis = Float[np.ndarray, " y"]
Entries = Float[Tensor, "end=2 along across"]

LARGEST_TRUTH = 12.5
"""Largest true length, in units of the larger width: above most of the upper ends that the table holds."""

AZIMUTHS = np.linspace(0, np.pi / 2, 13)
"""True azimuths at which coverage is asked to be nominal, from the axis of the larger width."""

SHORTNESS, SMOOTHNESS, CONTINUITY = 40.0, 0.1, 0.03
"""Weights a of the mean length, b of the second differences and d of the change, against coverage."""

LEAST_END = 0.3
"""Smallest upper end, in units of the smaller width: no interval is empty."""

ITERATIONS = 40
"""Iterations of the search at each ratio."""


def cell_masses(points: Axis, means: Float[np.ndarray, " mean"]) -> Float[np.ndarray, "mean point"]:
    """Probability of |N(mean, 1)| in the cell around each point; the last cell has no upper limit."""
    edges = np.concatenate([[0], (points[1:] + points[:-1]) / 2, [np.inf]])
    return np.diff(ndtr(edges - means[:, None]) - ndtr(-edges - means[:, None]), axis=1)


def recorded_points(largest: float) -> Axis:
    """Points up to 5 standard deviations beyond the largest length: 24 per one near the fold, 4 further out."""
    return np.concatenate([(np.arange(96) + 0.5) / 24, np.arange(4.125, largest + 5, 0.25)])


def true_lengths(largest: float) -> Axis:
    """Lengths from 0 up to the largest, 0.08 apart near the fold, 6 % and at most 1 further out."""
    found = [0.0, 0.06]
    while found[-1] < largest:
        found.append(found[-1] + min(max(0.08, 0.06 * found[-1]), 1.0))
    return np.array(found)


def interpolation(points: Axis, entries: Float[np.ndarray, " entry"]) -> Float[Tensor, "point entry"]:
    """Weights of a table's entries at some points, linear in the asinh of both."""
    columns = [np.interp(np.arcsinh(points), np.arcsinh(entries), column) for column in np.eye(len(entries))]
    return torch.from_numpy(np.stack(columns, axis=1))


def square_and_scale(ratio: float, x: XAxis, y: YAxis) -> tuple[Plane, Plane]:
    """|s|² at all (X, Y), and what Q is multiplied by there."""
    return (ratio * x[:, None]) ** 2 + y**2, np.sqrt(ratio**4 * (1 + x[:, None] ** 2) + y**2)


def distant(ratio: float, level: float, x: XAxis, y: YAxis) -> Float[np.ndarray, "end=2 x y"]:
    """Squares of the ends far from the fold: |s| ± zσ, less the bias σ_⊥²/2|s|, with σ along s and σ_⊥ across it."""
    square = np.maximum(square_and_scale(ratio, x, y)[0], 1.0)
    variance = (ratio**4 * x[:, None] ** 2 + y**2) / square
    centre = np.sqrt(square) - (ratio**2 + 1 - variance) / (2 * np.sqrt(square))
    reach = half_width(level) * np.sqrt(variance)
    return np.stack([centre - reach, centre + reach]) ** 2


def roughness(entries: Entries) -> Float[Tensor, ""]:
    """Sum of the squared second differences of neighbouring entries."""
    return entries.diff(n=2, dim=1).square().sum() + entries.diff(n=2, dim=2).square().sum()


def cell_reach(ratio: float, x: XAxis, y: YAxis) -> Plane:
    """How far in |s| the cell around each point reaches, by its standard deviation times √3; at least 0.06."""
    along, across = ratio**2 * x * np.gradient(x), y * np.gradient(y)
    return np.maximum(np.hypot(along[:, None], across) / (2 * np.sqrt(square_and_scale(ratio, x, y)[0])), 0.06)


class TrueVectors:
    """All true lengths and azimuths for one ratio of widths, and the probabilities of recorded points around each."""

    def __init__(self, ratio: float, level: float) -> None:
        self.ratio, self.level = ratio, level
        x, y = recorded_points(LARGEST_TRUTH), recorded_points(LARGEST_TRUTH * ratio)
        self.to_x, self.to_y = interpolation(x, entries_along()), interpolation(y, entries_across(ratio))
        square, scale = square_and_scale(ratio, x, y)
        self.reach = torch.from_numpy(cell_reach(ratio, x, y))
        far = square > (LARGEST_LENGTH * ratio) ** 2
        self.square = torch.from_numpy(np.where(far, distant(ratio, level, x, y), square))
        self.scale = torch.from_numpy(np.where(far, 0.0, scale))
        self.lengths = true_lengths(LARGEST_TRUTH * ratio)
        along = [cell_masses(x, r * np.cos(AZIMUTHS) / ratio) for r in self.lengths]
        across = [cell_masses(y, r * np.sin(AZIMUTHS)) for r in self.lengths]
        self.along, self.across = torch.from_numpy(np.stack(along)), torch.from_numpy(np.stack(across))
        weights = torch.from_numpy(np.gradient(np.arcsinh(self.lengths / ratio)))
        self.mass = torch.einsum("r,rax,ray->xy", weights / weights.sum() / len(AZIMUTHS), self.along, self.across)

    def coverage_and_length(self, entries: Entries) -> tuple[Float[Tensor, "length azimuth"], Float[Tensor, ""]]:
        """Coverage of all truths, and the mean length of the intervals in units of the larger width.

        A length is the sum over all r inside. The mean gives true lengths weights as evenly spread in asinh r/κ.
        """
        low, high = self.square + self.to_x @ entries @ self.to_y.T * self.scale
        coverage, mean_length = [], torch.zeros((), dtype=torch.float64)
        steps = np.gradient(self.lengths) / self.ratio
        for r, step, along, across in zip(self.lengths, steps, self.along, self.across, strict=True):
            share = self.inside(r, low, high)
            coverage.append(((along @ share) * across).sum(1))
            mean_length = mean_length + step * (share * self.mass).sum()
        return torch.stack(coverage), mean_length

    def inside(self, r: float, low: Float[Tensor, "x y"], high: Float[Tensor, "x y"]) -> Float[Tensor, "x y"]:
        """Share of each cell whose intervals hold r, by the squares of both ends at its middle."""
        width = 2 * self.reach * (2 * r + self.reach)
        return (0.5 + (r * r - low) / width).clamp(0, 1) + (0.5 + (high - r * r) / width).clamp(0, 1) - 1

    def search(self, start: Entries) -> Entries:
        """Entries for this ratio, from those for a slightly smaller one."""
        z = half_width(self.level)
        steepness = 2 * z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

        def cost(flat: Float[np.ndarray, " entry"]) -> tuple[float, Float[np.ndarray, " entry"]]:
            entries = torch.from_numpy(flat).reshape(start.shape).requires_grad_()
            coverage, mean_length = self.coverage_and_length(entries)
            off = ((coverage - self.level) / steepness).square().mean()
            length = SHORTNESS * mean_length / (2 * z)
            change = CONTINUITY * (entries - start).square().sum()
            total = 1e4 * off + length + SMOOTHNESS * roughness(entries) + change
            (slope,) = torch.autograd.grad(total, entries)
            return total.item(), slope.numpy().ravel()

        low, high = self.bounds()
        found = minimize(
            cost,
            np.clip(start.numpy().ravel(), low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxiter": ITERATIONS, "maxcor": 20},
        )
        return torch.from_numpy(found.x).reshape(start.shape)

    def bounds(self) -> tuple[Float[np.ndarray, " entry"], Float[np.ndarray, " entry"]]:
        """Least and largest entries: no upper end is below `LEAST_END`, and what is beyond the table is known."""
        x, y = entries_along(), entries_across(self.ratio)
        square, scale = square_and_scale(self.ratio, x, y)
        far = square > (LARGEST_LENGTH * self.ratio) ** 2
        known = (distant(self.ratio, self.level, x, y) - square) / scale
        least = np.stack([np.full_like(square, -np.inf), (LEAST_END**2 - square) / scale])
        return np.where(far, known, least).ravel(), np.where(far, known, np.inf).ravel()
