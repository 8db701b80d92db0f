"""What to write in the config where the data say that a layer is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..models import Model


def shift_mend(model: Model, offsets: Mapping[str, float], aligned: bool) -> str:
    """What mends coordinates whose hits are too far along their axis, by offsets in m.

    `alignment.x` is added to hits, so it has the opposite sign. `aligned` is whether the config has numbers already.
    """
    if not model.lines:
        return ""
    if aligned:
        return f": {', '.join(_changes(model, offsets))}"
    return f": write `{_line(model, offsets)}`"


def _changes(model: Model, offsets: Mapping[str, float]) -> Iterator[str]:
    for name, offset in offsets.items():
        by, how = _micrometres(abs(offset)), "smaller" if offset > 0 else "larger"
        yield f"alignment.{name[0]}[{_layer(model, name)}] must be {by} um {how}"


def _line(model: Model, offsets: Mapping[str, float]) -> str:
    """The line of the config: `alignment: {x: "[0, -203.6, 0] um"}`."""
    values = {name[0]: ["0"] * (max(model.layers) + 1) for name in offsets}
    for name, offset in offsets.items():
        values[name[0]][_layer(model, name)] = _micrometres(-offset)
    views = (f'{view}: "[{", ".join(each)}] um"' for view, each in values.items())
    return f"alignment: {{{', '.join(views)}}}"


def height_mend(model: Model, name: str, change: float) -> str:
    """The key of the height of a coordinate's layer, and by what to change it, in m."""
    index = _index(model, name)
    line = next((each for each in model.lines if index in each.coordinates), None)
    if line is None:
        return ""
    first = min(model.layers[each] for each in line.coordinates)
    key = f"model.{line.z}[{model.layers[index] - first}]"
    return f": {'raise' if change > 0 else 'lower'} {key} by {1e3 * abs(change):.4g} mm"


def _layer(model: Model, name: str) -> int:
    return model.layers[_index(model, name)]


def _index(model: Model, name: str) -> int:
    return next(index for index, each in enumerate(model.coordinates) if each.name == name)


def _micrometres(length: float) -> str:
    return f"{1e6 * length:.4g}"
