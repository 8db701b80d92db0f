"""Section of the config for a model of the user's own."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from ..errors import shown
from ..models import NO_FOLD
from .base import Clash, Section, nearest
from .hints import of_value
from .model_base import RESULTS, RESULTS_OF, ModelSection
from .units import in_units


def _or_its_name(schema: dict[str, Any]) -> None:
    """Allow a coordinate in the schema to be given by its name alone."""
    section = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, section]


class OwnCoordinate(Section):
    """A coordinate of the hits: its name, or a section."""

    model_config = ConfigDict(json_schema_extra=_or_its_name)

    name: str = Field(description="name, also of its column in files of recorded hits")
    unit: str = Field("m", description="unit")
    long_name: str = Field("", description="name in words")
    layer: int | None = Field(
        None, ge=0, description="index of its layer, from 0; default: one layer per coordinate, in order"
    )

    @model_validator(mode="before")
    @classmethod
    def _by_its_name(cls, coordinate: Any) -> Any:
        return {"name": coordinate} if isinstance(coordinate, str) else coordinate


def _ratio(unit: Any) -> Any:
    """The unit of a ratio, 1, which YAML reads as a number."""
    return "1" if unit == 1 and isinstance(unit, int) and not isinstance(unit, bool) else unit


Unit = Annotated[str, BeforeValidator(_ratio)]


class OwnObservable(Section):
    """An observable returned by the function."""

    name: str = Field(description="name in files")
    unit: Unit = Field(description="unit, `1` for a ratio")
    long_name: str = Field("", description="name in words")
    symbol: str = Field("", description="symbol in figures")
    period: float = Field(0.0, ge=0, le=1e6, description="period of an angle on a circle, in its unit; 0: not periodic")
    fold: str = Field(
        "",
        description="the observable whose distance from 0, in σ, determines where linear propagation is valid; "
        "default: this observable; `none`: it is valid at 0 too",
    )
    folds: list[str] = Field(
        [],
        max_length=2,
        description="one or two other observables, measured with their sign, that fold into this one: it increases "
        "with their size, √(a² + b²), or, with a `period`, is their azimuth; see docs/models.md",
    )
    domain: float = Field(
        0.0,
        ge=0,
        description="smallest distance from the fold, in σ, at which linear propagation is valid; "
        "`validation.domain` if larger",
    )


class Own(ModelSection):
    """A model defined by a function in a user's file."""

    @property
    def layer_count(self) -> int:
        """Number of layers."""
        given = [each.layer for each in self.coordinates if each.layer is not None]
        return 1 + max(given) if given else len(self.coordinates)

    name: Literal["own"] = Field("own", description="a function in a Python file")
    file: str = Field(
        min_length=1,
        description="Python file, see docs/models.md; relative to the working directory",
    )
    function: str = Field(
        "infer", description="function from hits (muon, coordinate) to observables (muon, observable)"
    )
    coordinates: list[OwnCoordinate] = Field(
        min_length=1,
        max_length=256,
        description="coordinates of the hits, in order: names, or sections with name, unit and layer",
    )
    observables: list[OwnObservable] = Field(
        min_length=1,
        max_length=64,
        description="observables returned by the function, in order: sections with name and unit",
    )
    parameters: dict[str, float | list[float]] = Field(
        {}, description="numbers and lists of numbers, passed to the functions by name"
    )
    units: dict[str, Unit] = Field({}, description="units of the parameters, by name")
    missing: bool = Field(False, description="whether the function accepts missing hits, which are NaN")
    draw: str | None = Field(
        None,
        description="function `draw(rng, muons, **parameters)` that returns true hits (muon, coordinate) as a "
        "NumPy array; default: each coordinate is uniform from `source.x_min` to `source.x_max`",
    )
    covariance: str | None = Field(
        None,
        description="function `covariance(hits, **parameters)` that returns the covariance added to that of the "
        "detector, m²: (coordinate, coordinate) or (muon, coordinate, coordinate)",
    )
    fitted: str | None = Field(
        None,
        description="function `fitted(hits, **parameters)` that returns the position the fit predicts for each hit "
        "(muon, coordinate); residuals and χ² follow from it, and show whether the data agree with the resolution",
    )
    chi2: str | None = Field(
        None,
        description="function `chi2(hits, **parameters)` that returns χ² and degrees of freedom (muon, 2); in place of "
        "the χ² that follows from `fitted`, or without it",
    )

    @model_validator(mode="before")
    @classmethod
    def _in_their_units(cls, model: Any) -> Any:
        """Convert parameters that are written with a unit."""
        parameters, units = (model.get(each) for each in ("parameters", "units")) if isinstance(model, dict) else (0, 0)
        if not isinstance(parameters, dict):
            return model
        given = {name: str(unit) for name, unit in units.items()} if isinstance(units, dict) else {}
        found, mistakes = in_units(
            {name: parameters[name] for name in given if name in parameters}, given, "parameters"
        )
        if mistakes:
            raise Clash(*((line, ("parameters",)) for line in mistakes))
        return {**model, "parameters": parameters | found}

    @field_validator("parameters", mode="before")
    @classmethod
    def _numbers(cls, parameters: Any) -> Any:
        for name, value in parameters.items() if isinstance(parameters, dict) else ():
            numbers = value if isinstance(value, list) and value else [value]
            for each in numbers:
                if isinstance(each, bool) or not isinstance(each, int | float) or not -1e300 < each < 1e300:
                    hint = of_value(each, "float_type", None, "model.parameters")
                    raise ValueError(f"{name} is {shown(value)}; it must be a finite number or a list of them{hint}")
        return parameters

    @field_validator("function", "draw", "covariance", "fitted", "chi2")
    @classmethod
    def _one_function(cls, name: str | None) -> str | None:
        if name is not None:
            _check_identifier(name)
        return name

    @model_validator(mode="after")
    def _names(self) -> Own:
        observables = _unique("observables", [each.name for each in self.observables])
        coordinates = _unique("coordinates", [each.name for each in self.coordinates])
        _unique("parameters", self.parameters)
        results = {form.format(name): name for name in observables for form in RESULTS_OF}
        for name in observables:
            if name in results:
                raise ValueError(f"observables: {name} is the name of a result of {results[name]}; choose another name")
            for result in (name, *(form.format(name) for form in RESULTS_OF)):
                if result in RESULTS or results.get(result, name) != name:
                    raise ValueError(f"observables: {name}: the result {result} exists already; choose another name")
        for each in self.observables:
            if each.fold not in ("", NO_FOLD, *observables):
                allowed = ", ".join([*observables, NO_FOLD])
                raise ValueError(f"observables: {each.name}: fold is {each.fold!r}, no observable; allowed: {allowed}")
            _check_folds(each, self.observables)
        quantities: list[OwnCoordinate | OwnObservable] = [*self.coordinates, *self.observables]
        for quantity in quantities:
            for text in (quantity.unit, quantity.long_name, getattr(quantity, "symbol", "")):
                _check_formula(text, quantity.name)
        for name, unit in self.units.items():
            _check_formula(unit, name)
        # `model.<name>` denotes a parameter, and `resolution` belongs to the detector.
        for name in self.parameters:
            if name in type(self).model_fields or name == "hits":
                raise ValueError(f"parameters: {name!r} has a meaning of its own in model; choose another name")
            if name == "resolution":
                raise ValueError(
                    "parameters: 'resolution' belongs to the detector: leave it out; a function with an argument of "
                    "that name receives it"
                )
        for name in self.units:
            if name not in self.parameters:
                raise ValueError(f"units: {name!r} is not a parameter; {nearest(name, self.parameters)}")
        layers = [each.layer for each in self.coordinates if each.layer is not None]
        if layers and (len(layers) < len(coordinates) or {*layers} != {*range(max(layers) + 1)}):
            raise ValueError("coordinates: give all of them a layer, counted from 0 without gaps; or give none")
        return self


