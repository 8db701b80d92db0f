"""Hints for refused keys and values of a config."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from datetime import date
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from ..errors import shown
from .base import Section, constraints, fields, kinds, sections, tag
from .units import SLOPE

MEANT = {
    **dict.fromkeys(
        ("sigma", "sigma_x", "x_sigma", "smearing", "precision", "accuracy"),
        "did you mean detector.resolution, which is 1/σ: 100 for 1 cm?",
    ),
    **dict.fromkeys(("events", "n_events", "tracks", "hits", "particles"), "did you mean source.muons?"),
    **dict.fromkeys(("toys", "n_toys", "number"), "did you mean toys.per_muon, toys around each of toys.muons muons?"),
    **dict.fromkeys(("cores", "threads", "jobs"), "it is an option of Snakemake: --cores 8"),
    "height": "did you mean model.dz of one_hit, or model.z of track?",
    **dict.fromkeys(
        ("divergence", "sigma_slope", "slope_sigma", "beam_divergence"), "did you mean source.beam.spread, a slope?"
    ),
    **dict.fromkeys(("spot_size", "beam_spot", "width"), "did you mean source.beam.spot?"),
    "distance": "did you mean model.dz?",
    **dict.fromkeys(
        ("model.thickness", "model.radiation_length", "model.x0"),
        "did you mean model.material of track, track3d and scatter, the thickness of a layer: 0.5 %X0?",
    ),
    "layers": "the layers are given by their heights: model.z of track, or model.z_upper and model.z_lower of scatter",
    **dict.fromkeys(("energy", "p"), "did you mean source.cosmic.momentum or source.beam.momentum?"),
    **dict.fromkeys(("path", "filename"), "did you mean file?"),
    **dict.fromkeys(
        ("unit", "units"), "lengths are in m, angles in rad, momenta in GeV/c, and detector.resolution in 1/m"
    ),
}
"""Hints for names that physicists use, by the last part of a dotted name or by all of it."""

IN_LISTS = ("model.coordinates.", "model.observables.")
"""Prefixes of keys in lists of sections."""

_UNSCANNED = ("compute.", "target.", "systematics.", *IN_LISTS)
"""Prefixes of keys that cannot be scanned."""

AMOUNT = re.compile(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s*[^\d\s.,;:*+-].*")
"""A number with a unit."""

GROUPED = re.compile(r"[-+]?\d+(?:[ ,.']\d+)+(?=$|\s*[^\d\s])")
"""A number with a decimal comma or thousands separators, with a unit or not."""

AFTER_COMMA = re.compile(r"\d+(?:[eE][-+]?\d+)?(?:\s*[^\d\s].*)?")
"""The rest of a number with a decimal comma, which YAML reads as a key within braces."""

ELLIPSIS = "…"

NAMED = f"{{name: {ELLIPSIS}}}"
"""A section that requires only its name."""


def of_key(path: list[str], section: type[Section], top: type[Section], value: Any) -> str:
    """Advice for an unknown key: a near key beside it, a hint, the same key elsewhere, or all keys beside it.

    `path` holds the keys that lead to it and the key itself; `section` contains it, and `top` is the whole config.
    """
    *around, last = path
    beside = {name: ".".join([*around, name]) for name in section.model_fields}
    if value is None and AFTER_COMMA.fullmatch(last):
        return "a decimal number has a point, 1.5, and no comma"
    if (mapping := _required_mapping(section)) and isinstance(value, int | float):
        return f"did you mean {beside[mapping]}: {{{last}: {shown(value)}}}?"
    if last == "name" and not around:
        return "did you mean study?"
    if last.lower() in ("kind", "type", "name") and tag(section) in beside:
        return f"did you mean {beside[tag(section)]}?"
    if close := _close(last, beside, 0.75):
        return f"did you mean {beside[close]}?"
    if meant := MEANT.get(".".join(path).lower()) or MEANT.get(last.lower()):
        return meant
    if elsewhere := _elsewhere(last, around, top):
        return f"did you mean {' or '.join(elsewhere)}?"
    close = _close(last, beside, 0.6)
    return f"did you mean {beside[close]}?" if close else f"allowed: {', '.join(sorted(beside.values()))}"


def _required_mapping(section: type[Section]) -> str:
    """The mapping that a section requires, such as `sigma` in `target: {theta: 0.01}`; empty without one."""
    found = [name for name, field in section.model_fields.items() if field.is_required() and dict in kinds(field)]
    return found[0] if found else ""


def _close(last: str, names: Iterable[str], cutoff: float) -> str:
    """The nearest name, ignoring case."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in difflib.get_close_matches(last.lower(), lower, n=1, cutoff=cutoff)), "")


def _elsewhere(last: str, around: list[str], top: type[Section]) -> list[str]:
    """Keys of that name in the same section, else elsewhere, without text, mappings, `unit` and `kind`."""
    known = [name for name, field in fields(top).items() if not {str, dict} & {*kinds(field)}]
    known = [name for name in known if not name.startswith(IN_LISTS) and name.split(".")[-1] not in ("unit", "kind")]
    close = _close(last, {name.split(".")[-1] for name in known}, 0.8)
    same = [name for name in known if name.split(".")[-1] == close]
    inside = [name for name in same if around and name.startswith(f"{around[0]}.")]
    return inside or same


