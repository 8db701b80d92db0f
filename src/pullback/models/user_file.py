"""The user's Python file of a model: run once when it is read, together with the modules beside it that it imports."""

from __future__ import annotations

import builtins
import difflib
import hashlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from ..errors import ModelError, one_line
from ..files import check_regular
from ..uncertainty.arrays import Tensor

RESOLUTION = "resolution"
"""A function with an argument of this name gets the detector's resolution, one number per layer."""

_PACKAGE = "_pullback_model_"
_NUMBERS = count()
_Kind = inspect.Parameter
_READ: dict[tuple[str, str], ModelFile] = {}  # by path and working directory, each as it was last run


class Call:
    """A function of the user's file as the pipeline calls it; its errors name the file and the line.

    Attributes
    ----------
    takes : tuple of str
        Names of the model's parameters, and possibly `resolution`, that the function takes as keywords.

    """

    def __init__(self, file: ModelFile, name: str, key: str, leading: tuple[str, ...], parameters: Iterable[str]):
        self.file, self.name, self.leading, self.parameters = file, name, leading, tuple(parameters)
        self.function = file.find(name, key)
        if not callable(self.function):
            raise ModelError(f"{self.where}: is no function but {shown(self.function)}")
        self.signature = _signature(self.function)
        # Some functions written in C have no signature: whether they take the parameters shows when they are called.
        self.takes = self._taken(self.signature) if self.signature else self.parameters

    @property
    def where(self) -> str:
        """The file, the line and the name of the function."""
        return f"{self.file.path}:{self.file.line(self.name)}: {self.name}"

    def refuse(self, reason: str, cause: Exception | None = None) -> NoReturn:
        """Raise a `ModelError` that names the function and the reason."""
        raise ModelError(f"{self.where} {reason}") from cause

    def __call__(self, hits: Tensor, **parameters: Any) -> Any:
        """The result of the function, with its parameters converted to tensors like the hits."""
        for name, value in parameters.items():
            if not hasattr(value, "new_tensor"):
                parameters[name] = hits.new_tensor(value)
        return self.plain(hits, **parameters)

    def plain(self, *arguments: Any, **parameters: Any) -> Any:
        """The result of the function, with its arguments as they are."""
        try:
            return self.function(*arguments, **parameters)
        except (Exception, SystemExit) as error:  # after a SystemExit the job would end without a message
            explained = self.file.explained(error, f"{self.name}: ")
            uncalled = ModelError(f"{self.where}: {_said(error)}; it takes {self.signature}")
            raise explained or uncalled from error

    def _taken(self, signature: inspect.Signature) -> tuple[str, ...]:
        """Names of the parameters that a signature takes, in the order of the model."""
        arguments = signature.parameters.values()
        kinds = {argument.kind for argument in arguments}
        in_order = [each for each in arguments if each.kind in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)]
        first = in_order[: len(self.leading)]
        if len(first) < len(self.leading) and _Kind.VAR_POSITIONAL not in kinds:
            self.refuse(f"must take {', '.join(self.leading)}, then the parameters by name; it takes {signature}")
        for argument in first:
            if argument.name in self.parameters:
                self.refuse(f"has {argument.name!r} in place of {', '.join(self.leading)}; the parameters come after")
        offered = (*self.parameters, RESOLUTION) if "hits" in self.leading else self.parameters
        by_name = (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY)
        named = {each.name: each for each in arguments if each.kind in by_name and each not in first}
        for name, argument in named.items():
            if argument.default is _Kind.empty and name not in offered:
                self.refuse(f"needs {name!r}, which model.parameters doesn't have; add it there, or give a default")
        anything = self.parameters if _Kind.VAR_KEYWORD in kinds else ()
        return tuple(name for name in offered if name in named or name in anything)


