"""Conditions on the columns of a file, which select the rows that are used.

A condition is an expression in Python's syntax, such as `n_tracks == 1 and abs(x0) < 49.9 mm`. Before it is evaluated,
every part of it is checked: only the operations listed here are allowed, and each has a dimension, a power of length.
simpleeval evaluates it, for all rows of a chunk at once. A comparison with NaN is false, and so is `!=`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from simpleeval import SimpleEval

from ..errors import one_line
from .native import EXACT


class Written(NamedTuple):
    """A condition as it is written, and in Python's syntax, with names in place of what Python can't read.

    `lengths` are numbers with a unit, m, and `columns` are columns in backticks or with an index; both by the name that
    stands for them, which `texts` maps to what is written.
    """

    text: str
    expression: str
    lengths: Mapping[str, float]
    columns: Mapping[str, str]
    texts: Mapping[str, str]

    def shown(self, node: ast.AST) -> str:
        """A part of the condition, as it is written."""
        text = ast.unparse(node)
        for name, written in self.texts.items():
            text = text.replace(name, written)
        return one_line(text)


CONDITION, TEXT_VALUE, ZERO = "a condition", "text", "0"
Dimension = float | str
"""A power of length, 0 for a pure number; or a condition, text, or a zero, which may have any power."""

FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "sqrt": (1, 1),
    "isfinite": (1, 1),
    "min": (2, 9),
    "max": (2, 9),
}
"""Functions, and the least and largest number of their arguments."""

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.FloorDiv: np.floor_divide,
    ast.Pow: np.power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: np.logical_not,
}

DEEPEST = 50
"""Maximum depth of nested operations."""

LONGEST_CONDITION = 2000
"""Maximum number of characters."""

FOREIGN = {"=": "==", "=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", "||": "or"}
"""Operators of other languages that are none in Python, and what they mean."""

IN_QUOTES_OR_FOREIGN = re.compile(r"""'[^'\n]*'|"[^"\n]*"|[=!<>]=|(?P<foreign>=>|=<|<>|&&|\|\||=)""")
"""Texts in quotes, comparisons of Python, and operators that are none."""


