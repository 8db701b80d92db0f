"""Where models are evaluated: on the CPU, or on a GPU, which can draw random numbers of its own."""

from __future__ import annotations

import platform
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def device_of(wanted: str) -> torch.device:
    """The device of this machine that a name stands for, auto, cpu or cuda: `auto` is a GPU where there is one.

    Raises
    ------
    ValueError
        A GPU is wanted and torch finds none, or the name is no device.

    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {wanted!r}; it must be auto, cpu or cuda")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):  # the CPU alone starts no GPU driver
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(
            f"device is cuda, but torch {torch.__version__} finds no GPU on {platform.node()}; run where there is one, "
            "with a torch that has CUDA, or set it to auto or cpu"
        )
    return torch.device("cuda")


class DeviceGenerator:
    """A random generator on a device, with those methods of numpy's generator that detector noise needs.

    It is seeded from a named stream, so its numbers do not depend on batches, cores or order either. They differ from
    the stream's own numbers, and between kinds of devices.
    """

    def __init__(self, stream: np.random.Generator, device: torch.device):
        self._generator = torch.Generator(device).manual_seed(int(stream.integers(2**63)))

    def standard_normal(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Standard normal deviates."""
        return self._draw(torch.randn, shape)

    def random(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Uniform deviates, 0 ≤ u < 1."""
        return self._draw(torch.rand, shape)

    def _draw(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        return draw(shape, generator=self._generator, device=self._generator.device, dtype=torch.float64)
