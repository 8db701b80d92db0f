"""Mistakes in a config, as one line each in a physicist's words."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ..errors import ConfigError, PullbackError, shown
from .base import FORMS, Clash, Section, kinds, sections, tag
from .hints import of_key, of_limit, of_section, of_value

MOST_TOLD = 30
"""Maximum number of mistakes reported at once."""


AnySection = TypeVar("AnySection", bound=Section)


class Mistake(NamedTuple):
    """A mistake in a config: a message of one line, and the keys that it depends on, with the key to correct first."""

    text: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Examined(Generic[AnySection]):
    """A config with all its mistakes.

    value : the config, with defaults in place of mistakes; None if there is none.
    mistakes : all mistakes.
    unsure : keys with a default in place of the intended value.
    """

    value: AnySection | None
    mistakes: list[Mistake]
    unsure: frozenset[str]


class Together:
    """Collects messages of several checks, to report them at once without duplicates, up to a maximum number."""

    def __init__(self, lines: Iterable[str] = ()):
        self.lines: dict[str, type[PullbackError]] = dict.fromkeys(lines, ConfigError)

    def tell(self, line: str) -> None:
        """Add a message."""
        self.lines[line] = ConfigError

    @property
    def enough(self) -> bool:
        """Whether there are more messages than will be reported."""
        return len(self.lines) > MOST_TOLD

    @contextmanager
    def told(self) -> Iterator[None]:
        """A context that collects the messages of an error instead of raising it."""
        try:
            yield
        except PullbackError as error:
            self.lines |= dict.fromkeys(str(error).split("\n"), type(error))

    def refuse(self) -> None:
        """Raise the error with all messages, if there are any."""
        if self.lines:
            raise self.error()

    def error(self) -> PullbackError:
        """An error with all messages: a `ModelError` if all are about a model file."""
        told = [*self.lines][:MOST_TOLD]
        if self.enough:
            told.append("and more; correct these first")
        kinds = {*self.lines.values()}
        return (kinds.pop() if len(kinds) == 1 else ConfigError)("\n".join(told))


def checked(kind: type[AnySection], raw: Any, where: str) -> AnySection:
    """A config, or a part of it, checked against its section; every mistake is refused."""
    found = examine(kind, raw)
    if found.value is None or found.mistakes:
        raise Together(f"{where}: {each.text}" for each in found.mistakes).error()
    return found.value


def _line(kind: type[Section], error: ErrorDetails, raw: Any) -> str:
    """The message for one mistake found by pydantic in a raw config."""
    section, path, which, field = _place(kind, error["loc"])
    key, value = ".".join(path), error["input"]
    is_shown = "is empty" if value is None else f"is {shown(value)}"
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: {_of_unknown(kind, section, path, which, value)}"
        case "missing":
            return f"{key}: is missing" + (f" ({field.description})" if field and field.description else "")
        case "union_tag_invalid" if not sections(field):
            return f"{key}: {is_shown}; it must be a number or a list"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{key}.{_of_tag(sections(field), value)}"
        case "string_pattern_mismatch":
            return f"{key}: is {shown(value)}; allowed: letters, digits and . _ -, beginning with a letter or digit"
        case "value_error":
            return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
        case "model_type" | "model_attributes_type":
            advice = of_section(sections(field), value, key)
            return f"{key}: {is_shown}; it must be a section with keys of its own{advice}"
        case "dict_type":
            about = f": {field.description}" if field and value is not None else "; leave it out, or give it keys"
            return f"{key}: {is_shown}; it must be a section with keys of its own{about}"
    message = re.sub("^(Input|List|String|Dictionary) ", "", error["msg"]).replace(" after validation", "")
    if error["type"] not in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"{key}: {is_shown}; it {message}{of_value(value, error['type'], field, key)}"
    least = error["ctx"].get("ge", math.inf)
    if 0 < least < 0.01:
        message = "must be positive" if value <= 0 else f"should be greater than or equal to {least:g}"
    hint = "" if message == "must be positive" else of_limit(value, field)
    return f"{key}: is {_as_given(raw, path) or shown(value)}; it {message}{hint}"


def _as_given(raw: Any, path: list[str]) -> str:
    """The text of a number with a unit at a location of a raw config; empty if it is none."""
    for part in re.findall(r"[^.\[\]]+", ".".join(path)):
        raw = raw.get(part) if isinstance(raw, dict) else raw
        if isinstance(raw, list) and part.isdigit():
            raw = raw[int(part)]
    return shown(raw).strip("'") if isinstance(raw, str) else ""


def _of_unknown(kind: type[Section], section: type[Section], path: list[str], which: str, value: Any) -> str:
    """The message for a key that its section does not have."""
    goes = [name for name, each in _kinds_at(kind, path[:-1]).items() if path[-1] in each.model_fields]
    if not goes:
        return f"unknown key; {of_key(path, section, kind, value)}"
    says = ".".join([*path[:-1], tag(section)])
    return f"does not go with {says}: {which}; leave it out, or set {says}: {' or '.join(goes)}"


def _of_tag(inner: list[type[Section]], value: Any) -> str:
    """The message for the key that selects one of several sections."""
    which = tag(inner[0])
    allowed = list(_by_tag(inner))
    given = f"is {shown(value[which])}" if which in value else "is missing"
    return f"{which}: {given}; allowed: {', '.join(allowed)}"


def _place(kind: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], list[str], str, FieldInfo | None]:
    """The location of a mistake: the section with the last key, the keys to it, the last selecting key, and the field.

    Unknown keys and keys of mappings have no field.
    """
    section, which = kind, ""
    path: list[str] = []
    field: FieldInfo | None = None
    alternatives: dict[str, type[Section]] = {}
    of_views = False
    for part in loc:
        each = str(part)
        if each in alternatives:  # selects a section, and is no key
            section, which, alternatives = alternatives[each], each, {}
            continue
        if each == "[key]" or (field and each in FORMS and {float, list} <= {*kinds(field)}):
            of_views = each == FORMS[2]
            continue  # marks a key of a mapping or the form of a value
        if isinstance(part, int):
            path[-1] += f"[{each}]"
            continue
        path.append(each)
        if of_views:
            of_views = False
            continue  # the value of a view is one of the same field
        field = None if field and not sections(field) else section.model_fields.get(each)
        inner = sections(field)
        alternatives = _by_tag(inner) if len(inner) > 1 else {}
        section = inner[0] if len(inner) == 1 else section
    return section, path, which, field


def _kinds_at(kind: type[Section], path: list[str]) -> dict[str, type[Section]]:
    """The alternative sections at a location, by their selecting value; empty without alternatives."""
    inner = [kind]
    for each in path:
        held = [section.model_fields[each] for section in inner if each in section.model_fields]
        inner = [one for field in held for one in sections(field)]
    return _by_tag(inner) if len(inner) > 1 else {}


def _by_tag(inner: list[type[Section]]) -> dict[str, type[Section]]:
    """Sections by their selecting value."""
    return {one.model_fields[tag(one)].default: one for one in inner}


def examine(kind: type[AnySection], raw: Any, stand_ins: dict[str, Any] | None = None) -> Examined[AnySection]:
    """All mistakes of a config, including those that are visible only when others are corrected.

    Wrong values are removed, so that their defaults apply, and the rest is checked again. Mistakes that depend on such
    a default are not reported. `stand_ins` are values for required keys.
    """
    if not isinstance(raw, dict):
        return Examined(None, [Mistake(f"must be a mapping of keys to values, not {shown(raw)}", ("",))], frozenset())
    mistakes: list[Mistake] = []
    unsure: set[str] = set()
    while True:
        try:
            return Examined(kind.model_validate(raw), mistakes, frozenset(unsure))
        except ValidationError as error:
            found = [mistake for one in error.errors() for mistake in _mistakes(kind, one, raw)]
            unknown = {".".join(_place(kind, e["loc"])[1]) for e in error.errors() if e["type"] == "extra_forbidden"}
        mistakes += [each for each in found if not rests_on(each.keys, unsure)]
        gone: set[str] = set()
        for each in found:
            if not any(_holds(section, key) for key in each.keys for section in gone):
                raw, dropped = _without(raw, each.keys, stand_ins or {})
                gone |= dropped
        unsure |= gone - unknown  # an unknown key has no default
        if not gone:
            return Examined(None, mistakes, frozenset(unsure))


def rests_on(keys: Collection[str], unsure: Collection[str]) -> bool:
    """Whether one of the keys equals, contains or is contained in one of the unsure keys."""
    return any(_holds(one, other) or _holds(other, one) for one in keys for other in unsure)


def _holds(section: str, key: str) -> bool:
    return not section or key == section or key.startswith((f"{section}.", f"{section}["))


def _mistakes(kind: type[Section], error: ErrorDetails, raw: Any) -> list[Mistake]:
    """The mistakes that pydantic found at one location: one, or one for each contradiction."""
    key = ".".join(_place(kind, error["loc"])[1])
    clash = error.get("ctx", {}).get("error")
    if not isinstance(clash, Clash):
        return [Mistake(_line(kind, error, raw), (key,))]
    where, inside = (f"{key}: ", f"{key}.") if key else ("", "")
    return [Mistake(where + line, tuple(inside + name for name in names)) for line, names in clash.found]


def _without(raw: Any, keys: tuple[str, ...], stand_ins: dict[str, Any]) -> tuple[Any, set[str]]:
    """A config without the first of these keys that it has, else without the section around it; and that key."""
    paths = [[part.split("[")[0] for part in key.split(".")] for key in keys]
    for depth in range(max(map(len, paths))):
        for path in (path[: len(path) - depth] for path in paths if len(path) > depth):
            if _has(raw, path):
                return _drop(raw, path), {".".join(path)}
            if len(path) == 1 and path[0] in stand_ins:
                return {**raw, path[0]: stand_ins[path[0]]}, {path[0]}
    return raw, set()


def _has(raw: Any, path: list[str]) -> bool:
    if not path:
        return True
    return isinstance(raw, dict) and any(str(key) == path[0] and _has(value, path[1:]) for key, value in raw.items())


def _drop(raw: dict[Any, Any], path: list[str]) -> dict[Any, Any]:
    name, *rest = path
    return {
        key: _drop(value, rest) if str(key) == name else value for key, value in raw.items() if rest or str(key) != name
    }
