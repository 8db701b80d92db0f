"""A model written by the user: functions of a Python file that the config names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from . import Model, Quantity
from .base import UniformSource, uniform
from .user_file import Call, read_model_file, type_and_shape

MUONS_CHECKED = 8
"""Number of muons on which a model is checked."""


class UserCoordinate(Protocol):
    """A coordinate in the config; without words its name is used, and without layers there is one per coordinate."""

    name: str
    unit: str
    long_name: str
    layer: int | None


@runtime_checkable
class UserObservable(Protocol):
    """An observable in the config, as `Quantity`."""

    name: str
    unit: str
    long_name: str
    symbol: str
    period: float
    fold: str
    domain: float
    folds: Sequence[str]


@runtime_checkable
class UserSection(Protocol):
    """The config's `model` section of a user's model."""

    file: str
    function: str
    draw: str | None
    covariance: str | None
    fitted: str | None
    chi2: str | None
    coordinates: Sequence[UserCoordinate]
    observables: Sequence[UserObservable]
    parameters: Mapping[str, float | Sequence[float]]
    missing: bool


def model(section: UserSection, sha256: str | None = None) -> Model:
    """The model of a config's `model` section with a `file`, which is run.

    Raises
    ------
    ModelError
        The file can't be used, lacks a function, or has changed since the run began (`sha256`); no
        function takes a parameter, or an argument is not a parameter. In one line, with the file and its line.

    """
    file = read_model_file(section.file, sha256)
    parameters = {name: tuple(x) if isinstance(x, Sequence) else x for name, x in section.parameters.items()}

    def call(key: str, name: str, *leading: str) -> Call:
        return Call(file, name, f"model.{key}", leading, parameters)

    infer = call("function", section.function, "hits")
    draw = call("draw", section.draw, "rng", "muons") if section.draw else None
    covariance, fitted, chi2 = (
        call(key, name, "hits") if name else None
        for key, name in (("covariance", section.covariance), ("fitted", section.fitted), ("chi2", section.chi2))
    )
    taken = {name for function in (infer, draw, covariance, fitted, chi2) if function for name in function.takes}
    for name in parameters:
        if name not in taken:  # it would have no effect
            infer.refuse(f"takes no parameter {name!r}, which model.parameters has; it takes {infer.signature}")
    count = len(section.coordinates)

    def generate(rng: np.random.Generator, muons: int, source: UniformSource) -> Float[np.ndarray, "muon coordinate"]:
        if draw:
            return _drawn(draw, {name: parameters[name] for name in draw.takes}, rng, (muons, count))
        return uniform(source, rng.random((muons, count)))

    return Model(
        coordinates=tuple(Quantity(c.name, c.unit, c.long_name or c.name, c.name) for c in section.coordinates),
        observables=tuple(map(_quantity, section.observables)),
        infer=infer,
        generate=generate,
        layers=tuple(c.layer for c in section.coordinates if c.layer is not None) or tuple(range(count)),
        parameters=parameters,
        infer_uses=infer.takes,
        missing=section.missing,
        covariance=covariance,
        covariance_uses=covariance.takes if covariance else (),
        fitted=fitted,
        fitted_uses=fitted.takes if fitted else (),
        chi2=chi2,
        chi2_uses=chi2.takes if chi2 else (),
    )


def _quantity(section: UserObservable) -> Quantity:
    """An observable, with its name where the config gives no words or symbol."""
    name, words, symbol = section.name, section.long_name or section.name, section.symbol or section.name
    return Quantity(name, section.unit, words, symbol, section.period, section.fold, section.domain, (*section.folds,))


def _drawn(
    draw: Call, given: Mapping[str, float | tuple[float, ...]], rng: np.random.Generator, shape: tuple[int, int]
) -> Float[np.ndarray, "muon coordinate"]:
    """True hits drawn by the user's function, checked."""
    arrays = {name: np.array(value) if isinstance(value, tuple) else value for name, value in given.items()}
    before, muons = deepcopy(rng), shape[0]
    found = draw.plain(rng, muons, **arrays)
    if not isinstance(found, np.ndarray) or found.shape != shape:
        draw.refuse(f"must return a NumPy array (muon, coordinate) of shape {shape}, not {type_and_shape(found)}")
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        draw.refuse("must return finite floating-point numbers: every muon has a true hit in each coordinate")
    once, again = (draw.plain(deepcopy(before), min(muons, MUONS_CHECKED), **arrays) for _ in range(2))
    if not np.array_equal(once, again):
        draw.refuse("draws other hits from the same rng: every random number must come from it, and nothing be kept")
    return found.astype(np.float64, copy=False)