class ModelFile:
    """A model file after it was run, with the modules beside it that it imported.

    Attributes
    ----------
    path : str
        The path as the config gives it.
    sources : dict of str to bytes
        Content of the file, and of each module of its folder that was imported, by path.

    """

    def __init__(self, path: str, content: bytes):
        self.path, self.sources = path, {path: content}
        folder = _Folder(os.path.dirname(path) or ".", self.sources)
        try:
            # What the file prints must not get into what Snakemake prints, such as the graph of `--dag`.
            with redirect_stdout(sys.stderr):
                self.module = folder.run(path)
        except ModelError:
            raise
        except (Exception, SystemExit) as error:
            raise (self.explained(error) or ModelError(f"{path}: {_said(error)}")) from error
        finally:
            folder.complete = True

    @property
    def sha256(self) -> str:
        """SHA-256 of the file and of the modules beside it; without any, that of the file alone."""
        (_, content), *beside = self.sources.items()
        digest = hashlib.sha256(content)
        for path, text in sorted(beside):
            name = os.path.relpath(path, os.path.dirname(self.path) or ".")
            digest.update(f"\0{name}\0".encode() + hashlib.sha256(text).digest())
        return digest.hexdigest()

    @property
    def unchanged(self) -> bool:
        """Whether all the files still have the content that was run."""
        return all(os.path.isfile(path) and Path(path).read_bytes() == text for path, text in self.sources.items())

    def find(self, name: str, key: str) -> Any:
        """What the file defines under a name that the config gives as `key`."""
        defined = vars(self.module)
        if name in defined:
            return defined[name]
        own = [each for each, value in defined.items() if getattr(value, "__module__", "") == self.module.__name__]
        functions = [each for each in own if callable(defined[each])]
        close = difflib.get_close_matches(name, functions, n=1)
        listed = f"its functions are {', '.join(functions)}" if functions else "it defines none"
        advice = f"did you mean {close[0]}?" if close else listed
        raise ModelError(f"{self.path}: has no function {name!r}, which {key} names; {advice}")

    def line(self, name: str) -> int:
        """The line of the file that defines a name, else the first one that mentions it."""
        lines = self._lines(self.path)
        definition = rf"((async\s+)?def|class)\s+{name}\b|{name}\s*(:.*)?=[^=]"
        for pattern in (definition, rf"\s+({definition})", rf".*\b{name}\b"):
            if found := [number for number, line in enumerate(lines, 1) if re.match(pattern, line)]:
                return found[0] if pattern.startswith(".") else found[-1]
        return 1

    def explained(self, error: BaseException, function: str = "") -> ModelError | None:
        """An error in one line, with the innermost line of the user's files that it passed; None if there is none."""
        place, trace = None, error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename in self.sources:
                place = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
        if place is None:
            return None
        path, number = place
        code = one_line(self._lines(path)[number - 1].strip())
        return ModelError(f"{path}:{number}: {function}{_said(error)} (in: {code})")

    def _lines(self, path: str) -> list[str]:
        return self.sources[path].decode(errors="replace").splitlines()


class _Folder(MetaPathFinder, Loader):
    """Imports the modules of one folder under a package name of their own.

    So two model files never get each other's modules, and no module is hidden from anything else. Only the `import`
    statements of these modules look into the folder. Python's own loader is not used, since its cache of compiled
    files would take a file that changed within a second for the old one.
    """

    def __init__(self, path: str, sources: dict[str, bytes]):
        self.path, self.sources, self.complete = path, sources, False
        self.package = f"{_PACKAGE}{next(_NUMBERS)}"
        self._names: set[str] = set()
        self._builtins = {**vars(builtins), "__import__": self._import}
        sys.modules[self.package] = package = ModuleType(self.package)
        package.__path__ = [path]
        sys.meta_path.insert(0, self)

    def run(self, path: str) -> ModuleType:
        """The module of the model file, whose content is among the sources."""
        spec = self._spec(f"{self.package}.{Path(path).stem.replace('.', '_')}", path)
        module = sys.modules[spec.name] = module_from_spec(spec)  # where dataclasses, among others, look for it
        self.exec_module(module)
        return module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where a module of the folder is, for Python's import."""
        if not name.startswith(f"{self.package}."):
            return None
        leaf = name.rpartition(".")[2]
        found = _place(path[0], leaf)
        if found and self.complete:
            raise ImportError(
                f"{found} is imported too late to notice when it changes; import it at the top of the file"
            )
        return self._spec(name, found, os.path.basename(found) != f"{leaf}.py") if found else None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module of the folder, and keep its content."""
        path = module.__spec__.origin
        if os.path.isdir(path):
            return
        if path not in self.sources:
            self.sources[path] = Path(path).read_bytes()
        vars(module)["__builtins__"] = self._builtins
        exec(_compiled(path, self.sources[path]), vars(module))

    def _spec(self, name: str, path: str, is_package: bool = False) -> ModuleSpec:
        spec = ModuleSpec(name, self, origin=path, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations.append(path.removesuffix(f"{os.sep}__init__.py"))
        return spec

    def _import(self, name: str, globals=None, locals=None, fromlist=(), level: int = 0) -> ModuleType:
        """What an `import` statement in one of the modules calls."""
        top, *_ = name.split(".")
        if level or not self._has(top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        found = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist)
        return found if fromlist else sys.modules[f"{self.package}.{top}"]

    def _has(self, name: str) -> bool:
        """Whether a name is one of the folder's; refused where an installed module has the same one."""
        if name not in self._names and (found := _place(self.path, name)):
            if not _installed(name, self.path):
                self._names.add(name)
            elif os.path.isfile(found):  # a folder without __init__.py gives way, as everywhere in Python
                raise ImportError(f"{found} has the name of an installed module, {name}; rename the file")
        return name in self._names


