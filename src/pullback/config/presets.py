"""Presets: the keys of `source` that read a format which others document in public, by name.

Each was checked against the code that writes the format:

- `testbeam_analysis`: SiLab-Bonn/beam_telescope_analysis. `track_analysis.find_tracks` writes the table
  `TrackCandidates`; `telescope/dut.py` gives lengths in µm. Positions are local to each plane, before alignment, so
  that the planes' heights are not in the file (`z_dut_…` is 0, or a placeholder), and errors are often 0.
- `muograph`: zahraadaher/muograph and MaximeLagrange/muograph, `muograph/hits/hits.py`. One row per muon, columns
  `X0, Y0, Z0, X1, …` by label of the panel, in mm unless its `input_unit` says otherwise.
- `acts_hits`: acts-project/acts, `Examples/Io/Csv/src/CsvOutputData.hpp` (`SimHitData`) and `CsvSimHitWriter.cpp`. One
  row per hit, global positions in mm, one file per event, sorted by surface. Hits are true, before digitisation. Later
  versions write the particle in five columns, which `event` must list: see `ACTS_PARTICLE`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import shown
from .base import nearest
from .model_schema import MODELS, AnyModel, OneHit, Scatter, Track, Track3d
from .own_schema import Own

COORDINATE = re.compile(r"([xy])(\d+)")
"""A coordinate by view and layer, such as x2."""

_ANY_MODEL: TypeAdapter[OneHit | Track | Track3d | Scatter | Own] = TypeAdapter(AnyModel)


@dataclass(frozen=True)
class Preset:
    """Defaults of `source` for a format.

    Attributes
    ----------
    source : mapping
        Values by key of `source`.
    columns : mapping of str to str
        Column by view, x or y, with `{}` for the number of the layer; of formats with one row per muon.
    needs : tuple of str
        Columns that every file of the format has.
    events : tuple of tuple of str
        Columns that number the muons together, of formats with one row per hit: a file has those of one of the tuples.
    suggested : mapping of str to str
        What may be of use in a file with a column: a line of `source`.
    z : str
        Column of the height, as in `columns`, or of each hit; empty if the file does not hold it.
    suffixes : tuple of str
        Ends of the names of such files.
    lengths : Pattern
        Names of the columns that are in the unit of `source`.
    """

    source: Mapping[str, Any]
    needs: tuple[str, ...]
    suffixes: tuple[str, ...]
    lengths: re.Pattern[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    events: tuple[tuple[str, ...], ...] = ()
    suggested: Mapping[str, str] = field(default_factory=dict)
    z: str = ""


CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")

ACTS_PARTICLE = tuple(f"particle_id_{part}" for part in ("pv", "sv", "part", "gen", "subpart"))
"""Columns of a particle's number in files of later versions of ACTS: vertices, particle, generation, subparticle."""

PRESETS = {
    "testbeam_analysis": Preset(
        source={"table": "TrackCandidates", "unit": "um"},
        needs=("event_number", "x_dut_0", "y_dut_0", "x_dut_1", "y_dut_1"),
        suffixes=(".h5", ".hdf5"),
        lengths=re.compile(r"[xyz](err)?_dut_\d+"),
        columns={"x": "x_dut_{}", "y": "y_dut_{}"},
        suggested={"n_tracks": "select: n_tracks == 1  # events with one candidate only"},
    ),
    "muograph": Preset(
        source={"unit": "mm"},
        needs=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        suffixes=CSV_SUFFIXES,
        lengths=re.compile(r"[XYZ]\d+"),
        columns={"x": "X{}", "y": "Y{}"},
        z="Z{}",
    ),
    "acts_hits": Preset(
        source={"layout": "long", "event": "particle_id", "layer": "geometry_id", "x": "tx", "y": "ty", "unit": "mm"},
        needs=("geometry_id", "tx", "ty", "tz"),
        suffixes=CSV_SUFFIXES,
        lengths=re.compile("t[xyz]"),
        events=(("particle_id",), ACTS_PARTICLE),
        z="tz",
    ),
}
"""The presets by name."""

NO_TRACKS = {
    "acts_measurements": "an ACTS measurement file holds positions local to each surface, and no particle; join it "
    "with its measurement-simhit-map and hits files, or read the hits by preset acts_hits",
}
"""Formats that hold no tracks by themselves, and what to do."""


