"""The one-hit model: a muon from the origin crosses one layer, and its position gives its angle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from ..uncertainty.elementwise import magnitude
from . import Model, NamedSection, Quantity
from .base import UniformSource, uniform, with_folds
from .closed_forms import one_hit_form, with_closed_form

OBSERVABLES = (Quantity("theta", "rad", "angle from the vertical", "θ", folds=("slope",)),)


def slope(hits: Float[Tensor, "muon 1"], dz: float | Float[Tensor, ""] = 1.5) -> Float[Tensor, "muon 1"]:
    """The slope x/dz of each muon, with its sign; θ = arctan|x/dz|."""
    return hits / dz


@with_closed_form(one_hit_form)
@with_folds(OBSERVABLES, slope, ["slope"])
def infer_theta(hits: Float[Tensor, "muon 1"], dz: float | Float[Tensor, ""] = 1.5) -> Float[Tensor, "muon 1"]:
    """Angle of each muon from the vertical: θ = arctan(|x| / dz).

    |x| causes a fold of θ at x = 0, where it has no derivative; linear propagation is valid only some σ away from the
    fold.

    Parameters
    ----------
    hits : tensor (muon, 1)
        Recorded positions, m.
    dz : float or tensor
        Height of the origin above the layer, m; a tensor for derivatives.

    Returns
    -------
    tensor (muon, 1)
        θ, rad, 0 ≤ θ < π/2.

    Raises
    ------
    ValueError
        Hits are no tensor (muon, 1), or dz is not positive.

    References
    ----------
    The geometry of a straight track from (0, dz) to (x, 0).

    Examples
    --------
    >>> import torch
    >>> from pullback import infer_theta
    >>> infer_theta(torch.tensor([[1.5]], dtype=torch.float64))
    tensor([[0.7854]], dtype=torch.float64)

    """
    import torch

    if not isinstance(hits, torch.Tensor) or hits.ndim != 2 or hits.shape[1] != 1:
        shape = getattr(hits, "shape", None)
        raise ValueError(f"hits must be a torch tensor (muon, 1), not {type(hits).__name__} {tuple(shape or ())}")
    if not dz > 0:
        raise ValueError(f"dz must be positive (m), not {dz}")
    height = dz if isinstance(dz, torch.Tensor) else hits.new_tensor(dz)
    return magnitude(hits).arctan2(height)  # as precise as arctan of the quotient, and better vectorised


def generate(rng: np.random.Generator, muons: int, source: UniformSource) -> Float[np.ndarray, "muon 1"]:
    """True positions x ~ U(x_min, x_max), m, as (muon, 1)."""
    return uniform(source, rng.random((muons, 1)))


def model(section: NamedSection) -> Model:
    """The model with the parameters of a config's section: `dz`, which drawing true hits does not need."""
    return Model(
        coordinates=(Quantity("x", "m", "position on the layer", "x"),),
        observables=OBSERVABLES,
        infer=infer_theta,
        generate=generate,
        layers=(0,),
        parameters={"dz": section.dz} if hasattr(section, "dz") else {},
        infer_uses=("dz",),
    )
