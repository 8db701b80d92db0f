"""Toys around the recorded hits of selected muons.

The result for a block depends only on its point and index, not on the batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..detector.known import Known
from ..detector.response import Response, stream_of
from ..models import Quantity
from ..store import artefact, columns
from ..store.artefact import Reader, Writer
from ..store.netcdf import Dims
from ..study.artefact_configs import ToysConfig
from ..study.batches import Batch, Part
from ..study.blocks import block_count
from ..study.toy_selection import share, spread_over_all
from .common import RECO, arrays, configured_device, evaluate, log, read_hits

if TYPE_CHECKING:
    import torch

    from ..uncertainty.toys import AnyGenerator, ToySetup

TOYS_BETWEEN_LOGS = 100_000_000

PULLS_AT_A_TIME = 1 << 25
"""Sums over muons, block by block, that are held of pseudo-experiments: 256 MiB."""


def run_toys(batch: Batch[ToysConfig], reco: str | Path, toys: str | Path, device: str = "cpu") -> None:
    """Throw toys around the recorded hits of muons that are evenly spread over the observables with a fold.

    Writes in a group `toys` of each point: `muon` (index in the point), `toy_count`, and for each observable the mean,
    standard deviation and intervals of its toys, with their errors. Points with common random numbers are thrown
    together. Observables are inferred on a `device` of the config.
    """
    import torch

    from ..uncertainty.toys import Toys, throw_toys

    # The config, not the job's resource, decides where random numbers come from.
    random_there = any(part.config.compute.device_random for part in batch.parts)
    where = configured_device("cuda" if random_there else device)
    log.info("on %s", where)
    with artefact.read(reco, batch.of_kind("reco")) as parent, artefact.create(toys, batch, [parent]) as out:
        chosen = {part.label: _choose(part, parent) for part in batch.parts}
        results: dict[str, list[Toys]] = {part.label: [] for part in batch.parts}

        for group in _together(batch, chosen):
            first, toys_of = group[0], group[0].config.toys
            adaptive = toys_of.mode == "adaptive"
            count = toys_of.most if adaptive else toys_of.per_muon
            toy = chosen[first.label].toy
            step = max(1, TOYS_BETWEEN_LOGS // (count * len(group)))
            for start in range(0, max(1, len(toy)), step):
                rows = slice(start, start + step)
                throws = [_throw(part, chosen[part.label], rows, where) for part in group]
                rngs = [_random(first, "toys", index, where) for index in toy[rows].tolist()]
                n_dig = toys_of.n_dig if adaptive else None
                found = throw_toys(throws, count, rngs, draw=Response(first).toy_deviates, n_dig=n_dig)
                for part, result in zip(group, found, strict=True):
                    results[part.label].append(result)
                log.info("%d points: toys of %d of %d muons thrown", len(group), min(start + step, len(toy)), len(toy))

        for part in batch.parts:
            thrown = arrays(Toys(*map(torch.cat, zip(*results[part.label], strict=True))))
            _write_toys(out, part, chosen[part.label], thrown)
            if part.config.systematics:
                _run_experiments(out, part, chosen[part.label], thrown, where)


def _together(batch: Batch[ToysConfig], chosen: Mapping[str, _Chosen]) -> Iterator[list[Part[ToysConfig]]]:
    """The parts whose toys have the same deviates, together."""

    def shared(part: Part[ToysConfig]) -> _Deviates:
        config, toys = part.config, part.config.toys
        return _Deviates(
            own=part.label if config.random_numbers == "independent" else "",
            seed=config.seed,
            # The pitch of strips is their unit, and does not change their deviates.
            noise=json.dumps(config.detector.noise.model_dump(exclude={"pitch"}), sort_keys=True),
            coordinates=len(part.model.layers),
            kicked=part.model.covariance is not None,
            mode=toys.mode,
            per_muon=toys.per_muon,
            most=toys.most,
            n_dig=toys.n_dig,
            toy=tuple(chosen[part.label].toy.tolist()),
        )

    for _, group in groupby(sorted(batch.parts, key=shared), key=shared):
        yield list(group)


class _Deviates(NamedTuple):
    """What the deviates of a part's toys depend on."""

    own: str
    """The point's label, if its random numbers are its own."""
    seed: int
    noise: str
    coordinates: int
    kicked: bool
    mode: str
    per_muon: int
    most: int
    n_dig: int
    toy: tuple[int, ...]


class _Chosen(NamedTuple):
    """The toy muons of a part: index in the point, hits, toy number and block.

    `known` is what else is known of them.
    """

    muon: np.ndarray
    hits: np.ndarray
    toy: np.ndarray
    block: np.ndarray
    known: Known


