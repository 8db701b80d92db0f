"""The sentences on a target: the value of a number that gives the wanted mean σ."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from ..statistics.prefixes import suited
from ..store.target_file import TargetAnswer, TargetAnswers
from .answer import sigma_in_words
from .formats import count

FOUND_DIGITS = 4
"""Significant digits of the value that was found: it is that of the muons of one block, whose mean σ scatters."""

WANTED_DIGITS = 6
"""Significant digits of what was wanted, which a user wrote."""

WITHOUT_POWER = 1e-4
"""What is wanted is written without a power of ten from here on: 0.001 and no 1 × 10⁻³."""


def target_sentences(target: TargetAnswers, symbol: str, unit: str) -> Iterator[Markup]:
    """What was found for the wanted mean σ of an observable, whose symbol and unit are given, at each scan point."""
    for answer in target.answers:
        values = [
            Markup("<code>{}</code> = {}").format(name, suited(value, target.units.get(name, "")))
            for name, value in answer.values.items()
        ]
        text = _reached if answer.reached else _not_reached
        yield Markup(", ").join(values) + (": " if values else "") + text(target, answer, symbol, unit)


def _wanted(target: TargetAnswers, symbol: str, unit: str) -> str:
    number = suited if target.wanted >= WITHOUT_POWER else sigma_in_words
    return f"mean σ of {symbol} of {number(target.wanted, unit, WANTED_DIGITS)}"


def _reached(target: TargetAnswers, answer: TargetAnswer, symbol: str, unit: str) -> Markup:
    assert answer.value is not None
    now = answer.start_sigma
    return Markup("<code>{}</code> = <b>{}</b> gives a {}{}{}. The present value is {}, with {}.").format(
        target.vary,
        suited(answer.value, target.unit, FOUND_DIGITS),
        _wanted(target, symbol, unit),
        _of_some(answer),
        _further(target, answer),
        suited(answer.start, target.unit),
        "no σ" if math.isnan(now) else f"a mean σ of {sigma_in_words(now, unit)}",
    )


def _further(target: TargetAnswers, answer: TargetAnswer) -> str:
    """That it is not the only one, where others were seen."""
    if not answer.further:
        return ""
    values = " and ".join(suited(value, target.unit, FOUND_DIGITS) for value in answer.further)
    return f"; so {'does' if len(answer.further) == 1 else 'do'} {values}, farther from the present value"


def _of_some(answer: TargetAnswer) -> str:
    """Of how many muons the mean is, where others have no σ."""
    if answer.known == answer.muons:
        return ""
    return f" for the {count(answer.known)} of {count(answer.muons)} muons that have a σ there"


def _not_reached(target: TargetAnswers, answer: TargetAnswer, symbol: str, unit: str) -> Markup:
    if math.isnan(answer.nearest_sigma):
        return Markup("No value of <code>{}</code> that was tried gives any σ.").format(target.vary)
    return Markup("<b>No value</b> of <code>{}</code> from {} to {} gives a {}: the nearest is {}, at {}.").format(
        target.vary,
        *(suited(end, target.unit, digits=6) for end in (answer.grid[0], answer.grid[-1])),
        _wanted(target, symbol, unit),
        sigma_in_words(answer.nearest_sigma, unit),
        suited(answer.nearest, target.unit, FOUND_DIGITS),
    )
