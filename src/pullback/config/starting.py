"""A config to start from, for a file of hits: what the file tells, and placeholders where only its user knows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..hits.contents import Contents, FileTable
from ..hits.guards import suffix_of
from ..hits.guess import Guess, base_name, guess, long_guess, wide_guess
from ..hits.reading import kept_name
from .model_base import RESULTS
from .presets import PRESETS, Preset, fitting_preset, preset_event
from .units import SPELLINGS

FILE_UNITS = ("m", "cm", "mm", "um")
"""Units of a file's positions."""

MOST_LAYERS = 32
"""Layers of the largest model."""

GAP = 2.0
"""Ratio of the middle distance of layers to the other distances above which they are two trackers."""

FILL_IN = "fill in:"


def likely_hits(contents: Contents) -> tuple[str, Guess | None]:
    """The preset that fits one of the tables, or none, and the guess of its columns; the table with most layers."""
    suffix = suffix_of(contents.file)
    found = [(name, _of_preset(name, each)) for each in contents.tables if (name := _fitting(suffix, each))]
    found += [("", each) for each in map(guess, contents.tables) if each]
    return found[0] if found and found[0][0] else max(found, key=lambda pair: _size(pair[1]), default=("", None))


def starting_config(contents: Contents, preset: str, found: Guess) -> str:
    """The YAML of a config to start from."""
    unit = _unit(preset, found)
    lines = [f"study: {_study(contents.file)}", "", "source:", "  kind: recorded", f"  file: {_flow(contents.file)}"]
    lines += [f"  {line}" for line in _source(contents, preset, found, unit)]
    lines += ["", *_detector(found), "", *_model(found, unit or "mm")]
    return "\n".join(lines) + "\n"


def _fitting(suffix: str, table: FileTable) -> str:
    return fitting_preset(suffix, table.name, table.names)


def _size(found: Guess | None) -> tuple[int, int]:
    return (found.count, found.table.rows) if found else (0, 0)


def _of_preset(name: str, table: FileTable) -> Guess:
    """The columns of a preset's format."""
    preset = PRESETS[name]
    if preset.source.get("layout") == "long":
        keys = {key: preset.source[key] for key in ("layer", "x", "y")}
        return long_guess(table, z=preset.z, event=preset_event(preset, table.names), **keys)
    x = _layers(preset, "x", table)
    y, z = ([each.format(layer) for layer in x] for each in (preset.columns["y"], preset.z))
    complete = preset.z and {*z} <= {*table.names}
    return wide_guess(table, [preset.columns["x"].format(layer) for layer in x], y, z if complete else ())


def _layers(preset: Preset, view: str, table: FileTable) -> list[int]:
    """The layers of which a table has the column of a view, from 0 without a gap."""
    layers = 0
    while preset.columns[view].format(layers) in table.names:
        layers += 1
    return [*range(layers)]


def _unit(preset: str, found: Guess) -> str:
    """The unit of the positions; empty if the file does not tell."""
    if preset:
        return str(PRESETS[preset].source["unit"])
    stated = {found.table.column(base_name(found.table, name)).unit for name in (*found.x, *found.y)}
    unit = stated.pop() if len(stated) == 1 else ""
    unit = SPELLINGS.get(unit, unit)
    return unit if unit in FILE_UNITS else ""


