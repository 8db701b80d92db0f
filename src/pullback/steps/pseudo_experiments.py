"""Pseudo-experiments: all muons are recorded repeatedly, each time with a new common shift of the systematics.

Within one pseudo-experiment, pulls by the muons' own σ keep their width but their mean is shifted. Over many
pseudo-experiments, each muon scatters by its total σ, and the uncertainty of the mean does not decrease with the number
of muons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..detector.known import NOTHING_KNOWN, Known
from ..detector.reconstruction import Reconstruction
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
from ..uncertainty.device import DeviceGenerator
from ..uncertainty.inference import periods_of
from ..uncertainty.jacobians import usable_muons
from ..uncertainty.systematics import systematic_jacobian
from ..uncertainty.toys import ToySetup

FAR_FROM_FOLD = 5.0
"""Minimum distance from the fold, in total σ, since the shared uncertainty is propagated linearly.

At 3 σ, the spread of an azimuth still deviates by 5 % from linear propagation, and its pseudo-experiments would fail. A
larger `domain` of an observable takes precedence.
"""


def taking_part(part: Part[ToysConfig], toy: Int[np.ndarray, " muon"]) -> Bool[np.ndarray, " muon"]:
    """The toy muons of a point that take part: evenly spaced in toy number, and so in value."""
    total = min(part.config.toys.muons, part.muons)
    return toy % -(-total // MUONS_PER_EXPERIMENT) == 0


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
    noise_rng: np.random.Generator | DeviceGenerator,
    known: Known = NOTHING_KNOWN,
) -> Experiments:
    """Throw some muons together, with new noise and new shifts of the systematics in each pseudo-experiment.

    Parameters
    ----------
    part : Part
        The point, whose config sets the number of pseudo-experiments.
    throw : ToySetup
        The hits to throw around, and the noise.
    mean, spread : array (muon, observable)
        Mean and sd of each muon's toys without shifts.
    shift_rng : Generator
        Source of the shifts, the same for all muons of the point.
    noise_rng : Generator
        Source of the noise of these muons.
    known : Known
        What is known of them besides their hits.

    Returns
    -------
    Experiments
        Results of these muons.

    Source: propagation of distributions by Monte Carlo, JCGM 101:2008, clause 7, with common input quantities (JCGM
    100:2008, F.1.2.3).

    """
    section, hits, response = part.config.systematics, throw.hits, Response(part)
    reconstruction = Reconstruction.of(part, hits.device)
    names = shared_parameters.names_of(section)
    shifted = reconstruction.shifted(names, hits, known)
    root = cholesky(torch.from_numpy(shared_parameters.shift_covariance(section)).to(hits)[None])[0]
    count, deviates = part.config.toys.experiments, throw.deviates
    etas = torch.from_numpy(shift_rng.standard_normal((count, len(names)))).to(hits) @ root.T
    infer, at = reconstruction.infer, shifted.arguments(hits)
    periods = periods_of(infer)
    with torch.no_grad():
        centre, unit = (torch.from_numpy(each).to(hits) for each in (mean, spread))
        judged = torch.isfinite(centre) & (unit > 0) & torch.isfinite(unit)
        usable = usable_muons(infer, reconstruction.arguments(hits, known))
        judged = judged if usable is None else judged & usable[:, None]
        judged = judged & _far_from_fold(
            part, centre, unit, systematic_jacobian(shifted, at, torch.zeros_like(etas[0])), root
        )
        total, squares = torch.zeros_like(centre), torch.zeros_like(centre)
        sums = centre.new_zeros(2, count, centre.shape[1])
        for index, eta in enumerate(etas):
            z = torch.as_tensor(response.toy_deviates(noise_rng, (len(hits), deviates))).to(hits)
            recorded = hits + throw.deviations(z[:, None])[:, 0]
            away = wrap_last(shifted(shifted.arguments(recorded), eta) - centre, periods)
            away = torch.where(judged, away, 0.0)
            pull = torch.where(judged, away / unit, 0.0)
            total += away
            squares += away.square()
            sums[:, index] = torch.stack([pull.sum(dim=0), pull.square().sum(dim=0)])
        variance = (squares - total.square() / count) / (count - 1)
        sd = torch.where(judged, variance.clamp(min=0).sqrt(), float("nan"))
    return Experiments(*(each.numpy(force=True) for each in (sd, judged.sum(dim=0).double(), *sums)))


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
