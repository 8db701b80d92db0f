"""Whether hits, stated resolution and heights seem to be in different units, by the residuals of the fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config.source_schema import Recorded
from ..hits.scaling import PER_METRE
from ..models import Model
from ..statistics.prefixes import with_unit
from .fit_estimates import FitEstimates, dependences, mean_and_sd, spread_of
from .fit_mends import power_of_ten

CLEARLY_OFF = 30.0
"""Ratio of residuals to the stated σ, or one over it, above which a unit is in question whatever the ratio."""

LEAST_RATIO = 1e-7
"""Ratio below which no unit is in question: residuals so small are rounding errors of the fit."""

WIDEST_OF_TRACKS = 0.2
"""Largest width of residuals over that of the hits, for which hits belong to tracks; those of wrong tracks do not."""

NEAR_A_UNIT = 0.5
"""Largest difference of the logarithms, to base 10, of a ratio and of that of two units which may explain it."""

FINEST_SIGMA = 1e-7
"""Smallest σ, m, that may be meant where the stated one is too large."""

LONGEST_DETECTOR = 100.0
"""Distance of the outermost layers, m, from which their heights may lack a unit."""


class ResidualNoise(NamedTuple):
    """Residuals without what shifts, wrong heights, scales and drifts explain, as medians over the coordinates.

    `ratio` is their width over the stated one, and `share` over that of the hits. `median` is the width of most tracks
    over the stated one, whatever explains it, at most 33 and at least 1/33.
    """

    ratio: float
    share: float
    median: float


def unit_of_positions(source: Any) -> str:
    """The unit of the positions in the file of a source, as written in `source.unit`.

    Empty if hits are simulated, or if each column has a scale of its own.
    """
    if not isinstance(source, Recorded):
        return ""
    columns = [*source.columns.values(), *(each for each in (source.x, source.y) if each)]
    return "" if columns and not any(isinstance(each, str) for each in columns) else source.unit


def noise_of(of: FitEstimates) -> ResidualNoise:
    """The noise in the residuals of a fit; NaN where none is known."""
    sums = of.sums()
    seen = [index for index in range(len(sums["count"])) if sums["count"][index] > 1 and sums["e"][index] > 0]
    ratios, shares = [], []
    for index in seen:
        noise = 1 - dependences(sums, index).explained
        ratios.append(math.sqrt(max(float(sums["a"][index] / sums["e"][index]) * noise / of.shrinkage, 0.0)))
        spread = spread_of(sums, index, "h")
        shares.append(math.sqrt(noise) * mean_and_sd(sums, index, "m")[1].value / spread if spread else math.inf)
    share = float(np.median(shares)) if shares else math.nan
    return ResidualNoise(_of_most(ratios), share, math.sqrt(of.median.value))


def _of_most(ratios: Sequence[float]) -> float:
    """The median; of two in the middle that are far apart, that of the half nearer to 1, so that most are off by it."""
    if not ratios:
        return math.nan
    low, high = sorted(ratios)[(len(ratios) - 1) // 2], sorted(ratios)[len(ratios) // 2]
    if high <= CLEARLY_OFF * low:
        return float(np.median(ratios))
    return low if low * high > 1 else high


def unit_question(
    noise: ResidualNoise, model: Model, unit: str, sigma: Sequence[float], *, scatters: bool = False
) -> str:
    """Which unit to check before all else, and what to write; empty if none is in question.

    Parameters
    ----------
    noise : ResidualNoise
        That of the residuals.
    model : Model
        The model, with the heights of its layers.
    unit : str
        `source.unit`; empty if hits are simulated, or all columns have a scale of their own.
    sigma : sequence of float
        The stated σ of each coordinate, m.
    scatters : bool
        Whether scattering explains the residuals better than another resolution.

    """
    ratio, least = noise.ratio, min(noise.ratio, noise.median)
    far = least > CLEARLY_OFF or (ratio > LEAST_RATIO and max(ratio, noise.median) < 1 / CLEARLY_OFF)
    exact, clear = bool(power_of_ten(ratio)), far and noise.share < WIDEST_OF_TRACKS and not scatters
    mends = _mends(ratio, model, unit, sigma) if unit and (exact or clear) else []
    if ratio < 1 and model.covariance is not None and (heights := heights_question(model)):
        mends = [heights]  # over which muons scatter too far, so that no other unit is in question
    if not mends:
        return ""
    almost = f" (almost exactly {power_of_ten(ratio)})" if exact else ""
    return (
        f"residuals, without what layers out of place explain, are {ratio:.4g}{almost} times as wide as stated: check "
        f"the units first; {', or '.join(mends)}"
    )


def _mends(ratio: float, model: Model, unit: str, sigma: Sequence[float]) -> list[str]:
    """What to write where a unit is wrong, by the units that are nearest to the ratio."""
    steps = {other: PER_METRE[other] / PER_METRE[unit] for other in PER_METRE if other != unit}
    other = min(steps, key=lambda each: abs(math.log10(ratio / steps[each])))
    found = []
    if abs(math.log10(ratio / steps[other])) < NEAR_A_UNIT:
        found.append(f"write `source.unit: {other}` if the positions in the file are in {other} (now {unit})")
    lacking = min(PER_METRE, key=lambda each: abs(math.log10(ratio * PER_METRE[each])))
    too_large = ratio < 1 and len({*sigma}) == 1 and sigma[0] / PER_METRE[lacking] >= FINEST_SIGMA
    if too_large and abs(math.log10(ratio * PER_METRE[lacking])) < NEAR_A_UNIT:
        found.append(
            f"write the stated σ with its unit, such as `{sigma[0]:.4g} {lacking}` (now {with_unit(sigma[0], 'm')})"
        )
    if found and (heights := heights_question(model)):
        found[-1] += f"; {heights}"
    return found


def column_question(of: FitEstimates, model: Model) -> str:
    """Which coordinate seems to be in another unit than the others of its fit; empty if none is.

    One whose residuals its own stated σ explains is none: a coarse layer, or one where tracks cross.
    """
    sums = of.sums()
    for component in of.components:
        seen = [index for index in component.tolist() if sums["count"][index] > 1]
        suspects = [index for index in seen if mean_and_sd(sums, index, "z")[1].value > CLEARLY_OFF]
        spread = {index: spread_of(sums, index, "h") for index in seen}
        residual = {index: mean_and_sd(sums, index, "m")[1].value for index in seen}
        for index in suspects:
            others = float(np.median([spread[other] for other in seen if other != index] or [math.nan]))
            larger = spread[index] > CLEARLY_OFF * others and residual[index] > spread[index] / 2
            if larger or others > CLEARLY_OFF * spread[index] < residual[index]:
                name = model.coordinates[index].symbol or model.coordinates[index].name
                return (
                    f"hits of {name} spread by {with_unit(spread[index], 'm')}, and those of the other layers by "
                    f"{with_unit(others, 'm')}, which is no line: check first whether its column is in another unit"
                )
    return ""


def heights_question(model: Model, longest: float = LONGEST_DETECTOR) -> str:
    """That layers are at least so far apart, m, that their heights may lack a unit, with what to write; else empty."""
    for key in dict.fromkeys(line.z for line in model.lines):
        indices = [index for line in model.lines if line.z == key for index in line.coordinates]
        z = [model.heights[index] for index in indices]
        if max(z) - min(z) >= longest:
            first = ", ".join(f"{each:g} mm" for each in list(dict.fromkeys(z))[:2])
            return (
                f"the layers of model.{key} span {max(z) - min(z):.0f} m: if the heights are in mm, write "
                f"`model.{key}: [{first}, …]`"
            )
    return ""
