"""Pseudo-experiments: all muons are recorded repeatedly, each time with a new common shift of the systematics.

Within one pseudo-experiment, pulls by the muons' own σ keep their width but their mean is shifted. Over many
pseudo-experiments, each muon scatters by its total σ, and the uncertainty of the mean does not decrease with the number
of muons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..detector.known import NOTHING_KNOWN, Known
from ..detector.reconstruction import Reconstruction, ShiftedMuons
from ..detector.response import Response
from ..models import NO_FOLD, Quantity
from ..statistics.angles import wrap_last
from ..store import columns
from ..store.artefact import Writer
from ..study import shared_parameters
from ..study.artefact_configs import ToysConfig
from ..study.batches import Part
from ..study.toy_selection import MUONS_PER_EXPERIMENT
from ..uncertainty.covariance import cholesky
from ..uncertainty.elementwise import total
from ..uncertainty.inference import periods_of
from ..uncertainty.jacobians import usable_muons
from ..uncertainty.systematics import systematic_jacobian
from ..uncertainty.toys import AnyGenerator, Draw, ToySetup

FAR_FROM_FOLD = 5.0
"""Minimum distance from the fold, in total σ, since the shared uncertainty is propagated linearly.

At 3 σ, the spread of an azimuth still deviates by 5 % from linear propagation, and its pseudo-experiments would fail. A
larger `domain` of an observable takes precedence.
"""

EXPERIMENTS_AT_A_TIME = 64
"""Pseudo-experiments whose deviates are drawn together; those of scattering, and of noise with tails, depend on it."""


def taking_part(part: Part[ToysConfig], toy: Int[np.ndarray, " muon"]) -> Bool[np.ndarray, " muon"]:
    """The toy muons of a point that take part: evenly spaced in toy number, and so in value."""
    total = min(part.config.toys.muons, part.muons)
    return toy % -(-total // MUONS_PER_EXPERIMENT) == 0


class NoiseOfBlock(NamedTuple):
    """The number of muons of a block, and the source of their noise."""

    muons: int
    rng: AnyGenerator


@dataclass(frozen=True)
class Experiments:
    """Results of the pseudo-experiments: scatter of each muon, and sums over muons for each pseudo-experiment.

    A pull is the distance of an observable from the mean of the muon's own toys, over the sd of these toys. Muons with
    an unknown pull, or near the fold of an observable, are left out of its sums.
    """

    sd: Float[np.ndarray, "muon observable"]
    count: Float[np.ndarray, " observable"]
    pull: Float[np.ndarray, "experiment observable"]
    square: Float[np.ndarray, "experiment observable"]


def run_experiments(
    part: Part[ToysConfig],
    throw: ToySetup,
    mean: Float[np.ndarray, "muon observable"],
    spread: Float[np.ndarray, "muon observable"],
    shift_rng: np.random.Generator,
    blocks: Sequence[NoiseOfBlock],
    known: Known = NOTHING_KNOWN,
) -> list[Experiments]:
    """Throw some muons together, with new noise and new shifts of the systematics in each pseudo-experiment.

    Parameters
    ----------
    part : Part
        The point, whose config sets the number of pseudo-experiments.
    throw : ToySetup
        The hits to throw around, and the noise: the muons of each block in turn.
    mean, spread : array (muon, observable)
        Mean and sd of each muon's toys without shifts.
    shift_rng : Generator
        Source of the shifts, the same for all muons of the point.
    blocks : sequence of NoiseOfBlock
        Number of muons of each block, and the source of their noise.
    known : Known
        What is known of them besides their hits.

    Returns
    -------
    list of Experiments
        Results of the muons of each block, which do not depend on the other blocks.

    Source: propagation of distributions by Monte Carlo, JCGM 101:2008, clause 7, with common input quantities (JCGM
    100:2008, F.1.2.3).

    """
    section, hits, count = part.config.systematics, throw.hits, part.config.toys.experiments
    reconstruction, draw = Reconstruction.of(part, hits.device), Response(part).toy_deviates
    names = shared_parameters.names_of(section)
    shifted = reconstruction.shifted(names, hits, known)
    root = cholesky(torch.from_numpy(shared_parameters.shift_covariance(section)).to(hits)[None])[0]
    etas = torch.from_numpy(shift_rng.standard_normal((count, len(names)))).to(hits) @ root.T
    infer, rows = reconstruction.infer, _rows_of(blocks)
    with torch.no_grad():
        centre, unit = (torch.from_numpy(each).to(hits) for each in (mean, spread))
        judged = torch.isfinite(centre) & (unit > 0) & torch.isfinite(unit)
        usable = usable_muons(infer, reconstruction.arguments(hits, known))
        judged = judged if usable is None else judged & usable[:, None]
        jacobian = systematic_jacobian(shifted, shifted.arguments(hits), torch.zeros_like(etas[0]))
        judged = judged & _far_from_fold(part, centre, unit, jacobian, root)
        sums, squares = torch.zeros_like(centre), torch.zeros_like(centre)
        pulls = [centre.new_zeros(2, count, centre.shape[1]) for _ in blocks]
        for start in range(0, count, EXPERIMENTS_AT_A_TIME):
            some = slice(start, min(start + EXPERIMENTS_AT_A_TIME, count))
            z = _deviates(draw, blocks, throw, some.stop - start)
            recorded = (hits[:, None] + throw.deviations(z)).transpose(0, 1)
            away = wrap_last(_observed(shifted, recorded, etas[some]) - centre, periods_of(infer))
            away = torch.where(judged, away, 0.0)
            sums, squares = (total([before, *each]) for before, each in ((sums, away), (squares, away.square())))
            pull = torch.where(judged, away / unit, 0.0)
            for of_block, mine in zip(pulls, rows, strict=True):
                own = pull[:, mine].contiguous()  # so that the order of the sum does not depend on the other blocks
                of_block[:, some] = torch.stack([own.sum(dim=1), own.square().sum(dim=1)])
        variance = (squares - sums.square() / count) / (count - 1)
        sd = torch.where(judged, variance.clamp(min=0).sqrt(), float("nan"))
    return [
        Experiments(*(each.numpy(force=True) for each in (sd[mine], judged[mine].sum(dim=0).double(), *of_block)))
        for of_block, mine in zip(pulls, rows, strict=True)
    ]


def _rows_of(blocks: Sequence[NoiseOfBlock]) -> list[slice]:
    """The rows of the muons of each block."""
    return [slice(*ends) for ends in pairwise(accumulate((each.muons for each in blocks), initial=0))]


def _deviates(
    draw: Draw, blocks: Sequence[NoiseOfBlock], throw: ToySetup, count: int
) -> Float[Tensor, "muon experiment deviate"]:
    """Deviates of some experiments, each block's from its own source; muons beyond the blocks repeat the last."""
    drawn = [
        torch.as_tensor(draw(each.rng, (count * each.muons, throw.deviates))).view(count, each.muons, throw.deviates)
        for each in blocks
    ]
    z = torch.cat(drawn, dim=1).to(throw.hits).transpose(0, 1)
    return torch.cat([z, z[-1:].expand(len(throw.hits) - len(z), -1, -1)])


