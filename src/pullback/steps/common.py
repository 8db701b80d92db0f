"""Functions shared by the steps: reading hits, evaluating models, logging progress."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..config.source_schema import Recorded
from ..detector.known import Known
from ..errors import ConfigError
from ..store import artefact, columns
from ..store.artefact import Reader
from ..study.artefact_configs import ArtefactConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block
from ..uncertainty.arrays import Tensor
from ..uncertainty.inference import Infer
from ..uncertainty.memory import keep_freed, trim_memory

if TYPE_CHECKING:
    import torch

    from ..hits import HitsFile

log = logging.getLogger(__name__)


class HitKind(NamedTuple):
    """Kind of hits at which a model is evaluated: artefact, column, and suffix and words of the results."""

    kind: str
    column: str
    suffix: str
    words: str


RECO = HitKind("reco", "x_reco", "", "")


SELDOM = 10
"""Parts of a batch after which freed memory is given back: the next part takes longer then."""

_BEGUN = itertools.count(1)


TRUTH = HitKind("truth", "x_true", "_true", " at the true hits")


def hits_file(part: Part[ArtefactConfig]) -> HitsFile:
    """The file of recorded hits of a part."""
    from ..hits import recorded_file

    assert isinstance(part.config.source, Recorded)
    return recorded_file(part.config.source, part.model, part.digests["hits"], part.imported, part.reading)


def read_hits(
    reader: Reader, part: Part[ArtefactConfig], place: HitKind, block: Block, where: str | torch.device = "cpu"
) -> tuple[Float[Tensor, "muon coordinate"], Known]:
    """The hits of a block, and what else is known of its muons, as tensors on a device."""
    import torch

    def on_device(name: str) -> torch.Tensor:
        return torch.from_numpy(reader.read(part, name, block)).to(where)

    covariance = on_device(columns.COVARIANCE) if columns.has_covariances(part) else None
    momentum = on_device(columns.MOMENTUM) if columns.has_momenta(part) else None
    z = on_device(columns.HEIGHTS) if columns.has_heights(part) else None
    return on_device(place.column), Known(covariance, momentum, z)


def configured_device(wanted: str) -> torch.device:
    """The device of this machine for the config's `compute.device`; without it a `ConfigError`."""
    from ..uncertainty import device

    try:
        return device.device_of(wanted)
    except ValueError as error:
        raise ConfigError(f"compute.{error}") from None


def evaluate(infer: Infer, hits: np.ndarray) -> np.ndarray:
    """Observables (muon, observable); NaN for a muon without a value. An infinite value is no measurement."""
    import torch

    from ..uncertainty.jacobians import usable_muons

    x = torch.from_numpy(hits)
    with torch.no_grad():
        values = infer(x).numpy()
    usable = usable_muons(infer, x)
    return values if usable is None else np.where(usable.numpy()[:, None], values, np.nan)


def arrays(result: Any) -> dict[str, np.ndarray]:
    """The fields of a named tuple of tensors as numpy arrays."""
    return {name: tensor.numpy(force=True) for name, tensor in result._asdict().items()}


@contextmanager
def open_parents(
    batch: Batch[ArtefactConfig], files: dict[HitKind, str | Path | None]
) -> Iterator[dict[HitKind, Reader]]:
    """The open input artefacts of a step by kind of hits, without those that the study does not have."""
    with ExitStack() as stack:
        yield {
            place: stack.enter_context(artefact.read(file, batch.of_kind(place.kind)))
            for place, file in files.items()
            if file
        }


def progress(part: Part[ArtefactConfig], done: str) -> Iterator[Block]:
    """The blocks of a part, with a log line after each tenth of them."""
    keep_freed()
    if next(_BEGUN) % SELDOM == 0:
        trim_memory()
    blocks = list(part.blocks)
    for index, block in enumerate(blocks, 1):
        yield block
        if index == len(blocks) or index * 10 // len(blocks) > (index - 1) * 10 // len(blocks):
            log.info("%s: %s %d of %d muons", part.label, done, block.stop - part.start, part.stop - part.start)
