"""Jacobians by reverse-mode differentiation, and by forward mode where derivatives are infinite."""

from __future__ import annotations

import math
import warnings
from typing import Any, NoReturn

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import ModelError
from .arguments import check_hits, hits_tensor, like, mistake_in
from .arrays import Given
from .closed_form import closed_form_of, differentiate_in_closed_form, plain_hits
from .inference import DIFFERS_BY_CALL, Infer, accepts_missing, in_place_reason, reason_in, refuse_of
from .slopes import is_trusted, lost_from_graph

MUONS_PROBED = 3
"""Muons on which `muon_jacobian` tests for coupling."""


def jacobian(
    y: Float[Tensor, "*y"], x: Float[Tensor, "*x"], create_graph: bool = False, allow_unused: bool = True
) -> Float[Tensor, "*y_and_x"]:
    """The general Jacobian J[i…, j…] = ∂y[i…] / ∂x[j…], shape `y.shape + x.shape`.

    One backward pass per element of y, so time and memory grow as the product of both sizes: for many independent
    muons use `muon_jacobian`.

    Parameters
    ----------
    y : Tensor
        Any tensor computed from x.
    x : Tensor
        Any tensor that requires a gradient.
    create_graph : bool
        Keep the graph of the Jacobian itself, for derivatives of it (dσ/d(design) needs that).
    allow_unused : bool
        Has no effect; it is part of the exercise's signature. An x that y was not computed from is always refused: its
        Jacobian of zeros would be quoted as σ = 0.

    Returns
    -------
    Tensor
        J, shape `y.shape + x.shape`, in units of y over units of x.

    Raises
    ------
    TypeError
        y or x is no tensor.
    ValueError
        y is empty, y has no graph, x requires no gradient, or x is not used in y.

    References
    ----------
    Sensitivity coefficients, JCGM 100:2008, 5.1.3; reverse-mode differentiation row by row.

    Examples
    --------
    >>> import torch
    >>> from pullback import jacobian
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> jacobian(x**2, x)
    tensor([[2., 0.],
            [0., 4.]])

    """
    if not isinstance(y, Tensor) or not isinstance(x, Tensor):
        raise TypeError(f"y and x must be torch tensors, not {type(y).__name__} and {type(x).__name__}")
    if y.numel() == 0:
        raise ValueError(f"y is empty (shape {tuple(y.shape)}): there is nothing to differentiate")
    if not x.requires_grad:
        raise ValueError("x requires no gradient: call x.requires_grad_() before y is computed from it")
    if not y.requires_grad:
        raise ValueError("y has no graph: it was computed without gradients, or detached (.detach(), numpy) on the way")
    flat, rows = y.reshape(-1), []
    for index in range(len(flat)):
        one_hot = torch.zeros_like(flat)
        one_hot[index] = 1.0
        (row,) = torch.autograd.grad(flat, x, one_hot, retain_graph=True, create_graph=create_graph, allow_unused=True)
        if row is None:
            raise ValueError("x is not used in y: y was computed from another tensor, perhaps a copy of x")
        rows.append(row)
    return torch.stack(rows).reshape(y.shape + x.shape)


def muon_jacobian(
    infer: Infer,
    hits: Float[Given, "..."],
) -> Float[Given, "muon observable coordinate"]:
    """The Jacobian of each muon's observables by its own hits: J[m, o, c] = ∂y[m, o] / ∂hits[m, c].

    For inference that treats muons independently, ∂y[m]/∂hits[n] = 0 for m ≠ n, and the gradient of Σ_m y[m, o]
    holds every muon's row at once: one backward pass per observable, O(muon) time and memory, where the full
    Jacobian is O(muon²). That independence is verified on a few muons. Derivatives of J (by the hits, or by parameters
    that `infer` holds) are kept where any of these requires a gradient.

    Parameters
    ----------
    infer : callable
        Function of hits (muon, coordinate) that returns observables (muon, observable).
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,), floating point. A muon with a hit that is NaN or infinite gets a Jacobian
        of NaN, unless `infer` has an attribute `missing` that is true: then NaN stands for a missing hit, and a muon
        gets NaN only where `infer` gives it no finite observable. An observable that is infinite, or has an infinite
        derivative, leaves those of the same muon as they are.

    Returns
    -------
    Tensor or ndarray
        J (muon, observable, coordinate), in units of the observables over the unit of the hits; a numpy array where
        hits are one.

    Raises
    ------
    TypeError
        The hits are no floating-point tensor or array.
    ValueError
        A wrong shape of the hits or of the result of `infer`, a broken graph, or muons that are coupled.

    References
    ----------
    Sensitivity coefficients, JCGM 100:2008, 5.1.3.

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta, muon_jacobian
    >>> muon_jacobian(infer_theta, torch.tensor([[0.0], [1.5]], dtype=torch.float64))
    tensor([[[0.0000]],
    <BLANKLINE>
            [[0.3333]]], dtype=torch.float64)

    """
    return like(hits, masked_jacobian(infer, hits_tensor(infer, hits)))


