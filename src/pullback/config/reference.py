"""The config's JSON schema and, made from it, its documentation: `make docs` writes both."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigError, shown
from ..files import write_text
from .model_schema import MODELS
from .schema import StudyConfig
from .units import DECIMAL

HEAD = """# The config

This page is made by `make docs`, together with `schema.json`, which editors read for completion and checks.

- Studies in this folder: `config.yaml` (default), `exercise.yaml` (the bare exercise without a scan), `recorded.yaml`
  (ten recorded hits), `track.yaml` (a tracker of four layers, with systematics and a target), `scatter.yaml` (muon
  scattering tomography), `track3d.yaml` (a telescope in space, in cm and µm), `own_model.yaml` (a user's model),
  `recorded_root.yaml` (hits from a ROOT tree) and `billion.yaml` (a billion muons with one hit each).
- Run another file with `pullback run my.yaml`, or `snakemake --cores 8 --configfile my.yaml`. Keys that it omits have
  the defaults below. `pullback keys detector` prints those with `detector` in their names.
  With several files, later ones override earlier ones: `--configfile config/config.yaml my_changes.yaml`.
- Every mistake is refused before any job starts, in one line that names the key.
- Values that YAML would read differently than written are refused with file and line: duplicate keys, `1:30` (90) and
  `010` (8). YAML reads `1e5` as text: write `100000`, `100_000` or `1.0e+5`. Put text such as `yes` or `2024` in
  quotes.
- The noise can be given by its kind alone, `detector: {noise: strip}`, and a coordinate of your own model by its name
  alone, `coordinates: [x0, x1]`.
- Lengths, angles, momenta and densities may carry a unit: `dz: 150 cm`, `theta0: 0.5 mrad`, `momentum: 3 GeV`,
  `z: [0 mm, 19.5 mm]` or, in quotes, `z: "[0, 19.5] mm"`. A number without one is in the unit of the table. Scans,
  systematics and targets may carry the unit of what they are about. A slope may be given as its angle, of which it is
  the tangent: `spread: 5 mrad`. The wanted σ of a slope may be given as that of the angle, which is the same for a
  track along z: `target: {sigma: {slope: 1 mrad}}` is 0.001.
- Any numeric key except those of `systematics`, `target` and `compute` can be scanned by its dotted name; in a list,
  one number, `model.z[1]`; in your own model, its parameters, `model.<parameter>`.

```yaml
scan: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]} # the product: 4 points
scan: {zip: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]}} # in parallel: 2 points
scan: {zip: {detector.resolution: [50, 100], model.dz: [1.0, 1.5]}, seed: [1, 2, 3]} # their product: 6 points
scan: {"model.z[1]": [0.4, 0.5]} # within braces, quote names with brackets
scan: {table: scan.csv} # one column per name, one row per point
```

In a scan of several lists, the last varies fastest; the lists of `zip` and the columns of a table count as one. The
columns of a table are separated by commas, semicolons or tabs, and its cells may carry units: `50 mm`.

A telescope of five layers, each of which measures x to 150 µm and y to 300 µm:

```yaml
study: my_telescope
source: {muons: 50000, x_min: -20 cm, x_max: 20 cm, cosmic: {momentum: 4 GeV}}
detector:
  sigma: {x: 150 um, y: 300 um} # of a hit; a list has one number per layer
  efficiency: 0.96
model:
  name: track3d # track: one view only
  z: "[0, 12, 25, 61, 80] cm"
  material: 0.5 %X0 # of each layer; a list has one number per layer
```

The column *only for* lists the models, noises or sources that accept a key; with others, the key is refused.

| key | only for | type | unit | default | allowed | meaning |
|---|---|---|---|---|---|---|
"""


Schema = dict[str, Any]

NONSENSE = 1e5
"""Size from which on a limit of a number only keeps nonsense out, and its inverse."""


def config_schema() -> str:
    """The JSON schema of the config."""
    schema = _with_units(StudyConfig.model_json_schema())
    target = schema["$defs"]["Target"]  # `sigma_theta: 0.002` may stand for `sigma: {theta: 0.002}`
    target["required"].remove("sigma")
    target["patternProperties"] = {"^sigma_.": {"anyOf": [{"type": "number"}, UNIT_AFTER_NUMBER]}}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


UNIT_AFTER_NUMBER = {"type": "string", "pattern": r"[\d.]\]?\s*([^\d\s.\]]|1/)"}
"""Schema of a number with a unit, or of a list of numbers with one."""


def _with_units(node: Any, within: bool = False) -> Any:
    """A schema that also allows text with a unit wherever a number has one; `within` such a number or list."""
    if isinstance(node, list):
        return [_with_units(each, within) for each in node]
    if not isinstance(node, dict):
        return node
    united = within or (isinstance(unit := node.get("unit"), str) and unit in DECIMAL)
    # Text with a unit may stand for a number or for a list, so that it would not be one of two.
    renamed = {"anyOf" if united and key == "oneOf" else key: value for key, value in node.items()}
    inner = {
        key: _with_units(value, united and key in ("anyOf", "items", "additionalProperties"))
        for key, value in renamed.items()
    }
    if not united or "anyOf" in inner or inner.get("type") not in ("number", "array"):
        return inner
    kept = {key: inner.pop(key) for key in ("default", "description", "title", "unit") if key in inner}
    return {**kept, "anyOf": [inner, UNIT_AFTER_NUMBER]}


def documentation() -> str:
    """The page about the config: `config/README.md`."""
    whole = StudyConfig.model_json_schema()
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(_inlined(whole, whole["$defs"])))


def keys_in_words(pattern: str = "") -> str:
    """The keys that a pattern is in, with unit, default and limits, and below each of them what it means.

    Raises
    ------
    ConfigError
        No key has the pattern in its name.

    """
    whole = StudyConfig.model_json_schema()
    rows = [row for row in _rows(_inlined(whole, whole["$defs"])) if pattern.lower() in row[0].lower().replace("`", "")]
    if not rows:
        raise ConfigError(f"keys: none has {shown(pattern)} in its name; pullback keys lists all")
    return "\n".join(_in_words(*row) for row in rows)


def _in_words(name: str, goes: str, kind: str, unit: str, default: str, allowed: str, about: str) -> str:
    """A row of the table as lines of plain text."""
    united = f"{kind}, {unit}" if unit else kind
    said = [
        default if default == "must be given" else f"default {default}",
        allowed,
        f"only for {goes}" if goes else "",
    ]
    about = textwrap.fill(about, 100, initial_indent="    ", subsequent_indent="    ")
    return f"{name}  ({united}; {'; '.join(filter(None, said))})\n{about}".replace("`", "")


def _inlined(section: Schema, definitions: Schema) -> Schema:
    """A schema with the definitions that it refers to in their places."""

    def replace(node: Schema) -> Schema:
        return _inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions) | node if "$ref" in node else node

    return json.loads(json.dumps(section), object_hook=replace)


def _rows(section: Schema, prefix: str = "", where: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The rows of a section's keys; `where` says which kinds, outside of the section, they go with."""
    for name, node in section["properties"].items():
        models = tuple(kind for kind, model in MODELS.items() if prefix == "source." and name in model.beside)
        goes = models or node.get("where") or where
        sections = [option for option in _options(node.get("items", node)) if "properties" in option]
        if sections:
            many = "[]" if "items" in node else ""
            yield from _rows(_merged(sections), f"{prefix}{name}{many}.", goes)
        else:
            yield _row(prefix + name, node, goes, name in section.get("required", ()))


def _options(node: Schema) -> list[Schema]:
    """The alternative schemas of a value, without that of null."""
    options = [option for inner in node.get("anyOf") or node.get("oneOf") or () for option in _options(inner)]
    return options or ([] if node.get("type") == "null" else [node])


def _merged(sections: list[Schema]) -> Schema:
    """One section with the keys of all alternatives: first the key that selects one, then the others."""
    if len(sections) == 1:
        return sections[0]
    which = next(name for name, node in sections[0]["properties"].items() if "const" in node)
    kinds = {section["properties"][which]["const"]: section for section in sections}
    words = "; ".join(f"`{kind}`: {section['properties'][which]['description']}" for kind, section in kinds.items())
    properties = {which: {"enum": list(kinds), "default": next(iter(kinds)), "description": words}}
    for section in sections:
        for name, node in section["properties"].items():
            having = tuple(kind for kind, other in kinds.items() if name in other["properties"])
            properties.setdefault(name, {**node, "where": having} if len(having) < len(kinds) else node)
    required = [name for section in sections for name in section.get("required", ())]
    return {"properties": properties, "required": required}


def _row(name: str, node: Schema, where: tuple[str, ...], required: bool) -> list[str]:
    goes = ", ".join(f"`{kind}`" for kind in where)
    given = "none" if node.get("default") is None else f"`{json.dumps(node['default'])}`"
    default = "must be given" if required else given
    return [f"`{name}`", goes, _kind(node), node.get("unit", ""), default, _allowed(node), node.get("description", "")]


def _kind(node: Schema) -> str:
    """What a value is, in words."""
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    words |= {"object": "mapping", "array": "list"}
    return " or ".join("word" if "enum" in option else words[option["type"]] for option in _options(node))


def _allowed(node: Schema) -> str:
    """The allowed words, or the limits of a number, of the numbers of a list, and of their count."""
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    found: dict[str, None] = {}  # in order, without duplicates
    for option in _options(node):
        of_numbers = all(each.get("type") in ("number", "integer") for each in _options(option.get("items", {})))
        counts = {"characters": "Length", "numbers" if of_numbers else "entries": "Items", "keys": "Properties"}
        found |= dict.fromkeys(f"`{word}`" for word in option.get("enum", ()))
        for noun, counted in counts.items():
            least, most = option.get(f"min{counted}", 1), option.get(f"max{counted}")
            if most == least:
                found[f"exactly {most} {noun if most > 1 else noun.removesuffix('s')}"] = None
                continue
            if least > 1:
                found[f"at least {least} {noun}"] = None
            if most is not None:
                found[f"at most {most} {noun}"] = None
        for limited in (option, option.get("items", {})):
            limits = {sign: limited[key] for key, sign in signs.items() if key in limited}
            of_type = limited.get("type")
            found |= dict.fromkeys(limit for each in limits.items() if (limit := _limit(*each, of_type)))
    return ", ".join(found)


def _limit(sign: str, value: float, of_type: str | None) -> str:
    """A limit of a number in words; empty for one that only keeps nonsense out."""
    if of_type == "number" and abs(value) >= NONSENSE:
        return ""
    if of_type == "number" and 0 < value <= 1 / NONSENSE:
        return "> 0"
    return f"{sign} {'2⁵³' if value == 2**53 else f'{value:g}'}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pullback.config.reference", description=__doc__)
    parser.add_argument("folder", type=Path, help="where schema.json and README.md are written")
    folder = parser.parse_args().folder
    write_text(folder / "schema.json", config_schema())
    write_text(folder / "README.md", documentation())
