"""The scan points of a study that are exported, by what a user writes of them.

A point is named by its label, by its number in the scan, or by some of its scanned values in any order, with or without
units: `model.dz=1.5 m, detector.sigma=50um`. The beginning of a dotted name can be left out: `dz=1.5`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from ..config.units import in_unit
from ..errors import ArtefactError, one_line
from ..study.scan import scanned_in
from .study_file import StudyReader

ALL_POINTS = "all"
"""Stands for all points of a study."""

MOST_POINTS_LISTED = 8
"""Maximum number of points in a message."""


def chosen_points(reader: StudyReader, wanted: str | None) -> list[str]:
    """The labels of the wanted points.

    Parameters
    ----------
    reader : StudyReader
        The open study.
    wanted : str or None
        A label, a number from 1 on, scanned values, or "all"; None for the only point of a study.

    Raises
    ------
    ArtefactError
        Several points are meant, or none; the message lists those that are near.

    """
    labels = reader.labels()
    if wanted == ALL_POINTS or (wanted is None and len(labels) == 1):
        return labels
    if wanted is None:
        raise _refused(reader, f"has {len(labels)} points; name one by --point, or `--point {ALL_POINTS}`", labels)
    if wanted in labels:
        return [wanted]
    if wanted.isdecimal():
        if 0 < int(wanted) <= len(labels):
            return [labels[int(wanted) - 1]]
        raise _refused(reader, f"has no point {one_line(wanted)}", labels)
    found = _with_values(reader, labels, wanted)
    if len(found) > 1:
        raise _refused(reader, f"{len(found)} points have {one_line(wanted)}; add another value", found)
    return found


def _with_values(reader: StudyReader, labels: list[str], wanted: str) -> list[str]:
    """The points that have all these values, at least one."""
    for part in wanted.split(","):
        name, equals, text = map(str.strip, part.partition("="))
        there = list(scanned_in(labels[0]))
        if not equals or not there:
            raise _refused(reader, f"has no point {one_line(part.strip())!r}", labels)
        named = [each for each in there if each == name or each.endswith(f".{name}")]
        if not named:
            close = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
            advice = f"; did you mean {close[0]}?" if close else ""
            raise ArtefactError(f"{reader.path}: --point: {one_line(name)} is not scanned, but {_or(there)}{advice}")
        left = [label for label in labels if any(_has(reader, label, each, text) for each in named)]
        if not left:
            raise _refused(reader, f"has no point with {one_line(part.strip())}", labels)
        labels = left
    return labels


def _has(reader: StudyReader, label: str, name: str, text: str) -> bool:
    """Whether a scanned value of a point is the one that is written, to the digits of either."""
    unit = reader.unit_of(label, name)
    try:
        value = float(in_unit(text, "" if unit == "1" else unit))
    except (TypeError, ValueError) as error:
        said = str(error) if str(error).startswith("is ") else f"is {one_line(text)!r}, which is no number"
        raise ArtefactError(f"{reader.path}: --point: {name} {said}") from None
    return math.isclose(value, float(scanned_in(label)[name]), rel_tol=1e-9)


def _refused(reader: StudyReader, problem: str, labels: Sequence[str]) -> ArtefactError:
    """The error that lists these points, with their numbers."""
    numbers = {label: number for number, label in enumerate(reader.labels(), 1)}
    listed = "; ".join(f"{numbers[label]}: {label}" for label in labels[:MOST_POINTS_LISTED])
    left = len(labels) - MOST_POINTS_LISTED
    more = f"; and {left} more, which --list names" if left > 0 else ""
    return ArtefactError(f"{reader.path}: {problem}. Points: {listed}{more}")


def _or(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
