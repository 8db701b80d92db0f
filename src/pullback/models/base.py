"""Inference models: torch functions from hits to observables, with names and units.

Each built-in model is one module here, with a function `model(section)` that makes it from the config's `model`
section. Importing it does not import torch, which simulation does not need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from ..uncertainty.folds import Fold, Folding, only_columns
from ..uncertainty.reduction import ReducedPart, Reduction

MODULES = {"own": "user"}
"""Modules whose name differs from that of the model."""

Function = TypeVar("Function", bound=Callable[..., Any])

NO_FOLD = "none"
"""The `fold` of an observable for which linear propagation is valid at 0 too."""


class Quantity(NamedTuple):
    """A coordinate or an observable: name in code and files, unit, name in words, and symbol in figures.

    An angle on a circle has a `period`; its differences are taken the shorter way round. `fold` names the observable
    whose distance from 0, in σ, determines where linear propagation is valid; the default is the observable itself, and
    `NO_FOLD` means no fold. `domain` is the smallest distance from the fold, in σ, at which linear propagation is
    valid, if larger than the config's `validation.domain`.

    `folds` names the one or two signed quantities of which the observable is an increasing function of the length or,
    with a `period`, the azimuth: other observables, or quantities of the model's own (`with_folds`).
    """

    name: str
    unit: str
    long_name: str
    symbol: str = ""
    period: float = 0.0
    fold: str = ""
    domain: float = 0.0
    folds: tuple[str, ...] = ()


class LineOfHits(NamedTuple):
    """The coordinates that a line of a model is fitted to, and the parameter with the heights of their layers."""

    z: str
    coordinates: range


def folding(
    infer: Callable[..., Tensor],
    observables: Sequence[Quantity],
    signed: Callable[..., Tensor] | None = None,
    names: Sequence[str] = (),
) -> Folding:
    """What an inference with these observables says of its folds.

    Signed quantities are columns `names` of `signed`, with the arguments of `infer`; without it, other observables. An
    observable with neither `folds` nor `NO_FOLD` is undeclared, unless it is one of a built-in model (`with_folds`).
    """
    own = list(dict.fromkeys(name for each in observables for name in each.folds)) if signed is None else list(names)
    columns = None
    if signed is None:
        places = [each.name for each in observables]
        columns = tuple(places.index(name) for name in own)
        signed = only_columns(infer, columns)
    folds = [Fold(tuple(map(own.index, each.folds)), bool(each.period)) if each.folds else None for each in observables]
    undeclared = [index for index, each in enumerate(observables) if not each.folds and each.fold != NO_FOLD]
    return Folding(signed, tuple(folds), columns, tuple(undeclared))


def fold_places(observables: Sequence[Quantity]) -> tuple[int | None, ...]:
    """For each observable the one whose folds determine its distance from a fold: itself, that of `fold`, or none."""
    with_folds = {each.name: index for index, each in enumerate(observables) if each.folds}
    return tuple(with_folds.get(each.name if each.folds else each.fold) for each in observables)


def with_folds(
    observables: Sequence[Quantity], signed: Callable[..., Tensor] | None = None, names: Sequence[str] = ()
) -> Callable[[Function], Function]:
    """Decorate the inference of a built-in model with its `folding`; all of its folds are declared."""

    def declared(infer: Function) -> Function:
        vars(infer)["folding"] = folding(infer, observables, signed, names)._replace(undeclared=())
        return infer

    return declared


def part_of(
    observables: Sequence[Quantity],
    names: Sequence[str],
    parameters: Sequence[int],
    infer: Callable[..., Tensor],
    signed: Callable[..., Tensor] = lambda parameters: parameters,
    signed_names: Sequence[str] = (),
) -> ReducedPart:
    """The observables with these names, as a function of a few parameters of a model.

    Quantities that fold are columns `signed_names` of `signed`, a function of these parameters: by default themselves.
    An observable whose `fold` is another one bends with the signed quantities of that.
    """
    by_name = {each.name: each for each in observables}
    own, places = [by_name[name] for name in names], [*by_name]
    others = [by_name.get(each.fold) for each in own]
    bends = tuple(
        Fold(tuple(map([*signed_names].index, other.folds))) if other and not each.folds else None
        for each, other in zip(own, others, strict=True)
    )
    found = folding(infer, own, signed, signed_names)._replace(undeclared=(), bends=bends)
    return ReducedPart(tuple(map(places.index, names)), tuple(parameters), infer, found)


def with_reduction(
    parameters: Callable[..., Tensor], linear: Mapping[int, int], *parts: ReducedPart
) -> Callable[[Function], Function]:
    """Decorate the inference of a built-in model with its `Reduction`."""

    def reduced(infer: Function) -> Function:
        vars(infer)["reduction"] = Reduction(parameters, dict(linear), parts)
        return infer

    return reduced


@runtime_checkable
class NamedSection(Protocol):
    """The config's `model` section; each module of a model declares what else it reads."""

    @property
    def name(self) -> str:
        """The name of the model."""


@runtime_checkable
class UniformSource(Protocol):
    """What every model reads from the config's `source` section."""

    x_min: float
    x_max: float


