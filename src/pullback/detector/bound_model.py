"""A model bound to a point: inference with its parameters, and the assumed covariance of the hits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..config.base import each_layer
from ..models import Model
from ..models.base import folding
from ..models.multiple_scattering import at_momenta
from ..models.stated import arguments, resolution_of
from ..models.user_file import Call
from ..study.artefact_configs import DetectedConfig
from ..study.batches import Part
from ..uncertainty.closed_form import ClosedForm, closed_form_of
from ..uncertainty.fit_residuals import product
from ..uncertainty.folds import folding_of
from ..uncertainty.placement import Placement
from ..uncertainty.reduction import reduction_of

Parameters = Mapping[str, Tensor]
"""Numbers and lists of a model by name, and what is stated of the detector, per layer (`models.stated`)."""


def parameters_of(
    model: Model, stated: Mapping[str, float | list[float]], device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """Parameters of a model and what is stated of its detector (`Detector.stated`), as float64 leaf tensors."""
    layers = max(model.layers) + 1
    numbers = {**model.parameters, **{key: each_layer(value, layers) for key, value in stated.items()}}
    return {name: torch.tensor(value, dtype=torch.float64, device=device) for name, value in numbers.items()}


def bound(part: Part[DetectedConfig], device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], Inference]:
    """Parameters of a point, and the inference with them, on a device."""
    parameters = parameters_of(part.model, part.config.detector.stated, device)
    return parameters, Inference(part.model, parameters)


class Inference:
    """A model's inference as a function of hits (muon, coordinate) alone.

    Its attributes are those that the library reads from a function: `missing`, whether it accepts missing hits;
    `periods`, of observables that are angles on a circle; `folding`, the signed quantities that fold into observables;
    `reduction`, the parameters through which they depend on the hits; `closed_form`, of its derivatives; and `refuse`,
    which raises an error that names the user's file, or None for a built-in model.
    """

    def __init__(self, model: Model, parameters: Parameters):
        self.missing = model.missing
        self.refuse = model.infer.refuse if isinstance(model.infer, Call) else None
        periods = tuple(each.period for each in model.observables)
        self.periods = periods if any(periods) else None
        self._infer = partial(model.infer, **arguments(model.infer_uses, parameters, model))
        self.folding = folding_of(self._infer) or folding(self._infer, model.observables)
        self.reduction = reduction_of(self._infer)

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon observable"]:
        """The observables of each muon."""
        return self._infer(hits)

    def closed_form(self) -> ClosedForm | None:
        """The closed form with these parameters, unless one requires a gradient by now."""
        return closed_form_of(self._infer)


def hit_covariance(
    model: Model,
    parameters: Parameters,
    hits: Float[Tensor, "muon coordinate"],
    recorded: Tensor | None = None,
    *,
    momentum: Float[Tensor, " muon"] | None = None,
    placement: Placement | None = None,
    added: bool = True,
) -> Float[Tensor, "#muon *coordinates"]:
    """The covariance of the hits assumed by propagation, as variances or matrices.

    Σ = Σ_detector + Σ_model. Σ_detector holds the layers' variances 1/resolution², or the covariances `recorded` per
    muon (variances or matrices; where NaN, the detector's are used); both are those that the layers read, and are
    rotated and stretched with the hits by their `placement`. Σ_model is what the model adds, such as
    scattering (by the momentum of each muon, if given), unless `added` is False. If there are as many muons as
    coordinates, variances become matrices (unless `added` is False), since they could otherwise be taken for one matrix
    for all muons.
    """
    variance = resolution_of(parameters, model).pow(-2)[None]
    if recorded is not None:
        diagonal = torch.diag_embed(variance) if recorded.ndim == 3 else variance
        variance = torch.where(torch.isnan(recorded), diagonal, recorded)
    if placement is not None and placement.deforms:
        variance = _in_place(variance, placement)
    if not added:
        return variance
    extra = added_covariance(model, parameters, hits, momentum)
    if extra is None:
        ambiguous = variance.ndim == 2 and len(variance) == variance.shape[1] > 1
        return torch.diag_embed(variance) if ambiguous else variance
    return (torch.diag_embed(variance) if variance.ndim == 2 else variance) + extra


def _in_place(covariance: Tensor, placement: Placement) -> Float[Tensor, "#muon *coordinates"]:
    """T Σ Tᵀ with T = R S of the layers; variances stay variances if no layer is rotated."""
    linear = covariance.new_tensor(placement.linear.tolist())
    if covariance.ndim == 2 and not placement.turns:
        return covariance * linear.diagonal().square()
    return product(product(linear[None], covariance), linear.mT[None])


class Fit:
    """The fit of a model as functions of hits (muon, coordinate) alone, with attributes as those of `Inference`.

    `linear` says whether the fitted positions are linear in the hits, as those of the built-in models are.
    """

    def __init__(self, model: Model, parameters: Parameters):
        self.model, self.missing, self.parameters = model, model.missing, parameters
        self.linear = not isinstance(model.fitted, Call)
        self.refuse = model.fitted.refuse if isinstance(model.fitted, Call) else None
        self.periods = None

    def __call__(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon coordinate"]:
        """The positions that the fit predicts; NaN throughout for a model without `fitted`."""
        if self.model.fitted is None:
            return torch.full_like(hits, float("nan"))
        return self.model.fitted(hits, **arguments(self.model.fitted_uses, self.parameters, self.model))

    def chi2(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon 2"] | None:
        """χ² and degrees of freedom by a function of the user's, if there is one."""
        if self.model.chi2 is None:
            return None
        with torch.no_grad():
            return self.model.chi2(hits, **arguments(self.model.chi2_uses, self.parameters, self.model))


def added_covariance(
    model: Model,
    parameters: Parameters,
    hits: Float[Tensor, "muon coordinate"],
    momentum: Float[Tensor, " muon"] | None = None,
) -> Float[Tensor, "#muon coordinate coordinate"] | None:
    """The model's contribution to the covariance of the hits, as matrices; None without one."""
    if model.covariance is None:
        return None
    parameters = at_momenta(parameters, momentum)
    added = model.covariance(hits, **arguments(model.covariance_uses, parameters, model))
    return added if added.ndim == 3 else added[None]
