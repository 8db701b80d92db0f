"""Pages that are made from the package: its public names by room, and the help of its command."""

import ast
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from pullback.cli import main

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "pullback"


class PublicName(NamedTuple):
    """A public name, the module that defines it, and the types of the same module that it returns."""

    name: str
    module: str
    summary: str
    returned: tuple[str, ...]

    @property
    def room(self) -> str:
        """The part of the package that it belongs to."""
        return self.module.split(".")[0]


def public_names() -> list[PublicName]:
    """The public names in the order of their modules."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    return [_public(node) for node in stub.body if isinstance(node, ast.ImportFrom)]


def _public(node: ast.ImportFrom) -> PublicName:
    module, name = str(node.module), node.names[0].name
    defined = {each.name: each for each in _tree(module).body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    here = defined[name]
    types = ast.walk(here.returns) if isinstance(here, ast.FunctionDef) and here.returns else ()
    returned = (each.id for each in types if isinstance(each, ast.Name) and each.id in defined)
    return PublicName(name, module, _sentence(here), tuple(dict.fromkeys(returned)))


def _defined(module: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a module by name."""
    return {each.name: each for each in _tree(module).body if isinstance(each, ast.FunctionDef | ast.ClassDef)}


def _fields(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """A table of the fields of a named tuple, where its docstring has none."""
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    if isinstance(node, ast.ClassDef) and fields and "Attributes\n" not in (ast.get_docstring(node) or ""):
        yield "\n| field | type |\n|---|---|"
        yield from (f"| `{ast.unparse(each.target)}` | `{_typed(each.annotation)}` |" for each in fields)
        yield ""


def _typed(annotation: ast.expr) -> str:
    return ast.unparse(annotation).replace("'", '"').replace("|", "\\|")


def _tree(module: str) -> ast.Module:
    path = PACKAGE / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(source.read_text(encoding="utf-8"))


def _sentence(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """The first line of a docstring, where it stands in one line."""
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def api_pages() -> dict[str, str]:
    """One page for each room with public names, and their index."""
    names = public_names()
    rooms = dict.fromkeys(each.room for each in names)
    pages = {f"docs/api/{room}.md": "\n".join(_room([each for each in names if each.room == room])) for room in rooms}
    return {"docs/api/index.md": "\n".join(_index(names)), **pages}


def _index(names: list[PublicName]) -> Iterator[str]:
    yield "# Public names\n"
    yield "All are imported from `pullback`, as in `from pullback import propagate`.\n"
    for room in dict.fromkeys(each.room for each in names):
        yield f"\n**[{room}]({room}.md)**: {_sentence(_tree(room))}\n\n| name | what it is |\n|---|---|"
        for each in names:
            if each.room == room:
                yield f"| [`{each.name}`][pullback.{each.module}.{each.name}] | {each.summary} |"


def _room(names: list[PublicName]) -> Iterator[str]:
    yield f"# {names[0].room}\n\n{_sentence(_tree(names[0].room))}\n"
    for module in dict.fromkeys(each.module for each in names):
        here = [each for each in names if each.module == module]
        if module != names[0].room:
            title = _sentence(_tree(module)).rstrip(".")
            yield f'\n## {title} {{ data-toc-label="{module.split(".")[-1].replace("_", " ")}" }}\n'
        for name in dict.fromkeys((*(each.name for each in here), *(one for each in here for one in each.returned))):
            shown = f"pullback.{name}" if any(each.name == name for each in here) else name
            yield f"::: pullback.{module}.{name}\n    options:\n      heading: {shown}\n      toc_label: {name}\n"
            yield from _fields(_defined(module)[name])


def command_page() -> dict[str, str]:
    """The page with the help of the command and of each of its commands."""
    os.environ["COLUMNS"] = "80"
    whole = _printed("--help")
    commands = re.findall(r"^    (\w+)\b", whole, re.MULTILINE)
    parts = [("pullback", whole), *((f"pullback {name}", _printed(name, "--help")) for name in commands)]
    text = "".join(f"\n## {title}\n\n```text\n{shown}```\n" for title, shown in parts)
    return {"docs/command_line.md": f"# The command line\n\nWhat `--help` prints.\n{text}"}


def _printed(*arguments: str) -> str:
    with redirect_stdout(StringIO()) as out, suppress(SystemExit):
        main(arguments)
    return out.getvalue()
