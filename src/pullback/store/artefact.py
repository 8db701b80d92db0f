"""HDF5 artefacts: written atomically, with a checksum and digests, and verified when read.

Each scan point has a group, named by its label, and each of its columns is a dataset in that group, stored in chunks of
1 MiB without compression or times. The checksum of the whole file is verified before HDF5 opens it (`checksum`). The
root attribute `digest` covers what the artefact was made from and the XXH3-128 of each block of every column. (A
SHA-256 would take half as long as writing the block.) An artefact lists the digests of those it was made from in its
attribute `parents`.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xxhash

from ..errors import ArtefactError
from ..files import whole
from ..models import Quantity
from ..study import blocks
from ..study.artefact_configs import ArtefactConfig
from ..study.batches import Batch, Part
from ..study.blocks import Block
from ..version import commit
from .checksum import REMAKE, USER_BLOCK, reserve, seal, verify
from .encoding import CODES, COMPACT, DECODING, FACTORS, IN_FULL, base_of, decode, fill_in
from .file_space import attributes_in_header, truncate
from .links import refuse_links
from .netcdf import Dims, Scales, attributes_of, describe, dims_of, members_of, scales_of
from .npz import from_npz, to_npz
from .provenance import code_digest, vector_instructions, versions

SCHEMA = 3
UNITS = "SI: m, rad"
LIBVER = ("v110", "v110")
OVERHEAD = 64 * 1024
"""Bytes reserved for HDF5's structures per column: several times the need."""

BLOCK_OVERHEAD = 128
"""Bytes reserved per chunk, for its index entry and the digest of its block."""

ARRAYS = "arrays"
"""The dataset of a point with its small arrays together."""

RESERVED_AT_A_TIME = 1 << 20
"""Bytes of space reserved together: each time takes a millisecond."""

OPEN = 64
"""Maximum number of open columns per artefact. Opening one takes as long as reading thousands of its rows."""


class Column:
    """A column being written, block by block. It is closed with its last block: HDF5 keeps 100 kB of an open one."""

    def __init__(self, dataset: h5py.Dataset):
        self._dataset: h5py.Dataset | None = dataset
        self._name, self._dtype, self._rows = dataset.name, dataset.dtype, len(dataset)
        self._at = 0
        self._digests = b""
        self._close_if_complete()

    def append(self, values: np.ndarray) -> None:
        """Write the next block."""
        values = np.ascontiguousarray(values, dtype=self._dtype)
        if not len(values):
            return
        if self._dataset is None:
            raise AssertionError(f"{self._name}: more than {self._rows} rows")
        self._dataset[self._at : self._at + len(values)] = values
        self._digests += xxhash.xxh3_128(values.data).digest()
        self._at += len(values)
        self._close_if_complete()

    def _close_if_complete(self) -> None:
        """Record the digests of the blocks when there are no more."""
        if self._dataset is not None and self._at == self._rows:
            digests = np.frombuffer(self._digests, np.uint8).reshape(-1, 16)
            self._dataset.attrs["block_xxh3"] = digests
            self._dataset = None

    def finish(self) -> tuple[str, bytes]:
        """Name and digests; refuse an incomplete column."""
        if self._dataset is not None:
            raise AssertionError(f"{self._name}: {self._at} of {self._rows} rows written")
        return self._name, self._digests


