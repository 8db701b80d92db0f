"""The stated resolution: as the config gives it, for each coordinate, and as functions of models take it.

The config states 1/σ or σ of each layer, or σ of each layer in each view (`Detector.stated`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from .base import Model
from .line_fit import side_by_side

RESOLUTION, SIGMA = "resolution", "sigma"
"""Keys of what is stated; a function with an argument `resolution` gets 1/σ, however it is stated."""

ByKey = Mapping[str, Any]
"""Arrays or tensors by key; those of the detector have one number per layer."""


def resolution_of(numbers: ByKey, model: Model) -> Float[Any, " coordinate"]:
    """1/σ of each coordinate, in 1/m; with the gradients of the numbers, if they are tensors."""
    layers = list(model.layers)
    if RESOLUTION in numbers:
        return numbers[RESOLUTION][layers]
    if SIGMA in numbers:
        return 1 / numbers[SIGMA][layers]
    x, y = (numbers[f"{SIGMA}.{view}"] for view in "xy")
    in_y = [each.name.startswith("y") for each in model.coordinates]
    index = [layer + len(x) * other for layer, other in zip(layers, in_y, strict=True)]
    return 1 / side_by_side([x[None], y[None]])[0, index]


def stated_resolution(stated: Mapping[str, float | list[float]], model: Model) -> Float[np.ndarray, " coordinate"]:
    """1/σ of each coordinate from what a config states, in 1/m."""
    layers = max(model.layers) + 1
    return resolution_of({key: np.broadcast_to(np.array(each, "f8"), layers) for key, each in stated.items()}, model)


def arguments(names: Iterable[str], numbers: ByKey, model: Model) -> dict[str, Any]:
    """Numbers by name, as keywords of a function of the model.

    `resolution` has one number per layer or, where σ is stated by view, per coordinate.
    """
    return {name: _resolution(numbers, model) if name == RESOLUTION else numbers[name] for name in names}


def _resolution(numbers: ByKey, model: Model) -> Any:
    if RESOLUTION in numbers:
        return numbers[RESOLUTION]
    return 1 / numbers[SIGMA] if SIGMA in numbers else resolution_of(numbers, model)