def _study(file: str) -> str:
    """A name for the study, from that of the file."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(file).name.split(".")[0]).strip("._-")
    return _flow(stem[:100] or "my_study")


def _source(contents: Contents, preset: str, found: Guess, unit: str) -> Iterator[str]:
    """The lines of `source` after the file."""
    if preset:
        yield f"preset: {preset}"
    else:
        if contents.key and found.table.name:
            yield f"{contents.key}: {_flow(found.table.name)}"
        yield f"unit: {unit}" if unit else f"unit: mm  # {FILL_IN} unit of the positions: {', '.join(FILE_UNITS)}"
    yield from _long_keys(preset, found) if found.layer else _wide_keys(preset, found)


def _wide_keys(preset: str, found: Guess) -> Iterator[str]:
    views = {"x": found.x, "y": found.y}
    if not preset:
        for key, of_view in (("columns", views), ("sigma", {"x": found.sigma_x, "y": found.sigma_y})):
            named = {_coordinate(view, i, found): name for view in of_view for i, name in enumerate(of_view[view])}
            if any(coordinate != name for coordinate, name in named.items()):
                yield f"{key}: {_flow(named)}"
    if kept := [name for name in found.event if kept_name(name) not in RESULTS]:
        yield f"keep: {_flow(kept)}"
    for column, line in PRESETS[preset].suggested.items() if preset else ():
        if column in found.table.names:
            yield f"# {line}"
    if found.z and not found.level:
        yield f"z: {_flow(list(found.z))}  # heights row by row, which vary in the first rows"


def _coordinate(view: str, layer: int, found: Guess) -> str:
    return view if len(found.x) == 1 else f"{view}{layer}"


def _long_keys(preset: str, found: Guess) -> Iterator[str]:
    event = found.event[0] if len(found.event) == 1 else list(found.event)
    if preset and event != PRESETS[preset].source["event"]:
        yield f"event: {_flow(event)}"
    elif not preset:
        named: dict[str, Any] = {"layout": "long", "event": event, "layer": found.layer, "x": found.x[0]}
        named |= {"y": found.y[0]} if found.y else {}
        if not (event or found.table.column(found.layer).jagged):
            yield f"event:  # {FILL_IN} the column, or the columns, that number the events"
        for key, value in named.items():
            if value:
                yield f"{key}: {_flow(value)}"
    sigma = {"x": found.sigma_x, "y": found.sigma_y}
    if any(sigma.values()):
        yield f"sigma: {_flow({view: names[0] for view, names in sigma.items() if names})}"
    yield "# the layers in the first rows, in the order of model.z; check"
    yield f"layers: {_flow(list(found.layers))}"
    yield "several: refuse  # what to do with two hits of a muon in a layer; or drop, or nearest"


def _detector(found: Guess) -> list[str]:
    note = f'{FILL_IN} resolution, one for all, or by view and layer: {{x: "[72, 72] um", y: 14.4 um}}'
    return [
        "detector:",
        f"  sigma: 0.1 mm  # {'of hits without one in the file' if found.sigma_x or found.sigma_y else note}",
    ]


def _model(found: Guess, unit: str) -> list[str]:
    """The lines of `model`."""
    if found.count == 1:
        return ["model:", "  name: one_hit", f"  dz: 1 m  # {FILL_IN} height of the muons' origin above the layer"]
    if not found.heights:
        heights, unit, note = [100.0 * layer for layer in range(found.count)], "mm", f"{FILL_IN} heights of the layers"
    else:
        heights = [float(f"{height:.9g}") for height in found.heights]
        note = "from the file" if found.level else "medians of the first rows; check"
    if middle := _two_trackers(found):
        lower, upper = sorted((heights[:middle], heights[middle:]), key=min)
        return [
            "model:",
            "  name: scatter  # two trackers, since the layers have a gap; or track3d",
            f"  z_upper: {_lengths(upper, unit)}  # {note}",
            f"  z_lower: {_lengths(lower, unit)}",
        ]
    return ["model:", f"  name: {'track3d' if found.y else 'track'}", f"  z: {_lengths(heights, unit)}  # {note}"]


def _two_trackers(found: Guess) -> int:
    """The number of layers of the first tracker if a gap in the middle makes two of at least two layers; otherwise 0.

    The first tracker must be the upper one, since the model's coordinates begin with it.
    """
    middle, heights = found.count // 2, found.heights
    if (
        found.count < 4
        or found.count % 2
        or not (found.y and heights)
        or min(heights[:middle]) <= max(heights[middle:])
    ):
        return 0
    gaps = [abs(b - a) for a, b in itertools.pairwise(heights)]
    gap = gaps.pop(middle - 1)
    return middle if gap > GAP * max(gaps) else 0


def _lengths(values: Sequence[float], unit: str) -> str:
    """Lengths with their unit, as text, which YAML needs for a list with a unit."""
    return f'"[{", ".join(f"{value:g}" if value == float(f"{value:g}") else repr(value) for value in values)}] {unit}"'


def _flow(value: Any) -> str:
    """A value in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()
