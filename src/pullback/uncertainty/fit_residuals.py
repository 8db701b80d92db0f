"""Residuals of a fit with their uncertainties, and χ² by the covariance of the hits that is propagated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .arguments import Hits, give_back, measured
from .covariance import HitUncertainty, cholesky, combined
from .elementwise import total
from .inference import reason_in
from .jacobians import value_and_jacobian

Fitted = Callable[[Float[Tensor, "muon coordinate"]], Float[Tensor, "muon coordinate"]]
"""The positions that a fit predicts, from the hits."""

ENTRIES_AT_A_TIME = 1 << 21
"""Entries of the matrices of muons that are computed at a time, where each muon has its own."""

NO_CONSTRAINT = 1e-6
"""Smallest singular value of a fit, relative to the largest, that counts as a parameter; and smallest leverage
1 − ∂fitted/∂h of a hit, below which the hit alone determines the fit at its layer and has no residual.
"""


class FitResiduals(NamedTuple):
    """What `fit_residuals` returns: χ² of each muon, and the unbiased residuals of its hits."""

    chi2: Float[Tensor, " muon"]
    ndf: Float[Tensor, " muon"]
    p_value: Float[Tensor, " muon"]
    residual: Float[Tensor, "muon coordinate"]
    sigma: Float[Tensor, "muon coordinate"]


def fit_residuals(
    fitted: Fitted,
    hits: Hits,
    *,
    sigma: HitUncertainty | None = None,
    covariance: HitUncertainty | None = None,
    linear: bool = False,
) -> FitResiduals:
    """χ² of each muon by the covariance of its hits, and unbiased residuals with their uncertainties.

    With r = h − fitted(h) and R = ∂r/∂h, r has the covariance R Σ Rᵀ, whatever the weights of the fit. Then
    χ² = rᵀ (R Σ Rᵀ)⁺ r with ndf = rank(R) is that of generalized least squares, and follows the χ² distribution for
    Gaussian noise of covariance Σ. The unbiased residual of a hit is the hit minus the prediction of the fit without
    this hit, r_i / R_ii; it is exact where the fit is least squares, else it is of first order in r.

    Parameters
    ----------
    fitted : callable
        Function of hits (muon, coordinate) that returns the fitted positions (muon, coordinate), muon by muon; NaN
        where it predicts none. It gets torch tensors, with NaN for missing hits.
    hits : Tensor or ndarray
        Hits (muon, coordinate); NaN for a missing hit.
    sigma, covariance : float, Tensor or ndarray
        Uncertainty of the hits, as for `propagate`; exactly one of both.
    linear : bool
        Whether `fitted` is linear in the available hits without a constant, as a least-squares line is. Its Jacobian
        then is the same for all muons with the same hits.

    Returns
    -------
    FitResiduals
        chi2, ndf and p_value, the survival function of χ² (muon,), NaN for a muon without a fit (p_value also for
        ndf = 0); residual and sigma (muon, coordinate) in the unit of the hits, NaN for a missing hit, or one that the
        fit can't predict without it. numpy arrays where hits are one.

    Raises
    ------
    TypeError, ValueError
        What `propagate` raises.

    References
    ----------
    PDG 2024, section 40.2.3 (χ² of correlated hits); R. D. Cook and S. Weisberg, Residuals and Influence in
    Regression (1982), section 2.2.3 (deleted residuals).

    Examples
    --------
    The middle one of three hits is 0.03 off the line through the others, which predicts it to √(1/2) σ:

    >>> import torch
    >>> from functools import partial
    >>> from pullback import fit_residuals
    >>> from pullback.models.track import fitted
    >>> line = partial(fitted, z=[0.0, 1.0, 2.0], resolution=[100.0, 100.0, 100.0])
    >>> hits = torch.tensor([[0.1, 0.23, 0.3]], dtype=torch.float64)
    >>> found = fit_residuals(line, hits, sigma=0.01, linear=True)
    >>> found.chi2, found.ndf
    (tensor([6.0000], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    >>> found.residual
    tensor([[-0.0600,  0.0300, -0.0600]], dtype=torch.float64)
    >>> found.sigma
    tensor([[0.0245, 0.0122, 0.0245]], dtype=torch.float64)

    """
    given = measured(fitted, hits, sigma, covariance)
    muons, coordinates = given.hits.shape
    chi2, ndf = given.hits.new_full((2, muons), float("nan")).unbind(0)
    residual, width = given.hits.new_full((2, muons, coordinates), float("nan")).unbind(0)
    for group in FitGroups(fitted, linear).of(given.hits, given.covariance):
        where = group.rows[:, None], group.used[None]
        chi2[group.rows], ndf[group.rows] = group.chi2, float(group.ndf)
        residual[where], width[where] = group.unbiased, group.sigma.expand(len(group.rows), -1)
    return give_back(hits, FitResiduals(chi2, ndf, p_values(chi2, ndf), residual, width))


def p_values(chi2: Float[Tensor, " muon"], ndf: Float[Tensor, " muon"]) -> Float[Tensor, " muon"]:
    """The probability of a larger χ², from its survival function; NaN without degrees of freedom."""
    from scipy.special import gammaincc

    found = gammaincc(ndf.numpy(force=True) / 2, chi2.numpy(force=True) / 2)
    return torch.where(ndf > 0, torch.from_numpy(np.asarray(found)).to(chi2), float("nan"))


class FitShape(NamedTuple):
    """What is the same for muons with the same hits, Σ and Jacobian; or one of each per muon.

    Attributes
    ----------
    hat : tensor
        H = ∂fitted/∂h.
    leverage : tensor
        R_ii = 1 − H_ii, or M_ii of a `best` prediction; NaN where the hit alone determines the fit.
    sigma : tensor
        Standard uncertainty of the unbiased residuals.
    white : tensor
        W, whose W r are `ndf` independent numbers of variance 1: Wᵀ W = M = Σ⁻¹ − Σ⁻¹ A (Aᵀ Σ⁻¹ A)⁻¹ Aᵀ Σ⁻¹, with the
        columns of A all that the fit can predict.
    best : bool
        Whether a hit is predicted as well as the others can, by Σ, whatever the weights of the fit.

    """

    hat: Float[Tensor, "#muon coordinate coordinate"]
    leverage: Float[Tensor, "#muon coordinate"]
    sigma: Float[Tensor, "#muon coordinate"]
    white: Float[Tensor, "#muon freedom coordinate"]
    best: bool


class FitGroup(NamedTuple):
    """Muons with the same hits: their rows, the indices of these hits, their residuals, and the shape of their fit."""

    rows: Int[Tensor, " muon"]
    used: Int[Tensor, " coordinate"]
    raw: Float[Tensor, "muon coordinate"]
    shape: FitShape
    whitened: Float[Tensor, "muon freedom"]

    @property
    def ndf(self) -> int:
        """Degrees of freedom."""
        return self.whitened.shape[1]

    @property
    def chi2(self) -> Float[Tensor, " muon"]:
        """χ² of each muon."""
        return total([self.raw.new_zeros(len(self.raw)), *self.whitened.square().unbind(1)])

    @property
    def unbiased(self) -> Float[Tensor, "muon coordinate"]:
        """Hits minus predictions without them: r_i/R_ii of the fit, or (M r)_i/M_ii of the best."""
        return (self.information if self.shape.best else self.raw) / self.shape.leverage

    @property
    def information(self) -> Float[Tensor, "muon coordinate"]:
        """M r."""
        terms = zip(self.whitened.unbind(1), self.shape.white.unbind(1), strict=True)
        return total([torch.zeros_like(self.raw), *(number[:, None] * row for number, row in terms)])

    @property
    def sigma(self) -> Float[Tensor, "#muon coordinate"]:
        """Standard uncertainty of `unbiased`."""
        return self.shape.sigma


class FitGroups:
    """Divides muons into groups that have the same hits, and describes the fit of each; see `fit_residuals`."""

    def __init__(self, fitted: Fitted, linear: bool, *, best: bool = False):
        """Groups of a fit, which may be `linear`; its residuals are from the `best` predictions, or its own."""
        self.fitted, self.linear, self.best = fitted, linear, best
        self._shapes: dict[bytes, FitShape] = {}  # of the one Σ that all calls share

    def of(
        self, hits: Float[Tensor, "muon coordinate"], covariance: Tensor, hat: Tensor | None = None
    ) -> Iterator[FitGroup]:
        """The groups of muons with a fit; a covariance that all muons share must be the same in all calls.

        With `hat` (muon, coordinate, coordinate) in place of the fit, each muon has a linear one of its own, NaN where
        it predicts nothing.
        """
        shared = self.linear and len(covariance) == 1 and hat is None
        step = max(1, len(hits) if shared else ENTRIES_AT_A_TIME // hits.shape[1] ** 2)
        for start in range(0, len(hits), step):
            own = covariance if len(covariance) == 1 else covariance[start : start + step]
            hats = None if hat is None else hat[start : start + step]
            for group in self._of_some(hits[start : start + step].detach(), own.detach(), shared, hats):
                yield group._replace(rows=group.rows + start)

    def _of_some(self, hits: Tensor, covariance: Tensor, shared: bool, hats: Tensor | None) -> Iterator[FitGroup]:
        with torch.no_grad():
            raw = hits - (
                self._predicted(hits) if hats is None else combined(hats, _zeros_if_missing(hits)[:, None])[:, 0]
            )
        for rows, used in _same_hits(torch.isfinite(raw)):
            own = covariance if len(covariance) == 1 else covariance[rows]
            own = own[:, used] if own.ndim == 2 else own[:, used][:, :, used]
            if len(own) == len(rows):  # scattering of a track that is almost horizontal may be infinite: it has no fit
                known = torch.isfinite(own.flatten(1)).all(dim=1)
                rows, own = rows[known], own[known]
            if not len(rows):
                continue
            key = used.numpy(force=True).tobytes()
            shapes: list[tuple[Tensor | slice, FitShape]]
            if shared and key in self._shapes:
                shapes = [(slice(None), self._shapes[key])]
            else:
                hat = self._hat(hits, rows, used) if hats is None else hats[rows][:, used][:, :, used]
                known = torch.isfinite(hat.flatten(1)).all(dim=1)
                if not known.any():  # some predictions overflowed, and the hits that are left have no fit
                    continue
                if not known.all():
                    rows, hat, own = rows[known], hat[known], own if len(own) == 1 else own[known]
                shapes = list(_shapes(hat, own, self.best))
            if shared:
                self._shapes[key] = shapes[0][1]
            for which, shape in shapes:
                off = raw[rows[which]][:, used]
                yield FitGroup(rows[which], used, off, shape, combined(shape.white, off[:, None])[:, 0])

    def _predicted(self, hits: Tensor) -> Float[Tensor, "muon coordinate"]:
        """The fitted positions."""
        try:
            found = self.fitted(hits)
        except (IndexError, ValueError, RuntimeError) as error:
            if reason := reason_in(error, hits.shape[1]):
                raise ValueError(f"fitted {reason}") from error
            raise
        if not isinstance(found, Tensor) or found.shape != hits.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"fitted must return a tensor (muon, coordinate), {tuple(hits.shape)}, not {shape}")
        return found

    def _hat(self, hits: Tensor, rows: Tensor, used: Tensor) -> Float[Tensor, "#muon coordinate coordinate"]:
        """H among the hits that are used."""
        if self.linear:  # its column k is what the fit makes of a hit of 1 in coordinate k and 0 in the others
            ones = hits.new_full((len(used), hits.shape[1]), float("nan"))
            ones[:, used] = torch.eye(len(used), dtype=hits.dtype, device=hits.device)
            with torch.no_grad():
                return self.fitted(ones)[:, used].t()[None]
        jacobian = value_and_jacobian(self.fitted, hits[rows])[1].detach()
        return jacobian[:, used][:, :, used]


def _zeros_if_missing(hits: Tensor) -> Tensor:
    return torch.where(torch.isnan(hits), 0.0, hits)


def _same_hits(used: Bool[Tensor, "muon coordinate"]) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows with each pattern of hits, and the indices of these hits; without rows that have none."""
    if used.all():
        if used.numel():
            yield torch.arange(len(used), device=used.device), torch.arange(used.shape[1], device=used.device)
        return
    packed = np.packbits(used.numpy(force=True), axis=1)
    words = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), "u1")
    words[:, : packed.shape[1]] = packed
    codes = words.view("u8")
    order = np.lexsort(codes.T)
    starts = np.flatnonzero((codes[order][1:] != codes[order][:-1]).any(axis=1)) + 1
    for rows in np.split(order, starts):
        indices = used[int(rows[0])].nonzero()[:, 0]
        if len(indices):
            yield torch.from_numpy(rows).to(used.device), indices


