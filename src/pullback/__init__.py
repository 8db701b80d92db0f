"""Angles from muon hits with uncertainties that are propagated by Jacobians and validated by toy Monte Carlo."""

import ast
import importlib
from pathlib import Path

# Each name is imported when it is first used: most of the workflow's jobs need no torch, which takes 2 s. The list of
# names is the stub beside this file, which type checkers and editors read too.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOME = {node.names[0].name: node.module for node in _STUB.body if isinstance(node, ast.ImportFrom)}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("pullback.version").version()
    if name not in _HOME:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pullback.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
