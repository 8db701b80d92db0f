"""The trees, branches and first entries of a ROOT file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .columns import damaged
from .contents import MOST_LISTED, Contents, FileColumn, FileTable, head_rows, unit_in_name
from .root import branch_type, find_trees, is_ntuple, load_uproot


def describe(file: str, name: str = "") -> Contents:
    """The trees and RNTuples of a ROOT file, or the one of a name.

    Raises
    ------
    HitsError
        The file has no tree, or none of the name, or is damaged.

    """
    uproot = load_uproot(file)
    with damaged(file), uproot.open(Path(file), array_cache=None, object_cache=None) as root:
        tables = [_tree(each, root[each]) for each in find_trees(file, root, name)]
    return Contents(file, "ROOT", "tree", tuple(tables))


def _tree(name: str, entries: Any) -> FileTable:
    names = list(entries.keys(recursive=not is_ntuple(entries)))
    columns = [_branch(entries, each, head_rows(len(names))) for each in names[:MOST_LISTED]]
    return FileTable(name, entries.num_entries, tuple(columns), left_out=max(0, len(names) - MOST_LISTED))


def _branch(entries: Any, name: str, rows: int) -> FileColumn:
    """A branch with its first entries; one of an unknown class has none."""
    try:
        inner, shape, jagged = branch_type(entries, name), list[int](), False
        while hasattr(inner, "content") and type(inner).__name__ != "RecordType":
            shape += [inner.size] if type(inner).__name__ == "RegularType" else []
            text = inner.parameters.get("__array__") in ("string", "bytestring")
            jagged |= type(inner).__name__ == "ListType" and not text
            if text:
                break
            inner = inner.content
        kind = f"records of {', '.join(inner.fields)}" if type(inner).__name__ == "RecordType" else ""
        kind = kind or getattr(inner, "primitive", "text" if "string" in str(inner) else str(inner))
        values = entries.arrays([name], entry_stop=rows, library="ak")[name].to_list() if _simple(kind) else []
    except Exception as error:  # whatever uproot raises on a class that it does not know
        return FileColumn(name, f"unreadable ({type(error).__name__})", [])
    return FileColumn(name, kind, values, unit_in_name(name), () if jagged else tuple(shape), jagged)


def _simple(kind: str) -> bool:
    return kind == "text" or kind.startswith(("float", "int", "uint", "bool"))
