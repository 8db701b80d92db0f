"""Which hits are lost together, and how often: those of a layer, or each hit alone if the efficiency has views."""

from __future__ import annotations

from math import prod
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from ..config.base import each_layer
from ..config.detector_schema import Detector
from ..models import Model
from ..study.aligning import placement_of
from ..study.artefact_configs import DetectedConfig
from ..study.batches import Part


class Loss(NamedTuple):
    """Hits that are recorded or lost together: their name in words, their coordinates, and the efficiency."""

    name: str
    coordinates: tuple[int, ...]
    efficiency: float


def losses_of(detector: Detector, model: Model) -> list[Loss]:
    """What a detector may lose: every layer, or with an efficiency by view every coordinate."""
    layers, stated = range(max(model.layers) + 1), detector.efficiency
    if not isinstance(stated, dict):
        together = [tuple(i for i, on in enumerate(model.layers) if on == layer) for layer in layers]
        every = each_layer(stated, len(layers))
        return [Loss(f"layer {layer}", together[layer], every[layer]) for layer in layers]
    of_view: dict[str, list[float]] = {view: each_layer(each, len(layers)) for view, each in stated.items()}
    return [
        Loss(f"{each.name[0]} of layer {layer}", (index,), of_view[each.name[0]][layer])
        for index, (each, layer) in enumerate(zip(model.coordinates, model.layers, strict=True))
    ]


def losses_in_place(part: Part[DetectedConfig]) -> list[Loss]:
    """What is lost of the hits that are corrected by `alignment`.

    The correction of a rotated layer needs both coordinates (`Placement.to_frame`). If its views lose their hits
    independently, with efficiencies ε_x and ε_y, both hits are there with the probability ε_x ε_y, and none otherwise.
    """
    losses, placement = losses_of(part.config.detector, part.model), placement_of(part)
    if placement is None:
        return losses
    turned = {part.model.layers[i] for i in np.flatnonzero(placement.angle).tolist()}
    kept = [each for each in losses if part.model.layers[each.coordinates[0]] not in turned]
    together = [_joined(losses, part.model, layer) for layer in turned]
    return sorted([*kept, *together], key=attrgetter("coordinates"))


def _joined(losses: list[Loss], model: Model, layer: int) -> Loss:
    """All losses of a layer as one."""
    own = [each for each in losses if model.layers[each.coordinates[0]] == layer]
    coordinates = tuple(index for each in own for index in each.coordinates)
    return Loss(f"layer {layer}", coordinates, prod(each.efficiency for each in own))
