"""The true shape of a detector's noise, whatever its stated resolution."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..config.detector_schema import ClippedNoise, GaussianNoise, StripNoise, TailsNoise

Noise = GaussianNoise | StripNoise | TailsNoise | ClippedNoise


@runtime_checkable
class Generator(Protocol):
    """A source of random numbers: numpy's, or that of a device, whose numbers are tensors."""

    def standard_normal(self, size: Any) -> Any:
        """N(0, 1)."""

    def random(self, size: Any) -> Any:
        """U(0, 1)."""


def draw(noise: Noise, rng: Generator, shape: tuple[int, ...]) -> Float[Any, "..."]:
    """Deviates of a detector's noise. Times the stated σ and `factor`, they are the deviations of hits.

    Parameters
    ----------
    noise : section
        The config's `detector.noise`:
        gaussian: N(0, 1);
        strip: U(-½, ½) in units of the pitch, for the centre of the hit strip, wherever the strips lie;
        tails: N(0, 1), and N(0, width²) for a `fraction` of the hits;
        clipped: N(0, 1) within ±clip, as for a detector or software that drops hits further out.
    rng : Generator or DeviceGenerator
        Source of the deviates; those of a `DeviceGenerator` are tensors.
    shape : tuple of int
        Shape of the result.

    Returns
    -------
    array or tensor
        The deviates.

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


def factor(noise: Noise, resolution: Float[np.ndarray, "*layer"]) -> Float[np.ndarray, "*layer"]:
    """The unit of the deviates over the stated σ: pitch × resolution for strips, 1 otherwise.

    With pitch 0, pitch/√12 equals the stated σ.
    """
    if noise.kind != "strip":
        return np.ones_like(resolution)
    return noise.pitch * resolution if noise.pitch else np.full_like(resolution, math.sqrt(12))


def scale(noise: Noise, resolution: Float[Any, " coordinate"]) -> Float[Any, " coordinate"]:
    """The stated 1/σ over `factor`: what deviates are divided by. A given pitch does not change with the resolution."""
    if noise.kind != "strip":
        return resolution
    if noise.pitch:
        stated = resolution if isinstance(resolution, np.ndarray) else resolution.detach()
        return stated / (noise.pitch * stated)
    return resolution / math.sqrt(12)


def width(noise: Noise, resolution: float) -> float:
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
