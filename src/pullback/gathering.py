"""`study.h5`: every point and column of a study in one file, by virtual datasets over the batches' files beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from . import artefacts
from .artefacts import OVERHEAD, Reader
from .errors import PullbackError
from .labels import Dims, attributes_of, describe
from .models import Quantity
from .seal import reserve
from .study import Study


class Piece(NamedTuple):
    """A column of one point in one batch's file."""

    file: str
    shape: tuple[int, ...]
    dtype: np.dtype
    dims: Dims
    attributes: dict[str, Any]
    block_xxh3: bytes


class Gathering:
    """Collects the columns of a study from its artefacts, batch by batch, and writes `study.h5`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._columns: dict[str, list[Piece]] = {}
        self._parents: dict[str, str] = {}

    def add(self, reader: Reader, label: str) -> None:
        """Take note of the columns of a point in an artefact."""
        file = Path(reader.path).relative_to(self.folder).as_posix()
        self._parents[file] = reader.digest
        for name, dataset in reader.columns(label):
            blocks = dataset.attrs["block_xxh3"].tobytes()
            attributes = {key: value for key, value in attributes_of(dataset).items() if key != "block_xxh3"}
            piece = Piece(file, dataset.shape, dataset.dtype, reader.dims(name), attributes, blocks)
            self._columns.setdefault(name, []).append(piece)

    def write(self, study: Study, path: str | Path) -> str:
        """Write the file; returns the digest of the study's content.

        That is the SHA-256 over all columns of all points, which doesn't depend on how the study is cut into batches.
        """
        digests = {
            name: hashlib.sha256(b"".join(piece.block_xxh3 for piece in pieces)).hexdigest()
            for name, pieces in self._columns.items()
        }
        content = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        with artefacts.new_file(path) as (part, file):
            reserve(part, OVERHEAD * (1 + sum(map(len, self._columns.values()))))
            for point in study.points:
                config = point.config.model_dump(mode="json", exclude={"study", "figures", "compute"})
                group = file.create_group(point.label)
                for name, value in artefacts.flat(config).items():
                    group.attrs[name] = value
            for name, pieces in self._columns.items():
                _gather(file, name, pieces, digests[name])
            file.attrs["content_digest"] = content
            artefacts.sign(file, "study", study.config.seed, study.digest, self._parents, digests)
        return content


@contextmanager
def open_study(path: str | Path) -> Iterator[Reader]:
    """`study.h5`, checked together with the artefacts that it shows.

    Raises
    ------
    PullbackError : naming the file that is missing, damaged, or no longer the one that was gathered.

    """
    with artefacts.open_signed(path, "study") as reader:
        for name, digest in reader.parents.items():
            file = Path(path).parent / name
            with artefacts.open_signed(file, file.parent.name) as parent:
                if parent.digest != digest:
                    raise PullbackError(f"{file}: has changed since {path} was made from it; run again")
        yield reader


def _gather(file: h5py.File, column: str, pieces: list[Piece], digest: str) -> None:
    """One virtual dataset over the pieces of a column."""
    first = pieces[0]
    shape = (sum(piece.shape[0] for piece in pieces), *first.shape[1:])
    # Should a source go missing, its rows read as NaN or as the largest integer, never as a plausible zero.
    fill = np.nan if first.dtype.kind == "f" else np.iinfo(first.dtype).max
    # By the low-level interface, since h5py's other one records the time of day.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_value(np.array([fill], first.dtype))
    at = 0
    for piece in pieces:
        if piece.shape[0]:
            rows = h5py.h5s.create_simple(shape)
            rows.select_hyperslab((at, *(0 for _ in shape[1:])), piece.shape)
            properties.set_virtual(rows, piece.file.encode(), column.encode(), h5py.h5s.create_simple(piece.shape))
        at += piece.shape[0]
    group, name = column.rsplit("/", 1)
    kind, space = h5py.h5t.py_create(first.dtype, logical=True), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.require_group(group).id, name.encode(), kind, space, dcpl=properties)
    dataset = file[column]
    attributes = dict(first.attributes)
    quantity = Quantity(name, attributes.pop("units"), attributes.pop("long_name"))
    describe(dataset, first.dims, quantity, {**attributes, "sha256": digest})
