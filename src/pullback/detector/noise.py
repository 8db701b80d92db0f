"""What the noise of a detector is like, whatever its resolution is stated to be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float


def draw(noise: Any, rng: Any, shape: tuple[int, ...]) -> Float[Any, "..."]:
    """Deviates of a detector's noise; times the stated σ and its `factor`, they are what a hit is off by.

    Parameters
    ----------
    noise : the config's `detector.noise`.
        gaussian: N(0, 1).
        strip: U(-½, ½), in units of the pitch: the centre of the strip that was hit, wherever the strips lie.
        tails: N(0, 1), but for a `fraction` of the hits N(0, width²).
        clipped: N(0, 1) within ±clip: a detector, or its software, that drops hits further out.
    rng : the stream of the deviates, or a `DeviceGenerator`, whose deviates are a tensor.
    shape : how many.

    """
    match noise.kind:
        case "gaussian":
            return rng.standard_normal(shape)
        case "strip":
            return rng.random(shape) - 0.5
        case "tails":
            deviates = rng.standard_normal(shape)
            deviates[rng.random(shape) < noise.fraction] *= noise.width
            return deviates
        case "clipped":
            from scipy.special import ndtr, ndtri

            below, uniform = float(ndtr(-noise.clip)), rng.random(shape)
            if not isinstance(uniform, np.ndarray):
                from torch.special import ndtri
            return ndtri(below + (1 - 2 * below) * uniform)
    raise AssertionError(noise.kind)


def factor(noise: Any, resolution: Float[np.ndarray, "*layer"]) -> Float[np.ndarray, "*layer"]:
    """The unit of the deviates over the stated σ, 1/resolution: 1, but for strips their pitch × resolution.

    The pitch is as given, or if that is 0 such that pitch/√12 is the stated σ.
    """
    if noise.kind != "strip":
        return np.ones_like(resolution)
    return noise.pitch * resolution if noise.pitch else np.full_like(resolution, math.sqrt(12))


def width(noise: Any, resolution: float) -> float:
    """The standard deviation of the noise over the stated one."""
    match noise.kind:
        case "strip":
            return float(factor(noise, np.array([resolution]))[0]) / math.sqrt(12)
        case "tails":
            return math.sqrt(1 + noise.fraction * (noise.width**2 - 1))
        case "clipped":
            # 1 - 2 c φ(c) / (Φ(c) - Φ(-c))
            density = math.exp(-(noise.clip**2) / 2) / math.sqrt(2 * math.pi)
            return math.sqrt(1 - 2 * noise.clip * density / math.erf(noise.clip / math.sqrt(2)))
    return 1.0
