"""Checks of the text of config files, for values that YAML would read differently than written.

Snakemake reads the files before the Snakefile, keeps the last of duplicate keys, and cannot explain some errors. So the
files are checked here with the same loader: first by `profiles/default/config.yaml`, before Snakemake reads them, and
again by the Snakefile, which knows all files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from ..errors import LONGEST_SHOWN, ConfigError, in_lines, one_line, shown
from ..files import check_regular

MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

IN_THOUSANDS = re.compile(r"[-+]?\d{1,3}(_\d{3})+(\.\d*([eE][-+]\d+)?)?")
"""Numbers with underscores between thousands, such as 100_000."""

LIST_AT_END = re.compile(r"""(?:([\w.]+)["']?\s*:\s*)?(\[[^\[\]{}"'#]*\])$""")
"""A list of plain values at the end of a text, after its key."""

AFTER_LIST = re.compile(r"(?:[^\W\d_]|[%°]|1?/)[^\[\]{},#]*")
"""A unit."""


WITHOUT_COLON = re.compile(r"\s*[^\W\d][\w.]*(?!.*:(\s|$))[ :]")
"""The beginning of a line with a key and no colon that ends it."""

FILES_OF_HITS = (".csv", ".csv.gz", ".csv.zst", ".parquet", ".h5", ".hdf5", ".root")
"""Ends of the names of files of hits."""


def check_files(paths: Iterable[str | Path]) -> None:
    """Refuse config files that cannot be read, or that YAML would read differently than written.

    Raises
    ------
    ConfigError
        Not a regular file, not UTF-8, not YAML or no mapping, or contains a duplicate key, a key that is not
        text, or a number in base 60 or base 8. The message gives file and line.

    """
    for path in paths:
        read_config(path)


def read_config(path: str | Path) -> dict[str, Any]:
    """The content of a config file, with the checks of `check_files`."""
    check_regular(path, ConfigError)
    return _checked(Path(path))


def stop_at_mistakes(paths: Iterable[str | Path]) -> None:
    """End the program with a message of one line if `check_files` refuses a file."""
    try:
        check_files(paths)
    except ConfigError as error:
        sys.exit(in_lines(error))


def _checked(path: Path) -> dict[str, Any]:
    if path.name.lower().endswith(FILES_OF_HITS):
        raise ConfigError(
            f"{path}: is a file of hits, and no config; pullback peek {path} writes a config to start from"
        )
    text = _text(path)
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _each_once(path, pairs))
    except ValueError:
        found = _yaml(path, text)
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deep") from None
    if not isinstance(found, dict):
        said = "is empty" if found is None else f"holds {_kind(found)}"
        raise ConfigError(f"{path}: {said}; a config is keys with values, such as `study: my_study`")
    return found


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save the file in that encoding") from None


def _each_once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON file without duplicate keys; the JSON reader gives no lines."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: key {shown(name)} is given twice; leave one of them")
    return dict(pairs)


class _Loader(yaml.FullLoader):
    """Snakemake's loader, with the line number of errors raised by Python."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError) as error:  # an invalid date or too many digits
            said = str(error).split(";")[0]
            raise yaml.MarkedYAMLError(problem=said, problem_mark=node.start_mark) from None


def _yaml(path: Path, text: str) -> Any:
    """The content of a YAML file."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        for line, mistake in _mistakes(node):
            raise ConfigError(f"{path}:{line}: {mistake}")
        return None if node is None else loader.construct_object(node, deep=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        said = (mark and _of_united_list(text, mark)) or f"can't be read as YAML: {_hint(error, text)}{_problem(error)}"
        raise ConfigError(f"{where}: {said}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: holds the control character U+{ord(text[error.position]):04X}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deep") from None


def _hint(error: yaml.MarkedYAMLError, text: str) -> str:
    """What to look at where YAML's description does not say it; empty if it does."""
    said, mark = str(error.problem), error.problem_mark
    if mark is None:
        return ""
    rows = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)[: mark.line + 1]
    if "mapping values" in said or "<block end>" in said:
        return _of_colons(rows)
    hints = {
        "'<stream end>'": "a bracket or brace is not closed",
        "but got '<scalar>'": "a comma, or a bracket or brace, is missing",
        "end of stream": "a quote is not closed",
        "could not find expected ':'": "a colon, or the space after it, is missing",
    }
    return next((f"{hint}; " for words, hint in hints.items() if words in said), "")