def uniform(source: UniformSource, deviates: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Positions x ~ U(x_min, x_max), from deviates 0 ≤ u < 1."""
    return source.x_min + (source.x_max - source.x_min) * deviates


def at_given_hits(hits: Float[Any, "muon coordinate"], **_: Any) -> Float[Any, "muon coordinate"]:
    """True hits that were drawn directly, independent of the layers."""
    return hits


@dataclass(frozen=True)
class Model:
    """A model as the pipeline uses it.

    Attributes
    ----------
    infer : callable
        `infer(hits, **parameters)` maps hits (muon, coordinate) to observables (muon, observable).
    generate : callable
        `generate(rng, muons, source)` draws the random input (muon, …) of the true hits with numpy, independent of the
        parameters; `source` is the config's section, with the attributes that the model reads.
    intersect_layers : callable
        `intersect_layers(generated, **parameters)` returns the true hits (muon, coordinate), as a numpy array or, if
        any argument is a tensor, as a tensor that carries the gradients of the parameters.
    parameters : dict
        Numbers and lists of numbers by name, from the config.
    infer_uses, intersect_uses, covariance_uses, fitted_uses, chi2_uses : tuple of str
        Parameters that each function takes by keyword. `resolution` is that of the detector, with one number per layer.
    layers : tuple of int
        The layer of each coordinate, from 0.
    missing : bool
        Whether `infer` accepts missing hits, which are NaN. If not, a muon with a hit that is not finite has no
        observables.
    covariance : callable, optional
        `covariance(hits, **parameters)`, the covariance added to that of the detector, for example by scattering in the
        layers: (coordinate, coordinate) or (muon, coordinate, coordinate).
    scattered : callable, optional
        `scattered(hits, theta0=…)` with the heights of `lines` by name, the covariance added by layers that scatter by
        `theta0`, rad, whether or not any is stated.
    deviate : callable, optional
        `deviate(kicks, **parameters)`, simulated deviations of the hits (muon, coordinate) with this covariance, from
        standard normal kicks (muon, coordinate). It takes the parameters of `covariance`, and shares no code with it;
        without it, simulated deviations are drawn from the covariance.
    momentum : int, optional
        The column of `generate` with the momentum of each muon, GeV/c, if `covariance` and `deviate` depend on it: the
        parameter `theta0` then belongs to the momentum `theta0_momentum`, and may be given as one number per muon.
    slow : bool
        Whether a muon takes far longer to quote than most; sets the size of jobs.
    fitted : callable, optional
        `fitted(hits, **parameters)`, the position (muon, coordinate) that the fit predicts on each layer, for
        residuals; NaN where it predicts none. That of a built-in model is linear in the hits, without a constant.
    chi2 : callable, optional
        `chi2(hits, **parameters)`, χ² and its degrees of freedom (muon, 2), of a user's model whose χ² does not follow
        from `fitted` and the covariance of the hits.
    heights : tuple of float
        Height of each coordinate's layer, m; empty if unknown.
    lines : tuple of LineOfHits
        The straight lines that the observables follow from, in the order of the coordinates; empty for other models.
    fit : str
        Weights of these lines: `gls`, by the covariance of the hits of each muon; `ols`, by the stated resolution.
    squared : tuple of str
        Observables that are exactly the length of the quantities of their folds, and whose squares without bias are
        quoted too.
    """

    coordinates: tuple[Quantity, ...]
    observables: tuple[Quantity, ...]
    infer: Callable[..., Float[Tensor, "muon observable"]]
    generate: Callable[..., Float[np.ndarray, "muon _"]]
    layers: tuple[int, ...]
    intersect_layers: Callable[..., Float[Any, "muon coordinate"]] = at_given_hits
    parameters: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    infer_uses: tuple[str, ...] = ()
    intersect_uses: tuple[str, ...] = ()
    missing: bool = False
    covariance: Callable[..., Float[Tensor, "*muon coordinate coordinate"]] | None = None
    covariance_uses: tuple[str, ...] = ()
    scattered: Callable[..., Float[Tensor, "*muon coordinate coordinate"]] | None = None
    deviate: Callable[..., Float[Any, "muon coordinate"]] | None = None
    momentum: int | None = None
    fitted: Callable[..., Float[Tensor, "muon coordinate"]] | None = None
    fitted_uses: tuple[str, ...] = ()
    chi2: Callable[..., Float[Tensor, "muon 2"]] | None = None
    chi2_uses: tuple[str, ...] = ()
    heights: tuple[float, ...] = ()
    slow: bool = False
    lines: tuple[LineOfHits, ...] = ()
    fit: str = "ols"
    squared: tuple[str, ...] = ()


def has_fit(model: Model) -> bool:
    """Whether a model says how well its muons agree with the hits."""
    return model.fitted is not None or model.chi2 is not None


def load_model(section: NamedSection, sha256: str | None = None) -> Model:
    """The model of a config's `model` section; `sha256` is that of a user's file when the study was planned."""
    module = importlib.import_module(f".{MODULES.get(section.name, section.name)}", __package__)
    model: Model = module.model(section, sha256) if section.name == "own" else module.model(section)
    return model
