"""The best straight lines through hits of any covariance, as a linear map of the hits of each muon.

Lines of a muon are given by their positions at two reference heights each, from which every observable follows, however
the hits are weighted: their weights, heights and losses may differ from muon to muon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ..uncertainty.elementwise import products, total
from ..uncertainty.fit_residuals import product

ROWS_AT_A_TIME = 1 << 18
"""Entries of the matrices of muons that are solved together, so that intermediate results stay small."""

RUN = 16
"""Muons that share their heights, on average, from which on the map is sought once for all with the same hits."""

PATTERN_BITS = 32
"""Coordinates whose hits or losses are numbered together."""

LEAST_PIVOT = 100 * torch.finfo(torch.float64).eps
"""Smallest variance of a combination of hits, relative to that of a hit, that is not rounding."""


class Gain(NamedTuple):
    """The linear map from the hits of each muon to the positions of its lines at the reference heights.

    Attributes
    ----------
    matrix : tensor (row, position, coordinate)
        The map; 0 for hits that are missing and for lines that do not exist.
    known : tensor (row, position)
        Whether the line exists.
    spare : tensor (row, position)
        A variance for positions of lines that do not exist.
    rows : tensor (muon,), optional
        The row of each muon; None where all share one, or each has its own.

    """

    matrix: Float[Tensor, "row position coordinate"]
    known: Bool[Tensor, "row position"]
    spare: Float[Tensor, "row position"]
    rows: Int[Tensor, " muon"] | None

    def of_muons(self, each: Shaped[Tensor, "row ..."]) -> Shaped[Tensor, "#muon ..."]:
        """What each row has, muon by muon."""
        return each if self.rows is None else each[self.rows]

    def take(self, muons: slice | Int[Tensor, " some"]) -> Gain:
        """The map of some muons."""
        if self.rows is not None:
            return self._replace(rows=self.rows[muons])
        if len(self.matrix) == 1:
            return self
        return self._replace(matrix=self.matrix[muons], known=self.known[muons], spare=self.spare[muons])

    def positions(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon position"]:
        """The positions of the lines; NaN for a line that does not exist, infinite for one through an infinite hit."""
        whole = bool(torch.isfinite(hits.detach().sum()))  # much faster than testing each
        there = (hits if whole else torch.where(torch.isfinite(hits), hits, 0.0)).t().contiguous()
        matrix = self.matrix.movedim(0, -1)  # muons last, so that every sum runs along memory
        places = [[each if self.rows is None else each[self.rows] for each in place] for place in matrix]
        sums = [total(factor * x for factor, x in zip(place, there, strict=True)) for place in places]
        found = torch.stack([each.expand(len(hits)) for each in sums], dim=1)
        if not self.known.all():
            found = torch.where(self.of_muons(self.known), found, float("nan"))
        return found if whole else torch.where(torch.isinf(hits).any(dim=1)[:, None], float("inf"), found)

    def propagated(self, covariance: Float[Tensor, "#muon *coordinates"]) -> Float[Tensor, "#muon position position"]:
        """G Σ Gᵀ, for variances or matrices: (G L)(G L)ᵀ with Σ = L Lᵀ is symmetric, and positive, to the last bit."""
        own = len(covariance) > 1
        matrix, last = (self.of_muons(self.matrix) if own else self.matrix).movedim(0, -1), covariance.movedim(0, -1)
        if covariance.ndim == 2:
            spread = matrix * last.sqrt()
        else:
            factor = enumerate(_cholesky(last.contiguous()))
            spread = torch.stack([total((matrix[:, start:] * column).unbind(1)) for start, column in factor], dim=1)
        found = products(spread, spread.transpose(0, 1)).movedim(-1, 0)
        if not self.known.all():
            spare = torch.where(self.known, 0.0, self.spare)
            found = found + torch.diag_embed(self.of_muons(spare) if own else spare)
        return found if own else self.of_muons(found)

    def spread(self, root: Float[Tensor, "#muon coordinate deviate"]) -> Float[Tensor, "#muon position deviate"]:
        """G A, for a factor A of the covariance of the hits."""
        return product(self.of_muons(self.matrix), root)


def gain_of(
    weighed: Float[Tensor, "#muon *coordinates"],
    z: Float[Tensor, "#muon coordinate"],
    hits: Float[Tensor, "muon coordinate"],
    lines: Sequence[range],
    references: Sequence[Float[Tensor, " 2"]],
) -> Gain:
    """The map from the hits of each muon to its lines by generalized least squares.

    With the design matrix A of all lines and a covariance Σ of the hits, (Aᵀ Σ⁻¹ A)⁻¹ Aᵀ Σ⁻¹ h is unbiased, and if Σ is
    that of the hits, no linear estimate has a smaller variance. Lines whose hits are correlated are fitted together:
    what hits of one say of the scattering before the other is used. Missing hits (NaN) are left out of Σ and A. A line
    does not exist with hits at fewer than two heights, or with an infinite hit; its hits are left out, too.

    Parameters
    ----------
    weighed : tensor
        Σ of the weights, as variances or matrices, one for all muons or one for each.
    z : tensor (1 or muon, coordinate)
        Height of each hit, m.
    hits : tensor (muon, coordinate)
        The hits, of which only those that exist matter here.
    lines : sequence of range
        The coordinates of each line.
    references : sequence of tensor (2,)
        The two heights, m, at which the positions of each line are given.

    Returns
    -------
    Gain
        The map, once for each pattern of missing hits where muons differ in nothing else, or in heights that successive
        muons share.

    Source: A. C. Aitken, Proc. R. Soc. Edinb. 55 (1936) 42; for straight tracks it is what a Kalman filter gives
    (R. Frühwirth, Nucl. Instrum. Meth. A 262 (1987) 444).

    """
    seen, rows = torch.isfinite(hits.detach()), None
    if max(len(weighed), len(z)) == 1 and seen.all():
        seen = seen[:1]
    elif len(weighed) == 1 and (runs := _runs(z, len(seen))) is not None:
        first, rows = _patterns(seen, runs)
        seen, z = seen[first], z if len(z) == 1 else z[first]
    step = max(1, ROWS_AT_A_TIME // hits.shape[1] ** 2)
    found = [
        _of_some(_rows(weighed, some), _rows(z, some), seen[some], lines, references)
        for some in (slice(start, start + step) for start in range(0, max(len(seen), 1), step))
    ]
    matrix, known, spare = found[0] if len(found) == 1 else map(torch.cat, zip(*found, strict=True))
    return Gain(matrix, known, spare, rows)


def _runs(z: Float[Tensor, "#muon coordinate"], muons: int) -> Int[Tensor, " muon"] | None:
    """The number of the run of successive muons with equal heights, for each muon; None if there are many runs."""
    new = (z[1:] != z[:-1]).any(dim=1)
    if RUN * int(new.sum()) > muons:
        return None
    return z.new_zeros(muons, dtype=torch.long) if len(z) == 1 else torch.cat([new.new_zeros(1), new]).cumsum(dim=0)


def _patterns(
    seen: Bool[Tensor, "muon coordinate"], index: Int[Tensor, " muon"]
) -> tuple[Int[Tensor, " pattern"], Int[Tensor, " muon"]]:
    """The first muon with each pattern of hits among those of one index, and the number of the pattern of each muon."""
    muons = torch.arange(len(seen), device=seen.device)
    for some in seen.split(PATTERN_BITS, dim=1):
        bits = total(column.long() << place for place, column in enumerate(some.unbind(1)))
        _, index = torch.unique((index << PATTERN_BITS) + bits, return_inverse=True)
    return index.new_full((int(index.max()) + 1,), len(seen)).scatter_reduce(0, index, muons, "amin"), index


def _rows(values: Tensor, some: slice) -> Tensor:
    """Some rows, with muons last; one that all share stays."""
    return (values if len(values) == 1 else values[some]).movedim(0, -1).contiguous()


def _of_some(
    weighed: Tensor, z: Tensor, seen: Tensor, lines: Sequence[range], references: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix, known and spare of some rows, from what has muons last."""
    variance = weighed if weighed.ndim == 2 else weighed.diagonal(dim1=0, dim2=1).mT
    seen, fixed = seen.t(), z.detach()
    slices = [slice(line.start, line.stop) for line in lines]
    known = torch.stack([has_line(seen[own], fixed[own]) for own in slices])
    used = seen & torch.cat([known[index].expand(len(each), -1) for index, each in enumerate(lines)])
    weight = torch.where(used, 1 / variance, 0.0)
    fixed_weight = weight.detach()  # heights are taken from a centre near the hits, which changes no line
    columns, centres = [], []
    for index, own in enumerate(slices):
        sums = torch.where(known[index], total(fixed_weight[own]), 1.0)
        centres.append(total(fixed_weight[own] * fixed[own]) / sums)
        here = torch.zeros_like(used)
        here[own] = used[own]
        columns += [here.to(z), torch.where(here, z - centres[-1], 0.0)]
    design = torch.stack(columns, dim=1)
    both = known.repeat_interleave(2, dim=0)
    weighted = design * weight[:, None] if weighed.ndim == 2 else _solved(_without(weighed, used), design)
    normal = total(weighted[:, :, None] * design[:, None])
    normal = normal + torch.diag_embed(torch.where(both, 0.0, 1.0).t()).movedim(0, -1)
    solved = _solved(normal, weighted.transpose(0, 1))
    matrix = torch.stack(
        [
            solved[2 * index] + (height - centre) * solved[2 * index + 1]
            for index, (centre, heights) in enumerate(zip(centres, references, strict=True))
            for height in heights
        ]
    )
    spare = torch.stack([variance[line.start] for line in lines for _ in range(2)]).expand_as(both)
    return matrix.movedim(-1, 0), both.t(), spare.t()


