"""Comparison of derivatives with difference quotients, which finds what is lost from the graph on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .inference import Infer, SharedInfer

MUONS_COMPARED = 8
"""Number of muons whose derivatives are compared."""

STEP, SMALLEST_STEP = 1 / 3, 0.64
"""Powers of the precision ε: the step relative to the spread of an argument, and its least size relative to its value.

In double precision they are 6e-6 and 1e-10.
"""

SCALES = (1 / 64, 1.0, 64.0)
"""Multiples of the step that are taken to either side."""

SLOPE_TOLERANCE = 0.01
"""Largest relative difference between a derivative and a difference quotient."""

VALUE_ROUNDING = 1e3
"""Rounding error of a function, in units of the precision."""

WRONG_SHARE = 0.25
"""Share of the muons above which a derivative that is wrong for them is refused."""

_COMPARED: WeakSet[Infer | SharedInfer] = WeakSet()


class Comparison(NamedTuple):
    """What a comparison of derivatives with difference quotients gives."""

    wrong: tuple[int, int] | None
    """The number and the argument of a derivative that is wrong; None without any."""
    conclusive: bool
    """Whether each derivative was compared where the function is smooth, so that no other muons need be tried."""


def compare_slopes(
    values_at: Callable[[Float[Tensor, "place *rows argument"]], Float[Tensor, "place muon number"]],
    at: Float[Tensor, "*rows argument"],
    slopes: Float[Tensor, "muon number argument"],
    steps: Float[Tensor, "*#rows argument"],
) -> Comparison:
    """Compare derivatives with quotients of differences to either side, over three sizes of steps.

    A derivative counts as wrong where its distance from all quotients exceeds their own range by more than 1 %: at a
    kink, a jump, a branch cut or the noise of rounding the quotients differ among each other, and say nothing. Nor do
    they where the function does not move at all, as where a step is lost to rounding. Muons whose quotients or
    derivatives are not finite are left out.

    Parameters
    ----------
    values_at : callable
        The numbers of each muon where the arguments have other values.
    at : Tensor
        The arguments: rows of them, one for each muon, or one row that all muons share.
    slopes : Tensor
        The derivatives.
    steps : Tensor
        Steps by each argument, as `steps_of` gives them for hits.

    """
    axes = torch.eye(at.shape[-1], dtype=at.dtype, device=at.device)
    axes = axes.reshape(len(axes), *[1] * (at.ndim - 1), len(axes))
    factors = at.new_tensor([sign * scale for scale in SCALES for sign in (1, -1)])
    moved = at + factors.reshape(-1, *[1] * (at.ndim + 1)) * steps * axes  # (factor, argument, *rows, argument)
    with torch.no_grad():
        here, *others = values_at(torch.cat([at[None], moved.flatten(0, 1)]))
    away = torch.stack(others).unflatten(0, moved.shape[:2]) - here  # (factor, argument, muon, number)
    widths = (moved - at).diagonal(dim1=1, dim2=-1).movedim(-1, 1)  # as rounded: (factor, argument, *rows)
    quotients = (away / widths.reshape(*moved.shape[:2], -1, 1)).permute(0, 2, 3, 1)
    low, high = quotients.amin(dim=0), quotients.amax(dim=0)
    largest = torch.maximum(low.abs(), high.abs())
    rounding = (
        VALUE_ROUNDING * torch.finfo(here.dtype).eps * here.abs()[:, :, None] / (SCALES[-1] * steps[..., None, :])
    )
    distance = torch.maximum(low - slopes, slopes - high)
    judged = torch.isfinite(low) & torch.isfinite(high) & torch.isfinite(slopes)
    moves = judged & (largest > 0)
    wrong = moves & (distance > SLOPE_TOLERANCE * torch.maximum(largest, slopes.abs()) + (high - low) + rounding)
    refused = (wrong.sum(dim=0) > WRONG_SHARE * judged.sum(dim=0)).nonzero()
    smooth = judged & (high - low <= SLOPE_TOLERANCE * largest + rounding)
    first: list[int] = refused[0].tolist() if len(refused) else []
    return Comparison((first[0], first[1]) if first else None, bool(smooth.any(dim=0).all()))


def steps_of(at: Float[Tensor, "row argument"], precision: torch.dtype) -> Float[Tensor, "row argument"]:
    """Steps of difference quotients, from the spread of each argument over the rows, whatever a far outlier is.

    Where all rows have the same value, it takes the place of the spread, and 1 that of 0.
    """
    eps = torch.finfo(precision).eps
    far = torch.where(torch.isfinite(at), at, float("nan"))
    middle = far.nanmedian(dim=0).values
    off = (far - middle).abs()
    # Where most rows have one value, as some detectors give it, the nearest of the others tells.
    nearest = torch.where(off > 0, off, float("inf")).amin(dim=0)
    width = off.nanmedian(dim=0).values
    for other in (nearest, middle.abs(), torch.ones_like(middle)):
        width = torch.where((width > 0) & torch.isfinite(width), width, other)
    return torch.maximum(eps**STEP * width, eps**SMALLEST_STEP * far.abs().nan_to_num(0.0))


def broken_graph(number: str, argument: str) -> str:
    """What is wrong where a derivative is not that of the function, and what to do."""
    return (
        f"breaks the graph: the derivative of {number} by {argument} is not what differences say; compute "
        "with torch from the hits to the result, without .detach(), .item(), float(), torch.tensor(…) and numpy on the "
        "way"
    )


def is_trusted(infer: Infer | SharedInfer) -> bool:
    """Whether an inference is the package's own, or was compared before."""
    inner: object = infer
    while isinstance(inner, partial):
        inner = inner.func
    if str(getattr(inner, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]:
        return True
    try:
        return infer in _COMPARED
    except TypeError:  # an object that has no hash, or no weak references
        return False


def lost_from_graph(
    infer: Infer,
    hits: Float[Tensor, "muon coordinate"],
    value: Float[Tensor, "muon observable"],
    jacobian: Float[Tensor, "muon observable coordinate"],
) -> str:
    """What is wrong with derivatives by the hits, tried on a few muons spread over all; empty if nothing is.

    The inference is trusted once all its derivatives were compared where it is smooth.
    """
    rows = _spread(len(hits))
    at, steps = hits[rows], steps_of(hits[rows], _coarser(hits.dtype, value.dtype))

    def values_at(places: Float[Tensor, "place muon coordinate"]) -> Float[Tensor, "place muon observable"]:
        return infer(places.flatten(0, 1)).unflatten(0, places.shape[:2])

    return _remembered(infer, compare_slopes(values_at, at, jacobian[rows], steps), "coordinate")


def shared_lost_from_graph(
    infer: SharedInfer,
    hits: Float[Tensor, "muon coordinate"],
    eta: Float[Tensor, " systematic"],
    jacobian: Float[Tensor, "muon observable systematic"],
) -> str:
    """The same for derivatives by parameters that all muons share."""
    rows = _spread(len(hits))
    at, eps = hits[rows], torch.finfo(_coarser(eta.dtype, jacobian.dtype)).eps
    steps = eps**STEP * torch.where(eta == 0, 1.0, eta.abs())

    def values_at(places: Float[Tensor, "place systematic"]) -> Float[Tensor, "place muon observable"]:
        return torch.stack([infer(at, place) for place in places])

    return _remembered(infer, compare_slopes(values_at, eta, jacobian[rows], steps), "shared parameter")


def _spread(muons: int) -> Int[Tensor, " few"]:
    """A few muons, spread over all."""
    return torch.linspace(0, muons - 1, min(MUONS_COMPARED, muons), dtype=torch.float64).round().long()


def _coarser(one: torch.dtype, other: torch.dtype) -> torch.dtype:
    """The less precise of two types."""
    return max(one, other, key=lambda dtype: torch.finfo(dtype).eps)


def _remembered(infer: Infer | SharedInfer, found: Comparison, argument: str) -> str:
    """What is wrong after a comparison; an inference of which nothing is wrong is trusted, if that is certain."""
    if found.wrong:
        return broken_graph(f"observable {found.wrong[0]}", f"{argument} {found.wrong[1]}")
    if found.conclusive:
        with suppress(TypeError):  # as in `is_trusted`
            _COMPARED.add(infer)
    return ""
