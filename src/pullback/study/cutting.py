"""Cuts a study into batches by the work of its points, which follows from the config and not from the machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from ..config.schema import PointConfig
from ..hits.counts import ImportCounts
from ..hits.reading import Reading
from ..models import load_model
from .batches import Batch, Part, short
from .blocks import block_count
from .scan import Point
from .work import cost, divisible_cost


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
    for count in range(min(-(-divisible_cost(whole) // limit), whole.last), whole.last + 1):
        ends = [whole.last * piece // count for piece in range(count + 1)]
        parts = [replace(whole, first=first, last=last) for first, last in itertools.pairwise(ends)]
        if all(divisible_cost(part) <= limit for part in parts):
            break
    if not whole.reading.starts:
        return parts
    return [replace(part, reading=whole.reading.of_blocks(part.first, part.last)) for part in parts]


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
