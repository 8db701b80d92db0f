"""Jacobians by reverse-mode differentiation, on torch's public API only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

PROBES = 3
"""Muons on which `muon_jacobian` looks for coupling."""


def jacobian(
    y: Float[Tensor, "*y"], x: Float[Tensor, "*x"], create_graph: bool = False, allow_unused: bool = True
) -> Float[Tensor, "*y_and_x"]:
    """The general Jacobian J[i…, j…] = ∂y[i…] / ∂x[j…], shape `y.shape + x.shape`.

    One backward pass an element of y, so time and memory grow as the product of both sizes: for many independent
    muons use `muon_jacobian`.

    Parameters
    ----------
    y : any tensor computed from x.
    x : any tensor that requires a gradient.
    create_graph : keep the graph of the Jacobian itself, for derivatives of it (dσ/d(design) needs that).
    allow_unused : handed to `torch.autograd.grad`. Either way an x that y was not computed from is refused, since
        its Jacobian of zeros would be quoted as σ = 0; with False, the message is torch's own.

    Raises
    ------
    ValueError : y is empty, y has no graph, x requires no gradient, or x is not used in y.

    Examples
    --------
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> jacobian(x**2, x)
    tensor([[2., 0.],
            [0., 4.]])

    """
    if y.numel() == 0:
        raise ValueError(f"y is empty (shape {tuple(y.shape)}): there is nothing to differentiate")
    if not x.requires_grad:
        raise ValueError("x requires no gradient: call x.requires_grad_() before y is computed from it")
    if not y.requires_grad:
        raise ValueError("y has no graph: it was computed without gradients, or detached (.detach(), numpy) on the way")
    rows = []
    for element in y.reshape(-1):
        (row,) = torch.autograd.grad(
            element, x, retain_graph=True, create_graph=create_graph, allow_unused=allow_unused
        )
        if row is None:
            raise ValueError("x is not used in y: y was computed from another tensor, perhaps a copy of x")
        rows.append(row)
    return torch.stack(rows).reshape(y.shape + x.shape)


def muon_jacobian(
    infer: Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]],
    hits: Float[Tensor, "muon coordinate"],
) -> Float[Tensor, "muon observable coordinate"]:
    """The Jacobian of each muon's observables by its own hits: J[m, o, c] = ∂y[m, o] / ∂hits[m, c].

    For inference that treats muons independently, ∂y[m]/∂hits[n] = 0 for m ≠ n, and the gradient of Σ_m y[m, o]
    holds every muon's row at once: one backward pass an observable, O(muon) time and memory, where the full
    Jacobian is O(muon²). That independence is verified on a few muons. Derivatives of J (by the hits, or by parameters
    that `infer` holds) are kept where any of these requires a gradient.

    Parameters
    ----------
    infer : function of hits (muon, coordinate) that returns observables (muon, observable).
    hits : (muon, coordinate), floating point.

    Raises
    ------
    TypeError : the hits are no floating-point tensor.
    ValueError : a wrong shape of the hits or of what `infer` returns, a broken graph, or muons that are coupled.

    Examples
    --------
    >>> from pullback import infer_theta
    >>> muon_jacobian(infer_theta, torch.tensor([[0.0], [1.5]], dtype=torch.float64))
    tensor([[[0.0000]],
    <BLANKLINE>
            [[0.3333]]], dtype=torch.float64)

    """
    return value_and_jacobian(infer, hits)[1]


def value_and_jacobian(
    infer: Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]],
    hits: Float[Tensor, "muon coordinate"],
) -> tuple[Float[Tensor, "muon observable"], Float[Tensor, "muon observable coordinate"]]:
    """The observables of each muon and their `muon_jacobian`, from one evaluation."""
    check_hits(hits)
    value, jac = _differentiate(infer, hits)
    _refuse_coupling(infer, hits.detach(), value.detach(), jac.detach())
    return value, jac


def check_hits(hits: Tensor) -> None:
    """Raise unless the hits are a floating-point tensor (muon, coordinate)."""
    if not isinstance(hits, torch.Tensor) or not hits.is_floating_point():
        kind = hits.dtype if isinstance(hits, torch.Tensor) else type(hits).__name__
        raise TypeError(f"hits must be a floating-point torch tensor, not {kind}: use torch.as_tensor(hits, dtype=…)")
    if hits.ndim != 2 or hits.shape[1] == 0:
        raise ValueError(f"hits must have shape (muon, coordinate), not {tuple(hits.shape)}")


def _differentiate(infer, hits):
    wants_graph = torch.is_grad_enabled() and (hits.requires_grad or _holds_gradients(infer, hits))
    x = hits if hits.requires_grad else hits.detach().requires_grad_()
    with torch.enable_grad():
        value = infer(x)
        if not isinstance(value, torch.Tensor) or value.ndim != 2 or len(value) != len(hits):
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(
                f"infer must return a tensor (muon, observable) with {len(hits)} muons, not {shape}"
                "; a single observable is (muon, 1)"
            )
        if not value.requires_grad:
            raise ValueError(
                "infer breaks the graph: its result does not depend on the hits through torch "
                "(.detach(), .item() or numpy?)"
            )
        rows = []
        for column in value.unbind(1):
            (row,) = torch.autograd.grad(
                column.sum(), x, retain_graph=True, create_graph=wants_graph, allow_unused=True
            )
            if row is None:
                raise ValueError("infer does not use the hits it is given, only other tensors that require gradients")
            rows.append(row)
    jac = torch.stack(rows, dim=1) if rows else value.new_zeros(len(hits), 0, hits.shape[1])
    return (value, jac) if wants_graph else (value.detach(), jac)


def _holds_gradients(infer, hits) -> bool:
    """Whether a parameter inside `infer` requires a gradient, seen on a few muons."""
    with torch.enable_grad():
        return len(hits) > 0 and getattr(infer(hits[:PROBES].detach()), "requires_grad", False)


def _refuse_coupling(infer, hits, value, jac) -> None:
    """Raise if a muon's observables depend on another muon, tried on a few muons with finite hits.

    Three looks: the full Jacobian of the few among themselves must be block-diagonal; they must come out the same
    without the others; and when one of them is moved, the rest must stay (a coupling can hide from the derivative).
    """
    finite = torch.isfinite(hits).all(dim=1).nonzero()[:, 0] if not torch.isfinite(hits.sum()) else None
    count = len(hits) if finite is None else len(finite)
    if count == 0 or len(hits) < 2:
        return
    few = torch.arange(min(PROBES, count)) * count // min(PROBES, count)
    few = few if finite is None else finite[few]
    x = hits[few].requires_grad_()
    with torch.enable_grad():
        alone = infer(x)
        full = jacobian(alone, x)  # (few, observable, few, coordinate)
        moved = infer(torch.cat([x[:-1], x[-1:] + 1 + x[-1:].abs()]).detach())
    own = torch.arange(len(few))
    blocks = full[own, :, own, :]
    full[own, :, own, :] = 0
    between = full.nan_to_num().any()  # where another muon's derivative is infinite, 0 × ∞ is no coupling
    tolerance = 1e4 * torch.finfo(hits.dtype).eps  # vectorised and scalar code paths round differently

    def differ(a, b):
        return not torch.allclose(
            a, b, rtol=tolerance, atol=tolerance * float(b.nan_to_num().abs().max()), equal_nan=True
        )

    alone = alone.detach()
    if (
        between
        or differ(alone, value[few])
        or differ(blocks, jac[few])
        or differ(moved.detach()[:-1], alone[:-1])
    ):
        raise ValueError(
            "infer couples muons: an observable of one muon depends on the hits of another, so a Jacobian muon by muon "
            "would be wrong; use the general pullback.jacobian(y, x)"
        )
