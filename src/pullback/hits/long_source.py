"""From the config to a list of hits: its columns, and the coordinate of the model that each hit belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import ConfigError
from ..models import Model
from .counts import ImportCounts
from .hits_file import check_within
from .long import HIT_VIEWS, ROLE_MOMENTUM, ROLE_SIGMA, LongFile
from .long_rows import LayerNames, LongColumns, layer_key
from .nearest import Layers
from .reading import Reading
from .recorded import RecordedSource
from .scaling import PER_METRE, ScaledName, Scaling, column_name, scalings
from .selected_columns import checked_condition


@runtime_checkable
class LongSource(RecordedSource, Protocol):
    """The config's `source` section of recorded hits in the long layout."""

    event: Sequence[str]
    layer: str
    x: str | ScaledName
    y: str | ScaledName
    layers: Sequence[str]
    several: str


def long_source_of(
    section: LongSource,
    model: Model,
    sha256: str = "",
    planned: ImportCounts | None = None,
    reading: Reading | None = None,
) -> LongFile:
    """The file of the config's `source` section in the long layout, for a model.

    `sha256` is that of the file when the study was planned, `planned` are its counts, and `reading` what was found.

    Raises
    ------
    ConfigError
        The section lacks a column, or names what the model does not have; or coordinates of the model can't be told
        apart by view and layer.

    """
    check_within(section)
    cells = _cells(model)
    views = [view for view in HIT_VIEWS if any(view == each for each, _ in cells)]
    given: dict[str, str | ScaledName] = {view: getattr(section, view) for view in HIT_VIEWS if getattr(section, view)}
    for view in HIT_VIEWS:
        if view in views and view not in given:
            raise ConfigError(f"config: source.{view}: is missing; it names the column with the hits in view {view}")
        if view in given and view not in views:
            raise ConfigError(f"config: source.{view}: the model measures no {view}; leave it out")
    for view in section.sigma:
        if view not in views:
            raise ConfigError(f"config: source.sigma: {view!r} is no view of the model; it has {', '.join(views)}")
    given |= {ROLE_SIGMA + view: column for view, column in section.sigma.items()}
    scaling, lengths = scalings(given, section.unit), _lengths(given, section.unit)
    columns = {role: column_name(each) for role, each in given.items()}
    columns |= {ROLE_MOMENTUM: section.momentum_column} if section.momentum_column else {}
    count = max(model.layers) + 1
    return LongFile(
        section.file,
        coordinates=tuple(f"{view}@{layer}" for view, layer in cells),
        sigma={i: f"{ROLE_SIGMA}{view}@{layer}" for i, (view, layer) in enumerate(cells) if view in section.sigma},
        covariance={},
        unit=section.unit,
        tree=section.tree or section.table,
        sha256=sha256,
        scaling={i: scaling[view] for i, (view, _) in enumerate(cells) if view in scaling},
        sigma_scaling={
            i: scaling[ROLE_SIGMA + view] for i, (view, _) in enumerate(cells) if ROLE_SIGMA + view in scaling
        },
        condition=checked_condition(section.condition, [*lengths]),
        lengths=lengths,
        keep=tuple(section.keep),
        reading=reading or Reading(),
        momentum=ROLE_MOMENTUM if section.momentum_column else "",
        table=LongColumns(tuple(section.event), section.layer, tuple(columns.values()), len(views)),
        roles=tuple(columns),
        names=_layer_names(section.layers, count),
        several=section.several,
        geometry=_geometry(model, count) if section.several == "nearest" else None,
        planned=planned,
        role_scaling=scaling,
    )


def _lengths(given: Mapping[str, str | ScaledName], unit: str) -> dict[str, tuple[str, Scaling]]:
    """The lengths that a condition may name: the columns of positions and uncertainties, and x and y."""
    scaling, plain = scalings(given, unit), Scaling(PER_METRE[unit])
    found = {role: (column_name(each), scaling.get(role, plain)) for role, each in given.items()}
    by_column = {length[0]: length for length in reversed(found.values())}
    return by_column | {view: found[view] for view in HIT_VIEWS if view in found}


def _cells(model: Model) -> list[tuple[str, int]]:
    """View and layer of each coordinate of a model."""
    cells: list[tuple[str, int]] = []
    layer_of: dict[str, int] = {}
    for coordinate, layer in zip(model.coordinates, model.layers, strict=True):
        name = coordinate.name
        if not (match := re.fullmatch(r"([xy])(\d*|_\w*)", name)):
            raise ConfigError(
                f"config: source.layout: long needs coordinates x… and y… of layers, and the model has {name!r}; "
                f"call it x_{name} or y_{name}, or use layout: wide"
            )
        if (match[1], layer) in cells:
            raise ConfigError(
                f"config: source.layout: long: {name!r} is a second coordinate of view {match[1]} in layer {layer}; "
                f"use layout: wide"
            )
        if match[2] and layer_of.setdefault(match[2], layer) != layer:
            raise ConfigError(
                f"config: source.layout: long: x{match[2]} and y{match[2]} are in different layers of the model; give "
                f"the coordinates their layer, such as {{name: {name}, layer: 0}}"
            )
        cells.append((match[1], layer))
    return cells


def _layer_names(listed: Sequence[str], count: int) -> LayerNames:
    """The layers of the file in the order of those of the model: as listed, or counted from 0."""
    if not listed:
        return LayerNames(tuple(map(str, range(count))), listed=False)
    if len(listed) != count:
        raise ConfigError(f"config: source.layers: has {len(listed)} values, but the model has {count} layers")
    for index, name in enumerate(listed):
        if layer_key(name) in map(layer_key, listed[:index]):
            raise ConfigError(f"config: source.layers: {name!r} is listed twice")
    return LayerNames(tuple(listed), listed=True)


def _geometry(model: Model, count: int) -> Layers:
    """Heights and lines of the layers of a model."""
    if not model.heights:
        raise ConfigError(
            "config: source.several: nearest needs the heights of the layers, which this model does not have; "
            "use drop or refuse"
        )
    heights, lines = np.zeros(count), np.zeros(count, dtype=int)
    heights[[*model.layers]] = model.heights
    trackers = list(dict.fromkeys(line.z for line in model.lines))
    for line in model.lines:
        lines[[model.layers[coordinate] for coordinate in line.coordinates]] = trackers.index(line.z)
    return Layers(heights, lines)
