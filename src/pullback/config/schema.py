"""The config of a study: the only description, from which defaults, schema and documentation are generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from ..uncertainty.monte_carlo import ADAPTIVE_BATCH
from .alignment_schema import Alignment, alignment_mistakes, placed_mistakes
from .base import Clash, Contradiction, Section
from .detector_schema import Detector
from .fill_in import check_filled_in
from .messages import Examined, examine
from .model_base import ModelSection
from .model_schema import MODELS, AnyModel, OneHit, Scatter
from .named_numbers import with_plain_numbers
from .plain import check_plain
from .presets import coordinates_of, layers_have_heights, with_preset
from .source_schema import Recorded, Simulated

MOST_CONFIDENT = 0.999999
"""Largest confidence level: its Bonferroni correction for a billion numbers still differs from 1 in floating point."""

MOST_POINTS = 100_000
"""Maximum number of points. Snakemake plans that many in minutes with 2 GB of memory, and 10 000 in 7 s."""

LAYERS_BY = ("model.name", "model.z", "model.z_upper", "model.z_lower", "model.coordinates")
"""Keys that determine the number of layers."""

VOLUME_BY = ("source.volume.z", "source.volume.thickness", "model.name")
"""Keys that determine the position of the volume."""

HEIGHT = re.compile(r"model\.z(_upper|_lower)?(\[\d+\])?")
"""Dotted names of the heights of layers."""

HEIGHTS_OF_FILE = (
    "{} changes nothing, since source.z takes the heights of all layers from the file; leave it out, or set source.z "
    "to [], which takes those of the model"
)
"""What is said of a height of a layer that is to vary."""

FAR_AWAY = 1000.0
"""Default factor by which a number may change to reach a target."""

TARGET_MUONS = 8192
"""Largest number of muons whose mean σ is that of a target, since each is quoted at some fifty values."""


SOURCE_SECTIONS = ("cosmic", "beam", "volume")
"""Sections of a simulated source that only some models use."""


class Uncertainty(Section):
    """Choice between the linear and the full propagation."""

    n_dig: int = Field(
        1,
        ge=1,
        le=6,
        description="significant digits of σ to which linear propagation must be correct to be quoted (JCGM 101, "
        "clause 8)",
    )


class ToySettings(Section):
    """Toy Monte Carlo, which validates the uncertainties."""

    mode: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="`fixed`: the same number of toys for every muon; `adaptive`: until mean, spread and interval "
        "ends are stable in `n_dig` digits (JCGM 101, clause 7.9)",
    )

    muons: int = Field(
        2_000,
        ge=1,
        le=10**9,
        description="number of muons with toys, evenly spread in θ (a tenth of them in log θ)",
    )
    per_muon: int = Field(10_000, ge=2, le=10**12, description="fixed mode: toys per muon")
    most: int = Field(200_000, ge=2 * ADAPTIVE_BATCH, le=10**12, description="adaptive mode: maximum toys per muon")
    n_dig: int = Field(1, ge=1, le=6, description="adaptive mode: significant digits of the spread that must be stable")
    experiments: int = Field(
        10_000,
        ge=100,
        le=10**7,
        description="with systematics: number of pseudo-experiments, each with common shifts for all muons",
    )


class CoverageSettings(Section):
    """Toys around true hits, which measure how often intervals hold the truth; of simulated muons only."""

    toys_per_bin: int = Field(
        100_000,
        ge=100,
        le=10**9,
        description="toys in each bin of the distance of the truth from a fold: 100 000 determine a coverage of "
        "68.27 % to 0.15 %",
    )


class Validation(Section):
    """Criteria of the verdict."""

    tolerance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="a ratio passes when its interval lies within 1 ± tolerance; default: 0.02 for toys around true "
        "hits and pulls, and 0.05 for toys around recorded hits, since `linear_valid` lets σ be off by 5 %",
    )
    coverage_tolerance: float = Field(
        0.01, gt=0, lt=0.25, description="a coverage passes when its interval lies within nominal ± coverage_tolerance"
    )
    data_tolerance: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="the data agree with the stated resolution when the widths of their residuals over the stated ones "
        "lie within 1 ± this, and their means within ± twice this, in units of σ",
    )
    confidence: float = Field(0.95, gt=0, le=MOST_CONFIDENT, description="confidence level of the intervals")
    domain: float = Field(
        3.0, ge=0, description="linear domain: smallest distance from a fold, in σ, at which the linear σ is judged"
    )
    strict: bool = Field(False, description="whether an inconclusive verdict also fails the run")

    @property
    def of_toys(self) -> float:
        """The tolerance of toys around recorded hits."""
        return 0.05 if self.tolerance is None else self.tolerance

    @property
    def of_truth(self) -> float:
        """The tolerance of comparisons with the truth, and of residuals."""
        return 0.02 if self.tolerance is None else self.tolerance


class Figures(Section):
    """Which figures are drawn, and in which formats."""

    points: Literal["notable", "all"] = Field(
        "notable",
        description="`notable`: the point nearest to the unscanned config, and the worst point; `all`: every point",
    )
    pdf: bool = Field(False, description="each figure also as PDF, beside the SVG; drawing takes longer")


class Compute(Section):
    """Division into jobs, device and storage; changes no result except by `device_random`, and 1e-7 σ by `storage`."""

    batch_cost: int = Field(
        1_200_000_000,
        ge=1,
        description="maximum work per job, in toys of one hit, of which 40 million are a second",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu",  # the same bytes on every machine
        description="device for propagation and toys: `cpu`, `cuda` (an NVIDIA GPU), or `auto` (a GPU if "
        "available, else the CPU)",
    )
    device_random: bool = Field(
        False,
        description="with `device: cuda`: draw the random numbers of toys on the GPU; they differ from those of "
        "the CPU",
    )
    storage: Literal["lossless", "compact"] = Field(
        "lossless",
        description="storage of σ, bias and interval ends: `lossless` (float64), or `compact`: in float32, a third "
        "smaller, right to 1e-7 of σ; see [results/README.md](../results/README.md#compact-storage)",
    )

    @model_validator(mode="after")
    def _random_on_one_device(self) -> Compute:
        if self.device_random and self.device != "cuda":
            line = f"device_random needs device: cuda, not {self.device}: random numbers must not depend on the machine"
            raise Clash((line, ("device_random", "device")))
        return self

    @model_serializer(mode="wrap")
    def _without_device(self, write: Callable[[Compute], dict[str, Any]]) -> dict[str, Any]:
        """Omit the device, which does not affect results unless it draws random numbers."""
        found = write(self)
        if not self.device_random:
            found.pop("device", None)
        return found


def _or_with_units(schema: dict[str, Any]) -> None:
    """Allow text in the schema wherever numbers carry the unit of what they are about."""
    for each in schema.get("anyOf", [schema]):
        for key in ("items", "additionalProperties"):
            if key in each:
                each[key] = {"anyOf": [each[key], {"type": "string"}]}


class Target(Section):
    """A wanted mean σ."""

    sigma: dict[str, Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        max_length=1,
        description=f"the observable and its wanted mean σ, over the first {TARGET_MUONS} muons, such as "
        "`{theta: 2 mrad}`",
        json_schema_extra=_or_with_units,
    )
    vary: str = Field(description="dotted name of the number to vary, such as `detector.resolution`")
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None,
        json_schema_extra=_or_with_units,
        description="range of the number; default: from 0.001 to 1000 times its value, within its limits",
    )

    def range_about(self, start: float, limits: tuple[float, float]) -> tuple[float, float]:
        """The range of the search: by default within the limits of the number."""
        if self.between is not None:
            return self.between[0], self.between[1]
        return max(start / FAR_AWAY, limits[0]), min(start * FAR_AWAY, limits[1])

    @model_validator(mode="before")
    @classmethod
    def _sigma_of(cls, target: Any) -> Any:
        """Accept `sigma_theta: 0.002` as `sigma: {theta: 0.002}`."""
        if not isinstance(target, dict):
            return target
        short = {key: value for key, value in target.items() if str(key).startswith("sigma_")}
        rest = {key: value for key, value in target.items() if key not in short}
        if short and "sigma" in rest:
            line = f"has both sigma and {', '.join(map(str, short))}; give one of them"
            raise Clash((line, ("sigma", *map(str, short))))
        if short:
            rest["sigma"] = {key.removeprefix("sigma_"): value for key, value in short.items()}
        if isinstance(sigma := rest.get("sigma"), dict) and len(sigma) > 1:
            (name, value), *_ = sigma.items()
            line = (
                f"has {len(sigma)} observables in sigma, {', '.join(map(str, sigma))}; it is of one: write "
                f"sigma: {{{name}: {value}}}, and make another study for each other"
            )
            raise Clash((line, ("sigma", *map(str, short))))
        return rest


class PointConfig(Section):
    """The config of one point of a study, without the scan."""

    study: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="name of the study and of its folder in `results/`: letters, digits and . _ -",
    )
    seed: int = Field(1, ge=0, le=2**53, description="seed of all random numbers")
    random_numbers: Literal["common", "independent"] = Field(
        "common",
        description="`common`: all points of a scan share their random numbers, for smooth scans; `independent`: "
        "they do not",
    )
    source: Annotated[Simulated | Recorded, Field(discriminator="kind")] = Field(
        Simulated(), description="source of the hits: `kind: simulated` or `kind: recorded`"
    )
    detector: Detector = Detector()
    model: AnyModel = OneHit()
    alignment: Alignment | None = Field(
        None, description="alignment of the layers by the tracks; see docs/alignment.md; default: layers are in place"
    )
    systematics: dict[str, Any] = Field(
        {},
        description="standard uncertainties shared by all muons, by the dotted name of a number of the model or of "
        "the offset of a coordinate: `alignment.x[2]` of x2, `alignment.ct` of ct; `correlations` by two names: "
        "`model.dz, model.z[1]: 0.5`. Within braces, YAML requires quotes around names with brackets",
    )
    target: Target | None = Field(None, description="a wanted mean σ, and the number to vary")
    uncertainty: Uncertainty = Uncertainty()
    toys: ToySettings = ToySettings()
    coverage: CoverageSettings = CoverageSettings()
    validation: Validation = Validation()
    figures: Figures = Figures()
    compute: Compute = Compute()

    @field_validator("study")
    @classmethod
    def _own_folder(cls, study: str) -> str:
        if study == "README.md":
            raise ValueError("is 'README.md', which results/ already holds; choose another name")
        return study

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, config: Any) -> Any:
        """Fill in default kinds: a simulated source, a one-hit model, and a user's model if a file is given."""
        if not isinstance(config, dict):
            return config
        config = with_plain_numbers(cls, config)
        source, model = config.get("source", {}), config.get("model", {})
        if isinstance(model, dict):
            model = {"name": "own" if "file" in model else next(iter(MODELS)), **model}
            config = {**config, "model": model}
        if isinstance(source, dict):
            source = {"kind": "simulated", **source}
            name = model["name"] if isinstance(model, dict) else None
            if source["kind"] == "simulated" and isinstance(name, str) and name in MODELS:
                # A section whose lines are all commented out is null, and treated as absent.
                source |= {each: {} for each in _by_default(MODELS[name], source) if source.get(each) is None}
            if source["kind"] == "recorded":
                source = with_preset(source, coordinates_of(model), heights=layers_have_heights(model))
            config = {**config, "source": source}
        return config

    @model_validator(mode="after")
    def _goes_together(self) -> PointConfig:
        mistakes = [
            *self._beside(),
            *self._momentum(),
            *self._layers(),
            *self._heights(),
            *self._varied_heights(),
            *self._volume(),
            *self._placed(),
        ]
        if mistakes:
            raise Clash(*mistakes)
        return self

    def _beside(self) -> Iterator[Contradiction]:
        for name in SOURCE_SECTIONS if self.source.kind == "simulated" else ():
            if getattr(self.source, name) is not None and name not in self.model.beside:
                line = f"source.{name}: does not go with model.name: {self.model.name}; leave it out"
                yield line, (f"source.{name}", "model.name")

    def _momentum(self) -> Iterator[Contradiction]:
        model, keys = self.model, ("model.theta0_momentum", "model.material")
        by_material = getattr(model, "material", None) is not None
        unused = getattr(model, "theta0_momentum", None) is None and not by_material
        if isinstance(self.source, Recorded) and self.source.momentum_column and unused:
            line = (
                "source.momentum_column: only model.material and model.theta0_momentum use it; give one of them, or "
                "leave it out"
            )
            yield line, ("source.momentum_column", *keys, "model.name")
        given = getattr(model, "momentum", None) is not None
        if given and not by_material:
            line = "model.momentum: only model.material uses it; the momentum that theta0 belongs to is theta0_momentum"
            yield line, ("model.momentum", *keys)
        if isinstance(self.source, Recorded) and by_material and not (given or self.source.momentum_column):
            line = "model.material: needs model.momentum, or the column of each muon's own in source.momentum_column"
            yield line, ("model.material", "model.momentum", "source.kind")

    def _layers(self) -> Iterator[Contradiction]:
        for name in ("sigma", "efficiency"):
            if isinstance(getattr(self.detector, name), dict) and not self.model.views:
                in_space = "set model.name: track3d, or " if self.model.name == "track" else ""
                line = f"has views, but model {self.model.name} has none; {in_space}give a number, or a list by layer"
                yield f"detector.{name}: {line}", (f"detector.{name}", "model.name")
        of_detector = {**self.detector.stated, **self.detector.efficiencies}
        by_layer: dict[str, Any] = {f"detector.{name}": values for name, values in of_detector.items()}
        by_layer |= {f"model.{name}": getattr(self.model, name, None) for name in ("theta0", "material")}
        for name, values in by_layer.items():
            layers = self.model.layer_count
            if isinstance(values, list) and len(values) != layers:
                line = f"{name}: has {len(values)} values, but model {self.model.name} has {layers} layers"
                by_view = name in ("detector.sigma", "detector.efficiency") and self.model.views
                advice = f"; by view, write {{x: […], y: […]}}, with {layers} values each"
                yield line + advice * (by_view and len(values) == 2 * layers), (name, *LAYERS_BY)

    def _heights(self) -> Iterator[Contradiction]:
        if not isinstance(self.source, Recorded):
            return
        columns = self.source.z
        if columns and not hasattr(self.model, "fit"):
            line = f"source.z: model {self.model.name} has no heights of layers; leave it out"
            yield line, ("source.z", "model.name")
        elif columns and self.source.layout == "wide" and len(columns) != self.model.layer_count:
            layers = self.model.layer_count
            has = f"{len(columns)} column{'s' * (len(columns) > 1)}"
            line = f"source.z: has {has}, but model {self.model.name} has {layers} layers"
            yield line, ("source.z", *LAYERS_BY)

    def _varied_heights(self) -> Iterator[Contradiction]:
        varied = {f"systematics: {name}": name for name in self.systematics}
        varied |= {"target.vary": self.target.vary} if self.target else {}
        for where, name in varied.items():
            if self.height_in_file(name):
                what = name if where.endswith("vary") else "it"
                yield f"{where}: {HEIGHTS_OF_FILE.format(what)}", (where.split(":")[0], "source.z")

    def height_in_file(self, name: str) -> bool:
        """Whether a dotted name is that of a height of a layer, which is in the file for every muon."""
        return isinstance(self.source, Recorded) and bool(self.source.z) and bool(HEIGHT.fullmatch(name))

    def _placed(self) -> Iterator[Contradiction]:
        if self.detector.misalignment is not None and self.source.kind == "recorded":
            line = "detector.misalignment: recorded hits are where they are; leave it out, or set alignment"
            yield line, ("detector.misalignment", "source.kind")
        yield from placed_mistakes("detector.misalignment", self.detector.misalignment, self.model)
        yield from alignment_mistakes(self.alignment, self.model, self.systematics)

    def _volume(self) -> Iterator[Contradiction]:
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


