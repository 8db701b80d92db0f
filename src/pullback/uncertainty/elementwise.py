"""Sums, lengths and angles of a few components, muon by muon, with gradients that are finite everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add

from jaxtyping import Float, Int

from .arrays import Tensor

WHOLE_VECTORS = 32
"""A multiple of how many numbers torch's vector instructions handle at a time."""


def whole_vectors(rows: Int[Tensor, " row"]) -> Int[Tensor, " whole"]:
    """The rows, with the last one again until they fill whole vectors (docs/reproducibility.md)."""
    missing = -len(rows) % WHOLE_VECTORS
    if not missing:
        return rows
    import torch

    return torch.cat([rows, rows[-1:].expand(missing)])


def total(terms: Iterable[Tensor]) -> Tensor:
    """The sum of tensors, or of the rows of one, term by term (docs/reproducibility.md)."""
    return reduce(add, terms.unbind(0) if hasattr(terms, "unbind") else terms)


def products(left: Float[Tensor, "row inner #muon"], right: Float[Tensor, "inner column #muon"]) -> Tensor:
    """Each muon's matrix product (row, column, muon), term by term (docs/reproducibility.md)."""
    found = left[:, 0, None] * right[0]
    for index in range(1, len(right)):
        found = found.addcmul(left[:, index, None], right[index])
    return found


def length(*components: Float[Tensor, " muon"]) -> Float[Tensor, " muon"]:
    """The length of a vector, with a gradient of 0 where it is 0, as |x| has; the root's own is infinite there."""
    import torch

    square = total(each.square() for each in components)
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def magnitude(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """|x|, with a gradient of 0 at 0.

    The derivative of abs has itself one that torch imports its compiler for, which takes seconds; that of the product
    is the same.
    """
    return x * x.detach().sign() if x.requires_grad else x.abs()


def azimuth(x: Float[Tensor, " muon"], y: Float[Tensor, " muon"]) -> Float[Tensor, " muon"]:
    """atan2(y, x), with a gradient of 0 where both are 0."""
    import torch

    nowhere = (x == 0) & (y == 0)
    return torch.where(nowhere, 0.0, y.arctan2(torch.where(nowhere, 1.0, x)))
