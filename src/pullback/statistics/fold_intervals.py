"""Confidence intervals of quantities that fold: the length |μ| of one or two Gaussian components, and their azimuth.

The recorded components s are N(μ, C) with known C. Levels are 68.27 % and 95 %, in this order.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from .fold_tables import ENTRY_STEP, LAST_ENTRY, WHOLE_CIRCLE, equal_widths, read_table
from .normal import K68, K95

ASYMPTOTE = torch.tensor([-K68, K68, -K95, K95], dtype=torch.float64)
"""Ends far from a fold, less the recorded value, in standard deviations."""

EQUAL = 1e-6
"""Largest relative difference of two variances that are taken as equal."""


def one_direction(t: Float[Tensor, "*muon"]) -> Float[Tensor, "*muon level=2 end=2"]:
    """Feldman-Cousins intervals of ρ = |μ|/σ from t = |s|/σ, s ~ N(μ, σ²).

    t has the folded normal density f(t|ρ) = φ(t − ρ) + φ(t + ρ). The acceptance region of each ρ collects t in falling
    order of f(t|ρ)/max f(t|·) up to the probability of the level; the interval holds all ρ whose region contains t.
    Its lower end is exactly 0 where 0 is inside, and far from the fold it is t ± z.

    Parameters
    ----------
    t : Tensor, shape (...)
        Recorded distances from the fold, in standard deviations.

    Returns
    -------
    Tensor, shape (..., 2, 2)
        Lower and upper ends, in standard deviations, of the 68.27 % and the 95 % interval. NaN where t is.

    Notes
    -----
    Feldman and Cousins 1998, Phys. Rev. D 57:3873.

    Examples
    --------
    >>> import torch
    >>> from pullback.statistics.fold_intervals import one_direction
    >>> one_direction(torch.tensor([0.5, 5.0], dtype=torch.float64))
    tensor([[[0.0000, 1.2649],
             [0.0000, 2.3333]],
    <BLANKLINE>
            [[4.0000, 6.0000],
             [3.0069, 6.9600]]], dtype=torch.float64)

    """
    return _looked_up(t, 1)


def _looked_up(t: Float[Tensor, "*muon"], components: int) -> Float[Tensor, "*muon level=2 end=2"]:
    """Ends at t by linear interpolation in the table.

    Beyond the table the ends are t + d with d less its limit ∓ z falling as 1/t, as the bias of Rice does.
    """
    entries, excess = _table(components, t.device)
    place = t.abs().clamp(max=LAST_ENTRY) / ENTRY_STEP
    entry = place.nan_to_num(0.0).long().clamp(max=len(entries) - 1)
    ends, slopes = entries[entry].unbind(-2)
    beyond = t.abs().clamp(min=LAST_ENTRY)[..., None]
    far = (beyond - LAST_ENTRY) * (1 - excess / beyond)
    return (ends + slopes * (place - entry)[..., None] + far).unflatten(-1, (2, 2))


@cache
def _table(components: int, device: torch.device) -> tuple[Float[Tensor, "entry 2 column"], Float[Tensor, " column"]]:
    """Ends at each entry with their differences to the next, and what the last ones are off t ∓ z."""
    ends = torch.from_numpy(read_table(equal_widths(components))).flatten(1)
    table = torch.stack([ends[:-1], ends.diff(dim=0)], dim=1)
    return table.to(device), (ends[-1] - LAST_ENTRY - ASYMPTOTE).to(device)


def two_directions(
    s: Float[Tensor, "muon component=2"], covariance: Float[Tensor, "#muon component=2 component=2"]
) -> Float[Tensor, "muon level=2 end=2"]:
    """Intervals of |μ| from two components s ~ N(μ, C).

    Where both components have the same width σ and no correlation, t = |s|/σ has the Rice density
    f(t|ρ) = t exp(−(t² + ρ²)/2) I₀(tρ), and the intervals are those of Feldman and Cousins.

    Parameters
    ----------
    s : Tensor, shape (muon, 2)
        Recorded components.
    covariance : Tensor, shape (muon or 1, 2, 2)
        Their covariance C.

    Returns
    -------
    Tensor, shape (muon, 2, 2)
        Lower and upper ends of the 68.27 % and the 95 % interval, in the unit of s. NaN where s is, or where C is not
        positive definite.

    Notes
    -----
    Feldman and Cousins 1998, Phys. Rev. D 57:3873; Plaszczynski et al. 2014, Mon. Not. R. Astron. Soc. 439:4048.

    """
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    off = torch.hypot((covariance[..., 0, 0] - covariance[..., 1, 1]) / 2, covariance[..., 0, 1])
    if (off > EQUAL * variance).any():
        raise NotImplementedError("components of different widths")
    sigma = variance.sqrt()
    return sigma[..., None, None] * _looked_up(torch.hypot(s[..., 0], s[..., 1]) / sigma, 2)


def azimuth_interval(
    s: Float[Tensor, "muon component=2"], covariance: Float[Tensor, "#muon component=2 component=2"]
) -> Float[Tensor, "muon level=2 end=2"]:
    """Intervals of the azimuth atan2(μ_y, μ_x) from two components s ~ N(μ, C).

    For a direction n, with m perpendicular to it, u = (m·s)/√(mᵀCm) is N(0, 1) at the true direction, whatever |μ| is.
    The interval holds all n with |u| ≤ z and nᵀC⁻¹s > 0: it is the angle in which the ellipse (s − μ)ᵀC⁻¹(s − μ) ≤ z²
    is seen from the origin. Within D = √(sᵀC⁻¹s) < D₀ = 1.373 (68.27 %) or 2.318 (95 %) it is the whole circle.

    The coverage depends on δ = |μ| √(nᵀC⁻¹n) alone. D₀ makes it nominal at δ = 0, and it is never below: it rises to
    72.4 % or 96.2 % at δ = 0.75, and is nominal within 0.2 % again from δ = 3 on. No interval of the azimuth can be
    nominal everywhere.

    Parameters
    ----------
    s : Tensor, shape (muon, 2)
        Recorded components.
    covariance : Tensor, shape (muon or 1, 2, 2)
        Their covariance C.

    Returns
    -------
    Tensor, shape (muon, 2, 2)
        Lower and upper ends of the 68.27 % and the 95 % interval in rad, with −π < low ≤ π and low ≤ high ≤ low + 2π.
        NaN where s is, or where C is not positive definite.

    Examples
    --------
    >>> import torch
    >>> from pullback.statistics.fold_intervals import azimuth_interval
    >>> azimuth_interval(torch.tensor([[-2.0, 0.0]], dtype=torch.float64), torch.eye(2, dtype=torch.float64)[None])
    tensor([[[2.6180, 3.6652],
             [0.0000, 6.2832]]], dtype=torch.float64)

    """
    x, y = s.unbind(-1)
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    root = (xx * yy - xy * xy).sqrt()
    # s turned by a right angle in the metric C⁻¹: √(det C) J C⁻¹ s with J (x, y) = (−y, x).
    turned_x, turned_y = (xy * x - xx * y) / root, (yy * x - xy * y) / root
    across, along = x * turned_y - y * turned_x, x * turned_x + y * turned_y
    distance = (across / root).sqrt()
    ends = []
    for z, whole_circle in zip((K68, K95), read_table(WHOLE_CIRCLE).tolist(), strict=True):
        sine = (z / distance).clamp(max=1)
        ahead, aside = (1 - sine * sine).sqrt() * (x * x + y * y), sine * along
        below, above = (torch.atan2(sine * across, ahead + side) for side in (-aside, aside))
        below, above = (turn.masked_fill(distance < whole_circle, math.pi) for turn in (below, above))
        low = torch.atan2(y, x) - below
        low = torch.where(low <= -math.pi, low + 2 * math.pi, low)
        ends.append(torch.stack([low, low + (below + above)], dim=-1))
    return torch.stack(ends, dim=-2)