def has_line(seen: Bool[Tensor, "coordinate ..."], z: Float[Tensor, "coordinate ..."]) -> Bool[Tensor, " #row"]:
    """Whether hits are at two heights at least."""
    return torch.where(seen, z, -torch.inf).amax(dim=0) > torch.where(seen, z, torch.inf).amin(dim=0)


def _without(covariance: Tensor, used: Tensor) -> Tensor:
    """The covariance (coordinate, coordinate, row), in which hits that are not used have no correlations."""
    alone = torch.diag_embed(torch.where(used, 0.0, 1.0).t()).movedim(0, -1)
    return torch.where(used[:, None] & used, covariance, 0.0) + alone


def _solved(
    matrix: Float[Tensor, "place place #row"], right: Float[Tensor, "place column #row"]
) -> Float[Tensor, "place column #row"]:
    """M⁻¹ B for symmetric positive matrices M, by their Cholesky factors; of a singular one, close to its limit."""
    columns, forward = _cholesky(matrix), []
    for column in columns:
        forward.append(right[0] / column[0])
        right = right[1:] - column[1:, None] * forward[-1]
    found: list[Tensor] = []
    for column, value in zip(reversed(columns), reversed(forward), strict=True):
        known = [each * x for each, x in zip(column[1:], found, strict=True)]
        found.insert(0, (value - total(known) if known else value) / column[0])
    return torch.stack(found)


def _cholesky(matrix: Float[Tensor, "place place #row"]) -> list[Float[Tensor, " _ #row"]]:
    """The columns of the Cholesky factors, from the diagonal down; pivots that are rounding are raised above it."""
    columns, rest = [], matrix
    for index in range(len(matrix)):
        pivot = rest[0, 0].clamp(min=LEAST_PIVOT * matrix[index, index].detach())
        columns.append(torch.cat([pivot[None], rest[1:, 0]]) / pivot.sqrt())
        rest = rest[1:, 1:] - columns[-1][1:, None] * columns[-1][None, 1:]
    return columns
