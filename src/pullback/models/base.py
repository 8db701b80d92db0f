"""Inference models: torch functions from hits to observables, with the names and units of both.

Each built-in model is one file here, with a function `model(section)` that makes it from the config's `model` section.
Importing it doesn't import torch: simulating needs none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor

MODULES = {"own": "user"}
"""Modules of models that have another name than the model."""

NO_FOLD = "none"
"""The `fold` of an observable for which the linear law holds as well at 0 as anywhere."""


class Quantity(NamedTuple):
    """A coordinate or an observable: its name in code and files, its unit, its name in words, its sign in figures.

    An angle on a circle has a `period`: its differences are taken the shorter way round. `fold` names the observable
    whose distance from 0, in σ, says where the linear law holds; an observable that names none is its own,
    and `NO_FOLD` says that there is no such place. `domain` is how far from the fold, in σ, the linear law holds at the
    nearest, where that is further than the config's `validation.domain`.
    """

    name: str
    unit: str
    long_name: str
    symbol: str = ""
    period: float = 0.0
    fold: str = ""
    domain: float = 0.0


def at_given_hits(hits: Float[Any, "muon coordinate"], **_: Any) -> Float[Any, "muon coordinate"]:
    """True hits that are drawn as such, wherever the layers are."""
    return hits


@dataclass(frozen=True)
class Model:
    """What the pipeline knows of a model.

    Attributes
    ----------
    infer : `infer(hits, **parameters)` maps hits (muon, coordinate) to observables (muon, observable).
    generate : `generate(rng, muons, source)` draws what makes the true hits (muon, …) by numpy, without the parameters;
        `source` is the config's section as attributes.
    intersect_layers : `intersect_layers(generated, **parameters)` gives the true hits (muon, coordinate), as numpy
        arrays or, where any argument is a tensor, as a tensor that carries the gradients of the parameters.
    parameters : numbers and lists of numbers by name, as the config has them.
    infer_uses, intersect_uses, covariance_uses, chi2_uses : the parameters that each function takes by keyword.
        `resolution` among them is the detector's, a number for each layer.
    layers : the layer of each coordinate, from 0 on.
    missing : whether `infer` uses what hits there are: NaN stands for one that is missing. Without it, a muon with a
        hit that is not finite has no observables.
    covariance : `covariance(hits, **parameters)`, what is added to the detector's covariance of the hits, (coordinate,
        coordinate) or (muon, coordinate, coordinate): scattering in the layers, say.
    cost : of quoting a muon, in units of that of a model that is smooth nearly everywhere: how its muons are cut into
        jobs follows it.
    chi2 : `chi2(hits, **parameters)`, χ² and its degrees of freedom (muon, 2).

    """

    coordinates: tuple[Quantity, ...]
    observables: tuple[Quantity, ...]
    infer: Callable[..., Float[Tensor, "muon observable"]]
    generate: Callable[..., Float[np.ndarray, "muon _"]]
    layers: tuple[int, ...]
    intersect_layers: Callable[..., Any] = at_given_hits
    parameters: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    infer_uses: tuple[str, ...] = ()
    intersect_uses: tuple[str, ...] = ()
    missing: bool = False
    covariance: Callable[..., Any] | None = None
    covariance_uses: tuple[str, ...] = ()
    chi2: Callable[..., Any] | None = None
    chi2_uses: tuple[str, ...] = ()
    cost: float = 1.0


def load(section: Mapping[str, Any]) -> Model:
    """The model of a config's `model` section."""
    return importlib.import_module(f".{MODULES.get(section['name'], section['name'])}", __package__).model(section)
