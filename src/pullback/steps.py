"""The steps of the pipeline that work batch by batch: each makes one kind of artefact, block by block.

A step handles whatever points its batch holds, and a block's result depends on its point and index alone. numpy is
enough to simulate and smear; torch is imported where a model is evaluated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import artefacts, columns, noise
from .artefacts import Reader, Writer
from .batches import Batch, Block, Part, block_count
from .columns import FLAGS
from .models import Quantity
from .smearing import smear
from .streams import key_of, stream
from .toy_muons import share, spread_over

log = logging.getLogger(__name__)

TOYS_BETWEEN_LOGS = 100_000_000


class Place(NamedTuple):
    """Where a model is evaluated: the artefact and the column of the hits, and how the results are named after it."""

    kind: str
    column: str
    suffix: str
    words: str


RECO = Place("reco", "x_reco", "", "")
TRUTH = Place("truth", "x_true", "_true", " at the true hits")


def simulate_hits(batch: Batch, truth: str | Path) -> None:
    """Draw the true hits of a batch: x_true (muon, coordinate), m."""
    with artefacts.create(truth, batch) as out:
        for part in batch.parts:
            ranges = {key: value for key, value in vars(part.settings.source).items() if key not in ("kind", "muons")}
            column = columns.of_hits(out, part, "x_true", "true")
            for block in _progress(part, "simulated"):
                column.append(part.model.draw(_stream(part, "truth", block.index), len(block), **ranges))


def smear_hits(batch: Batch, truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the noise that the detector has: x_reco (muon, coordinate), m."""
    with artefacts.read(truth, batch.of_kind("truth")) as true, artefacts.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column, detector = columns.of_hits(out, part, "x_reco", "recorded"), part.settings.detector
            for block in _progress(part, "smeared"):
                x_true = true.read(part, "x_true", block)
                deviates = noise.draw(detector.noise, _stream(part, "noise", block.index), x_true.shape)
                column.append(smear(x_true, noise.resolution_of(detector), deviates))


def import_hits(batch: Batch, file: str | Path, reco: str | Path) -> None:
    """Read recorded hits from a file: x_reco (muon, coordinate), m."""
    from .recorded import read_hits

    with artefacts.create(reco, batch) as out:
        # The points of a scan hold the same rows, which are read once for all of them.
        for (start, stop), group in groupby(batch.parts, key=lambda part: (part.start, part.stop)):
            parts = list(group)
            outputs = [columns.of_hits(out, part, "x_reco", "recorded") for part in parts]
            names = [coordinate.name for coordinate in parts[0].model.coordinates]
            for _, values in zip(_progress(parts[0], "imported"), read_hits(file, names, start, stop), strict=True):
                for column in outputs:
                    column.append(values)


