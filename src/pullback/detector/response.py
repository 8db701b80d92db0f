"""What the detector of a point does to hits: how far off they are recorded, and which are lost.

Random numbers are drawn here for a block at a time, from streams of the block's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..models.line_fit import side_by_side
from ..statistics.random import key_of, random_stream
from ..study.batches import Part
from ..study.blocks import Block
from . import noise


def stream_of(part: Part, purpose: str, index: int) -> np.random.Generator:
    """The random numbers of a point for a purpose and a block, or a toy muon."""
    own = key_of(part.label) if part.settings.random_numbers == "independent" else ()
    return random_stream(part.settings.seed, purpose, *own, index)


def per_coordinate(part: Part, value: float | list[float]) -> Float[np.ndarray, " coordinate"]:
    """A number of the detector, or one of each layer, for each coordinate of the model."""
    layers = list(part.model.layers)
    return np.array(value, dtype="f8")[layers] if isinstance(value, list) else np.full(len(layers), float(value))


def resolution(part: Part) -> Float[np.ndarray, " coordinate"]:
    """1/σ as stated."""
    return per_coordinate(part, part.settings.detector.resolution)


def factor(part: Part) -> Float[np.ndarray, " coordinate"]:
    """What deviates of the noise are multiplied by to be in units of the stated σ."""
    return noise.factor(part.settings.detector.noise, resolution(part))


def generated(part: Part, block: Block) -> Float[np.ndarray, "muon _"]:
    """What the true hits of a block are made from."""
    return part.model.generate(stream_of(part, "truth", block.index), len(block), part.settings.source)


def deviates(part: Part, block: Block) -> Float[np.ndarray, "muon coordinate"]:
    """Deviates of the noise of a block's hits."""
    shape = len(block), len(part.model.layers)
    return noise.draw(part.settings.detector.noise, stream_of(part, "noise", block.index), shape)


def draw_off(of: Any, coordinates: int, rng: Any, shape: tuple[int, int]) -> Float[Any, "toy deviate"]:
    """Deviates of toys: of the noise for each coordinate, and normal ones for what the model adds to it, if it does.

    A tensor where the generator is a device's.
    """
    toys, count = shape
    if count == coordinates:
        return noise.draw(of, rng, shape)
    return side_by_side([noise.draw(of, rng, (toys, coordinates)), rng.standard_normal((toys, count - coordinates))])


def kicks(part: Part, block: Block) -> Float[np.ndarray, "muon coordinate"]:
    """Standard normal deviates of a block for what the model adds to the noise, such as scattering in the layers."""
    return stream_of(part, "scattering", block.index).standard_normal((len(block), len(part.model.layers)))


def scattered(part: Part, block: Block, hits: Float[np.ndarray, "muon coordinate"]) -> Any:
    """How far off hits are by what the model adds to the noise (muon, coordinate); 0 if it adds nothing."""
    if part.model.covariance is None:
        return 0.0
    import torch

    from ..uncertainty.covariance import combined

    root = scattering_root(part, torch.from_numpy(hits))
    z = torch.from_numpy(kicks(part, block))
    return combined(root, z[:, None])[:, 0].numpy()


def lost(part: Part, block: Block) -> Bool[np.ndarray, "muon coordinate"] | None:
    """Which coordinates of a block are not recorded, a layer's together; None where every hit is."""
    efficiency, layers = part.settings.detector.efficiency, list(part.model.layers)
    if np.min(efficiency) == 1:
        return None
    chance = stream_of(part, "efficiency", block.index).random((len(block), max(layers) + 1))
    return chance[:, layers] >= per_coordinate(part, efficiency)


def scattering_root(part: Part, hits: Any) -> Any:
    """The Cholesky factor (1 or muon, coordinate, coordinate) of what the model adds to the covariance, or None."""
    if part.model.covariance is None:
        return None
    from ..uncertainty.covariance import cholesky
    from .bound_model import added_covariance, parameters_of

    parameters = parameters_of(part.model, part.settings.detector.resolution, hits.device)
    return cholesky(added_covariance(part.model, parameters, hits))
