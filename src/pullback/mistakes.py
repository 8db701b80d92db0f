"""What is wrong with a config, in one line a mistake that a physicist understands."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from .errors import PullbackError
from .sections import Section, fields, nearest, sections, tag


def checked(kind: type[Section], raw: Any, where: str) -> Any:
    """A config, or a part of it, as its section describes it; refused with what is wrong where."""
    if not isinstance(raw, dict):
        raise PullbackError(f"{where}: must be a mapping of keys to values, not {raw!r}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise PullbackError("\n".join(f"{where}: {_line(kind, each)}" for each in error.errors())) from None


def _line(kind, error) -> str:
    """One line for one mistake that pydantic found."""
    section, path, which = _place(kind, error["loc"])
    key, value = ".".join(path), error["input"]
    match error["type"]:
        case "extra_forbidden":
            if key in fields(kind):
                return f"{key}: does not go with {'.'.join(path[:-1])}.{tag(section)}: {which}; leave it out"
            beside = [".".join([*path[:-1], name]) for name in section.model_fields]
            return f"{key}: unknown key; {nearest(key, fields(kind), beside)}"
        case "missing":
            return f"{key}: is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = sections(section.model_fields[path[-1]])
            which = tag(kinds[0])
            allowed = [each.model_fields[which].default for each in kinds]
            return f"{key}.{which}: is {value.get(which)!r}; allowed: {', '.join(allowed)}"
        case "string_pattern_mismatch":
            return f"{key}: is {value!r}; allowed: letters, digits and . _ -, beginning with a letter or digit"
        case "value_error":
            return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key}: is {value!r}; it must be a section with keys of its own"
    message = re.sub("^(Input|List|String|Dictionary) ", "", error["msg"]).replace(" after validation", "")
    if isinstance(value, str) and error["type"] in ("float_type", "int_type"):
        message += " (YAML takes it for text; write 1e5 as 100000)"
    return f"{key}: is {value!r:.80}; it {message}"


def _place(kind: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], list[str], str]:
    """Where a mistake is: the section that the last key is in, the keys to it, and the last `kind` on the way."""
    section, path, which = kind, [], ""
    alternatives: dict[str, type[Section]] = {}
    for each in map(str, loc):
        if each in alternatives:  # says which of them it is, and is no key
            section, which, alternatives = alternatives[each], each, {}
            continue
        if path and each in ("number", "list", "[key]"):  # which of two forms, or that a key is meant
            continue
        if each.isdigit():
            path[-1] += f"[{each}]"
            continue
        path.append(each)
        inner = sections(section.model_fields[each]) if each in section.model_fields else []
        alternatives = {one.model_fields[tag(one)].default: one for one in inner} if len(inner) > 1 else {}
        section = inner[0] if len(inner) == 1 else section
    return section, path, which
