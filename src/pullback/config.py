"""The configuration of a study: one description, which also gives the defaults, the schema and the documentation."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from .errors import PullbackError
from .models import NO_FOLD

ADAPTIVE_BATCH = 10_000
"""Toys in a batch of the adaptive procedure (JCGM 101:2008, 7.9.4)."""


FEWEST_FOR_ENDS = 200
"""Toys of a muon, below which the ends of their 95 % interval are not known: 5 toys are beyond each."""


RESULTS_OF = (
    "{}_true",
    "bias_{}",
    "budget_{}",
    "flag_{}",
    "interval68_{}",
    "interval95_{}",
    "linear_ok_{}",
    "shared_jacobian_{}",
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


UNSCANNED = ("scan", "systematics", "target")
"""Sections whose numbers are no parameters of the study."""


FAR_AWAY = 1000.0
"""How many times as great, or as small, a number may be to reach a target, where the config doesn't say."""


class Section(BaseModel):
    """A part of the config: nothing unknown, no text for a number, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _form(value: Any) -> str:
    return "list" if isinstance(value, list) else "number"


def _per_layer(**limits: float) -> Any:
    """A number, or a list of one for each layer."""
    one = Annotated[float, Field(**limits)]
    many = Annotated[list[one], Field(min_length=1, max_length=32)]
    return Annotated[Annotated[one, Tag("number")] | Annotated[many, Tag("list")], Discriminator(_form)]


Heights = Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=2, max_length=32)]


class Cosmic(Section):
    """Where muons come from and how fast they are."""

    zenith_max: float = Field(
        1.0, gt=0, le=1.5, description="zenith angles follow cos² up to this", json_schema_extra={"unit": "rad"}
    )
    spectrum: Literal["fixed", "sea_level"] = Field(
        "fixed", description="`fixed`: all muons have `momentum`; `sea_level`: the spectrum of vertical muons there"
    )
    momentum: float = Field(
        3.0,
        ge=0.1,
        le=1e5,
        description="momentum of every muon, or the least one of a spectrum",
        json_schema_extra={"unit": "GeV/c"},
    )


class Volume(Section):
    """The volume that muons scatter in."""

    z: float = Field(0.0, ge=-1e6, le=1e6, description="its middle", json_schema_extra={"unit": "m"})
    thickness: float = Field(0.1, ge=0, le=1e3, description="its thickness", json_schema_extra={"unit": "m"})
    radiation_length: float = Field(
        0.01757, ge=1e-4, le=1e6, description="of its material, by default iron", json_schema_extra={"unit": "m"}
    )


class Simulated(Section):
    """True hits drawn by the model."""

    kind: Literal["simulated"] = Field("simulated", description="hits are simulated")
    muons: int = Field(100_000, ge=1, le=10**12, description="number of muons at each point")
    x_min: float = Field(
        0.0,
        ge=-1e6,
        le=1e6,
        description="lower end of the true positions, x ~ U(x_min, x_max)",
        json_schema_extra={"unit": "m"},
    )
    x_max: float = Field(
        1.0, ge=-1e6, le=1e6, description="upper end of the true positions", json_schema_extra={"unit": "m"}
    )
    cosmic: Cosmic | None = Field(None, description="directions and momenta")
    volume: Volume | None = Field(None, description="what muons scatter in")

    @model_validator(mode="after")
    def _range(self):
        if self.x_max <= self.x_min:
            raise ValueError(f"x_max = {self.x_max:g} must be greater than x_min = {self.x_min:g}")
        return self


class Recorded(Section):
    """Hits read from a file."""

    kind: Literal["recorded"] = Field("recorded", description="hits are read from a file")
    file: str = Field(
        min_length=1,
        description="CSV (with a header), Parquet, HDF5 or ROOT file with one column (dataset, branch) a coordinate; "
        "relative to the working directory",
    )
    tree: str = Field("", description="the tree or RNTuple of a ROOT file, where it holds several")
    columns: dict[str, str] = Field(
        {},
        description="the file's column of a coordinate: `{x: hit_x}`, or `{x0: hit[0], x1: hit[1]}` for elements of a "
        "column with as many numbers in every row; a coordinate that is not listed has the column of its own name",
    )
    unit: Literal["m", "cm", "mm"] = Field("m", description="unit of the positions and of their uncertainties")
    sigma: dict[str, str] = Field(
        {},
        description="the column with the standard uncertainty of a coordinate, row by row; a coordinate that is not "
        "listed has 1/`detector.resolution`",
    )
    covariance: dict[str, str] = Field(
        {},
        description="the column with the covariance of two coordinates, row by row, in the unit squared: "
        "`{'x0,x1': c01}`; both need a column in `sigma`",
    )


class Gaussian(Section):
    """Gaussian noise, as propagation assumes it."""

    kind: Literal["gaussian"] = Field("gaussian", description="as propagation assumes it")


class Strip(Section):
    """The centre of the strip that was hit, wherever the strips lie: uniform noise."""

    kind: Literal["strip"] = Field("strip", description="the centre of the strip that was hit: uniform noise")
    pitch: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="its width; 0 is √12/resolution, for which the stated resolution is right",
        json_schema_extra={"unit": "m"},
    )


class Tails(Section):
    """Gaussian noise with a wider one for some of the hits."""

    kind: Literal["tails"] = Field("tails", description="Gaussian, but wider for some of the hits")
    fraction: float = Field(0.05, ge=0, le=1, description="how many of the hits have the wider noise")
    width: float = Field(5.0, ge=1, le=1e6, description="how many times wider it is")


class Clipped(Section):
    """Gaussian noise without the hits that are far off."""

    kind: Literal["clipped"] = Field("clipped", description="Gaussian, without hits that are further off than `clip`")
    clip: float = Field(2.0, ge=0.01, le=8, description="how far off a hit can be, in stated σ")


def _or_its_kind(schema: dict[str, Any]) -> None:
    """In the schema, a section with a kind may be given by its kind alone."""
    section = {key: schema.pop(key) for key in ("oneOf", "discriminator")}
    schema["anyOf"] = [{"type": "string", "enum": list(section["discriminator"]["mapping"])}, section]


class Detector(Section):
    """What the detector does to a hit."""

    resolution: _per_layer(ge=1e-6, le=1e12) = Field(
        100.0,
        description="1/σ_x as stated, which propagation uses: 100 is 1 cm; or a list of one for each layer",
        json_schema_extra={"unit": "1/m"},
    )
    efficiency: _per_layer(gt=0, le=1) = Field(
        1.0, description="how many of the hits are recorded in simulation; or a list of one for each layer"
    )
    noise: Annotated[Gaussian | Strip | Tails | Clipped, Field(discriminator="kind")] = Field(
        Gaussian(),
        description="what the noise is really like, in simulated hits and in toys: a kind, or a section",
        json_schema_extra=_or_its_kind,
    )

    @field_validator("noise", mode="before")
    @classmethod
    def _by_its_name(cls, noise):
        return {"kind": noise} if isinstance(noise, str) else noise


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
                    hint = " (YAML takes it for text; write 1e5 as 100000)" if isinstance(each, str) else ""
                    raise ValueError(f"{name} is {value!r:.80}; it must be a finite number or a list of them{hint}")
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


class Uncertainty(Section):
    """Which uncertainty is quoted."""

    n_dig: int = Field(
        1,
        ge=1,
        le=6,
        description="significant digits of σ that the linear law must have right to be quoted (JCGM 101, clause 8)",
    )


class Toys(Section):
    """Toy Monte Carlo, the proof of the uncertainties."""

    mode: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="`fixed`: as many toys around every muon; `adaptive`: until mean, spread and interval ends are "
        "stable in `n_dig` digits (JCGM 101, clause 7.9)",
    )

    muons: int = Field(
        2_000,
        ge=1,
        le=10**9,
        description="muons that toys are thrown around, evenly spread over θ (a tenth of them over log θ)",
    )
    per_muon: int = Field(10_000, ge=2, le=10**12, description="fixed mode: toys around each of them")
    most: int = Field(
        200_000, ge=2 * ADAPTIVE_BATCH, le=10**12, description="adaptive mode: the most toys around each of them"
    )
    n_dig: int = Field(1, ge=1, le=6, description="adaptive mode: significant digits of the spread that must be stable")
    experiments: int = Field(
        10_000,
        ge=100,
        le=10**7,
        description="with systematics: how often all muons are thrown together, with parameters shifted for all alike",
    )


class Validation(Section):
    """When an uncertainty counts as right."""

    tolerance: float = Field(0.05, gt=0, lt=1, description="a ratio passes when its interval lies in 1 ± tolerance")
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence level of the intervals")
    domain: float = Field(3.0, ge=0, description="the linear law is claimed for θ/σ_θ of at least this")
    strict: bool = Field(False, description="an inconclusive verdict fails the run too")


class Figures(Section):
    """What is drawn."""

    points: Literal["notable", "all"] = Field(
        "notable",
        description="`notable`: the point nearest the unscanned config, and the worst one; or `all`",
    )


class Compute(Section):
    """How the work is cut into jobs; it changes no result."""

    batch_cost: int = Field(
        1_200_000_000,
        ge=1,
        description="most work in one job, in toys (a muon counts as 20 toys a coordinate)",
    )


class Target(Section):
    """A mean σ that is wanted."""

    sigma: dict[str, Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        max_length=1,
        description="the observable, and its mean σ that is wanted, such as `{theta: 0.002}`",
    )
    vary: str = Field(description="the dotted name of the number to vary, such as `detector.resolution`")
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None, description="where it is looked for; by default from a thousandth to a thousand times its value"
    )

    def range_about(self, start: float) -> tuple[float, float]:
        """Where the number is looked for."""
        return (start / FAR_AWAY, start * FAR_AWAY) if self.between is None else (self.between[0], self.between[1])

    @model_validator(mode="before")
    @classmethod
    def _sigma_of(cls, target):
        """`sigma_theta: 0.002` is `sigma: {theta: 0.002}`."""
        if not isinstance(target, dict):
            return target
        short = {key: value for key, value in target.items() if str(key).startswith("sigma_")}
        rest = {key: value for key, value in target.items() if key not in short}
        return {**rest, "sigma": {key.removeprefix("sigma_"): value for key, value in short.items()}} if short else rest


class PointConfig(Section):
    """Everything that one point of a study is made from: the config without its scan."""

    study: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="name of the study and of its folder in `results/`: letters, digits and . _ -",
    )
    seed: int = Field(1, ge=0, le=2**53, description="seed of every random number")
    random_numbers: Literal["common", "independent"] = Field(
        "common",
        description="whether the points of a scan share their deviates (smooth scans) or draw their own",
    )
    source: Annotated[Simulated | Recorded, Field(discriminator="kind")] = Field(
        Simulated(), description="where the hits come from: `kind: simulated` or `kind: recorded`"
    )
    detector: Detector = Detector()
    model: Model = OneHit()
    systematics: dict[str, Any] = Field(
        {},
        description="standard uncertainties that all muons share, by the dotted name of a number of the model, or of "
        "the offset of a layer, `alignment.x[2]`; with `correlations` by two names: `model.dz, model.z[1]: 0.5`. "
        "Within braces YAML wants quotes around names with brackets",
    )
    target: Target | None = Field(None, description="a mean σ that is wanted, and what to vary for it")
    uncertainty: Uncertainty = Uncertainty()
    toys: Toys = Toys()
    validation: Validation = Validation()
    figures: Figures = Figures()
    compute: Compute = Compute()

    @field_validator("study")
    @classmethod
    def _own_folder(cls, study):
        if study == "README.md":
            raise ValueError("is 'README.md', which results/ already holds; choose another name")
        return study

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, config):
        """A source is simulated and a model one hit unless they say otherwise; one with a file is the user's own."""
        if not isinstance(config, dict):
            return config
        source, model = config.get("source", {}), config.get("model", {})
        if isinstance(model, dict):
            config = {**config, "model": model if "name" in model else {"name": next(iter(MODELS)), **model}}
            if "file" in model:
                config["model"]["name"] = "own"
        if isinstance(source, dict):
            source = {"kind": "simulated", **source}
            name = config["model"].get("name") if isinstance(model, dict) else None
            if source["kind"] == "simulated" and name in MODELS:
                source = {**{each: {} for each in MODELS[name].beside}, **source}
            config = {**config, "source": source}
        return config

    @model_validator(mode="after")
    def _goes_together(self):
        mistakes = [*self._beside(), *self._layers(), *self._volume()]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _beside(self):
        for name in ("cosmic", "volume") if self.source.kind == "simulated" else ():
            if getattr(self.source, name) is not None and name not in self.model.beside:
                yield f"source.{name}: does not go with model.name: {self.model.name}; leave it out"

    def _layers(self):
        for name in ("resolution", "efficiency"):
            values, layers = getattr(self.detector, name), self.model.layer_count
            if isinstance(values, list) and len(values) != layers:
                yield f"detector.{name}: has {len(values)} values, but model {self.model.name} has {layers} layers"

    def _volume(self):
        volume = self.source.volume if self.source.kind == "simulated" else None
        if volume is None or not isinstance(self.model, Scatter):
            return
        top, bottom = volume.z + volume.thickness / 2, volume.z - volume.thickness / 2
        if (lowest := min(self.model.z_upper)) < top:
            yield f"model.z_upper: {lowest:g} m is below the volume's top at {top:g} m"
        if (highest := max(self.model.z_lower)) > bottom:
            yield f"model.z_lower: {highest:g} m is above the volume's bottom at {bottom:g} m"