def _of_colons(rows: list[str]) -> str:
    """Why there is a colon too many in the last of these rows."""
    before = next((row for row in reversed(rows[:-1]) if row.strip() and not row.lstrip().startswith("#")), "")
    if len(re.findall(r":\s", rows[-1])) > 1:
        return "put text with a colon in quotes, and each key in a line of its own; "
    if WITHOUT_COLON.match(before):
        return f"a colon, or the space after it, is missing in {one_line(before.strip(), 40)}; "
    return f"check the indentation of line {len(rows)}; "


def _problem(error: yaml.MarkedYAMLError) -> str:
    """YAML's description of a mistake, and where the enclosing element begins."""
    said = " ".join(str(error.problem or error.context).split())
    if "\\t" in said:
        return "a tab; indent by spaces"
    if "another document" in said:
        return "a second document begins; a config is one, without the line ---"
    if said.endswith("',' or '}', but got '['"):
        said += "; put a name with brackets in quotes"
    begin = f", {error.context} that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
    return f"{one_line(said, 200)}{begin}"


def _of_united_list(text: str, mark: yaml.Mark) -> str:
    """Advice where a list is followed by a unit, at which YAML stops; empty if it is something else."""
    rows = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)[: mark.line + 1]
    after = AFTER_LIST.match(rows[-1], mark.column)
    listed = LIST_AT_END.search("\n".join([*rows[:-1], rows[-1][: mark.column].rstrip()]))
    if not (listed and after and rows[-1][: mark.column].strip()):
        return ""
    united = one_line(f"{' '.join(listed[2].split())} {after[0].strip()}")
    key = f"{one_line(listed[1])}: " if listed[1] else ""
    return f'a list with a unit after it is text, and needs quotes: {key}"{united}"'


def _mistakes(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Line and message for each element of a YAML document that would be read differently than written."""
    waiting, seen = [root] if root is not None else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # reached again through an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _wrong_keys(node)
            waiting += [inner for pair in reversed(node.value) for inner in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif node.tag in NUMBERS and (said := _other_number(node.value)):
            yield node.start_mark.line + 1, said


def _wrong_keys(mapping: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if key.tag == MERGE:
            continue
        if key.tag != TEXT:
            yield line, _no_name(key)
        elif key.value in first:
            yield line, f"key {shown(key.value)} is given twice, first in line {first[key.value]}; leave one of them"
        else:
            first[key.value] = line


def _no_name(key: yaml.Node) -> str:
    """Why a key is not a valid name."""
    if not isinstance(key, yaml.ScalarNode):
        return "a list or a mapping stands where a key should; put quotes around text with brackets or braces"
    kind = key.tag.rsplit(":", 1)[-1]
    comma = "; a decimal number has a point, 1.5, and no comma" if kind in ("int", "float") else ""
    words = {"bool": "true or false", "null": "no value", "int": "a number", "float": "a number", "timestamp": "a date"}
    return f"key {one_line(key.value)} is read as {words.get(kind, kind)}, and keys are names{comma}"


def _other_number(text: str) -> str | None:
    """Why YAML reads a number differently than written."""
    plain = text.lstrip("+-")
    digits = plain.replace("_", "")
    if digits.startswith(("0x", "0b")):
        return None
    if ":" in digits:
        how = "in base 60"
    elif re.fullmatch("0+[0-7]{2,}", digits):
        how = "in base 8, since it begins with 0"
    elif "_" in plain and not IN_THOUSANDS.fullmatch(plain):
        how = "without its underscores"
    else:
        return None
    value = f"{yaml.safe_load(text)!r}" if len(text) <= LONGEST_SHOWN else "a number"
    return f"{one_line(text)} would be read as {value}, {how}; write a number in decimals, and text in quotes"


def _kind(found: Any) -> str:
    return "a list" if isinstance(found, list) else f"only {shown(found)}"
