"""The config's JSON schema and its documentation, both made from the one model: `python -m pullback.configdoc`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from .config import StudyConfig, fields, sections, unit_of
from .files import write_text

HEAD = """# The config

This page is made by `python -m pullback.configdoc`, together with `schema.json`, which editors read for completion and
checks.

- `config.yaml` is the default study, `exercise.yaml` the bare exercise with no scan, `recorded.yaml` ten recorded
  hits.
- Another file takes the place of `config.yaml` by `snakemake --cores 8 --configfile my.yaml`. What it leaves out has
  the default below. Of several files, each is laid over the ones before:
  `--configfile config/config.yaml my_changes.yaml`.
- Every mistake is refused before any job starts, in one line that names the key.
- The noise can be given by its kind alone: `detector: {noise: strip}`.
- Any numeric key but those of `compute` can be scanned by its dotted name:

```yaml
scan: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]} # the product: 4 points
scan: {zip: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]}} # in step: 2 points
scan: {table: scan.csv} # a column a name, a row a point
```

| key | kind | unit | default | allowed | what it is |
|---|---|---|---|---|---|
"""


def schema() -> str:
    """The JSON schema of the config."""
    return json.dumps(StudyConfig.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def documentation() -> str:
    """The page about the config: `config/README.md`."""
    return HEAD + "".join(f"| {' | '.join(_row(name, field))} |\n" for name, field in fields(StudyConfig).items())


def _row(name: str, field: FieldInfo) -> list[str]:
    kinds = _kinds(name)
    allowed = ", ".join(f"`{kind}`" for kind in kinds) or _allowed(field)
    words = "; ".join(f"`{kind}`: {text}" for kind, text in kinds.items()) or field.description or ""
    return [f"`{name}`", _kind(field), unit_of(name), _default(field), allowed, words]


def _kinds(name: str) -> dict[str, str]:
    """The kinds of a section with alternatives, and what each is, if the key is one that says which of them it is."""
    *path, last = name.split(".")
    section = StudyConfig
    for each in path[:-1]:
        (section,) = sections(section.model_fields[each])
    alternatives = sections(section.model_fields[path[-1]]) if last == "kind" else []
    found = [each.model_fields["kind"] for each in alternatives]
    return {field.default: field.description or "" for field in found}


def _kind(field: FieldInfo) -> str:
    kinds = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return kinds.get(field.annotation, "mapping" if "dict" in str(field.annotation) else "word")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def _allowed(field: FieldInfo) -> str:
    words = [f"`{each}`" for each in get_args(field.annotation) if isinstance(each, str)]
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{signs[key]} {_number(getattr(each, key))}" for each in field.metadata for key in signs if hasattr(each, key)
    ]
    return ", ".join(words + limits)


def _number(value: Any) -> str:
    return "2⁵³" if value == 2**53 else f"{value:g}"


if __name__ == "__main__":
    write_text(Path("config/schema.json"), schema())
    write_text(Path("config/README.md"), documentation())
