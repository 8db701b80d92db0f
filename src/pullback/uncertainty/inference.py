"""Inferences, and the attributes that one may carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol, runtime_checkable

from jaxtyping import Float

from .arrays import Tensor
from .closed_form import ClosedForm
from .folds import Folding

Infer = Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon observable"]]
"""Observables of each muon from its hits, muon by muon."""


SharedInfer = Callable[
    [Float[Tensor, "muon coordinate"], Float[Tensor, " systematic"]], Float[Tensor, "muon observable"]
]
"""Observables of each muon from its hits and from parameters that all muons share."""

Refuse = Callable[[str, Exception | None], NoReturn]
"""Raises an error with a reason and its cause, which names where an inference comes from."""


@runtime_checkable
class DescribedInference(Protocol):
    """An inference with attributes that describe it; a plain function may have any of them."""

    missing: bool
    """Whether NaN stands for a missing hit."""
    periods: tuple[float, ...] | None
    """Period of each observable that is an angle on a circle, and 0 for the others."""
    refuse: Refuse | None
    """Raises errors of the inference."""
    folding: Folding | None
    """The signed quantities that fold into the observables; None where nothing is said (`folds.folding_of`)."""
    by_columns: bool
    """Whether hits need not be contiguous, and are best given column by column (`at_points`)."""
    closed_form: Callable[..., ClosedForm | None] | None
    """The derivatives in closed form, if the inference has one with its parameters (`closed_form.closed_form_of`)."""

    def __call__(self, hits: Float[Tensor, "muon coordinate"], /) -> Float[Tensor, "muon observable"]:
        """The observables of each muon."""


def at_points(
    infer: Infer | DescribedInference, hits: Float[Tensor, "muon point coordinate"]
) -> Float[Tensor, "muon point observable"]:
    """The observables at several hits of each muon.

    Functions of a user get hits that are contiguous. Others take them as they lie: column by column, they are faster.
    """
    rows = hits.flatten(0, 1)
    rows = rows if getattr(infer, "by_columns", False) else rows.contiguous()
    return infer(rows).unflatten(0, hits.shape[:2])


def accepts_missing(infer: Infer | SharedInfer | DescribedInference) -> bool:
    """Whether NaN stands for a missing hit."""
    return getattr(infer, "missing", False)


def periods_of(infer: Infer | DescribedInference) -> tuple[float, ...] | None:
    """The periods of the observables; None where none is an angle on a circle."""
    return getattr(infer, "periods", None)


def refuse_of(infer: Infer | DescribedInference) -> Refuse | None:
    """Raises errors that name where the inference comes from, such as a user's file."""
    return getattr(infer, "refuse", None)


CHANGES_HITS = (
    "changes its hits or parameters in place: work on a copy, hits.clone(), or without +=, *=, x[…] = … and functions "
    "whose name ends in _, such as clamp_"
)
CHANGES_RESULTS = (
    "changes an intermediate result in place that its derivatives need: write y = y + 1 for y += 1, and "
    "y = y.clamp(min=0) for y.clamp_(min=0)"
)
"""Why an inference has no derivatives, and what to do."""

DIFFERS_BY_CALL = "gives another result at the second call: it must use no random numbers, and keep nothing in between"
"""Why a result is that of no function."""


def in_place_reason(error: BaseException) -> str:
    """What a function changes in place, as a user can mend it; empty if torch's error is another."""
    if "is being used in an in-place operation" in str(error):
        return CHANGES_HITS
    return CHANGES_RESULTS if "modified by an inplace operation" in str(error) else ""


def reason_in(error: Exception, coordinates: int) -> str:
    """Why an inference failed, as a user can mend it; empty if not known. `coordinates` is their number per muon."""
    if reason := in_place_reason(error):
        return reason
    text = next(iter(str(error).splitlines()), "")
    if "Can't call numpy() on Tensor that requires grad" in text:  # torch's advice would break the graph
        return "uses numpy, which keeps no derivatives: use torch's functions, such as torch.arctan for np.arctan"
    if "same dtype" in text or "scalar type" in text:
        return f"mixes precisions: make its constants like the hits, such as weights.to(hits) ({text})"
    misshapen = isinstance(error, IndexError) or "to unpack" in text or "shapes cannot be multiplied" in text
    if coordinates == 1 and misshapen:
        return (
            "fails for hits with one coordinate per muon; hits must be (muon, coordinate), such as hits[None] of one "
            f"muon ({type(error).__name__}: {text})"
        )
    return ""
