"""Confidence intervals of quantities that fold: the length |μ| of one or two Gaussian components, and their azimuth.

The recorded components s are N(μ, C) with known C. Levels are 68.27 % and 95 %, in this order.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from .fold_tables import (
    BEYOND,
    ENTRY_STEP,
    LARGEST_LENGTH,
    LARGEST_RATIO,
    LAST_ENTRY,
    UNEQUAL_WIDTHS,
    WHOLE_CIRCLE,
    equal_widths,
    read_table,
)
from .normal import K68, K95

ASYMPTOTE = torch.tensor([-K68, K68, -K95, K95], dtype=torch.float64)
"""Ends far from a fold, less the recorded value, in standard deviations."""

EQUAL = 1e-6
"""Largest relative difference of two variances that are taken as equal."""

ROUNDED_VARIANCE = 1e-12
"""Largest negative variance, relative to the mean one, that is taken as a rounded 0."""


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
    table, excess = (each.to(t.device) for each in _table(components))
    t = t.abs()
    place = t.clamp(max=LAST_ENTRY) / ENTRY_STEP
    entry = place.nan_to_num(0.0).long().clamp(max=table.shape[1] - 1)
    # Column by column, so that every product runs along memory.
    ends, slopes = table.index_select(1, entry.flatten()).view(2, 4, *t.shape)
    beyond = t.clamp(min=LAST_ENTRY)
    excess = excess.view(4, *[1] * t.ndim)
    found = ends + slopes * (place - entry) + (beyond - LAST_ENTRY) * (1 - excess / beyond)
    return found.movedim(0, -1).unflatten(-1, (2, 2))


@cache
def _table(components: int) -> tuple[Float[Tensor, "column=8 entry"], Float[Tensor, " column=4"]]:
    """Ends at each entry and their differences to the next, and what the last ones are off t ∓ z."""
    ends = torch.from_numpy(read_table(equal_widths(components))).flatten(1)
    table = torch.cat([ends[:-1], ends.diff(dim=0)], dim=1).t().contiguous()
    return table, ends[-1] - LAST_ENTRY - ASYMPTOTE


def two_directions(
    s: Float[Tensor, "muon component=2"], covariance: Float[Tensor, "#muon component=2 component=2"]
) -> Float[Tensor, "muon level=2 end=2"]:
    """Intervals of |μ| from two components s ~ N(μ, C).

    Where both components have the same width σ and no correlation, t = |s|/σ has the Rice density
    f(t|ρ) = t exp(−(t² + ρ²)/2) I₀(tρ), and the intervals are those of Feldman and Cousins: coverage is nominal at
    every |μ|.

    Elsewhere the azimuth of μ is a nuisance parameter. The ends are those of a table that was searched for nominal
    coverage at all |μ| and azimuths, short intervals and smooth ends (`pullback.statistics.unequal_widths`). With κ the
    ratio of the widths along the principal axes of C, for κ ≤ 5 and |μ| up to 10 larger widths, coverage averaged over
    azimuths is within 0.5 % of nominal for 68.27 %, within 0.3 % for 95 %, and at every azimuth within 1.5 % or 1.2 %
    (docs/intervals.md). For larger κ it is at least nominal: the ends move to those of Feldman and Cousins along the
    larger width, with ± 3.3 σ across it, which are exact for κ → ∞.

    Parameters
    ----------
    s : Tensor, shape (muon, 2)
        Recorded components.
    covariance : Tensor, shape (muon or 1, 2, 2)
        Their covariance C.

    Returns
    -------
    Tensor, shape (muon, 2, 2)
        Lower and upper ends of the 68.27 % and the 95 % interval, in the unit of s. NaN where s is, or where C has a
        negative eigenvalue or is 0.

    Notes
    -----
    Feldman and Cousins 1998, Phys. Rev. D 57:3873; Plaszczynski et al. 2014, Mon. Not. R. Astron. Soc. 439:4048.

    Examples
    --------
    >>> import torch
    >>> from pullback.statistics.fold_intervals import two_directions
    >>> two_directions(torch.tensor([[0.3, 0.4]], dtype=torch.float64), torch.eye(2, dtype=torch.float64)[None])
    tensor([[[0.0000, 0.6976],
             [0.0000, 1.9775]]], dtype=torch.float64)

    """
    x, y = s.unbind(-1)
    mean, difference, off = _principal(covariance)
    equal = (torch.hypot(difference, off) <= EQUAL * mean).expand(x.shape)
    sigma = mean.sqrt().expand(x.shape)
    length = torch.hypot(x, y)  # of all: where vectors begin decides last bits (docs/reproducibility.md)
    if equal.all():
        return sigma[:, None, None] * _looked_up(length / sigma, 2)
    along, across, wide, narrow = _principal_axes(s, covariance)
    ends = _unequal(along, across, wide, torch.maximum(narrow, wide / LARGEST_RATIO))
    if (wide > LARGEST_RATIO * narrow).any():
        ends = _beyond_the_table(ends, along, across, wide, narrow)
    if equal.any():
        ends[equal] = sigma[equal, None, None] * _looked_up(length[equal] / sigma[equal], 2)
    return ends


def _principal(covariance: Float[Tensor, "muon component=2 component=2"]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of the variances, half their difference, and the covariance: a circle of Mohr."""
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    return (xx + yy) / 2, (xx - yy) / 2, xy


