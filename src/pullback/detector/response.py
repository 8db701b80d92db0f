"""Response of the detector of a point to hits: deviations of recorded hits, and losses.

Random numbers are drawn per block, from the block's own streams.
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
    """The random stream of a point for a purpose and an index of a block or toy muon."""
    own = key_of(part.label) if part.settings.random_numbers == "independent" else ()
    return random_stream(part.settings.seed, purpose, *own, index)


def per_coordinate(part: Part, value: float | list[float]) -> Float[np.ndarray, " coordinate"]:
    """A number of the detector, or one number per layer, for each coordinate of the model."""
    layers = list(part.model.layers)
    return np.array(value, dtype="f8")[layers] if isinstance(value, list) else np.full(len(layers), float(value))


def resolution(part: Part) -> Float[np.ndarray, " coordinate"]:
    """The stated 1/σ."""
    return per_coordinate(part, part.settings.detector.resolution)


def factor(part: Part) -> Float[np.ndarray, " coordinate"]:
    """Factor from deviates of the noise to units of the stated σ."""
    return noise.factor(part.settings.detector.noise, resolution(part))


def generated(part: Part, block: Block) -> Float[np.ndarray, "muon _"]:
    """The random input of the true hits of a block, such as track parameters."""
    return part.model.generate(stream_of(part, "truth", block.index), len(block), part.settings.source)


def deviates(part: Part, block: Block) -> Float[np.ndarray, "muon coordinate"]:
    """Deviates of the noise of a block's hits."""
    shape = len(block), len(part.model.layers)
    return noise.draw(part.settings.detector.noise, stream_of(part, "noise", block.index), shape)


def draw_off(of: Any, coordinates: int, rng: Any, shape: tuple[int, int]) -> Float[Any, "toy deviate"]:
    """Deviates of toys: those of the noise, and normal ones for the covariance that the model adds, if any.

    A tensor if the generator is that of a device.
    """
    toys, count = shape
    if count == coordinates:
        return noise.draw(of, rng, shape)
    return side_by_side([noise.draw(of, rng, (toys, coordinates)), rng.standard_normal((toys, count - coordinates))])


def kicks(part: Part, block: Block) -> Float[np.ndarray, "muon coordinate"]:
    """Standard normal deviates of a block for the covariance that the model adds, such as scattering in the layers."""
    return stream_of(part, "scattering", block.index).standard_normal((len(block), len(part.model.layers)))


def scattered(part: Part, block: Block, hits: Float[np.ndarray, "muon coordinate"]) -> Any:
    """Deviations of hits (muon, coordinate) due to the covariance that the model adds; 0 without any."""
    if part.model.covariance is None:
        return 0.0
    import torch

    from ..uncertainty.covariance import combined

    root = scattering_root(part, torch.from_numpy(hits))
    z = torch.from_numpy(kicks(part, block))
    return combined(root, z[:, None])[:, 0].numpy()


def lost(part: Part, block: Block) -> Bool[np.ndarray, "muon coordinate"] | None:
    """Lost coordinates of a block; those of one layer are lost together. None at full efficiency."""
    efficiency, layers = part.settings.detector.efficiency, list(part.model.layers)
    if np.min(efficiency) == 1:
        return None
    chance = stream_of(part, "efficiency", block.index).random((len(block), max(layers) + 1))
    return chance[:, layers] >= per_coordinate(part, efficiency)


def scattering_root(part: Part, hits: Any) -> Any:
    """The Cholesky factor (1 or muon, coordinate, coordinate) of the covariance that the model adds, or None."""
    if part.model.covariance is None:
        return None
    from ..uncertainty.covariance import cholesky
    from .bound_model import added_covariance, parameters_of

    parameters = parameters_of(part.model, part.settings.detector.resolution, hits.device)
    return cholesky(added_covariance(part.model, parameters, hits))
