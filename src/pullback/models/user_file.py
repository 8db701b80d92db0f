"""The user's Python files: read and parsed at once, run when a function of them is first called.

Planning a study runs nothing of them: importing torch takes longer than planning does.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from ..errors import PullbackError, one_line
from ..files import check_regular
from ..uncertainty.arrays import Tensor

RESOLUTION = "resolution"
"""An argument of this name is given the detector's, a number for each layer."""


class Definition(NamedTuple):
    """Where a file defines a function: its line, and its signature where that can be read without running the file."""

    file: File
    name: str
    line: int
    signature: inspect.Signature | None


class Call:
    """A function of the user's file, called as the pipeline calls it: its errors say where in the file they are.

    `takes` are the names of the model's parameters, and maybe `resolution`, that it takes as keywords.
    """

    def __init__(self, at: Definition, leading: tuple[str, ...], parameters: Iterable[str]):
        self.at, self.leading, self.parameters = at, leading, tuple(parameters)
        # Where the signature can't be read before the file is run, it takes all of them, which the first call checks.
        self.takes = self._taken(at.signature) if at.signature else self.parameters

    @property
    def where(self) -> str:
        """The file, the line and the name of the function."""
        return f"{self.at.file.path}:{self.at.line}: {self.at.name}"

    def refuse(self, reason: str, cause: Exception | None = None) -> NoReturn:
        """Raise, with the place of the function and the reason."""
        raise PullbackError(f"{self.where} {reason}") from cause

    def __call__(self, hits: Tensor, **parameters: Any) -> Any:
        """The function's result, its parameters as tensors like the hits."""
        for name, value in parameters.items():
            if not hasattr(value, "new_tensor"):
                parameters[name] = hits.new_tensor(value)
        return self.plain(hits, **parameters)

    def plain(self, *arguments: Any, **parameters: Any) -> Any:
        """The function's result, its arguments as they are."""
        function = self.function
        try:
            return function(*arguments, **parameters)
        except (Exception, SystemExit) as error:  # a job that exits by itself would say nothing
            raise self.at.file.explained(error, self) from error

    @cached_property
    def function(self) -> Callable:
        """The function itself: the file is run for it, unless it has been."""
        found = getattr(self.at.file.module, self.at.name, None)
        if not callable(found):
            raise PullbackError(f"{self.where}: is no function but {shown(found)}")
        if self.at.signature is None and (signature := _signature(found)):
            taken = self._taken(signature)
            if RESOLUTION in taken:
                self.refuse(f"is given no {RESOLUTION}, since its arguments are not known in time; define it by a def")
            if lost := [name for name in self.parameters if name not in taken]:
                self.refuse(f"takes no parameter {lost[0]!r}; it takes {signature}")
        return found

    def _taken(self, signature: inspect.Signature) -> tuple[str, ...]:
        """The names of parameters that a signature takes, in the model's order.

        Raises
        ------
        PullbackError : it doesn't take what it is called with, or needs what it isn't.

        """
        kinds = inspect.Parameter
        arguments = list(signature.parameters.values())
        in_order = [each for each in arguments if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        if len(in_order) < len(self.leading) and not any(each.kind == kinds.VAR_POSITIONAL for each in arguments):
            self.refuse(f"must take {', '.join(self.leading)}, then the parameters by name; it takes {signature}")
        first = in_order[: len(self.leading)]
        named = [each for each in arguments if each not in first and each.kind in _BY_NAME]
        names = {each.name for each in named}
        for each in first:
            if each.name in self.parameters:
                self.refuse(f"has {each.name!r} in place of {', '.join(self.leading)}; the parameters come after")
        offered = {*self.parameters, RESOLUTION} if "hits" in self.leading else {*self.parameters}
        for each in named:
            if each.default is kinds.empty and each.name not in offered:
                self.refuse(
                    f"needs {each.name!r}, which model.parameters doesn't have; add it there, or give a default"
                )
        if any(each.kind == kinds.VAR_KEYWORD for each in arguments):
            names |= {*self.parameters}
        return tuple(name for name in (*self.parameters, RESOLUTION) if name in names & offered)


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class File:
    """A model file as it was read, parsed and compiled at once, and run when a function of it is first called."""

    def __init__(self, path: str, content: bytes):
        self.path, self.content = path, content
        try:
            self.tree = ast.parse(content, path)
            self.code = compile(self.tree, path, "exec")
        except SyntaxError as error:
            code = f" (in: {one_line(error.text.strip())})" if error.text and error.text.strip() else ""
            raise PullbackError(f"{path}:{error.lineno or 1}: is not valid Python: {error.msg}{code}") from None
        except ValueError as error:
            raise PullbackError(f"{path}: is not valid Python: {error}") from None
        except (RecursionError, MemoryError):
            raise PullbackError(
                f"{path}: has an expression of too many terms or brackets, or too many elif, for Python to read it; "
                "compute it in several steps"
            ) from None
        self._refuse_neighbours()

    def find(self, name: str, key: str) -> Definition:
        """Where a function is defined, by a `def`, an assignment or an import at the top level of the file."""
        found: dict[str, Definition] = {}
        for node in self.tree.body:
            signature = _read_signature(node) if isinstance(node, ast.FunctionDef) else None
            found |= {each: Definition(self, each, node.lineno, signature) for each in _defined(node)}
        if name not in found:
            functions = [each.name for each in self.tree.body if isinstance(each, ast.FunctionDef)]
            close = difflib.get_close_matches(name, functions, n=1)
            listed = f"its functions are {', '.join(functions)}" if functions else "it defines none"
            advice = f"did you mean {close[0]}?" if close else listed
            raise PullbackError(f"{self.path}: has no function {name!r}, which {key} names; {advice}")
        return found[name]

    @cached_property
    def module(self) -> ModuleType:
        """What the file defines, run once.

        Not by importing it: Python's cache of compiled files would take one that changed within a second for the old.
        """
        module = ModuleType(f"pullback_own_{hashlib.sha256(self.path.encode() + self.content).hexdigest()[:16]}")
        module.__file__ = self.path
        sys.modules[module.__name__] = module  # where dataclasses, among others, look for it
        try:
            exec(self.code, module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise self.explained(error) from error
        return module

    def explained(self, error: BaseException, call: Call | None = None) -> PullbackError:
        """An error inside the file in one line: the innermost line of the file on the way to it, and what it says."""
        lines, trace = [], error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == self.path:
                lines.append(trace.tb_lineno)
            trace = trace.tb_next
        text = (str(error).strip().splitlines() or [""])[0]
        if "Can't call numpy() on Tensor that requires grad" in text:  # its own advice would break the graph
            text = "NumPy breaks the graph, so that the hits have no derivatives; compute with torch instead"
        if "tensors to be on the same device" in text:  # torch's advice is longer than a line
            text = (
                "makes tensors on the CPU for hits on a GPU; make them by hits.new_tensor, or set compute.device: cpu"
            )
        said = f"{type(error).__name__}: {text}" if text else type(error).__name__
        if call and lines:
            said = f"{call.at.name}: {said}"
        if not lines:  # it couldn't even be called
            signature = _signature(call.function) if call else None
            return PullbackError(f"{call.where if call else self.path}: {said}; it takes {signature}")
        code = self.content.decode(errors="replace").splitlines()[lines[-1] - 1].strip()
        return PullbackError(f"{self.path}:{lines[-1]}: {said} (in: {one_line(code)})")

    def _refuse_neighbours(self) -> None:
        """Raise where the file imports one that lies beside it: a change of that one would go unnoticed."""
        folder = Path(self.path).parent
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                names = ["." * node.level + (node.module or "")]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                modules = [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                tops = [str(each).split(".")[0] for each in modules]
                names = [n for n in tops if (folder / f"{n}.py").exists() or (folder / n / "__init__.py").exists()]
            else:
                continue
            if names:
                raise PullbackError(
                    f"{self.path}:{node.lineno}: imports {names[0]}, which lies beside it: results would not be made "
                    "again after a change there; put what is needed into the file itself, or install it as a package"
                )


def read(path: str, sha256: str | None = None) -> File:
    """The model file at a path.

    Raises
    ------
    PullbackError : it can't be read, is not what it was by its SHA-256, is no Python, or imports a file beside it.

    """
    check_regular(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PullbackError(f"{path}: can't be read: {error.strerror}") from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise PullbackError(f"{path}: has changed since this run began: run again")
    return _parsed(path, content)


# A batch asks for the models of all its points, and a file is run once for them.
_parsed = lru_cache(maxsize=16)(File)


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement at the top level defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [each.asname or each.name.split(".")[0] for each in names]
    return []


def _read_signature(node: ast.FunctionDef) -> inspect.Signature | None:
    """The signature of a function by its text; None where a decorator may have changed it."""
    if node.decorator_list:
        return None
    kinds, arguments = inspect.Parameter, node.args
    found = []
    in_order = [*arguments.posonlyargs, *arguments.args]
    required = len(in_order) - len(arguments.defaults)
    for index, each in enumerate(in_order):
        kind = kinds.POSITIONAL_ONLY if index < len(arguments.posonlyargs) else kinds.POSITIONAL_OR_KEYWORD
        default = kinds.empty if index < required else _Text(arguments.defaults[index - required])
        found.append(kinds(each.arg, kind, default=default))
    if arguments.vararg:
        found.append(kinds(arguments.vararg.arg, kinds.VAR_POSITIONAL))
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(kinds(each.arg, kinds.KEYWORD_ONLY, default=kinds.empty if value is None else _Text(value)))
    if arguments.kwarg:
        found.append(kinds(arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(found)


class _Text:
    """A default value, shown as it is written."""

    def __init__(self, node: ast.expr):
        self.node = node

    def __repr__(self) -> str:
        return ast.unparse(self.node)


def _signature(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have none
        return None


def shown(value: Any) -> str:
    """What something is: its type, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" {tuple(shape)}" if shape is not None else "")
