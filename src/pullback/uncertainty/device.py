"""Where models are evaluated: on the CPU, or on a GPU, which can draw random numbers of its own."""

from __future__ import annotations

import platform

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PullbackError


def device_of(wanted: str) -> torch.device:
    """The device that the config's `compute.device` stands for on this machine: `auto` is a GPU where there is one.

    Raises
    ------
    PullbackError : a GPU is wanted, and torch finds none; or what is wanted is no device.

    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise PullbackError(f"device is {wanted!r}; it must be auto, cpu or cuda")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):  # who wants the CPU wakes no driver
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise PullbackError(
            f"compute.device is cuda, but torch {torch.__version__} finds no GPU on {platform.node()}; run where there "
            "is one, with a torch that has CUDA, or set compute.device to auto or cpu"
        )
    return torch.device("cuda")


class DeviceGenerator:
    """A random generator on a device, with the methods of numpy's that the noise of a detector is drawn by.

    Seeded from a named stream, so that its numbers are as independent of batches, cores and order. They are other
    numbers than the stream's, and those of another kind of device are others again.
    """

    def __init__(self, stream: np.random.Generator, device: torch.device):
        self._generator = torch.Generator(device).manual_seed(int(stream.integers(2**63)))

    def standard_normal(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Standard normal deviates."""
        return self._draw(torch.randn, shape)

    def random(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Uniform deviates, 0 ≤ u < 1."""
        return self._draw(torch.rand, shape)

    def _draw(self, draw, shape) -> Tensor:
        return draw(shape, generator=self._generator, device=self._generator.device, dtype=torch.float64)
