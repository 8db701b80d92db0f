"""The uncertainty budget: the share of each layer and each shared systematic in the variance.

Importing this does not import torch: jobs without torch need the names of the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float

from .arrays import Array, Tensor

LAYER = "layer "
"""Beginning of the name of a layer as a source; its number follows."""

HIT_CORRELATIONS = "hit correlations"
"""Name of the source for correlations between hits."""


class Budget(NamedTuple):
    """Result of `uncertainty_budget`: shares of the variance, and the variance that they add up to."""

    shares: Float[Tensor, "muon observable source"]
    variance: Float[Tensor, "muon observable"]


def uncertainty_budget(
    jacobian: Float[Array, "muon observable coordinate"],
    covariance: Float[Array, "row coordinate *second"],
    layers: Sequence[int],
    shared: Float[Array, "muon observable systematic"] | None = None,
    sigma_eta: Float[Array, "*sigma_eta"] | None = None,
) -> Budget:
    """Each source's share of the variance of each muon's observables; the shares add up to J Σ_x Jᵀ + G Σ_η Gᵀ.

    In this order, which `budget_sources` names:

    - each layer, by ascending number: Σ_c J_c² Σ_cc over its coordinates c;
    - where `covariance` holds matrices, the correlations of hits: 2 Σ_{c<d} J_c J_d Σ_cd;
    - each shared systematic: G_k² Σ_kk;
    - where `sigma_eta` is a matrix, the correlations of systematics: 2 Σ_{k<l} G_k G_l Σ_kl.

    Shares of correlations can be negative. Correlations within a layer and between layers are in one share: neither
    belongs to a single source.

    Parameters
    ----------
    jacobian : Tensor or ndarray
        J (muon, observable, coordinate) from `muon_jacobian`; 0 for a missing hit.
    covariance : Tensor or ndarray
        Covariance of the hits: variances (1 or muon, coordinate) or matrices (1 or muon, coordinate, coordinate).
    layers : sequence of int
        The layer of each coordinate.
    shared : Tensor or ndarray
        G (muon, observable, systematic) from `systematic_jacobian`.
    sigma_eta : Tensor or ndarray
        Covariance or standard uncertainties of the systematics, as for `cross_covariance`.

    Returns
    -------
    Budget
        shares (muon, observable, source) and variance (muon, observable), in the units of the observables squared. NaN
        throughout where J or G of an observable is not a number. Tensors carry gradients; numpy arrays where the
        Jacobian is one.

    Raises
    ------
    ValueError
        A covariance of another shape, or one that `propagate` or `cross_covariance` would refuse; not one layer for
        each coordinate; G without its uncertainties, or these without G.

    References
    ----------
    Terms of equations 10 and 13 of JCGM 100:2008; uncertainty budget, JCGM 200:2012, 2.33.

    Examples
    --------
    >>> import torch
    >>> from pullback import uncertainty_budget
    >>> J = torch.tensor([[[1.0, -2.0]]], dtype=torch.float64)
    >>> sigma = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]], dtype=torch.float64)
    >>> uncertainty_budget(J, sigma, [0, 1])
    Budget(shares=tensor([[[ 1.,  4., -2.]]], dtype=torch.float64), variance=tensor([[3.]], dtype=torch.float64))

    """
    import torch

    from .arguments import give_back, to_tensor
    from .covariance import check_covariance
    from .systematics import covariance_of_shared

    given, jacobian, covariance = jacobian, to_tensor(jacobian), to_tensor(covariance)
    muons, _, coordinates = jacobian.shape
    if len(layers) != coordinates:
        raise ValueError(f"layers must name one layer for each of {coordinates} coordinates, not {len(layers)}")
    if (
        covariance.ndim < 2
        or len(covariance) not in {1, muons}
        or covariance.shape[1:] not in {(coordinates,), (coordinates, coordinates)}
    ):
        raise ValueError(
            f"covariance has shape {tuple(covariance.shape)}; for {muons} muons with {coordinates} coordinates it must "
            f"be (1, {coordinates}) or (1, {coordinates}, {coordinates}), or one of these for each muon"
        )
    check_covariance(covariance.detach())
    if (shared is None) != (sigma_eta is None):
        raise ValueError("the shared Jacobian and sigma_eta go together: give both, or neither")
    variances = covariance if covariance.ndim == 2 else covariance.diagonal(dim1=1, dim2=2)
    own = jacobian.square() * variances[:, None]
    numbers = sorted(set(layers))
    place = torch.tensor([numbers.index(layer) for layer in layers], device=own.device)
    shares = [own.new_zeros(*own.shape[:2], len(numbers)).index_add(2, place, own)]
    if covariance.ndim == 3:
        shares.append(_off_diagonal(jacobian, covariance))
    if shared is not None and sigma_eta is not None:
        shared, sigma_eta = to_tensor(shared), to_tensor(sigma_eta)
        between = covariance_of_shared(sigma_eta, shared)
        shares.append(shared.square() * between.diagonal())
        if sigma_eta.ndim == 2:
            shares.append(_off_diagonal(shared, between[None]))
    whole = torch.cat(shares, dim=2)
    variance = whole.sum(dim=2)
    return give_back(given, Budget(torch.where(variance.isnan()[:, :, None], float("nan"), whole), variance))


def _off_diagonal(
    jac: Float[Tensor, "muon observable coordinate"], cov: Float[Tensor, "#muon coordinate coordinate"]
) -> Float[Tensor, "muon observable 1"]:
    """2 Σ_{c<d} J_c J_d Σ_cd, summed as such: the whole less the diagonal would be rounded where they cancel."""
    upper = cov.triu(diagonal=1)[:, None]
    left = (jac[:, :, :, None] * upper).sum(dim=2)
    return 2 * (left * jac).sum(dim=2, keepdim=True)


def budget_sources(
    layers: Sequence[int], full: bool = False, systematics: Sequence[str] = (), correlated: bool = False
) -> list[str]:
    """The names of the sources of `uncertainty_budget`, in its order.

    Parameters
    ----------
    layers : sequence of int
        The layer of each coordinate.
    full : bool
        Whether the covariance of hits holds matrices.
    systematics : sequence of str
        Names of the shared systematics.
    correlated : bool
        Whether their covariance is a matrix.

    Returns
    -------
    list of str
        "layer 0", …, "hit correlations", the systematics' own names, "systematic correlations".

    Raises
    ------
    ValueError
        A systematic with the name of another source, or correlations without systematics.

    Examples
    --------
    >>> from pullback import budget_sources
    >>> budget_sources([0, 0, 1], full=True, systematics=["dz"])
    ['layer 0', 'layer 1', 'hit correlations', 'dz']

    """
    names = [f"{LAYER}{layer}" for layer in sorted(set(layers))] + [HIT_CORRELATIONS] * full
    if correlated and not systematics:
        raise ValueError("there are no systematics to be correlated")
    for name in [*systematics, *["systematic correlations"] * correlated]:
        if name in names:
            raise ValueError(f"systematic {name!r} has the name of another source: give it another")
        names.append(name)
    return names
