"""The plan of a study: its points and batches."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from functools import cached_property
from typing import Any

from ..config.base import nearest
from ..config.dotted_names import numeric_fields, range_of, raw_with_numbers
from ..config.messages import Together, examine, rests_on
from ..config.named_numbers import unit_by_name
from ..config.schema import PointConfig, StudyConfig, Target, examined
from ..config.source_schema import Simulated
from ..errors import ConfigError, PullbackError
from ..hits.counts import ImportCounts
from ..hits.reading import Reading
from ..models import Model, has_fit, load_model
from ..models.planes import named_by_plane
from ..models.user_file import read_model_file
from . import shared_parameters
from .artefact_configs import KINDS, SigmaConfig
from .batches import Batch, Part
from .blocks import Block
from .cutting import cut
from .kept_columns import check_kept
from .scan import STATED, Point, expand, make_point
from .work import TOY_SECONDS, cost

NOT_OF_TARGET = ("systematics", "toys", "validation", "figures", "compute")
"""Sections of the config that do not affect the search for a target."""


class Study:
    """The plan of a study: config, points, and batches by name.

    `Study.from_config` makes the plan from a raw config and refuses every mistake before any job starts. `to_json` and
    `from_json` pass it to a job.
    """

    def __init__(
        self,
        config: StudyConfig,
        points: list[Point],
        muons: dict[str, int],
        digests: dict[str, str],
        imported: ImportCounts | None = None,
        reading: Reading | None = None,
    ):
        self.config, self.points, self.muons, self.digests, self.imported = config, points, muons, digests, imported
        self.reading = reading or Reading()
        varied = {*points[0].values, *([config.target.vary] if config.target else [])}
        self.model: Model = named_by_plane(load_model(config.model, digests.get("model")), config.model, varied)
        self.batches = cut(points, muons, config.compute.batch_cost, digests, imported, reading)

    def changed(
        self, config: StudyConfig, points: list[Point] | None = None, muons: dict[str, int] | None = None
    ) -> Study:
        """The study of the same files with another config, and perhaps other points or numbers of muons."""
        points, muons = points or self.points, muons or self.muons
        return Study(config, points, muons, self.digests, self.imported, self.reading)

    @classmethod
    def from_config(cls, raw: Any) -> Study:
        """The study of a raw config, as read from YAML.

        Raises
        ------
        ConfigError, HitsError, ModelError
            The config, or the hits file or model file that it names, cannot be used.

        """
        found = examined(raw)
        together = Together(f"config: {each.text}" for each in found.mistakes)
        if found.value is None:
            raise together.error()
        config, points, model = found.value, [], None

        def sure(*sections: str) -> bool:
            return not rests_on(sections, found.unsure)

        with together.told():
            points = expand(config, found.unsure)
        if sure("model"):
            with together.told():
                model = load_model(config.model)
        if model:
            _check_models(points, together)
            with together.told():
                units = unit_by_name(StudyConfig, config.model_dump())
                shared_parameters.check_systematics(model, config.systematics, units)
        if model and config.target and sure("target", config.target.vary):
            with together.told():
                _check_target(config, config.target, points, model)
        together.refuse()
        digests = {"model": read_model_file(config.model.file).sha256} if config.model.name == "own" else {}
        imported, reading = None, Reading()
        if config.source.kind == "recorded":  # last, since a long file takes its time
            from ..hits import recorded_file

            assert model  # otherwise refused
            check_kept(config.source.keep, model)
            imported, digests["hits"], reading = recorded_file(config.source, model).plan()
            muons = dict.fromkeys((point.label for point in points), imported.muons)
        else:
            sources = {point.label: point.config.source for point in points}
            muons = {label: source.muons for label, source in sources.items() if isinstance(source, Simulated)}
        return cls(config, points, muons, digests, imported, reading)

    def to_json(self) -> str:
        """The study as a rule's parameter. Keys keep the order of the config, which determines the labels of points."""
        return json.dumps(self._plan())

    def target_to_json(self) -> str:
        """The study as a parameter of the rule that finds a target, without sections that do not affect the target."""
        plan = self._plan()
        plan["config"] = {name: each for name, each in plan["config"].items() if name not in NOT_OF_TARGET}
        return json.dumps(plan)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the results, without the division into jobs."""
        plan = self._plan()
        del plan["config"]["compute"]["batch_cost"]
        return hashlib.sha256(json.dumps(plan).encode()).hexdigest()

    def _plan(self) -> dict[str, Any]:
        # Includes the values from the scan table and the hits file, so that jobs need not read them again.
        return {
            "config": self.config.model_dump(mode="json"),
            "points": [point.values for point in self.points],
            "muons": self.muons,
            "digests": self.digests,
            **({"imported": self.imported.plain()} if self.imported else {}),
            **({"reading": found} if (found := self.reading.plain()) else {}),
        }

    @classmethod
    def from_json(cls, text: str) -> Study:
        """The study that `to_json` wrote."""
        raw = json.loads(text)
        config = StudyConfig.model_validate(raw["config"])
        points = [make_point(config, values) for values in raw["points"]]
        imported = ImportCounts(**raw["imported"]) if "imported" in raw else None
        return cls(config, points, raw["muons"], raw["digests"], imported, Reading.of_plain(raw.get("reading", {})))

    def first_part(self, label: str) -> tuple[Part[SigmaConfig], Block]:
        """The part of a point that holds its first block, and the block."""
        part = next(part for batch in self.batches.values() for part in batch.parts if part.label == label)
        return part.of_kind(SigmaConfig), next(part.blocks)

    @cached_property
    def words(self) -> dict[str, str]:
        """The labels of the points as people read them, by label."""
        return {point.label: point.words for point in self.points}

    @property
    def recorded(self) -> bool:
        """Whether the hits are recorded, without truth."""
        return self.config.source.kind == "recorded"

    def batch(self, kind: str, name: str) -> Batch[Any]:
        """The batch of one artefact."""
        return self.batches[name].of_kind(kind)

    def minutes(self, name: str | None = None) -> int:
        """Minutes that a rule requests from a cluster: by `cost` for a batch, for the whole study without a name.

        A few minutes plus twice the measured time of all rules of the batch; a job of all seven rules therefore
        requests fourteen times the measured time. Machines differ, file systems are shared, and a job that exceeds its
        time is lost.
        """
        if name is None:
            return 10 + math.ceil((len(self.points) + len(self.batches)) / 20)
        work = sum(cost(part) for part in self.batches[name].parts)
        return 5 + math.ceil(2 * work * TOY_SECONDS / 60)

    @property
    def megabytes(self) -> int:
        """Memory in MB that a rule requests from a cluster. It is that of one block, whatever the size of the batch.

        Only a list of hits whose events are apart is held as a whole, at 100 bytes per hit.
        """
        whole = self.imported.hits // 10_000 if self.imported and self.imported.events_apart else 0
        return 800 + 100 * len(self.model.coordinates) + whole

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of artefacts with columns of this study, without the tallies."""
        without = {"tally", *["truth", "coverage"] * self.recorded, *["fits"] * (not has_fit(self.model))}
        return tuple(kind for kind in KINDS if kind not in without)


