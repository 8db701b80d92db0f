"""How many muons would decide whether the data agree with the stated resolution, and what fewer can decide."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..config.schema import Validation
from ..statistics.intervals import ROOM, Verdict, half_width
from ..store.fit_columns import OUTLIER
from .estimates import Estimate
from .fit_evidence import FitEntry
from .remedies import Remedy, rounded_up

MOST_MUONS = 10_000_000
"""Largest number of muons that is asked for: more are needed where a few tracks decide, or a number is at its limit."""

FEW_TRACKS = "find the few muons with the largest χ², and leave them out if they are no tracks"
"""What to do where a few tracks decide."""


def advice_on_few(muons: int, settings: Validation) -> list[Remedy]:
    """How many muons tell a width, whose error is 1/√(2n), where those there are tell nothing."""
    return [_more_muons(((half_width(settings.confidence) + ROOM) / settings.data_tolerance) ** 2 / 2, muons)]


def advice_on_fits(entry: FitEntry, tolerance: float, shift: float, outliers: float) -> list[Remedy]:
    """What would decide an inconclusive verdict.

    `shift` and `outliers` are the tolerances of means and of the share of outliers over that of widths.
    """
    open_ = [(each, most) for each, most in _numbers(entry, shift, outliers) if each.verdict == Verdict.INCONCLUSIVE]
    if entry.verdict != Verdict.INCONCLUSIVE or not open_:
        return []
    needed = entry.muons * max(each.factor or 1.0 for each, _ in open_)
    if needed > MOST_MUONS and entry.left_out:
        return [Remedy(words=FEW_TRACKS)]
    wide = max(abs(end) / most for each, most in _numbers(entry, shift, outliers) for end in (each.low, each.high))
    tolerances = [_wider(wide, tolerance)] if wide < 1 else []
    return tolerances if needed > MOST_MUONS else [_more_muons(needed, entry.muons), *tolerances]


def _numbers(entry: FitEntry, shift: float, outliers: float) -> Iterator[tuple[Estimate, float]]:
    """The numbers that must pass, as deviations from what they should be, and their tolerances over that of widths."""
    for width in (entry.width, *(each.pull_sd for each in entry.coordinates)):
        if width:
            yield _less(width, 1.0), 1.0
    for each in entry.coordinates:
        yield from ((number, shift) for number in (each.pull_mean, *each.dependences))
    if entry.outliers:
        yield entry.outliers.model_copy(update={"low": 0.0, "high": entry.outliers.high - OUTLIER}), outliers


def _less(number: Estimate, target: float) -> Estimate:
    return number.model_copy(update={"low": number.low - target, "high": number.high - target})


def _more_muons(needed: float, now: int) -> Remedy:
    needed = rounded_up(needed)
    words = f"take about {needed:.0f} muons with degrees of freedom (now {now})"
    return Remedy(key="source.muons", value=needed, now=now, words=words)


def _wider(wide: float, tolerance: float) -> Remedy:
    """The tolerance within which all numbers are known to lie: to two digits, rounded up."""
    return Remedy(key="validation.data_tolerance", value=math.ceil(100 * wide) / 100, now=tolerance)
