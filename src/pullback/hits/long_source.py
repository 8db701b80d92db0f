"""From the config to a list of hits: its columns, and the coordinate of the model that each hit belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import ConfigError
from ..models import Model
from .counts import ImportCounts
from .error_columns import ErrorColumn, error_columns
from .hits_file import check_within
from .long import HIT_VIEWS, ROLE_COVARIANCE, ROLE_HEIGHT, ROLE_MOMENTUM, ROLE_SIGMA, LongFile, in_layer
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
    errors = error_columns(section, views, "view")
    scaling = scalings(given, section.unit)
    lengths = _lengths(given, scaling, errors.of_one, section)
    columns = {view: column_name(each) for view, each in given.items()}
    columns |= {ROLE_SIGMA + view: each.column for view, each in errors.of_one.items()}
    columns |= dict(zip([ROLE_COVARIANCE], errors.of_two.values(), strict=False))
    columns |= dict(zip([ROLE_HEIGHT], section.z, strict=False))
    columns |= {ROLE_MOMENTUM: section.momentum_column} if section.momentum_column else {}
    count = max(model.layers) + 1
    return LongFile(
        section.file,
        coordinates=tuple(in_layer(view, layer) for view, layer in cells),
        sigma={
            i: errors.of_one[view]._replace(column=in_layer(ROLE_SIGMA + view, layer))
            for i, (view, layer) in enumerate(cells)
            if view in errors.of_one
        },
        covariance=_covariances(cells) if errors.of_two else {},
        unit=section.unit,
        tree=section.tree or section.table,
        sha256=sha256,
        scaling={i: scaling[view] for i, (view, _) in enumerate(cells) if view in scaling},
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
        view_scaling=scaling,
        view_sigma=errors.of_one,
        z=tuple(in_layer(ROLE_HEIGHT, layer) for layer in range(count) if section.z),
    )


def _lengths(
    given: Mapping[str, str | ScaledName],
    scaling: Mapping[str, Scaling],
    sigma: Mapping[str, ErrorColumn],
    section: LongSource,
) -> dict[str, tuple[str, Scaling]]:
    """The lengths that a condition may name: the columns of positions, heights and uncertainties, and x, y and z."""
    plain = Scaling(PER_METRE[section.unit])
    found = {view: (column_name(each), scaling.get(view, plain)) for view, each in given.items()}
    found |= {name: (column, plain) for name, column in zip([ROLE_HEIGHT], section.z, strict=False)}
    errors = {each.column: (each.column, each.scaling) for each in sigma.values() if not each.squared}
    return errors | {length[0]: length for length in reversed(found.values())} | found


def _covariances(cells: Sequence[tuple[str, int]]) -> dict[tuple[int, int], str]:
    """The covariance of both views of each layer that has them, by the indices of the coordinates."""
    x, y = ({layer: i for i, (each, layer) in enumerate(cells) if each == view} for view in HIT_VIEWS)
    both = [layer for layer in x if layer in y]
    return {(min(x[i], y[i]), max(x[i], y[i])): in_layer(ROLE_COVARIANCE, i) for i in both}


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
