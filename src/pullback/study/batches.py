"""Batches: lists of (point, range of blocks), each the work of one job.

Batches are cut by cost, which follows from the config and not from the machine. No result depends on the cuts.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from ..models import Model, load_model
from . import blocks
from .blocks import Block, block_count
from .scan import Point
from .toy_selection import share

MUON_COST = 20
"""Cost of one coordinate of a muon in all rules, in toys; `benchmarks/costs.py` measures 18 to 48."""

TOY_SECONDS = 22e-9
"""Time per toy, s, from `benchmarks/costs.py`."""

_LONGEST_NAME = 100

_TRUTH = ("seed", "random_numbers", "source", "model.name")
_TOYS = ("detector", "model", "systematics", "toys", "compute.device_random")
DRAWN_ANYWHERE = ("one_hit",)
"""Models whose true hits do not depend on their parameters."""

KINDS = {
    "truth": _TRUTH,
    "reco": (*_TRUTH, "detector"),
    "theta": (*_TRUTH, "detector", "model"),
    "sigma": (*_TRUTH, "detector", "model", "systematics", "uncertainty"),
    "toys": (*_TRUTH, *_TOYS),
    "tally": (*_TRUTH, *_TOYS, "uncertainty", "validation.domain"),
}
"""Config that each kind of artefact depends on; the artefact is remade when it changes."""


@dataclass(frozen=True)
class Part:
    """A range of blocks of one point, with the config it is made from."""

    label: str
    values: dict[str, float]
    muons: int
    first: int
    last: int
    config: dict[str, Any]

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks in order."""
        for index in range(self.first, self.last):
            yield Block(index, index * blocks.BLOCK, min((index + 1) * blocks.BLOCK, self.muons))

    @property
    def start(self) -> int:
        """Index of the first muon."""
        return self.first * blocks.BLOCK

    @property
    def stop(self) -> int:
        """Index after the last muon."""
        return min(self.last * blocks.BLOCK, self.muons)

    @property
    def model(self) -> Model:
        """The inference model; without its parameters for true hits that do not depend on them."""
        section = dict(self.config["model"])
        for key in {"coordinates", "observables"} & section.keys():
            section[key] = [SimpleNamespace(**quantity) for quantity in section[key]]
        return load_model(SimpleNamespace(**section))

    @property
    def settings(self) -> SimpleNamespace:
        """The config as attributes, without the sections that the artefact does not depend on."""
        return json.loads(json.dumps(self.config), object_hook=lambda section: SimpleNamespace(**section))


@dataclass(frozen=True)
class Batch:
    """The parts that one job handles, to make one kind of artefact."""

    kind: str
    parts: tuple[Part, ...]

    def to_json(self) -> str:
        """The batch as a rule's parameter, so that Snakemake reruns the rule when the batch changes.

        The order of keys is kept, since the order of systematics is that of their random numbers.
        """
        return json.dumps({"kind": self.kind, "parts": [vars(part) for part in self.parts]})

    @classmethod
    def from_json(cls, text: str) -> Batch:
        """The batch that `to_json` wrote."""
        raw = json.loads(text)
        return cls(raw["kind"], tuple(Part(**part) for part in raw["parts"]))

    def of_kind(self, kind: str) -> Batch:
        """The same parts, with the config of another kind of artefact."""
        parts = (
            Part(**{**vars(part), "config": _restrict(part.config, _made_from(kind, part))}) for part in self.parts
        )
        return Batch(kind, tuple(parts))

    @property
    def digest(self) -> str:
        """SHA-256 of the origin of the artefact."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def cut(
    points: list[Point],
    muons: dict[str, int],
    model: Model,
    limit: int,
    extra: Mapping[tuple[str, str], str] | None = None,
) -> dict[str, Batch]:
    """The batches of a study by name, with the whole config of their parts.

    A point with `cost` above the limit is cut into ranges of blocks. A point that costs more than half of the limit is
    a batch of its own, so that its result is kept when other points are added. Other points are packed in order.
    `extra` holds additional entries of the config, by section and key.
    """
    groups: list[list[Part]] = []
    room = 0
    for point in points:
        total = block_count(muons[point.label])
        whole = _part(point, muons[point.label], extra or {})
        work = cost(whole, model)
        for part in _pieces(whole, total, limit, model):
            if work <= room:
                groups[-1].append(part)
                room -= work
            else:
                groups.append([part])
                room = limit - work if 2 * work <= limit else 0
    return {_name(parts): Batch("all", tuple(parts)) for parts in groups}


def _pieces(whole: Part, total: int, limit: int, model: Model) -> list[Part]:
    """As few equal ranges of the blocks of a point as cost no more than the limit each, or are a single block."""
    for count in range(min(-(-cost(whole, model) // limit), total), total + 1):
        ends = [total * piece // count for piece in range(count + 1)]
        parts = [replace(whole, first=first, last=last) for first, last in itertools.pairwise(ends)]
        if all(cost(part, model) <= limit for part in parts):
            break
    return parts


def cost(part: Part, model: Model) -> int:
    """Work of a part in toys: coordinates × (muons × `MUON_COST` × the model's cost + toys)."""
    toys = part.config["toys"]
    each = toys["per_muon"] if toys["mode"] == "fixed" else toys["most"]
    thrown = len(share(range(part.first, part.last), block_count(part.muons), min(toys["muons"], part.muons))) * each
    return len(model.coordinates) * (round((part.stop - part.start) * MUON_COST * model.cost) + thrown)


def _part(point: Point, muons: int, extra: Mapping[tuple[str, str], str]) -> Part:
    config = point.config.model_dump(mode="json", exclude={"study", "target", "figures"})
    for (section, key), value in extra.items():
        config[section][key] = value
    return Part(point.label, point.values, muons, 0, block_count(muons), config)


def _name(parts: list[Part]) -> str:
    """A file name that does not change when work is added at the end of the batch.

    It contains no commas, since Snakemake passes wildcards to a cluster job in a comma-separated list.
    """
    first = parts[0]
    name = first.label.replace(",", "_")
    if (first.first, first.last) != (0, block_count(first.muons)):
        name += f"_blocks={first.first}-{first.last - 1}"
    if len(parts) > 1:
        name += "_etc"
    return short(name)


def short(name: str) -> str:
    """A name that is short enough for a file, at most 255 bytes, even if it lists many parameters."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    begin = encoded[:_LONGEST_NAME].decode(errors="ignore")  # without an incomplete character
    return f"{begin}-{hashlib.sha256(encoded).hexdigest()[:12]}"


def _made_from(kind: str, part: Part) -> tuple[str, ...]:
    """Names of the config entries that a kind of artefact of a part depends on."""
    anywhere = part.config["model"]["name"] in DRAWN_ANYWHERE
    return tuple("model" if name == "model.name" and not anywhere else name for name in KINDS[kind])


def _restrict(config: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The named sections and fields of a config."""
    kept: dict[str, Any] = {}
    for name in names:
        section, _, key = name.partition(".")
        if not key:
            kept[section] = config[section]
        elif section not in kept:
            kept[section] = {key: config[section][key]}
    return kept
