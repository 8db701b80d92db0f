"""What is wrong with a config, in one line a mistake that a physicist understands."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from .errors import PullbackError
from .hints import of_key, of_limit, of_section, of_value, shown
from .sections import FORMS, Section, kinds, sections, tag


def checked(kind: type[Section], raw: Any, where: str) -> Any:
    """A config, or a part of it, as its section describes it; refused with what is wrong where."""
    if not isinstance(raw, dict):
        raise PullbackError(f"{where}: must be a mapping of keys to values, not {shown(raw)}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise PullbackError("\n".join(f"{where}: {_line(kind, each)}" for each in error.errors())) from None


def _line(kind, error) -> str:
    """One line for one mistake that pydantic found."""
    section, path, which, field = _place(kind, error["loc"])
    key, value = ".".join(path), error["input"]
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: {_of_unknown(kind, section, path, which, value)}"
        case "missing":
            return f"{key}: is missing" + (f" ({field.description})" if field and field.description else "")
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{key}.{_of_tag(sections(field), value)}"
        case "string_pattern_mismatch":
            return f"{key}: is {shown(value)}; allowed: letters, digits and . _ -, beginning with a letter or digit"
        case "value_error":
            return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
        case "model_type" | "model_attributes_type":
            advice = of_section(sections(field), value, key)
            return f"{key}: is {shown(value)}; it must be a section with keys of its own{advice}"
        case "dict_type":
            about = f": {field.description}" if value is not None else "; leave it out, or give it keys"
            return f"{key}: is {shown(value)}; it must be a section with keys of its own{about}"
    message = re.sub("^(Input|List|String|Dictionary) ", "", error["msg"]).replace(" after validation", "")
    of_limits = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
    hint = of_limit(value, field) if error["type"] in of_limits else of_value(value, error["type"], field, key)
    return f"{key}: is {shown(value)}; it {message}{hint}"


def _of_unknown(kind: type[Section], section: type[Section], path: list[str], which: str, value: Any) -> str:
    """What is said of a key that its section does not have."""
    goes = [name for name, each in _kinds_at(kind, path[:-1]).items() if path[-1] in each.model_fields]
    if not goes:
        return f"unknown key; {of_key(path, section, kind, value)}"
    says = ".".join([*path[:-1], tag(section)])
    return f"does not go with {says}: {which}; leave it out, or set {says}: {' or '.join(goes)}"


def _of_tag(inner: list[type[Section]], value: Any) -> str:
    """What is said of the key that says which of several sections it is."""
    which = tag(inner[0])
    allowed = list(_by_tag(inner))
    given = f"is {shown(value[which])}" if which in value else "is missing"
    return f"{which}: {given}; allowed: {', '.join(allowed)}"


def _place(kind: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], list[str], str, FieldInfo | None]:
    """Where a mistake is: the section that the last key is in, the keys to it, the last `kind` on the way, its field.

    A key that is none of a section's, or is one of a mapping, has no field.
    """
    section, path, which = kind, [], ""
    field: FieldInfo | None = None
    alternatives: dict[str, type[Section]] = {}
    for part in loc:
        each = str(part)
        if each in alternatives:  # says which of them it is, and is no key
            section, which, alternatives = alternatives[each], each, {}
            continue
        if each == "[key]" or (field and each in FORMS and set(kinds(field)) == {float, list}):
            continue  # that a key is meant, or which of two forms
        if isinstance(part, int):
            path[-1] += f"[{each}]"
            continue
        path.append(each)
        field = None if field and not sections(field) else section.model_fields.get(each)
        inner = sections(field) if field else []
        alternatives = _by_tag(inner) if len(inner) > 1 else {}
        section = inner[0] if len(inner) == 1 else section
    return section, path, which, field


def _kinds_at(kind: type[Section], path: list[str]) -> dict[str, type[Section]]:
    """The sections of which there is one at some keys, by what says which; none where there are no several."""
    inner = [kind]
    for each in path:
        held = [section.model_fields[each] for section in inner if each in section.model_fields]
        inner = [one for field in held for one in sections(field)]
    return _by_tag(inner) if len(inner) > 1 else {}


def _by_tag(inner: list[type[Section]]) -> dict[str, type[Section]]:
    """Sections by what says which of them it is."""
    return {one.model_fields[tag(one)].default: one for one in inner}
