"""Import of recorded hits from their file."""

from __future__ import annotations

import logging
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..config.source_schema import Recorded
from ..errors import HitsError
from ..hits.counts import in_words
from ..store import artefact, columns
from ..study import blocks
from ..study.aligning import placement_of
from ..study.artefact_configs import ArtefactConfig, RecoConfig
from ..study.batches import Batch, Part
from .common import hits_file, progress

log = logging.getLogger(__name__)


def import_hits(batch: Batch[RecoConfig], reco: str | Path) -> None:
    """Read recorded hits from their file: x_reco (muon, coordinate) in m, and any covariances in m².

    Hits are corrected where layers are aligned; their covariances stay those that the layers read, and turn with them
    where they are used (`hit_covariance`). The counts of the whole file by `ImportCounts` are logged, and are
    attributes `imported.…` of each point.
    """
    if counts := batch.parts[0].imported:
        for words, number in in_words(counts.plain(), batch.parts[0].reading.others):
            log.info("%s: %d", words, number)
    with artefact.create(reco, batch) as out:
        # All points of a scan have the same rows, so that they are read once.
        for (start, stop), group in groupby(batch.parts, key=lambda part: (part.start, part.stop)):
            parts = list(group)
            file = hits_file(parts[0])
            outputs = [columns.of_hits(out, part, "x_reco", "recorded") for part in parts]
            shape = file.covariance_shape
            covariances = [columns.of_covariances(out, part, shape) for part in parts if shape]
            for part in parts:
                out.point(part).attrs.update(_attributes(part))
            placement = placement_of(parts[0])
            momenta = [columns.of_momenta(out, part) for part in parts if columns.has_momenta(part)]
            kept = [columns.of_kept(out, part) for part in parts]
            heights = [columns.of_heights(out, part) for part in parts if columns.has_heights(part)]
            for _, found in zip(progress(parts[0], "imported"), file.blocks(start, stop, blocks.BLOCK), strict=True):
                hits = found.hits if placement is None else placement.to_frame(found.hits)
                for column in outputs:
                    column.append(hits)
                if found.covariance is not None:
                    for column in covariances:
                        column.append(found.covariance)
                if found.z is not None:
                    for column in heights:
                        column.append(found.z)
                if found.momentum is not None:
                    check_momenta(parts[0], found.momentum)
                    for column in momenta:
                        column.append(found.momentum)
                for name, values in found.kept.items():
                    for of_part in kept:
                        of_part[name].append(values)


def check_momenta(part: Part[ArtefactConfig], momentum: Float[np.ndarray, " muon"]) -> None:
    """Refuse an empty momentum where nothing else says it."""
    needed = "material" in part.model.parameters and "momentum" not in part.model.parameters
    if needed and np.isnan(momentum).any():
        source = part.config.source
        assert isinstance(source, Recorded)
        raise HitsError(
            f"{source.file}: column {source.momentum_column!r} has {np.isnan(momentum).sum()} empty cells; set "
            "model.momentum, the momentum of muons whose own is not known"
        )


def _attributes(part: Part[RecoConfig]) -> dict[str, int]:
    counts = part.imported.plain() if part.imported else {}
    return {f"imported.{name}": number for name, number in counts.items()}
