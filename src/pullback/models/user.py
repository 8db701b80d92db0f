"""A model written by the user: functions of a Python file that the config names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from . import Model, Quantity
from .user_checks import MUONS_EXAMINED
from .user_file import Call, read_model_file, shown


def model(section: Mapping[str, Any]) -> Model:
    """The model of a config's `model` section with a `file`, which is run.

    Raises
    ------
    ModelError
        The file can't be used, lacks a function, or has changed since the run began (`file_sha256` of the section); no
        function takes a parameter, or an argument is no parameter. In one line, with the file and its line.

    """
    file = read_model_file(section["file"], section.get("file_sha256"))
    parameters = {
        name: tuple(value) if isinstance(value, list | tuple) else value
        for name, value in section["parameters"].items()
    }

    def call(key: str, *leading: str) -> Call | None:
        return Call(file, section[key], f"model.{key}", leading, parameters) if section.get(key) else None

    infer, draw, covariance = call("function", "hits"), call("draw", "rng", "muons"), call("covariance", "hits")
    _refuse_unused(infer, [function for function in (draw, covariance) if function], parameters)

    coordinates = [each if isinstance(each, Mapping) else {"name": each} for each in section["coordinates"]]
    given = [each.get("layer") for each in coordinates]
    count = len(coordinates)
    return Model(
        coordinates=tuple(Quantity(c["name"], c.get("unit", "m"), _words(c), c["name"]) for c in coordinates),
        observables=tuple(
            Quantity(
                o["name"],
                o["unit"],
                _words(o),
                o.get("symbol") or o["name"],
                o.get("period", 0.0),
                o.get("fold", ""),
                o.get("domain", 0.0),
            )
            for o in section["observables"]
        ),
        infer=infer,
        generate=partial(_drawn, draw, parameters, count) if draw else partial(_uniform, count),
        layers=tuple(range(count)) if None in given else tuple(given),
        parameters=parameters,
        infer_uses=infer.takes,
        missing=section.get("missing", False),
        covariance=covariance,
        covariance_uses=covariance.takes if covariance else (),
    )


def _words(quantity: Mapping[str, Any]) -> str:
    return quantity.get("long_name") or quantity["name"]


def _uniform(count: int, rng: np.random.Generator, muons: int, source: Any) -> Float[np.ndarray, "muon coordinate"]:
    """Each coordinate ~ U(x_min, x_max)."""
    return source.x_min + (source.x_max - source.x_min) * rng.random((muons, count))


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
