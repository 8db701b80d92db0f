"""Recorded hits from CSV, Parquet, HDF5 and ROOT files, streamed in blocks.

An empty or null cell is a missing hit and reads as NaN, and so does an empty line of a CSV file with one column. NaN
and infinite hits are kept. The config defines columns and units; results are in m and m².
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
from jaxtyping import Float

from ..errors import ConfigError, HitsError, one_line
from .columns import MAX_CHUNK_ROWS, Chunks, JaggedError, NoColumnError, in_blocks
from .counts import ImportCounts
from .error_columns import ErrorColumn, coordinate_index, error_columns
from .guards import file_errors, reader_of, suffix_of, unchanged_file
from .native import AS_NUMBER, AS_TEXT
from .reading import Planned, Reading, Starts
from .recorded import RecordedHits, RecordedSource
from .scaling import PER_METRE, Scaling, column_name, scalings
from .selected_columns import checked_condition, errors_of_condition
from .selection import Condition

END = 2**62
"""In place of the number of rows: to the end of the file."""

ROW = "i8"
"""The type of the rows of the file."""

ROUNDING = 1e3 * np.finfo("f8").eps
"""Tolerance for negative eigenvalues of a correlation matrix, as in `pullback.propagate`."""


HIGHEST = 1e6
"""Largest height of a layer, m, as in the config."""


@dataclass(frozen=True)
class HitsFile:
    """A file of recorded hits with its columns for the coordinates of a model; made by `source_of`.

    Attributes
    ----------
    coordinates : tuple of str
        The column of each coordinate, in the model's order.
    sigma : mapping of int to ErrorColumn
        Columns of uncertainties, by the index of the coordinate.
    covariance : mapping of (int, int) to str
        Columns of covariances, by the indices of two coordinates, which both have a column in `sigma`.
    unit : str
        Unit of positions and their uncertainties; covariances are in the squared unit.
    tree : str
        The tree of a ROOT file, or the table of an HDF5 file; empty for the only one.
    sha256 : str
        SHA-256 of the content at planning; empty before planning.
    momentum : str
        The column of the momenta of the muons, GeV/c; empty without one.
    scaling : mapping of int to Scaling
        How coordinates with a scale or an offset become lengths, by the index of the coordinate; all others are in
        `unit`.
    condition : Condition, optional
        The condition on the rows that are used.
    lengths : mapping of str to (str, Scaling)
        The lengths in the condition by name: the column of each, and how its numbers become lengths.
    keep : tuple of str
        Columns that are kept as they are.
    reading : Reading
        What planning found about the file.
    z : tuple of str
        The column of the height of each layer; empty without.
    """

    file: str
    coordinates: tuple[str, ...]
    sigma: Mapping[int, ErrorColumn]
    covariance: Mapping[tuple[int, int], str]
    unit: str
    tree: str
    sha256: str = ""
    momentum: str = ""
    scaling: Mapping[int, Scaling] = field(default_factory=dict)
    condition: Condition | None = None
    lengths: Mapping[str, tuple[str, Scaling]] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    z: tuple[str, ...] = ()

    @property
    def covariance_shape(self) -> tuple[int, ...] | None:
        """The shape of a muon's covariance, as in `RecordedHits`."""
        if not self.sigma:
            return None
        return (len(self.coordinates),) * (2 if self.covariance else 1)

    def count_muons(self) -> int:
        """The number of muons: see `counted`."""
        return self.counted().muons

    def counted(self) -> ImportCounts:
        """Counts of rows and muons, from the file's metadata where that is enough.

        CSV files, lists of hits, and files with a selection are read once.

        Raises
        ------
        HitsError
            The file is missing, unreadable or empty, lacks a column, or has a column without numbers; or no row is
            selected.

        """
        return self._counted()[0]

    def plan(self) -> Planned:
        """The counts from `counted`, the SHA-256 of the file, and how to read it.

        Raises
        ------
        HitsError
            As `counted`; or a kept column holds neither numbers nor text; or the file changed meanwhile.

        """
        with file_errors(self.file), unchanged_file(self.file) as digest:
            counts, reading = self._counted()
            kinds = self._kinds_of_kept() if self.keep else []
        return Planned(counts, digest, replace(reading, kept=dict(zip(self.keep, kinds, strict=True))))

    def _kinds_of_kept(self) -> list[str]:
        try:
            return list(self._reader.find_kinds(self.file, self.keep, self.tree))
        except JaggedError as error:
            raise HitsError(
                f"{self.file}: column {error.column!r} holds lists; source.keep takes columns with one value per muon"
            ) from None

    def _counted(self) -> tuple[ImportCounts, Reading]:
        """The counts, and how to read the file, without the types of kept columns."""
        needed, kinds = self._of_condition
        with file_errors(self.file), _errors_of_heights(self.z):
            with errors_of_condition([*{*needed} - {*self._columns}], [*self.lengths]):
                names, all_kinds = [*self._columns, *needed], [*[AS_NUMBER] * len(self._columns), *kinds]
                rows = self._reader.count(self.file, names, self.tree, all_kinds)
            self._refuse_empty(rows)
            if not self.condition:
                return ImportCounts(rows=rows, muons=rows), Reading()
            starts = Starts()
            with errors_of_condition([*{*needed} - {*self._columns}], []):
                for chosen in self._chosen(rows):
                    starts.add(chosen)
        self._refuse_unselected(rows, starts.selected)
        counts = ImportCounts(rows=rows, unselected=rows - starts.selected, muons=starts.selected)
        return counts, Reading(starts=tuple(starts.starts))

    def _chosen(self, rows: int) -> Iterator[np.ndarray]:
        """Whether each row is selected, in chunks."""
        names, kinds = self._of_condition
        for chunk in self._reader.read(self.file, names, 0, rows, self.tree, kinds):
            yield self._holds(dict(zip(names, chunk, strict=True)), len(chunk[0]))

    def _refuse_empty(self, rows: int) -> None:
        if not rows:
            only = "a header" if self._reader.__name__.endswith(".csv") else "column names"
            raise HitsError(f"{self.file}: holds no hits, only {only}")

    def _refuse_unselected(self, rows: int, selected: int) -> None:
        if self.condition and not selected:
            selects = one_line(self.condition.written.text)
            raise HitsError(f"{self.file}: none of its {rows} rows is selected by source.select: {selects}")

    @property
    def _of_condition(self) -> tuple[list[str], list[str]]:
        """The columns of the condition, and their types."""
        if not self.condition:
            return [], []
        numbers = [self.lengths[name][0] if name in self.lengths else name for name in self.condition.numbers]
        names = list(dict.fromkeys(numbers))
        return [*names, *self.condition.texts], [AS_NUMBER] * len(names) + [AS_TEXT] * len(self.condition.texts)

    def _holds(self, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """Whether the condition holds, for rows of its columns."""
        assert self.condition
        lengths = {name: self.lengths[name] for name in self.condition.numbers if name in self.lengths}
        with np.errstate(all="ignore"):
            metres = {name: scaling.metres(columns[column]) for name, (column, scaling) in lengths.items()}
        return self.condition.holds({**columns, **metres}, rows)

    def blocks(self, start: int, stop: int, rows: int = MAX_CHUNK_ROWS) -> Iterator[RecordedHits]:
        """The muons [start, stop), in blocks of `rows` muons.

        Raises
        ------
        HitsError
            A cell is not a number, uncertainty or covariance; the message names file, row (from 1, without the header)
            and column. Or the file has another SHA-256 than planned, or changed while it was read.

        """
        kept = [self.reading.kept[name] for name in self.keep]
        kinds = [*[AS_NUMBER] * len(self._columns), *kept, ROW]
        with file_errors(self.file), unchanged_file(self.file, self.sha256):
            for *values, row in in_blocks(self.file, self._chunks(start, stop), kinds, start, stop, rows):
                block = self._block(row, dict(zip(self._columns, values, strict=False)))
                yield block._replace(kept=dict(zip(self.keep, values[len(self._columns) :], strict=True)))

    def _chunks(self, start: int, stop: int) -> Chunks:
        """The muons [start, stop) of `_columns`, of the kept columns, and the rows of the file, in chunks."""
        kept = [self.reading.kept[name] for name in self.keep]
        names, kinds = [*self._columns, *self.keep], [*[AS_NUMBER] * len(self._columns), *kept]
        if not self.condition:
            at = start
            for chunk in self._reader.read(self.file, names, start, stop, self.tree, kinds):
                yield [*chunk, np.arange(at, at + len(chunk[0]))]
                at += len(chunk[0])
            return
        needed, needed_kinds = self._of_condition
        row, muon = self.reading.before(start)
        read = self._reader.read(self.file, [*names, *needed], row, END, self.tree, [*kinds, *needed_kinds])
        for chunk in read:
            columns = dict(zip(needed, chunk[len(names) :], strict=True))
            chosen = np.flatnonzero(self._holds(columns, len(chunk[0])))
            first, muon = muon, muon + len(chosen)
            mine = chosen[max(start - first, 0) : max(stop - first, 0)]
            if len(mine):
                yield [*(values[mine] for values in chunk[: len(names)]), mine + row]
            row += len(chunk[0])
            if muon >= stop:
                return

    @property
    def _reader(self) -> ModuleType:
        return reader_of(self.file)

    @property
    def _columns(self) -> list[str]:
        """The columns to read, without duplicates."""
        of_hits = [*self.coordinates, *(each.column for each in self.sigma.values()), *self.covariance.values()]
        return list(dict.fromkeys([*of_hits, *self._momentum, *self.z]))

    @property
    def _momentum(self) -> list[str]:
        return [self.momentum] if self.momentum else []

    def _block(self, rows: np.ndarray, values: Mapping[str, np.ndarray]) -> RecordedHits:
        """A block from its columns; `rows` are the rows of the file."""
        momentum = None
        for column in self._momentum:
            momentum = values[column].copy()
            self._refuse((momentum <= 0) | (momentum == np.inf), rows, column, momentum, "is not a momentum")
        found = self._hits(rows, values)
        return found._replace(momentum=momentum, z=self._heights(rows, values, found.hits) if self.z else None)

    def _heights(
        self, rows: np.ndarray, values: Mapping[str, np.ndarray], hits: Float[np.ndarray, "muon coordinate"]
    ) -> Float[np.ndarray, "muon layer"]:
        """Heights of the layers; NaN at most where no coordinate of the layer has a hit."""
        there = np.isfinite(hits).reshape(len(hits), -1, len(self.z)).any(axis=1)
        with np.errstate(all="ignore"):
            z = np.stack([values[column] for column in self.z], axis=1) / PER_METRE[self.unit]
            usable = np.abs(z) <= HIGHEST
        for column, bad in zip(self.z, (there & ~usable).T, strict=True):
            self._refuse(bad, rows, column, values[column], "is not a height")
        return np.where(usable, z, np.nan)

    def _hits(self, rows: np.ndarray, values: Mapping[str, np.ndarray]) -> RecordedHits:
        """Hits and their covariance from the columns of a block."""
        plain = Scaling(PER_METRE[self.unit])
        with np.errstate(all="ignore"):  # a damaged file may contain signalling NaN
            hits = np.stack(
                [self.scaling.get(i, plain).metres(values[name]) for i, name in enumerate(self.coordinates)], axis=1
            )
        if not self.sigma:
            return RecordedHits(hits, None)
        finite = np.isfinite(hits)
        variances = np.full(hits.shape, np.nan)
        for axis, each in self.sigma.items():
            variance, usable = each.variances(values[each.column])
            self._refuse(finite[:, axis] & ~usable, rows, each.column, values[each.column], each.refusal)
            variances[finite[:, axis], axis] = variance[finite[:, axis]]
        if not self.covariance:
            return RecordedHits(hits, variances)
        matrices = np.zeros((*hits.shape, hits.shape[1]))
        np.einsum("mii->mi", matrices)[:] = variances
        for (one, other), column in self.covariance.items():
            both = finite[:, one] & finite[:, other]
            self._refuse(both & ~np.isfinite(values[column]), rows, column, values[column], "is not a covariance")
            matrices[both, one, other] = matrices[both, other, one] = values[column][both] / plain.per_metre**2
        self._check_matrices(rows, matrices)
        return RecordedHits(hits, matrices)

    def _refuse(self, bad: np.ndarray, rows: np.ndarray, column: str, values: np.ndarray, what: str) -> None:
        if bad.any():
            at = int(bad.argmax())
            cell = "it is empty or not a number" if np.isnan(values[at]) else f"{values[at]:g}"
            raise HitsError(f"{self.file}: row {rows[at] + 1}, column {column!r}: {what}: {cell}")

    def _check_matrices(self, rows: np.ndarray, matrices: np.ndarray) -> None:
        """Refuse matrices that are not positive semi-definite, by their correlations."""
        axes = sorted({axis for pair in self.covariance for axis in pair})
        inner = matrices[:, axes][:, :, axes]
        width = np.sqrt(np.einsum("mii->mi", inner))
        correlation = inner / (width[:, :, None] * width[:, None, :])
        # A missing hit has no correlations.
        correlation[np.isnan(correlation)] = 0.0
        bad = np.linalg.eigvalsh(correlation)[:, 0] < -ROUNDING
        if bad.any():
            columns = ", ".join([*(self.sigma[axis].column for axis in axes), *self.covariance.values()])
            raise HitsError(
                f"{self.file}: row {rows[bad.argmax()] + 1}: the covariance of columns {columns} is not "
                f"positive semi-definite: a correlation is beyond ±1, or they contradict each other"
            )


def source_of(
    section: RecordedSource, coordinates: Sequence[str], sha256: str = "", reading: Reading | None = None
) -> HitsFile:
    """The file of the config's `source` section, for the coordinates of a model.

    `sha256` is that of the file when the study was planned, and `reading` what was found then.

    Raises
    ------
    ConfigError
        The section names a coordinate that the model does not have, or contradicts itself.

    """
    columns = section.columns
    for name in columns:
        coordinate_index("columns", name, coordinates)
    names = [column_name(columns.get(name, name)) for name in coordinates]
    for name, column in zip(coordinates, names, strict=True):
        if names.count(column) > 1:
            others = " and ".join(each for each, same in zip(coordinates, names, strict=True) if same == column)
            raise ConfigError(f"config: source.columns.{name}: {others} are all column {column!r}")
    given = error_columns(section, coordinates)
    check_within(section)
    scaling = {coordinates.index(name): each for name, each in scalings(columns, section.unit).items()}
    plain = Scaling(PER_METRE[section.unit])
    lengths = {column: (column, plain) for column in section.z}
    lengths |= {each.column: (each.column, each.scaling) for each in given.of_one.values() if not each.squared}
    lengths |= {column: (column, scaling.get(axis, plain)) for axis, column in enumerate(names)}
    lengths |= {name: lengths[column] for name, column in zip(coordinates, names, strict=True)}
    return HitsFile(
        section.file,
        tuple(names),
        {coordinates.index(name): each for name, each in given.of_one.items()},
        given.of_two,
        section.unit,
        section.tree or section.table,
        sha256,
        section.momentum_column,
        scaling,
        checked_condition(section.condition, [*lengths]),
        lengths,
        tuple(section.keep),
        reading or Reading(),
        tuple(section.z),
    )


@contextmanager
def _errors_of_heights(columns: Sequence[str]) -> Iterator[None]:
    """Of a missing column of heights, which may be that of a preset, say how to do without."""
    try:
        yield
    except NoColumnError as error:
        if error.name not in columns:
            raise
        raise HitsError(f"{error}; it is in source.z: set that to [] to take the heights of the model") from None


def check_within(section: RecordedSource) -> None:
    """Refuse a tree or a table in a file that has none."""
    for key, name, kinds in (("tree", section.tree, (".root",)), ("table", section.table, (".h5", ".hdf5"))):
        if name and suffix_of(section.file) not in kinds:
            raise ConfigError(
                f"config: source.{key}: {section.file} is not a {kinds[0]} file and has no {key}s; leave it out"
            )