def masked_jacobian(
    infer: Infer, hits: Float[Tensor, "muon coordinate"]
) -> Float[Tensor, "muon observable coordinate"]:
    """`muon_jacobian` of hits that are a tensor."""
    _, jac, finite = value_and_jacobian(infer, hits)
    return jac if finite is None else torch.where(finite[:, None, None], jac, float("nan"))


def value_and_jacobian(
    infer: Infer,
    hits: Float[Tensor, "muon coordinate"],
) -> tuple[Float[Tensor, "muon observable"], Float[Tensor, "muon observable coordinate"], Bool[Tensor, " muon"] | None]:
    """The observables of each muon, their `muon_jacobian`, and which muons have finite hits (None: all).

    The rows of other muons hold the numbers of a finite one, to be masked by the caller when all is computed: a NaN on
    the way would make the gradient of every sum over muons NaN.
    """
    check_hits(hits)
    closed = _in_closed_form(infer, hits)
    if closed is not None:
        return *closed, None
    finite, trusted = usable_muons(infer, hits), is_trusted(infer)
    hits = with_stand_ins(hits, finite)
    if not trusted:  # numpy refuses hits that require a gradient, and warns of others
        with torch.enable_grad():
            _of_few(infer, hits[:1].detach().requires_grad_())
    among_others = _few_among_others(infer, hits.detach())
    holds = torch.is_grad_enabled() and (hits.requires_grad or getattr(among_others, "requires_grad", False))
    value, jac = differentiate(infer, hits, holds)
    refuse_coupling(infer, hits.detach(), value.detach(), among_others)
    if not trusted:
        _refuse_lost_derivative(infer, hits, value, jac, finite)
    return value.to(jac.dtype), jac, finite  # a function may return less precise numbers than it is given


def _in_closed_form(infer: Infer, hits: Tensor) -> tuple[Tensor, Tensor] | None:
    """The observables and their Jacobian, where `infer` has these in closed form; it couples no muons."""
    form = closed_form_of(infer)
    plain = None if form is None else plain_hits(form, hits)
    found = None if form is None or plain is None else differentiate_in_closed_form(form, plain)
    return None if found is None else (torch.from_numpy(found[0]), torch.from_numpy(found[1]))


def usable_muons(infer: Infer, hits: Float[Tensor, "muon coordinate"]) -> Bool[Tensor, " muon"] | None:
    """Which muons have observables; None: all.

    Those whose hits are finite; or, where `infer.missing` says that NaN stands for a missing hit, those with any finite
    observable. An infinite hit is no measurement either way.
    """
    if math.isfinite(hits.detach().sum().item()):  # much faster than testing each
        return None
    if not accepts_missing(infer):
        return torch.isfinite(hits).all(dim=1)
    with torch.no_grad():
        usable = torch.isfinite(infer(hits.detach().clone())).any(dim=1) & ~torch.isinf(hits).any(dim=1)
    return None if usable.all() else usable


def with_stand_ins(hits: Tensor, finite: Bool[Tensor, " muon"] | None) -> Tensor:
    """The hits, with those of a usable muon in place of those of all that are not."""
    if finite is None:
        return hits
    stand_in = hits.detach()[finite][0] if finite.any() else torch.ones_like(hits[0])
    return torch.where(finite[:, None], hits, stand_in)


def differentiate(infer: Infer, hits: Tensor, wants_graph: bool | None = None) -> tuple[Tensor, Tensor]:
    """The observables of each muon and their Jacobian; hits are usable, and coupling of muons is not tested.

    Their graph is kept if wanted; None: where hits or a parameter inside `infer` require a gradient.
    """
    if wants_graph is None:
        wants_graph = torch.is_grad_enabled() and (hits.requires_grad or holds_gradients(infer, hits))
    x = hits if wants_graph and hits.requires_grad else hits.detach().requires_grad_()
    with torch.enable_grad():
        value = infer(x)
        if mistake := mistake_in(value, len(hits)):
            _refuse(infer, mistake)
        if not value.requires_grad:
            _refuse(
                infer,
                "breaks the graph: its result does not depend on the hits through torch "
                "(.detach(), .item(), numpy or torch.inference_mode?)",
            )
        rows = []
        for column in value.unbind(1) if value.shape[1] > 1 else (value,):
            try:
                (row,) = torch.autograd.grad(
                    column.sum(), x, retain_graph=True, create_graph=wants_graph, allow_unused=True
                )
            except RuntimeError as error:
                if reason := in_place_reason(error):
                    _refuse(infer, reason, error)
                raise
            if row is None:
                _refuse(infer, "does not use the hits it is given, only other tensors that require gradients")
            rows.append(row)
    jac = torch.stack(rows, dim=1) if len(rows) > 1 else rows[0][:, None]
    if len(rows) > 1 and not math.isfinite(jac.detach().sum().item()):
        jac = _by_themselves(infer, x, value, jac, wants_graph)
    return (value, jac) if wants_graph else (value.detach(), jac)


