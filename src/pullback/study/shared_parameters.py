"""Parameters that all muons of a point share: systematics, and the numbers of a design.

A systematic is an unknown shift of a number of the model or of the offset of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..config.alignment_schema import shared_name
from ..config.base import nearest
from ..config.named_numbers import UnitByName
from ..config.schema import PointConfig
from ..config.units import in_unit
from ..errors import ConfigError
from ..models import Model
from ..models.stated import arguments
from ..uncertainty.arrays import Tensor
from ..uncertainty.budget import budget_sources
from ..uncertainty.placement import KINDS_OF_VIEWS, Coordinates
from ..uncertainty.systematics import covariance_matrix
from .artefact_configs import DetectedConfig, SharedConfig
from .batches import Part


@dataclass(frozen=True)
class OfParameter:
    """A parameter of the model, or an element of one, that a systematic shifts."""

    name: str
    index: int | None


@dataclass(frozen=True)
class OfCoordinate:
    """A coordinate of the hits that a systematic shifts."""

    index: int


@dataclass(frozen=True)
class OfLayer:
    """A rotation about z, or a scale, of the layer of some coordinates: how its hits move, in units of their positions.

    Coordinate `moved[k]` moves by `factors[k]` times the position in coordinate `by[k]`.
    """

    moved: tuple[int, ...]
    by: tuple[int, ...]
    factors: tuple[float, ...]


SMALLEST, LARGEST = 1e-100, 1e100
"""Smallest nonzero and largest standard uncertainty, for which squares and their ratios neither underflow nor overflow.
"""

CORRELATIONS = "correlations"
"""The key of the section that holds correlations, not a systematic."""


Shiftable = OfParameter | OfCoordinate | OfLayer


def targets(model: Model) -> dict[str, Shiftable]:
    """The numbers that can be shifted, by dotted name: `model.dz`, `model.z[2]`, `alignment.x[2]`.

    These are the parameters of the inference; one offset per coordinate, that of `x2` is `alignment.x[2]`; and for
    models of tracks `alignment.rotation[2]`, of layers that measure x and y, and the scales `alignment.scale_x[2]` and
    `alignment.scale_y[2]`.
    """
    found: dict[str, Shiftable] = {}
    for name in model.infer_uses:
        value = model.parameters.get(name)  # the resolution belongs to the detector, not to the model
        if value is not None:
            found |= {dotted: OfParameter(name, index) for dotted, index in _numbers(f"model.{name}", value)}
    for index, each in enumerate(model.coordinates):
        found["alignment." + re.sub(r"(\d+)$", r"[\1]", each.name)] = OfCoordinate(index)
    return found | dict(_of_layers(model)) if model.heights else found


def _of_layers(model: Model) -> Iterator[tuple[str, OfLayer]]:
    """Rotations and scales of the layers of a tracker."""
    of = Coordinates.of(model.layers, [each.name for each in model.coordinates])
    for index, (layer, view, partner) in enumerate(zip(*(each.tolist() for each in of), strict=True)):
        yield shared_name(KINDS_OF_VIEWS[view][1], layer), OfLayer((index,), (index,), (1.0,))
        if view == 0 and partner != index:
            yield shared_name("rotation", layer), OfLayer((index, partner), (partner, index), (-1.0, 1.0))


def _numbers(name: str, value: float | Sequence[float]) -> list[tuple[str, int | None]]:
    """The dotted name and the index of a number, or of each number of a list."""
    return (
        [(f"{name}[{index}]", index) for index in range(len(value))] if isinstance(value, Sequence) else [(name, None)]
    )


def names_of(section: Mapping[str, Any]) -> list[str]:
    """The names of the systematics of a config, in their order."""
    return [name for name in section if name != CORRELATIONS]


def correlations_of(section: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """The correlations of the systematics of a config: two names and ρ."""
    pairs = section.get(CORRELATIONS, {}).items()
    return [(*(name.strip() for name in pair.split(",")), rho) for pair, rho in pairs]


def shift_covariance(section: Mapping[str, Any]) -> Float[np.ndarray, "systematic systematic"]:
    """The covariance of the systematics of a config."""
    uncertainties = {name: section[name] for name in names_of(section)}
    return covariance_matrix(uncertainties, correlations_of(section))


def sources_of(part: Part[SharedConfig] | Part[PointConfig]) -> list[str]:
    """The names of the sources in the uncertainty budget of a part."""
    section, model, source = part.config.systematics, part.model, part.config.source
    correlated = source.kind == "recorded" and source.correlated
    full = model.covariance is not None or correlated or _turned(part)
    return budget_sources(model.layers, full, names_of(section), CORRELATIONS in section)


def _turned(part: Part[SharedConfig] | Part[PointConfig]) -> bool:
    """Whether alignment rotates a layer, whose hits then are correlated."""
    alignment = part.config.alignment
    return alignment is not None and any(alignment.numbers.get("rotation", ()))


@dataclass(frozen=True)
class DesignNumber:
    """A number by which the mean σ is differentiated: dotted name, name of its tensor, and index in the tensor."""

    name: str
    parameter: str
    index: int | None


def design_numbers(part: Part[DetectedConfig]) -> list[DesignNumber]:
    """The numbers of the model and the detector by which the mean σ is differentiated."""
    found = []
    for section, numbers in (("model", part.model.parameters), ("detector", part.config.detector.stated)):
        for name, value in numbers.items():
            found += [DesignNumber(each, name, index) for each, index in _numbers(f"{section}.{name}", value)]
    return found


def check_systematics(model: Model, section: Mapping[str, Any], unit: UnitByName) -> None:
    """Refuse unknown systematics, invalid uncertainties and impossible correlations.

    `unit` gives the unit of each number, for uncertainties with a wrong one.

    Raises
    ------
    ConfigError
        One line per mistake, with the name, what is allowed and the nearest valid name.

    """
    known, mistakes = targets(model), []
    unused = set(model.parameters) - set(model.infer_uses)
    for name in names_of(section):
        value = section[name]
        if re.sub(r"^model\.|\[\d+\]$", "", name) in unused and name.startswith("model."):
            mistakes.append(f"config: systematics: {name}: the inference does not use it, so it shifts no result")
        elif name not in known:
            mistakes.append(f"config: systematics: {name}: no such number of the model; {nearest(name, known)}")
        elif not _is_uncertainty(value):
            mistakes.append(f"config: systematics: {name}: {_wrong_uncertainty(value, unit(name))}")
    if not mistakes and CORRELATIONS in section:
        mistakes += _wrong_correlations(section)
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _wrong_uncertainty(value: Any, unit: str | None) -> str:
    """What is wrong with an uncertainty: its unit, else its value."""
    try:
        in_unit(value, unit)
    except ValueError as error:
        return str(error)
    given = "is empty" if value is None else f"is {value!r:.80}"
    return f"{given}; it must be a standard uncertainty, 0 or from {SMALLEST:g} to {LARGEST:g}"


def _is_uncertainty(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == 0 or SMALLEST <= value <= LARGEST


def _wrong_correlations(section: Mapping[str, Any]) -> list[str]:
    where, correlations = f"config: systematics.{CORRELATIONS}", section[CORRELATIONS]
    if not isinstance(correlations, dict):
        return [f"{where}: is {correlations!r:.80}; it must map pairs of names to correlations: `name, name: 0.5`"]
    if not names_of(section):
        return [f"{where}: there is nothing to correlate; leave it out"]
    for pair, rho in correlations.items():
        if str(pair).count(",") != 1:
            return [f"{where}: {pair!r:.80} must be two names: `name, name: 0.5`"]
        if isinstance(rho, bool) or not isinstance(rho, int | float):
            return [f"{where}: {pair}: is {rho!r:.80}; it must be a correlation, from -1 to 1"]
    try:
        shift_covariance(section)
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


class Shifted:
    """A model's inference as a function of hits and of common shifts η of the systematics."""

    def __init__(self, model: Model, parameters: Mapping[str, Tensor], names: list[str]):
        known = targets(model)
        self._model, self._parameters, self._targets = model, parameters, [known[name] for name in names]
        self.missing = model.missing

    def differ_by_muon(self, names: Collection[str] = ()) -> bool:
        """Whether each muon may have its own η: of the model they shift only `names`, in which muons may differ."""
        return all(not isinstance(target, OfParameter) or target.name in names for target in self._targets)

    def __call__(
        self, hits: Float[Tensor, "muon coordinate"], eta: Float[Tensor, "*muons systematic"]
    ) -> Float[Tensor, "muon observable"]:
        """The observables with every number shifted by its η; that of each muon only if they `differ_by_muon`."""
        hits, parameters = self.moved(hits, eta)
        return self._model.infer(hits, **arguments(self._model.infer_uses, parameters, self._model))

    def moved(
        self, hits: Float[Tensor, "muon coordinate"], eta: Float[Tensor, "*muons systematic"]
    ) -> tuple[Float[Tensor, "muon coordinate"], dict[str, Tensor]]:
        """The hits and the parameters with every number shifted by its η."""
        parameters = dict(self._parameters)
        for shift, target in zip(eta.unbind(-1), self._targets, strict=True):
            if isinstance(target, OfCoordinate):
                hits = hits + shift[..., None] * _unit(hits, hits.shape[1], target.index)
                continue
            if isinstance(target, OfLayer):
                hits = hits + shift[..., None] * _moves(hits, target)
                continue
            value = parameters[target.name]
            change = shift if target.index is None else shift[..., None] * _unit(hits, value.shape[-1], target.index)
            parameters[target.name] = value + change
        return hits, parameters


def _moves(hits: Float[Tensor, "muon coordinate"], target: OfLayer) -> Float[Tensor, "muon coordinate"]:
    """How far hits move by a unit of a rotation or a scale; a hit without its partner does not turn."""
    moves = hits.new_zeros(hits.shape)
    for index, by, factor in zip(target.moved, target.by, target.factors, strict=True):
        moves[:, index] = factor * hits[:, by].nan_to_num(nan=0.0)
    return moves


def _unit(like: Tensor, length: int, index: int) -> Tensor:
    unit = like.new_zeros(length)
    unit[index] = 1.0
    return unit