def read_model_file(path: str, sha256: str | None = None) -> ModelFile:
    """The model file at a path, which is run unless it was already, with the content that it has.

    Raises
    ------
    ModelError
        It can't be read, is no Python, raises an error, or doesn't have the SHA-256 that is given.

    """
    check_regular(path, ModelError)
    file = _READ.get((path, os.getcwd()))  # a batch asks for the models of all its points
    try:
        if not file or not file.unchanged:
            file = _READ[path, os.getcwd()] = ModelFile(path, Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None
    if sha256 and file.sha256 != sha256:
        others = " or what it imports from its folder" if len(file.sources) > 1 else ""
        raise ModelError(f"{path}{others}: has changed since this run began: run again")
    return file


def _compiled(path: str, content: bytes) -> CodeType:
    try:
        return compile(content, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        code = f" (in: {one_line(error.text.strip())})" if error.text and error.text.strip() else ""
        raise ModelError(f"{path}:{error.lineno or 1}: is not valid Python: {error.msg}{code}") from None
    except ValueError as error:
        raise ModelError(f"{path}: is not valid Python: {error}") from None
    except (RecursionError, MemoryError):
        raise ModelError(
            f"{path}: has an expression of too many terms or brackets, or too many elif, for Python to read it; "
            "compute it in several steps"
        ) from None


def _place(folder: str, name: str) -> str | None:
    """The file of a module or package in a folder; for a package without `__init__.py`, its folder."""
    stem = os.path.normpath(os.path.join(folder, name))
    files = (os.path.join(stem, "__init__.py"), f"{stem}.py")
    return next((file for file in files if os.path.isfile(file)), stem if os.path.isdir(stem) else None)


def _installed(name: str, folder: str) -> bool:
    """Whether Python finds a module outside a folder and the working directory."""
    here = {os.path.realpath(folder), os.getcwd()}
    paths = [path for path in sys.path if os.path.realpath(path) not in here]
    found = (finder.find_spec(name, paths) for finder in sys.meta_path)
    return name in sys.stdlib_module_names or any(spec and spec.origin for spec in found)


def _said(error: BaseException) -> str:
    """The type and the first line of an error, in words that help."""
    text = re.sub(rf"\b{_PACKAGE}\d+\.", "", (str(error).strip().splitlines() or [""])[0])
    if "Can't call numpy() on Tensor that requires grad" in text:  # torch's advice would break the graph
        text = "NumPy breaks the graph, so that the hits have no derivatives; compute with torch instead"
    if "tensors to be on the same device" in text:  # torch's advice is longer than a line
        text = "makes tensors on the CPU for hits on a GPU; make them by hits.new_tensor, or set compute.device: cpu"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _signature(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def shown(value: Any) -> str:
    """The type of a value, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" {tuple(shape)}" if shape is not None else "")
