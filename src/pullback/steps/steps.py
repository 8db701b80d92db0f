"""The steps of the pipeline that work batch by batch: each makes one kind of artefact, block by block.

A step handles whatever points its batch holds, and a block's result depends on its point and index alone. numpy is
enough to simulate and smear; torch is imported where a model is evaluated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..detector import response
from ..detector.smearing import smear
from ..models import Quantity
from ..store import artefact, columns
from ..store.artefact import Reader, Writer
from ..store.columns import FLAGS
from ..study.batches import BLOCK, Batch, Block, Part, block_count
from ..study.toy_selection import share, spread_over_all

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
    with artefact.create(truth, batch) as out:
        for part in batch.parts:
            model, column = part.model, columns.of_hits(out, part, "x_true", "true")
            where = {name: np.asarray(model.parameters[name], dtype="f8") for name in model.place_uses}
            for block in _progress(part, "simulated"):
                column.append(model.place(response.sampled(part, block), **where))


def smear_hits(batch: Batch, truth: str | Path, reco: str | Path) -> None:
    """Smear the true hits by the detector's noise: x_reco (muon, coordinate), m, and NaN for a hit that is lost."""
    with artefact.read(truth, batch.of_kind("truth")) as true, artefact.create(reco, batch, [true]) as out:
        for part in batch.parts:
            column = columns.of_hits(out, part, "x_reco", "recorded")
            scale = response.resolution(part) / response.factor(part)
            if part.model.covariance:
                _examine_covariance(part, true.read(part, "x_true", next(part.blocks)))
            for block in _progress(part, "smeared"):
                x_true = true.read(part, "x_true", block)
                x_reco = smear(x_true, scale, response.deviates(part, block))
                x_reco = x_reco + response.scattered(part, block, x_true)
                lost = response.lost(part, block)
                column.append(x_reco if lost is None else np.where(lost, np.nan, x_reco))


def _examine_covariance(part: Part, x_true: np.ndarray) -> None:
    from ..detector.bound_model import parameters_of
    from ..models.user import examine_covariance

    examine_covariance(part.model, x_true, parameters_of(part.model, part.settings.detector.resolution))


def import_hits(batch: Batch, reco: str | Path) -> None:
    """Read recorded hits from their file: x_reco (muon, coordinate), m, and where it has them their covariances, m²."""
    from ..hits.hits_file import source_of

    with artefact.create(reco, batch) as out:
        # The points of a scan hold the same rows, which are read once for all of them.
        for (start, stop), group in groupby(batch.parts, key=lambda part: (part.start, part.stop)):
            parts = list(group)
            file = source_of(parts[0].config["source"], [each.name for each in parts[0].model.coordinates])
            outputs = [columns.of_hits(out, part, "x_reco", "recorded") for part in parts]
            shape = file.covariance_shape
            covariances = [columns.of_covariances(out, part, shape) for part in parts if shape]
            for _, found in zip(_progress(parts[0], "imported"), file.blocks(start, stop, BLOCK), strict=True):
                for column in outputs:
                    column.append(found.hits)
                for column in covariances:
                    column.append(found.covariance)


