"""The tally of a batch: a small file with the counts and sums that the verdict on the study needs.

Tallies are made by parallel jobs, and each column of the study is read only once. The job that judges the study reads
tallies alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..models import NO_FOLD, Quantity, has_fit
from ..statistics.angles import wrap
from ..statistics.normal import K95
from ..store import artefact
from ..store.artefact import Reader
from ..store.columns import (
    BUDGET,
    DESIGN,
    DISTANCES,
    EXPERIMENT_MUONS,
    EXPERIMENTS,
    FLAGS,
    LINEAR_SIGMA,
    QUOTED,
    SHARED,
    TOYS,
)
from ..store.study_file import column_parts, pack
from ..study.artefact_configs import TallyConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block
from ..uncertainty.memory import keep_freed
from .bin_sums import Muons, Placed, Tally, ToyMuons, Truth, distance, edges
from .coverage_sums import CoverageSums
from .evidence import SIGMAS, Sigma
from .fit_tally import FitTally
from .systematics import Observed, Predicted, SystematicSums

log = logging.getLogger(__name__)


TALLIED_AT_A_TIME = 32_768
"""Muons whose masks and terms are held together: 256 KiB for a column, a few of which stay in the cache."""


OF_ALL_MUONS = ("sigma", "sigma_linear", "interval68", "interval95", "linear_valid", "flag")
"""Fields of `QUOTED` that are judged for all muons; the bias is judged for toy muons alone."""


class PointTally:
    """Counts and sums over the muons of a point: for each observable one tally per σ, and its `SystematicSums`."""

    def __init__(self, part: Part[TallyConfig]):
        """An empty tally for the model and the linear domain of a part of kind "tally"."""
        model, config = part.model, part.config
        self.tallies = {
            (each.name, sigma): Tally(
                sigma,
                edges(max(config.validation.domain, each.domain)),
                config.uncertainty.n_dig,
                max(config.validation.domain, each.domain),
            )
            for each in model.observables
            for sigma in SIGMAS
        }
        self.sums = {each.name: SystematicSums() for each in model.observables}
        self.coverage = CoverageSums()
        self.fits = FitTally() if has_fit(model) else None
        """Sums over the fits, of a model that has them."""

    def of(self, name: str) -> dict[Sigma, Tally]:
        """The tallies of an observable, by σ."""
        return {sigma: self.tallies[name, sigma] for sigma in SIGMAS}

    def _members(self) -> Iterator[tuple[str, Tally | SystematicSums | FitTally]]:
        for (name, sigma), tally in self.tallies.items():
            yield f"{name}/{sigma}", tally
        for name, sums in self.sums.items():
            yield f"{name}/sums", sums
        if self.fits:
            yield "fits", self.fits

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The exact content by path, which `merge` adds to another tally."""
        members = {f"{path}/{key}": each for path, member in self._members() for key, each in member.arrays.items()}
        return {**members, **{f"coverage/{key}": each for key, each in self.coverage.arrays.items()}}

    def merge(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the `arrays` of another tally, whose muons come after the muons of this one."""
        for path, member in self._members():
            inside = f"{path}/"
            member.merge({key.removeprefix(inside): each for key, each in arrays.items() if key.startswith(inside)})
        inside = "coverage/"
        found = {key.removeprefix(inside): each for key, each in arrays.items() if key.startswith(inside)}
        self.coverage.merge(found)


def tally(batch: Batch[TallyConfig], files: Mapping[str, str | Path], output: str | Path) -> None:
    """Count and sum over the muons of a batch; every artefact is verified.

    Parameters
    ----------
    batch : Batch
        The batch, of kind "tally".
    files : mapping of str to path
        The artefacts of the batch, by kind.
    output : path
        Where to write the tally.

    """
    keep_freed()
    with ExitStack() as stack:
        readers = {kind: stack.enter_context(artefact.read(file, batch.of_kind(kind))) for kind, file in files.items()}
        out = stack.enter_context(artefact.create(output, batch, readers.values()))
        for part in batch.parts:
            group, found = out.point(part), _of_part(part, readers)
            pieces = [piece for reader in readers.values() for piece in column_parts(reader, part.label)]
            out.arrays(group, {**pack(pieces), **found.arrays})
            log.info("%s: %d muons tallied", part.label, part.stop - part.start)


def _of_part(part: Part[TallyConfig], readers: Mapping[str, Reader]) -> PointTally:
    """The tally of a part, filled block by block."""
    found = PointTally(part)
    for each in part.model.observables:
        _tally(found.of(each.name), readers, part, each)
        _add_up(found.sums[each.name], readers, part, each.name)
    if found.fits:
        found.fits.add(readers["fits"], part)
    if "coverage" in readers:
        found.coverage.add(readers["coverage"], part)
    return found


def _tally(
    tallies: Mapping[Sigma, Tally], readers: Mapping[str, Reader], part: Part[TallyConfig], observable: Quantity
) -> None:
    """Add the muons of a part to the tallies of both σ."""
    theta, sigma, toys = readers["theta"], readers["sigma"], readers["toys"]
    name = observable.name
    muon, number = (toys.rows(f"{part.label}/toys/{column}") for column in ("muon", "toy_count"))
    adaptive = part.config.toys.mode == "adaptive"
    settled = toys.rows(f"{part.label}/toys/toy_settled") if adaptive else np.ones(len(muon))
    thrown = {field: toys.rows(f"{part.label}/toys/{kind.of(name)}") for field, kind in TOYS.items()}
    around: dict[Sigma, list[Muons]] = {kind: [] for kind in tallies}
    for block in part.blocks:
        here = muon[(muon >= block.start) & (muon < block.stop)] - block.start
        value = theta.read(part, name, block)
        fields = [*OF_ALL_MUONS, *(["bias"] if len(here) else [])]
        quoted = {field: sigma.read(part, QUOTED[field].of(name), block) for field in fields}
        quoted.setdefault("bias", np.broadcast_to(np.nan, len(value)))
        flag = quoted["flag"]
        place = _distance(theta, sigma, part, observable, block, "", value, quoted["sigma_linear"])
        truth = None
        if "truth" in readers:
            at = theta.read(part, f"{name}_true", block)
            for each in tallies.values():
                each.counts["no_true_value"] += int(np.count_nonzero(np.isnan(at)))
            truth = Truth(
                # Differences of angles on a circle are taken the shorter way round.
                value - wrap(value - at, observable.period),
                _distance(theta, sigma, part, observable, block, "_true", at),
            )
        found = _Quoted(value, (flag & FLAGS["hit_not_finite"]) == 0, place, truth, quoted)
        for start in range(0, len(value), TALLIED_AT_A_TIME):
            rows = slice(start, start + TALLIED_AT_A_TIME)
            placed = found.placed(rows, tallies["linear"].edges)
            for kind, each in tallies.items():
                each.add(found.muons(kind, rows), placed)
        if len(here):
            for kind, muons in around.items():
                muons.append(found.muons(kind, here))
    toy_muons = ToyMuons(number=number, settled=settled, **thrown)
    for kind, each in tallies.items():
        if len(muon):
            each.add_toys(Muons(*map(np.concatenate, zip(*around[kind], strict=True))), toy_muons)


def _add_up(sums: SystematicSums, readers: Mapping[str, Reader], part: Part[TallyConfig], name: str) -> None:
    """Add the muons of a part to the sums of budget, systematics and design."""
    sigma, toys = readers["sigma"], readers["toys"]
    extra = [BUDGET["shares"].of(name), SHARED["systematic_jacobian"].of(name)]
    there = {column for column in extra if sigma.has(f"{part.label}/{column}")}
    slopes_of, count_of = (f"{part.label}/design/{DESIGN[field].of(name)}" for field in ("slopes", "count"))
    for at in range(len(sigma.rows(count_of))):
        slopes, count = (sigma.rows(column, at, at + 1)[0] for column in (slopes_of, count_of))
        sums.add_slopes(slopes, float(count))
    thrown = _thrown_together(toys, part, name) if extra[1] in there else None
    for block in part.blocks if there else ():  # with a single source of uncertainty there is no budget
        quoted = sigma.read(part, QUOTED["sigma"].of(name), block)
        shares, jacobian = (sigma.read(part, column, block) if column in there else None for column in extra)
        sums.add(quoted, shares, jacobian)
        if thrown is not None and jacobian is not None:
            muon, spread, sd = thrown
            here = (muon >= block.start) & (muon < block.stop)
            row, total = muon[here] - block.start, sigma.read(part, SHARED["total"].of(name), block)
            sums.add_experiments(Predicted(total[row], jacobian[row], spread[here]), sd[here])
    if thrown is not None:
        columns = [
            toys.rows(f"{part.label}/experiments/{EXPERIMENTS[field].of(name)}") for field in Observed._fields[1:]
        ]
        for each in zip(*columns, strict=True):
            sums.add_sums(np.stack(each))


def _thrown_together(toys: Reader, part: Part[TallyConfig], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index in the point, sd of own toys, and sd over pseudo-experiments, of the muons in pseudo-experiments."""
    muon, sd = (toys.rows(f"{part.label}/experiments/{column}") for column in ("muon", EXPERIMENT_MUONS["sd"].of(name)))
    all_muons, spread = (toys.rows(f"{part.label}/toys/{column}") for column in ("muon", TOYS["sd"].of(name)))
    row = {each: index for index, each in enumerate(all_muons.tolist())}
    return muon, spread[[row[each] for each in muon.tolist()]], sd


def _distance(
    theta: Reader,
    sigma: Reader,
    part: Part[TallyConfig],
    observable: Quantity,
    block: Block,
    at: str,
    value: np.ndarray,
    sigma_linear: np.ndarray | None = None,
) -> np.ndarray:
    """Distance of each muon from the fold of an observable in σ, at recorded or true hits; infinity without a fold.

    In the metric of the quantities that fold, where these are declared; else the observable over its linear σ.
    `value` and `sigma_linear` are those of the observable; where the fold is its own, they are not read again.
    """
    column = DISTANCES[at].of(observable.name)
    if sigma.has(f"{part.label}/{column}"):
        return sigma.read(part, column, block)
    fold = observable.fold or observable.name
    if fold == NO_FOLD:
        return np.full(len(block), np.inf)
    own = fold == observable.name
    if sigma_linear is None or not own:
        sigma_linear = sigma.read(part, LINEAR_SIGMA[at].of(fold), block)
    return distance(value if own else theta.read(part, f"{fold}{at}", block), sigma_linear)


class _Quoted(NamedTuple):
    """The muons of a block: value, whether the hit is finite, distance from the fold, truth, and quoted columns."""

    value: Float[np.ndarray, " muon"]
    finite: Bool[np.ndarray, " muon"]
    distance: Float[np.ndarray, " muon"]
    truth: Truth | None
    quoted: Mapping[str, np.ndarray]

    def placed(self, rows: slice, edges: Float[np.ndarray, " edge"]) -> Placed:
        """The bins of some of the muons."""
        truth = None if self.truth is None else Truth(*(each[rows] for each in self.truth))
        return Placed(self.value[rows], self.finite[rows], self.distance[rows], truth, edges)

    def muons(self, kind: Sigma, rows: slice | Int[np.ndarray, " few"]) -> Muons:
        """Some of the muons, with one kind of uncertainty."""
        quoted = {field: values[rows] for field, values in self.quoted.items()}
        value, without = self.value[rows], (quoted["flag"] & FLAGS["no_standard_deviation"]) != 0
        about = value, self.finite[rows], self.distance[rows], without, quoted["sigma_linear"], quoted["linear_valid"]
        return Muons(*about, *_uncertainties(kind, value, quoted))


def _uncertainties(kind: Sigma, value: np.ndarray, quoted: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """σ, bias and intervals of one kind of σ; linear propagation gives no bias, and ±1 σ and ±1.96 σ."""
    if kind == "quoted":
        return tuple(quoted[field] for field in ("sigma", "bias", "interval68", "interval95"))
    sigma = quoted["sigma_linear"]
    ends = np.empty((2, 2, len(sigma)))
    for (low, high), away in zip(ends, (sigma, K95 * sigma), strict=True):
        np.subtract(value, away, out=low)
        np.add(value, away, out=high)
    return sigma, np.zeros_like(sigma), ends[0].T, ends[1].T
