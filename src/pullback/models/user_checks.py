"""Checks of a user's model on a few muons, before any result is made from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..statistics.angles import wrap
from ..uncertainty.covariance import check_covariance
from ..uncertainty.folds import moved
from ..uncertainty.inference import CHANGES_HITS, DIFFERS_BY_CALL
from ..uncertainty.jacobians import agree_to_rounding, differentiate, value_and_jacobian
from ..uncertainty.slopes import broken_graph, compare_slopes, steps_of
from . import Model, Quantity
from .user import MUONS_CHECKED
from .user_file import Call, type_and_shape

MUONS_TOGETHER = 4096
"""Number of muons of a large call, in which each must have the same observables as in a small one."""

PARAMETER_STEP = 6e-6
"""Step of a parameter, about ε^(1/3), relative to its largest entry."""

FOLD_TOLERANCE, BRINGING_STEPS = 1e-6, 12
"""Largest difference of folded observables, relative to the largest; and Newton's steps to where they are compared."""


def check_model(model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None) -> None:
    """Check the functions of a user's model on a few muons.

    `infer` must return float64 (muon, observable), the same at every call and for every number of muons, and must not
    change the hits. Its derivatives with respect to the hits and to every parameter must agree with difference
    quotients [1]_: a part that is lost by `.detach()` or numpy would be missing in σ. With `missing`, a muon whose
    observable is finite without one of its hits must have finite derivatives. An observable with `folds` must increase
    with the size of the observables that it names, and depend on nothing else, or be their azimuth. A built-in model is
    not checked. `parameters` replace those of the model by name, and hold the `resolution` if a function takes it.

    Raises
    ------
    ModelError
        In one line: file, line, function, reason and what to do.

    References
    ----------
    .. [1] Press et al., Numerical Recipes, 3rd ed., section 5.7: differences with the step ε^(1/3).

    """
    if not isinstance(model.infer, Call) or not len(hits := _few(model, hits)):
        return
    given = _given(model, parameters)
    if lost := {*model.infer_uses, *model.covariance_uses} - {*given}:
        raise ValueError(f"parameters must have {', '.join(sorted(lost))}, which the functions of the model take")
    names = [each.name for each in model.observables]
    infer = _Checked(model.infer, given, names, lambda muons: {"(muon, observable)": (muons, len(names))})
    value = _check_result(infer, hits, "an observable")
    try:
        _, jac, _ = value_and_jacobian(infer, hits)
    except RuntimeError as error:
        infer.refuse(str(error).splitlines()[0], error)
    _check_slopes(infer, infer.at, hits, jac, steps_of(hits, hits.dtype), _of_hits(model))
    # The NaN of one muon would spread to the gradients of a parameter.
    _check_parameters(infer, hits[torch.isfinite(value).all(dim=1)])
    if model.missing:
        _check_missing(model, infer, hits)
    _check_folds(model, infer, hits)
    check_covariance_function(model, hits, given)


def check_covariance_function(
    model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None
) -> None:
    """Check the `covariance` of a user's model as `check_model` does; smearing uses it before there are recorded hits.

    Raises
    ------
    ModelError
        In one line: file, line, function, reason and what to do.

    """
    if not isinstance(model.covariance, Call) or not len(hits := _few(model, hits)):
        return
    count = hits.shape[1]

    def shapes(muons: int) -> dict[str, tuple[int, ...]]:
        return {"(coordinate, coordinate)": (count, count), "(muon, coordinate, coordinate)": (muons, count, count)}

    covariance = _Checked(model.covariance, _given(model, parameters), ["the covariance"], shapes)
    _check_result(covariance, hits, "the covariance")
    try:
        check_covariance(model.covariance(hits, **covariance.parameters).detach().reshape(-1, count, count))
    except ValueError as error:
        covariance.refuse(f"returns what is not a covariance: {error}", error)
    _check_parameters(covariance, hits)


def check_fit_functions(
    model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None
) -> None:
    """Check `fitted` and `chi2` of a user's model as `check_model` does.

    The derivatives of `fitted` with respect to the hits must be right, since the covariance of residuals follows from
    them. χ² and degrees of freedom must not be negative,
    nor the latter more than the hits.

    Raises
    ------
    ModelError
        In one line: file, line, function, reason and what to do.

    """
    if not len(hits := _few(model, hits)):
        return
    given = _given(model, parameters)
    if isinstance(model.fitted, Call):
        names = [f"the fitted {each.name}" for each in model.coordinates]
        fitted = _Checked(model.fitted, given, names, lambda muons: {"(muon, coordinate)": (muons, len(names))})
        _check_result(fitted, hits, "a fitted position")
        try:
            _, jac, _ = value_and_jacobian(fitted, hits)
        except RuntimeError as error:
            fitted.refuse(str(error).splitlines()[0], error)
        _check_slopes(fitted, fitted.at, hits, jac, steps_of(hits, hits.dtype), _of_hits(model))
    if isinstance(model.chi2, Call):
        chi2 = _Checked(model.chi2, given, ["χ²", "degrees of freedom"], lambda muons: {"(muon, 2)": (muons, 2)})
        found = _check_result(chi2, hits, "χ²")
        if (found < 0).any() or (found[:, 1] > hits.shape[1]).any():
            chi2.refuse("returns a negative χ², or degrees of freedom that are negative or more than the hits")


