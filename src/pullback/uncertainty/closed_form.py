"""Linear propagation by derivatives in closed form, for inferences that offer them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .arrays import Tensor
from .elementwise import WHOLE_VECTORS
from .memory import keep_freed

NUMBERS_TOGETHER = 1 << 18
"""Numbers of muons that are computed together, so that they stay in the processor's cache."""


class Order(NamedTuple):
    """The places of curved and of linear observables, and the quantities that the latter are."""

    curved: list[int]
    linear: list[int]
    of: list[int]

    def write(self, out: Float[np.ndarray, "muon ..."], curved: np.ndarray, quantities: np.ndarray) -> None:
        """Write what curved observables and quantities have, with muons last, to the observables."""
        for index, row in zip(self.curved, curved, strict=True):
            out[:, index] = row.T
        for index, place in zip(self.linear, self.of, strict=True):
            out[:, index] = quantities[place].T


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """Observables of each muon as functions of a few quantities u = G h that are linear in its hits.

    Their Jacobian is (∂y/∂u) G, so that Σ_y = (∂y/∂u) (G Σ Gᵀ) (∂y/∂u)ᵀ, where G Σ Gᵀ is one small matrix for all
    muons with the same Σ. Arrays have muons last, so that all arithmetic runs along memory.

    Attributes
    ----------
    gain : array (quantity, coordinate)
        G.
    curved : callable
        From u (quantity, muon), the observables that are not linear (curved, muon), and their derivatives: one array
        (observable, quantity, muon) for each group of them that depends on the same first quantities.
    places : tuple of (int or None)
        For each observable, the quantity that it is; None for those of `curved`, in order.
    """

    gain: Float[np.ndarray, "quantity coordinate"]
    curved: Callable[[np.ndarray], tuple[np.ndarray, Sequence[np.ndarray]]]
    places: tuple[int | None, ...]

    @cached_property
    def order(self) -> Order:
        """Which observables are curved, and which are linear."""
        linear = {index: place for index, place in enumerate(self.places) if place is not None}
        return Order([index for index in range(len(self.places)) if index not in linear], [*linear], [*linear.values()])

    def spread(
        self, sigma_x: float | Float[np.ndarray, "1 coordinate *second"]
    ) -> Float[np.ndarray, "quantity quantity"]:
        """G Σ Gᵀ, for one variance, for variances or for a matrix."""
        if isinstance(sigma_x, float):
            return sigma_x * self.squared_gain
        return (self.gain * sigma_x if sigma_x.ndim == 2 else self.gain @ sigma_x[0]) @ self.gain.T

    @cached_property
    def squared_gain(self) -> Float[np.ndarray, "quantity quantity"]:
        """G Gᵀ."""
        found: np.ndarray = self.gain @ self.gain.T
        return found

    def empty(self, muons: int) -> InClosedForm:
        """Arrays for what so many muons have."""
        count = len(self.places)
        return InClosedForm(*map(np.empty, ((muons, count), (muons, count, count), (muons, count))))

    @cached_property
    def muons_at_a_time(self) -> int:
        """An odd multiple of 32: whole vectors, but rows whose numbers do not share a few lines of the cache."""
        return 32 * (NUMBERS_TOGETHER // (256 * len(self.places)) | 1)


class InClosedForm(NamedTuple):
    """Linear propagation of some muons, as numpy arrays."""

    value: Float[np.ndarray, "muon observable"]
    covariance: Float[np.ndarray, "muon observable observable"]
    sigma: Float[np.ndarray, "muon observable"]


def closed_form_of(infer: Callable[..., Any]) -> ClosedForm | None:
    """What the attribute `closed_form` of an inference, or of a `functools.partial` of it, returns for its parameters.

    None where it has none, where it has none for these parameters, or where a parameter requires a gradient.
    """
    form, given = getattr(infer, "closed_form", None), {}
    if form is None and isinstance(infer, partial) and not infer.args:
        form, given = getattr(infer.func, "closed_form", None), infer.keywords
    if form is None or (given and not all(map(_is_plain, given.values()))):
        return None
    found: ClosedForm | None = form(**{name: np.asarray(value, dtype=float) for name, value in given.items()})
    return found


def plain_hits(form: ClosedForm, hits: Float[Tensor, "muon coordinate"]) -> Float[np.ndarray, "muon coordinate"] | None:
    """Hits as an array that a closed form can take; None for others, or for hits that require a gradient."""
    if not _is_plain(hits) or hits.element_size() != 8 or hits.shape[0] == 0 or hits.shape[1] != form.gain.shape[1]:
        return None
    found: np.ndarray = hits.numpy()
    return found


def _is_plain(given: Any) -> bool:
    """Whether a tensor is on the CPU and requires no gradient; anything else is plain."""
    return not hasattr(given, "requires_grad") or (not given.requires_grad and given.device.type == "cpu")


def propagate_in_closed_form(
    form: ClosedForm,
    hits: Float[np.ndarray, "muon coordinate"],
    sigma_x: float | Float[np.ndarray, "1 coordinate *second"],
) -> InClosedForm | None:
    """J Σ Jᵀ with one Σ for all muons, as variances or as a matrix; None with hits that are not finite."""
    muons, step = len(hits), form.muons_at_a_time
    spread = form.spread(sigma_x)
    if muons <= step:
        found = _law(form, _whole_vectors(hits), spread, None)
        return found and InClosedForm(*(column[:muons] for column in found))
    keep_freed()
    filled = muons + -muons % WHOLE_VECTORS
    whole = form.empty(filled)
    for start in range(0, muons, step):
        rows = slice(start, start + step)
        own = _whole_vectors(hits[rows])
        if _law(form, own, spread, InClosedForm(*(column[rows] for column in whole))) is None:
            return None
    return InClosedForm(*(column[:muons] for column in whole))


def _whole_vectors(hits: Float[np.ndarray, "muon coordinate"]) -> Float[np.ndarray, "whole coordinate"]:
    """The hits, with those of the last muon again until they fill whole vectors (docs/reproducibility.md)."""
    missing = -len(hits) % WHOLE_VECTORS
    return np.concatenate([hits, hits[-1:].repeat(missing, axis=0)]) if missing else hits


def differentiate_in_closed_form(
    form: ClosedForm, hits: Float[np.ndarray, "muon coordinate"]
) -> tuple[Float[np.ndarray, "muon observable"], Float[np.ndarray, "muon observable coordinate"]] | None:
    """The observables of each muon and their Jacobian by its hits; None with hits that are not finite."""
    if not _is_finite(hits):
        return None
    u = _quantities(form.gain, hits)
    y, slopes = form.curved(u)
    value, jacobian = np.empty((len(hits), len(form.places))), np.empty((len(form.places), *hits.T.shape))
    form.order.write(value, y, u)
    rows = chain.from_iterable(_times(group, form.gain) for group in slopes)
    for index, row in zip(form.order.curved, rows, strict=True):
        jacobian[index] = row
    for index, place in zip(form.order.linear, form.order.of, strict=True):
        jacobian[index] = form.gain[place, :, None]
    return value, jacobian.transpose(2, 0, 1)


def _law(
    form: ClosedForm,
    hits: Float[np.ndarray, "muon coordinate"],
    spread: Float[np.ndarray, "quantity quantity"],
    out: InClosedForm | None,
) -> InClosedForm | None:
    """Linear propagation of muons that are computed together, written to `out` if given; None as above."""
    if not _is_finite(hits):
        return None
    u, order = _quantities(form.gain, hits), form.order
    y, slopes = form.curved(u)
    left = [_times(group, spread) for group in slopes]
    covariance = _covariance(left, slopes)
    sigma = _root(covariance.diagonal().T)
    if out is None and not order.linear:  # a covariance is symmetric, so that its axes may be in any order
        out = InClosedForm(*map(np.ascontiguousarray, (y.T, covariance.T, sigma.T)))
    else:
        out = out or form.empty(len(hits))
        order.write(out.value, y, u)
        order.write(out.sigma, sigma, _root(spread.diagonal()))
        out.covariance[:] = (_with_linear(order, covariance, left, spread) if order.linear else covariance).T
    if not _is_finite(y):  # an observable that a muon doesn't have is not known exactly, although J is 0
        unknown = ~np.isfinite(out.value)
        out.sigma[unknown] = np.nan
        out.covariance[unknown[:, :, None] | unknown[:, None]] = np.nan
    return out


def _is_finite(values: np.ndarray) -> bool:
    """Whether all numbers are finite; False too if their squares overflow. Much faster than testing each."""
    return math.isfinite(np.vdot(values, values))


def _quantities(
    gain: Float[np.ndarray, "quantity coordinate"], hits: Float[np.ndarray, "muon coordinate"]
) -> Float[np.ndarray, "quantity muon"]:
    """G h."""
    return gain * hits.T if gain.size == 1 else np.einsum("qc,cm->qm", gain, np.ascontiguousarray(hits.T))


def _times(
    slopes: Float[np.ndarray, "curved inner muon"], matrix: Float[np.ndarray, "quantity column"]
) -> Float[np.ndarray, "curved column muon"]:
    """Each muon's derivatives, by the first quantities, times the rows of one matrix."""
    inner = slopes.shape[1]
    return slopes * matrix[0, :, None] if inner == 1 else np.einsum("oim,ic->ocm", slopes, matrix[:inner])


def _covariance(
    left: Sequence[Float[np.ndarray, "_ quantity muon"]], slopes: Sequence[Float[np.ndarray, "_ _ muon"]]
) -> Float[np.ndarray, "curved curved muon"]:
    """Each muon's covariance of the curved observables, group by group."""
    if len(slopes) == 1:
        return _products(left[0], slopes[0])
    ends = [0, *accumulate(map(len, slopes))]
    found = np.empty((ends[-1], ends[-1], slopes[0].shape[2]))
    places = [slice(*each) for each in pairwise(ends)]
    for index, (own, rows) in enumerate(zip(left, places, strict=True)):
        for group, columns in zip(slopes[index:], places[index:], strict=True):
            found[rows, columns] = part = _products(own, group)
            found[columns, rows] = part.swapaxes(0, 1)
    return found


def _products(
    left: Float[np.ndarray, "row quantity muon"], slopes: Float[np.ndarray, "column inner muon"]
) -> Float[np.ndarray, "row column muon"]:
    """Each muon's sum of products over the first quantities."""
    inner = slopes.shape[1]
    return left[:, :1] * slopes[:, 0] if inner == 1 else np.einsum("oim,pim->opm", left[:, :inner], slopes)


def _root(variance: np.ndarray) -> np.ndarray:
    """The square root; 0 where rounding made a variance negative."""
    return np.sqrt(np.maximum(variance, 0.0))


def _with_linear(
    order: Order, covariance: np.ndarray, left: Sequence[np.ndarray], spread: np.ndarray
) -> Float[np.ndarray, "observable observable muon"]:
    """The covariance of the curved observables, with those of the linear ones."""
    curved, linear, of = order
    found = np.empty((len(curved) + len(linear), len(curved) + len(linear), covariance.shape[2]))
    for index, own, beside in zip(curved, covariance, chain.from_iterable(left), strict=True):
        found[index, curved] = own
        found[index, linear] = found[linear, index] = beside[of]
    for index, place in zip(linear, of, strict=True):
        found[index, linear] = spread[place, of, None]
    return found
