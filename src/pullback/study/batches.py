"""Batches: lists of (point, range of blocks), each the work of one job. No result depends on how they are cut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..config.base import Section
from ..hits.counts import ImportCounts
from ..hits.reading import Reading
from ..models import Model, load_model
from . import blocks
from .artefact_configs import KINDS, A, ArtefactConfig, restricted
from .blocks import Block

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


def short(name: str) -> str:
    """A name that is short enough for a file, at most 255 bytes, even if it lists many parameters."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    begin = encoded[:_LONGEST_NAME].decode(errors="ignore")  # without an incomplete character
    return f"{begin}-{hashlib.sha256(encoded).hexdigest()[:12]}"