def _of_hits(model: Model) -> list[str]:
    """The hits as arguments of derivatives, in words."""
    return [f"the hits {each.name}" for each in model.coordinates]


def _width(hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, " coordinate"]:
    """How far the hits of the muons lie apart."""
    return (hits - hits.mean(dim=0)).abs().mean(dim=0)


class _Checked:
    """A function of the user's file with its parameters; its result must be a float64 tensor of an allowed shape.

    `names` are those of the columns of its result. `shapes(muons)` are the allowed ones, by the names of their axes.
    """

    def __init__(
        self,
        call: Call,
        given: Mapping[str, Tensor],
        names: list[str],
        shapes: Callable[[int], Mapping[str, tuple[int, ...]]],
    ):
        self.call, self.names, self.shapes, self.refuse = call, names, shapes, call.refuse
        self.parameters = {name: given[name] for name in call.takes}

    def __call__(self, hits: Tensor, **changed: Tensor) -> Float[Tensor, "muon number"]:
        """The result with a row per muon."""
        found, shapes = self.call(hits, **{**self.parameters, **changed}), self.shapes(len(hits))
        if not isinstance(found, Tensor) or tuple(found.shape) not in shapes.values():
            axes, lengths = " or ".join(shapes), " or ".join(map(str, shapes.values()))
            columns = f"{lengths} of {', '.join(self.names)} for {len(hits)} muons"
            advice = "; torch.stack([…], dim=1) makes one of (muon,) each" if axes == "(muon, observable)" else ""
            self.refuse(f"must return a tensor {axes}, {columns}, not {type_and_shape(found)}{advice}")
        if found.dtype != torch.float64:
            self.refuse(
                f"must return float64, as the hits are, not {found.dtype}: make no tensors of another type in it"
            )
        *_, largest = shapes.values()
        return found.expand(largest).flatten(1)

    def at(self, places: Float[Tensor, "place muon coordinate"]) -> Float[Tensor, "place muon number"]:
        """The results for hits at several places."""
        return self(places.flatten(0, 1)).unflatten(0, places.shape[:2])


