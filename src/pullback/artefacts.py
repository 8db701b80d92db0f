"""HDF5 artefacts: written whole, with checksums and digests, and refused when they aren't what they should be.

Layout of an artefact: a group a point, named by its label; in it a dataset a column, with units, long_name and
dimension scales (netCDF-4 conventions, so that xarray opens a group). 1 MiB chunks with fletcher32, no compression, no
times. HDF5's own checksums cover data and metadata; the root attribute `digest` covers every attribute, and the SHA-256
of every block of every column, so that one file's digest in another's `parents` binds its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .batches import BLOCK, Batch, Block, Part
from .errors import PullbackError
from .files import whole
from .models import Quantity
from .provenance import package_digest, versions

SCHEMA = 1
UNITS = "SI: m, rad"
LIBVER = ("v110", "v110")  # a file that was not closed refuses to open
Dims = dict[str, list[str] | None]
"""The dimensions of a column by name, with the labels along them where they have any."""

_DIMENSION_ONLY = "This is a netCDF dimension but not a netCDF variable."
_HDF5_OWN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}


class Column:
    """A column that is being written, block by block."""

    def __init__(self, dataset: h5py.Dataset):
        self._dataset = dataset
        self._at = 0
        self._digests: list[bytes] = []

    def append(self, values: np.ndarray) -> None:
        """Write the next block."""
        values = np.ascontiguousarray(values, dtype=self._dataset.dtype)
        if not len(values):
            return
        self._dataset[self._at : self._at + len(values)] = values
        self._digests.append(hashlib.sha256(values).digest())
        self._at += len(values)

    def seal(self) -> None:
        """Record the digest of every block; a column that is not full is refused."""
        if self._at != len(self._dataset):
            raise AssertionError(f"{self._dataset.name}: {self._at} of {len(self._dataset)} rows written")
        self._dataset.attrs["block_sha256"] = np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, 32)


class Writer:
    """An artefact that is being written."""

    def __init__(self, file: h5py.File):
        self._file = file
        self._columns: list[Column] = []

    def point(self, part: Part, **attributes: Any) -> h5py.Group:
        """The group of a point, made on first use, with its parameters as attributes."""
        if part.label in self._file:
            return self._file[part.label]
        group = self._file.create_group(part.label)
        for name, value in {**flat(part.config), "first_muon": part.start, **attributes}.items():
            group.attrs[name] = value
        return group

    def column(
        self,
        group: h5py.Group,
        name: str,
        shape: tuple[int, ...],
        dims: Dims,
        quantity: Quantity,
        dtype: str = "f8",
        **attributes: Any,
    ) -> Column:
        """A column in a point's group; `quantity` names what it holds, with its unit."""
        chunks = (max(1, min(shape[0], BLOCK)), *(1 for _ in shape[1:]))
        dataset = group.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)
        describe(dataset, dims, quantity, **attributes)
        column = Column(dataset)
        self._columns.append(column)
        return column

    def seal(self) -> None:
        """Finish the columns."""
        for column in self._columns:
            column.seal()


@contextmanager
def create(path: str | Path, batch: Batch, parents: Iterable[Reader] = ()) -> Iterator[Writer]:
    """Write an artefact of a batch; it appears under its name only when all of it is written."""
    with whole(path) as part, h5py.File(part, "w", libver=LIBVER) as file:
        writer = Writer(file)
        yield writer
        writer.seal()
        sign(file, batch.kind, batch.digest, {parent.kind: parent.digest for parent in parents})


def sign(file: h5py.File, kind: str, config_digest: str, parents: dict[str, str]) -> str:
    """Write the root attributes, the digest over everything last, and return that."""
    file.attrs["schema"] = SCHEMA
    file.attrs["kind"] = kind
    file.attrs["units"] = UNITS
    file.attrs["config_digest"] = config_digest
    file.attrs["package_digest"] = package_digest()
    file.attrs["versions"] = json.dumps(versions(), sort_keys=True)
    file.attrs["parents"] = json.dumps(parents, sort_keys=True)
    file.attrs["digest"] = _header_digest(file)
    return file.attrs["digest"]


def describe(dataset: h5py.Dataset, dims: Dims, quantity: Quantity, **attributes: Any) -> None:
    """Give a dataset its units and long_name, and its dimension scales, made on first use."""
    dataset.attrs["units"] = quantity.unit
    dataset.attrs["long_name"] = quantity.long_name
    for name, value in attributes.items():
        dataset.attrs[name] = value
    group = dataset.parent
    for axis, (dim, labels) in enumerate(dims.items()):
        if dim not in group and labels is None:
            length = dataset.shape[axis]
            scale = group.create_dataset(dim, (length,), ">f4", chunks=(max(1, min(length, BLOCK)),))
            scale.make_scale(f"{_DIMENSION_ONLY}{length:10d}")
        elif dim not in group:
            group.create_dataset(dim, data=labels, dtype=h5py.string_dtype()).make_scale(dim)
        dataset.dims[axis].attach_scale(group[dim])