@dataclass(frozen=True)
class Condition:
    """A checked condition.

    Attributes
    ----------
    written : Written
        What was written.
    numbers, texts : tuple of str
        The names that it compares as numbers, and as text.
    """

    written: Written
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    tree: ast.expr = field(compare=False, repr=False)

    def holds(self, values: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """Whether it holds, for each of the rows; `values` are the columns by name."""
        columns = {name: values[column] for name, column in self.written.columns.items() if column in values}
        with np.errstate(all="ignore"):
            result = _Rows({**values, **columns, **self.written.lengths}).eval("", self.tree)
        return np.broadcast_to(np.asarray(result, dtype=bool), rows)


def parsed(written: Written) -> ast.expr:
    """The tree of a condition.

    Raises
    ------
    ValueError
        It is no expression.

    """
    if len(written.expression) > LONGEST_CONDITION:
        raise ValueError(f"has {len(written.expression)} characters; at most {LONGEST_CONDITION} are read")
    try:
        tree = ast.parse(written.expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        advice = _in_python(written) or f"can't be read: {reason}; write it as n_tracks == 1 and abs(x0) < 49.9 mm"
        raise ValueError(advice) from None
    if _depth(tree) > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} times")
    return tree


def _in_python(written: Written) -> str:
    """What to write for operators of other languages; empty if a condition that can't be read has other mistakes."""
    found: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        if not (foreign := match["foreign"]):
            return match[0]
        found[foreign] = FOREIGN[foreign]
        return f" {FOREIGN[foreign]} "

    expression = IN_QUOTES_OR_FOREIGN.sub(replaced, written.expression)
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    return f"has {' and '.join(found)}; write {written.shown(tree)}"


def condition_of(written: Written, lengths: Sequence[str]) -> Condition:
    """Check a condition; `lengths` are the names of lengths, and all other names are pure numbers.

    Raises
    ------
    ValueError
        It has a part that is not allowed, or whose dimensions do not go together.

    """
    tree = parsed(written)
    check = _Check(written, lengths)
    if (found := check.dimension(tree)) != CONDITION:
        raise ValueError(f"is {_words(found)}, not a condition; compare it, as in {written.shown(tree)} > 0")
    both = check.texts.keys() & check.numbers.keys()
    if both:
        raise ValueError(f"compares {min(both)} with text and with a number")
    if not check.texts and not check.numbers:
        raise ValueError("names no column")
    return Condition(written, tuple(check.numbers), tuple(check.texts), tree)


def _depth(node: ast.AST) -> int:
    """The depth of a tree, level by level."""
    level, depth = [node], 0
    while level := [inner for each in level for inner in ast.iter_child_nodes(each)]:
        depth += 1
    return depth


class _Check:
    """Finds the dimension of each part of a condition, and the names in it."""

    def __init__(self, written: Written, lengths: Sequence[str]):
        self.written, self.lengths = written, {*lengths}
        self.numbers: dict[str, None] = {}
        self.texts: dict[str, None] = {}

    def dimension(self, node: ast.expr) -> Dimension:
        """The dimension of a part."""
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node.id)
            case ast.UnaryOp(op=ast.Not()):
                return self._condition(node.operand)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._number(node.operand)
            case ast.BoolOp():
                return {self._condition(value) for value in node.values}.pop()
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call():
                return self._call(node)
        raise ValueError(f"{self.written.shown(node)}: is not allowed; compare columns, and join them by and, or, not")

    def _constant(self, node: ast.Constant) -> Dimension:
        value = node.value
        if isinstance(value, str):
            return TEXT_VALUE
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.written.shown(node)}: is no number; write a number, or a text in quotes")
        if isinstance(value, int) and abs(value) > EXACT:
            raise ValueError(f"{self.written.shown(node)}: is beyond 2⁵³, where not all whole numbers are told apart")
        return ZERO if value == 0 else 0.0

    def _name(self, name: str) -> Dimension:
        if name in self.written.lengths:
            return ZERO if self.written.lengths[name] == 0 else 1.0
        column = self.written.columns.get(name, name)
        self.numbers[column] = None
        return 1.0 if column in self.lengths else 0.0

    def _condition(self, node: ast.expr) -> Dimension:
        if (found := self.dimension(node)) != CONDITION:
            shown = self.written.shown(node)
            raise ValueError(f"{shown}: is {_words(found)}, not a condition; compare it, as in {shown} > 0")
        return CONDITION

    def _number(self, node: ast.expr) -> float | str:
        found = self.dimension(node)
        if found in (CONDITION, TEXT_VALUE):
            raise ValueError(f"{self.written.shown(node)}: is {found}, not a number")
        return found

    def _arithmetic(self, node: ast.BinOp) -> Dimension:
        if type(node.op) not in ARITHMETIC:
            advice = {ast.BitAnd: "and", ast.BitOr: "or"}.get(type(node.op))
            raise ValueError(f"{self.written.shown(node)}: is not allowed" + (f"; write {advice}" if advice else ""))
        left = self._number(node.left)
        if isinstance(node.op, ast.Pow):
            return self._power(node, left)
        right = self._number(node.right)
        if isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv):
            first, second = (0.0 if isinstance(each, str) else each for each in (left, right))
            return first + second if isinstance(node.op, ast.Mult) else first - second
        return self._same(node, [(node.left, left), (node.right, right)])

    def _power(self, node: ast.BinOp, base: Dimension) -> Dimension:
        """The dimension of a power with a number as exponent."""
        exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        value = exponent.value if isinstance(exponent, ast.Constant) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= 9:
            raise ValueError(f"{self.written.shown(node)}: the exponent must be a number up to 9")
        sign = -1 if isinstance(node.right, ast.UnaryOp) and isinstance(node.right.op, ast.USub) else 1
        return base if isinstance(base, str) else base * sign * value

    def _comparison(self, node: ast.Compare) -> Dimension:
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if type(op) not in COMPARISONS:
                raise ValueError(f"{self.written.shown(node)}: is not allowed; compare by ==, !=, <, <=, > or >=")
            if not self._of_text(node, op, left, right):
                self._same(node, [(left, self._number(left)), (right, self._number(right))])
        return CONDITION

    def _of_text(self, node: ast.expr, op: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
        """Whether a comparison is one of a column with a text, which is then checked."""
        texts = [each for each in (left, right) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if not texts:
            return False
        name = right if left in texts else left
        if len(texts) > 1 or not isinstance(name, ast.Name) or not isinstance(op, ast.Eq | ast.NotEq):
            raise ValueError(f"{self.written.shown(node)}: a text is compared with a column, by == or !=")
        self.texts[self.written.columns.get(name.id, name.id)] = None
        return True

    def _call(self, node: ast.Call) -> Dimension:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        least, most = FUNCTIONS.get(name, (0, 0))
        if not most:
            raise ValueError(f"{self.written.shown(node)}: the functions are {', '.join(FUNCTIONS)}")
        if node.keywords or not least <= len(node.args) <= most:
            raise ValueError(f"{self.written.shown(node)}: {name} takes {least} argument{'s or more' * (least > 1)}")
        found = [(each, self._number(each)) for each in node.args]
        if name == "isfinite":
            return CONDITION
        same = self._same(node, found)
        return same / 2 if name == "sqrt" and isinstance(same, float) else same

    def _same(self, node: ast.expr, parts: list[tuple[ast.expr, Dimension]]) -> Dimension:
        """The dimension that all parts have; a zero has any."""
        (first, power), *others = [part for part in parts if part[1] != ZERO] or parts
        for each, other in others:
            if other != power:
                raise ValueError(self._mixed(node, (first, power), (each, other)))
        return power

    def _mixed(self, node: ast.expr, *parts: tuple[ast.expr, Dimension]) -> str:
        words = " and ".join(f"{self.written.shown(part)} is {_words(power)}" for part, power in parts)
        advice, plain = "", [part for part, power in parts if power == 0 and _is_literal(part)]
        alike = {length.lower(): length for length in self.lengths}
        meant = [
            alike[each.id.lower()]
            for each, power in parts
            if power == 0 and isinstance(each, ast.Name) and each.id.lower() in alike
        ]
        if {power for _, power in parts} == {0.0, 1.0}:
            advice = "; only columns of source.columns, sigma and z are lengths: write the number without a unit"
            if plain:
                advice = f"; write {self.written.shown(plain[0])} with a unit, such as mm"
            if meant:
                advice = f"; did you mean {meant[0]}?"
        return f"{self.written.shown(node)}: {words}{advice}"


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _words(dimension: Dimension) -> str:
    """A dimension in words."""
    known = {0.0: "a pure number", 1.0: "a length", 2.0: "a squared length", ZERO: "a pure number"}
    return known.get(dimension, dimension if isinstance(dimension, str) else f"a length to the power {dimension:g}")


class _Rows(SimpleEval):
    """Evaluates a checked condition for many rows at once."""

    def __init__(self, names: Mapping[str, Any]):
        functions = {
            "abs": np.abs,
            "sqrt": np.sqrt,
            "isfinite": np.isfinite,
            "min": lambda *values: reduce(np.minimum, values),
            "max": lambda *values: reduce(np.maximum, values),
        }
        super().__init__(operators=ARITHMETIC, functions=functions, names=names)

    def _eval_boolop(self, node: ast.BoolOp) -> Any:
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return reduce(join, [self._eval(value) for value in node.values])

    def _eval_compare(self, node: ast.Compare) -> Any:
        values = [self._eval(each) for each in (node.left, *node.comparators)]
        return reduce(np.logical_and, map(_compared, node.ops, values, values[1:]))


def _compared(op: ast.cmpop, left: Any, right: Any) -> Any:
    found = COMPARISONS[type(op)](left, right)
    if not isinstance(op, ast.NotEq) or isinstance(left, str) or isinstance(right, str):
        return found
    return found & ~_is_nan(left) & ~_is_nan(right)


def _is_nan(value: Any) -> Any:
    return np.isnan(value) if isinstance(value, np.ndarray) else np.bool_(math.isnan(value))