def _shapes(hat: Tensor, covariance: Tensor, best: bool) -> Iterator[tuple[Tensor | slice, FitShape]]:
    """The shape of the fit, for the muons in which it has the same number of parameters."""
    variance = covariance if covariance.ndim == 2 else covariance.diagonal(dim1=1, dim2=2)
    scale = variance.sqrt().mean(dim=0)  # of large variances, the mean itself could be infinite
    # In units of σ, numbers of very different layers are alike. The left singular vectors to the singular value 0 are
    # the combinations of hits that the fit always predicts as 0.
    vectors, values, _ = torch.linalg.svd(hat / scale[:, None] * scale)
    ranks = (values > NO_CONSTRAINT * values[:, :1].clamp(min=NO_CONSTRAINT)).sum(dim=1)
    for rank in ranks.unique().tolist():
        which: Tensor | slice = slice(None) if (ranks == rank).all() else (ranks == rank).nonzero()[:, 0]
        own = covariance if len(covariance) == 1 else covariance[which]
        contrasts = (vectors[which][:, :, rank:] / scale[:, None]).mT
        yield which, (_best_shape if best else _shape)(hat[which], contrasts, own)


def _best_shape(hat: Tensor, contrasts: Tensor, covariance: Tensor) -> FitShape:
    """The shape of the best fit, from what `_shape` takes; a hit has the residual (M r)_i/M_ii of variance 1/M_ii."""
    white = _whitened(contrasts, covariance)
    variance = covariance if covariance.ndim == 2 else covariance.diagonal(dim1=1, dim2=2)
    information = total([torch.zeros_like(variance), *white.square().unbind(1)])
    information = torch.where(information * variance > NO_CONSTRAINT, information, float("nan"))
    return FitShape(hat, information, information.rsqrt(), white, best=True)