class Reader:
    """An open artefact whose schema, digest and origin have been checked."""

    def __init__(self, path: str | Path, file: h5py.File):
        self.path, self._file = path, file
        self.kind: str = file.attrs["kind"]
        self.digest: str = file.attrs["digest"]

    def read(self, part: Part, name: str, block: Block) -> np.ndarray:
        """A block of a column of a point; HDF5 verifies its checksum."""
        return self.rows(f"{part.label}/{name}", block.start - part.start, block.stop - part.start)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a dataset given by its path in the file."""
        try:
            return self._file[name][start:stop]
        except (OSError, KeyError) as error:
            raise _damaged(self.path, f"column {name} can't be read") from error

    def dataset(self, name: str) -> h5py.Dataset:
        """A dataset by its path in the file."""
        return self._file[name]

    def dims(self, name: str) -> Dims:
        """The dimensions of a dataset, with their labels."""
        scales = [dim[0] for dim in self._file[name].dims]
        return {
            scale.name.rsplit("/", 1)[-1]: [each.decode() for each in scale[()]] if scale.dtype.kind == "O" else None
            for scale in scales
        }

    def columns(self, group: str) -> Iterator[tuple[str, h5py.Dataset]]:
        """The path and dataset of every column in a group and its subgroups, in order of name."""
        for name, each in self._file[group].items():
            if isinstance(each, h5py.Group):
                yield from self.columns(f"{group}/{name}")
            elif not each.is_scale:
                yield f"{group}/{name}", each

    @property
    def parents(self) -> dict[str, str]:
        """The digests of the artefacts that this one was made from."""
        return json.loads(self._file.attrs["parents"])

    def block_digests(self, name: str) -> bytes:
        """The SHA-256 of a column's blocks, one after the other: the same however a point is cut into batches."""
        return self._file[name].attrs["block_sha256"].tobytes()


@contextmanager
def read(path: str | Path, batch: Batch) -> Iterator[Reader]:
    """Open an artefact that was made from just this batch by just this package.

    Raises
    ------
    PullbackError : naming the file, when it is missing, truncated, damaged, of another schema, made from another
        config or by another version of the package, or when it links to other files.

    """
    with open_signed(path, batch.kind) as reader:
        if reader._file.attrs["config_digest"] != batch.digest:
            raise PullbackError(f"{path}: was made from another config; delete it and run again")
        yield reader


@contextmanager
def open_signed(path: str | Path, kind: str) -> Iterator[Reader]:
    """Open any artefact of a kind, checking all but the config that it was made from."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise PullbackError(f"{path}: is not there; run again") from None
    except OSError as error:
        raise _damaged(path, "can't be opened as HDF5") from error
    with file:
        try:
            _refuse_links(path, file)
            attributes = dict(file.attrs)
            digest = _header_digest(file)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise _damaged(path, "its header can't be read") from error
        if attributes.get("schema") != SCHEMA or attributes.get("kind") != kind:
            raise PullbackError(
                f"{path}: is no pullback artefact of kind {kind!r} and schema {SCHEMA}; delete it and run again"
            )
        if attributes.get("digest") != digest:
            raise _damaged(path, "its digest doesn't match its content")
        if attributes["package_digest"] != package_digest():
            raise PullbackError(f"{path}: was made by another version of pullback; delete it and run again")
        yield Reader(path, file)


def dims_of(dataset: h5py.Dataset) -> Dims:
    """The dimensions of a dataset, with their labels."""
    scales = [dim[0] for dim in dataset.dims]
    return {
        scale.name.rsplit("/", 1)[-1]: [each.decode() for each in scale[()]] if scale.dtype.kind == "O" else None
        for scale in scales
    }


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as attributes by dotted name."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _damaged(path: str | Path, what: str) -> PullbackError:
    return PullbackError(f"{path}: is damaged or truncated ({what}); delete it and run again")


def attributes_of(dataset: h5py.Dataset) -> dict[str, Any]:
    """What a dataset's attributes say of what it holds."""
    return _attributes(dataset, {*_HDF5_OWN, "block_sha256"})


def changed(path: str | Path, by: str | Path) -> PullbackError:
    """The error for an artefact that is no longer the one another was made from."""
    return PullbackError(f"{path}: has changed since {by} was made from it; run again")


def _refuse_links(path: str | Path, group: h5py.Group) -> None:
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise PullbackError(f"{path}: {group.name.rstrip('/')}/{name} links to another file, which is refused")
        member = group[name]
        if isinstance(member, h5py.Group):
            _refuse_links(path, member)
        elif member.external:
            raise PullbackError(f"{path}: {member.name} keeps its data in another file, which is refused")


def _header_digest(file: h5py.File) -> str:
    """SHA-256 of every attribute, name, shape, type and dimension in the file, with its blocks' digests among them."""
    entries: list[Any] = [["/", _attributes(file, {"digest"})]]

    def visit(name: str, each: h5py.Group | h5py.Dataset) -> None:
        entry: list[Any] = [name, _attributes(each, _HDF5_OWN)]
        if isinstance(each, h5py.Dataset):
            entry += [each.shape, each.dtype.str, each.chunks, [list(dim.keys()) for dim in each.dims]]
            if each.is_virtual:
                entry.append([[s.file_name, s.dset_name] for s in each.virtual_sources()])
            elif each.is_scale and each.dtype.kind == "O":
                entry.append(each[()].tolist())
        entries.append(entry)

    file.visititems(visit)
    return hashlib.sha256(json.dumps(entries, default=_plain, sort_keys=True).encode()).hexdigest()


def _attributes(each: h5py.HLObject, without: set[str]) -> dict[str, Any]:
    return {name: each.attrs[name] for name in sorted(each.attrs) if name not in without}


def _plain(value: Any) -> Any:
    """What JSON has no word for: numpy's numbers and arrays, and bytes."""
    if isinstance(value, np.ndarray):
        return value.tobytes().hex() if value.dtype == np.uint8 else value.tolist()
    return value.decode("latin-1") if isinstance(value, bytes) else value.item()