class StudyConfig(PointConfig):
    """The whole config."""

    scan: dict[str, Any] | None = Field(
        None,
        description="values by dotted name: `{detector.resolution: [50, 100]}` (lists of several names: their "
        "product), `{zip: {…}}` (lists in step) or `{table: scan.csv}` (a column a name, a row a "
        "point; relative to the working directory)",
    )


def load(raw: Any, *, where: str = "config") -> StudyConfig:
    """The checked config.

    Raises
    ------
    PullbackError : one line a mistake, with its dotted key, the value, what is allowed and the nearest valid name.

    """
    return _checked(StudyConfig, raw, where)


def replace(config: PointConfig, values: dict[str, float], *, where: str) -> PointConfig:
    """The config of a point: some numeric fields replaced by their dotted names, and checked again."""
    raw = config.model_dump(exclude={"scan"})
    for name, value in values.items():
        *sections, key = _keys(name, raw)
        section = raw
        for each in sections:
            section = section[each]
        # A list of whole numbers may scan a field of any kind; 100.0 from a table is as good for a count.
        section[key] = int(value) if isinstance(section[key], int) and float(value).is_integer() else value
    return _checked(PointConfig, raw, where)


def fields(section: type[Section], prefix: str = "") -> dict[str, FieldInfo]:
    """Every key of the config by its dotted name; those of a section with alternatives, one after the other."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        for kind in sections(field):
            found |= {each: info for each, info in fields(kind, f"{prefix}{name}.").items() if each not in found}
        if not sections(field):
            found[prefix + name] = field
    return found


def split(name: str) -> list[str | int]:
    """The keys and indices of a dotted name: `model.z[2]` is model, z, 2."""
    return [int(each) if each.isdigit() else each for each in re.findall(r"[^.\[\]]+", name)]


def _keys(name: str, raw: dict[str, Any]) -> list[str | int]:
    """The keys of a number by its dotted name: `model.B` is in the parameters of a model of the user's own."""
    keys = split(name)
    own = keys[0] == "model" and keys[1] in raw["model"].get("parameters", {})
    return ["model", "parameters", *keys[1:]] if own else keys


