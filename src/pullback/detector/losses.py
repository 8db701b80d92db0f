"""Which hits are lost together, and how often: those of a layer, or each hit alone if the efficiency has views."""

from __future__ import annotations

from typing import NamedTuple

from ..config.base import each_layer
from ..config.detector_schema import Detector
from ..models import Model


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