def _few(model: Model, hits: Float[Any, "muon coordinate"]) -> Float[Tensor, "few coordinate"]:
    """The few muons on which functions are checked; if none has all its hits, with means in place of missing ones."""
    hits = torch.as_tensor(hits, dtype=torch.float64).detach()
    complete = torch.isfinite(hits).all(dim=1)
    if model.missing and not complete.any():
        middle = torch.where(torch.isfinite(hits), hits, float("nan")).nanmean(dim=0).nan_to_num()
        hits = torch.where(torch.isfinite(hits), hits, middle)
    else:
        hits = hits[complete]
    return hits[:: max(1, len(hits) // MUONS_CHECKED)][:MUONS_CHECKED].clone()


def _given(model: Model, parameters: Mapping[str, Any] | None) -> dict[str, Tensor]:
    """The parameters of the model as tensors, replaced by those that are given."""
    given = {**model.parameters, **(parameters or {})}
    return {name: torch.as_tensor(value, dtype=torch.float64).detach() for name, value in given.items()}


def _check_result(function: _Checked, hits: Tensor, what: str) -> Tensor:
    """The result for the hits: the same at every call, and for one, few and many muons; the hits stay unchanged."""
    with torch.no_grad():
        given = hits.clone()
        value, again = function(given), function(given)
        if not torch.equal(given, hits):
            function.refuse(CHANGES_HITS)
        if not value.allclose(again, 0, 0, True):
            function.refuse(DIFFERS_BY_CALL)
        alone = torch.cat([function(muon[None]) for muon in hits])
        many = function(hits.repeat(-(-MUONS_TOGETHER // len(hits)), 1))[-len(hits) :]
    for others, how in (
        (alone, "depends on the hits of another"),
        (many, "is another among many muons than among few"),
    ):
        if not agree_to_rounding(others, value, hits.dtype):
            function.refuse(f"couples muons: {what} of one muon {how}")
    return value


def _check_parameters(function: _Checked, hits: Tensor) -> None:
    """Check the derivatives of a function, or of the sum of a matrix, with respect to every parameter."""
    for name, value in function.parameters.items() if len(hits) else ():

        def columns(flat: Tensor, name: str = name, value: Tensor = value) -> Tensor:
            found = function(hits, **{name: flat.reshape(value.shape)})
            return found if found.shape[1] == len(function.names) else found.sum(dim=1, keepdim=True)

        slopes = torch.autograd.functional.jacobian(columns, value.flatten())
        # From the largest entry of a list: heights and offsets may be zero, or nearly.
        steps = PARAMETER_STEP * _not_zero(value.abs().max()).expand(value.numel())

        def values_at(places: Tensor, columns: Callable[[Tensor], Tensor] = columns) -> Tensor:
            return torch.stack([columns(place) for place in places])

        _check_slopes(function, values_at, value.flatten(), slopes, steps, [f"the parameter {name}"] * value.numel())


def _check_slopes(
    function: _Checked,
    values_at: Callable[[Float[Tensor, "place *rows argument"]], Float[Tensor, "place muon number"]],
    at: Float[Tensor, "*rows argument"],
    slopes: Float[Tensor, "muon number argument"],
    steps: Float[Tensor, "*#rows argument"],
    arguments: Sequence[str],
) -> None:
    """Refuse derivatives that disagree with difference quotients."""
    if wrong := compare_slopes(values_at, at, slopes, steps).wrong:
        function.refuse(broken_graph(function.names[wrong[0]], arguments[wrong[1]]))


def _not_zero(scale: Tensor) -> Tensor:
    """The scale, or 1 where it is 0."""
    return scale + (scale == 0)


def _check_folds(model: Model, infer: _Checked, hits: Float[Tensor, "few coordinate"]) -> None:
    """Refuse an observable that is no increasing function of the size of what folds into it, or not its azimuth.

    Other muons are moved to where their signed observables are those of each muon, turned, mirrored or enlarged, as far
    as there are such hits.
    """
    variances, names = _not_zero(_width(hits).square())[None], infer.names
    for index, observable in enumerate(model.observables):
        if not observable.folds:
            continue
        columns = [names.index(name) for name in observable.folds]

        def signed(at: Tensor, columns: list[int] = columns) -> Tensor:
            return infer(at)[:, columns]

        with torch.no_grad():
            value, s = infer(hits)[:, index], signed(hits)
            for kind, target in _turned(s):
                at = _brought(signed, hits.roll(1, 0), variances, target)
                found = infer(at)[:, index]
                there = ((signed(at) - target).abs() <= FOLD_TOLERANCE * s.abs().amax(dim=0)).all(dim=1)
                expected = value
                if observable.period:
                    expected = torch.atan2(target[:, 1], target[:, 0]) * observable.period / (2 * math.pi)
                off = wrap(found - expected, observable.period)
                allowed = FOLD_TOLERANCE * _not_zero(value.abs().max())
                wrong = off <= allowed if kind == "enlarged" and not observable.period else off.abs() > allowed
                if (there & (s != 0).any(dim=1) & wrong).any():
                    infer.refuse(_not_folded(observable, kind))


def _turned(s: Float[Tensor, "few quantity"]) -> list[tuple[str, Tensor]]:
    """Signed observables of the same size, and of a larger one."""
    turns = [[[-1.0]]] if s.shape[1] == 1 else [[[-1.0, 0.0], [0.0, 1.0]], [[0.6, -0.8], [0.8, 0.6]]]
    same = [s @ s.new_tensor(turn) for turn in turns]
    return [("turned", each) for each in (s, *same)] + [("enlarged", 1.25 * s)]


def _brought(
    signed: Callable[[Tensor], Tensor],
    hits: Float[Tensor, "few coordinate"],
    variances: Float[Tensor, "1 coordinate"],
    target: Float[Tensor, "few quantity"],
) -> Float[Tensor, "few coordinate"]:
    """The hits brought to where the signed observables have target values, by Newton's method."""
    for _ in range(BRINGING_STEPS):
        s, jac = differentiate(signed, hits)
        step = moved(hits, s, jac, variances, target)
        hits = torch.where(torch.isfinite(step).all(dim=1, keepdim=True), step, hits)
    return hits


def _not_folded(observable: Quantity, kind: str) -> str:
    """Why an observable does not fold as the config says."""
    names = " and ".join(observable.folds)
    size = f"|{names}|" if len(observable.folds) == 1 else f"√({' + '.join(f'{name}²' for name in observable.folds)})"
    if observable.period:
        what = f"is not the azimuth atan2({', '.join(reversed(observable.folds))}), in units of its period"
    elif kind == "enlarged":
        what = f"does not increase with {size}"
    else:
        what = f"is not a function of {size} alone"
    return f"returns {observable.name} that {what}, but model.observables has folds of {names}: correct one of them"


def _check_missing(model: Model, infer: _Checked, hits: Tensor) -> None:
    """Refuse a finite observable whose derivatives are NaN because a hit is missing."""
    for index, coordinate in enumerate(model.coordinates):
        x = hits.clone()
        x[:, index] = float("nan")
        x.requires_grad_()
        for name, column in zip(infer.names, infer(x).unbind(1), strict=True):
            if not column.requires_grad:
                continue
            (slope,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
            if (torch.isfinite(column) & ~torch.isfinite(slope).all(dim=1)).any():
                infer.refuse(
                    f"has {name} without the hit {coordinate.name}, but derivatives that are NaN: replace the NaN of a "
                    "missing hit (hits.nan_to_num()) before anything is computed from it, not after"
                )