def unit_of(name: str, config: PointConfig | None = None) -> str:
    """The unit of a key by its dotted name; none for a count or a ratio. Those of the user's own are in the config."""
    name = name.split("[")[0]
    if config is not None and config.model.name == "own" and name.startswith("model."):
        return config.model.units.get(name.removeprefix("model."), "")
    field = fields(StudyConfig).get(name)
    return (field.json_schema_extra or {}).get("unit", "") if field else ""


def sections(field: FieldInfo) -> list[type[Section]]:
    """The section that a field holds, or those that it may hold."""
    kinds = (field.annotation, *get_args(field.annotation))
    return [each for each in kinds if isinstance(each, type) and issubclass(each, Section)]


def tag(section: type[Section]) -> str:
    """The key that says which of several sections it is."""
    return "kind" if "kind" in section.model_fields else "name"


def numeric_fields(config: Section, prefix: str = "") -> dict[str, float]:
    """Every numeric field of the config by its dotted name, with its value."""
    found: dict[str, float] = {}
    for key in type(config).model_fields:
        value = getattr(config, key)
        if isinstance(value, Section):
            found |= numeric_fields(value, f"{prefix}{key}.")
        elif isinstance(config, Own) and key != "parameters":
            continue  # periods of observables and numbers of layers are none of the study's
        elif isinstance(config, Own):
            for name, parameter in value.items():
                found |= _numbers_in(parameter, prefix + name)
        elif key not in UNSCANNED:
            found |= _numbers_in(value, prefix + key)
    return found


