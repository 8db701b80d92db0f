"""Observables that depend on the hits only through a few linear combinations of them, such as slopes of fitted lines.

All that the distribution of such observables needs is the distribution of these parameters u = A h, which is exactly
Gaussian: u ~ N(A h, A Σ Aᵀ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .arrays import Tensor
from .folds import Folding


class ReducedPart(NamedTuple):
    """Some observables as a function of some of the parameters.

    Attributes
    ----------
    observables, parameters : tuple of int
        Their columns.
    infer : callable
        `infer(u, **arguments)` maps these parameters (muon, parameter) to these observables (muon, observable), with
        the keyword arguments of the whole inference.
    folding : Folding
        What folds, where signed quantities are functions of these parameters.
    """

    observables: tuple[int, ...]
    parameters: tuple[int, ...]
    infer: Callable[..., Tensor]
    folding: Folding


class Reduction(NamedTuple):
    """How an inference depends on its hits through parameters that are linear in them.

    Attributes
    ----------
    parameters : callable
        `parameters(hits, **arguments)` maps hits (muon, coordinate) to parameters (muon, parameter), linearly in the
        hits that exist, without a constant; NaN for a parameter that a muon lacks.
    linear : dict
        The columns of observables that are parameters, and those of these parameters.
    parts : tuple of ReducedPart
        All other observables.
    """

    parameters: Callable[..., Tensor]
    linear: dict[int, int]
    parts: tuple[ReducedPart, ...]


def reduction_of(infer: Callable[..., Any]) -> Reduction | None:
    """The attribute `reduction` of an inference, also of a `functools.partial` of it; None where nothing is said."""
    if isinstance(infer, partial) and "reduction" not in vars(infer):
        whole = reduction_of(infer.func)
        if whole is None or infer.args:
            return None
        parts = tuple(each._replace(infer=partial(each.infer, **infer.keywords)) for each in whole.parts)
        return whole._replace(parameters=partial(whole.parameters, **infer.keywords), parts=parts)
    reduction: Reduction | None = getattr(infer, "reduction", None)
    return reduction
