"""The steps of the pipeline that work batch by batch: each makes one kind of artefact, block by block.

A step handles whatever points its batch holds, and a block's result depends on its point and index alone. numpy is
enough to simulate and smear; torch is imported where a model is evaluated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import artefacts, models
from .artefacts import Column, Reader, Writer
from .batches import Batch, Block, Part, block_count
from .models import Model, Quantity
from .smearing import smear
from .streams import key_of, stream
from .toy_muons import share, spread_over

log = logging.getLogger(__name__)

FLAGS = {"hit_not_finite": 1, "value_not_finite": 2, "sigma_zero_or_nan": 4, "sigma_negative": 8}
"""Bits of the column `flag`: why a muon's uncertainty is not to be used."""

TOYS_BETWEEN_LOGS = 10_000_000


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
            column = _hits_column(out, part, "x_true", "true")
            for block in _progress(part, "simulated"):
                column.append(_model(part).draw(_stream(part, "truth", block.index), len(block), **ranges))


def smear_hits(batch: Batch, truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the detector's resolution: x_reco (muon, coordinate), m."""
    with artefacts.read(truth, batch.of_kind("truth")) as true, artefacts.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column = _hits_column(out, part, "x_reco", "recorded")
            for block in _progress(part, "smeared"):
                x_true = true.read(part, "x_true", block)
                noise = _stream(part, "noise", block.index).standard_normal(x_true.shape)
                column.append(smear(x_true, part.settings.detector.resolution, noise))


def import_hits(batch: Batch, file: str | Path, reco: str | Path) -> None:
    """Read recorded hits from a file: x_reco (muon, coordinate), m."""
    from .recorded import read_hits

    with artefacts.create(reco, batch) as out:
        # The points of a scan hold the same rows, which are read once for all of them.
        for (start, stop), group in groupby(batch.parts, key=lambda part: (part.start, part.stop)):
            parts = list(group)
            columns = [_hits_column(out, part, "x_reco", "recorded") for part in parts]
            names = [coordinate.name for coordinate in _model(parts[0]).coordinates]
            for _, values in zip(_progress(parts[0], "imported"), read_hits(file, names, start, stop), strict=True):
                for column in columns:
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
                columns = _observable_columns(out, part, "{name}" + place.suffix, "{long_name}" + place.words)
                for block in _progress(part, f"inferred{place.words}"):
                    _append(columns, _evaluate(infer, parent.read(part, place.column, block)))


def propagate_uncertainty(batch: Batch, reco: str | Path, sigma: str | Path, truth: str | Path | None = None) -> None:
    """Propagate the resolution to the observables by their Jacobian at the recorded hits: `sigma_<o>_linear`.

    Where there is a truth, also at the true hits: `sigma_<o>_linear_true`, against which the validation holds the toys.
    `flag` says of which muons the uncertainty is not to be used, and why.
    """
    import torch

    from .propagation import propagate

    with (
        _parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefacts.create(sigma, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            infer, variance = _inference(part), part.settings.detector.resolution**-2
            flags = _flag_column(out, part)
            for place, parent in parents.items():
                words = "standard uncertainty by the linear law of the {long_name}" + place.words
                columns = _observable_columns(out, part, "sigma_{name}_linear" + place.suffix, words)
                for block in _progress(part, f"propagated{place.words}"):
                    hits = parent.read(part, place.column, block)
                    value, _, sigma = propagate(infer, torch.from_numpy(hits), variance)
                    _append(columns, sigma.numpy())
                    if place is RECO:
                        flags.append(_flag(hits, value.numpy(), sigma.numpy()))


def run_toys(
    batch: Batch, toys: str | Path, *, truth: str | Path | None = None, reco: str | Path | None = None
) -> None:
    """Throw toys around the true hits, or where there is no truth the recorded ones, of muons evenly spread over θ.

    Writes in a group `toys` of each point: `muon` (its index in the point), `toy_mean_<o>` and `toy_sd_<o>`. Points
    that share their random numbers are thrown together.
    """
    import torch

    from .toys import Throw, Toys, throw_toys

    with (
        _parents(batch, {TRUTH: truth, RECO: reco}) as parents,
        artefacts.create(toys, batch, parents.values()) as out,
    ):
        ((place, parent),) = parents.items()
        chosen = {part.label: _choose(part, parent, place) for part in batch.parts}
        results: dict[str, list[Toys]] = {part.label: [] for part in batch.parts}

        def shared(part: Part) -> tuple:
            own = part.label if part.settings.random_numbers == "independent" else ""
            return own, part.settings.seed, part.settings.toys.per_muon, tuple(chosen[part.label].toy.tolist())

        for (_, _, per_muon, toy), group in groupby(sorted(batch.parts, key=shared), key=shared):
            parts = list(group)
            step = max(1, TOYS_BETWEEN_LOGS // (per_muon * len(parts)))
            for first in range(0, len(toy), step):
                rows = slice(first, first + step)
                throws = [
                    Throw(
                        _inference(part),
                        torch.from_numpy(chosen[part.label].hits[rows]),
                        1 / part.settings.detector.resolution,
                    )
                    for part in parts
                ]
                rngs = [_stream(parts[0], "toys", index) for index in toy[rows]]
                for part, result in zip(parts, throw_toys(throws, per_muon, rngs), strict=True):
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


def _choose(part: Part, parent: Reader, place: Place) -> _Chosen:
    infer, rows = _inference(part), []
    for block in part.blocks:
        here = range(block.index, block.index + 1)
        toys = np.array(share(here, block_count(part.muons), min(part.settings.toys.muons, part.muons)), "i8")
        hits = parent.read(part, place.column, block)
        chosen = spread_over(_evaluate(infer, hits)[:, 0], toys) if len(toys) else toys
        toys = toys[: len(chosen)]
        rows.append(_Chosen(block.start + chosen, hits[chosen], toys, np.full(len(chosen), block.index)))
    return _Chosen(*map(np.concatenate, zip(*rows, strict=True)))


def _write_toys(out: Writer, part: Part, chosen: _Chosen, results: Sequence) -> None:
    group = out.point(part).create_group("toys")
    group.attrs["per_muon"] = part.settings.toys.per_muon
    table = {"muon": (chosen.muon, Quantity("muon", "1", "index of the muon in its point"))}
    for axis, each in enumerate(_model(part).observables):
        for field, words in (("mean", "mean"), ("sd", "standard deviation")):
            values = np.concatenate([getattr(result, field)[:, axis].numpy() for result in results] or [np.empty(0)])
            table[f"toy_{field}_{each.name}"] = (
                values,
                each._replace(long_name=f"{words} of the {each.long_name} over toys"),
            )
    for name, (values, quantity) in table.items():
        column = out.column(group, name, values.shape, {"toy_muon": None}, quantity, values.dtype.str)
        for block in part.blocks:
            column.append(values[chosen.block == block.index])


def _model(part: Part) -> Model:
    return models.load(part.config["model"]["name"])


def _inference(part: Part) -> Callable:
    parameters = {key: value for key, value in part.config["model"].items() if key != "name"}
    return _model(part).bound(**parameters)


def _evaluate(infer: Callable, hits: np.ndarray) -> np.ndarray:
    """Observables (muon, observable); NaN for a muon with a hit that is not finite, for inf is no measurement."""
    import torch

    with torch.no_grad():
        values = infer(torch.from_numpy(hits)).numpy()
    return np.where(np.isfinite(hits).all(axis=1, keepdims=True), values, np.nan)


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


def _hits_column(out: Writer, part: Part, name: str, which: str) -> Column:
    coordinates = _model(part).coordinates
    words = " and ".join(dict.fromkeys(coordinate.long_name for coordinate in coordinates))
    dims = {"muon": None, "coordinate": [coordinate.name for coordinate in coordinates]}
    quantity = Quantity(name, coordinates[0].unit, f"{which} {words}")
    return out.column(out.point(part), name, (part.stop - part.start, len(coordinates)), dims, quantity)


def _observable_columns(out: Writer, part: Part, name: str, long_name: str) -> list[Column]:
    """A column an observable, named by templates that `{name}` and `{long_name}` of the observable fill in."""
    group, shape = out.point(part), (part.stop - part.start,)
    return [
        out.column(
            group,
            name.format(name=each.name),
            shape,
            {"muon": None},
            each._replace(long_name=long_name.format(long_name=each.long_name)),
        )
        for each in _model(part).observables
    ]


def _flag_column(out: Writer, part: Part) -> Column:
    quantity = Quantity("flag", "1", "why the uncertainty of the muon is not to be used")
    masks = {"flag_masks": np.array(list(FLAGS.values()), "u1"), "flag_meanings": " ".join(FLAGS)}
    return out.column(out.point(part), "flag", (part.stop - part.start,), {"muon": None}, quantity, "u1", **masks)


def _append(columns: Sequence[Column], values: np.ndarray) -> None:
    for column, each in zip(columns, values.T, strict=True):
        column.append(each)


def _progress(part: Part, done: str) -> Iterator[Block]:
    """The blocks of a part, with a line in the log after each tenth."""
    blocks = list(part.blocks)
    for index, block in enumerate(blocks, 1):
        yield block
        if index == len(blocks) or index * 10 // len(blocks) > (index - 1) * 10 // len(blocks):
            log.info("%s: %s %d of %d muons", part.label, done, block.stop - part.start, part.stop - part.start)
