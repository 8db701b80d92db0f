"""Numbers of the config that stand beside the name of what they are: scans, systematics, targets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..models.planes import MOST_PLANES, built_in_observables
from .base import Clash, Contradiction, Section, fields
from .hints import unit_in
from .model_schema import MODELS
from .units import SIGMA_OF_SLOPE, in_unit, in_units

UNITS_OF_LAYERS = {"rotation": "rad", "scale_x": "1", "scale_y": "1"}
"""Units of numbers of layers that are no offsets."""


def with_plain_numbers(kind: type[Section], config: dict[str, Any]) -> dict[str, Any]:
    """A raw config whose scan, systematics and target have plain numbers in the units of what they are about.

    Raises
    ------
    Clash
        Numbers with a wrong unit.

    """
    unit, found, wrong = _unit_of(kind, config), dict(config), list[Contradiction]()
    for key in ("scan", "systematics"):
        section = config.get(key)
        if not isinstance(section, dict) or (key == "scan" and key not in kind.model_fields):
            continue
        inner = "zip" if key == "scan" and isinstance(section.get("zip"), dict) else ""
        numbers = section[inner] if inner else section
        units = {str(name): unit(str(name)) for name in numbers}
        known = {name: value for name, value in numbers.items() if units[str(name)] is not None}
        converted, mistakes = in_units(
            known, {name: each or "" for name, each in units.items()}, f"{key}.{inner}" if inner else key
        )
        converted = {**numbers, **converted}
        found[key] = {**section, inner: converted} if inner else converted
        wrong += [(line, (key,)) for line in mistakes]
    if isinstance(target := config.get("target"), dict):
        try:
            found["target"] = _target(target, unit, config)
        except ValueError as error:
            wrong.append((f"target.{error}", ("target",)))
    if wrong:
        raise Clash(*wrong)
    return found


def _target(target: dict[str, Any], unit: Callable[[str], str | None], config: dict[str, Any]) -> dict[str, Any]:
    """A target with its wanted σ in the unit of its observable, and its range in that of the number to vary."""
    observables, found = _units_of_observables(config), dict(target)
    wanted = target["sigma"] if isinstance(target.get("sigma"), dict) else {}
    for name, value in wanted.items():
        found["sigma"] = {**found["sigma"], name: _named(f"sigma.{name}", value, observables.get(name, ""))}
    for name, value in target.items():
        if str(name).startswith("sigma_"):
            found[name] = _named(name, value, observables.get(str(name).removeprefix("sigma_"), ""))
    if "between" in target:
        found["between"] = _named("between", target["between"], unit(str(target.get("vary"))) or "")
    return found


def _named(name: str, value: Any, unit: str) -> Any:
    try:
        return in_unit(value, unit)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _unit_of(kind: type[Section], config: dict[str, Any]) -> Callable[[str], str | None]:
    """The unit of a number by dotted name; None for an unknown name, which is refused for itself."""
    known, model = fields(kind), config.get("model")
    own = model if isinstance(model, dict) else {}
    units, coordinates = own.get("units"), own.get("coordinates")
    of_coordinates = {
        each.get("name"): str(each.get("unit", "m"))
        for each in (coordinates if isinstance(coordinates, list) else ())
        if isinstance(each, dict)
    }

    def unit(name: str) -> str | None:
        if name.startswith("alignment."):
            if kind := UNITS_OF_LAYERS.get(name.removeprefix("alignment.").split("[")[0]):
                return kind
            return of_coordinates.get(re.sub(r"\[(\d+)\]$", r"\1", name.removeprefix("alignment.")), "m")
        plain = name.split("[")[0]
        parameter = plain.removeprefix("model.")
        if isinstance(units, dict) and plain.startswith("model.") and parameter in units:
            return str(units[parameter])
        field = known.get(plain, known.get(plain.rpartition(".")[0]))  # `detector.sigma.x` is of `detector.sigma`
        return unit_in(field) if field or plain.startswith("model.") else None

    return unit


def _units_of_observables(config: dict[str, Any]) -> dict[str, str]:
    """The unit of σ of each observable of a raw config."""
    model = config.get("model")
    observables = model.get("observables") if isinstance(model, dict) else None
    if isinstance(observables, list):
        return {str(each.get("name")): str(each.get("unit")) for each in observables if isinstance(each, dict)}
    name = model.get("name") if isinstance(model, dict) else None
    built_in = str(name) if name in MODELS and name != "own" else next(iter(MODELS))
    found = built_in_observables(built_in, range(MOST_PLANES))
    return {each.name: SIGMA_OF_SLOPE if "slope" in each.long_name else each.unit for each in found}
