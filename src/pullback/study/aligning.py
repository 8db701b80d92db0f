"""How the alignment of the layers enters the plan of a study: corrections of hits, and systematics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from ..config.alignment_schema import Alignment, free_parameters, shared_name
from ..config.base import Section
from ..models import Model
from ..uncertainty.placement import Coordinates, Kind, Placement
from .batches import Batch, Part
from .plan import Study
from .scan import NOMINAL, Point
from .shared_parameters import CORRELATIONS

BESIDE_ALIGNMENT = (
    "systematics",
    "uncertainty",
    "toys",
    "coverage",
    "validation",
    "figures",
    "compute",
    "target",
    "scan",
)
"""Sections of the config that the alignment of a study does not depend on."""

AnyConfig = TypeVar("AnyConfig", bound=Section)


@dataclass(frozen=True)
class Aligned:
    """What is known of the layers: corrections, by kind and layer, and the covariance of those that were found."""

    corrections: Mapping[Kind, list[float]]
    names: Sequence[str]
    covariance: Float[np.ndarray, "parameter parameter"]

    @property
    def section(self) -> Alignment:
        """The corrections as a section of the config."""
        return Alignment.model_validate(dict(self.corrections))

    def systematics(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The systematics of a config with those of the alignment."""
        sigma = np.sqrt(self.covariance.diagonal())
        pairs = {
            f"{self.names[i]}, {self.names[j]}": float(np.clip(self.covariance[i, j] / (sigma[i] * sigma[j]), -1, 1))
            for i, j in combinations(range(len(self.names)), 2)
            if sigma[i] and sigma[j]
        }
        found = {name: each for name, each in own.items() if name != CORRELATIONS}
        found |= dict(zip(self.names, sigma.tolist(), strict=True))
        correlations = {**own.get(CORRELATIONS, {}), **pairs}
        return {**found, CORRELATIONS: correlations} if correlations or len(self.names) > 1 else found

    def applied(self, config: AnyConfig) -> AnyConfig:
        """The config of a point or of an artefact with these corrections and systematics."""
        kinds, update = type(config).model_fields, dict[str, Any]()
        if "alignment" in kinds:
            update["alignment"] = self.section
        if "systematics" in kinds:
            update["systematics"] = self.systematics(dict(config)["systematics"])
        return config.model_copy(update=update)


def aligned_batch(batch: Batch[Any], found: Aligned) -> Batch[Any]:
    """A batch with what was found of its layers."""
    return replace(batch, parts=tuple(replace(part, config=found.applied(part.config)) for part in batch.parts))


def aligned_study(study: Study, found: Aligned) -> Study:
    """A study with what was found of its layers."""
    points = [replace(point, config=found.applied(point.config)) for point in study.points]
    return study.changed(found.applied(study.config), points)


def is_aligned(study: Study) -> bool:
    """Whether tracks align the layers, those of the study or, for a file that was kept, others."""
    alignment = study.config.alignment
    return alignment is not None and not alignment.numbers


def expected(study: Study, kept: Aligned | None = None) -> Study:
    """A study before its layers are aligned, with the names of the systematics that alignment adds."""
    alignment = study.config.alignment
    if alignment is None or not is_aligned(study):
        return study
    names = (
        [shared_name(*each) for each in free_parameters(alignment, study.config.model)] if kept is None else kept.names
    )
    nothing: dict[Kind, list[float]] = {"x": [0.0] * study.config.model.layer_count}
    return aligned_study(study, Aligned(nothing, names, np.zeros(2 * (len(names),))))


def placement_of(part: Part[Any]) -> Placement | None:
    """The corrections of a part's hits, if layers are aligned."""
    alignment = part.config.alignment
    return None if alignment is None else placement_by(alignment.numbers, part.model)


def placement_by(numbers: Mapping[Kind, Sequence[float]], model: Model) -> Placement | None:
    """Where layers are by the numbers of a config; None without any."""
    return Placement.by_layer(placed_coordinates(model), numbers) if numbers else None


def placed_coordinates(model: Model) -> Coordinates:
    """How the coordinates of a model belong to layers."""
    return Coordinates.of(model.layers, [each.name for each in model.coordinates])


def to_be_aligned(study: Study) -> Study:
    """The study without its scan, with the sections that its alignment depends on."""
    muons = getattr(study.config.source, "muons", None)
    muons = next(iter(study.muons.values())) if muons is None else muons
    point = Point(NOMINAL, {}, study.config.nominal)
    return study.changed(study.config.model_copy(update={"scan": None}), [point], {NOMINAL: muons})


def alignment_to_json(study: Study) -> str:
    """The study as a parameter of the rule that aligns its layers."""
    plan = json.loads(to_be_aligned(study).to_json())
    plan["config"] = {name: each for name, each in plan["config"].items() if name not in BESIDE_ALIGNMENT}
    return json.dumps(plan)