def _numbers_in(value: Any, name: str) -> dict[str, float]:
    """The numbers in a value, or in the lists and mappings that it is, by dotted name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {name: value}
    inner: dict[str, Any] = {}
    if isinstance(value, dict):
        inner = {f"{name}.{key}": each for key, each in value.items()}
    elif isinstance(value, list):
        inner = {f"{name}[{index}]": each for index, each in enumerate(value)}
    return {dotted: number for key, each in inner.items() for dotted, number in _numbers_in(each, key).items()}


def nearest(name: str, valid: Iterable[str], beside: Iterable[str] | None = None) -> str:
    """Advice for an unknown dotted name: the valid one with the same last part, else the nearest, else all.

    The nearest is looked for among the names `beside` it, where these are given.
    """
    valid = sorted(valid)
    beside = valid if beside is None else sorted(beside)
    same = [each for each in valid if each.split(".")[-1] == name.split(".")[-1]]
    close = same or difflib.get_close_matches(name, beside, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(beside)}"


def _checked(kind, raw, where):
    if not isinstance(raw, dict):
        raise PullbackError(f"{where}: must be a mapping of keys to values, not {raw!r}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise PullbackError("\n".join(f"{where}: {_line(kind, each)}" for each in error.errors())) from None


def _line(kind, error) -> str:
    """One line for one mistake that pydantic found."""
    section, path, which = _place(kind, error["loc"])
    key, value = ".".join(path), error["input"]
    match error["type"]:
        case "extra_forbidden":
            if key in fields(kind):
                return f"{key}: does not go with {'.'.join(path[:-1])}.{tag(section)}: {which}; leave it out"
            beside = [".".join([*path[:-1], name]) for name in section.model_fields]
            return f"{key}: unknown key; {nearest(key, fields(kind), beside)}"
        case "missing":
            return f"{key}: is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = sections(section.model_fields[path[-1]])
            which = tag(kinds[0])
            allowed = [each.model_fields[which].default for each in kinds]
            return f"{key}.{which}: is {value.get(which)!r}; allowed: {', '.join(allowed)}"
        case "string_pattern_mismatch":
            return f"{key}: is {value!r}; allowed: letters, digits and . _ -, beginning with a letter or digit"
        case "value_error":
            return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key}: is {value!r}; it must be a section with keys of its own"
    message = re.sub("^(Input|List|String|Dictionary) ", "", error["msg"]).replace(" after validation", "")
    if isinstance(value, str) and error["type"] in ("float_type", "int_type"):
        message += " (YAML takes it for text; write 1e5 as 100000)"
    return f"{key}: is {value!r:.80}; it {message}"


def _place(kind: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], list[str], str]:
    """Where a mistake is: the section that the last key is in, the keys to it, and the last `kind` on the way."""
    section, path, which = kind, [], ""
    alternatives: dict[str, type[Section]] = {}
    for each in map(str, loc):
        if each in alternatives:  # says which of them it is, and is no key
            section, which, alternatives = alternatives[each], each, {}
            continue
        if path and each in ("number", "list", "[key]"):  # which of two forms, or that a key is meant
            continue
        if each.isdigit():
            path[-1] += f"[{each}]"
            continue
        path.append(each)
        inner = sections(section.model_fields[each]) if each in section.model_fields else []
        alternatives = {one.model_fields[tag(one)].default: one for one in inner} if len(inner) > 1 else {}
        section = inner[0] if len(inner) == 1 else section
    return section, path, which