def _by_default(model: type[ModelSection], source: dict[str, Any]) -> list[str]:
    """The sections of a source that a model has unless they are given: cosmic muons only without a beam."""
    beam = source.get("beam") is not None
    return [name for name in model.beside if name != "beam" and not (beam and name == "cosmic")]


class StudyConfig(PointConfig):
    """The whole config."""

    @property
    def nominal(self) -> PointConfig:
        """The config without the scan; its sections are valid, and are not validated again."""
        return PointConfig.model_construct(**{name: getattr(self, name) for name in PointConfig.model_fields})

    scan: dict[str, Any] | None = Field(
        None,
        description="values by dotted name: `{detector.resolution: [50, 100]}`; `{zip: {…}}`, lists in parallel; "
        "`{table: scan.csv}`, a CSV file relative to the working directory, with one column per name, one row per "
        "point, and units as in the config. Several lists, or these beside lists: their product, of which the last "
        f"varies fastest; at most {MOST_POINTS} points",
    )


def examined(raw: Any) -> Examined[StudyConfig]:
    """A config with all that is wrong with it.

    Raises
    ------
    ConfigError
        The config is not plain data, or has values that are to be filled in; no other check is possible.

    """
    check_plain(raw, "config")
    check_filled_in(raw)
    return examine(StudyConfig, raw, {"study": "unnamed"})
