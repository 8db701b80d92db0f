"""The resolution that the data want, as a line of the config."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..models import Model
from .fit_evidence import FitEntry, WantedResolution

DIFFERENT = 3.0
"""Standard errors by which the factors of two coordinates on a layer must differ for the layer to have none."""


def config_line(entry: FitEntry, model: Model, units: Sequence[float], *, own_sigma: bool) -> str:
    """The wanted σ as a line of the config, by layer or, where two coordinates of a layer want others, by view.

    Empty if hits have their own σ, if one is not determined, or if a layer has two coordinates that are not x and y. A
    coordinate without a wanted σ keeps that of `units`.
    """
    by_name: dict[str, WantedResolution] = {}
    for each in entry.resolution:
        by_name |= dict.fromkeys(each.coordinates, each)
    if own_sigma or not by_name or not all(each.determined for each in entry.resolution):
        return ""
    factors = [by_name[each.name].factor if each.name in by_name else None for each in model.coordinates]
    values = np.array([unit * (each.value if each else 1.0) for each, unit in zip(factors, units, strict=True)])
    errors = np.array([unit * (each.se or 0.0 if each else 1e-3) for each, unit in zip(factors, units, strict=True)])
    unit = "um" if {each.unit for each in model.coordinates} == {"m"} else ""
    if (common := _of_layers(values, errors, np.array(model.layers))) is not None:
        return f"detector: {{sigma: {_written(common, unit)}}}"
    views = [[index for index, each in enumerate(model.coordinates) if each.name.startswith(view)] for view in "xy"]
    if sorted(views[0] + views[1]) != [*range(len(values))] or len(views[0]) != len(views[1]):
        return ""
    x, y = (_written(values[view].tolist(), unit) for view in views)
    return f"detector: {{sigma: {{x: {x}, y: {y}}}}}"


def _of_layers(values: np.ndarray, errors: np.ndarray, layers: np.ndarray) -> list[float] | None:
    """The mean of each layer; None if its coordinates differ."""
    found = []
    for layer in range(max(layers) + 1):
        value, se = values[layers == layer], errors[layers == layer]
        weight = 1 / np.maximum(se, 1e-12 * value) ** 2
        mean = float((weight * value).sum() / weight.sum())
        if (abs(value - mean) > DIFFERENT * se).any() or not mean > 0:
            return None
        found.append(mean)
    return found


def _written(values: Sequence[float], unit: str) -> str:
    """Numbers as the config takes them, once if all are the same: `"[72.1, 71.9] um"`."""
    numbers = [f"{(1e6 if unit else 1.0) * each:.4g}" for each in values]
    if len({*numbers}) == 1:
        return f"{numbers[0]} {unit}".rstrip()
    every = f"[{', '.join(numbers)}]"
    return f'"{every} {unit}"' if unit else every