def principal_widths(
    covariance: Float[Tensor, "muon component=2 component=2"],
) -> tuple[Float[Tensor, " muon"], Float[Tensor, " muon"]]:
    """The larger and the smaller width along the principal axes; the smaller is NaN where C has a negative one."""
    mean, difference, off = _principal(covariance)
    radius = torch.hypot(difference, off)
    square = (mean * mean - radius * radius) / (mean + radius)
    narrow = square.masked_fill(square < -ROUNDED_VARIANCE * mean, math.nan).clamp(min=0).sqrt()
    return (mean + radius).sqrt(), narrow


def _principal_axes(
    s: Float[Tensor, "muon component=2"], covariance: Float[Tensor, "#muon component=2 component=2"]
) -> tuple[Float[Tensor, " muon"], Float[Tensor, " muon"], Float[Tensor, " muon"], Float[Tensor, " muon"]]:
    """Components of s along the principal axis of the larger width and across it, and both widths."""
    _, difference, off = _principal(covariance)
    radius = torch.hypot(difference, off)
    wide, narrow = principal_widths(covariance)
    cosine = ((1 + difference / radius) / 2).clamp(min=0).sqrt()
    sine = torch.copysign(((1 - difference / radius) / 2).clamp(min=0).sqrt(), off)
    along, across = cosine * s[:, 0] + sine * s[:, 1], cosine * s[:, 1] - sine * s[:, 0]
    return along.abs(), across.abs(), wide.expand(along.shape), narrow.expand(along.shape)


def _beyond_the_table(
    ends: Float[Tensor, "muon level=2 end=2"],
    along: Float[Tensor, " muon"],
    across: Float[Tensor, " muon"],
    wide: Float[Tensor, " muon"],
    narrow: Float[Tensor, " muon"],
) -> Float[Tensor, "muon level=2 end=2"]:
    """Ends where one width is more than five times the other.

    Feldman-Cousins along the larger width with ± 3.3 σ across it cover at least nominally, as the smaller component is
    known well. From κ = 5 to 6 the ends move from those of the table to the outer ones of both, up to 12 to these.
    """
    inner = (across[:, None] + 3.3 * narrow[:, None] * torch.tensor([-1.0, 1.0]).to(across)).clamp(min=0)
    apart = torch.hypot(wide[:, None, None] * one_direction(along / wide), inner[:, None])
    outer = torch.stack([torch.minimum(ends, apart)[..., 0], torch.maximum(ends, apart)[..., 1]], dim=-1)
    ratio = (wide / narrow)[:, None, None]
    first, second = (ratio - LARGEST_RATIO).clamp(0, 1), ((ratio - LARGEST_RATIO - 1) / 6).clamp(0, 1)
    ends = torch.where(first > 0, ends + first * (outer - ends), ends)
    return torch.where(second > 0, ends + second * (apart - ends), ends)


def _unequal(
    along: Float[Tensor, " muon"],
    across: Float[Tensor, " muon"],
    wide: Float[Tensor, " muon"],
    narrow: Float[Tensor, " muon"],
) -> Float[Tensor, "muon level=2 end=2"]:
    """Ends from the table for unequal widths.

    Beyond the table they are |s| ± z σ, σ² = sᵀCs/|s|², and a rest that falls as 1/|s|.
    """
    x, y, ratio = along / wide, across / narrow, wide / narrow
    length = torch.hypot(ratio * x, y)
    sigma = torch.hypot(ratio * ratio * x, y) / length.clamp(min=torch.finfo(length.dtype).tiny)
    far = (length / (LARGEST_LENGTH * ratio)).clamp(min=1)
    x, y, inner = x / far, y / far, length / far
    scale = (ratio**4 * (1 + x * x) + y * y).sqrt()
    ends = ((inner * inner)[:, None] + _interpolated(ratio, x, y) * scale[:, None]).clamp(min=0).sqrt()
    limits = sigma[:, None] * ASYMPTOTE.to(length.device)
    beyond = length[:, None] + limits + (ends - inner[:, None] - limits) / far[:, None]
    return (narrow[:, None] * torch.where(far[:, None] > 1, beyond, ends)).unflatten(-1, (2, 2))


def _interpolated(
    ratio: Float[Tensor, " muon"], along: Float[Tensor, " muon"], across: Float[Tensor, " muon"]
) -> Float[Tensor, "muon column=4"]:
    """Entries of the table for unequal widths, by trilinear interpolation in log κ and the asinh of both components."""
    table = _unequal_table().to(ratio.device)
    last = [count - 1 for count in table.shape[:3]]
    places = [
        ratio.log() * (last[0] / math.log(LARGEST_RATIO)),
        along.asinh() * (last[1] / math.asinh(BEYOND * LARGEST_LENGTH)),
        across.asinh() * last[2] / (BEYOND * LARGEST_LENGTH * ratio).asinh(),
    ]
    entries = [place.nan_to_num(0.0).long().clamp(0, end - 1) for place, end in zip(places, last, strict=True)]
    fractions = [place - entry for place, entry in zip(places, entries, strict=True)]
    rows = table.flatten(0, 2)
    total = torch.zeros(len(ratio), 4, dtype=ratio.dtype, device=ratio.device)
    for corner in itertools.product((0, 1), repeat=3):
        weight, row = torch.ones_like(ratio), torch.zeros_like(entries[0])
        for side, entry, fraction, count in zip(corner, entries, fractions, table.shape, strict=False):
            weight = weight * (fraction if side else 1 - fraction)
            row = row * count + entry + side
        total += weight[:, None] * rows[row]
    return total


@cache
def _unequal_table() -> Float[Tensor, "ratio along across column=4"]:
    """The table for unequal widths."""
    return torch.from_numpy(read_table(UNEQUAL_WIDTHS))


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
