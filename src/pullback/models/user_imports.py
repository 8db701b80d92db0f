"""Imports of a user's model file: the modules beside it stay apart from all others, and their content is kept."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ..errors import ModelError, one_line

PACKAGE = "_pullback_model_"
"""Beginning of the names of the packages under which modules of users are imported."""

_NUMBERS = count()


class Folder(MetaPathFinder):
    """Imports the modules of one folder under a package name of their own.

    So two model files never get each other's modules, and no module is hidden from anything else. Only the `import`
    statements of these modules look into the folder. `sources` collects the content of what is run, by path, until
    the model file is `complete`.
    """

    def __init__(self, path: str, sources: dict[str, bytes]):
        self.path, self.sources, self.complete = path, sources, False
        self.package = f"{PACKAGE}{next(_NUMBERS)}"
        self.builtins = {**vars(builtins), "__import__": self._import}
        self.has = cache(self._has)
        sys.modules[self.package] = package = ModuleType(self.package)
        package.__path__ = [path or "."]
        sys.meta_path.insert(0, self)

    def run(self, path: str) -> ModuleType:
        """The module of the model file, whose content is among the sources."""
        name = f"{self.package}.{Path(path).stem.replace('.', '_')}"
        loader = _ModuleLoader(name, path, self)
        module = sys.modules[name] = module_from_spec(ModuleSpec(name, loader, origin=path))  # dataclasses look there
        loader.exec_module(module)
        return module

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where a module of the folder is, for Python's import."""
        if not path or not name.startswith(f"{self.package}."):
            return None
        spec = FileFinder(path[0], (SourceFileLoader, [".py"])).find_spec(name)
        if spec and spec.origin:
            spec.origin = os.path.join(self.path, os.path.relpath(spec.origin, self.path))  # as the config gives it
            spec.loader = _ModuleLoader(name, spec.origin, self)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an `import` statement in one of the modules calls."""
        top, *_ = name.split(".")
        if level or not self.has(top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        found = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist)
        return found if fromlist else sys.modules[f"{self.package}.{top}"]

    def _has(self, name: str) -> bool:
        """Whether a name is one of the folder's; refused where an installed module has the same one."""
        spec = self.find_spec(f"{self.package}.{name}", [self.path or "."])
        if spec is None or not _installed(name, self.path):
            return spec is not None
        if spec.loader:
            raise ImportError(f"{spec.origin} has the name of an installed module, {name}; rename the file")
        return False  # a folder without __init__.py gives way, as everywhere in Python


class _ModuleLoader(SourceFileLoader):
    """Runs a module of a folder; Python's own loader might run a compiled file that is a second older instead."""

    def __init__(self, name: str, path: str, folder: Folder):
        super().__init__(name, path)
        self.folder = folder

    def get_code(self, fullname: str) -> CodeType:
        """The code of the module, whose content is kept."""
        sources = self.folder.sources
        if self.folder.complete:
            raise ImportError(
                f"{self.path} is imported too late to notice when it changes; import it at the top of the file"
            )
        if self.path not in sources:
            sources[self.path] = self.get_data(self.path)
        return _compiled(self.path, sources[self.path])

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, with the folder's own import statement."""
        vars(module)["__builtins__"] = self.folder.builtins
        super().exec_module(module)


def _compiled(path: str, content: bytes) -> CodeType:
    try:
        code: CodeType = compile(content, path, "exec", dont_inherit=True)
        return code
    except (SyntaxError, ValueError) as error:
        line, text = getattr(error, "lineno", None) or 1, (getattr(error, "text", None) or "").strip()
        reason = getattr(error, "msg", error)
        raise ModelError(
            f"{path}:{line}: is not valid Python: {reason}{f' (in: {one_line(text)})' if text else ''}"
        ) from None
    except (RecursionError, MemoryError):
        raise ModelError(
            f"{path}: has an expression of too many terms or brackets, or too many elif, for Python to read it; "
            "compute it in several steps"
        ) from None


def _installed(name: str, folder: str) -> bool:
    """Whether Python finds a module outside a folder and the working directory."""
    here = {os.path.realpath(folder), os.getcwd()}
    paths = [path for path in sys.path if os.path.realpath(path) not in here]
    found = (finder.find_spec(name, paths) for finder in sys.meta_path)
    return name in sys.stdlib_module_names or any(spec and spec.origin for spec in found)
