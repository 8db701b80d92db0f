"""Covariances of hits: their shapes, whether they are possible, and their Cholesky factors."""

from __future__ import annotations

import reprlib
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

HitUncertainty = float | Float[Tensor, "..."] | Float[np.ndarray, "..."]
"""A standard deviation, variance or covariance: one for all hits, or an array."""

NUMBERS_AT_A_TIME = 1 << 18
"""Entries of covariances that are checked at a time, so that intermediate results stay small."""


def canonical(covariance: HitUncertainty, hits: Tensor) -> Tensor:
    """The covariance as variances (1 or muon, coordinate) or matrices (1 or muon, coordinate, coordinate), checked."""
    muons, coordinates = hits.shape
    if isinstance(covariance, float) and 0 <= covariance < float("inf"):
        return hits.new_full((1, coordinates), covariance)
    cov = _array("covariance", covariance, hits)
    shape = tuple(cov.shape)
    if muons == coordinates > 1 and shape in {(muons,), (muons, coordinates)}:
        raise ValueError(
            f"covariance of shape {shape} is ambiguous for {muons} muons with {coordinates} coordinates: write "
            f"(1, …) in front for one covariance shared by all muons, or (muon, 1), (muon, coordinate, coordinate)"
        )
    matrices: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {
        (coordinates, coordinates): lambda cov: cov[None, :, :],
        (1, coordinates, coordinates): lambda cov: cov,
        (muons, coordinates, coordinates): lambda cov: cov,
    }
    # (1, 1) is a variance, not a matrix: one coordinate has nothing to correlate with.
    allowed = matrices | _one_per_coordinate(muons, coordinates)
    if shape not in allowed:
        raise ValueError(
            f"covariance has shape {shape}; for {muons} muons with {coordinates} coordinates it must be a number, "
            f"({coordinates},) or ({coordinates}, {coordinates}), or one of these for each muon: ({muons}, …)"
        )
    cov = allowed[shape](cov)
    check_covariance(cov.detach())
    return cov


def standard_deviations(sigma: HitUncertainty, hits: Tensor, checked: bool = True) -> Float[Tensor, "row coordinate"]:
    """σ of the hits (1 or muon, coordinate), from the shapes that variances may have."""
    muons, coordinates = hits.shape
    if isinstance(sigma, float) and 0 <= sigma < float("inf") and hits.dtype == torch.float64:
        return hits.new_full((1, coordinates), sigma)
    numbers = _array("sigma", sigma, hits)
    shape, allowed = tuple(numbers.shape), _one_per_coordinate(muons, coordinates)
    if muons == coordinates > 1 and shape == (muons,):
        raise ValueError(
            f"sigma of shape {shape} is ambiguous for {muons} muons with {coordinates} coordinates: write "
            f"(1, {coordinates}) for one per coordinate, or ({muons}, 1) for one per muon"
        )
    if shape not in allowed:
        raise ValueError(
            f"sigma has shape {shape}; for {muons} muons with {coordinates} coordinates it must be a number, "
            f"({coordinates},), ({muons}, 1) or ({muons}, {coordinates}); give a matrix as covariance="
        )
    numbers = allowed[shape](numbers)
    if checked:
        check_covariance(numbers.detach(), "sigma")
    return numbers


def _array(name: str, given: HitUncertainty, hits: Tensor) -> Tensor:
    """The uncertainty of the hits as a tensor of the hits' precision, where the hits are."""
    kind = str(given.dtype) if isinstance(given, Tensor | np.ndarray) else ""
    try:
        if "complex" not in kind:  # torch would leave out the imaginary part
            return torch.as_tensor(given, dtype=hits.dtype, device=hits.device)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise TypeError(f"{name} must be a number or an array of numbers, not {kind or reprlib.repr(given)}")


def _one_per_coordinate(muons: int, coordinates: int) -> dict[tuple[int, ...], Callable[[Tensor], Tensor]]:
    """The shapes that one number for each coordinate may have, and how each becomes (1 or muon, coordinate)."""
    return {
        (): lambda numbers: numbers.expand(1, coordinates),
        (coordinates,): lambda numbers: numbers[None, :],
        (1, coordinates): lambda numbers: numbers,
        (muons,): lambda numbers: numbers[:, None].expand(muons, coordinates),
        (muons, 1): lambda numbers: numbers.expand(muons, coordinates),
        (muons, coordinates): lambda numbers: numbers,
    }