def infer_theta(batch: Batch, reco: str | Path, theta: str | Path, truth: str | Path | None = None) -> None:
    """Infer the observables at the recorded hits, `<o>`, and where there is a truth at the true ones, `<o>_true`.

    Where the model fits something, also `chi2` and its degrees of freedom `ndf`.
    """
    from ..detector.bound_model import at_work, goodness
    from ..models.user import examine

    with (
        _parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefact.create(theta, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            parameters, infer = at_work(part)
            examine(part.model, _hits(parents[RECO], part, RECO, next(part.blocks))[0], parameters)
            for place, parent in parents.items():
                kinds = {"value": columns.Kind("{name}" + place.suffix, "{long_name}" + place.words)}
                table = columns.of_muons(out, part, kinds)
                for block in _progress(part, f"inferred{place.words}"):
                    table.append({"value": _evaluate(infer, parent.read(part, place.column, block))})
            if part.model.chi2:
                fits = columns.of_fits(out, part)
                for block in _progress(part, "fits judged"):
                    fitted = goodness(part.model, parameters, _hits(parents[RECO], part, RECO, block)[0])
                    for column, values in zip(fits, fitted.numpy().T, strict=True):
                        column.append(values)


def propagate_uncertainty(
    batch: Batch, reco: str | Path, sigma: str | Path, truth: str | Path | None = None, device: str = "cpu"
) -> None:
    """Propagate the stated resolution to the observables at the recorded hits, on a `device` of the config.

    For each observable `sigma_<o>`, the one to quote, `sigma_<o>_linear` by the Jacobian, `linear_ok_<o>`, whether
    the two are one, `bias_<o>`, `interval68_<o>` and `interval95_<o>`. `flag_<o>` says of which muons the
    uncertainty is not to be used, and why. `pullback.steps.components` says what else there is.

    Where there is a truth, also `sigma_<o>_linear_true` at the true hits, which says how far a muon is from a fold.
    """
    from ..detector.bound_model import at_work, covariance_of
    from ..uncertainty.device import device_of
    from ..uncertainty.linear import propagate
    from ..uncertainty.quoting import quote
    from .components import Contributions, Design

    where = device_of(device)
    log.info("on %s", where)
    with (
        _parents(batch, {RECO: reco, TRUTH: truth}) as parents,
        artefact.create(sigma, batch, parents.values()) as out,
    ):
        for part in batch.parts:
            parameters, infer = at_work(part, where)
            n_dig = part.settings.uncertainty.n_dig
            table = columns.of_muons(out, part, columns.QUOTED)
            contributions, design = Contributions(out, part, parameters), Design(out, part)
            for block in _progress(part, "propagated"):
                hits, recorded = _hits(parents[RECO], part, RECO, block, where)
                sigma_x = covariance_of(part.model, parameters, hits, recorded)
                quoted = quote(infer, hits, sigma_x, n_dig=n_dig)
                found = _arrays(quoted)
                table.append(found | {"flag": _flag(infer, hits, found)})
                contributions.append(infer, hits, sigma_x, quoted.sigma)
                design.append(block, hits, recorded)
            if TRUTH not in parents:
                continue
            table = columns.of_muons(out, part, columns.TRUE_LINEAR)
            for block in _progress(part, "propagated at the true hits"):
                hits, _ = _hits(parents[TRUTH], part, TRUTH, block, where)
                table.append(_arrays(propagate(infer, hits, covariance_of(part.model, parameters, hits))))


def run_toys(batch: Batch, reco: str | Path, toys: str | Path, device: str = "cpu") -> None:
    """Throw toys around the recorded hits of muons evenly spread over the observables that have a fold.

    Writes in a group `toys` of each point: `muon` (its index in the point), `toy_count`, and for each observable its
    mean, standard deviation and intervals over the toys, with their errors. Points that share their random numbers are
    thrown together. They are inferred on a `device` of the config.
    """
    import torch

    from ..uncertainty.device import device_of
    from ..uncertainty.toys import Toys, throw_toys

    # What made the artefact has the random numbers of a GPU, or not, whatever the job is told.
    random_there = any(part.config["compute"]["device_random"] for part in batch.parts)
    where = device_of("cuda" if random_there else device)
    log.info("on %s", where)
    with artefact.read(reco, batch.of_kind("reco")) as parent, artefact.create(toys, batch, [parent]) as out:
        chosen = {part.label: _choose(part, parent) for part in batch.parts}
        results: dict[str, list[Toys]] = {part.label: [] for part in batch.parts}

        def shared(part: Part) -> tuple:
            settings = part.settings
            own = part.label if settings.random_numbers == "independent" else ""
            # The pitch of strips is their unit, and no part of their deviates.
            shape = sorted((key, value) for key, value in vars(settings.detector.noise).items() if key != "pitch")
            deviates = len(part.model.layers), part.model.covariance is not None
            thrown = settings.toys.mode, settings.toys.per_muon, settings.toys.most, settings.toys.n_dig
            return own, settings.seed, shape, deviates, thrown, tuple(chosen[part.label].toy.tolist())

        for (_, _, _, (coordinates, _), (mode, per_muon, most, n_dig), toy), group in groupby(
            sorted(batch.parts, key=shared), key=shared
        ):
            parts = list(group)
            adaptive = mode == "adaptive"
            count = most if adaptive else per_muon
            draw = partial(response.draw_off, parts[0].settings.detector.noise, coordinates)
            step = max(1, TOYS_BETWEEN_LOGS // (count * len(parts)))
            for first in range(0, max(1, len(toy)), step):
                rows = slice(first, first + step)
                throws = [_throw(part, chosen[part.label], rows, where) for part in parts]
                rngs = [_random(parts[0], "toys", index, where) for index in toy[rows]]
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
            thrown = _arrays(Toys(*map(torch.cat, zip(*results[part.label], strict=True))))
            _write_toys(out, part, chosen[part.label], thrown)
            if part.config["systematics"]:
                _run_experiments(out, part, chosen[part.label], thrown, where)


class _Chosen(NamedTuple):
    """The muons of a part that toys are thrown around: their index in the point, hits, toy number and block.

    And the covariances of their hits, where these are recorded.
    """

    muon: np.ndarray
    hits: np.ndarray
    toy: np.ndarray
    block: np.ndarray
    recorded: np.ndarray | None


def _choose(part: Part, parent: Reader) -> _Chosen:
    from ..detector.bound_model import at_work

    _, infer = at_work(part)
    folds = [index for index, each in enumerate(part.model.observables) if each.fold in ("", each.name)] or [0]
    rows = []
    for block in part.blocks:
        here = range(block.index, block.index + 1)
        toys = np.array(share(here, block_count(part.muons), min(part.settings.toys.muons, part.muons)), "i8")
        if rows and not len(toys):  # as most blocks of very many muons
            continue
        hits, recorded = _hits(parent, part, RECO, block)
        hits = hits.numpy()
        chosen, toys = spread_over_all(_evaluate(infer, hits)[:, folds], toys) if len(toys) else (toys, toys)
        known = np.empty((len(chosen), 0)) if recorded is None else recorded.numpy()[chosen]
        rows.append(_Chosen(block.start + chosen, hits[chosen], toys, np.full(len(chosen), block.index), known))
    found = _Chosen(*map(np.concatenate, zip(*rows, strict=True)))
    return found if found.recorded.shape[1] else found._replace(recorded=None)


def _random(part: Part, purpose: str, index: int, where: Any) -> Any:
    """The random numbers of a point for a purpose: those of the CPU, or a device's own if the config wants these."""
    from ..uncertainty.device import DeviceGenerator

    stream = response.stream_of(part, purpose, index)
    return DeviceGenerator(stream, where) if part.config["compute"]["device_random"] else stream


def _throw(part: Part, chosen: _Chosen, rows: slice | np.ndarray, where: Any) -> Any:
    """What toys are thrown for around some of the muons, on a device."""
    import torch

    from ..detector.bound_model import at_work, covariance_of
    from ..uncertainty.covariance import cholesky
    from ..uncertainty.toys import Throw

    (parameters, infer), hits = at_work(part, where), torch.from_numpy(chosen.hits[rows]).to(where)
    recorded = None if chosen.recorded is None else torch.from_numpy(chosen.recorded[rows]).to(where)
    stated = covariance_of(part.model, parameters, hits, recorded, added=False)
    factor = torch.from_numpy(response.factor(part)).to(where)
    added = response.scattering_root(part, hits)
    if added is None and stated.ndim == 2:
        return Throw(infer, hits, (stated.sqrt() * factor).expand(hits.shape))
    root = cholesky(stated) * factor
    if added is not None:
        muons = max(len(root), len(added))
        root = torch.cat([each.expand(muons, -1, -1) for each in (root, added)], dim=2)
    return Throw(infer, hits, 0.0, root)


def _write_toys(out: Writer, part: Part, chosen: _Chosen, result: dict[str, np.ndarray]) -> None:
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


def _run_experiments(out: Writer, part: Part, chosen: _Chosen, thrown: dict[str, np.ndarray], where: Any) -> None:
    """Shift the systematics for some of the toy muons together, again and again, and write what that does to them."""
    from .pseudo_experiments import columns_of, run_experiments, taking_part

    write, mine = columns_of(out, part, chosen.toy, chosen.block), taking_part(part, chosen.toy)
    for block in part.blocks:
        rows = (chosen.block == block.index) & mine
        if rows.any():
            eta = response.stream_of(part, "systematics", 0)
            noise = _random(part, "experiments", block.index, where)
            throw = _throw(part, chosen, rows, where)
            write(chosen.muon[rows], run_experiments(part, throw, thrown["mean"][rows], thrown["sd"][rows], eta, noise))


def _hits(reader: Reader, part: Part, place: Place, block: Block, where: Any = "cpu") -> tuple[Any, Any]:
    """The hits of a block, and their covariances where these are recorded, as tensors on a device."""
    import torch

    recorded = reader.read(part, columns.COVARIANCE, block) if columns.has_covariances(part) else None
    hits = torch.from_numpy(reader.read(part, place.column, block)).to(where)
    return hits, None if recorded is None else torch.from_numpy(recorded).to(where)


def _evaluate(infer: Callable, hits: np.ndarray) -> np.ndarray:
    """Observables (muon, observable); NaN for a muon that has none, for inf is no measurement."""
    import torch

    from ..uncertainty.jacobians import usable_muons

    x = torch.from_numpy(hits)
    with torch.no_grad():
        values = infer(x).numpy()
    usable = usable_muons(infer, x)
    return values if usable is None else np.where(usable.numpy()[:, None], values, np.nan)


def _arrays(result: Any) -> dict[str, np.ndarray]:
    """The fields of a named tuple of tensors."""
    return {name: tensor.numpy(force=True) for name, tensor in result._asdict().items()}


def _flag(infer: Callable, hits: Any, quoted: dict[str, np.ndarray]) -> np.ndarray:
    """Bits (muon, observable) that say why an uncertainty is not to be used."""
    from ..uncertainty.jacobians import usable_muons

    usable, value, sigma = usable_muons(infer, hits), quoted["value"], quoted["sigma"]
    with np.errstate(over="ignore", invalid="ignore"):  # much quicker than looking at each number
        total = value.sum() + sigma.sum()
    if usable is None and np.isfinite(total) and (sigma > 0).all():
        return np.zeros(value.shape, "u1")  # as nearly always
    finite = (
        np.full_like(value, True, bool)
        if usable is None
        else np.repeat(usable.numpy(force=True)[:, None], value.shape[1], 1)
    )
    valued = np.isfinite(value)
    without = finite & valued & np.isnan(sigma) & np.isfinite(quoted["interval95"]).all(axis=2)
    unusable = finite & ~((sigma != 0) & np.isfinite(sigma)) & ~without
    bits = (~finite, finite & ~valued, unusable, sigma < 0, without)
    return sum(bit.astype("u1") * np.uint8(mask) for bit, mask in zip(bits, FLAGS.values(), strict=True))


@contextmanager
def _parents(batch: Batch, files: dict[Place, str | Path | None]) -> Iterator[dict[Place, Reader]]:
    """The artefacts that a step reads, open, by place; those that the study doesn't have are left out."""
    with ExitStack() as stack:
        yield {
            place: stack.enter_context(artefact.read(file, batch.of_kind(place.kind)))
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