class GrowingColumn(Column):
    """A column of rows whose number is known when it is finished."""

    def __init__(self, writer: Writer, dataset: h5py.Dataset, dim: str, quantity: Quantity, attributes: dict[str, Any]):
        super().__init__(dataset)
        self._growing = dataset
        dims: Dims = {dim: None}
        self._writer, self._dims, self._quantity, self._attributes = writer, dims, quantity, attributes

    def append(self, values: np.ndarray) -> None:
        """Write further rows."""
        self._writer.reserve_more(values.nbytes + BLOCK_OVERHEAD * (1 + len(values) // self._growing.chunks[0]))
        self._growing.resize(self._at + len(values), axis=0)
        super().append(values)

    def _close_if_complete(self) -> None:
        """Only `finish` knows that there are no more."""

    def finish(self) -> tuple[str, bytes]:
        """Describe the column, which takes its length, and finish it."""
        describe(self._growing.parent, self._growing, self._dims, self._quantity, self._attributes)
        self._rows = self._at
        super()._close_if_complete()
        return super().finish()


class Writer:
    """An artefact being written."""

    def __init__(self, path: Path, file: h5py.File):
        self._path, self._file, self._size, self._reserved = path, file, OVERHEAD, OVERHEAD
        self._columns: list[Column] = []
        self._scales_of = ""  # the group that columns were last added to
        self._scales: dict[str, h5py.Dataset] = {}
        self._arrays: dict[str, str] = {}

    def point(self, part: Part[ArtefactConfig]) -> h5py.Group:
        """The group of a point, created on first use, with the parameters of the point as attributes."""
        if part.label in self._file:
            return self._file[part.label]
        group = self._file.create_group(part.label)
        digests = {f"{name}_sha256": digest for name, digest in part.digests.items()}
        group.attrs.update({**flat(part.config.model_dump(mode="json")), **digests, "first_muon": part.start})
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
        """Add a column to a point's group; `quantity` gives its description and unit."""
        # Chunks of 1 MiB of whole rows, several times faster to write than chunks of one column.
        row = [max(1, each) for each in shape[1:]]  # HDF5 knows no empty chunks
        chunks = (max(1, min(shape[0], blocks.BLOCK // math.prod(row))), *row)
        most = (max(1, shape[0]), *row)
        dataset = group.create_dataset(name, shape, dtype, chunks=chunks, maxshape=most, dcpl=attributes_in_header())
        count = -(-shape[0] // chunks[0])  # the last one takes the space of a full one
        self.reserve_more(count * (math.prod(chunks) * dataset.dtype.itemsize + BLOCK_OVERHEAD) + OVERHEAD)
        parent = dataset.parent if "/" in name else group
        if self._scales_of != parent.name:
            self._scales_of, self._scales = parent.name, {}
        describe(parent, dataset, dims, quantity, attributes, self._scales)
        column = Column(dataset)
        self._columns.append(column)
        return column

    def growing(
        self, group: h5py.Group, dim: str, quantity: Quantity, chunk: int, dtype: str = "f8", **attributes: Any
    ) -> GrowingColumn:
        """Add a column of numbers, in chunks of `chunk` rows, whose length is known when the artefact is finished."""
        dataset = group.create_dataset(quantity.name, (0,), dtype, chunks=(chunk,), maxshape=(None,))
        self.reserve_more(OVERHEAD + chunk * dataset.dtype.itemsize)
        column = GrowingColumn(self, dataset, dim, quantity, attributes)
        self._columns.append(column)
        return column

    def reserve_more(self, size: int) -> None:
        """Reserve disk space for `size` further bytes."""
        self._size += size
        if self._size > self._reserved:
            self._reserved = -(-self._size // RESERVED_AT_A_TIME) * RESERVED_AT_A_TIME
            reserve(self._path, self._reserved)

    def arrays(self, group: h5py.Group, values: Mapping[str, np.ndarray]) -> None:
        """Write the small arrays of a point, which are no columns of the study, by their names."""
        content = to_npz(values)
        self.reserve_more(content.nbytes + OVERHEAD)
        dataset = group.create_dataset(ARRAYS, data=content)
        self._arrays[dataset.name] = xxhash.xxh3_128(content.data).hexdigest()

    def finish(self, batch: Batch[ArtefactConfig], parents: dict[str, str]) -> None:
        """Finish the columns, and sign the file with the digest of its content."""
        content = {name: digests.hex() for name, digests in (column.finish() for column in self._columns)}
        content |= self._arrays
        seeds = sorted({part.config.seed for part in batch.parts})
        seed = seeds if len(seeds) > 1 else seeds[0]  # a scan may vary the seed
        sign(self._file, batch.kind, seed, batch.digest, parents, content)


class Maker(NamedTuple):
    """What made an artefact."""

    version: str
    commit: str
    same_code: bool
    """Whether it is the code of this package."""

    @classmethod
    def of(cls, file: h5py.File) -> Maker:
        """What made an open artefact."""
        version = json.loads(file.attrs["versions"])["pullback"]
        return cls(
            version, file.attrs["commit"], file.attrs["code_digest"] == code_digest(_layer_of(file.attrs["kind"]))
        )

    def __str__(self) -> str:
        return f"pullback {self.version}" + f", commit {self.commit}" * bool(self.commit)


class Reader:
    """An open artefact with verified checksum, schema and origin."""

    def __init__(self, path: str | Path, file: h5py.File):
        self.path, self._file = path, file
        self.kind: str = file.attrs["kind"]
        self.digest: str = file.attrs["digest"]
        self.parents: dict[str, str] = json.loads(file.attrs["parents"])
        self.maker = Maker.of(file)
        self._open: dict[str, h5py.Dataset] = {}
        self._scales: dict[str, Scales] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._started: tuple[Any, np.ndarray, np.ndarray] = None, np.empty(0), np.empty(0)

    def read(self, part: Part[ArtefactConfig], name: str, block: Block) -> np.ndarray:
        """A block of a column of a point."""
        return self.rows(f"{part.label}/{name}", block.start - part.start, block.stop - part.start)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a column given by its path in the file, whatever its storage."""
        place = self.place(name)
        stored = self.stored(place, start, stop)
        about = self._encoding(place)
        if CODES not in about:
            return stored
        group = name.rpartition("/")[0]
        base = self._base(group, about, start, stop) if FACTORS in about else 0.0
        found = decode(stored, base)
        if np.isnan(found).any():
            self._fill_in(group, about[CODES], start, found)
        return found

    def stored(self, place: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a dataset given by its path in the file, as they are stored."""
        try:
            return self._dataset(place)[start:stop]
        except OSError as error:
            raise self._unreadable(place) from error

    def place(self, name: str) -> str:
        """The path of the dataset that a column is stored in."""
        if self._contains(name):
            return name
        group, _, last = name.rpartition("/")
        inside = f"{group}/{COMPACT}/{last}"
        return inside if inside in self._file else name

    def _encoding(self, place: str) -> dict[str, Any]:
        """The attributes of a dataset by which it is decoded."""
        if place not in self._about:
            attributes = self._dataset(place).attrs
            self._about[place] = {name: attributes[name] for name in DECODING if name in attributes}
        return self._about[place]

    def _base(self, group: str, about: dict[str, Any], start: int, stop: int | None) -> np.ndarray:
        """What the offsets of an interval are counted from; intervals of the same muons follow each other."""
        key = f"{group}/{about['value']}", f"{group}/{about['sigma']}", start, stop
        if self._started[0] != key:
            self._started = key, self.rows(key[0], start, stop), self.rows(key[1], start, stop)
        return base_of(*self._started[1:], about[FACTORS])

    def _fill_in(self, group: str, codes: np.ndarray, start: int, found: np.ndarray) -> None:
        """Fill in the numbers of a column that are kept in full."""
        first = start + int(self._file[group].attrs.get("first_muon", 0))
        rows = [self._row_in_full(group, muon) for muon in (first, first + len(found))]
        muon, code, value = (self.stored(f"{group}/{IN_FULL}/{name}", *rows) for name in ("muon", "code", "value"))
        fill_in(found, codes, muon - first, code, value)

    def _row_in_full(self, group: str, muon: int) -> int:
        """The first row of the numbers that are kept in full from a muon on; as few as possible are read."""
        path = f"{group}/{IN_FULL}/muon"
        count, end = len(self._dataset(path)), 1
        while end < count and self.stored(path, end - 1, end)[0] < muon:
            end *= 2
        return bisect_left(range(min(end, count)), muon, key=lambda row: int(self.stored(path, row, row + 1)[0]))

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._open:
            if len(self._open) == OPEN:
                self._open.clear()
            try:
                self._open[name] = self._file[name]
            except (OSError, KeyError) as error:
                raise self._unreadable(name) from error
        return self._open[name]

    def _unreadable(self, name: str) -> ArtefactError:
        return ArtefactError(f"{self.path}: column {name} can't be read; delete the file and run again")

    def arrays(self, group: str) -> dict[str, np.ndarray]:
        """The small arrays of a point, by their names."""
        return from_npz(self.rows(f"{group}/{ARRAYS}"))

    def columns(self, group: str) -> Iterator[tuple[str, h5py.Dataset]]:
        """Path and dataset of every column in a group and its subgroups, in order of name, whatever its storage."""
        found = {path.replace(f"/{COMPACT}/", "/"): (path, each) for path, each in self.datasets(group)}
        for name in sorted(found, key=lambda path: path.split("/")):
            path, dataset = found[name]
            if name == path or FACTORS in dataset.attrs:
                yield name, dataset

    def datasets(self, group: str) -> Iterator[tuple[str, h5py.Dataset]]:
        """Path and dataset of all that is stored in a group and its subgroups, in order of name."""
        for name, each in members_of(self._file[group]):
            if isinstance(each, h5py.Group):
                yield from self.datasets(f"{group}/{name}")
            elif not each.is_scale:
                yield f"{group}/{name}", each

    def has(self, column: str) -> bool:
        """Whether the file contains a column of that path."""
        return self._contains(self.place(column))

    def _contains(self, place: str) -> bool:
        return place in self._open or place in self._file

    def attributes(self, column: str) -> dict[str, Any]:
        """The attributes of a column by its path in the file, such as `units` and `long_name`."""
        return attributes_of(self._dataset(self.place(column)))

    def dims(self, column: str) -> Dims:
        """The dimensions of a column by its path in the file."""
        place = self.place(column)
        return self.dims_of(place, self._dataset(place))

    def dims_of(self, place: str, dataset: h5py.Dataset) -> Dims:
        """The dimensions of a dataset by its path in the file."""
        group = place.rsplit("/", 1)[0]
        if group not in self._scales:
            self._scales[group] = scales_of(self._file[group])
        return dims_of(dataset, self._scales[group])


@contextmanager
def create(path: str | Path, batch: Batch[ArtefactConfig], parents: Iterable[Reader] = ()) -> Iterator[Writer]:
    """Write an artefact of a batch; it appears under its name only when complete."""
    with new_file(path) as (part, file):
        writer = Writer(part, file)
        yield writer
        writer.finish(batch, {parent.kind: parent.digest for parent in parents})


@contextmanager
def new_file(path: str | Path) -> Iterator[tuple[Path, h5py.File]]:
    """A new HDF5 file under a temporary name. When it is complete, it gets its checksum and its name."""
    with whole(path) as part:
        # `whole` holds the lock. No chunk cache, as when reading: blocks are written once.
        with h5py.File(part, "w", libver=LIBVER, userblock_size=USER_BLOCK, locking=False, rdcc_nbytes=0) as file:
            reserve(part, OVERHEAD)
            yield part, file
        truncate(part)
        seal(part)


def sign(
    file: h5py.File,
    kind: str,
    seed: int | list[int],
    config_digest: str,
    parents: dict[str, str],
    content: dict[str, str],
) -> None:
    """Write the root attributes, with a digest of the origin and the content of the file."""
    made_from = {
        "schema": SCHEMA,
        "kind": kind,
        "config_digest": config_digest,
        "code_digest": code_digest(_layer_of(kind)),
        "parents": json.dumps(parents, sort_keys=True),
    }
    digest = hashlib.sha256(json.dumps({**made_from, "content": content}, sort_keys=True).encode()).hexdigest()
    file.attrs.update(made_from)
    file.attrs.update(
        units=UNITS,
        seed=seed,
        versions=json.dumps(versions()),
        commit=commit(),
        vector_instructions=json.dumps(vector_instructions(kind)),
        digest=digest,
    )


@contextmanager
def read(path: str | Path, batch: Batch[ArtefactConfig]) -> Iterator[Reader]:
    """Open an artefact that was made from exactly this batch by this version of the package.

    Raises
    ------
    ArtefactError
        The file is missing or damaged, is not an artefact of this kind and schema, was made from another config
        or by another version of the package, or links to other files. The message names the file.

    """
    with open_verified(path, batch.kind) as file:
        if file.attrs["config_digest"] != batch.digest:
            raise ArtefactError(f"{path}: was made from another config; delete it and run again")
        yield Reader(path, file)


@contextmanager
def open_verified(
    path: str | Path, kind: str, advice: str = REMAKE, *, any_version: bool = False
) -> Iterator[h5py.File]:
    """Open an artefact of a kind after all checks except that of the config, and, if so asked, that of the version."""
    verify(path, advice)
    # No chunk cache: each block is read once as a whole, and the caches of many open columns would fill the memory.
    with h5py.File(path, "r", rdcc_nbytes=0) as file:
        if (file.attrs.get("schema"), file.attrs.get("kind")) != (SCHEMA, kind):
            raise ArtefactError(f"{path}: is not an artefact of kind {kind!r} and schema {SCHEMA}; {advice}")
        if not (any_version or file.attrs["code_digest"] == code_digest(_layer_of(kind))):
            raise ArtefactError(f"{path}: was made by another version of pullback; delete it and run again")
        refuse_links(path, file)
        yield file


def _layer_of(kind: str) -> str:
    """The layer of the package that makes a kind of artefact."""
    return "validation" if kind in ("tally", "study") else "steps"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as attributes by dotted name, without None; lists that are not purely numeric become JSON."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and not all(isinstance(each, int | float) for each in value):
            found[prefix + key] = json.dumps(value, ensure_ascii=False)
        elif value is not None:
            found[prefix + key] = value
    return found
