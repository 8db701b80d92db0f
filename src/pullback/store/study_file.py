"""`study.h5`: every point and column of a study in one file, by virtual datasets over the batches' files beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..errors import PullbackError
from ..models import Quantity
from ..study.plan import Study
from . import artefact
from .artefact import OVERHEAD, Reader
from .checksum import REMAKE, reserve
from .netcdf import Dims, attributes_of, describe


class Piece(NamedTuple):
    """A column of one point in one artefact of a batch: all but its numbers, of which there are the digests."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    dims: Dims
    attributes: dict[str, Any]
    block_xxh3: np.ndarray


def pieces_of(reader: Reader, label: str) -> Iterator[Piece]:
    """The columns of a point in an artefact."""
    for name, dataset in reader.columns(label):
        attributes = attributes_of(dataset)
        blocks = attributes.pop("block_xxh3")
        yield Piece(name, reader.kind, dataset.shape, dataset.dtype.str, reader.dims(name), attributes, blocks)


def pack(pieces: Iterable[Piece]) -> dict[str, np.ndarray]:
    """Pieces as arrays: what they are, as JSON, and the digests of all of their blocks."""
    pieces = list(pieces)
    plain = [{**piece._asdict(), "block_xxh3": len(piece.block_xxh3)} for piece in pieces]
    text = json.dumps(plain, default=lambda value: {"dtype": value.dtype.str, "array": value.tolist()})
    blocks = np.concatenate([piece.block_xxh3 for piece in pieces])
    return {"columns": np.frombuffer(text.encode(), "u1"), "block_xxh3": blocks}


def unpack(arrays: Mapping[str, np.ndarray]) -> Iterator[Piece]:
    """The pieces that `pack` was given."""

    def array(value: dict[str, Any]) -> Any:
        return np.array(value["array"], value["dtype"]) if set(value) == {"dtype", "array"} else value

    at = 0
    for plain in json.loads(arrays["columns"].tobytes(), object_hook=array):
        start, at = at, at + plain["block_xxh3"]
        yield Piece(**{**plain, "shape": tuple(plain["shape"]), "block_xxh3": arrays["block_xxh3"][start:at]})


class _Whole(NamedTuple):
    """A column of a point: its first piece, a digest of those of all of its blocks, and the files with their rows."""

    first: Piece
    digest: Any
    sources: list[tuple[str, int]]


class Gathering:
    """Collects the columns of a study, batch by batch, and writes `study.h5`."""

    def __init__(self):
        self._columns: dict[str, _Whole] = {}
        self._parents: dict[str, str] = {}

    def add(self, batch: str, parents: Mapping[str, str], pieces: Iterable[Piece]) -> None:
        """Take note of the columns of a point in the artefacts of a batch, whose digests are given by their kind."""
        for kind, digest in parents.items():
            self._parents[f"{kind}/{batch}.h5"] = digest
        for piece in pieces:
            column = self._columns.setdefault(piece.name, _Whole(piece, hashlib.sha256(), []))
            column.digest.update(piece.block_xxh3.tobytes())
            column.sources.append((f"{piece.kind}/{batch}.h5", piece.shape[0]))

    def write(self, study: Study, path: str | Path) -> str:
        """Write the file; returns the digest of the study's content.

        That is the SHA-256 over all columns of all points, which doesn't depend on how the study is cut into batches.
        """
        digests = {name: column.digest.hexdigest() for name, column in self._columns.items()}
        content = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        with artefact.new_file(path) as (part, file):
            reserve(part, OVERHEAD * (1 + sum(len(column.sources) for column in self._columns.values())))
            for point in study.points:
                config = point.config.model_dump(mode="json", exclude={"study", "figures", "compute"})
                group = file.create_group(point.label)
                for name, value in artefact.flat(config).items():
                    group.attrs[name] = value
            for name, column in self._columns.items():
                _gather(file, name, column)
            file.attrs["content_digest"] = content
            artefact.sign(file, "study", study.config.seed, study.digest, self._parents, digests)
        return content


class StudyReader(Reader):
    """`study.h5`, open: an artefact that it shows is verified before the first of its rows is read."""

    def __init__(self, path: str | Path, file: h5py.File):
        super().__init__(path, file)
        self._sources: dict[str, list[tuple[int, int, str]]] = {}
        self._verified: set[str] = set()

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a column.

        Raises
        ------
        PullbackError : naming an artefact that they are in and that is missing, damaged, or no longer the one that was
            gathered.

        """
        for first, last, source in self._sources_of(name):
            if first < (math.inf if stop is None else stop) and start < last:
                self._verify(source)
        return super().rows(name, start, stop)

    def _sources_of(self, name: str) -> list[tuple[int, int, str]]:
        """The artefacts that hold the rows of a column, with the range of rows in each."""
        if name not in self._sources:
            dataset, found = self._dataset(name), []
            properties = dataset.id.get_create_plist()
            # A column without any rows is in no artefact.
            for index in range(properties.get_virtual_count() if dataset.is_virtual else 0):
                (first, *_), (last, *_) = properties.get_virtual_vspace(index).get_select_bounds()
                found.append((first, last + 1, properties.get_virtual_filename(index)))
            self._sources[name] = found
        return self._sources[name]

    def _verify(self, source: str) -> None:
        if source in self._verified:
            return
        file = Path(self.path).parent / source
        with artefact.open_signed(file, file.parent.name) as parent:
            if parent.digest != self.parents[source]:
                raise PullbackError(f"{file}: has changed since {self.path} was made from it; run again")
        self._verified.add(source)


@contextmanager
def open_study(path: str | Path, advice: str = REMAKE) -> Iterator[StudyReader]:
    """`study.h5`, checked; the artefacts that it shows are checked when their rows are read.

    `advice` is for whoever named a file that is none.
    """
    with artefact.open_signed(path, "study", StudyReader, advice) as reader:
        yield reader


def _gather(file: h5py.File, column: str, whole: _Whole) -> None:
    """One virtual dataset over the pieces of a column."""
    first, dtype = whole.first, np.dtype(whole.first.dtype)
    shape = (sum(count for _, count in whole.sources), *first.shape[1:])
    # Should a source go missing, its rows read as NaN or as the largest integer, never as a plausible zero.
    fill = np.nan if dtype.kind == "f" else np.iinfo(dtype).max
    # By the low-level interface, since h5py's other one records the time of day.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_value(np.array([fill], dtype))
    at = 0
    for source, count in whole.sources:
        if count:
            rows, piece = h5py.h5s.create_simple(shape), (count, *first.shape[1:])
            rows.select_hyperslab((at, *(0 for _ in shape[1:])), piece)
            properties.set_virtual(rows, source.encode(), column.encode(), h5py.h5s.create_simple(piece))
        at += count
    group, name = column.rsplit("/", 1)
    kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.require_group(group).id, name.encode(), kind, space, dcpl=properties)
    dataset = file[column]
    attributes = dict(first.attributes)
    quantity = Quantity(name, attributes.pop("units"), attributes.pop("long_name"))
    describe(dataset, first.dims, quantity, attributes)
