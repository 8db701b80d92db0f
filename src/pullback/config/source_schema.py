"""Sections of the config for the source of the hits: simulated muons, or a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_serializer, model_validator

from ..hits.selection import Written
from ..models.energy_loss import MATERIALS, MaterialName, constants_of
from .base import Clash, GeV, Metres, NumberPerView, Radians, Section, SlopeOrAngle
from .columns_schema import PositionColumn, SigmaColumn
from .hints import unit_in
from .presets import PRESETS, check_preset
from .selection_text import written_condition
from .units import SLOPE, SPELLINGS, in_unit, validator

UNIFORM = ("x_min", "x_max")
"""Keys of a source for uniform positions."""


class Cosmic(Section):
    """Directions and momenta of cosmic muons."""

    zenith_max: Radians = Field(1.0, gt=0, le=1.5, description="maximum zenith angle")
    spectrum: Literal["fixed", "sea_level"] = Field(
        "fixed",
        description="`fixed`: all muons have `momentum`, zenith angles follow cos²; `sea_level`: momenta and zenith "
        "angles follow Reyna's spectrum at sea level",
    )
    momentum: GeV = Field(3.0, ge=0.1, le=1e5, description="momentum of every muon, or lower end of the spectrum")


OR_ITS_ANGLE = ", or its angle to the z axis: `2 deg` is the slope tan 2° = 0.0349"


class Beam(Section):
    """A beam, in place of cosmic muons."""

    slope_x: SlopeOrAngle = Field(0.0, ge=-1e3, le=1e3, description=f"mean slope dx/dz{OR_ITS_ANGLE}")
    slope_y: SlopeOrAngle = Field(0.0, ge=-1e3, le=1e3, description=f"mean slope dy/dz{OR_ITS_ANGLE}")
    spread: Annotated[NumberPerView[Annotated[float, Field(ge=0, le=10)]], validator(SLOPE)] = Field(
        0.0,
        description="standard deviation of the slopes (Gaussian); a number, or a list `[of x, of y]`; `5 mrad` is its "
        "tangent, 0.005",
        json_schema_extra={"unit": SLOPE},
    )
    spot: Annotated[NumberPerView[Annotated[float, Field(ge=0, le=1e6)]] | None, validator("m")] = Field(
        None,
        description="standard deviation of the positions (Gaussian); a number, or a list `[of x, of y]`; "
        "default: positions are uniform from `source.x_min` to `source.x_max`",
        json_schema_extra={"unit": "m"},
    )
    x: Metres = Field(0.0, ge=-1e6, le=1e6, description="centre of the spot in x")
    y: Metres = Field(0.0, ge=-1e6, le=1e6, description="centre of the spot in y")
    momentum: GeV = Field(3.0, ge=0.1, le=1e5, description="momentum of every muon")

    @model_validator(mode="after")
    def _centre_of_a_spot(self) -> Beam:
        if self.spot is None and (self.x or self.y):
            name = "x" if self.x else "y"
            raise Clash((f"{name} is the centre of a spot; give spot, or leave {name} out", (name, "spot")))
        return self


class Volume(Section):
    """The volume that scatters muons, and may slow them down."""

    z: Metres = Field(0.0, ge=-1e6, le=1e6, description="height of the centre")
    thickness: Metres = Field(0.1, ge=0, le=1e3, description="thickness")
    material: MaterialName | None = Field(
        None, description="name of its material, which gives the four constants below; default: the constants alone"
    )
    radiation_length: Metres = Field(
        0.01757, ge=1e-4, le=1e6, description="radiation length of its material; default: that of `material`, or iron"
    )
    density: Annotated[float | None, validator("g/cm3")] = Field(
        None, ge=0.01, le=30, description="density, for the energy loss", json_schema_extra={"unit": "g/cm3"}
    )
    z_over_a: Annotated[float | None, validator("mol/g")] = Field(
        None, ge=0.35, le=1, description="mean Z/A, for the energy loss", json_schema_extra={"unit": "mol/g"}
    )
    excitation: Annotated[float | None, validator("eV")] = Field(
        None,
        ge=10,
        le=1000,
        description="mean excitation energy I of a solid or liquid, for the energy loss",
        json_schema_extra={"unit": "eV"},
    )
    energy_loss: Literal["none", "bethe"] = Field(
        "none",
        description="`none`: muons keep their momentum; `bethe`: they lose the mean energy of ionisation, and may stop",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_its_material(cls, volume: Any) -> Any:
        """Fill in the constants of a named material."""
        name = volume.get("material") if isinstance(volume, dict) else None
        if not (isinstance(name, str) and name in MATERIALS):
            return volume
        known = constants_of(name)
        for key, value in known.items():
            given = in_unit(volume.get(key), unit_in(cls.model_fields[key]))
            if isinstance(given, int | float) and given != value:
                raise Clash((f"{key} = {given:g} is not that of {name}, {value:g}; leave one out", (key, "material")))
        return {**known, **{key: value for key, value in volume.items() if key not in known or value is not None}}

    @model_validator(mode="after")
    def _known_material(self) -> Volume:
        if self.energy_loss != "none" and None in (self.density, self.z_over_a, self.excitation):
            line = f"energy_loss: {self.energy_loss} needs material, or density, z_over_a and excitation"
            raise Clash((line, ("energy_loss", "material", "density", "z_over_a", "excitation")))
        return self


class Simulated(Section):
    """True hits drawn by the model."""

    kind: Literal["simulated"] = Field("simulated", description="simulated hits")
    muons: int = Field(100_000, ge=1, le=10**12, description="number of muons at each point")
    x_min: Metres = Field(0.0, ge=-1e6, le=1e6, description="lower end of the uniform distribution of true positions")
    x_max: Metres = Field(1.0, ge=-1e6, le=1e6, description="upper end of the uniform distribution of true positions")
    cosmic: Cosmic | None = Field(None, description="directions and momenta of cosmic muons")
    beam: Beam | None = Field(None, description="beam, in place of cosmic muons")
    volume: Volume | None = Field(None, description="volume that scatters muons")

    @model_validator(mode="after")
    def _range(self) -> Simulated:
        if self.x_max <= self.x_min:
            line = f"x_max = {self.x_max:g} must be greater than x_min = {self.x_min:g}"
            raise Clash((line, ("x_max", "x_min")))
        if self.cosmic is not None and self.beam is not None:
            raise Clash(("has both cosmic and beam; give one of them", ("cosmic", "beam")))
        return self

    @model_validator(mode="before")
    @classmethod
    def _positions(cls, source: Any) -> Any:
        """Refuse two distributions of positions."""
        beam = source.get("beam") if isinstance(source, dict) else None
        if isinstance(beam, dict) and beam.get("spot") is not None:
            for name in (name for name in UNIFORM if name in source):
                raise Clash((f"{name} and beam.spot both give the positions; leave one out", (name, "beam.spot")))
        return source

    @model_serializer(mode="wrap")
    def _without_unused(self, write: Callable[[Simulated], dict[str, Any]]) -> dict[str, Any]:
        """Omit the limits of uniform positions where a beam has a spot."""
        found = write(self)
        if self.beam is not None and self.beam.spot is not None:
            for name in UNIFORM:
                found.pop(name, None)
        return found


def _spelled(unit: Any) -> Any:
    """A unit without the Greek letter."""
    return SPELLINGS.get(unit, unit) if isinstance(unit, str) else unit


def _text(layer: Any) -> Any:
    """The number of a layer as text, as which layers are compared."""
    return str(layer) if isinstance(layer, int) and not isinstance(layer, bool) else layer


def _or_text(schema: dict[str, Any]) -> None:
    """Allow a list of names in the schema to be given as a single name."""
    array = {key: schema.pop(key) for key in ("type", "items", "maxItems")}
    schema["anyOf"] = [{"type": "string"}, array]


def _listed(event: Any) -> Any:
    """A single column as a list."""
    return ([event] if event else []) if isinstance(event, str) else event


LayerName = Annotated[str, BeforeValidator(_text), Field(json_schema_extra={"type": ["string", "integer"]})]
"""Number or name of a layer in a file."""

OF_LONG = ("event", "layer", "x", "y", "layers", "several")
"""Keys of recorded hits in the long layout only."""

OF_WIDE = ("columns",)
"""Keys of recorded hits in the wide layout only."""


class Recorded(Section):
    """Hits read from a file."""

    kind: Literal["recorded"] = Field("recorded", description="hits from a file")
    file: str = Field(
        min_length=1,
        description="CSV (with a header; also `.csv.gz`, `.csv.zst`), Parquet, HDF5 or ROOT file with one column "
        "(dataset, field, branch) per coordinate, or with a list of hits (`layout: long`); relative to the "
        "working directory",
    )
    preset: Annotated[str, BeforeValidator(check_preset)] = Field(
        "",
        description=f"format of the file, which gives those of the keys below that are left out: {', '.join(PRESETS)}",
        json_schema_extra={"enum": ["", *PRESETS]},
        exclude=True,  # the keys that it gives say it all
    )
    tree: str = Field("", description="tree or RNTuple of a ROOT file; needed if the file has several")
    table: str = Field(
        "",
        description='table of an HDF5 file (PyTables, a compound dataset, or a group of pandas with `format="table"`), '
        "whose fields are the columns; needed if the file has several",
    )
    layout: Literal["wide", "long"] = Field(
        "wide",
        description="`wide`: one row per muon, one column per coordinate; `long`: one row per hit, or lists of hits "
        "with one event per row; each event is a muon",
    )
    event: Annotated[list[str], BeforeValidator(_listed), Field(max_length=8)] = Field(
        [],
        description="long layout: column with the event of each hit, a whole number or text; or several columns that "
        "number the events together, `[run, event]`; default: each row with lists of hits is an event",
        json_schema_extra=_or_text,
    )
    layer: str = Field("", description="long layout: column with the layer of each hit, a number or a name")
    x: PositionColumn = Field(
        "",
        description="long layout: column with the position of each hit in view x, also with a scale and "
        "an offset as in `columns`",
    )
    y: PositionColumn = Field(
        "",
        description="long layout: column with the position of each hit in view y, as `x`, if the model has it",
    )
    layers: Annotated[list[LayerName], Field(max_length=256)] = Field(
        [],
        description="long layout: the layers of the file, numbers or names, in the order of the model's; rows of other "
        "layers are then left out, and counted; default: 0, 1, …, and other layers are refused",
    )
    several: Literal["refuse", "drop", "nearest"] = Field(
        "refuse",
        description="long layout, several hits of an event in a layer: `refuse` the file, `drop` the event, or take "
        "the hit `nearest` to the straight line through the layers of the event with one hit; counted",
    )
    columns: dict[str, PositionColumn] = Field(
        {},
        description="column of each coordinate: `{x: hit_x}`, or `{x0: hit[0], x1: hit[1]}` for elements of a "
        "column with a fixed number of values per row; `{x: {column: pixel, scale: 250 um, offset: -10 mm}}` for a hit "
        "at offset + scale × value; default: the column with the coordinate's name",
    )
    z: Annotated[list[str], BeforeValidator(_listed), Field(max_length=256)] = Field(
        [],
        description="columns with the height of each layer, row by row, in the order of the model's layers, in `unit`; "
        "in the long layout the column with the height of each hit; default: those of `preset`, else of the model",
        json_schema_extra=_or_text,
    )
    unit: Annotated[Literal["m", "cm", "mm", "um"], BeforeValidator(_spelled)] = Field(
        "m", description="unit of positions and their uncertainties; `µm` is `um`"
    )
    sigma: dict[str, SigmaColumn] = Field(
        {},
        description="column with the standard uncertainty of each coordinate, row by row, also with a scale as in "
        "`columns`; default: 1/`detector.resolution`; in the long layout, of each view: `{x: ex, y: ey}`",
    )
    covariance: dict[str, str] = Field(
        {},
        description="column with the covariance of two coordinates, row by row, in the squared unit: `{'x0,x1': "
        "c01}`; or with the variance of one, `{'x0,x0': c00}`, in place of `sigma`, which is needed for both; in the "
        "long layout, of views: `{'x,x': xx, 'x,y': xy, 'y,y': yy}`",
    )
    momentum_column: str = Field(
        "",
        description="column with the momentum of each muon, in GeV/c, for `model.material` or `model.theta0_momentum`",
    )
    select: str = Field(
        "",
        description="condition on the rows that are used, such as `n_tracks == 1 and abs(x0) < 49.9 mm`, of "
        "coordinates and columns; in the long layout on the hits, of x, y and columns: see docs/recorded_data.md",
    )
    keep: list[str] = Field(
        [],
        max_length=64,
        description="columns that go to `study.h5` and to every export as they are: whole numbers, numbers or text; "
        "in the long layout with one value per event",
    )

    @field_validator("select")
    @classmethod
    def _readable(cls, select: str) -> str:
        if select:
            written_condition(select)
        return select

    @field_validator("keep")
    @classmethod
    def _once(cls, keep: list[str]) -> list[str]:
        for name in keep:
            if keep.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return keep

    @property
    def condition(self) -> Written | None:
        """The condition on the rows, if there is one."""
        return written_condition(self.select) if self.select else None

    def has_own_sigma(self, coordinate: str) -> bool:
        """Whether the hits in a coordinate have their own uncertainties, in the long layout those of its view."""
        name = coordinate[0] if self.layout == "long" else coordinate
        return name in self.sigma or any({*pair} == {name} for pair in self._pairs)

    @property
    def correlated(self) -> bool:
        """Whether there are covariances of two different coordinates."""
        return any(one != other for one, other in self._pairs)

    @property
    def _pairs(self) -> list[list[str]]:
        return [[name.strip() for name in pair.split(",")] for pair in self.covariance]

    @model_validator(mode="after")
    def _of_one_layout(self) -> Recorded:
        fields = type(self).model_fields
        other = {"wide": OF_LONG, "long": OF_WIDE}[self.layout]
        for key in (key for key in other if getattr(self, key) != fields[key].default):
            wanted = "long" if self.layout == "wide" else "wide"
            raise Clash((f"{key} is of layout: {wanted}; leave it out, or set layout: {wanted}", (key, "layout")))
        if self.layout == "long" and not self.layer:
            raise Clash(("layer is missing; it names the column with the layer of each hit", ("layer", "layout")))
        if self.layout == "long" and len(self.z) > 1:
            raise Clash(("z is one column in the long layout, with the height of each hit", ("z", "layout")))
        return self