def check_covariance(
    cov: Float[Tensor, "row coordinate *second"], name: str = "covariance", axis: str = "coordinate"
) -> None:
    """Raise with the position of the first entry that is impossible in variances, standard deviations or matrices.

    A single one shared by all muons names no muon. Correlations may be off by 1e3 ε.
    """
    rows = max(NUMBERS_AT_A_TIME // max(cov[:1].numel(), 1), 1)
    for start in range(0, len(cov), rows):
        _check_rows(cov[start : start + rows], None if len(cov) == 1 else start, name, axis)


def _check_rows(cov: Tensor, first_muon: int | None, name: str, axis: str) -> None:
    """Check some rows; `first_muon` is the number of the first, None where one is shared by all muons."""

    def refuse(bad: Tensor, what: str) -> None:
        """Raise where `bad`, which has an entry for each number or matrix and muons last, is true."""
        if bad.any():
            muon, *entry = bad.movedim(-1, 0).nonzero()[0].tolist()
            number = cov[muon, *entry]
            axes = ["muon"] * (first_muon is not None) + [axis] * len(entry)
            position = ([] if first_muon is None else [first_muon + muon]) + entry
            where = ", ".join(f"{of} {index}" for of, index in zip(axes, position, strict=True))
            raise ValueError(
                f"{name}{' at ' + where if where else ''} {what}" + (f": {number:g}" if number.ndim == 0 else "")
            )

    matrix = cov.movedim(0, -1).contiguous()  # muons last, so that every sum and product runs along memory
    if not torch.isfinite(matrix.sum()):  # much quicker than entry by entry; a sum may overflow where no entry does
        refuse(~torch.isfinite(matrix), "is not finite")
    if cov.ndim == 2:
        refuse(matrix < 0, "is a negative variance" if name == "covariance" else "is negative")
        return
    variance = matrix.diagonal(dim1=0, dim2=1).mT
    refuse(variance < 0, "has a negative variance on the diagonal")
    # As correlations, so that coordinates of small and of large variance are checked to the same precision.
    scale = torch.where(variance > 0, variance, 1.0).rsqrt()
    correlation = matrix * scale[:, None] * scale
    rounding = 1e3 * torch.finfo(cov.dtype).eps
    if not torch.equal(matrix, matrix.transpose(0, 1)):
        refuse((correlation - correlation.transpose(0, 1)).abs() > rounding, "is not symmetric")
    bad = torch.zeros_like(variance[0], dtype=torch.bool)
    without = variance == 0
    if without.any():  # a coordinate without variance has no covariance
        bad |= (without[:, None] & (matrix != 0)).any(dim=1).any(dim=0)
    # Positive semi-definite up to rounding: every pivot is positive with that much on the diagonal.
    correlation.diagonal(dim1=0, dim2=1).mT.add_(torch.where(variance > 0, rounding, 1.0))
    for index, pivot in enumerate(correlation.diagonal(dim1=0, dim2=1).unbind(-1)):
        bad |= ~(pivot > 0)
        below = correlation[index + 1 :, index]
        correlation[index + 1 :, index + 1 :].sub_(below[:, None] * (below / pivot))
    refuse(bad, "is not positive semi-definite")


def combined(
    root: Float[Tensor, "#muon coordinate deviate"], z: Float[Tensor, "#muon point deviate"]
) -> Float[Tensor, "muon point coordinate"]:
    """A z, the deviations of hits whose covariance is A Aᵀ.

    Summed deviate by deviate: the rounding of a matrix product depends on the number of muons. The numbers of each
    coordinate lie together, so that every product runs along memory.
    """
    rows, z = root.movedim(0, -1).contiguous()[..., None], z.movedim(-1, 0).contiguous()
    off = rows[:, 0] * z[0]
    for index in range(1, len(z)):
        off += rows[:, index] * z[index]
    return off.movedim(0, -1)


def thrown(
    hits: Float[Tensor, "muon coordinate"], off: Float[Tensor, "#muon point coordinate"]
) -> Float[Tensor, "muon point coordinate"]:
    """The hits of each muon off by these deviations, which lie as `combined` leaves them."""
    return (hits.t().contiguous()[:, :, None] + off.movedim(-1, 0)).movedim(0, -1)


def cholesky(cov: Float[Tensor, "#muon *coordinates"]) -> Float[Tensor, "#muon coordinate coordinate"]:
    """The lower triangular L with Σ = L Lᵀ, for Σ as `canonical` gives it, also where it is only semi-definite.

    A coordinate that is fully determined by those before it has a column of zeros, where the usual decomposition would
    divide by zero. A remaining variance below 100 ε of the coordinate's own counts as rounding.
    """
    if cov.ndim == 2:
        return torch.diag_embed(cov.sqrt())
    rounding = 100 * torch.finfo(cov.dtype).eps
    index = torch.arange(cov.shape[-1], device=cov.device)
    columns: list[Tensor] = []
    for column in range(cov.shape[-1]):
        rest = cov[:, :, column]
        for before in columns:
            rest = rest - before * before[:, column, None]
        pivot = rest[:, column, None]
        own = pivot > rounding * cov[:, column, column, None]
        root = torch.where(own, pivot, 1.0).sqrt()
        columns.append(torch.where(own & (index >= column), rest / root, 0.0))
    return torch.stack(columns, dim=2)


def orthogonal(vectors: Float[Tensor, "muon vector coordinate"]) -> Float[Tensor, "muon coordinate coordinate"]:
    """An orthonormal basis whose first k vectors span the first k given vectors; the last of these may be 0.

    By Householder's reflections, not `torch.linalg.qr` (docs/reproducibility.md).
    """
    coordinates = vectors.shape[2]
    dot = lambda rows, v: combined(v[:, None], rows)  # noqa: E731
    reflections = []
    for index in range(min(vectors.shape[1], coordinates)):
        v = vectors[:, index].clone()
        v[:, :index] = 0
        v[:, index] += torch.copysign(dot(v[:, None], v)[:, 0, 0].sqrt(), v[:, index])
        square = dot(v[:, None], v)
        twice = torch.where(square > 0, 2 / square, 0.0)
        vectors = vectors - twice * dot(vectors, v) * v[:, None]
        reflections.append((twice, v))
    basis = torch.eye(coordinates).to(vectors).expand(len(vectors), -1, -1)
    for twice, v in reversed(reflections):
        basis = basis - twice * dot(basis, v) * v[:, None]
    return basis
