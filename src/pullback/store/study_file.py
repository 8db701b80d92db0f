"""`study.h5`: all columns of all scan points in one file, as virtual datasets over the artefacts of the batches."""

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

from ..config.dotted_names import unit_of
from ..errors import ArtefactError
from ..hits.reading import kept_name
from ..models import Quantity
from ..study.plan import Study
from . import artefact
from .artefact import OVERHEAD, Reader
from .checksum import REMAKE, reserve
from .netcdf import Dims, attributes_of, describe

POINT_NUMBER = "number"
"""The attribute of a point with its number in the scan, from 1 on."""


class ColumnPart(NamedTuple):
    """A column of one point in one artefact of a batch: its description and the digests of its blocks."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    dims: Dims
    attributes: dict[str, Any]
    block_xxh3: np.ndarray


def column_parts(reader: Reader, label: str) -> Iterator[ColumnPart]:
    """The columns of a point in an artefact."""
    for name, dataset in reader.datasets(label):
        attributes = attributes_of(dataset)
        blocks = attributes.pop("block_xxh3")
        dims = reader.dims_of(name, dataset)
        yield ColumnPart(name, reader.kind, dataset.shape, dataset.dtype.str, dims, attributes, blocks)


def pack(parts: Iterable[ColumnPart]) -> dict[str, np.ndarray]:
    """Column parts as arrays: their descriptions as JSON, and the digests of all their blocks."""
    parts = list(parts)
    plain = [{**part._asdict(), "block_xxh3": len(part.block_xxh3)} for part in parts]
    text = json.dumps(plain, default=lambda value: {"dtype": value.dtype.str, "array": value.tolist()})
    blocks = np.concatenate([part.block_xxh3 for part in parts])
    return {"columns": np.frombuffer(text.encode(), "u1"), "block_xxh3": blocks}


def unpack(arrays: Mapping[str, np.ndarray]) -> Iterator[ColumnPart]:
    """Recover the column parts that `pack` was given."""

    def array(value: dict[str, Any]) -> Any:
        return np.array(value["array"], value["dtype"]) if set(value) == {"dtype", "array"} else value

    at = 0
    for plain in json.loads(arrays["columns"].tobytes(), object_hook=array):
        start, at = at, at + plain["block_xxh3"]
        yield ColumnPart(**{**plain, "shape": tuple(plain["shape"]), "block_xxh3": arrays["block_xxh3"][start:at]})


class _StudyColumn(NamedTuple):
    """A column of a point: its first part, the digest of all its blocks, and the files that hold its rows."""

    first: ColumnPart
    digest: hashlib._Hash
    sources: list[tuple[str, int]]


class Gathering:
    """Collects the columns of a study, batch by batch, and writes `study.h5`."""

    def __init__(self) -> None:
        self._columns: dict[str, _StudyColumn] = {}
        self._parents: dict[str, str] = {}

    def add(self, batch: str, parents: Mapping[str, str], parts: Iterable[ColumnPart]) -> None:
        """Add the columns of a point in a batch; `parents` holds the digests of its artefacts by kind."""
        for kind, digest in parents.items():
            self._parents[f"{kind}/{batch}.h5"] = digest
        for part in parts:
            column = self._columns.setdefault(part.name, _StudyColumn(part, hashlib.sha256(), []))
            if part.kind != column.first.kind:  # momenta are in `truth` and, alike, in `reco`
                continue
            column.digest.update(part.block_xxh3.tobytes())
            column.sources.append((f"{part.kind}/{batch}.h5", part.shape[0]))

    def write(self, study: Study, path: str | Path) -> str:
        """Write the file, and return the digest of the study's content.

        The digest is the SHA-256 over all columns of all points; it does not depend on how the study is divided into
        batches.
        """
        digests = {name: column.digest.hexdigest() for name, column in self._columns.items()}
        content = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        with artefact.new_file(path) as (part, file):
            reserve(part, OVERHEAD * (1 + sum(len(column.sources) for column in self._columns.values())))
            groups: dict[str, tuple[h5py.Group, dict[str, h5py.Dataset]]] = {}
            for number, point in enumerate(study.points, 1):
                config = point.config.model_dump(mode="json", exclude={"study", "figures", "compute"})
                about = {**artefact.flat(config), "long_name": point.words, POINT_NUMBER: number}
                file.create_group(point.label).attrs.update(about)
            for name, column in self._columns.items():
                path, _, last = name.rpartition("/")
                if path not in groups:
                    groups = {path: (file.require_group(path), {})}  # columns of a group follow each other
                _gather(*groups[path], last, column)
            file.attrs["content_digest"] = content
            artefact.sign(file, "study", study.config.seed, study.digest, self._parents, digests)
        return content


class StudyReader(Reader):
    """An open `study.h5`: each artefact is verified before its first row is read."""

    def __init__(self, path: str | Path, file: h5py.File, *, any_version: bool = False):
        super().__init__(path, file)
        self._any_version = any_version
        self._sources: dict[str, list[tuple[int, int, str]]] = {}
        self._verified: set[str] = set()
        self._labels: list[str] = []

    def stored(self, place: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a dataset, as they are stored.

        Raises
        ------
        ArtefactError
            An artefact with some of these rows is missing or damaged, or has changed since `study.h5` was made. The
            message names the artefact.

        """
        for first, last, source in self._sources_of(place):
            if first < (math.inf if stop is None else stop) and start < last:
                self._verify(source)
        return super().stored(place, start, stop)

    def labels(self) -> list[str]:
        """The labels of the points in the order of the scan; by name in a study of a version that has not written it.

        HDF5 knows them by name only.
        """
        if not self._labels:
            self._labels = sorted(self._file, key=lambda label: int(self._file[label].attrs.get(POINT_NUMBER, 0)))
        return self._labels

    def words(self, label: str) -> str:
        """The label of a point as people read it; the label itself in a study of a version that has not written it."""
        return str(self._file[label].attrs.get("long_name", label))

    def unit_of(self, label: str, name: str) -> str:
        """The unit of a number of the config by dotted name; "1" for a count or a ratio."""
        about, (own, *_) = self._file[label].attrs, name.removeprefix("model.").split("[")
        if name.startswith("model.") and about.get("model.name") == "own":
            return str(about.get(f"model.units.{own}", "1"))
        return unit_of(name) or "1"

    def kept(self, label: str) -> list[str]:
        """The kept columns of the file of hits, by their names in results, in the order of the config."""
        keep = self._file[label].attrs.get("source.keep", "")
        return [*map(kept_name, json.loads(keep))] if isinstance(keep, str) and keep else []

    def observables(self, label: str) -> list[str]:
        """The observables of a point, in the order of the model."""
        if self.has(f"{label}/covariance"):
            return self.dims(f"{label}/covariance")["observable"] or []
        names = {path.removeprefix(f"{label}/") for path, _ in self.columns(label)}.difference(self.kept(label))
        return sorted(name for name in names if f"flag_{name}" in names)

    def _sources_of(self, name: str) -> list[tuple[int, int, str]]:
        """The artefacts that hold the rows of a column, with the range of rows in each."""
        if name not in self._sources:
            dataset, found = self._dataset(name), []
            properties = dataset.id.get_create_plist()
            # A column without rows has no artefact.
            for index in range(properties.get_virtual_count() if dataset.is_virtual else 0):
                if bounds := properties.get_virtual_vspace(index).get_select_bounds():  # without any numbers: none
                    (first, *_), (last, *_) = bounds
                    found.append((first, last + 1, properties.get_virtual_filename(index)))
            self._sources[name] = found
        return self._sources[name]

    def _verify(self, source: str) -> None:
        if source in self._verified:
            return
        file = Path(self.path).parent / source
        with artefact.open_verified(file, file.parent.name, any_version=self._any_version) as parent:
            if parent.attrs["digest"] != self.parents[source]:
                raise ArtefactError(f"{file}: has changed since {self.path} was made from it; run again")
        self._verified.add(source)