def infer_theta(batch: Batch, reco: str | Path, theta: str | Path, truth: str | Path | None = None) -> None:
    """Infer the observables at the recorded hits, `<o>`, and where there is a truth at the true ones, `<o>_true`."""
    with (
        _parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefacts.create(theta, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            infer = _inference(part)
            for place, parent in parents.items():
                kinds = {"value": columns.Kind("{name}" + place.suffix, "{long_name}" + place.words)}
                table = columns.of_muons(out, part, kinds)
                for block in _progress(part, f"inferred{place.words}"):
                    table.append({"value": _evaluate(infer, parent.read(part, place.column, block))})


def propagate_uncertainty(batch: Batch, reco: str | Path, sigma: str | Path, truth: str | Path | None = None) -> None:
    """Propagate the stated resolution to the observables at the recorded hits.

    For each observable `sigma_<o>`, the one to quote, `sigma_<o>_linear` by the Jacobian, `linear_ok_<o>`, whether
    the two are one, `bias_<o>`, `interval68_<o>` and `interval95_<o>`. `flag` says of which muons the
    uncertainty is not to be used, and why.

    Where there is a truth, also `sigma_<o>_linear_true` at the true hits, which says how far a muon is from a fold.
    """
    import torch

    from .propagation import propagate
    from .quoting import quote

    with (
        _parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefacts.create(sigma, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            infer, variance = _inference(part), part.settings.detector.resolution**-2
            n_dig = part.settings.uncertainty.n_dig
            table, flags = columns.of_muons(out, part, columns.QUOTED), columns.of_flags(out, part)
            for block in _progress(part, "propagated"):
                hits = parents[RECO].read(part, RECO.column, block)
                quoted = _arrays(quote(infer, torch.from_numpy(hits), variance, n_dig=n_dig))
                table.append(quoted)
                flags.append(_flag(hits, quoted["value"], quoted["sigma"]))
            if TRUTH not in parents:
                continue
            table = columns.of_muons(out, part, columns.TRUE_LINEAR)
            for block in _progress(part, "propagated at the true hits"):
                hits = parents[TRUTH].read(part, TRUTH.column, block)
                table.append(_arrays(propagate(infer, torch.from_numpy(hits), variance)))


def run_toys(batch: Batch, reco: str | Path, toys: str | Path) -> None:
    """Throw toys around the recorded hits of muons evenly spread over θ, for which an uncertainty is quoted.

    Writes in a group `toys` of each point: `muon` (its index in the point), `toy_count`, and for each observable its
    mean, standard deviation and intervals over the toys, with their errors. Points that share their random numbers are
    thrown together.
    """
    import torch

    from .toys import Throw, Toys, throw_toys

    with artefacts.read(reco, batch.of_kind("reco")) as parent, artefacts.create(toys, batch, [parent]) as out:
        chosen = {part.label: _choose(part, parent) for part in batch.parts}
        results: dict[str, list[Toys]] = {part.label: [] for part in batch.parts}

        def shared(part: Part) -> tuple:
            settings = part.settings
            own = part.label if settings.random_numbers == "independent" else ""
            # The pitch of strips is their unit, and no part of their deviates.
            shape = sorted((key, value) for key, value in vars(settings.detector.noise).items() if key != "pitch")
            thrown = settings.toys.mode, settings.toys.per_muon, settings.toys.most, settings.toys.n_dig
            return own, settings.seed, shape, thrown, tuple(chosen[part.label].toy.tolist())

        for (_, _, _, (mode, per_muon, most, n_dig), toy), group in groupby(
            sorted(batch.parts, key=shared), key=shared
        ):
            parts = list(group)
            adaptive = mode == "adaptive"
            count = most if adaptive else per_muon
            draw = partial(noise.draw, parts[0].settings.detector.noise)
            step = max(1, TOYS_BETWEEN_LOGS // (count * len(parts)))
            for first in range(0, max(1, len(toy)), step):
                rows = slice(first, first + step)
                throws = [
                    Throw(
                        _inference(part),
                        torch.from_numpy(chosen[part.label].hits[rows]),
                        1 / noise.resolution_of(part.settings.detector),
                    )
                    for part in parts
                ]
                rngs = [_stream(parts[0], "toys", index) for index in toy[rows]]
                found = throw_toys(throws, count, rngs, draw=draw, n_dig=n_dig if adaptive else None)
                for part, result in zip(parts, found, strict=True):
                    results[part.label].append(result)
                log.info(
                    "%d points: toys of %d of %d muons thrown",
                    len(parts),
                    min(first + step, len(toy)),
                    len(toy),
                )

        for part in batch.parts:
            _write_toys(out, part, chosen[part.label], results[part.label])


class _Chosen(NamedTuple):
    """The muons of a part that toys are thrown around: their index in the point, hits, toy number and block."""

    muon: np.ndarray
    hits: np.ndarray
    toy: np.ndarray
    block: np.ndarray


def _choose(part: Part, parent: Reader) -> _Chosen:
    infer, rows = _inference(part), []
    for block in part.blocks:
        here = range(block.index, block.index + 1)
        toys = np.array(share(here, block_count(part.muons), min(part.settings.toys.muons, part.muons)), "i8")
        hits = parent.read(part, RECO.column, block)
        chosen = spread_over(_evaluate(infer, hits)[:, 0], toys) if len(toys) else toys
        toys = toys[: len(chosen)]
        rows.append(_Chosen(block.start + chosen, hits[chosen], toys, np.full(len(chosen), block.index)))
    return _Chosen(*map(np.concatenate, zip(*rows, strict=True)))


def _write_toys(out: Writer, part: Part, chosen: _Chosen, results: Sequence) -> None:
    import torch

    result = _arrays(type(results[0])(*map(torch.cat, zip(*results, strict=True))))
    group, mode = out.point(part).create_group("toys"), part.settings.toys.mode
    group.attrs["mode"] = mode
    about = [
        (Quantity("muon", "1", "index of the muon in its point"), chosen.muon),
        (Quantity("toy_count", "1", "toys thrown around the muon"), result["count"]),
    ]
    if mode == "adaptive":
        words = "whether the toys are stable in the digits asked for"
        about.append((Quantity("toy_settled", "1", words), result["settled"].astype("u1")))
    shape, dims = chosen.muon.shape, {"toy_muon": None}
    singles = [(out.column(group, q.name, shape, dims, q, values.dtype.str), values) for q, values in about]
    table = columns.Table(out, part, columns.TOYS, group, "toy_muon", len(chosen.muon))
    for block in part.blocks:
        rows = chosen.block == block.index
        table.append(result, rows)
        for column, values in singles:
            column.append(values[rows])


def _inference(part: Part) -> Callable:
    parameters = {key: value for key, value in part.config["model"].items() if key != "name"}
    return part.model.bound(**parameters)


def _evaluate(infer: Callable, hits: np.ndarray) -> np.ndarray:
    """Observables (muon, observable); NaN for a muon with a hit that is not finite, for inf is no measurement."""
    import torch

    with torch.no_grad():
        values = infer(torch.from_numpy(hits)).numpy()
    return np.where(np.isfinite(hits).all(axis=1, keepdims=True), values, np.nan)


def _arrays(result: Any) -> dict[str, np.ndarray]:
    """The fields of a named tuple of tensors."""
    return {name: tensor.numpy() for name, tensor in result._asdict().items()}


def _flag(hits: np.ndarray, value: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    finite = np.isfinite(hits).all(axis=1)
    valued = np.isfinite(value).all(axis=1)
    unusable = finite & ~((sigma != 0) & np.isfinite(sigma)).all(axis=1)
    bits = (~finite, finite & ~valued, unusable, (sigma < 0).any(axis=1))
    return sum(bit.astype("u1") * np.uint8(mask) for bit, mask in zip(bits, FLAGS.values(), strict=True))


def _stream(part: Part, purpose: str, index: int) -> np.random.Generator:
    own = key_of(part.label) if part.settings.random_numbers == "independent" else ()
    return stream(part.settings.seed, purpose, *own, index)


@contextmanager
def _parents(batch: Batch, files: dict[Place, str | Path | None]) -> Iterator[dict[Place, Reader]]:
    """The artefacts that a step reads, open, by place; those that the study doesn't have are left out."""
    with ExitStack() as stack:
        yield {
            place: stack.enter_context(artefacts.read(file, batch.of_kind(place.kind)))
            for place, file in files.items()
            if file
        }


def _progress(part: Part, done: str) -> Iterator[Block]:
    """The blocks of a part, with a line in the log after each tenth."""
    blocks = list(part.blocks)
    for index, block in enumerate(blocks, 1):
        yield block
        if index == len(blocks) or index * 10 // len(blocks) > (index - 1) * 10 // len(blocks):
            log.info("%s: %s %d of %d muons", part.label, done, block.stop - part.start, part.stop - part.start)