def _choose(part: Part[ToysConfig], parent: Reader) -> _Chosen:
    from ..detector.reconstruction import Reconstruction

    reconstruction = Reconstruction.of(part)
    folds = [index for index, each in enumerate(part.model.observables) if each.fold in ("", each.name)] or [0]
    rows: list[_Chosen] = []
    for block in part.blocks:
        here = range(block.index, block.index + 1)
        toys = np.array(share(here, block_count(part.muons), min(part.config.toys.muons, part.muons)), "i8")
        if rows and not len(toys):  # as in most blocks of a large study
            continue
        tensor, known = read_hits(parent, part, RECO, block)
        hits = tensor.numpy()
        taken = reconstruction.arguments(tensor, known).numpy()
        values = evaluate(reconstruction.infer, taken)[:, folds]
        chosen, toys = spread_over_all(values, toys) if len(toys) else (toys, toys)
        of_chosen = known.each(lambda values: values.numpy()[chosen])  # noqa: B023
        rows.append(_Chosen(block.start + chosen, hits[chosen], toys, np.full(len(chosen), block.index), of_chosen))
    muon, hits, toy, index = (np.concatenate(each) for each in zip(*(row[:4] for row in rows), strict=True))
    return _Chosen(muon, hits, toy, index, Known.joined([row.known for row in rows]))


def _random(part: Part[ToysConfig], purpose: str, index: int, where: torch.device) -> AnyGenerator:
    """The random stream of a point for a purpose: on the CPU, or on the device if `device_random` is set."""
    from ..uncertainty.device import DeviceGenerator

    stream = stream_of(part, purpose, index)
    return DeviceGenerator(stream, where) if part.config.compute.device_random else stream


def _throw(part: Part[ToysConfig], chosen: _Chosen, rows: slice | np.ndarray, where: torch.device) -> ToySetup:
    """The setup of toys around the selected muons, on a device."""
    return Response(part).around(*_hits_of(chosen, rows, where))


def _hits_of(chosen: _Chosen, rows: slice | np.ndarray, where: torch.device) -> tuple[torch.Tensor, Known]:
    """The hits of the selected muons, and what else is known of them, on a device."""
    import torch

    known = chosen.known.each(lambda values: torch.from_numpy(values[rows]).to(where))
    return torch.from_numpy(chosen.hits[rows]).to(where), known


def _write_toys(out: Writer, part: Part[ToysConfig], chosen: _Chosen, result: dict[str, np.ndarray]) -> None:
    group, mode = out.point(part).create_group("toys"), part.config.toys.mode
    group.attrs["mode"] = mode
    about = [
        (Quantity("muon", "1", "index of the muon in its point"), chosen.muon),
        (Quantity("toy_count", "1", "number of toys thrown around the muon"), result["toys"]),
    ]
    if mode == "adaptive":
        words = "whether the toys are stable in the requested digits"
        about.append((Quantity("toy_settled", "1", words), result["settled"].astype("u1")))
    shape, dims = chosen.muon.shape, Dims(toy_muon=None)
    singles = [(out.column(group, q.name, shape, dims, q, values.dtype.str), values) for q, values in about]
    table = columns.ColumnGroup(out, part, columns.TOYS, group, "toy_muon", len(chosen.muon))
    for block in part.blocks:
        rows = chosen.block == block.index
        table.append(result, rows)
        for column, values in singles:
            column.append(values[rows])


def _run_experiments(
    out: Writer, part: Part[ToysConfig], chosen: _Chosen, thrown: dict[str, np.ndarray], where: torch.device
) -> None:
    """Run pseudo-experiments with some of the toy muons, those of many blocks together, and write their results."""
    import torch

    from ..uncertainty.elementwise import whole_vectors
    from .pseudo_experiments import NoiseOfBlock, columns_of, run_experiments, taking_part

    write, mine = columns_of(out, part, chosen.toy, chosen.block), np.flatnonzero(taking_part(part, chosen.toy))
    if not len(mine):
        return
    blocks, counts = np.unique(chosen.block[mine], return_counts=True)
    of_blocks = np.split(mine, np.cumsum(counts)[:-1])
    together = max(1, PULLS_AT_A_TIME // (2 * part.config.toys.experiments * len(part.model.observables)))
    for start in range(0, len(blocks), together):
        some = of_blocks[start : start + together]
        noise = [
            NoiseOfBlock(len(rows), _random(part, "experiments", index, where))
            for index, rows in zip(blocks[start : start + together].tolist(), some, strict=True)
        ]
        rows = whole_vectors(torch.from_numpy(np.concatenate(some))).numpy()
        hits, known = _hits_of(chosen, rows, where)
        throw, spread = Response(part).around_hits(hits, known), (thrown["mean"][rows], thrown["sd"][rows])
        found = run_experiments(part, throw, *spread, stream_of(part, "systematics", 0), noise, known)
        for of_block, rows in zip(found, some, strict=True):
            write(chosen.muon[rows], of_block)