def _shape(hat: Tensor, contrasts: Tensor, covariance: Tensor) -> FitShape:
    """The shape of a fit from combinations of hits (row, freedom, coordinate) that it always predicts as 0."""
    residual = torch.eye(hat.shape[1], dtype=hat.dtype, device=hat.device) - hat
    variance = total((product(residual, covariance) * residual).unbind(2))
    leverage = residual.diagonal(dim1=1, dim2=2)
    leverage = torch.where(leverage > NO_CONSTRAINT, leverage, float("nan"))
    width = variance.clamp(min=0).sqrt() / leverage
    return FitShape(hat, leverage, width, _whitened(contrasts, covariance), best=False)


def _whitened(contrasts: Tensor, covariance: Tensor) -> Float[Tensor, "#muon freedom coordinate"]:
    """Combinations of hits with unit covariance that span the same as the contrasts: L⁻¹ Nᵀ, with L Lᵀ = Nᵀ Σ N."""
    if not contrasts.shape[1]:
        return contrasts
    root = cholesky(product(product(contrasts, covariance), contrasts.mT))
    rows: list[Tensor] = []
    for index in range(contrasts.shape[1]):
        rest = contrasts[:, index]
        for before, row in enumerate(rows):
            rest = rest - root[:, index, before, None] * row
        rows.append(rest / root[:, index, index, None])
    return torch.stack(rows, dim=1)


def product(left: Float[Tensor, "#muon row inner"], right: Float[Tensor, "#muon ..."]) -> Float[Tensor, "#muon row _"]:
    """The product of matrices, or of a matrix and variances (muon, inner), term by term (docs/reproducibility.md)."""
    if right.ndim == 2:
        return left * right[:, None]
    return total(left[:, :, index, None] * right[:, None, index] for index in range(left.shape[2]))
