"""File and line of the keys that a message about a config names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import PullbackError

ABOUT_KEY = re.compile(r"config: (?P<key>[^\s:]+)(?=[: ])")
"""How a message about a key of the config begins."""


def at_places(
    error: PullbackError, paths: Iterable[str | Path], overridden: Mapping[str, Any] | None = None
) -> PullbackError:
    """An error about a config, with the file and the line of each key in place of `config`.

    Parameters
    ----------
    error : PullbackError
        One line for each problem. Lines that don't begin with `config: KEY` stay as they are.
    paths : iterable of path
        The config files, which can be read; of several, a later one replaces the keys of those before it.
    overridden : mapping, optional
        What the command line put in place of what files say: messages about that, by their first key, name no file.

    """
    files = {_from_here(path): _nodes(path) for path in paths}
    return PullbackError("\n".join(_at_place(line, files, overridden or {}) for line in str(error).split("\n")))


def _from_here(path: str | Path) -> str:
    """A path as the user most likely wrote it; Snakemake makes it absolute."""
    whole = Path(path).absolute()
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else path)


def _nodes(path: str | Path) -> yaml.Node | None:
    try:
        return yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # JSON that is indented by tabs
        return None


def _at_place(line: str, files: Mapping[str, yaml.Node | None], overridden: Mapping[str, Any]) -> str:
    told = ABOUT_KEY.match(line)
    if not told or any(_below(str(key), told["key"]) is not None for key in overridden):
        return line
    found = [(depth, path, row) for path, node in files.items() for depth, row in _places(node, told["key"], 0)]
    if not found:  # of a key that is missing, one file at least is told
        return line.replace("config", next(iter(files)), 1) if len(files) == 1 else line
    deepest = max(depth for depth, _, _ in found)
    path, row = next((path, row) for depth, path, row in reversed(found) if depth == deepest)
    return line.replace("config", f"{path}:{row}", 1)


def _places(node: yaml.Node | None, key: str, depth: int) -> list[tuple[int, int]]:
    """The depth and the line of each key of a file on the way to one with dots and brackets in its name."""
    if not isinstance(node, yaml.MappingNode):
        return []
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode) and (rest := _below(name.value, key)) is not None:
            return [(depth, name.start_mark.line + 1), *(_places(value, rest, depth + 1) if rest else [])]
    return []


def _below(name: str, key: str) -> str | None:
    """What follows a name in a key with dots; None if the key is not in it."""
    if not key.startswith(name):
        return None
    rest = key[len(name) :]
    return rest.removeprefix(".") if rest[:1] in ("", ".", "[") else None