def _check_folds(observable: OwnObservable, observables: list[OwnObservable]) -> None:
    """Raise unless the observables that fold into one are others, measured with their sign."""
    own, folds = f"observables: {observable.name}: folds", observable.folds
    signed = [each.name for each in observables if each is not observable and not each.folds and not each.period]
    for name in folds:
        if name not in signed:
            which = f"allowed: {', '.join(signed)}" if signed else "there is no other"
            raise ValueError(f"{own} has {name!r}; it names other observables, without folds or period; {which}")
    if len({*folds}) < len(folds):
        raise ValueError(f"{own} has {folds[0]!r} twice; two directions are two observables")
    if folds and observable.period and len(folds) != 2:
        raise ValueError(f"{own} must name two observables for an angle with a period, which is their azimuth")
    if folds and observable.fold == NO_FOLD:
        raise ValueError(f"{own} names observables that fold into it, but fold is {NO_FOLD}; leave one of the two out")


def _check_identifier(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a name in Python: use letters, digits and _, not beginning with a digit")


def _check_formula(text: str, name: str) -> None:
    """Raise for a formula between dollar signs that figures cannot show."""
    if "$" not in text:
        return
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("agg").parse(text)
    except ValueError:
        raise ValueError(
            f"{name}: {text!r} is not a formula that figures can show; leave the dollar signs out"
        ) from None


def _unique(what: str, names: Iterable[str]) -> list[str]:
    """The names, checked to be distinct Python identifiers."""
    names = list(names)
    for name in names:
        try:
            _check_identifier(name)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        if names.count(name) > 1:
            raise ValueError(f"{what}: duplicate name {name!r}; give each its own name")
    return names
