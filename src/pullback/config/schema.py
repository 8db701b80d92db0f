"""The configuration of a study: one description, which also gives the defaults, the schema and the documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

from ..uncertainty.monte_carlo import ADAPTIVE_BATCH
from .base import Clash, Section, per_layer
from .messages import Examined, checked, examine
from .model_schema import MODELS, Model, OneHit, Scatter
from .plain import check_plain

MOST_CONFIDENT = 0.999999
"""Confidence level whose Bonferroni correction for a billion judged numbers is still told from 1 in floating point."""

NARROWEST = 1e-12
"""The least pitch of strips, m: about that of the finest resolution; 1/pitch is a number still."""


MOST_POINTS = 100_000
"""Points of a study: Snakemake plans so many in some minutes and 2 GB; 10 000 are 7 s."""


LAYERS_BY = ("model.name", "model.z", "model.z_upper", "model.z_lower", "model.coordinates")
"""The keys that the number of layers rests on."""


VOLUME_BY = ("source.volume.z", "source.volume.thickness", "model.name")
"""The keys that the place of the volume rests on."""


FAR_AWAY = 1000.0
"""How many times as great, or as small, a number may be to reach a target, where the config doesn't say."""


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
            line = f"x_max = {self.x_max:g} must be greater than x_min = {self.x_min:g}"
            raise Clash((line, ("x_max", "x_min")))
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
        description="its width, from 1e-12 m on; 0 is √12/resolution, for which the stated resolution is right",
        json_schema_extra={"unit": "m"},
    )

    @field_validator("pitch")
    @classmethod
    def _of_some_width(cls, pitch):
        if 0 < pitch < NARROWEST:
            raise ValueError(f"is {pitch:g}; it should be 0, or greater than or equal to {NARROWEST:g} m")
        return pitch


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

    resolution: per_layer(ge=1e-6, le=1e12) = Field(
        100.0,
        description="1/σ_x as stated, which propagation uses: 100 is 1 cm; or a list of one for each layer",
        json_schema_extra={"unit": "1/m"},
    )
    efficiency: per_layer(gt=0, le=1) = Field(
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
    confidence: float = Field(0.95, gt=0, le=MOST_CONFIDENT, description="confidence level of the intervals")
    domain: float = Field(3.0, ge=0, description="the linear law is claimed for θ/σ_θ of at least this")
    strict: bool = Field(False, description="an inconclusive verdict fails the run too")


class Figures(Section):
    """What is drawn."""

    points: Literal["notable", "all"] = Field(
        "notable",
        description="`notable`: the point nearest the unscanned config, and the worst one; or `all`",
    )


class Compute(Section):
    """How the work is cut into jobs, and where models are evaluated; it changes no result but by `device_random`."""

    batch_cost: int = Field(
        1_200_000_000,
        ge=1,
        description="most work in one job, in toys (a muon counts as 20 toys a coordinate)",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu",  # the same bytes on every machine
        description="where uncertainties are propagated and toys inferred: `cuda` is an NVIDIA GPU, `auto` that where "
        "there is one, and else the CPU",
    )
    device_random: bool = Field(
        False,
        description="with `device: cuda`: the deviates of toys are drawn on the GPU, and are others than the CPU's",
    )

    @model_validator(mode="after")
    def _random_on_one_device(self):
        if self.device_random and self.device != "cuda":
            line = f"device_random needs device: cuda, not {self.device}: random numbers must not depend on the machine"
            raise Clash((line, ("device_random", "device")))
        return self

    @model_serializer(mode="wrap")
    def _without_device(self, write):
        """Where models are evaluated is no part of what made a result, unless random numbers came from there."""
        found = write(self)
        if not self.device_random:
            found.pop("device", None)
        return found


class Target(Section):
    """A mean σ that is wanted."""

    sigma: dict[str, Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        max_length=1,
        description="the observable, and its mean σ that is wanted, such as `{theta: 0.002}`",
    )
    vary: str = Field(description="the dotted name of the number to vary, such as `detector.resolution`")
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="where it is looked for; by default from a thousandth to a thousand times its value, within "
        "the limits of that number",
    )

    def range_about(self, start: float, limits: tuple[float, float]) -> tuple[float, float]:
        """Where the number is looked for: by default within the limits that it has."""
        if self.between is not None:
            return self.between[0], self.between[1]
        return max(start / FAR_AWAY, limits[0]), min(start * FAR_AWAY, limits[1])

    @model_validator(mode="before")
    @classmethod
    def _sigma_of(cls, target):
        """`sigma_theta: 0.002` is `sigma: {theta: 0.002}`."""
        if not isinstance(target, dict):
            return target
        short = {key: value for key, value in target.items() if str(key).startswith("sigma_")}
        rest = {key: value for key, value in target.items() if key not in short}
        if short and "sigma" in rest:
            line = f"has both sigma and {', '.join(map(str, short))}; give one of them"
            raise Clash((line, ("sigma", *map(str, short))))
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
            model = {"name": "own" if "file" in model else next(iter(MODELS)), **model}
            config = {**config, "model": model}
        if isinstance(source, dict):
            source = {"kind": "simulated", **source}
            name = model["name"] if isinstance(model, dict) else None
            if source["kind"] == "simulated" and isinstance(name, str) and name in MODELS:
                # A section whose lines are all commented out is null, as good as one that is left out.
                source |= {each: {} for each in MODELS[name].beside if source.get(each) is None}
            config = {**config, "source": source}
        return config

    @model_validator(mode="after")
    def _goes_together(self):
        mistakes = [*self._beside(), *self._layers(), *self._volume()]
        if mistakes:
            raise Clash(*mistakes)
        return self

    def _beside(self):
        for name in ("cosmic", "volume") if self.source.kind == "simulated" else ():
            if getattr(self.source, name) is not None and name not in self.model.beside:
                line = f"source.{name}: does not go with model.name: {self.model.name}; leave it out"
                yield line, (f"source.{name}", "model.name")

    def _layers(self):
        for name in ("resolution", "efficiency"):
            values, layers = getattr(self.detector, name), self.model.layer_count
            if isinstance(values, list) and len(values) != layers:
                line = f"detector.{name}: has {len(values)} values, but model {self.model.name} has {layers} layers"
                yield line, (f"detector.{name}", *LAYERS_BY)

    def _volume(self):
        volume = self.source.volume if self.source.kind == "simulated" else None
        if volume is None or not isinstance(self.model, Scatter):
            return
        top, bottom = volume.z + volume.thickness / 2, volume.z - volume.thickness / 2
        if (lowest := min(self.model.z_upper)) < top:
            line = f"model.z_upper: {lowest:g} m is below the volume's top at {top:g} m"
            yield line, ("model.z_upper", *VOLUME_BY)
        if (highest := max(self.model.z_lower)) > bottom:
            line = f"model.z_lower: {highest:g} m is above the volume's bottom at {bottom:g} m"
            yield line, ("model.z_lower", *VOLUME_BY)


class StudyConfig(PointConfig):
    """The whole config."""

    scan: dict[str, Any] | None = Field(
        None,
        description="values by dotted name: `{detector.resolution: [50, 100]}` (lists of several names: their "
        "product), `{zip: {…}}` (lists in step) or `{table: scan.csv}` (a column a name, a row a "
        f"point; relative to the working directory); {MOST_POINTS} points at most",
    )


def load(raw: Any, *, where: str = "config") -> StudyConfig:
    """The checked config.

    Raises
    ------
    PullbackError : one line a mistake, with its dotted key, the value, what is allowed and the nearest valid name.

    """
    check_plain(raw, where)
    return checked(StudyConfig, raw, where)


def examined(raw: Any) -> Examined:
    """A config with all that is wrong with it.

    Raises
    ------
    PullbackError : what `check_plain` refuses; nothing else can be said of such a config.

    """
    check_plain(raw, "config")
    return examine(StudyConfig, raw, {"study": "unnamed"})
