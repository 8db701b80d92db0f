"""A config to start from, for a file of hits: what the file tells, and marks where only its user knows."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from ..errors import one_line
from ..hits.column_words import name_words
from ..hits.contents import Contents, FileTable, flattened, is_known
from ..hits.guards import suffix_of
from ..hits.guess import Guess, base_name, column_values, guess, long_guess, wide_guess
from ..hits.reading import kept_name
from .fill_in import FILL_IN
from .model_base import RESULTS
from .presets import PRESETS, Preset, fitting_preset, preset_event
from .units import SPELLINGS

FILE_UNITS = ("m", "cm", "mm", "um")
"""Units of a file's positions."""

MOST_LAYERS = 32
"""Layers of the largest model."""

EXAMPLE_STEP = 100
"""Distance of the layers in an example, mm."""

GAP = 2.0
"""Ratio of the middle distance of layers to the other distances above which they are two trackers."""


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
    lines += ["", *_detector(found, unit), "", *_model(found, unit)]
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
    units = _stated(found)
    unit = SPELLINGS.get(units[0], units[0]) if len(units) == 1 else ""
    return unit if unit in FILE_UNITS else ""


def _stated(found: Guess) -> list[str]:
    """The units that the file states for the positions, without repetition; empty where it states none."""
    names = (base_name(found.table, name) for name in (*found.x, *found.y))
    return list(dict.fromkeys(found.table.column(name).unit for name in names))


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
        says = ", ".join(one_line(each) for each in _stated(found) if each)
        note = f"unit of the positions: {', '.join(FILE_UNITS)}{says and f'; the file says {says}'}"
        yield f"unit: {unit}" if unit else f"unit: {FILL_IN}  # {note}"
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
            yield f"event: {FILL_IN}  # the column, or the columns, that number the events"
        for key, value in named.items():
            note = "  # guessed, by its few values" if key == "layer" and found.by_values else ""
            if key == "x" and "strip" in name_words(str(value)):
                value, note = {"column": value, "scale": FILL_IN}, "  # the pitch of the strips, such as 80 um"
            if value:
                yield f"{key}: {_flow(value)}{note}"
    sigma = {"x": found.sigma_x, "y": found.sigma_y}
    if any(sigma.values()):
        yield f"sigma: {_flow({view: names[0] for view, names in sigma.items() if names})}"
    if found.covariance:
        yield f"covariance: {_flow(dict(found.covariance))}  # guessed, in the square of the unit"
    yield "# the layers in the first rows, in the order of model.z; check"
    yield f"layers: {_flow(list(found.layers))}"
    yield "several: refuse  # what to do with two hits of a muon in a layer; or drop, or nearest"


def _detector(found: Guess, unit: str) -> list[str]:
    """The lines of `detector`: σ from the file, of hits that have none there, or that of all hits, which it lacks."""
    sigma = median_sigma(found)
    if sigma is None:
        how = 'resolution of the hits, such as 0.1 mm, or by view and layer: {x: "[72, 72] um", y: 14.4 um}'
        return ["detector:", f"  sigma: {FILL_IN}  # {how}"]
    return [
        "detector:",
        f"  sigma: {sigma:.2g} {unit or FILL_IN}  # guessed, of hits without one in the file: the median there",
    ]


def median_sigma(found: Guess) -> float | None:
    """The median of the uncertainties in the first rows, in the unit of the file; None if a view has none."""
    of_views = [_sigmas(found, "x", found.sigma_x), *([_sigmas(found, "y", found.sigma_y)] if found.y else [])]
    return median(itertools.chain.from_iterable(of_views)) if all(of_views) else None


def _sigmas(found: Guess, view: str, names: Sequence[str]) -> list[float]:
    """The uncertainties of hits in a view in the first rows, from their columns or from that of variances."""
    variance = found.covariance.get(f"{view},{view}", "")
    values = flattened([column_values(found.table, name) for name in names or filter(None, [variance])])
    known = [value for value in values if is_known(value) and value > 0]
    return known if names else [math.sqrt(value) for value in known]


def _model(found: Guess, unit: str) -> list[str]:
    """The lines of `model`."""
    if found.count == 1:
        return [
            "model:",
            "  name: one_hit",
            f"  dz: {FILL_IN}  # height of the muons' origin above the layer, such as 1 m",
        ]
    middle = _two_trackers(found)
    if not middle:
        such = [EXAMPLE_STEP * layer for layer in range(found.count)]
        return ["model:", f"  name: {'track3d' if found.y else 'track'}", f"  z: {_heights(found, unit, 0, such)}"]
    reason = "their names" if found.upper else "a gap between the layers"
    upper, lower = ([EXAMPLE_STEP * (layer + 2) for layer in range(n)] for n in (middle, found.count - middle))
    return [
        "model:",
        f"  name: scatter  # guessed: two trackers, by {reason}; or track3d with z, if nothing is between them",
        f"  z_upper: {_heights(found, unit, 0, upper[::-1])}",
        f"  z_lower: {_heights(found, unit, middle, [-z for z in lower])}",
    ]


def _heights(found: Guess, unit: str, start: int, such: Sequence[int]) -> str:
    """The heights of the layers from `start` on, or what to write in place of them, such as these, mm."""
    layers = slice(start, start + len(such))
    if not found.heights:
        names = ", ".join(one_line(str(each)) for each in (found.layers if found.layer else found.x)[layers])
        return f'{FILL_IN}  # heights of {names}, such as "{[*such]} mm"'
    note = "from the file" if found.level else "guessed: medians of the first rows"
    heights = [float(f"{height:.9g}") for height in found.heights[layers]]
    return f"{_lengths(heights, unit or FILL_IN)}  # {note}"


def _two_trackers(found: Guess) -> int:
    """The number of layers of the first of two trackers of at least two layers, by names or by a gap; otherwise 0.

    The first tracker must be the upper one, since the model's coordinates begin with it.
    """
    if found.upper:
        return found.upper if found.y else 0
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
