"""Checks of a user's model on a few muons, before any result is made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from . import Model
from .user_file import Call, shown

MUONS_EXAMINED = 8
"""Number of muons on which a model is checked."""


MUONS_TOGETHER = 4096
"""Number of muons of a large call, in which each must have the same observables as in a small one."""


STEP = 6e-6
"""Step of the difference quotients, about ε^(1/3), relative to the spread of the argument."""


SLOPE_TOLERANCE = 0.01
"""Largest relative difference between a derivative and a difference quotient: well above rounding errors."""


def examine(model: Model, hits: Float[Any, "muon coordinate"], parameters: Mapping[str, Any] | None = None) -> None:
    """Check the functions of a user's model on a few muons.

    `infer` must return float64 (muon, observable), the same at every call and for every number of muons, and must not
    change the hits. Its derivatives with respect to the hits and to every parameter must agree with difference
    quotients [1]_: a part that is lost by `.detach()` or numpy would be missing in σ. They may disagree at a kink, so
    a derivative is refused only where it is wrong for most of the muons. With `missing`, a muon whose observable is
    finite without one of its hits must have finite derivatives. `covariance` must return a covariance for each muon.

    Parameters
    ----------
    model : Model
        The model; a built-in one is not checked.
    hits : array or tensor (muon, coordinate)
        Hits, of which a few are used.
    parameters : mapping of str to number or list, optional
        Parameters that replace those of the model; also the `resolution`.

    Raises
    ------
    ModelError
        In one line: file, line, function, reason and what to do.

    References
    ----------
    .. [1] Press et al., Numerical Recipes, 3rd ed., section 5.7: central differences with the step ε^(1/3).

    """
    if not isinstance(model.infer, Call):
        return
    import torch

    hits = torch.as_tensor(hits, dtype=torch.float64).detach()
    complete = torch.isfinite(hits).all(dim=1)
    if model.missing and not complete.any():  # replace missing hits by the mean of the coordinate
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
    """Check the `covariance` of a model as `examine` does; smearing uses it before there are hits for `infer`.

    Raises
    ------
    ModelError
        In one line: file, line, function, reason and what to do.

    """
    if not isinstance(model.covariance, Call):
        return
    import torch

    few, given = _few(torch.as_tensor(hits, dtype=torch.float64).detach()), _given(model, parameters)
    if len(few):
        _examine_covariance(model.covariance, few, {name: given[name] for name in model.covariance_uses})


def _few(hits: Tensor) -> Tensor:
    """The few muons on which a function is checked."""
    return hits[:: max(1, len(hits) // MUONS_EXAMINED)][:MUONS_EXAMINED].clone()


def _many(hits: Tensor) -> Tensor:
    """The same muons, repeated to the number of a large call."""
    return hits.repeat(-(-MUONS_TOGETHER // len(hits)), 1)


def _given(model: Model, parameters: Mapping[str, Any] | None) -> dict[str, Tensor]:
    """The parameters of the model as tensors, replaced by those that are given."""
    import torch

    given = {**model.parameters, **(parameters or {})}
    return {name: torch.as_tensor(value, dtype=torch.float64).detach() for name, value in given.items()}


def _examine_infer(model: Model, hits: Tensor, parameters: Mapping[str, Tensor]) -> None:
    import torch

    from ..uncertainty.jacobians import agree_to_rounding, value_and_jacobian

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
    if not agree_to_rounding(together[-len(hits) :], value, hits.dtype):
        call.refuse("couples muons: an observable of one muon is another among many muons than among few")
    if value.dtype != torch.float64:
        call.refuse(f"must return float64, as the hits are, not {value.dtype}: make no tensors of another type in it")
    try:
        _, jac, _ = value_and_jacobian(infer, hits)
    except (ValueError, RuntimeError) as error:
        said = (
            str(error).splitlines()[0].removeprefix("infer ").partition("; use the general")[0]
        )  # not an option of the workflow
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
    valued = torch.isfinite(value).all(dim=1)  # the NaN of one muon would spread to the gradients of a parameter
    _examine_parameters(call, partial(call, hits[valued]), parameters, [each.name for each in model.observables])
    if model.missing:
        _examine_missing(model, infer, hits)


def _examine_missing(model: Model, infer: Callable, hits: Tensor) -> None:
    """Refuse a finite observable whose derivatives are NaN because a hit is missing."""
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
    if not all(
        torch.allclose(alone, other.expand_as(alone), rtol=1e-9, atol=0) for other in (found.detach(), together)
    ):
        call.refuse("couples muons: the covariance of a muon by itself is another than among others")

    def summed(**changed):
        return covariance(hits, **changed).reshape(-1, count * count).sum(dim=1, keepdim=True)

    _examine_parameters(call, summed, parameters, ["the covariance"])


def _steady(call: Call, function: Callable, hits: Tensor) -> Any:
    """The result of a function, which must be the same twice and must leave the hits unchanged."""
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
    """Refuse derivatives with respect to a parameter that disagree with difference quotients."""
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
        # From the largest entry of a list: heights and offsets may be zero, or nearly.
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
    """The scale, or 1 where it is 0."""
    return scale + (scale == 0)


def _disagree(slope: Tensor, ends: Sequence[Tensor], step: Tensor) -> Tensor:
    """Where derivatives agree neither with the central nor with the forward quotient, which is right at a kink."""
    import torch

    before, here, after = ends
    rounding = 1e3 * torch.finfo(here.dtype).eps * here.abs() / step
    wrong = torch.isfinite(after - before)
    for quotient in ((after - before) / (2 * step), (after - here) / step):
        allowed = SLOPE_TOLERANCE * torch.maximum(quotient.abs(), slope.abs()) + rounding
        wrong = wrong & ~((quotient - slope).abs() <= allowed)
    return wrong


def _refuse_lost(call: Call, wrong: Tensor, by: str, names: Sequence[str]) -> None:
    """Refuse a derivative that is wrong for most of the muons."""
    for name, column in zip(names, wrong.unbind(1), strict=True):
        if 2 * column.sum() > len(column):
            call.refuse(
                f"breaks the graph: the derivative of {name} by {by} is not what differences say; compute with torch "
                "from the hits to the result, without .detach(), .item(), float(), torch.tensor(…) and numpy on the way"
            )
