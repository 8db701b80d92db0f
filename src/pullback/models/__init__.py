"""Inference models: torch functions from hits to observables, with the names and units of both.

Each built-in model is one file here. Importing it doesn't import torch: simulating needs none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..arrays import Tensor


class Quantity(NamedTuple):
    """A coordinate or an observable: its name in code and files, its unit, its name in words, its sign in figures."""

    name: str
    unit: str
    long_name: str
    symbol: str = ""


@dataclass(frozen=True)
class Model:
    """What the pipeline knows of a model.

    `infer(hits, **parameters)` maps hits (muon, coordinate) to observables (muon, observable);
    `draw(rng, muons, **ranges)` draws true hits.
    """

    coordinates: tuple[Quantity, ...]
    observables: tuple[Quantity, ...]
    infer: Callable[..., Float[Tensor, "muon observable"]]
    draw: Callable[..., Float[np.ndarray, "muon coordinate"]]

    def bound(self, **parameters: float) -> Callable[[Float[Tensor, "muon coordinate"]], Tensor]:
        """The inference with its parameters filled in: a function of hits alone."""
        return partial(self.infer, **parameters)


def load(name: str) -> Model:
    """The built-in model of that name."""
    return importlib.import_module(f"{__name__}.{name}").MODEL
