"""Mutation testing: which single changes to a module do its tests not notice?

    python tests/mutate.py src/pullback/study/scan.py src/pullback/files.py --number 20 --seed 1

Each mutant differs from the module in one place: a comparison, a sign, a constant, a condition, a call left out.
The tests of src/pullback/files.py are tests/test_files.py, and those of src/pullback/study/scan.py are
tests/study/test_scan.py; `--tests` adds others. They run in a copy of the project. What survives is printed with its
line and a diff, and is either equivalent to the module, or a test that is missing.
"""

import argparse
import ast
import difflib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import accumulate
from pathlib import Path
from queue import Queue
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "results", "logs", "*.egg-info")

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr}
OPERATORS |= {ast.BitOr: ast.BitAnd, ast.FloorDiv: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin"}
TEXT = (ast.JoinedStr, ast.FormattedValue)


class Mutant(NamedTuple):
    """A module with one change: its path in the project, the line of the change, and its text without and with it."""

    module: str
    line: int
    before: str
    text: str

    @property
    def diff(self) -> str:
        """The change, as a unified diff."""
        lines = difflib.unified_diff(self.before.splitlines(), self.text.splitlines(), n=0, lineterm="")
        return "\n".join(f"    {line}" for line in list(lines)[3:])


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module that this script knows of."""
    whole = source.encode()  # the columns of a node are bytes
    starts = [0, *accumulate(map(len, whole.splitlines(keepends=True)))]
    for node in _nodes(ast.parse(source)):
        for place, text in _changed(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            after = whole[:start] + text.encode() + whole[end:]
            yield Mutant(module, place.lineno, source, after.decode())


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Statements and expressions below a node, except annotations, decorators and texts, which tests can't judge."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in ("annotation", "returns", "decorator_list") or not isinstance(child, ast.AST):
                continue
            yield child
            if not isinstance(child, TEXT):  # whose inner places are not known
                yield from _nodes(child)


def _changed(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The changes of a node: what of it is replaced, and the text that takes its place."""
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield node, _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) if type(operator) in OPERATORS:
            if not any(isinstance(each, TEXT) or _is_text(each) for each in ast.iter_child_nodes(node)):
                yield node, _with(node, op=OPERATORS[type(operator)]())
        case ast.Constant(value=bool()):
            yield node, str(not node.value)
        case ast.Constant(value=int() | float()):
            yield from ((node, f"({node.value!r} {change})") for change in ("+ 1", "- 1"))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.If() | ast.While() | ast.IfExp():
            yield node.test, f"(not ({ast.unparse(node.test)}))"
        case ast.comprehension():
            yield from ((test, f"(not ({ast.unparse(test)}))") for test in node.ifs)
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield node, "pass"
        case ast.Call(args=[first, second, *rest]) if ast.unparse(node.func) not in ("min", "max"):
            if not any(isinstance(each, ast.Starred) for each in node.args):
                yield node, _with(node, args=[second, first, *rest])
        case ast.Name(id=name) if name in NAMES:
            yield node, NAMES[name]
        case ast.Attribute(attr=name) if name in NAMES:
            yield node, _with(node, attr=NAMES[name])
        case ast.Slice():
            for name in ("lower", "upper"):
                if not isinstance(end := getattr(node, name), ast.Constant | None):
                    yield node, ast.unparse(_copy(node, **{name: ast.BinOp(end, ast.Add(), ast.Constant(1))}))


def _copy(node: ast.AST, **changes: object) -> ast.AST:
    copy = deepcopy(node)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


def _with(node: ast.AST, **changes: object) -> str:
    """The text of an expression with some of its parts changed."""
    return f"({ast.unparse(_copy(node, **changes))})"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def tests_of(module: str, project: Path) -> list[str]:
    """The tests of a module by its name: in the folder below tests/ that it has in the package, or in tests/."""
    path = Path(module)
    folder, name = Path(*path.parent.parts[2:]), f"test_{path.stem.strip('_')}.py"
    for each in (Path("tests") / folder / name, Path("tests") / name):
        if (project / each).is_file():
            return [each.as_posix()]
    return []


def run(project: Path, tests: Sequence[str], timeout: float | None = None) -> int | None:
    """Run tests in a project; the exit status of pytest, or None where they took too long."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    paths = [str(project / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    # With all that the tests start in a group of its own, so that nothing of it is left.
    process = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True, **quiet)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def survives(mutant: Mutant, copy: Path, tests: Sequence[str], timeout: float) -> bool:
    """Whether the tests pass with a mutant in the place of its module."""
    path = copy / mutant.module
    before = path.read_bytes()
    try:
        path.write_text(mutant.text, encoding="utf-8")
        # Two mutants of one second and one length have the same compiled file.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        return run(copy, tests, timeout) == 0
    finally:
        path.write_bytes(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print which mutants survive; how many did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", help="paths below the project, such as src/pullback/points.py")
    parser.add_argument("--number", type=int, default=20, help="mutants in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tested at a time")
    parser.add_argument("--tests", nargs="*", default=[], help="more tests than those of the module's name")
    parser.add_argument("--project", type=Path, default=PROJECT)
    given = parser.parse_args(arguments)
    project = given.project
    tests = {module: [*tests_of(module, project), *given.tests] for module in given.modules}
    without = [module for module, files in tests.items() if not files]
    if without:
        parser.error(f"no tests of {', '.join(without)}; name some by --tests")
    found = [each for m in given.modules for each in mutants(m, (project / m).read_text(encoding="utf-8"))]
    chosen = random.Random(given.seed).sample(found, min(given.number, len(found)))
    chosen.sort(key=lambda mutant: (given.modules.index(mutant.module), mutant.line))

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        copies: Queue[Path] = Queue()
        for index in range(given.jobs):
            copies.put(Path(shutil.copytree(project, Path(folder) / str(index), ignore=LEFT_OUT)))
        limits = {}
        for module, files in tests.items():
            begin, copy = time.monotonic(), copies.queue[0]
            if run(copy, files) != 0:
                parser.error(f"{', '.join(files)} fail without any mutation")
            limits[module] = 20 + 3 * (time.monotonic() - begin)

        def judge(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                return survives(mutant, copy, tests[mutant.module], limits[mutant.module])
            finally:
                copies.put(copy)

        survived = 0
        for mutant, alive in zip(chosen, pool.map(judge, chosen), strict=True):
            survived += alive
            print(f"{mutant.module}:{mutant.line}: {'survived' if alive else 'killed'}", flush=True)
            if alive:
                print(mutant.diff, flush=True)
    print(f"{len(chosen)} of {len(found)} mutants: {len(chosen) - survived} killed, {survived} survived")
    return survived


if __name__ == "__main__":
    main()
