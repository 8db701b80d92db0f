"""Planes of a built-in model: heights, of no layer, at which positions on the fitted lines are observables too."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..statistics.prefixes import prefixed
from ..uncertainty.arrays import Tensor
from ..uncertainty.folds import folding_of
from ..uncertainty.reduction import Reduction, reduction_of
from .base import NO_FOLD, Model, NamedSection, Quantity

MOST_PLANES = 8
"""Most planes of a model; those of `scatter` are 32 observables."""


def built_in_observables(name: str, at: Sequence[float] = (), varied: Collection[str] = ()) -> tuple[Quantity, ...]:
    """The observables of a built-in model with planes at these heights; see `positions_on`."""
    module = importlib.import_module(f".{name}", __package__)
    return (*module.OBSERVABLES, *positions_on(getattr(module, "LINES", {}), at, varied))


def positions_on(lines: Mapping[str, str], at: Sequence[float], varied: Collection[str] = ()) -> tuple[Quantity, ...]:
    """The positions on planes, plane by plane.

    Parameters
    ----------
    lines : mapping
        What has positions, in words, by its name, which begins with the view: `{"x_in": "the track above"}`.
    at : sequence of float
        Height of each plane, m.
    varied : collection of str
        Dotted names of heights that vary, such as `model.at[0]`: these are called by this name.

    """
    names = [f"at[{plane}]" for plane in range(len(at))]
    heights = [name if f"model.{name}" in varied else _written(height) for name, height in zip(names, at, strict=True)]
    return tuple(
        Quantity(f"{line}_at_{plane}", "m", f"{line[0]} of {of} at z = {height}", f"{line}({height})", fold=NO_FOLD)
        for plane, height in enumerate(heights)
        for line, of in lines.items()
    )


def _written(height: float) -> str:
    """A height with its unit.

    >>> _written(0.06), _written(-1.25), _written(0.0), _written(0.000015)
    ('60 mm', '-1.25 m', '0 m', '15 µm')

    """
    factor, unit = prefixed(height, "m")
    return f"{factor * height:.9g} {unit}"


def named_by_plane(model: Model, section: NamedSection, varied: Collection[str]) -> Model:
    """The model of a study in which some heights vary, from point to point or in the search for a target."""
    at = getattr(section, "at", ())
    return replace(model, observables=built_in_observables(section.name, at, varied)) if at else model


def planes_parameter(at: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """The parameter of a model with planes, by its name; nothing without planes."""
    return {"at": tuple(at)} if at else {}


def with_planes(infer: Callable[..., Tensor], positions: int) -> Callable[..., Tensor]:
    """The inference of a built-in model that also gives positions on planes.

    Its `folding` does not have them; its `reduction` has them as the last parameters.
    """
    folding = folding_of(infer)
    if not positions or not folding:
        return infer

    def infer_with_planes(hits: Tensor, **parameters: Any) -> Tensor:
        return infer(hits, **parameters)

    def signed(hits: Tensor, *, at: Any, **parameters: Any) -> Tensor:
        return folding.signed(hits, **parameters)

    folds = (*folding.folds, *(None,) * positions)
    vars(infer_with_planes)["folding"] = folding._replace(signed=signed, folds=folds)
    vars(infer_with_planes)["reduction"] = _with_positions(reduction_of(infer), len(folding.folds), positions)
    vars(infer_with_planes)["closed_form"] = getattr(infer, "closed_form", None)
    return infer_with_planes


def _with_positions(reduction: Reduction | None, observables: int, positions: int) -> Reduction | None:
    """The reduction with positions behind all other observables and parameters."""
    if reduction is None:
        return None
    others = {*reduction.linear.values(), *(column for part in reduction.parts for column in part.parameters)}
    more = {observables + place: len(others) + place for place in range(positions)}
    return reduction._replace(linear={**reduction.linear, **more})