def _check_models(points: list[Point], together: Together) -> None:
    """Report points whose model is impossible, such as two layers at the same height."""
    told: set[str] = set()
    for point in points:
        try:
            load_model(point.config.model)
        except PullbackError as error:
            if str(error) not in told:
                told.add(str(error))
                together.tell(f"config: scan: point {point.label}: {error}")


def _check_target(config: StudyConfig, target: Target, points: list[Point], model: Model) -> None:
    """Refuse a target with an unknown number or observable, or with a range that excludes the present value."""
    numbers = numeric_fields(config)
    ((observable, _),) = target.sigma.items()
    names = [each.name for each in model.observables]
    if observable not in names:
        close = difflib.get_close_matches(observable, names, n=1)
        meant = f"did you mean {close[0]}?" if close else f"the model has {', '.join(names)}"
        raise ConfigError(f"config: target.sigma.{observable}: no such observable; {meant}")
    allowed = {name for name in numbers if name.startswith(("model.", "detector."))}
    if target.vary in STATED and target.vary not in allowed:
        other = next(each for each in STATED if each != target.vary)
        raise ConfigError(
            f"config: target.vary: {target.vary}: has no value in the config to vary; give it one in place of {other}"
        )
    if target.vary not in allowed:
        raise ConfigError(f"config: target.vary: {target.vary}: no such number; {nearest(target.vary, allowed)}")
    start = numbers[target.vary]
    least = min([start, *(numeric_fields(point.config)[target.vary] for point in points)])
    if target.between is None and least <= 0:
        raise ConfigError(f"config: target.between: must be given, since {target.vary} is {least:g}")
    possible = range_of(target.vary, config)
    for end in target.between or ():
        if not possible[0] <= end <= possible[1]:
            first, *_ = examine(PointConfig, raw_with_numbers(config, {target.vary: end})).mistakes
            raise ConfigError(f"config: target.between: {first.text}")
    low, high = target.range_about(start, possible)
    if low > high:
        raise ConfigError(f"config: target.between: is reversed, [{low:g}, {high:g}]; give the smaller number first")
    if not low < high or not low <= start <= high:
        raise ConfigError(f"config: target.between: is [{low:g}, {high:g}]; {target.vary} = {start:g} must be inside")
