"""The structure of the package: imports go downward only, rooms stay small, and tests mirror them."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import PROJECT

import pullback
from pullback.store import provenance

PACKAGE = PROJECT / "src" / "pullback"
LAYERS = (
    "cli",
    "commands",
    "brief_log",
    "job_server",
    "job_environment",
    "report",
    "validation",
    "steps",
    "store",
    "detector",
    "study",
    "config",
    "hits",
    "models",
    "uncertainty",
    "statistics",
    "files",
    "errors",
    "version",
)
"""From the top down: a module imports from its own layer and from those below it."""

MODULES = sorted(PACKAGE.rglob("*.py"))
ROOM = 450
"""Lines of the largest module."""


def dotted(path: Path) -> str:
    """The name of a module within the package; that of a package for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {dotted(path) for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, at the top and within functions."""
    home = dotted(path).split(".")
    package = home if path.name == "__init__.py" else home[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pullback":
            base = node.module.split(".")[1:]
        else:
            continue
        module = ".".join(part for part in base if part)
        for alias in node.names:
            inner = f"{module}.{alias.name}".strip(".")
            yield inner if inner in NAMES else module


GRAPH = {dotted(path): {name for name in imported(path) if name} - {dotted(path)} for path in MODULES}


@pytest.mark.parametrize("module", sorted(GRAPH.keys() - {"", "__main__"}))
def test_imports_go_downward(module):
    layer = LAYERS.index(module.split(".")[0])
    upward = [name for name in GRAPH[module] if LAYERS.index(name.split(".")[0]) < layer]
    assert not upward


def test_digests_are_taken_in_the_order_of_the_layers():
    assert ("cli", "commands", "brief_log", "job_server", "job_environment", *provenance.LAYERS) == LAYERS


def test_no_imports_go_in_a_circle():
    left = {module: set(names) for module, names in GRAPH.items()}
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]
    assert not left


def test_the_graph_sees_imports_within_functions():
    assert "uncertainty.linear" in GRAPH["uncertainty.quoting"]
    assert any("uncertainty" in name for name in GRAPH["detector.response"])


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_module_is_long(path):
    assert len(path.read_text().splitlines()) <= ROOM


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=dotted)
def test_a_package_says_its_subject_in_one_sentence(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert len(text.split("\n\n")) == 1


def test_the_tests_mirror_the_package():
    tests = PROJECT / "tests"
    for path in tests.rglob("*/test_*.py"):
        room = path.relative_to(tests).with_name(f"{path.stem.removeprefix('test_')}.py")
        assert room.parent == Path() or (PACKAGE / room).exists(), path


def test_type_checkers_know_the_public_names(tmp_path):
    (tmp_path / "script.py").write_text("import pullback\npullback.propogate\nreveal_type(pullback.propagate)\n")
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-torch.*,numpy.*,scipy.*,jaxtyping.*]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "script.py"]
    environment = {**os.environ, "MYPYPATH": str(PROJECT / "src")}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 'script.py:2: error: Module has no attribute "propogate"' in found.stdout
    assert 'script.py:3: note: Revealed type is "def (infer: ' in found.stdout
    assert "Found 1 error" in found.stdout


def test_the_stub_lists_the_public_names_in_order():
    """The names that are imported when they are used are read from it, so that there is one list."""
    lines = [line for line in (PACKAGE / "__init__.pyi").read_text().splitlines() if line.startswith("from ")]
    names = [line.split()[-1] for line in lines]
    assert lines == sorted(lines)
    assert [line.split(" import ")[1] for line in lines] == [f"{name} as {name}" for name in names]
    assert sorted(names) == pullback.__all__
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert "*.pyi" in project["tool"]["setuptools"]["package-data"]["pullback"]


def public_names(path: Path) -> set[str]:
    """The public names that a module defines at the top, without those that it imports."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {name for name in found if not name.startswith("_")}


PLUG_INS = {
    "models": {"model", "generate", "intersect_layers", "covariance", "deviate", "fitted", "OBSERVABLES", "LINES"},
    "hits": {"count", "read", "describe", "find_kinds", "tables"},
    "steps": {"fit_residuals", "infer_theta", "run_toys"},
}
"""Names that each model, or each reader of a kind of file, defines alike; and steps, named like rules."""


def test_a_public_name_has_one_meaning():
    """No two modules define the same name, except plug-ins, and each module's logger."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        package = dotted(path).split(".")[0]
        for name in public_names(path) - PLUG_INS.get(package, set()) - {"log"}:
            homes.setdefault(name, []).append(dotted(path))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}
