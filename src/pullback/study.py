"""The plan of a study: its points, and the batches that make them."""

from __future__ import annotations

import json
from typing import Any

from . import models
from .batches import KINDS, Batch, cut
from .config import StudyConfig, load
from .models import Model
from .points import Point, expand


class Study:
    """The plan of a study: config, points, and batches by name.

    `Study.from_config` makes it from a raw config, refusing every mistake before any work is done;
    `to_json` and `from_json` hand it to a job.
    """

    def __init__(self, config: StudyConfig, points: list[Point], muons: dict[str, int]):
        self.config, self.points, self.muons = config, points, muons
        self.model: Model = models.load(config.model.name)
        self.batches = cut(points, muons, len(self.model.coordinates), config.compute.batch_cost)

    @classmethod
    def from_config(cls, raw: Any) -> Study:
        """The study of a raw config, as read from YAML.

        Raises
        ------
        PullbackError : the config, or the hits file that it names, can't be used.

        """
        config = load(raw)
        points = expand(config)
        if config.source.kind == "recorded":
            from .recorded import count_muons

            model = models.load(config.model.name)
            muons = count_muons(config.source.file, [each.name for each in model.coordinates])
            return cls(config, points, {point.label: muons for point in points})
        return cls(config, points, {point.label: point.config.source.muons for point in points})

    def to_json(self) -> str:
        """The study as a rule's parameter."""
        return json.dumps({"config": self.config.model_dump(mode="json"), "muons": self.muons}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Study:
        """The study that `to_json` wrote."""
        raw = json.loads(text)
        config = load(raw["config"])
        return cls(config, expand(config), raw["muons"])

    @property
    def recorded(self) -> bool:
        """Whether the hits are recorded, so that there is no truth."""
        return self.config.source.kind == "recorded"

    def batch(self, kind: str, name: str) -> Batch:
        """What makes one artefact."""
        return self.batches[name].of_kind(kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of artefacts of this study."""
        return tuple(kind for kind in KINDS if not (kind == "truth" and self.recorded))
