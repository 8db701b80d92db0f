"""The sections of the config that describe models: the built-in ones, and the user's own."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ..models import NO_FOLD
from .base import Section, nearest
from .hints import of_value, shown

RESULTS_OF = (
    "{}_true",
    "bias_{}",
    "budget_{}",
    "flag_{}",
    "interval68_{}",
    "interval95_{}",
    "linear_valid_{}",
    "systematic_jacobian_{}",
    "sigma_{}",
    "sigma_{}_linear",
    "sigma_{}_linear_true",
    "sigma_shared_{}",
    "sigma_total_{}",
)
"""What the columns of an observable's results are called, after its own."""


RESULTS = frozenset(
    [
        "chi2",
        "coordinate",
        "coordinate_2",
        "covariance",
        "design",
        "end",
        "experiments",
        "muon",
        "ndf",
        "observable",
        "observable_2",
        "source",
        "systematic",
        "toys",
        "x_covariance",
        "x_reco",
        "x_true",
    ]
)
"""What else there is beside them, so that no observable can have the name."""


Heights = Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=2, max_length=32)]


class OneHit(Section):
    """θ = arctan(|x| / dz)."""

    beside: ClassVar[tuple[str, ...]] = ()
    """The sections of a simulated source that go with the model."""

    @property
    def layer_count(self) -> int:
        """How many layers there are."""
        return 1

    name: Literal["one_hit"] = Field("one_hit", description="the angle from the vertical, from one hit")
    dz: float = Field(
        1.5, ge=1e-6, le=1e6, description="height of the muons' origin above the layer", json_schema_extra={"unit": "m"}
    )


class Track(Section):
    """A straight line in one view."""

    @property
    def layer_count(self) -> int:
        """How many layers there are."""
        return len(self.z)

    beside: ClassVar[tuple[str, ...]] = ("cosmic",)

    name: Literal["track"] = Field("track", description="a straight line through several layers, in one view")
    z: Heights = Field([0.0, 0.5, 1.0], description="height of each layer", json_schema_extra={"unit": "m"})
    theta0: float = Field(
        0.0,
        ge=0,
        le=1,
        description="standard deviation of the angle, in one view, by which a layer scatters a muon",
        json_schema_extra={"unit": "rad"},
    )


class Track3d(Track):
    """A straight line in space."""

    name: Literal["track3d"] = Field("track3d", description="a straight line through several layers, in space")


class Scatter(Section):
    """Two lines, above and below a volume."""

    @property
    def layer_count(self) -> int:
        """How many layers there are."""
        return len(self.z_upper) + len(self.z_lower)

    beside: ClassVar[tuple[str, ...]] = ("cosmic", "volume")

    name: Literal["scatter"] = Field("scatter", description="a line above and one below a volume that scatters")
    z_upper: Heights = Field(
        [0.6, 0.8, 1.0], description="height of each layer above the volume", json_schema_extra={"unit": "m"}
    )
    z_lower: Heights = Field(
        [-0.6, -0.8, -1.0], description="height of each layer below the volume", json_schema_extra={"unit": "m"}
    )
    theta0: float = Field(
        0.0,
        ge=0,
        le=1,
        description="standard deviation of the angle, in one view, by which a layer scatters a muon",
        json_schema_extra={"unit": "rad"},
    )


def _or_its_name(schema: dict[str, Any]) -> None:
    """In the schema, a coordinate may be given by its name alone."""
    section = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, section]


class OwnCoordinate(Section):
    """A coordinate of the hits: its name, or a section."""

    model_config = ConfigDict(json_schema_extra=_or_its_name)

    name: str = Field(description="its name, and that of its column in files of recorded hits")
    unit: str = Field("m", description="its unit")
    long_name: str = Field("", description="its name in words")
    layer: int | None = Field(None, ge=0, description="the layer it is measured in, from 0 on; else one each, in order")

    @model_validator(mode="before")
    @classmethod
    def _by_its_name(cls, coordinate):
        return {"name": coordinate} if isinstance(coordinate, str) else coordinate


class OwnObservable(Section):
    """What is inferred."""

    name: str = Field(description="its name in files")
    unit: str = Field(description="its unit, `1` for a ratio")
    long_name: str = Field("", description="its name in words")
    symbol: str = Field("", description="its sign in figures")
    period: float = Field(0.0, ge=0, le=1e6, description="of an angle on a circle, in its unit; 0 is none")
    fold: str = Field(
        "",
        description="the observable whose distance from 0, in σ, says where the linear law holds; else its own; "
        "`none`, where it holds at 0 as anywhere",
    )
    domain: float = Field(
        0.0, ge=0, description="how far from there, in σ, it holds at the nearest, if further than `validation.domain`"
    )


