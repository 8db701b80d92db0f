"""Hits in ROOT files: branches of a tree or fields of an RNTuple, read with uproot."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HitsError, PullbackError, one_line
from .columns import (
    LONG_ROWS,
    MAX_CHUNK_ROWS,
    Chunks,
    Named,
    WrongKindError,
    check_element,
    chunk_rows,
    damaged,
    find_column,
    jagged,
    split_name,
)
from .native import AS_EITHER, AS_NUMBER, AS_TEXT, is_text, kinds_or_numbers, text_kind, text_values, whole_kind

if TYPE_CHECKING:
    import pyarrow as pa


def count(file: str, names: Sequence[str], tree: str = "", kinds: Sequence[str] = ()) -> int:
    """The number of entries, from the tree's metadata."""
    with damaged(file), _open(file, tree) as entries:
        _columns(file, entries, names, kinds)
        return entries.num_entries


def read(file: str, names: Sequence[str], start: int, stop: int, tree: str = "", kinds: Sequence[str] = ()) -> Chunks:
    """The entries [start, stop) of the branches."""
    with damaged(file), _open(file, tree) as entries:
        columns, shapes, _ = _columns(file, entries, names, kinds)
        for arrays in _arrays(entries, shapes, start, stop):
            yield [
                _values(arrays[column], indices, kind)
                for (column, indices), kind in zip(columns, kinds_or_numbers(names, kinds), strict=True)
            ]


def tables(file: str, names: Sequence[str], tree: str = "") -> Iterator[list[pa.Array]]:
    """All entries of the branches as they are: numbers, text, or lists of them; in chunks."""
    import awkward as ak

    with damaged(file), _open(file, tree) as entries:
        existing = entries.keys(recursive=not is_ntuple(entries))
        _refuse_records(file, entries, names, existing)
        columns = [find_column(file, name, existing) for name in names]
        wanted = list(dict.fromkeys(column for column, _ in columns))
        # Large chunks for an RNTuple, as in `read`.
        step = MAX_CHUNK_ROWS if is_ntuple(entries) else LONG_ROWS
        for arrays in entries.iterate(wanted, step_size=step, library="ak"):
            elements = [arrays[column][:, *indices] for column, indices in columns]
            yield [ak.to_arrow(element, extensionarray=False) for element in elements]


def find_kinds(file: str, names: Sequence[str], tree: str = "") -> list[str]:
    """The type of each branch; text is read once for its length."""
    with damaged(file), _open(file, tree) as entries:
        columns, shapes, kinds = _columns(file, entries, names, [AS_EITHER] * len(names))
        longest = {column: 0 for (column, _), kind in zip(columns, kinds, strict=True) if kind == AS_TEXT}
        for arrays in _arrays(entries, {name: shapes[name] for name in longest}, 0, entries.num_entries):
            for column in longest:
                lengths = [len(each.encode()) for each in arrays[column].to_list()]
                longest[column] = max([longest[column], *lengths])
    found = zip(names, columns, kinds, strict=True)
    return [text_kind(file, name, longest[column]) if kind == AS_TEXT else kind for name, (column, _), kind in found]


def _arrays(entries: Any, shapes: Mapping[str, tuple[int, ...]], start: int, stop: int) -> Iterator[Any]:
    """The entries [start, stop) of branches, in chunks."""
    stop = min(stop, entries.num_entries)
    if start >= stop or not shapes:
        return
    step = chunk_rows(*shapes.values())
    # Large chunks for an RNTuple, since uproot reads a whole cluster again for each chunk.
    step = step if is_ntuple(entries) else min(MAX_CHUNK_ROWS, step)
    yield from entries.iterate(list(shapes), step_size=step, entry_start=start, entry_stop=stop, library="ak")


def _values(array: Any, indices: tuple[int, ...], kind: str) -> np.ndarray:
    """Rows of a branch in a type."""
    import awkward as ak

    if is_text(kind):
        return text_values(array.to_list(), kind)
    filled = ak.fill_none(array, np.nan, axis=None) if kind == AS_NUMBER else array
    return np.asarray(ak.to_numpy(filled, allow_missing=False)[:, *indices].astype(kind))


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
        found = find_trees(file, root, tree)
        if len(found) > 1:
            raise HitsError(f"{file}: name one of its trees in source.tree: {', '.join(found)}")
        yield root[found[0]]


