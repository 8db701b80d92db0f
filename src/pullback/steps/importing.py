"""Import of recorded hits from their file."""

from __future__ import annotations

import logging
from itertools import groupby
from pathlib import Path

from ..hits.counts import in_words
from ..store import artefact, columns
from ..study import blocks
from ..study.artefact_configs import RecoConfig
from ..study.batches import Batch, Part
from .common import hits_file, progress

log = logging.getLogger(__name__)


def import_hits(batch: Batch[RecoConfig], reco: str | Path) -> None:
    """Read recorded hits from their file: x_reco (muon, coordinate) in m, and any covariances in m².

    The counts of the whole file by `ImportCounts` are logged, and are attributes `imported.…` of each point.
    """
    if counts := batch.parts[0].imported:
        for words, number in in_words(counts.plain()):
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
            momenta = [columns.of_momenta(out, part) for part in parts if columns.has_momenta(part)]
            for _, found in zip(progress(parts[0], "imported"), file.blocks(start, stop, blocks.BLOCK), strict=True):
                for column in outputs:
                    column.append(found.hits)
                if found.covariance is not None:
                    for column in covariances:
                        column.append(found.covariance)
                if found.momentum is not None:
                    for column in momenta:
                        column.append(found.momentum)


def _attributes(part: Part[RecoConfig]) -> dict[str, int]:
    counts = part.imported.plain() if part.imported else {}
    return {f"imported.{name}": number for name, number in counts.items()}
