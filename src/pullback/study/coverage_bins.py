"""Bins of the true value in which coverage is measured, and the true values in each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..models import NO_FOLD, Model, Quantity

EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Bin edges in the distance from the fold, in σ. The effect of the fold reaches to about 3 σ."""

NOWHERE = (0.0, math.inf)
"""The single bin of observables without a fold."""

TRUTHS = 64
"""Most true values in a bin, each with toys of its own; evenly spread over the bin."""


_ABOVE = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

PULL_EDGES = (*(-edge for edge in reversed(_ABOVE)), 0.0, *_ABOVE)
"""Inner edges of the bins of a quantity that does not fold, in σ, with its sign: a gain shifts both sides apart."""


class Series(NamedTuple):
    """Observables whose coverage is measured in the same bins, with the same true hits.

    Attributes
    ----------
    observables : tuple of int
        The columns of the observables.
    fold : int or None
        The column of the observable whose distance from its fold is binned; None without a fold.
    moved : bool
        Whether true hits are moved to any distance from the fold. If not, they are those of muons of the study: an
        observable that depends on more than the folding quantities, such as a point of closest approach, would have
        true values that no muon has.
    """

    observables: tuple[int, ...]
    fold: int | None
    moved: bool

    @property
    def edges(self) -> tuple[float, ...]:
        """The bin edges."""
        return NOWHERE if self.fold is None else EDGES

    @property
    def bins(self) -> Iterator[tuple[int, float, float]]:
        """Index, lower and upper edge of each bin."""
        for index, (low, high) in enumerate(pairwise(self.edges)):
            yield index, low, high


def series_of(model: Model) -> list[Series]:
    """The series of a model: observables with the same fold together, then those without one."""
    members: dict[tuple[bool, int, bool], list[int]] = {}
    for index, each in enumerate(model.observables):
        fold, moved = _fold_of(each, model.observables), bool(each.folds)
        members.setdefault((fold is None, fold or 0, moved), []).append(index)
    return [
        Series(tuple(found), None if without else fold, moved)
        for (without, fold, moved), found in sorted(members.items())
    ]


def _fold_of(observable: Quantity, observables: Sequence[Quantity]) -> int | None:
    """The observable whose distance is binned: the first with the same signed quantities, or that of its `fold`."""
    if observable.folds:
        return [each.folds for each in observables].index(observable.folds)
    if observable.fold == NO_FOLD:
        return None
    return [each.name for each in observables].index(observable.fold or observable.name)


class Unfolded(NamedTuple):
    """A quantity that does not fold: its name, and the observable that it is, or that it folds into.

    `component` is its place among the signed quantities of that observable; None for the observable itself.
    """

    name: str
    observable: int
    component: int | None


def unfolded(model: Model) -> list[Unfolded]:
    """The signed quantities of a model, by the names that observables give them, and observables that do not fold.

    An observable of which nothing is said does not take part: it may fold anywhere.
    """
    found: dict[str, Unfolded] = {}
    for index, each in enumerate(model.observables):
        for component, name in enumerate(each.folds):
            found.setdefault(name, Unfolded(name, index, component))
    for index, each in enumerate(model.observables):
        if each.name not in found and not each.folds and each.fold == NO_FOLD:
            found[each.name] = Unfolded(each.name, index, None)
    return list(found.values())