class Own(Section):
    """A function in a file of the user's."""

    beside: ClassVar[tuple[str, ...]] = ()

    @property
    def layer_count(self) -> int:
        """How many layers there are."""
        given = [each.layer for each in self.coordinates if each.layer is not None]
        return 1 + max(given) if given else len(self.coordinates)

    name: Literal["own"] = Field("own", description="a function in a Python file, `file`")
    file: str = Field(
        min_length=1,
        description="the Python file (docs/models.md says how to write it); relative to the working directory",
    )
    function: str = Field("infer", description="its function from hits (muon, coordinate) to (muon, observable)")
    coordinates: list[OwnCoordinate] = Field(
        min_length=1, max_length=256, description="of the hits, in order: names, or sections with name, unit and layer"
    )
    observables: list[OwnObservable] = Field(
        min_length=1, max_length=64, description="what the function returns, in order: sections with name and unit"
    )
    parameters: dict[str, float | list[float]] = Field(
        {}, description="numbers, and lists of numbers, that the functions take by name"
    )
    units: dict[str, str] = Field({}, description="of the parameters, by name, where they have one")
    missing: bool = Field(
        False, description="the function uses what hits there are: NaN stands for one that is missing"
    )
    draw: str | None = Field(
        None,
        description="function `draw(rng, muons, **parameters)` for the true hits (muon, coordinate), as a NumPy array; "
        "without it, each coordinate is uniform from `source.x_min` to `source.x_max`",
    )
    covariance: str | None = Field(
        None,
        description="function `covariance(hits, **parameters)`, what is added to the detector's covariance of the "
        "hits, m²: (coordinate, coordinate) or (muon, coordinate, coordinate)",
    )

    @field_validator("parameters", mode="before")
    @classmethod
    def _numbers(cls, parameters):
        for name, value in parameters.items() if isinstance(parameters, dict) else ():
            numbers = value if isinstance(value, list) and value else [value]
            for each in numbers:
                if isinstance(each, bool) or not isinstance(each, int | float) or not -1e300 < each < 1e300:
                    hint = of_value(each, "float_type", None, "model.parameters")
                    raise ValueError(f"{name} is {shown(value)}; it must be a finite number or a list of them{hint}")
        return parameters

    @field_validator("function", "draw", "covariance")
    @classmethod
    def _one_function(cls, name):
        if name is not None:
            _check_identifier(name)
        return name

    @model_validator(mode="after")
    def _names(self):
        observables = _unique("observables", [each.name for each in self.observables])
        coordinates = _unique("coordinates", [each.name for each in self.coordinates])
        _unique("parameters", self.parameters)
        results = {form.format(name): name for name in observables for form in RESULTS_OF}
        for name in observables:
            if name in results:
                raise ValueError(
                    f"observables: {name} is what a result of {results[name]} is called; choose another name"
                )
            for result in (name, *(form.format(name) for form in RESULTS_OF)):
                if result in RESULTS or results.get(result, name) != name:
                    raise ValueError(f"observables: {name}: {result} is another result already; choose another name")
        for each in self.observables:
            if each.fold not in ("", NO_FOLD, *observables):
                allowed = ", ".join([*observables, NO_FOLD])
                raise ValueError(f"observables: {each.name}: fold is {each.fold!r}, no observable; allowed: {allowed}")
        for each in (*self.coordinates, *self.observables):
            for text in (each.unit, each.long_name, getattr(each, "symbol", "")):
                _check_formula(text, each.name)
        for name, unit in self.units.items():
            _check_formula(unit, name)
        # `model.<name>` means the parameter, and `resolution` the detector's.
        for name in self.parameters:
            if name in type(self).model_fields or name == "hits":
                raise ValueError(f"parameters: {name!r} has a meaning of its own in model; choose another name")
            if name == "resolution":
                raise ValueError(
                    "parameters: 'resolution' is the detector's: leave it out; a function with an argument of "
                    "that name is given it"
                )
        for name in self.units:
            if name not in self.parameters:
                raise ValueError(f"units: {name!r} is no parameter; {nearest(name, self.parameters)}")
        layers = [each.layer for each in self.coordinates if each.layer is not None]
        if layers and (len(layers) < len(coordinates) or {*layers} != {*range(max(layers) + 1)}):
            raise ValueError("coordinates: give each its layer, counted from 0 on with none left out; or give none")
        return self


def _check_identifier(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name in Python: use letters, digits and _, not beginning with a digit")


def _check_formula(text: str, name: str) -> None:
    """Raise where figures could not show a text with a formula between dollar signs."""
    if "$" not in text:
        return
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("agg").parse(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no formula that figures can show; leave the dollar signs out") from None


def _unique(what: str, names: Iterable[str]) -> list[str]:
    """The names, each checked to be one in Python and to be there once."""
    names = list(names)
    for name in names:
        try:
            _check_identifier(name)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        if names.count(name) > 1:
            raise ValueError(f"{what}: {name!r} is there twice; give each its own name")
    return names


Model = Annotated[OneHit | Track | Track3d | Scatter | Own, Field(discriminator="name")]
MODELS: dict[str, type[Section]] = {
    each.model_fields["name"].default: each for each in (OneHit, Track, Track3d, Scatter, Own)
}
"""The sections of models by name; the first is the default."""
