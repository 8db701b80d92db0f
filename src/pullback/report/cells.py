"""Cells of the tables of the report, marked where a number decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..statistics.intervals import Verdict
from ..validation.coverage_evidence import TruthBin
from ..validation.estimates import Estimate
from ..validation.evidence import Bin, NotJudged
from .formats import figures


class Cell(NamedTuple):
    """A cell: text, CSS class, and number of columns."""

    text: str
    kind: str = ""
    span: int = 1


class Row(NamedTuple):
    """Cells from left to right, and the CSS class of all."""

    cells: list[Cell]
    kind: str = ""


class Table(NamedTuple):
    """Rows of heads, and of cells."""

    heads: list[Row]
    rows: list[Row]


def row(*cells: str | Cell, kind: str = "") -> Row:
    """A row; cells that are only text hold numbers."""
    return Row([cell if isinstance(cell, Cell) else Cell(cell) for cell in cells], kind)


def left(text: object) -> Cell:
    """A cell with words."""
    return Cell(str(text), "left")


def verdict(text: str) -> Cell:
    """A verdict, in its colour."""
    return Cell(text, f"word {text}")


def estimated(estimate: Estimate | None) -> str:
    """The value of an estimate, or a dash."""
    return figures(estimate and estimate.value)


MARKS = {Verdict.FAIL: "✗ ", Verdict.INCONCLUSIVE: "? ", Verdict.PASS: ""}
"""What stands before a number that decides, so that colour is not the only sign."""


def judged(estimate: Estimate | None, text: str, decides: bool = True) -> Cell:
    """A number, marked by its verdict if it decides."""
    if estimate is None or estimate.verdict is None or not decides:
        return Cell(text, "shown")
    return Cell(f"{MARKS[estimate.verdict]}{text}", f"judged {estimate.verdict}")


def with_limits(
    estimate: Estimate | None, show: Callable[[Estimate], str], brief: Callable[[Estimate], str], decides: bool = True
) -> Cell:
    """A number as its reason shows it, with its interval, if it decides and does not pass; else briefly."""
    if estimate is None:
        return Cell("–", "shown")
    passed = not decides or estimate.verdict in (None, Verdict.PASS)
    return judged(estimate, brief(estimate) if passed else show(estimate), decides)


def furthest(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """Of numbers that should be 0, the one that is said: with the worst verdict, and furthest off."""
    known = [each for each in estimates if each and math.isfinite(each.value)]
    severity = lambda each: each.verdict.severity if each.verdict else -1  # noqa: E731
    return max(known, key=lambda each: (severity(each), abs(each.value)), default=None)


def limits(estimate: Estimate | None) -> str:
    """The confidence interval of an estimate, or a dash."""
    return f"[{figures(estimate.low)}, {figures(estimate.high)}]" if estimate else "–"


def word(each: Bin | TruthBin) -> Cell:
    """The verdict on a bin, in its colour; or why it has none, or no weight."""
    if isinstance(each.verdict, NotJudged):
        return left("outside" if each.verdict == NotJudged.OUTSIDE else each.verdict)
    if each.verdict == Verdict.INCONCLUSIVE and not each.decides:
        return left("too few muons")
    return verdict(each.verdict)
