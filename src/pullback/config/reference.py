"""The config's JSON schema and its documentation: `python -m pullback.config.reference` makes both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import create_model
from pydantic.fields import FieldInfo

from ..files import write_text
from .base import Section, limits, plain_types, sections, tag
from .model_schema import MODELS
from .schema import StudyConfig

HEAD = """# The config

This page is made by `python -m pullback.config.reference`, together with `schema.json`, which editors read for
completion and checks.

- `config.yaml` is the default study, `exercise.yaml` the bare exercise with no scan, `recorded.yaml` ten recorded
  hits; `track.yaml` a tracker of four layers with systematics and a target, `scatter.yaml` muon scattering tomography,
  `own_model.yaml` a model in a file of the user's, `recorded_root.yaml` hits from a ROOT tree, `billion.yaml` a billion
  muons of one hit.
- Another file takes the place of `config.yaml` by `snakemake --cores 8 --configfile my.yaml`. What it leaves out has
  the default below. Of several files, each is laid over the ones before:
  `--configfile config/config.yaml my_changes.yaml`.
- Every mistake is refused before any job starts, in one line that names the key.
- So is, with file and line, what YAML would read as something else than what is written: of a key given twice only the
  last, `1:30` as 90, `010` as 8. A number such as `1e5` is text for YAML: write `100000`, `100_000` or `1.0e+5`;
  and `yes` or `2024` is text only in quotes.
- The noise can be given by its kind alone, `detector: {noise: strip}`, and a coordinate of a model of your own by its
  name alone, `coordinates: [x0, x1]`.
- Any numeric key but those of `systematics`, `target` and `compute` can be scanned by its dotted name; of a list, one
  number: `model.z[1]`; and of a model of your own, its parameters: `model.<parameter>`.

```yaml
scan: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]} # the product: 4 points
scan: {zip: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]}} # in step: 2 points
scan: {"model.z[1]": [0.4, 0.5]} # a name with brackets is quoted within braces
scan: {table: scan.csv} # a column a name, a row a point
```

What goes with some models, noises or sources only says so; with others it is refused.

| key | goes with | kind | unit | default | allowed | what it is |
|---|---|---|---|---|---|---|
"""


def schema() -> str:
    """The JSON schema of the config."""
    return json.dumps(StudyConfig.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def documentation() -> str:
    """The page about the config: `config/README.md`."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(StudyConfig))


def _rows(section: type[Section], prefix: str = "", where: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The rows of a section's keys; `where` says which kinds, outside of the section, they go with."""
    for name, field in section.model_fields.items():
        inner = sections(field)
        if len(inner) > 1:
            yield from _alternatives(f"{prefix}{name}.", inner)
        elif inner:
            many = "[]" if get_origin(field.annotation) is list else ""
            models = tuple(kind for kind, each in MODELS.items() if prefix == "source." and name in each.beside)
            yield from _rows(inner[0], f"{prefix}{name}{many}.", models or where)
        else:
            yield _row(prefix + name, field, where)


def _alternatives(prefix: str, inner: list[type[Section]]) -> Iterator[list[str]]:
    """The rows of sections of which there is one: first the key that says which, then the others, each once."""
    which = tag(inner[0])
    kinds = {each.model_fields[which].default: each for each in inner}
    words = {kind: each.model_fields[which].description for kind, each in kinds.items()}
    allowed = ", ".join(f"`{kind}`" for kind in kinds)
    yield [
        f"`{prefix}{which}`",
        "",
        "word",
        "",
        f"`{json.dumps(next(iter(kinds)))}`",
        allowed,
        "; ".join(f"`{kind}`: {text}" for kind, text in words.items()),
    ]
    done = {which}
    for each in kinds.values():
        for name, field in each.model_fields.items():
            if name in done:
                continue
            done.add(name)
            having = tuple(kind for kind, other in kinds.items() if name in other.model_fields)
            one = create_model("One", __base__=Section, **{name: (field.annotation, field)})
            yield from _rows(one, prefix, having if len(having) < len(kinds) else ())


def _row(name: str, field: FieldInfo, where: tuple[str, ...]) -> list[str]:
    goes = ", ".join(f"`{each}`" for each in where)
    unit = (field.json_schema_extra or {}).get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
    return [f"`{name}`", goes, _kind(field), unit, _default(field), _allowed(field), field.description or ""]


def _kind(field: FieldInfo) -> str:
    """What a value is, in words."""
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "mapping", list: "list"}
    plain = [each for each in plain_types(field.annotation) if each is not type(None)]
    if any(get_origin(each) is Literal for each in plain):
        return "word"
    return " or ".join(words[get_origin(each) or each] for each in plain)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def _allowed(field: FieldInfo) -> str:
    """The words that are allowed, or the limits of a number, or of the numbers of a list and of how many there are."""
    words = [f"`{each}`" for each in get_args(field.annotation) if isinstance(each, str)]
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "at least", "max_length": "at most"}
    found: dict[str, None] = {}  # each once, in order
    for each in limits(field):
        for key in signs:
            value = getattr(each, key, None)
            if value is not None and not (key == "min_length" and value == 1):
                many = f" {_many(field)}" if key.endswith("length") else ""
                found[f"{signs[key]} {_number(value)}{many}"] = None
    return ", ".join([*words, *found])


def _many(field: FieldInfo) -> str:
    """What the length of a value counts."""
    if field.annotation is str:
        return "characters"
    return "keys" if dict in map(get_origin, plain_types(field.annotation)) else "numbers"


def _number(value: Any) -> str:
    return "2⁵³" if value == 2**53 else f"{value:g}"


if __name__ == "__main__":
    write_text(Path("config/schema.json"), schema())
    write_text(Path("config/README.md"), documentation())