def check_preset(name: Any) -> Any:
    """Refuse the name of an unknown preset.

    Raises
    ------
    ValueError
        With the nearest name, and the list.

    """
    if not isinstance(name, str) or name in PRESETS or not name:
        return name
    if name in NO_TRACKS:
        raise ValueError(f"there is no {name}: {NO_TRACKS[name]}")
    close = nearest(name, PRESETS).partition("allowed")[0]
    raise ValueError(f"is {shown(name)}; {close and f'{close} '}presets: {', '.join(PRESETS)}")


def with_preset(source: Mapping[str, Any], coordinates: Sequence[str], *, heights: bool = False) -> dict[str, Any]:
    """A raw `source` with the values of its preset in place of it, where the source does not state others.

    Parameters
    ----------
    source : mapping
        The section as it is written; without a known preset it is returned as it is.
    coordinates : sequence of str
        The model's coordinates, such as x0, x1, y0 and y1, for the columns of a format with one row per muon.
    heights : bool
        Whether the heights of the model's layers may come from the file. They do where the format has them, unless
        the section has a key `z`, which may be empty.

    Examples
    --------
    >>> with_preset({"preset": "muograph", "file": "hits.csv", "unit": "cm"}, ["x0", "x1"])
    {'unit': 'cm', 'columns': {'x0': 'X0', 'x1': 'X1'}, 'file': 'hits.csv'}

    """
    name = source.get("preset")
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return dict(source)
    written = {key: value for key, value in source.items() if key != "preset" and value is not None}
    defaults, columns = dict(preset.source), preset_columns(preset, coordinates)
    if coordinates and not any(each.startswith("y") for each in coordinates):
        defaults.pop("y", None)
    if columns and isinstance(written.get("columns", {}), Mapping):
        written["columns"] = {**columns, **written.get("columns", {})}
    if heights and preset.z and "z" not in source and (found := _heights(preset, written.get("columns", {}))):
        defaults["z"] = found
    return {**defaults, "columns": {}, **written} if columns else {**defaults, **written}


def _heights(preset: Preset, columns: Any) -> list[str]:
    """The columns of the heights; none if the columns of a layer do not tell whose height it has."""
    if preset.source.get("layout") == "long":
        return [preset.z]
    if not isinstance(columns, Mapping):
        return []
    labels: dict[int, set[str]] = {}
    for coordinate, column in columns.items():
        if of_layer := COORDINATE.fullmatch(str(coordinate)):
            labels.setdefault(int(of_layer[2]), set()).add(_label(preset, column))
    found = [labels[layer] for layer in sorted(labels)]
    return (
        [preset.z.format(*each) for each in found] if all(len(each) == 1 and "" not in each for each in found) else []
    )


def _label(preset: Preset, column: Any) -> str:
    """The number of the layer in the name of one of the format's columns; empty for another column."""
    name = column.get("column") if isinstance(column, Mapping) else column
    matches = (re.fullmatch(each.replace("{}", r"(\d+)"), str(name)) for each in preset.columns.values())
    return next((match[1] for match in matches if match), "")


def layers_have_heights(model: Any) -> bool:
    """Whether a raw model has layers whose heights a file may give."""
    name = model.get("name") if isinstance(model, Mapping) else None
    return isinstance(name, str) and name in MODELS and "fit" in MODELS[name].model_fields


def coordinates_of(model: Any) -> list[str]:
    """The coordinates of a raw model by view and layer; none if it is wrong, which is told elsewhere."""
    try:
        section = _ANY_MODEL.validate_python(model)
    except ValidationError:
        return []
    if isinstance(section, Own):
        return [each.name for each in section.coordinates]
    return [f"{view}{layer}" for view in ("xy" if section.views else "x") for layer in range(section.layer_count)]


def preset_columns(preset: Preset, coordinates: Sequence[str]) -> dict[str, str]:
    """The column of each coordinate that is a view of a layer."""
    found = {each: COORDINATE.fullmatch(each) for each in coordinates}
    return {
        each: preset.columns[match[1]].format(match[2])
        for each, match in found.items()
        if match and match[1] in preset.columns
    }


def preset_event(preset: Preset, names: Collection[str]) -> tuple[str, ...]:
    """The columns that number the muons of a file with these columns; none if there are none."""
    return next((columns for columns in preset.events if {*columns} <= {*names}), ())


def fitting_preset(suffix: str, table: str, names: Collection[str]) -> str:
    """The preset of a file with this suffix that holds a table with these columns; empty if none fits."""
    for name, preset in PRESETS.items():
        fits = suffix in preset.suffixes and preset.source.get("table", table) == table
        if fits and {*preset.needs} <= {*names} and (not preset.events or preset_event(preset, names)):
            return name
    return ""
