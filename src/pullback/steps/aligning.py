"""Alignment of the layers by the tracks of a study, recorded or simulated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from ..config.alignment_schema import (
    LARGEST_ROTATION,
    LARGEST_SCALE,
    Alignment,
    free_kinds,
    free_parameters,
    references,
    shared_name,
)
from ..config.named_numbers import UNITS_OF_LAYERS
from ..detector.bound_model import parameters_of
from ..detector.known import Known
from ..detector.reconstruction import Reconstruction
from ..detector.response import Response, generated, momenta, true_hits
from ..errors import PullbackError
from ..models import Model
from ..models.best_line import has_line
from ..statistics.parts import of_all
from ..store.alignment_file import (
    Agreement,
    AlignedNumber,
    AlignmentFile,
    ResidualsOfCoordinate,
    RobustSettings,
    heights_of,
    kept_alignment,
)
from ..study.aligning import placed_coordinates
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..study.plan import Study
from ..uncertainty import alignment as estimator
from ..uncertainty.alignment import Diverged, Parameter, TrackGroup, Undetermined
from ..uncertainty.placement import Placement
from .common import hits_file
from .fit_comparison import FitComparison
from .unseen_layers import refuse_seldom, refuse_unseen, unseen_references

log = logging.getLogger(__name__)

MATRIX_ENTRIES = 1 << 27
"""Entries of the matrices of all tracks, where each has its own covariance: 1 GiB for each kind."""

SHOWN_OF_A_MODE = 0.2
"""Smallest part of a parameter in a weak mode that is named, of the largest."""

CENTRAL = (0.158655, 0.841345)
"""Quantiles of the central 68.27 %."""


FARTHEST = 1e6
"""Distance, m, beyond which a position is no hit."""


class Tracks(NamedTuple):
    """Hits as the layers read them, m, and what else is known of each muon."""

    hits: Float[np.ndarray, "muon coordinate"]
    known: Known


def align(study: Study, path: str | Path) -> None:
    """Find where the layers of a study are, or check an alignment that was made before; write `alignment.json`.

    The config without its scan counts: layers are aligned once for all points. Simulated hits are those of the first
    muons of that config.
    """
    if kept := kept_alignment(study):
        kept.write(path)
        return
    found = found_alignment(study, first_tracks(study), stated_widths(study))
    log.info("%d of %d tracks, %d iterations", found.weighted, found.tracks, found.iterations)
    found.write(path)


def stated_widths(study: Study) -> dict[str, float | list[float]]:
    """What the config states of the widths of hits."""
    return study.config.detector.stated


def first_tracks(study: Study) -> Tracks:
    """The first muons of a study, as their layers read them, without positions that are no hits."""
    part, _ = study.first_part(study.points[0].label)
    alignment = study.config.alignment or Alignment()
    count = min(part.muons, alignment.tracks)
    if part.config.source.kind == "recorded" and (part.config.source.sigma or part.config.source.covariance):
        count = min(count, MATRIX_ENTRIES // len(part.model.coordinates) ** 2)
    tracks = _recorded(part, count) if study.recorded else _simulated(part, count)
    return tracks._replace(hits=np.where(np.abs(tracks.hits) < FARTHEST, tracks.hits, np.nan))


def _recorded(part: Part[SigmaConfig], count: int) -> Tracks:
    (found,) = hits_file(part).blocks(0, count, count)
    return Tracks(found.hits, Known(found.covariance, found.momentum, found.z))


def _simulated(part: Part[SigmaConfig], count: int) -> Tracks:
    """The recorded hits of simulated muons, before they are corrected."""
    response, hits, known = Response(part), [], []
    response.corrected = None
    for block in _blocks(part, count):
        drawn = generated(part, block)
        momentum = momenta(part, drawn)
        hits.append(response.record(true_hits(part, drawn), response.draw(block), momentum=momentum))
        known.append(Known(momentum=momentum))
    joined = Known.joined(known).each(lambda values: values[:count])
    return Tracks(np.concatenate(hits)[:count], joined)


def _blocks(part: Part[SigmaConfig], count: int) -> Sequence[Block]:
    from ..study import blocks

    number = blocks.block_count(count)
    ends = [min(index * blocks.BLOCK, part.muons) for index in range(number + 1)]
    return [Block(index, ends[index], ends[index + 1]) for index in range(number)]


def track_groups(
    model: Model, stated: dict[str, float | list[float]], tracks: Tracks, placement: Placement | None = None
) -> list[TrackGroup]:
    """The tracks with more hits than parameters, by the covariance that is propagated for layers so placed."""
    comparison = FitComparison(Reconstruction(model, parameters_of(model, stated), by_lines=True, placement=placement))
    hits, known, found = torch.from_numpy(tracks.hits), tracks.known.each(torch.from_numpy), list[TrackGroup]()
    for group, covariance in comparison.groups(hits, known):
        if group.ndf:
            arrays = (group.rows, group.used, group.shape.white, covariance)
            found.append(TrackGroup(*(each.numpy(force=True) for each in arrays)))
    return found


def found_alignment(study: Study, tracks: Tracks, stated: dict[str, float | list[float]]) -> AlignmentFile:
    """The alignment of the layers from some tracks, by the `stated` widths of their hits.

    Raises
    ------
    PullbackError
        The tracks leave a combination of the parameters free, or are too few; or layers are far out of place.

    """
    alignment, model, section = study.config.alignment or Alignment(), study.model, study.config.model
    of = placed_coordinates(model)
    free = [Parameter(*each) for each in free_parameters(alignment, section)]
    paired = any(each.kind == "rotation" for each in free)
    refuse_unseen(study, free, of, tracks.hits)
    tracks, halves = _paired(tracks, model, {each.layer for each in free}) if paired else (tracks, 0)
    groups = track_groups(model, stated, tracks)
    count = sum(len(group.rows) for group in groups)
    if count <= len(free):
        raise PullbackError(
            f"alignment: {of_all(count, len(tracks.hits), 'muon')} have more hits than a line has parameters, too few "
            f"for {len(free)} parameters"
        )
    refuse_seldom(study, free, of, groups)
    names = [shared_name(*each) for each in free]
    try:
        found = estimator.align_layers(tracks.hits, groups, of, free)
        if found.placement.deforms:  # so that hits have another covariance
            groups = track_groups(model, stated, tracks, found.placement)
            again = estimator.align_layers(tracks.hits, groups, of, free, found.value)
            found = again._replace(steps=found.steps + again.steps)
    except Undetermined as error:
        empty = unseen_references(study, references(alignment, section), of, tracks.hits)
        raise PullbackError(f"alignment: the tracks do not determine {_weak(error.modes, names)}{empty}") from None
    except Diverged as error:
        raise PullbackError(f"alignment: {error}; are the heights of the layers right?") from None
    numbers = [
        AlignedNumber(
            name=name,
            kind=each.kind,
            layer=each.layer,
            unit=UNITS_OF_LAYERS.get(each.kind, "m"),
            value=value,
            se=se,
        )
        for name, each, value, se in zip(
            names, free, found.value.tolist(), np.sqrt(found.covariance.diagonal()).tolist(), strict=True
        )
    ]
    _refuse_far(numbers)
    source, ends = study.config.source, np.cumsum([len(group.rows) for group in groups])[:-1]
    kept = np.split(found.weight > 0, ends)
    return AlignmentFile(
        model=section.name,
        heights=heights_of(study),
        source=f"recorded {source.file}" if source.kind == "recorded" else "simulated",
        source_sha256=study.digests.get("hits", ""),
        free=free_kinds(alignment, section),
        reference=references(alignment, section),
        muons=len(tracks.hits),
        tracks=count,
        weighted=int(np.count_nonzero(found.weight)),
        halves=halves,
        iterations=found.steps,
        width=found.width,
        robust=RobustSettings(cut=estimator.CUT, smallest_step=estimator.SMALL_STEP),
        numbers=numbers,
        covariance=found.covariance.tolist(),
        before=_agreement(model, tracks.hits, groups, kept),
        after=_agreement(model, found.placement.to_frame(tracks.hits), groups, kept),
    )


def _paired(tracks: Tracks, model: Model, layers: set[int]) -> tuple[Tracks, int]:
    """Tracks whose hits on layers that may turn have both coordinates and lines in both views.

    And the number of hits on these layers of which one coordinate was read.
    """
    hits, of = tracks.hits, placed_coordinates(model)

    def halves(seen: Bool[np.ndarray, "muon coordinate"]) -> Bool[np.ndarray, "muon coordinate"]:
        found: Bool[np.ndarray, "muon coordinate"] = seen & ~seen[:, of.partner] & np.isin(of.layer, [*layers])
        return found

    count = int(halves(np.isfinite(hits)).sum())
    while True:
        seen = np.isfinite(hits)
        lost = halves(seen)
        for line in model.lines:
            own = [*line.coordinates]
            z = torch.tensor(model.heights)[own][:, None]
            lost[:, own] |= seen[:, own] & ~has_line(torch.from_numpy(seen[:, own].T), z).numpy()[:, None]
        if not lost.any():
            return tracks._replace(hits=hits), count
        hits = np.where(lost, np.nan, hits)


def _weak(modes: Float[np.ndarray, "mode parameter"], names: Sequence[str]) -> str:
    """Combinations of parameters in words, by their largest parts."""

    def named(mode: Float[np.ndarray, " parameter"]) -> str:
        size = np.abs(mode)
        return " with ".join(names[index] for index in np.flatnonzero(size > SHOWN_OF_A_MODE * size.max()).tolist())

    words = "; ".join(dict.fromkeys(map(named, modes))) or ", ".join(names)
    return f"{words}: hold more layers, or free less of them"


def _refuse_far(numbers: Sequence[AlignedNumber]) -> None:
    limits = {"rotation": LARGEST_ROTATION, "scale_x": LARGEST_SCALE, "scale_y": LARGEST_SCALE}
    for each in numbers:
        most = limits.get(each.kind, np.inf)
        if abs(each.value) > most:
            raise PullbackError(
                f"alignment: {each.name} = {each.value:.3g} ± {each.se:.1g} is beyond ±{most:g}; correct "
                "it in the file of hits, or free less"
            )


def _agreement(
    model: Model,
    positions: Float[np.ndarray, "muon coordinate"],
    groups: Sequence[TrackGroup],
    kept: Sequence[Bool[np.ndarray, " _"]],
) -> Agreement:
    """How well tracks fit with their hits at these positions; `kept` are those that are not wrong, of each group."""
    chi2 = [estimator.chi2_of(group, positions[group.rows]) for group in groups]
    of_kept = sum(float(each[which].sum()) for each, which in zip(chi2, kept, strict=True))
    freedom = sum(group.freedom * int(which.sum()) for group, which in zip(groups, kept, strict=True))
    ratios = np.concatenate([each / group.freedom for each, group in zip(chi2, groups, strict=True)])
    residual, right = np.full(positions.shape, np.nan), np.zeros(len(positions), bool)
    for group, which in zip(groups, kept, strict=True):
        residual[group.rows[:, None], group.used[None]] = estimator.residuals_of(group, positions[group.rows])
        right[group.rows] = which
    entries = [_residuals(each.name, residual[:, index], right) for index, each in enumerate(model.coordinates)]
    return Agreement(
        chi2_per_ndf=of_kept / freedom,
        median_chi2_per_ndf=float(np.median(ratios)),
        residuals=[each for each in entries if each.hits],
    )


def _residuals(
    name: str, residual: Float[np.ndarray, " muon"], right: Bool[np.ndarray, " muon"]
) -> ResidualsOfCoordinate:
    every, r = residual[np.isfinite(residual)], residual[np.isfinite(residual) & right]
    if not len(r):
        return ResidualsOfCoordinate(name=name, hits=0, mean=np.nan, sd=np.nan, median=np.nan, width=np.nan)
    low, high = np.quantile(every, CENTRAL)
    return ResidualsOfCoordinate(
        name=name,
        hits=len(r),
        mean=float(r.mean()),
        sd=float(r.std()),
        median=float(np.median(every)),
        width=float(high - low) / 2,
    )
