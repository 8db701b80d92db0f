"""Bins of the true value in which coverage is measured, and the true values in each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from ..models import NO_FOLD, Model, Quantity

EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Bin edges in the distance from the fold, in σ."""

NOWHERE = (0.0, math.inf)
"""The single bin of observables without a fold."""

TRUTHS = 64
"""Most true values in a bin, each with toys of its own; evenly spread over the bin."""


class Series(NamedTuple):
    """Observables whose coverage is measured in the same bins, with the same true hits.

    Attributes
    ----------
    name : str
        The observable whose distance from its fold is binned; empty without a fold.
    observables : tuple of int
        The columns of the observables.
    signed : tuple of int
        Columns of the observables' signed quantities, if their fold is declared: true hits are moved to any distance
        from it. Otherwise muons of the study serve as they are.
    edges : tuple of float
        The bin edges.

    """

    name: str
    observables: tuple[int, ...]
    declared: bool
    edges: tuple[float, ...]

    @property
    def bins(self) -> Iterator[tuple[int, float, float]]:
        """Index, lower and upper edge of each bin."""
        for index, (low, high) in enumerate(zip(self.edges[:-1], self.edges[1:], strict=True)):
            yield index, low, high


def series_of(model: Model) -> list[Series]:
    """The series of a model: observables with the same fold together, then those without one."""
    members: dict[str, list[int]] = {}
    for index, each in enumerate(model.observables):
        members.setdefault(_fold_of(each, model.observables), []).append(index)
    folding = {each.name: bool(each.folds) for each in model.observables}
    return [
        Series(name, tuple(found), folding.get(name, False), EDGES if name else NOWHERE)
        for name, found in sorted(members.items(), key=lambda item: item[0] == "")
    ]


def _fold_of(observable: Quantity, observables: tuple[Quantity, ...]) -> str:
    """The name of the observable whose distance is binned: the first with the same signed quantities, or `fold`."""
    if observable.folds:
        return next(each.name for each in observables if each.folds == observable.folds)
    return "" if observable.fold == NO_FOLD else observable.fold or observable.name
