"""HDF5 artefacts: written whole, with a checksum and digests, and refused when they aren't what they should be.

A group a point, named by its label; in it a dataset a column, in chunks of 1 MiB, without compression or times. HDF5
keeps no checksums of its own: that of the whole file is verified before HDF5 opens it (`checksum`). The root attribute
`digest` stands for all that the artefact says: what it was made from and the XXH3-128 of each block of every column
(SHA-256 would take half as long as writing the block). It is listed in the `parents` of what is made from it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import xxhash

from ..errors import PullbackError
from ..files import whole
from ..models import Quantity
from ..study.batches import Batch, Part
from ..study.blocks import BLOCK, Block
from .checksum import REMAKE, USER_BLOCK, reserve, seal, verify
from .netcdf import Dims, Scales, describe, dims_of, scales_of
from .provenance import code_digest, vector_instructions, versions

SCHEMA = 3
UNITS = "SI: m, rad"
LIBVER = ("v110", "v110")
OVERHEAD = 64 * 1024
"""Bytes to reserve for HDF5's own structures of a column: several times what it needs."""

BLOCK_OVERHEAD = 128
"""The same of each chunk, which has a place in an index, and with others of its block a digest."""

ARRAY_OVERHEAD = 1024
"""The same of a small array."""

OPEN = 64
"""Most columns of an artefact that are kept open: to open one takes as long as to read some thousands of its rows."""


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
        self._digests.append(xxhash.xxh3_128(values).digest())
        self._at += len(values)

    def finish(self) -> tuple[str, bytes]:
        """Record the digest of every block, and return them; a column that is not full is refused."""
        if self._at != len(self._dataset):
            raise AssertionError(f"{self._dataset.name}: {self._at} of {len(self._dataset)} rows written")
        digests = b"".join(self._digests)
        self._dataset.attrs["block_xxh3"] = np.frombuffer(digests, np.uint8).reshape(-1, 16)
        return self._dataset.name, digests


