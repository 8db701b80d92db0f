"""The user's Python file of a model: run once when it is read, together with the modules beside it that it imports."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ModelError, one_line
from ..files import check_regular
from ..uncertainty.arrays import Tensor
from ..uncertainty.inference import in_place_reason
from .stated import RESOLUTION
from .user_imports import PACKAGE, Folder

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
        self.function: Callable[..., Any] = file.find(name, key)
        if not callable(self.function):
            raise ModelError(f"{self.where}: is not a function but {type_and_shape(self.function)}")
        self.signature = None
        with suppress(TypeError, ValueError):  # some functions written in C have none
            self.signature = inspect.signature(self.function)
        # Without a signature, whether the function takes the parameters shows when it is called.
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
        tensors = {name: x if hasattr(x, "new_tensor") else hits.new_tensor(x) for name, x in parameters.items()}
        return self.plain(hits, **tensors)

    def plain(self, *arguments: Any, **parameters: Any) -> Any:
        """The result of the function, with its arguments as they are."""
        try:
            return self.function(*arguments, **parameters)
        except (Exception, SystemExit) as error:  # after a SystemExit the job would end without a message
            uncalled = ModelError(f"{self.where}: {_in_words(error)}; it takes {self.signature}")
            raise self.file.explained(error, f"{self.name}: ") or uncalled from error

    def _taken(self, signature: inspect.Signature) -> tuple[str, ...]:
        """Names of the parameters that a signature takes, in the order of the model."""
        arguments, leading = signature.parameters.values(), ", ".join(self.leading)
        kinds = {argument.kind for argument in arguments}
        in_order = [each for each in arguments if each.kind in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)]
        first = in_order[: len(self.leading)]
        if len(first) < len(self.leading) and _Kind.VAR_POSITIONAL not in kinds:
            self.refuse(f"must take {leading}, then the parameters by name; it takes {signature}")
        for argument in first:
            if argument.name in self.parameters:
                self.refuse(f"has {argument.name!r} in place of {leading}; the parameters come after")
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
        folder = Folder(os.path.dirname(path), self.sources)
        try:
            # What the file prints must not get into what Snakemake prints, such as the graph of `--dag`.
            with redirect_stdout(sys.stderr):
                self.module = folder.run(path)
        except ModelError:
            raise
        except (Exception, SystemExit) as error:
            raise self.explained(error) or ModelError(f"{path}: {_in_words(error)}") from error
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

    def is_unchanged(self) -> bool:
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
        for frame, number in reversed([*traceback.walk_tb(error.__traceback__)]):
            path = frame.f_code.co_filename
            if path in self.sources:
                code = one_line(self._lines(path)[number - 1].strip())
                return ModelError(f"{path}:{number}: {function}{_in_words(error)} (in: {code})")
        return None

    def _lines(self, path: str) -> list[str]:
        return self.sources[path].decode(errors="replace").splitlines()


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
        if not file or not file.is_unchanged():
            file = _READ[path, os.getcwd()] = ModelFile(path, Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None
    if sha256 and file.sha256 != sha256:
        others = " or what it imports from its folder" if len(file.sources) > 1 else ""
        raise ModelError(f"{path}{others}: has changed since this run began: run again")
    return file


def _in_words(error: BaseException) -> str:
    """The type and the first line of an error, in words that help."""
    text = re.sub(rf"\b{PACKAGE}\d+\.", "", (str(error).strip().splitlines() or [""])[0])
    if "Can't call numpy() on Tensor that requires grad" in text:  # torch's advice would break the graph
        text = "NumPy breaks the graph, so that the hits have no derivatives; compute with torch instead"
    text = in_place_reason(error) or text
    if "tensors to be on the same device" in text:  # torch's advice is longer than a line
        text = "makes tensors on the CPU for hits on a GPU; make them by hits.new_tensor, or set compute.device: cpu"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def type_and_shape(value: Any) -> str:
    """The type of a value, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" {tuple(shape)}" if shape is not None else "")
