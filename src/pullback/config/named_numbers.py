"""Numbers of the config that stand beside the name of what they are: scans, systematics, targets."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from ..models.planes import MOST_PLANES, built_in_observables
from .base import Clash, Section, fields
from .hints import unit_in
from .model_schema import MODELS
from .units import SIGMA_OF_SLOPE, in_unit

UNITS_OF_LAYERS = {"rotation": "rad", "scale_x": "1", "scale_y": "1"}
"""Units of numbers of layers that are no offsets."""


def with_plain_numbers(kind: type[Section], config: dict[str, Any]) -> dict[str, Any]:
    """A raw config whose scan, systematics and target have plain numbers in the units of what they are about.

    In scan and systematics, numbers of unknown names and those with a wrong unit are left as they are written: they are
    refused where all names of the model are known, for the name if that is wrong, else for the unit.

    Raises
    ------
    Clash
        Numbers of the target with a wrong unit.

    """
    unit, found = unit_by_name(kind, config), dict(config)
    for key in ("scan", "systematics"):
        if isinstance(section := config.get(key), dict) and key in kind.model_fields:
            found[key] = _plain_by_name(section, unit)
            if isinstance(in_step := section.get("zip"), dict):
                found[key]["zip"] = _plain_by_name(in_step, unit)
    if isinstance(target := config.get("target"), dict):
        try:
            found["target"] = _target(target, unit, config)
        except ValueError as error:
            raise Clash((f"target.{error}", ("target",))) from None
    return found


UnitByName = Callable[[Any], str | None]
"""Function that gives the unit of a number by its dotted name, and None for an unknown name."""


def _plain_by_name(values: dict[Any, Any], unit: UnitByName) -> dict[Any, Any]:
    return {name: _plain(value, unit(name)) for name, value in values.items()}


def _plain(value: Any, unit: str | None) -> Any:
    """A number or a list with units in the unit of its name; what can't be converted is left as it is."""
    if isinstance(value, list):
        return [_plain(each, unit) if isinstance(each, str | list) else each for each in value]  # 100 000 numbers
    if isinstance(value, str) and unit is not None:
        with contextlib.suppress(ValueError):
            return in_unit(value, unit)
    return value


def _target(target: dict[str, Any], unit: UnitByName, config: dict[str, Any]) -> dict[str, Any]:
    """A target with its wanted σ in the unit of its observable, and its range in that of the number to vary."""
    observables, found = _units_of_observables(config), dict(target)
    wanted = target["sigma"] if isinstance(target.get("sigma"), dict) else {}
    for name, value in wanted.items():
        found["sigma"] = {**found["sigma"], name: _named(f"sigma.{name}", value, observables.get(name))}
    for name, value in target.items():
        if str(name).startswith("sigma_"):
            found[name] = _named(name, value, observables.get(str(name).removeprefix("sigma_")))
    if "between" in target:
        found["between"] = _named("between", target["between"], unit(target.get("vary")))
    return found


def _named(name: str, value: Any, unit: str | None) -> Any:
    try:
        return in_unit(value, unit)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def unit_by_name(kind: type[Section], config: dict[str, Any]) -> UnitByName:
    """The unit of a number of a raw config by dotted name; None for an unknown name."""
    which, model = _model_of(config)
    known = {name: field for name, field in fields(kind).items() if not name.startswith("model.")}
    known |= fields(MODELS[which], "model.") if which in MODELS else {}
    parameters, units, coordinates = (model.get(name) for name in ("parameters", "units", "coordinates"))
    of_coordinates = {
        each.get("name"): str(each.get("unit", "m"))
        for each in (coordinates if isinstance(coordinates, list) else ())
        if isinstance(each, dict)
    }

    def unit(name: Any) -> str | None:
        name = str(name)
        if name.startswith("alignment."):
            if kind := UNITS_OF_LAYERS.get(name.removeprefix("alignment.").split("[")[0]):
                return kind
            return of_coordinates.get(re.sub(r"\[(\d+)\]$", r"\1", name.removeprefix("alignment.")), "m")
        plain = name.split("[")[0]
        parameter = plain.removeprefix("model.")
        if plain.startswith("model.") and isinstance(parameters, dict) and parameter in parameters:
            return str(units.get(parameter, "")) if isinstance(units, dict) else ""
        field = known.get(plain, known.get(plain.rpartition(".")[0]))  # `detector.sigma.x` is of `detector.sigma`
        return unit_in(field) if field else None

    return unit


def _model_of(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the model of a raw config, and its section."""
    model = config.get("model")
    section = model if isinstance(model, dict) else {}
    return str(section.get("name", "own" if "file" in section else next(iter(MODELS)))), section


def _units_of_observables(config: dict[str, Any]) -> dict[str, str]:
    """The unit of σ of each observable of a raw config."""
    which, model = _model_of(config)
    if which == "own":
        observables = model.get("observables")
        listed = observables if isinstance(observables, list) else []
        return {
            str(each.get("name")): str(each["unit"]) for each in listed if isinstance(each, dict) and "unit" in each
        }
    if which not in MODELS:
        return {}
    found = built_in_observables(which, range(MOST_PLANES))
    return {each.name: SIGMA_OF_SLOPE if "slope" in each.long_name else each.unit for each in found}
