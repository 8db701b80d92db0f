"""What to write in the config where the data say that a layer is elsewhere, or scatters otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..models import Model
from ..statistics.prefixes import with_unit
from .fit_evidence import WantedAngle

RATHER = ", which explains the residuals better than another σ of each layer"
"""Words on scattering that is wanted rather than another resolution."""

NEAR_A_POWER, LARGEST_POWER = 0.05, 3
"""Largest deviation of a ratio from a power of ten, and the largest power, with which units are in question."""


def shift_mend(model: Model, offsets: Mapping[str, float], aligned: bool) -> str:
    """What mends coordinates whose hits are too far along their axis, by offsets in m.

    `alignment.x` is added to hits, so it has the opposite sign. `aligned` is whether the config has numbers already.
    """
    if not model.lines:
        return ""
    if aligned:
        return f": {', '.join(_changes(model, offsets))}"
    return f": write `{_line(model, offsets)}`"


def _changes(model: Model, offsets: Mapping[str, float]) -> Iterator[str]:
    for name, offset in offsets.items():
        by, how = _micrometres(abs(offset)), "smaller" if offset > 0 else "larger"
        yield f"alignment.{name[0]}[{_layer(model, name)}] must be {by} um {how}"


def _line(model: Model, offsets: Mapping[str, float]) -> str:
    """The line of the config: `alignment: {x: "[0, -203.6, 0] um"}`."""
    values = {name[0]: ["0"] * (max(model.layers) + 1) for name in offsets}
    for name, offset in offsets.items():
        values[name[0]][_layer(model, name)] = _micrometres(-offset)
    views = (f'{view}: "[{", ".join(each)}] um"' for view, each in values.items())
    return f"alignment: {{{', '.join(views)}}}"


def height_mend(model: Model, name: str, change: float) -> str:
    """The key of the height of a coordinate's layer, and by what to change it, in m."""
    index = _index(model, name)
    line = next((each for each in model.lines if index in each.coordinates), None)
    if line is None:
        return ""
    first = min(model.layers[each] for each in line.coordinates)
    key = f"model.{line.z}[{model.layers[index] - first}]"
    return f": {'raise' if change > 0 else 'lower'} {key} by {1e3 * abs(change):.4g} mm"


def _layer(model: Model, name: str) -> int:
    return model.layers[_index(model, name)]


def _index(model: Model, name: str) -> int:
    return next(index for index, each in enumerate(model.coordinates) if each.name == name)


def _micrometres(length: float) -> str:
    return f"{1e6 * length:.4g}"


def angle_words(wanted: WantedAngle, model: Model) -> str:
    """A wanted scattering, with the line of the config: θ0 = 0.2 mrad in the layers (stated 0.4), with σ as stated."""
    stated, heights = model.parameters.get("theta0", 0.0), ", ".join(dict.fromkeys(f"model.{x.z}" for x in model.lines))
    value, se = wanted.angle.value, wanted.angle.se or 0.0
    if isinstance(stated, float) and "material" not in model.parameters:
        there = f"stated {with_unit(stated, 'rad')}" if stated else "none is stated"
        words = f"θ0 = {with_unit(value, 'rad', se)} in the layers ({there}), with σ as stated"
        mend = f": write `model.theta0: {1e3 * value:.4g} mrad`"
    else:
        key = "material" if "material" in model.parameters else "theta0"
        words = f"{with_unit(value, '', se).rstrip()} times the scattering of `model.{key}`, with σ as stated"
        mend = f": multiply it by {value**2 if key == 'material' else value:.4g}"
    unit = units_to_check(wanted.factor or 1.0, f"the units of {heights} and of the scattering")
    return words + (RATHER if wanted.better else "") + (unit or mend)


def units_to_check(ratio: float, units: str) -> str:
    """Which units to check, where a ratio is nearly 10, 100, 1000 or one over it."""
    factor = power_of_ten(ratio)
    return f": a factor of {factor.removeprefix('1/')} almost exactly; check {units}" if factor else ""


def power_of_ten(ratio: float) -> str:
    """A ratio in words that is nearly 10, 100, 1000 or one over it; else empty.

    >>> power_of_ten(1012.0), power_of_ten(0.098), power_of_ten(14.0)
    ('1000', '1/10', '')

    """
    power = round(math.log10(ratio)) if 0 < ratio < math.inf else 0
    if not 0 < abs(power) <= LARGEST_POWER or abs(ratio / 10**power - 1) > NEAR_A_POWER:
        return ""
    return f"{10**power}" if power > 0 else f"1/{10**-power}"