@contextmanager
def open_study(path: str | Path, advice: str = REMAKE, *, any_version: bool = False) -> Iterator[StudyReader]:
    """Open `study.h5` and verify it; its artefacts are verified when their rows are read.

    `advice` is the hint for a file that is no `study.h5`. A file of another version is refused, unless any is wanted.
    """
    with artefact.open_verified(path, "study", advice, any_version=any_version) as file:
        yield StudyReader(path, file, any_version=any_version)


def _gather(group: h5py.Group, scales: dict[str, h5py.Dataset], name: str, column: _StudyColumn) -> None:
    """Write a column as one virtual dataset over its parts."""
    first, dtype = column.first, np.dtype(column.first.dtype)
    shape = (sum(count for _, count in column.sources), *first.shape[1:])
    # The low-level interface is needed, since the high-level one records the time of day.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_value(np.array([_lost(dtype)], dtype))
    at = 0
    for source, count in column.sources:
        if count:
            rows, part = h5py.h5s.create_simple(shape), (count, *first.shape[1:])
            rows.select_hyperslab((at, *(0 for _ in shape[1:])), part)
            properties.set_virtual(rows, source.encode(), first.name.encode(), h5py.h5s.create_simple(part))
        at += count
    kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(shape)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=properties))
    attributes = dict(first.attributes)
    quantity = Quantity(name, attributes.pop("units"), attributes.pop("long_name"))
    describe(group, dataset, first.dims, quantity, attributes, scales)


def _lost(dtype: np.dtype) -> Any:
    """What rows read as if their source is lost: NaN, the largest integer or `?`, never a plausible zero."""
    if dtype.kind == "f":
        return np.nan
    return b"?" if dtype.kind == "S" else np.iinfo(dtype).max
