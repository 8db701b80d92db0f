"""Numbers of the config by dotted name, such as `model.z[2]`."""

from __future__ import annotations

import math
import re
from typing import Any

from .base import Section, constraints, fields
from .hints import unit_in
from .messages import checked
from .own_schema import Own
from .schema import PointConfig, StudyConfig
from .units import SLOPE

UNSCANNED = ("scan", "systematics", "target", "alignment")
"""Sections whose numbers cannot be scanned."""


LARGEST_PARAMETER = math.nextafter(1e300, 0)
"""Largest parameter of a user's model."""


def with_numbers(config: PointConfig, values: dict[str, float], *, where: str) -> PointConfig:
    """The config of a point: some numeric fields replaced, by dotted name, and the result checked."""
    return checked(PointConfig, raw_with_numbers(config, values), where)


def raw_with_numbers(config: PointConfig, values: dict[str, float]) -> dict[str, Any]:
    """The unchecked config of a point, as nested dictionaries."""
    raw = config.model_dump(exclude={"scan"})
    for name, value in values.items():
        *sections, key = _keys(name, raw)
        section: Any = raw
        for each in sections:
            section = section[each]
        # A list of integers may scan a field of any type, and 100.0 from a table is accepted as a count.
        section[key] = int(value) if isinstance(section[key], int) and float(value).is_integer() else value
    return raw


def keys_and_indices(name: str) -> list[str | int]:
    """The keys and indices of a dotted name: `model.z[2]` is model, z, 2."""
    return [int(each) if each.isdigit() else each for each in re.findall(r"[^.\[\]]+", name)]


def _keys(name: str, raw: dict[str, Any]) -> list[str | int]:
    """The keys of a number by dotted name; `model.B` is among the parameters of a user's model."""
    keys = keys_and_indices(name)
    own = keys[0] == "model" and keys[1] in raw["model"].get("parameters", {})
    return ["model", "parameters", *keys[1:]] if own else keys


def unit_of(name: str, config: PointConfig | None = None) -> str:
    """The unit of a key by dotted name; empty for a count or a ratio. A user's model gives its own units."""
    name = name.split("[")[0]
    if config is not None and config.model.name == "own" and name.startswith("model."):
        return config.model.units.get(name.removeprefix("model."), "")
    known = fields(StudyConfig)
    unit = unit_in(known.get(name, known.get(name.rpartition(".")[0])))  # `detector.sigma.x` is of `detector.sigma`
    return "" if unit == SLOPE else unit


def range_of(name: str, config: Section) -> tuple[float, float]:
    """The smallest and the largest value that the config allows for a number, by dotted name."""
    key, _, rest = name.partition(".")
    key = key.split("[")[0]
    if isinstance(section := getattr(config, key, None), Section):
        return range_of(rest, section)
    field = type(config).model_fields.get(key)
    bounds = [*constraints(field)] if field else []  # parameters of a user's model have no limits
    low = [each.ge for each in bounds if hasattr(each, "ge")]
    low += [math.nextafter(each.gt, math.inf) for each in bounds if hasattr(each, "gt")]
    high = [each.le for each in bounds if hasattr(each, "le")]
    high += [math.nextafter(each.lt, -math.inf) for each in bounds if hasattr(each, "lt")]
    return float(max([*low, -LARGEST_PARAMETER])), float(min([*high, LARGEST_PARAMETER]))


def numeric_fields(config: Section, prefix: str = "") -> dict[str, float]:
    """Every numeric field of the config by dotted name, with its value; none that the config leaves unused."""
    found: dict[str, float] = {}
    used = config.model_dump()
    for key in (key for key in type(config).model_fields if key in used):
        value = getattr(config, key)
        if isinstance(value, Section) and key != "alignment":
            found |= numeric_fields(value, f"{prefix}{key}.")
        elif isinstance(config, Own) and key != "parameters":
            continue  # periods of observables and layer numbers cannot be scanned
        elif isinstance(config, Own):
            for name, parameter in value.items():
                found |= _numbers_in(parameter, prefix + name)
        elif key not in UNSCANNED:
            found |= _numbers_in(value, prefix + key)
    return found


def _numbers_in(value: Any, name: str) -> dict[str, float]:
    """All numbers in a value, list or mapping, by dotted name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {name: value}
    inner: dict[str, Any] = {}
    if isinstance(value, dict):
        inner = {f"{name}.{key}": each for key, each in value.items()}
    elif isinstance(value, list):
        inner = {f"{name}[{index}]": each for index, each in enumerate(value)}
    return {dotted: number for key, each in inner.items() for dotted, number in _numbers_in(each, key).items()}
