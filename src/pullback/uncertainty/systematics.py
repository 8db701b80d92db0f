"""Uncertainties that all muons share: a layer's position, a parameter of the model.

Importing this does not import torch: jobs without torch check names and correlations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .arrays import Array, Given, Tensor
from .inference import SharedInfer, accepts_missing

MUONS_IN_GRAPH = 131_072
"""Muons whose graph is held at a time."""

Uncertainties = Float[Array, "*sigma_eta"]


def systematic_jacobian(
    infer: SharedInfer, hits: Float[Given, "..."], eta: Float[Array, " systematic"]
) -> Float[Given, "muon observable systematic"]:
    """The Jacobian of each muon's observables with respect to shared parameters: G[m, o, k] = ∂y[m, o] / ∂η[k].

    Every muon depends on the same η, so a backward pass gives uᵀG, a sum over muons. It is linear in u, so its
    derivative by u is one column of G for all muons at once: G v = ∂(uᵀG v)/∂u. Each column costs one more backward
    pass, and no muon's NaN reaches another.

    Parameters
    ----------
    infer : callable
        Function of hits (muon, coordinate) and of the shared parameters η (systematic,) that returns observables (muon,
        observable), muon by muon, both torch tensors; torch must know its second derivatives. A true attribute
        `missing` says that NaN stands for a missing hit.
    hits : Tensor or ndarray
        Hits (muon, coordinate), or (muon,) for one coordinate per muon. A muon with a hit that is NaN or infinite gets
        NaN, unless infer is `missing`; so does an observable that is NaN itself.
    eta : Tensor or ndarray
        Best values of the shared parameters (systematic,).

    Returns
    -------
    Tensor or ndarray
        G (muon, observable, systematic), in units of the observables over units of η, without gradients; a numpy array
        where hits are one.

    Raises
    ------
    TypeError, ValueError
        What `muon_jacobian` raises; an infer that does not use η, or cannot be differentiated twice; a derivative by
        η that difference quotients contradict.

    References
    ----------
    Sensitivity coefficients, JCGM 100:2008, 5.1.3, with shared input quantities as in F.1.2.3.

    Examples
    --------
    >>> import torch
    >>> from pullback import systematic_jacobian
    >>> shift = lambda hits, eta: hits - eta[0]  # the layer is moved by η
    >>> hits = torch.tensor([[0.2], [0.7]], dtype=torch.float64)
    >>> systematic_jacobian(shift, hits, torch.zeros(1, dtype=torch.float64))
    tensor([[[-1.]],
    <BLANKLINE>
            [[-1.]]], dtype=torch.float64)

    """
    import torch

    from .arguments import hits_tensor, like, to_tensor
    from .jacobians import masked_jacobian
    from .slopes import is_trusted, shared_lost_from_graph

    eta = to_tensor(eta).detach()
    if eta.ndim != 1 or not len(eta):
        raise ValueError(f"eta must have shape (systematic,), not {tuple(eta.shape)}")
    at_best = lambda some: infer(some, eta)  # noqa: E731
    x = hits_tensor(at_best, hits).detach()
    # Wrong hits or a wrong infer show on a few muons, and are refused there with the messages of `muon_jacobian`.
    few = masked_jacobian(at_best, x[:3])
    missing = accepts_missing(infer)
    whole = x.new_empty(len(x), few.shape[1], len(eta))
    for start in range(0, len(x), MUONS_IN_GRAPH):
        block = x[start : start + MUONS_IN_GRAPH]
        value, jac = _differentiate(infer, block, eta)
        usable = ~value.isnan() if missing else ~value.isnan() & torch.isfinite(block).all(dim=1)[:, None]
        whole[start : start + len(block)] = torch.where(usable[:, :, None], jac, float("nan"))
    known = torch.isfinite(whole).all(dim=2).any(dim=1)
    if not is_trusted(infer) and known.any() and (lost := shared_lost_from_graph(infer, x[known], eta, whole[known])):
        raise ValueError(f"infer {lost}")
    return like(hits, whole)


def _differentiate(infer: SharedInfer, hits: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    with torch.enable_grad():
        eta = eta.clone().requires_grad_()
        value = infer(hits, eta)
        if not value.requires_grad:
            raise ValueError(
                "infer does not use the shared parameters through torch (.detach(), .item(), numpy?), so their "
                "uncertainty would be quoted as 0"
            )
        u = torch.zeros_like(value).requires_grad_()
        try:
            # As a sum, since torch imports its symbolic algebra, for a second, to look at a vector that is given.
            (row,) = torch.autograd.grad((value * u).sum(), eta, create_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise ValueError(f"infer cannot be differentiated by the shared parameters ({_line(error)})") from error
        if row is None:
            raise ValueError(
                "infer does not use the shared parameters it is given, only tensors that require gradients"
            )
        try:
            columns = [torch.autograd.grad(each, u, retain_graph=True)[0] for each in row.unbind()]
        except RuntimeError as error:
            raise ValueError(f"infer cannot be differentiated twice, as this needs ({_line(error)})") from error
    return value.detach(), torch.stack(columns, dim=2)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]


def cross_covariance(
    left: Float[Given, "*left observable systematic"],
    right: Float[Array, "*right other systematic"],
    sigma_eta: Uncertainties,
) -> Float[Given, "*both observable other"]:
    """The covariance of two muons due to shared parameters: cov(y_m, y_n) = G_m Σ_η G_nᵀ.

    For m = n the shared parameters add it to the muon's own covariance J Σ Jᵀ; for m ≠ n it is the whole covariance.
    Axes before the last two broadcast.

    Parameters
    ----------
    left, right : Tensor or ndarray
        G of one muon or of many from `systematic_jacobian`, (…, observable, systematic).
    sigma_eta : Tensor or ndarray
        Covariance of the shared parameters (systematic, systematic), or where they are independent their standard
        uncertainties (systematic,).

    Returns
    -------
    Tensor or ndarray
        (…, observable, observable), in the units of the observables; a numpy array where `left` is one.

    Raises
    ------
    ValueError
        sigma_eta of another shape, not finite, negative, not symmetric or not positive semi-definite.

    References
    ----------
    JCGM 102:2011, 6.2, for the observables of both muons as one output quantity.

    Examples
    --------
    >>> import torch
    >>> from pullback import cross_covariance
    >>> G = torch.tensor([[[-1.0]], [[-2.0]]], dtype=torch.float64)
    >>> cross_covariance(G[0], G[1], torch.tensor([0.1], dtype=torch.float64))
    tensor([[0.0200]], dtype=torch.float64)

    """
    from .arguments import like, to_tensor

    first = to_tensor(left)
    return like(left, first @ covariance_of_shared(sigma_eta, first) @ to_tensor(right).mT)


def covariance_of_shared(
    sigma_eta: Uncertainties, like: Float[Tensor, "*any systematic"]
) -> Float[Tensor, "systematic systematic"]:
    """Σ_η as a matrix, from a matrix or standard uncertainties, checked, for the systematics of `like`."""
    import torch

    from .arguments import to_tensor
    from .covariance import check_covariance

    sigma = torch.as_tensor(to_tensor(sigma_eta), dtype=like.dtype, device=like.device)
    count = like.shape[-1]
    if tuple(sigma.shape) not in {(count,), (count, count)}:
        raise ValueError(
            f"sigma_eta has shape {tuple(sigma.shape)}; for {count} systematics it must be ({count},) or "
            f"({count}, {count})"
        )
    check_covariance(sigma.detach()[None], "sigma_eta", "systematic")
    return torch.diag(sigma.square()) if sigma.ndim == 1 else sigma


class MeanUncertainty(NamedTuple):
    """The standard uncertainty of a mean over muons, its two parts (total² = independent² + shared²), and their number.

    Numbers, or one for each observable.
    """

    total: Float[Tensor, "*observable"]
    independent: Float[Tensor, "*observable"]
    shared: Float[Tensor, "*observable"]
    muons: Int[Tensor, "*observable"]


class _Sums(NamedTuple):
    """Sums over muons, for each observable."""

    muons: Tensor
    weight: Tensor
    square: Tensor
    shared: Tensor


class MeanAccumulator:
    """The uncertainty of a mean over muons from running sums, for more muons than fit in memory.

    `add` takes block after block; `result` gives what `mean_uncertainty` gives for all of them at once.

    Examples
    --------
    >>> import torch
    >>> from pullback import MeanAccumulator
    >>> mean = MeanAccumulator()
    >>> for _ in range(2):
    ...     mean.add(torch.full((50,), 0.1, dtype=torch.float64), torch.ones(50, 1, dtype=torch.float64))
    >>> mean.result(torch.tensor([0.02], dtype=torch.float64)).total  # sqrt(0.1² / 100 + 0.02²)
    tensor(0.0224, dtype=torch.float64)

    """

    def __init__(self) -> None:
        self._sums: _Sums | None = None
        self._given: Array | None = None

    def add(
        self,
        sigma: Float[Array, "muon ..."],
        shared: Float[Array, "muon ... systematic"],
        weights: Float[Array, " muon"] | None = None,
    ) -> None:
        """Add the next muons, with the arguments of `mean_uncertainty`."""
        import torch

        from .arguments import to_tensor

        self._given = sigma
        sigma, shared = (to_tensor(each).detach().double() for each in (sigma, shared))
        if shared.shape[:-1] != sigma.shape:
            raise ValueError(
                f"shared has shape {tuple(shared.shape)}; for sigma of shape {tuple(sigma.shape)} it must have these "
                "axes and one of systematics"
            )
        if (sigma < 0).any():
            raise ValueError("sigma is a negative standard uncertainty")
        usable = torch.isfinite(sigma) & torch.isfinite(shared).all(dim=-1)
        weights = sigma.new_ones(len(sigma)) if weights is None else to_tensor(weights).detach().double()
        if not torch.isfinite(weights).all():
            raise ValueError("weights must be finite")
        weight = torch.where(usable, weights.reshape(-1, *[1] * (sigma.ndim - 1)), 0.0)
        terms = _Sums(
            usable.sum(dim=0),
            weight.sum(dim=0),
            (weight * torch.where(usable, sigma, 0.0)).square().sum(dim=0),
            (weight[..., None] * torch.where(usable[..., None], shared, 0.0)).sum(dim=0),
        )
        self._sums = terms if self._sums is None else _Sums(*map(add, self._sums, terms))

    def result(self, sigma_eta: Uncertainties) -> MeanUncertainty:
        """The uncertainty of the mean over all muons so far; numpy arrays where sigma was one."""
        from .arguments import give_back

        if self._sums is None:
            raise ValueError("no muons were added: there is no mean")
        muons, weight, square, shared = self._sums
        if (weight < 0).any() or ((weight == 0) & (muons > 0)).any():
            raise ValueError("the weights must have a positive sum")
        mean = shared / weight[..., None]
        independent = square / weight.square()
        common = ((mean @ covariance_of_shared(sigma_eta, shared)) * mean).sum(dim=-1).clamp(min=0)
        total = (independent + common).sqrt()
        return give_back(self._given, MeanUncertainty(total, independent.sqrt(), common.sqrt(), muons))


def mean_uncertainty(
    sigma: Float[Array, "muon ..."],
    shared: Float[Array, "muon ... systematic"],
    sigma_eta: Uncertainties,
    weights: Float[Array, " muon"] | None = None,
) -> MeanUncertainty:
    """The standard uncertainty of a mean over muons, whose shared part does not shrink with their number.

    u² = Σ_m w_m² σ_m² + g Σ_η gᵀ with g = Σ_m w_m G_m: exact for a mean that is linear in hits and η, at the cost of
    one sum over muons, since the covariance of any two is of low rank.

    Parameters
    ----------
    sigma : Tensor or ndarray
        Standard uncertainty of each muon from its own hits alone, (muon,) or (muon, observable).
    shared : Tensor or ndarray
        G from `systematic_jacobian`, (muon, systematic) or (muon, observable, systematic).
    sigma_eta : Tensor or ndarray
        Covariance or standard uncertainties of the shared parameters, as for `cross_covariance`.
    weights : Tensor or ndarray
        Weights (muon,) of any sum; by default all muons weigh the same.

    Returns
    -------
    MeanUncertainty
        total, independent and shared standard uncertainty of the mean, in the unit of sigma, and the number of muons in
        it; numpy arrays where sigma is one. A muon whose sigma or G is not finite is left out; without any muon the
        uncertainties are NaN.

    Raises
    ------
    ValueError
        A negative sigma, weights that are not finite or have no positive sum, an impossible sigma_eta.

    References
    ----------
    JCGM 100:2008, equation 13, and F.1.2.3 for quantities in common.

    Examples
    --------
    >>> import torch
    >>> from pullback import mean_uncertainty
    >>> for muons in (100, 10_000):
    ...     sigma, G = torch.full((muons,), 0.1, dtype=torch.float64), torch.ones(muons, 1, dtype=torch.float64)
    ...     total, independent, shared, _ = mean_uncertainty(sigma, G, torch.tensor([0.02], dtype=torch.float64))
    ...     print(f"{total:.4f} {independent:.4f} {shared:.4f}")
    0.0224 0.0100 0.0200
    0.0200 0.0010 0.0200

    """
    mean = MeanAccumulator()
    mean.add(sigma, shared, weights)
    return mean.result(sigma_eta)


def correlation_matrix(
    names: Sequence[str], correlations: Sequence[tuple[str, str, float]] = ()
) -> Float[np.ndarray, "systematic systematic"]:
    """The correlation matrix of named quantities, independent where no correlation is given.

    Parameters
    ----------
    names : sequence of str
        Names of the quantities, in the order of the matrix.
    correlations : sequence of tuple
        (name, name, ρ), each pair at most once and in either order.

    Returns
    -------
    ndarray
        (systematic, systematic), with ones on the diagonal.

    Raises
    ------
    ValueError
        An unknown or duplicate name, a duplicate pair or one of a quantity with itself, ρ outside -1 to 1, or
        correlations that are impossible together.

    References
    ----------
    Correlation coefficients, JCGM 100:2008, equation 14.

    Examples
    --------
    >>> from pullback import correlation_matrix
    >>> correlation_matrix(["z0", "z1"], [("z0", "z1", 0.5)])
    array([[1. , 0.5],
           [0.5, 1. ]])

    """
    place = {name: index for index, name in enumerate(names)}
    if len(place) < len(names):
        raise ValueError(f"duplicate systematic {next(name for name in names if list(names).count(name) > 1)!r}")
    matrix = np.eye(len(names))
    seen = set()
    for one, other, rho in correlations:
        for name in (one, other):
            if name not in place:
                raise ValueError(f"correlation of {name!r}: there is no such systematic, only {', '.join(names)}")
        if one == other:
            raise ValueError(f"correlation of {one!r} with itself: it is 1, and not to be given")
        if not -1 <= rho <= 1:
            raise ValueError(f"correlation of {one!r} and {other!r} must be from -1 to 1, not {rho}")
        if frozenset((one, other)) in seen:
            raise ValueError(f"correlation of {one!r} and {other!r} is given twice")
        seen.add(frozenset((one, other)))
        matrix[place[one], place[other]] = matrix[place[other], place[one]] = rho
    if len(names) and np.linalg.eigvalsh(matrix).min() < -1e3 * np.finfo(float).eps:
        raise ValueError("the correlations are impossible together: their matrix is not positive semi-definite")
    return matrix


def covariance_matrix(
    uncertainties: Mapping[str, float], correlations: Sequence[tuple[str, str, float]] = ()
) -> Float[np.ndarray, "systematic systematic"]:
    """Σ_η of named systematics: u_k ρ_kl u_l, in the order of `uncertainties`.

    Parameters
    ----------
    uncertainties : mapping of str to float
        Standard uncertainty of each quantity by name, in its own unit; not negative.
    correlations : sequence of tuple
        As for `correlation_matrix`.

    Returns
    -------
    ndarray
        (systematic, systematic), in the units of both.

    Raises
    ------
    ValueError
        An uncertainty that is negative or not finite; what `correlation_matrix` raises.

    Examples
    --------
    >>> from pullback import covariance_matrix
    >>> covariance_matrix({"dz": 0.5, "z0": 0.25}, [("dz", "z0", -1)])
    array([[ 0.25  , -0.125 ],
           [-0.125 ,  0.0625]])

    """
    for name, each in uncertainties.items():
        if not 0 <= each < math.inf:
            raise ValueError(f"standard uncertainty of {name!r} must be finite and not negative, not {each}")
    u = np.array(list(uncertainties.values()), dtype=float)
    return u[:, None] * correlation_matrix(list(uncertainties), correlations) * u