def _observed(
    shifted: ShiftedMuons, recorded: Float[Tensor, "experiment muon coordinate"], etas: Float[Tensor, "experiment _"]
) -> Float[Tensor, "experiment muon observable"]:
    """The observables in some experiments: all at once where muons may differ in their shifts, else one by one."""
    if not shifted.differ_by_muon:
        return torch.stack([shifted(shifted.arguments(x), eta) for x, eta in zip(recorded, etas, strict=True)])
    count, muons = recorded.shape[:2]
    found = shifted(shifted.arguments(recorded.flatten(0, 1)), etas.repeat_interleave(muons, dim=0))
    return found.view(count, muons, -1)


def _far_from_fold(
    part: Part[ToysConfig],
    value: Float[Tensor, "muon observable"],
    spread: Float[Tensor, "muon observable"],
    jacobian: Float[Tensor, "muon observable systematic"],
    root: Float[Tensor, "systematic systematic"],
) -> Bool[Tensor, "muon observable"]:
    """Whether each observable is far enough from its fold for linear propagation of the shared uncertainty."""
    names = [each.name for each in part.model.observables]
    away, total = value.abs(), (spread.square() + (jacobian @ root).square().sum(dim=2)).sqrt()

    def far(observable: Quantity) -> Bool[Tensor, " muon"]:
        if observable.fold == NO_FOLD:
            return torch.ones_like(away[:, 0], dtype=torch.bool)
        fold = names.index(observable.fold or observable.name)
        return away[:, fold] >= max(FAR_FROM_FOLD, observable.domain) * total[:, fold]

    return torch.stack([far(each) for each in part.model.observables], dim=1)


def columns_of(
    out: Writer, part: Part[ToysConfig], toy: np.ndarray, block: np.ndarray
) -> Callable[[np.ndarray, Experiments], None]:
    """Columns in a group `experiments`, as a function that writes the next block of muons."""
    group = out.point(part).create_group("experiments")
    mine = taking_part(part, toy)
    rows, blocks = int(mine.sum()), len(set(block[mine].tolist()))
    quantity = Quantity("muon", "1", "index of the muon in its point")
    muon = out.column(group, "muon", (rows,), {"experiment_muon": None}, quantity, "i8")
    scatter = columns.ColumnGroup(out, part, columns.EXPERIMENT_MUONS, group, "experiment_muon", rows)
    labels = {"experiment": part.config.toys.experiments}
    sums = columns.ColumnGroup(out, part, columns.EXPERIMENTS, group, "experiment_block", blocks, labels)

    def write(muons: np.ndarray, found: Experiments) -> None:
        muon.append(muons)
        scatter.append({"sd": found.sd})
        each = {name: getattr(found, name).T[None] for name in ("pull", "square")}
        sums.append({"count": found.count[None], **each})

    return write
