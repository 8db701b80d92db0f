"""Hits in ROOT files: branches of a tree or fields of an RNTuple, read with uproot."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HitsError, PullbackError, one_line
from .columns import LONG_ROWS, MAX_CHUNK_ROWS, Chunks, Named, check_element, chunk_rows, damaged, find_column, jagged

if TYPE_CHECKING:
    import pyarrow as pa


def count(file: str, names: Sequence[str], tree: str = "") -> int:
    """The number of entries, from the tree's metadata."""
    with damaged(file), _open(file, tree) as entries:
        _columns(file, entries, names)
        return entries.num_entries


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "") -> Chunks:
    """The entries [start, stop) of the branches."""
    import awkward as ak

    with damaged(file), _open(file, tree) as entries:
        columns, shapes = _columns(file, entries, names)
        wanted = list(shapes)
        stop = min(stop, entries.num_entries)
        if start >= stop:
            return
        step = chunk_rows(*shapes.values())
        # Large chunks for an RNTuple, since uproot reads a whole cluster again for each chunk.
        step = step if _is_ntuple(entries) else min(MAX_CHUNK_ROWS, step)
        for arrays in entries.iterate(wanted, step_size=step, entry_start=start, entry_stop=stop, library="ak"):
            found = {name: ak.to_numpy(ak.fill_none(arrays[name], np.nan, axis=None)) for name in wanted}
            yield [found[column][:, *indices].astype("f8") for column, indices in columns]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All entries of the branches as they are: numbers, text, or lists of them; in chunks."""
    import awkward as ak

    with damaged(file), _open(file, tree) as entries:
        existing = entries.keys(recursive=not _is_ntuple(entries))
        columns = [find_column(file, name, existing) for name in names]
        wanted = list(dict.fromkeys(column for column, _ in columns))
        # Large chunks for an RNTuple, as in `read`.
        step = MAX_CHUNK_ROWS if _is_ntuple(entries) else LONG_ROWS
        for arrays in entries.iterate(wanted, step_size=step, library="ak"):
            elements = [arrays[column][:, *indices] for column, indices in columns]
            yield [ak.to_arrow(element, extensionarray=False) for element in elements]


def load_uproot(file: str | Path) -> Any:
    """The module `uproot`, for reading or writing a file.

    Raises
    ------
    PullbackError
        uproot is not installed.

    """
    try:
        return importlib.import_module("uproot")
    except ModuleNotFoundError as error:
        advice = 'pip install "pullback[root]"'
        raise PullbackError(f"{file}: ROOT files need {error.name}, which is not installed: {advice}") from None


@contextmanager
def _open(file: str, tree: str) -> Iterator[Any]:
    """A tree of a file: the named tree, or the only one."""
    uproot = load_uproot(file)
    # A path instead of text, in which uproot would take the part after a colon for an object; no caches, so that data
    # already read are released.
    with uproot.open(Path(file), array_cache=None, object_cache=None) as root:
        kinds = root.classnames(recursive=True)
        trees = [name for name, kind in kinds.items() if kind.startswith(("TTree", "TNtuple")) or "RNTuple" in kind]
        latest = list(dict.fromkeys(name.rpartition(";")[0] for name in trees))  # without ROOT's version numbers
        if not trees:
            raise HitsError(f"{file}: holds no tree and no RNTuple")
        if not tree and len(latest) > 1:
            raise HitsError(f"{file}: name one of its trees in source.tree: {', '.join(latest)}")
        if tree and tree not in (*latest, *trees):
            raise HitsError(f"{file}: no tree {tree!r}; the trees are: {', '.join(latest)}")
        yield root[tree or latest[0]]


def _columns(file: str, entries: Any, names: Sequence[str]) -> tuple[list[Named], dict[str, tuple[int, ...]]]:
    """The branches of the names, and the shape of each branch in an entry."""
    existing = entries.keys(recursive=not _is_ntuple(entries))
    columns = [find_column(file, name, existing) for name in names]
    shapes = {}
    for column, indices in columns:
        inner = _type(entries, column)
        kind, shape = one_line(str(inner)), []
        while type(inner).__name__ in ("RegularType", "OptionType"):
            shape += [inner.size] if type(inner).__name__ == "RegularType" else []
            inner = inner.content
        if type(inner).__name__ == "ListType" and "__array__" not in inner.parameters:
            raise jagged(file, column, kind)
        if type(inner).__name__ != "NumpyType" or np.dtype(inner.primitive).kind not in "fiu":
            raise HitsError(f"{file}: column {column!r} holds {kind}, not numbers")
        check_element(file, column, indices, tuple(shape))
        shapes[column] = tuple(shape)
    return columns, shapes


def _type(entries: Any, column: str) -> Any:
    """The type of a branch in an entry, without reading data."""
    if not _is_ntuple(entries):
        return entries[column].interpretation.awkward_form(entries.file).type
    form = entries.to_akform(filter_name=lambda name: name == column)
    return (form[0] if isinstance(form, tuple) else form).content(column).type  # some versions return a pair


def _is_ntuple(entries: Any) -> bool:
    return hasattr(entries, "to_akform")