class Writer:
    """An artefact that is being written."""

    def __init__(self, path: Path, file: h5py.File):
        self._path, self._file, self._size = path, file, OVERHEAD
        self._columns: list[Column] = []
        self._arrays: dict[str, str] = {}

    def point(self, part: Part) -> h5py.Group:
        """The group of a point, made on first use, with its parameters as attributes."""
        if part.label in self._file:
            return self._file[part.label]
        group = self._file.create_group(part.label)
        for name, value in {**flat(part.config), "first_muon": part.start}.items():
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
        """A column in a point's group; `quantity` says what it holds, and in which unit."""
        # Whole rows together: 1 MiB, and written several times faster than a column at a time.
        chunks = (max(1, min(shape[0], BLOCK // math.prod(shape[1:]))), *shape[1:])
        dataset = group.create_dataset(name, shape, dtype, chunks=chunks, maxshape=(max(1, shape[0]), *shape[1:]))
        count = -(-shape[0] // chunks[0])  # the last one takes the space of a full one
        self._size += count * (math.prod(chunks) * dataset.dtype.itemsize + BLOCK_OVERHEAD) + OVERHEAD
        reserve(self._path, self._size)
        describe(dataset, dims, quantity, attributes)
        column = Column(dataset)
        self._columns.append(column)
        return column

    def array(self, group: h5py.Group, path: str, values: np.ndarray) -> None:
        """Write a small array whole, by its path in a point's group: what is no column of the study."""
        values = np.ascontiguousarray(values)
        self._size += values.nbytes + ARRAY_OVERHEAD
        reserve(self._path, self._size)
        dataset = group.create_dataset(path, data=values)
        self._arrays[dataset.name] = xxhash.xxh3_128(values).hexdigest()

    def finish(self, batch: Batch, parents: dict[str, str]) -> None:
        """Finish the columns, and sign the file with the digest of what they hold."""
        content = {name: blocks.hex() for name, blocks in (column.finish() for column in self._columns)}
        content |= self._arrays
        seeds = sorted({part.settings.seed for part in batch.parts})
        seed = seeds if len(seeds) > 1 else seeds[0]  # a scan may run over the seed
        sign(self._file, batch.kind, seed, batch.digest, parents, content)


class Reader:
    """An open artefact whose seal, schema and origin have been checked."""

    def __init__(self, path: str | Path, file: h5py.File):
        self.path, self._file = path, file
        self.kind: str = file.attrs["kind"]
        self.digest: str = file.attrs["digest"]
        self.parents: dict[str, str] = json.loads(file.attrs["parents"])
        self._open: dict[str, h5py.Dataset] = {}
        self._scales: dict[str, Scales] = {}

    def read(self, part: Part, name: str, block: Block) -> np.ndarray:
        """A block of a column of a point."""
        return self.rows(f"{part.label}/{name}", block.start - part.start, block.stop - part.start)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a dataset given by its path in the file."""
        try:
            return self._dataset(name)[start:stop]
        except OSError as error:
            raise self._unreadable(name) from error

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._open:
            if len(self._open) == OPEN:
                self._open.clear()
            try:
                self._open[name] = self._file[name]
            except (OSError, KeyError) as error:
                raise self._unreadable(name) from error
        return self._open[name]

    def _unreadable(self, name: str) -> PullbackError:
        return PullbackError(f"{self.path}: column {name} can't be read; delete the file and run again")

    def arrays(self, group: str) -> dict[str, np.ndarray]:
        """Everything in a point's group, by its path in it."""
        names: list[str] = []
        self._file[group].visititems(lambda name, each: names.append(name) if isinstance(each, h5py.Dataset) else None)
        return {name: self.rows(f"{group}/{name}") for name in names}

    def columns(self, group: str) -> Iterator[tuple[str, h5py.Dataset]]:
        """The path and dataset of every column in a group and its subgroups, in order of name."""
        for name, each in self._file[group].items():
            if isinstance(each, h5py.Group):
                yield from self.columns(f"{group}/{name}")
            elif not each.is_scale:
                yield f"{group}/{name}", each

    def has(self, column: str) -> bool:
        """Whether there is a column of that path in the file."""
        return column in self._file

    def dims(self, column: str) -> Dims:
        """The dimensions of a column given by its path in the file."""
        group = column.rsplit("/", 1)[0]
        if group not in self._scales:
            self._scales[group] = scales_of(self._file[group])
        return dims_of(self._file[column], self._scales[group])


R = TypeVar("R", bound=Reader)


@contextmanager
def create(path: str | Path, batch: Batch, parents: Iterable[Reader] = ()) -> Iterator[Writer]:
    """Write an artefact of a batch; it appears under its name only when all of it is written."""
    with new_file(path) as (part, file):
        writer = Writer(part, file)
        yield writer
        writer.finish(batch, {parent.kind: parent.digest for parent in parents})


@contextmanager
def new_file(path: str | Path) -> Iterator[tuple[Path, h5py.File]]:
    """An HDF5 file to write, under the name it has while it isn't whole; it is sealed when it is."""
    with whole(path) as part:
        # `whole` has locked it already.
        with h5py.File(part, "w", libver=LIBVER, userblock_size=USER_BLOCK, locking=False) as file:
            reserve(part, OVERHEAD)
            yield part, file
        seal(part)


def sign(
    file: h5py.File,
    kind: str,
    seed: int | list[int],
    config_digest: str,
    parents: dict[str, str],
    content: dict[str, str],
) -> None:
    """Write the root attributes, with a digest over what the file was made from and the digests of its content."""
    made_from = {
        "schema": SCHEMA,
        "kind": kind,
        "config_digest": config_digest,
        "code_digest": code_digest(_layer_of(kind)),
        "parents": json.dumps(parents, sort_keys=True),
    }
    digest = hashlib.sha256(json.dumps({**made_from, "content": content}, sort_keys=True).encode()).hexdigest()
    about = {
        "units": UNITS,
        "seed": seed,
        "versions": json.dumps(versions()),
        "vector_instructions": json.dumps(vector_instructions()),
        "digest": digest,
    }
    for name, value in {**made_from, **about}.items():
        file.attrs[name] = value


@contextmanager
def read(path: str | Path, batch: Batch) -> Iterator[Reader]:
    """Open an artefact that was made from just this batch by just this package.

    Raises
    ------
    PullbackError : naming the file, when it is missing, truncated or damaged, no artefact of this kind and schema, made
        from another config or by another version of the package, or when it links to other files.

    """
    with open_signed(path, batch.kind) as reader:
        if reader._file.attrs["config_digest"] != batch.digest:
            raise PullbackError(f"{path}: was made from another config; delete it and run again")
        yield reader


@contextmanager
def open_signed(path: str | Path, kind: str, reader: type[R] = Reader, advice: str = REMAKE) -> Iterator[R]:
    """Open any artefact of a kind by a class of readers, checking all but the config that it was made from."""
    verify(path, advice)
    # Without a cache of chunks: a block is read once, whole, and caches of many open columns would fill the memory.
    with h5py.File(path, "r", rdcc_nbytes=0) as file:
        if (file.attrs.get("schema"), file.attrs.get("kind")) != (SCHEMA, kind):
            raise PullbackError(f"{path}: is no artefact of kind {kind!r} and schema {SCHEMA}; {advice}")
        if file.attrs["code_digest"] != code_digest(_layer_of(kind)):
            raise PullbackError(f"{path}: was made by another version of pullback; delete it and run again")
        _refuse_links(path, file)
        yield reader(path, file)


def _layer_of(kind: str) -> str:
    """The layer of the package that makes a kind of artefact."""
    return "validation" if kind in ("tally", "study") else "steps"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as attributes by dotted name; what is not given is left out, and lists of no numbers are JSON."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and not all(isinstance(each, int | float) for each in value):
            found[prefix + key] = json.dumps(value, ensure_ascii=False)
        elif value is not None:
            found[prefix + key] = value
    return found


def _refuse_links(path: str | Path, group: h5py.Group) -> None:
    """Refuse data that a file only points to, but for what a virtual dataset shows of its neighbours."""
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise PullbackError(f"{path}: {group.name.rstrip('/')}/{name} links to another file, which is refused")
        member = group[name]
        if isinstance(member, h5py.Group):
            _refuse_links(path, member)
        elif member.external:
            raise PullbackError(f"{path}: {member.name} keeps its data in another file, which is refused")
