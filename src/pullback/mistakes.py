"""What is wrong with a config, in one line a mistake that a physicist understands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pydantic import ValidationError

from .errors import PullbackError
from .sections import Clash, Section, fields, nearest, sections, tag

MOST_TOLD = 30
"""Mistakes that are told at once."""


class Mistake(NamedTuple):
    """What is wrong with a config, in one line, and the dotted keys that it rests on, the first to be mended."""

    text: str
    keys: tuple[str, ...]


class Examined(NamedTuple):
    """A config with all that is wrong with it.

    value : the config, with defaults in place of what is wrong; None where that can't be had.
    mistakes : what is wrong.
    unsure : the keys that have a default in place of what was meant.
    """

    value: Any
    mistakes: list[Mistake]
    unsure: frozenset[str]


class Together:
    """Collects what several checks refuse, to be told at once, each line once, and no more lines than can be read."""

    def __init__(self, lines: Iterable[str] = ()):
        self.lines = dict.fromkeys(lines)

    def tell(self, line: str) -> None:
        """Note a line."""
        self.lines[line] = None

    @property
    def enough(self) -> bool:
        """Whether there are more lines than are told."""
        return len(self.lines) > MOST_TOLD

    @contextmanager
    def told(self) -> Iterator[None]:
        """A context in which a `PullbackError` is noted, and ends no more than the context."""
        try:
            yield
        except PullbackError as error:
            self.lines |= dict.fromkeys(str(error).split("\n"))

    def refuse(self) -> None:
        """Raise with all that was noted, if anything was."""
        told = [*self.lines][:MOST_TOLD]
        if self.enough:
            told.append("and more; mend these first")
        if told:
            raise PullbackError("\n".join(told))


def checked(kind: type[Section], raw: Any, where: str) -> Any:
    """A config, or a part of it, as its section describes it; refused with what is wrong where."""
    found = examine(kind, raw)
    Together(f"{where}: {each.text}" for each in found.mistakes).refuse()
    return found.value


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


def examine(kind: type[Section], raw: Any, stand_ins: dict[str, Any] | None = None) -> Examined:
    """A config with all that is wrong with it, also with what is seen only when other mistakes are mended.

    What is wrong is left out, so that its default takes its place, and the rest looked at again; what rests on such a
    default is not told. `stand_ins` take the place of keys that have no default.
    """
    if not isinstance(raw, dict):
        return Examined(None, [Mistake(f"must be a mapping of keys to values, not {raw!r}", ("",))], frozenset())
    mistakes: list[Mistake] = []
    unsure: set[str] = set()
    while True:
        try:
            return Examined(kind.model_validate(raw), mistakes, frozenset(unsure))
        except ValidationError as error:
            found = [each for one in error.errors() for each in _mistakes(kind, one)]
            unknown = {".".join(_place(kind, e["loc"])[1]) for e in error.errors() if e["type"] == "extra_forbidden"}
        mistakes += [each for each in found if not rests_on(each.keys, unsure)]
        gone: set[str] = set()
        for each in found:
            if not any(_holds(section, key) for key in each.keys for section in gone):
                raw, dropped = _without(raw, each.keys, stand_ins or {})
                gone |= dropped
        unsure |= gone - unknown  # an unknown key stands for nothing
        if not gone:
            return Examined(None, mistakes, frozenset(unsure))


def rests_on(keys: Collection[str], unsure: Collection[str]) -> bool:
    """Whether one of the keys is among others, or holds one of them, or is held by one."""
    return any(_holds(one, other) or _holds(other, one) for one in keys for other in unsure)


def _holds(section: str, key: str) -> bool:
    return not section or key == section or key.startswith((f"{section}.", f"{section}["))


def _mistakes(kind: type[Section], error: Any) -> list[Mistake]:
    """What pydantic found at one place: a line, or one for each thing that does not go together there."""
    key = ".".join(_place(kind, error["loc"])[1])
    clash = error.get("ctx", {}).get("error")
    if not isinstance(clash, Clash):
        return [Mistake(_line(kind, error), (key,))]
    where, inside = (f"{key}: ", f"{key}.") if key else ("", "")
    return [Mistake(where + line, tuple(inside + name for name in names)) for line, names in clash.found]


def _without(raw: Any, keys: tuple[str, ...], stand_ins: dict[str, Any]) -> tuple[Any, set[str]]:
    """A config without the first of the keys that it has, else without what should hold them; and what was left out."""
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