def _by_themselves(infer: Infer, x: Tensor, value: Tensor, jac: Tensor, wants_graph: bool) -> Tensor:
    """The Jacobian, in which an infinite derivative of one observable spoils no other observable of the muon.

    A backward pass sends zeros through all other observables, and 0 × ∞ is NaN. A forward pass treats each observable
    by itself, coordinate by coordinate. Where torch has no forward pass, as for a user's own backward function, the NaN
    stays.
    """
    spoilt = (torch.isfinite(value) & jac.isnan().any(dim=2)).any(dim=1)
    if not spoilt.any():
        return jac
    columns = []
    try:
        with torch.set_grad_enabled(wants_graph), forward_ad.dual_level():
            for direction in torch.eye(x.shape[1], dtype=x.dtype, device=x.device):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch warns of torch
                    dual = forward_ad.make_dual(x if wants_graph else x.detach(), direction.expand_as(x).contiguous())
                columns.append(forward_ad.unpack_dual(infer(dual)).tangent)
    except (RuntimeError, ModelError):  # a function of a user's file turns the first into the second
        return jac
    if any(each is None for each in columns):
        return jac
    return torch.where(spoilt[:, None, None], torch.stack(columns, dim=2), jac)


def holds_gradients(infer: Infer, hits: Tensor) -> bool:
    """Whether a parameter inside `infer` requires a gradient, seen on a few muons."""
    with torch.enable_grad():
        return len(hits) > 0 and getattr(_of_few(infer, hits[:MUONS_PROBED].detach()), "requires_grad", False)


def _of_few(infer: Infer, hits: Tensor) -> Any:
    """The inference of a few muons taken by themselves, unchecked: a user's function may return anything."""
    try:
        return infer(hits)
    except (IndexError, ValueError, RuntimeError) as error:
        if reason := reason_in(error, hits.shape[1]):
            _refuse(infer, reason, error)
        if not isinstance(error, RuntimeError):
            raise
        _refuse(
            infer,
            f"fails for {len(hits)} muons by themselves; a parameter with a value for each muon must be "
            f"one of its coordinates instead ({next(iter(str(error).splitlines()), '')})",
            error,
        )


def _few(hits: Tensor) -> slice:
    """A few muons, spread over all."""
    count = min(MUONS_PROBED, len(hits))
    return slice(0, count * (len(hits) // max(count, 1)), max(len(hits) // max(count, 1), 1))


def _few_among_others(infer: Infer, hits: Tensor) -> Any:
    """The inference of a few muons together with muons that are not in the hits, with gradients of its parameters."""
    x = hits[_few(hits)]
    if not len(x):
        return None
    others = x.abs() + 1
    # As many on either side, except where the total would equal the number of hits.
    after = others if 3 * len(x) != len(hits) else others[:-1]
    with torch.enable_grad():
        return _of_few(infer, torch.cat([others, x, after]))


def refuse_coupling(infer: Infer, hits: Tensor, value: Tensor, among_others: Any) -> None:
    """Raise if a muon's observables depend on another muon, tried on a few muons.

    They were evaluated together with muons that are not in the hits, and their observables must not have changed.
    (Derivatives would not show every coupling, such as one to a detached mean.)
    """
    if not len(hits):
        return
    expected = value[_few(hits)]
    found = among_others.detach()[len(expected) : 2 * len(expected)]
    if not agree_to_rounding(found, expected, hits.dtype):
        with torch.no_grad():
            once, again = infer(hits[_few(hits)]), infer(hits[_few(hits)])
        if not agree_to_rounding(again, once, hits.dtype):
            _refuse(infer, DIFFERS_BY_CALL)
        _refuse(
            infer,
            "couples muons: an observable of one muon depends on the hits of another, so a Jacobian muon by muon "
            "would be wrong",
            advice="; use the general pullback.jacobian(y, x)",
        )


def _refuse_lost_derivative(
    infer: Infer, hits: Tensor, value: Tensor, jac: Tensor, finite: Bool[Tensor, " muon"] | None
) -> None:
    """Raise where a part of a derivative was lost from the graph, tried on a few of the usable muons."""
    hits, value, jac = (part.detach() if finite is None else part.detach()[finite] for part in (hits, value, jac))
    if len(hits) and (lost := lost_from_graph(infer, hits, value, jac)):
        _refuse(infer, lost)


def agree_to_rounding(found: Tensor, expected: Tensor, precision: torch.dtype) -> bool:
    """Whether observables (muon, observable) among other muons are the same up to rounding of a precision."""
    if torch.equal(found, expected):  # as nearly always
        return True
    # Sums over few rows may round otherwise than over many, and differences of large numbers more so: ε^0.6 is 4e-10
    # of the largest value in double precision. A coupling below that would not matter either.
    tolerance = torch.finfo(precision).eps ** 0.6 * expected.nan_to_num().abs().amax(dim=0)
    same = ((found - expected).abs() <= tolerance) | (found == expected) | (found.isnan() & expected.isnan())
    return bool(same.all())


def _refuse(infer: Infer, reason: str, cause: Exception | None = None, advice: str = "") -> NoReturn:
    """Raise for an inference that can't be differentiated muon by muon; with `advice` for who calls the library."""
    if refuse := refuse_of(infer):
        refuse(reason, cause)
    raise ValueError(f"infer {reason}{advice}") from cause
