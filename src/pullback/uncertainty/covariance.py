"""Covariances of hits: their shapes, whether they are possible, and their Cholesky factors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NUMBERS_AT_A_TIME = 1 << 18
"""Entries of covariances that are checked at a time, so that intermediate results stay small."""


def canonical(covariance, hits) -> Tensor:
    """The covariance as variances (1 or muon, coordinate) or matrices (1 or muon, coordinate, coordinate), checked."""
    muons, coordinates = hits.shape
    if isinstance(covariance, float) and 0 <= covariance < float("inf"):
        return hits.new_full((1, coordinates), covariance)
    try:
        cov = torch.as_tensor(covariance, dtype=hits.dtype, device=hits.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"covariance must be a number or an array of numbers, not {covariance!r}") from None
    shape = tuple(cov.shape)
    if muons == coordinates > 1 and shape in {(muons,), (muons, coordinates)}:
        raise ValueError(
            f"covariance of shape {shape} is ambiguous for {muons} muons with {coordinates} coordinates: write "
            f"(1, …) in front for one covariance shared by all muons, or (muon, 1), (muon, coordinate, coordinate)"
        )
    allowed = {
        (): lambda: cov.expand(1, coordinates),
        (coordinates,): lambda: cov[None, :],
        (coordinates, coordinates): lambda: cov[None, :, :],
        (1, coordinates): lambda: cov,  # of one coordinate a variance, not a matrix: it has nothing to correlate
        (1, coordinates, coordinates): lambda: cov,
        (muons,): lambda: cov[:, None].expand(muons, coordinates),
        (muons, 1): lambda: cov.expand(muons, coordinates),
        (muons, coordinates): lambda: cov,
        (muons, coordinates, coordinates): lambda: cov,
    }
    if shape not in allowed:
        raise ValueError(
            f"covariance has shape {shape}; for {muons} muons with {coordinates} coordinates it must be a number, "
            f"({coordinates},) or ({coordinates}, {coordinates}), or one of these for each muon: ({muons}, …)"
        )
    cov = allowed[shape]()
    check_covariance(cov.detach())
    return cov


def check_covariance(cov: Float[Tensor, "row coordinate *second"]) -> None:
    """Raise with the position of the first entry that no covariance can have: variances or matrices for each muon.

    Where there is but one for all muons, no muon is named. Correlations are held to 1e3 ε.
    """
    rows = max(NUMBERS_AT_A_TIME // cov[:1].numel(), 1) if len(cov) else 1
    for start in range(0, len(cov), rows):
        _check_rows(cov[start : start + rows], None if len(cov) == 1 else start)


def _check_rows(cov, first_muon) -> None:
    """Check some rows; `first_muon` is the number of the first, None where there is but one for all."""

    def refuse(bad, what):
        """`bad` has an entry for each number or matrix, with muons last."""
        if bad.any():
            muon, *entry = bad.movedim(-1, 0).nonzero()[0].tolist()
            number = cov[muon, *entry]
            names = ["muon"] * (first_muon is not None) + ["coordinate"] * len(entry)
            position = ([] if first_muon is None else [first_muon + muon]) + entry
            where = ", ".join(f"{name} {index}" for name, index in zip(names, position, strict=True))
            raise ValueError(
                f"covariance{' at ' + where if where else ''} {what}" + (f": {number:g}" if number.ndim == 0 else "")
            )

    matrix = cov.movedim(0, -1).contiguous()  # muons last, so that every sum and product runs along memory
    if not torch.isfinite(matrix.sum()):  # much quicker than each; a sum may be too large where no entry is
        refuse(~torch.isfinite(matrix), "is not finite")
    if cov.ndim == 2:
        refuse(matrix < 0, "is a negative variance")
        return
    variance = matrix.diagonal(dim1=0, dim2=1).mT
    refuse(variance < 0, "has a negative variance on the diagonal")
    # Judged as correlations, so that a coordinate of small variance is held to the same precision as one of large.
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
    """A z, how far off hits are whose covariance is A Aᵀ.

    Deviate by deviate, since a matrix product has other last bits in other company (docs/reproducibility.md).
    """
    off = z[:, :, :1] * root[:, None, :, 0]
    for index in range(1, root.shape[2]):
        off = off + z[:, :, index, None] * root[:, None, :, index]
    return off


def cholesky(cov: Float[Tensor, "#muon *coordinates"]) -> Float[Tensor, "#muon coordinate coordinate"]:
    """The lower triangular L with Σ = L Lᵀ, for Σ as `canonical` gives it, also where it is only semi-definite.

    A coordinate that is settled by those before it has no column of its own: it is zero, where the usual decomposition
    would divide by zero. What it has of its own counts as rounding below 100 ε of its variance.
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
