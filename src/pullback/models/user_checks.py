"""A model of the user's own is tried on a few muons before it is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from . import Model
from .user_file import Call, shown

MUONS_EXAMINED = 8
"""Muons on which `examine` tries a model."""


MUONS_TOGETHER = 4096
"""Muons among which they must have the observables that they have by themselves."""


STEP = 6e-6
"""The step of difference quotients, about ε^(1/3), in units of what the argument varies by."""


SLOPE_TOLERANCE = 0.01
"""How far a derivative may be from a difference quotient: far above rounding, far below a part of it that is lost."""


def examine(model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None) -> None:
    """Try the functions of a model on a few muons, and raise with the reason if the pipeline can't rely on them.

    `infer` must return float64 (muon, observable), one for each of the config's observables, the same at every call
    and for a muon by itself; leave the hits as they are; work with and without gradients; treat muons independently;
    and have, by the hits and by every parameter, the derivatives that difference quotients have: what is lost of them
    on the way, by `.detach()` or numpy, σ would lack. Kinks are allowed: a derivative is refused where it is wrong for
    most of the muons. With `missing`, a muon that has a value without one of its hits must have derivatives too.
    `covariance` must return what a covariance can be, muon by muon.

    Parameters
    ----------
    model : of `own.model`; one that is built in passes as it is.
    hits : some hits (muon, coordinate), of which a few are taken, m.
    parameters : by name, as the pipeline gives them, `resolution` included; those of the model if it is not given.

    Raises
    ------
    PullbackError : in one line, with file, line, function, reason and what to do.

    Source: central differences with the step ε^(1/3), Press et al., Numerical Recipes, 3rd ed., 5.7.

    """
    if not isinstance(model.infer, Call):
        return
    import torch

    hits = torch.as_tensor(hits, dtype=torch.float64).detach()
    complete = torch.isfinite(hits).all(dim=1)
    if model.missing and not complete.any():  # stand-ins, at the mean of each coordinate
        middle = torch.where(torch.isfinite(hits), hits, float("nan")).nanmean(dim=0).nan_to_num()
        hits = torch.where(torch.isfinite(hits), hits, middle)
    else:
        hits = hits[complete]
    few = _few(hits)
    if not len(few):
        return
    given = _given(model, parameters)
    if lost := {*model.infer_uses, *model.covariance_uses} - {*given}:
        raise ValueError(f"parameters must have {', '.join(sorted(lost))}, which the functions of the model take")
    _examine_infer(model, few, {name: given[name] for name in model.infer_uses})
    if model.covariance:
        _examine_covariance(model.covariance, few, {name: given[name] for name in model.covariance_uses})


def examine_covariance(
    model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None
) -> None:
    """Try the `covariance` of a model as `examine` does: the simulation needs it before the hits that `infer` gets.

    Raises
    ------
    PullbackError : in one line, with file, line, function, reason and what to do.

    """
    if not isinstance(model.covariance, Call):
        return
    import torch

    few, given = _few(torch.as_tensor(hits, dtype=torch.float64).detach()), _given(model, parameters)
    if len(few):
        _examine_covariance(model.covariance, few, {name: given[name] for name in model.covariance_uses})


def _few(hits: Tensor) -> Tensor:
    """The muons to try a function on."""
    return hits[:: max(1, len(hits) // MUONS_EXAMINED)][:MUONS_EXAMINED].clone()


def _many(hits: Tensor) -> Tensor:
    """The same muons again and again, in a company as large as that of a study."""
    return hits.repeat(-(-MUONS_TOGETHER // len(hits)), 1)


def _given(model: Model, parameters: Mapping[str, Any] | None) -> dict[str, Tensor]:
    """The parameters of the model as tensors, those that are given in their place."""
    import torch

    given = {**model.parameters, **(parameters or {})}
    return {name: torch.as_tensor(value, dtype=torch.float64).detach() for name, value in given.items()}


def _examine_infer(model: Model, hits: Tensor, parameters: Mapping[str, Tensor]) -> None:
    import torch

    from ..uncertainty.jacobians import alike, value_and_jacobian

    call = model.infer
    infer = partial(call, **parameters)
    names = ", ".join(each.name for each in model.observables)

    def check(value, muons):
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != (muons, len(model.observables)):
            call.refuse(
                f"must return a tensor (muon, observable), {(muons, len(model.observables))} of {names} for {muons} "
                f"muons, not {shown(value)}; torch.stack([…], dim=1) makes one of (muon,) each"
            )

    value = _steady(call, infer, hits)
    check(value, len(hits))
    with torch.no_grad():
        check(infer(hits[:1]), 1)
        many = _many(hits)
        together = infer(many)
    check(together, len(many))
    if not alike(together[-len(hits) :], value, hits.dtype):
        call.refuse("couples muons: an observable of one muon is another among many muons than among few")
    if value.dtype != torch.float64:
        call.refuse(f"must return float64, as the hits are, not {value.dtype}: make no tensors of another type in it")
    try:
        _, jac, _ = value_and_jacobian(infer, hits)
    except (ValueError, RuntimeError) as error:
        said = str(error).splitlines()[0].removeprefix("infer ").partition("; use the general")[0]  # which no rule does
        call.refuse(said, error)
    far = hits.abs().amax(dim=0)
    width = (hits - hits.mean(dim=0)).abs().mean(dim=0)
    steps = torch.maximum(STEP * _not_zero(torch.where(width > 0, width, far)), 1e-10 * far)  # well above rounding
    for index, (coordinate, step) in enumerate(zip(model.coordinates, steps, strict=True)):
        shift = torch.zeros_like(hits)
        shift[:, index] = step
        with torch.no_grad():
            ends = infer(hits - shift), value, infer(hits + shift)
        wrong = _disagree(jac[:, :, index], ends, step)
        _refuse_lost(call, wrong, f"the hits {coordinate.name}", [each.name for each in model.observables])
    valued = torch.isfinite(value).all(dim=1)  # the NaN of one muon would be in the gradients of all by a parameter
    _examine_parameters(call, partial(call, hits[valued]), parameters, [each.name for each in model.observables])
    if model.missing:
        _examine_missing(model, infer, hits)


def _examine_missing(model: Model, infer: Callable, hits: Tensor) -> None:
    """Raise where the derivatives of what is finite are NaN since a hit is missing."""
    import torch

    for index, coordinate in enumerate(model.coordinates):
        x = hits.clone()
        x[:, index] = float("nan")
        x.requires_grad_()
        value = infer(x)
        for observable, column in zip(model.observables, value.unbind(1), strict=True):
            if not column.requires_grad:
                continue
            (slope,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
            if (torch.isfinite(column) & ~torch.isfinite(slope).all(dim=1)).any():
                model.infer.refuse(
                    f"has {observable.name} without the hit {coordinate.name}, but derivatives that are NaN: replace "
                    "the NaN of a missing hit (hits.nan_to_num()) before anything is computed from it, not after"
                )


def _examine_covariance(call: Call, hits: Tensor, parameters: Mapping[str, Tensor]) -> None:
    import torch

    from ..uncertainty.covariance import check_covariance

    count = hits.shape[1]
    covariance = partial(call, **parameters)
    found = _steady(call, covariance, hits)
    allowed = (count, count), (len(hits), count, count)
    if not isinstance(found, torch.Tensor) or tuple(found.shape) not in allowed:
        call.refuse(
            f"must return a tensor (coordinate, coordinate) or (muon, coordinate, coordinate), {allowed[0]} or "
            f"{allowed[1]} for {len(hits)} muons, not {shown(found)}"
        )
    if found.dtype != torch.float64:
        call.refuse(f"must return float64, as the hits are, not {found.dtype}: make no tensors of another type in it")
    try:
        check_covariance(found.detach().reshape(-1, count, count))
    except ValueError as error:
        call.refuse(f"returns what is no covariance: {error}", error)
    with torch.no_grad():
        alone = torch.cat([covariance(row[None]).reshape(1, count, count) for row in hits])
        together = covariance(_many(hits)).reshape(-1, count, count)[-len(hits) :]
    if not all(torch.allclose(alone, each.expand_as(alone), rtol=1e-9, atol=0) for each in (found.detach(), together)):
        call.refuse("couples muons: the covariance of a muon by itself is another than among others")

    def summed(**changed):
        return covariance(hits, **changed).reshape(-1, count * count).sum(dim=1, keepdim=True)

    _examine_parameters(call, summed, parameters, ["the covariance"])


def _steady(call: Call, function: Callable, hits: Tensor) -> Any:
    """What a function returns, which it must do twice without touching the hits."""
    import torch

    with torch.no_grad():
        given = hits.clone()
        value, again = function(given), function(given)
    if not torch.equal(given, hits):
        call.refuse("changes the hits that it is given: work on a copy, hits.clone(), or without +=, *= and x[…] = …")
    if isinstance(value, torch.Tensor) and not (value.shape == again.shape and value.allclose(again, 0, 0, True)):
        call.refuse(
            "gives another result at the second call: it must use no random numbers, and keep nothing in between"
        )
    return value


def _examine_parameters(
    call: Call, function: Callable[..., Tensor], parameters: Mapping[str, Tensor], names: Sequence[str]
) -> None:
    """Raise where the derivatives of the results (muon, …) by a parameter are not what differences say."""
    import torch

    for name, value in parameters.items():
        x = value.clone().requires_grad_()
        result = function(**{**parameters, name: x})
        slopes = result.detach().new_zeros(*result.shape, value.numel())
        if result.requires_grad:
            for muon, row in enumerate(result.unbind(0)):
                for index, each in enumerate(row.unbind(0)):
                    (slope,) = torch.autograd.grad(each, x, retain_graph=True, materialize_grads=True)
                    slopes[muon, index] = slope.flatten()
        # That of the greatest entry of a list: heights and offsets may be 0, or nearly.
        steps = STEP * _not_zero(value.abs().max()).expand(value.numel())
        for index, step in enumerate(steps):
            shift = torch.zeros_like(steps)
            shift[index] = step
            shift = shift.reshape(value.shape)
            with torch.no_grad():
                ends = [function(**{**parameters, name: each}) for each in (value - shift, value, value + shift)]
            wrong = _disagree(slopes[:, :, index], ends, step)
            _refuse_lost(call, wrong, f"the parameter {name}", names)


def _not_zero(scale: Tensor) -> Tensor:
    """A scale, 1 where there is none."""
    return scale + (scale == 0)


def _disagree(slope: Tensor, ends: Sequence[Tensor], step: Tensor) -> Tensor:
    """Where derivatives are neither the central nor the forward difference quotient: neither for a kink, as may be."""
    import torch

    before, here, after = ends
    rounding = 1e3 * torch.finfo(here.dtype).eps * here.abs() / step
    wrong = torch.isfinite(after - before)
    for quotient in ((after - before) / (2 * step), (after - here) / step):
        allowed = SLOPE_TOLERANCE * torch.maximum(quotient.abs(), slope.abs()) + rounding
        wrong = wrong & ~((quotient - slope).abs() <= allowed)
    return wrong


def _refuse_lost(call: Call, wrong: Tensor, by: str, names: Sequence[str]) -> None:
    """Raise where a derivative is wrong for most of the muons."""
    for name, column in zip(names, wrong.unbind(1), strict=True):
        if 2 * column.sum() > len(column):
            call.refuse(
                f"breaks the graph: the derivative of {name} by {by} is not what differences say; compute with torch "
                "from the hits to the result, without .detach(), .item(), float(), torch.tensor(…) and numpy on the way"
            )