def find_trees(file: str, root: Any, tree: str) -> list[str]:
    """The trees and RNTuples of an open file: all of them, without ROOT's version numbers, or the one of a name.

    Raises
    ------
    HitsError
        There is none, or none of the name.

    """
    kinds = root.classnames(recursive=True)
    trees = [name for name, kind in kinds.items() if kind.startswith(("TTree", "TNtuple")) or "RNTuple" in kind]
    latest = list(dict.fromkeys(name.rpartition(";")[0] for name in trees))
    if not trees:
        raise HitsError(f"{file}: holds no tree and no RNTuple")
    if tree and tree not in (*latest, *trees):
        raise HitsError(f"{file}: no tree {tree!r}; the trees are: {', '.join(latest)}")
    return [tree] if tree else latest


def _columns(
    file: str, entries: Any, names: Sequence[str], kinds: Sequence[str] = ()
) -> tuple[list[Named], dict[str, tuple[int, ...]], list[str]]:
    """The branches of the names, the shape of each branch in an entry, and the types in which they are kept."""
    existing = entries.keys(recursive=not is_ntuple(entries))
    _refuse_records(file, entries, names, existing)
    columns = [find_column(file, name, existing) for name in names]
    shapes, found = {}, []
    for (column, indices), wanted in zip(columns, kinds_or_numbers(names, kinds), strict=True):
        inner = branch_type(entries, column)
        held, shape, missing = one_line(str(inner)), [], False
        while type(inner).__name__ in ("RegularType", "OptionType"):
            shape += [inner.size] if type(inner).__name__ == "RegularType" else []
            missing |= type(inner).__name__ == "OptionType"
            inner = inner.content
        if type(inner).__name__ == "ListType" and "__array__" not in inner.parameters:
            raise jagged(file, column, held)
        if not _holds(inner, wanted):
            what = {AS_NUMBER: "not numbers", AS_TEXT: "not text"}.get(wanted, "neither numbers nor text")
            raise WrongKindError(f"{file}: column {column!r} holds {held}, {what}", column, wanted)
        if missing and _kind(inner) != AS_NUMBER and wanted not in (AS_NUMBER, AS_TEXT):
            raise HitsError(f"{file}: column {column!r} holds {held}, of which some may be missing: it can't be kept")
        check_element(file, column, indices, tuple(shape))
        shapes[column] = tuple(shape)
        found.append(_kind(inner))
    return columns, shapes, found


def _refuse_records(file: str, entries: Any, names: Sequence[str], existing: Sequence[str]) -> None:
    """Refuse the fields of an RNTuple that hold records, such as those of `hits.x`."""
    for name in names if is_ntuple(entries) else ():
        column = next((each for each in (name, split_name(name)[0], name.partition(".")[0]) if each in existing), "")
        inner: Any = branch_type(entries, column) if column else None
        while hasattr(inner, "content") and type(inner).__name__ != "RecordType":
            inner = inner.content
        if type(inner).__name__ == "RecordType":
            raise HitsError(
                f"{file}: column {column!r} holds records of {', '.join(map(one_line, inner.fields))}; records in ROOT "
                f"files are not read: write each of these as a column of its own, or the file as Parquet"
            )


def _kind(inner: Any) -> str:
    """The type in which the innermost values of a branch are kept; empty if they are neither numbers nor text."""
    if type(inner).__name__ == "ListType":
        return AS_TEXT if inner.parameters.get("__array__") == "string" else ""
    dtype = np.dtype(inner.primitive) if type(inner).__name__ == "NumpyType" else np.dtype("O")
    if dtype.kind in "iub":
        return whole_kind(dtype)
    return AS_NUMBER if dtype.kind == "f" else ""


def _holds(inner: Any, wanted: str) -> bool:
    """Whether a branch holds numbers, text where that is wanted, or either where any other type is."""
    kind = _kind(inner)
    if wanted == AS_TEXT:
        return kind == AS_TEXT
    return bool(kind) and (wanted != AS_NUMBER or (kind != AS_TEXT and inner.primitive != "bool"))


def branch_type(entries: Any, column: str) -> Any:
    """The type of a branch in an entry, without reading data."""
    if not is_ntuple(entries):
        return entries[column].interpretation.awkward_form(entries.file).type
    form = entries.to_akform(filter_name=lambda name: name == column)
    return (form[0] if isinstance(form, tuple) else form).content(column).type  # some versions return a pair


def is_ntuple(entries: Any) -> bool:
    """Whether a tree is an RNTuple."""
    return hasattr(entries, "to_akform")
