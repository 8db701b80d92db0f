"""Batches: lists of (point, range of blocks), each the work of one job.

Batches are cut by cost, which follows from the config and not from the machine. No result depends on the cuts.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ..config.base import Section
from ..config.schema import PointConfig
from ..hits.counts import ImportCounts
from ..hits.reading import Reading
from ..models import Model, load_model
from . import blocks
from .artefact_configs import KINDS, A, ArtefactConfig, restricted
from .blocks import Block, block_count
from .coverage_bins import series_of
from .scan import Point
from .toy_selection import share

MUON_COST = 20
"""Cost of one coordinate of a muon in all rules, in toys; `benchmarks/costs.py` measures 18 to 48."""

TRUTH_TOY_COST = 10
"""Cost of one coordinate of a toy around true hits, of which intervals are computed, in toys."""

EXPERIMENT_COST = 10_000
"""Cost of one coordinate of a pseudo-experiment, in toys; `benchmarks/costs.py --models` measures 0000 to 0000."""

TOY_SECONDS = 22e-9
"""Time per toy, s, from `benchmarks/costs.py`."""

_LONGEST_NAME = 100

C = TypeVar("C", bound=Section, covariant=True)


@dataclass(frozen=True)
class Part(Generic[C]):
    """A range of blocks of one point, with the config it is made from.

    `config` has the sections that the kind of artefact depends on, and no others. `digests` holds the SHA-256 of the
    user's files, "hits" and "model"; `imported` the counts of the former's rows, and `reading` how to read it.
    """

    label: str
    values: Mapping[str, float]
    muons: int
    first: int
    last: int
    config: C
    digests: Mapping[str, str]
    model: Model = field(compare=False, repr=False)
    imported: ImportCounts | None = None
    reading: Reading = field(default_factory=Reading)

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

    def of_kind(self, kind: type[A]) -> Part[A]:
        """The same muons, with the config of another kind of artefact."""
        config = restricted(self.config, kind)
        rest = self.digests, self.model, self.imported, self.reading
        return Part(self.label, self.values, self.muons, self.first, self.last, config, *rest)

    def made_from(self) -> dict[str, Any]:
        """What the part is made from, for JSON."""
        plain = {
            name: each for name, each in vars(self).items() if name not in ("config", "model", "imported", "reading")
        }
        imported = {"imported": self.imported.plain()} if self.imported else {}
        reading = {"reading": found} if (found := self.reading.plain()) else {}
        return {**plain, "config": self.config.model_dump(mode="json"), **imported, **reading}


@dataclass(frozen=True)
class Batch(Generic[C]):
    """The parts that one job handles, to make one kind of artefact."""

    kind: str
    parts: tuple[Part[C], ...]

    def to_json(self) -> str:
        """The batch as a rule's parameter, so that Snakemake reruns the rule when the batch changes.

        The order of keys is kept, since the order of systematics is that of their random numbers.
        """
        return json.dumps({"kind": self.kind, "parts": [part.made_from() for part in self.parts]})

    @classmethod
    def from_json(cls, text: str) -> Batch[ArtefactConfig]:
        """The batch that `to_json` wrote; a user's model file is read and run."""
        raw = json.loads(text)
        parts = []
        for each in raw["parts"]:
            config = KINDS[raw["kind"]].model_validate(each["config"])
            model = load_model(config.model, each["digests"].get("model"))
            imported = ImportCounts(**each["imported"]) if "imported" in each else None
            found = {"config": config, "imported": imported, "reading": Reading.of_plain(each.get("reading", {}))}
            parts.append(Part(**{**each, **found}, model=model))
        return Batch(raw["kind"], tuple(parts))

    def of_kind(self, kind: str) -> Batch[ArtefactConfig]:
        """The same parts, with the config of another kind of artefact."""
        return Batch(kind, tuple(part.of_kind(KINDS[kind]) for part in self.parts))

    @property
    def digest(self) -> str:
        """SHA-256 of the origin of the artefact."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def cut(
    points: list[Point],
    muons: Mapping[str, int],
    limit: int,
    digests: Mapping[str, str],
    imported: ImportCounts | None = None,
    reading: Reading | None = None,
) -> dict[str, Batch[PointConfig]]:
    """The batches of a study by name, with the whole config of their parts.

    A point with `cost` above the limit is cut into ranges of blocks; pseudo-experiments do not count for this, as each
    range runs all of them. A point that costs more than half of the limit is a batch of its own, so that its result is
    kept when other points are added. Other points are packed in order; the last two batches share their work evenly, or
    a core would soon have nothing to do.
    """
    groups: list[list[Part[PointConfig]]] = []
    room = 0
    for point in points:
        count = muons[point.label]
        model = load_model(point.config.model, digests.get("model"))
        rest = digests, model, imported, reading or Reading()
        whole = Part(point.label, point.values, count, 0, block_count(count), point.config, *rest)
        work = cost(whole)
        for part in _pieces(whole, limit):
            if work <= room:
                groups[-1].append(part)
                room -= work
            else:
                groups.append([part])
                room = limit - work if 2 * work <= limit else 0
    if len(groups) > 1 and all(2 * cost(parts[0]) <= limit for parts in groups[-2:]):
        groups[-2:] = _halves(groups[-2] + groups[-1])
    return {_name(parts): Batch("all", tuple(parts)) for parts in groups}


def _halves(parts: list[Part[PointConfig]]) -> list[list[Part[PointConfig]]]:
    """Parts in order, cut where the larger half costs the least."""
    costs = [cost(part) for part in parts]
    at = min(range(1, len(parts)), key=lambda end: max(sum(costs[:end]), sum(costs[end:])))
    return [parts[:at], parts[at:]]


def _pieces(whole: Part[PointConfig], limit: int) -> list[Part[PointConfig]]:
    """As few equal ranges of the blocks of a point as cost no more than the limit each, or are a single block."""
    for count in range(min(-(-_divisible(whole) // limit), whole.last), whole.last + 1):
        ends = [whole.last * piece // count for piece in range(count + 1)]
        parts = [replace(whole, first=first, last=last) for first, last in itertools.pairwise(ends)]
        if all(_divisible(part) <= limit for part in parts):
            break
    if not whole.reading.starts:
        return parts
    return [replace(part, reading=whole.reading.of_blocks(part.first, part.last)) for part in parts]


def cost(part: Part[PointConfig]) -> int:
    """Work of a part in toys: that of its muons and their toys, and of pseudo-experiments, if there are systematics."""
    experiments = part.config.toys.experiments if part.config.systematics else 0
    return _divisible(part) + len(part.model.coordinates) * experiments * EXPERIMENT_COST


def _divisible(part: Part[PointConfig]) -> int:
    """Work in toys: coordinates × (muons × `MUON_COST` × the model's cost + toys + toys around true hits)."""
    thrown, around_truth = toys_of(part)
    muons = round((part.stop - part.start) * MUON_COST * part.model.cost)
    return len(part.model.coordinates) * (muons + thrown + around_truth * TRUTH_TOY_COST)


def toys_of(part: Part[PointConfig]) -> tuple[int, int]:
    """Numbers of toys around recorded and around true hits of a part."""
    toys, blocks_of_point = part.config.toys, block_count(part.muons)
    each = toys.per_muon if toys.mode == "fixed" else toys.most
    mine = range(part.first, part.last)
    thrown = len(share(mine, blocks_of_point, min(toys.muons, part.muons))) * each
    if part.config.source.kind != "simulated":
        return thrown, 0
    bins = sum(len(series.edges) - 1 for series in series_of(part.model))
    return thrown, len(share(mine, blocks_of_point, bins * part.config.coverage.toys_per_bin))


def _name(parts: list[Part[PointConfig]]) -> str:
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
