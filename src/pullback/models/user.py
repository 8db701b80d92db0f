"""A model written by the user: functions of a Python file that the config names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from . import Model, Quantity
from .base import UniformSource, uniform
from .user_checks import MUONS_EXAMINED
from .user_file import Call, read_model_file, shown


class UserCoordinate(Protocol):
    """A coordinate in the config; without words its name is used, and without layers there is one per coordinate."""

    name: str
    unit: str
    long_name: str
    layer: int | None


class UserObservable(Protocol):
    """An observable in the config, as `Quantity`."""

    name: str
    unit: str
    long_name: str
    symbol: str
    period: float
    fold: str
    domain: float


@runtime_checkable
class UserSection(Protocol):
    """The config's `model` section of a user's model."""

    file: str
    function: str
    draw: str | None
    covariance: str | None
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
        function takes a parameter, or an argument is no parameter. In one line, with the file and its line.

    """
    file = read_model_file(section.file, sha256)
    parameters = {
        name: tuple(value) if isinstance(value, Sequence) else value for name, value in section.parameters.items()
    }

    infer = Call(file, section.function, "model.function", ("hits",), parameters)
    draw = Call(file, section.draw, "model.draw", ("rng", "muons"), parameters) if section.draw else None
    covariance = (
        Call(file, section.covariance, "model.covariance", ("hits",), parameters) if section.covariance else None
    )
    _refuse_unused(infer, [function for function in (draw, covariance) if function], parameters)

    count = len(section.coordinates)
    layers = tuple(each.layer for each in section.coordinates if each.layer is not None)
    return Model(
        coordinates=tuple(Quantity(c.name, c.unit, c.long_name or c.name, c.name) for c in section.coordinates),
        observables=tuple(
            Quantity(o.name, o.unit, o.long_name or o.name, o.symbol or o.name, o.period, o.fold, o.domain)
            for o in section.observables
        ),
        infer=infer,
        generate=partial(_drawn, draw, parameters, count) if draw else partial(_uniform, count),
        layers=layers or tuple(range(count)),
        parameters=parameters,
        infer_uses=infer.takes,
        missing=section.missing,
        covariance=covariance,
        covariance_uses=covariance.takes if covariance else (),
    )


def _uniform(
    count: int, rng: np.random.Generator, muons: int, source: UniformSource
) -> Float[np.ndarray, "muon coordinate"]:
    """Each coordinate ~ U(x_min, x_max)."""
    return uniform(source, rng.random((muons, count)))


def _drawn(
    draw: Call, parameters: Mapping[str, Any], count: int, rng: np.random.Generator, muons: int, source: Any
) -> Float[np.ndarray, "muon coordinate"]:
    """True hits drawn by the user's function, checked."""
    given = {name: parameters[name] for name in draw.takes}
    given = {name: np.array(value) if isinstance(value, tuple) else value for name, value in given.items()}
    before = deepcopy(rng)
    found = draw.plain(rng, muons, **given)
    if not isinstance(found, np.ndarray) or found.shape != (muons, count):
        draw.refuse(f"must return a NumPy array (muon, coordinate) of shape {(muons, count)}, not {shown(found)}")
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        draw.refuse("must return finite floating-point numbers: every muon has a true hit in each coordinate")
    once, again = (draw.plain(deepcopy(before), min(muons, MUONS_EXAMINED), **given) for _ in range(2))
    if not np.array_equal(once, again):
        draw.refuse("draws other hits from the same rng: every random number must come from it, and nothing be kept")
    return found.astype(np.float64, copy=False)


def _refuse_unused(infer: Call, others: Sequence[Call], parameters: Iterable[str]) -> None:
    """Refuse a parameter of the config that no function takes, since it would have no effect."""
    taken = {name for function in (infer, *others) for name in function.takes}
    for name in parameters:
        if name not in taken:
            infer.refuse(f"takes no parameter {name!r}, which model.parameters has; it takes {infer.signature}")
