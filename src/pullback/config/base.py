"""Base of the config's sections, and functions that look up keys by dotted name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.fields import FieldInfo

from .units import SLOPE, validator


class Section(BaseModel):
    """A section of the config; refuses unknown keys, text in place of numbers, and infinite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Contradiction = tuple[str, tuple[str, ...]]
"""A message, and the keys that it depends on, with the one to correct first."""


class Clash(ValueError):
    """Values of a section that contradict each other."""

    def __init__(self, *found: Contradiction):
        super().__init__("; ".join(line for line, _ in found))
        self.found = found


Metres = Annotated[float, validator("m"), Field(json_schema_extra={"unit": "m"})]
Radians = Annotated[float, validator("rad"), Field(json_schema_extra={"unit": "rad"})]
SlopeOrAngle = Annotated[float, validator(SLOPE), Field(json_schema_extra={"unit": SLOPE})]
GeV = Annotated[float, validator("GeV/c"), Field(json_schema_extra={"unit": "GeV/c"})]

FORMS = ("number", "list", "views")
"""Pydantic's names of the forms of `NumberPerLayer`, `NumberPerView` and `NumberPerLayerOrView`."""

VIEWS = ("x", "y")
"""The views of layers that measure two coordinates."""


def _form(value: Any) -> str:
    return FORMS[isinstance(value, list)]


def _form_or_views(value: Any) -> str:
    return FORMS[2] if isinstance(value, dict) else _form(value)


_Number = TypeVar("_Number")
NumberPerLayer = Annotated[
    Annotated[_Number, Tag("number")] | Annotated[list[_Number], Field(min_length=1, max_length=32), Tag("list")],
    Discriminator(_form),
]
"""A number, or a list with one number per layer."""

NumberPerLayerOrView = Annotated[
    Annotated[_Number, Tag("number")]
    | Annotated[list[_Number], Field(min_length=1, max_length=32), Tag("list")]
    | Annotated[
        dict[
            Literal["x", "y"],
            Annotated[
                Annotated[_Number, Tag("number")]
                | Annotated[list[_Number], Field(min_length=1, max_length=32), Tag("list")],
                Discriminator(_form),
            ],
        ],
        Tag("views"),
    ],
    Discriminator(_form_or_views),
]
"""A number, a list with one number per layer, or one of these for each view."""


NumberPerView = Annotated[
    Annotated[_Number, Tag("number")] | Annotated[list[_Number], Field(min_length=2, max_length=2), Tag("list")],
    Discriminator(_form),
]
"""A number for both views, or a list with one for x and one for y."""


def each_layer(value: float | list[float], layers: int) -> list[float]:
    """One number per layer, of a field with one number for all layers or a list."""
    return value if isinstance(value, list) else [value] * layers


def by_view(value: float | list[float]) -> tuple[float, float]:
    """The numbers for x and y, of a field with one number for both views or a list."""
    x, y = each_layer(value, 2)
    return x, y


def sections(field: FieldInfo | None) -> list[type[Section]]:
    """The section types that a field may hold."""
    kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    return [each for each in kinds if isinstance(each, type) and issubclass(each, Section)]


def tag(section: type[Section]) -> str:
    """The key that selects one of several sections."""
    return "kind" if "kind" in section.model_fields else "name"


@cache
def fields(section: type[Section], prefix: str = "") -> Mapping[str, FieldInfo]:
    """All fields of the config by dotted name, including those of alternative sections."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        for kind in sections(field):
            found |= {each: info for each, info in fields(kind, f"{prefix}{name}.").items() if each not in found}
        if not sections(field):
            found[prefix + name] = field
    return found


def numbers_within(name: str, known: Iterable[str]) -> list[str]:
    """The names of the numbers of a list or mapping, in order: those of `model.z` are `model.z[0]`, `model.z[1]` …."""
    found = [each for each in known if each.startswith((f"{name}.", f"{name}["))]
    return sorted(found, key=lambda each: (len(each), each))


def nearest(name: str, valid: Iterable[str], beside: Iterable[str] | None = None) -> str:
    """Advice for an unknown dotted name: a valid name with the same last part, else the nearest name, else all names.

    Of a list or mapping, it is the first of its numbers; the number of a list may be written `model.z.0` or `model.z0`.
    The nearest name is searched among the names `beside` it, if given.
    """
    valid = sorted(valid)
    beside = valid if beside is None else sorted(beside)
    same = [each for each in valid if each.split(".")[-1] == name.split(".")[-1]]
    in_list = re.sub(r"[.]?(\d+)$", r"[\1]", name)
    same = [in_list] if in_list in valid else numbers_within(name, valid) or same
    # Of a list, whose index a name without one does not tell, the nearest is the list, by its first number.
    firsts = {each: each for each in beside} if "[" in name else {each.split("[")[0]: each for each in beside[::-1]}
    close = same or difflib.get_close_matches(name, firsts, n=1, cutoff=0.6)
    if close and (first := firsts.get(close[0], close[0])) != close[0]:
        return f"did you mean a number of {close[0]}, such as {first}?"
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(beside)}"


def plain_types(annotation: Any) -> list[Any]:
    """The plain types of a value: the members of a union, without annotations."""
    if get_origin(annotation) is Annotated:
        return plain_types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [plain for member in get_args(annotation) for plain in plain_types(member)]
    return [annotation]


def kinds(field: FieldInfo) -> list[Any]:
    """The types of a value: int, float, str, bool, list, dict or Literal."""
    return [get_origin(each) or each for each in plain_types(field.annotation)]


def constraints(field: FieldInfo) -> Iterator[Any]:
    """The limits of a value and of its elements: objects with `gt`, `le`, `min_length` and so on."""
    return _metadata(field.annotation, field.metadata)


def _metadata(annotation: Any, metadata: Iterable[Any] = ()) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from each.metadata
        else:
            yield each
    if get_origin(annotation) is Annotated:
        inner, *about = get_args(annotation)
        yield from _metadata(inner, about)
    elif get_origin(annotation) in (Union, UnionType, list):
        for each in get_args(annotation):
            yield from _metadata(each)