def of_section(inner: list[type[Section]], value: Any, key: str) -> str:
    """What to write in place of a value where a section is required."""
    last, which = key.split(".")[-1], tag(inner[0])
    if value is None:
        return "; leave it out, or give it keys"
    if len(inner) > 1:
        names = [each.model_fields[which].default for each in inner]
        kind = (isinstance(value, str) and _close(value, names, 0.6)) or " or ".join(names)
        return f": `{last}: {{{which}: {kind}}}`"
    required = [name for name, field in inner[0].model_fields.items() if field.is_required()]
    return f": {_example(inner[0], value)}" if required else f": {', '.join(sorted(inner[0].model_fields))}"


def _example(section: type[Section], name: Any) -> str:
    """A section with its required keys, and with the given name if it is text."""
    required = [key for key, field in section.model_fields.items() if field.is_required()]
    given = {"name": name} if isinstance(name, str) else {}
    return f"{{{', '.join(f'{key}: {given.get(key, ELLIPSIS)}' for key in required)}}}"


def of_value(value: Any, error: str, field: FieldInfo | None, key: str) -> str:
    """Advice in brackets for a value of a wrong type; empty without advice.

    `error` is pydantic's type of it, such as `float_type`; there is no field inside a mapping.
    """
    match error.removesuffix("_type"), value:
        case _, None if key.endswith("]"):
            said = "a value between the commas is missing"
        case _, None:
            said = "" if field and field.is_required() else "or leave the key out"
        case "float", dict() if key == "detector.resolution":
            said = "each view has its own in detector.sigma: {x: 150 um, y: 300 um}"
        case "float" | "int", bool():
            said = "YAML reads yes, no, on and off as true and false; write a number"
        case "string" | "literal_error", bool():
            said = "YAML reads yes, no, on and off as true and false; put text in quotes"
        case "string", int() | float() | date():
            said = f"text that looks like a number or a date is put in quotes: '{value}'"
        case "float" | "int", date():
            said = f"YAML reads {value} as a date; write a number"
        case "float" | "int", list() if key.endswith("]"):
            said = "one number, without brackets of its own"
        case "int", float() if value.is_integer():
            said = f"write {int(value)}, without a point"
        case "float" | "int", str():
            said = _of_number(value, field)
        case "float" | "int", list() if not key.startswith(_UNSCANNED):
            said = f"several values make a scan: `scan: {{{key}: {shown(value)}}}`"
        case "bool", _:
            said = "true or false, without quotes"
        case "list", _ if sections(field) and (example := _example(sections(field)[0], None)) != NAMED:
            said = f"a list of sections: [{example}]"
        case "list", str() if value.strip().startswith("["):
            said = "without the quotes" if value.strip().endswith("]") else "the brackets need numbers: [1, 2] mm"
        case "list", str() | int() | float() | bool():
            said = f"in brackets: [{value}]"
        case _:
            return ""
    return f" ({said})" if said else ""


def _of_number(text: str, field: FieldInfo | None) -> str:
    """What to write in place of text for a number."""
    plain, unit = text.strip(), unit_in(field)
    scale = f" in {unit}{': 100 for 1 cm' if unit == '1/m' else ''}" if unit else ""
    if (value := as_number(plain)) is not None:
        quoted = isinstance(yaml.safe_load(plain), int | float)
        return "without the quotes" if quoted else f"YAML takes it for text; write {plain} as {written(value)}"
    if AMOUNT.fullmatch(plain):
        percent = as_number(plain.removesuffix("%"))
        if percent is not None and is_fraction(field):
            return f"a fraction: write it as {_percent(percent)}"
        if not unit:
            return "write the number alone"
    if "\u2212" in plain:
        return "the sign of a number is a hyphen: -1"
    if GROUPED.match(plain):
        return "a decimal number has a point and no thousands separator: 1.5, 100000"
    return f"YAML takes it for text; write a number{scale}{', or with its unit' if unit else ''}"


def as_number(text: str) -> float | None:
    """The finite number in a text by Python's rules, without underscores; otherwise None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def written(value: float) -> str:
    """A number as YAML reads it: integers without a point, others with a point and a signed exponent."""
    if value == value // 1 and abs(value) < 1e16:
        return str(int(value))
    mantissa, e, exponent = repr(value).partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else f"{mantissa}{e}{exponent}"


def of_limit(value: Any, field: FieldInfo | None) -> str:
    """Advice for a number outside its limits: its unit, or that it is a fraction."""
    if unit := unit_in(field):
        degrees = f" (write {value:g} deg if it is in degrees)" if unit == "rad" and abs(value) > 1.5 else ""
        return "" if unit == SLOPE else f" {unit}{degrees}"
    if is_fraction(field) and 1 < value <= 100:
        return f" (it is a fraction: write {value:g} % as {_percent(value)})"
    return ""


def _percent(value: float) -> str:
    return f"{value / 100:.12g}"


def is_fraction(field: FieldInfo | None) -> bool:
    """Whether a number has no unit and an upper limit between 0.9 and 1."""
    if field is None or unit_in(field):
        return False
    most = [getattr(limit, name, None) or 0 for limit in constraints(field) for name in ("le", "lt")]
    return 0.9 < max(most, default=0) <= 1


def unit_in(field: FieldInfo | None) -> str:
    """The unit of a key."""
    extra = field.json_schema_extra if field else None
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""
