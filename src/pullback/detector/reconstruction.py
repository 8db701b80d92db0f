"""What the inference of a point takes: recorded hits or, where their weights differ, the best lines through them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..models import Model
from ..models.best_line import Gain, gain_of
from ..models.multiple_scattering import UNIT_ANGLE
from ..models.stated import RESOLUTION, SIGMA, arguments, resolution_of
from ..study.aligning import placement_of
from ..study.artefact_configs import DetectedConfig
from ..study.batches import Part
from ..study.shared_parameters import Shifted
from ..uncertainty.placement import Placement
from .bound_model import Inference, Parameters, added_covariance, hit_covariance, parameters_of
from .known import NOTHING_KNOWN, Known


class Taken(NamedTuple):
    """What the inference takes of each muon, with its covariance.

    These are the recorded hits; or, with a `gain`, the positions of the best lines through them.
    """

    hits: Float[Tensor, "muon argument"]
    covariance: Float[Tensor, "#muon *arguments"]
    gain: Gain | None = None

    def by_hits(
        self, jacobian: Float[Tensor, "muon observable argument"], rows: slice
    ) -> Float[Tensor, "muon observable coordinate"]:
        """The Jacobian by the recorded hits of some muons, from that by what the inference takes."""
        if self.gain is None:
            return jacobian
        gain = self.gain.take(rows)
        matrix = gain.of_muons(gain.matrix)
        terms = (jacobian[:, :, place, None] * matrix[:, None, place] for place in range(jacobian.shape[2]))
        return sum(terms, start=jacobian.new_zeros(()))


def fits_lines(part: Part[DetectedConfig]) -> bool:
    """Whether weights of hits are other than those of the stated resolution, or heights are recorded."""
    source, model = part.config.source, part.model
    if not model.lines:
        return False
    if source.kind == "recorded" and source.z:
        return True
    own_sigma = source.kind == "recorded" and bool(source.sigma or source.covariance)
    placement = placement_of(part)
    deformed = placement is not None and placement.deforms
    return model.fit == "gls" and (own_sigma or deformed or model.covariance is not None)


class Reconstruction:
    """The inference of a point, and what it takes of the recorded hits.

    `infer` takes the hits themselves where one set of weights serves all muons, those of the stated resolution.
    Otherwise it takes the positions of the lines at two heights, from `models.best_line`, and is that of two layers.
    `placement` is that of the layers by which hits have been corrected.
    """

    def __init__(
        self, model: Model, parameters: Parameters, by_lines: bool = False, placement: Placement | None = None
    ):
        self.model, self.parameters, self.placement = model, parameters, placement
        self.references = _references(model, parameters) if by_lines else None
        self.infer = Inference(model, parameters if self.references is None else self._of_lines(parameters))

    @classmethod
    def of(cls, part: Part[DetectedConfig], device: str | torch.device = "cpu") -> Reconstruction:
        """The reconstruction of a point, on a device."""
        parameters = parameters_of(part.model, part.config.detector.stated, device)
        return cls(part.model, parameters, fits_lines(part), placement_of(part))

    def _of_lines(self, parameters: Parameters) -> dict[str, Tensor]:
        """The parameters of an inference from the positions of lines at the reference heights."""
        assert self.references is not None
        kept = {name: each for name, each in parameters.items() if not name.startswith((RESOLUTION, SIGMA))}
        layers = sum(map(len, self.references.values()))
        return {**kept, **self.references, RESOLUTION: next(iter(self.references.values())).new_ones(layers)}

    def covariance(
        self, hits: Float[Tensor, "muon coordinate"], known: Known, *, added: bool = True
    ) -> Float[Tensor, "#muon *coordinates"]:
        """The covariance of the recorded hits; that of the detector alone unless what the model adds is `added`."""
        numbers, momentum = self.at_heights(self.parameters, known), known.momentum
        own, placement = known.covariance, self.placement
        return hit_covariance(self.model, numbers, hits, own, momentum=momentum, placement=placement, added=added)

    def scattering(
        self, hits: Float[Tensor, "muon coordinate"], known: Known
    ) -> Float[Tensor, "#muon coordinate coordinate"] | None:
        """The covariance that is added by the layers as they are stated to scatter, or by `UNIT_ANGLE` in each of them.

        None for models without layers that could.
        """
        if self.model.scattered is None:
            return None
        numbers = self.at_heights(self.parameters, known)
        if (stated := added_covariance(self.model, numbers, hits, known.momentum)) is not None:
            return stated
        found = self.model.scattered(hits, theta0=UNIT_ANGLE, **{line.z: numbers[line.z] for line in self.model.lines})
        return found if found.ndim == 3 else found[None]

    def taken(self, hits: Float[Tensor, "muon coordinate"], known: Known = NOTHING_KNOWN) -> Taken:
        """What the inference takes of some muons."""
        covariance = self.covariance(hits, known)
        if self.references is None:
            return Taken(hits, covariance)
        gain = self._gain(self.parameters, hits, known, self.weighed(covariance))
        return Taken(gain.positions(hits), gain.propagated(covariance), gain)

    def arguments(
        self, hits: Float[Tensor, "muon coordinate"], known: Known = NOTHING_KNOWN
    ) -> Float[Tensor, "muon argument"]:
        """What the inference takes of some muons, without its covariance."""
        if self.references is None:
            return hits
        return self._gain(self.parameters, hits, known, self.weighed(self.covariance(hits, known))).positions(hits)

    def weighed(self, covariance: Tensor) -> Tensor:
        """The covariance by whose inverse hits are weighted."""
        return covariance if self.model.fit == "gls" else resolution_of(self.parameters, self.model).pow(-2)[None]

    def _gain(self, parameters: Parameters, hits: Tensor, known: Known, weighed: Tensor) -> Gain:
        assert self.references is not None
        numbers, lines = self.at_heights(parameters, known), self.model.lines
        heights = [numbers[line.z] for line in lines]
        z = torch.cat([each if each.ndim == 2 else each[None] for each in heights], dim=1)
        ranges, references = [line.coordinates for line in lines], [self.references[line.z] for line in lines]
        return gain_of(weighed, z, hits, ranges, references)

    def at_heights(self, parameters: Parameters, known: Known) -> Mapping[str, Tensor]:
        """The parameters, with the recorded heights of the layers for each muon in place of the stated ones."""
        if known.z is None:
            return parameters
        names = list(dict.fromkeys(line.z for line in self.model.lines))
        ends = [0]
        for name in names:
            ends.append(ends[-1] + parameters[name].shape[-1])
        own = {name: known.z[:, start:stop] for name, (start, stop) in zip(names, pairwise(ends), strict=True)}
        # The shift of a stated height shifts the recorded ones.
        shift = {name: parameters[name] - self.parameters[name].detach() for name in names}
        stated = {name: parameters[name].expand_as(each) for name, each in own.items()}
        moved = {name: torch.where(each.isnan(), stated[name], each + shift[name]) for name, each in own.items()}
        return {**parameters, **moved}

    def positions(self, arguments: Float[Tensor, "muon argument"]) -> Float[Tensor, "muon coordinate"]:
        """The hits of lines on the layers of the model, from what the inference takes of them."""
        return arguments if self.references is None else self._on_layers(arguments, self.parameters)

    def _on_layers(self, positions: Tensor, parameters: Mapping[str, Tensor]) -> Float[Tensor, "muon coordinate"]:
        """The lines at the heights of their layers."""
        assert self.references is not None
        found = []
        for index, line in enumerate(self.model.lines):
            low, high = self.references[line.z]
            first, second = positions[:, 2 * index, None], positions[:, 2 * index + 1, None]
            found.append(first + (second - first) * ((parameters[line.z] - low) / (high - low)))
        return torch.cat(found, dim=1)

    @property
    def line_heights(self) -> list[tuple[float, float]]:
        """The two reference heights of each line, m; none where the inference takes the hits themselves."""
        references = self.references or {}
        return [
            (float(low), float(high)) for low, high in (references[line.z] for line in self.model.lines if references)
        ]

    @property
    def best(self) -> bool:
        """Whether each muon has the best weights."""
        return self.references is not None and self.model.fit == "gls"

    def hat(self, hits: Float[Tensor, "muon coordinate"], known: Known) -> Float[Tensor, "muon coordinate coordinate"]:
        """The map from the hits to the positions of the lines at the heights of the hits; NaN for unknown lines."""
        gain = self._gain(self.parameters, hits, known, self.weighed(self.covariance(hits, known)))
        matrix = torch.where(gain.known[:, :, None], gain.matrix, float("nan"))
        columns = (self._on_layers(column, self.at_heights(self.parameters, known)) for column in matrix.unbind(2))
        return gain.of_muons(torch.stack([*columns], dim=2))

    def shifted(
        self, names: list[str], hits: Float[Tensor, "muon coordinate"], known: Known = NOTHING_KNOWN
    ) -> ShiftedMuons:
        """The observables of these muons as a function of their hits and of shifts of shared parameters."""
        return ShiftedMuons(self, Shifted(self.model, self.parameters, names), hits, known)

    def of_shifted(
        self, shifted: Shifted, hits: Tensor, eta: Tensor, known: Known, weighed: Tensor
    ) -> Float[Tensor, "muon observable"]:
        """The observables of muons whose weights stay as they are."""
        moved, parameters = shifted.moved(hits, eta)
        gain = self._gain(parameters, moved, known, weighed)
        numbers = arguments(self.model.infer_uses, self._of_lines(parameters), self.model)
        return self.model.infer(gain.positions(moved), **numbers)


class ShiftedMuons:
    """The observables of some muons as a function of their hits and of shifts η, with the attributes of an inference.

    Where muons have weights of their own, their number follows the hits as one more coordinate (`arguments`), so that
    each keeps its weights among any others.
    """

    def __init__(self, of: Reconstruction, shifted: Shifted, hits: Tensor, known: Known):
        self._of, self._shifted, self._known, self.missing = of, shifted, known, of.model.missing
        self._muons, self.differ_by_muon = len(hits), shifted.differ_by_muon(of.references or ())
        self._weighed = None if of.references is None else of.weighed(of.covariance(hits, known)).detach()

    def arguments(self, hits: Float[Tensor, "muon coordinate"]) -> Float[Tensor, "muon argument"]:
        """What the function takes: the hits of all these muons, once or repeatedly, with their numbers if need be."""
        if self._weighed is None:
            return hits
        numbers = torch.arange(self._muons).to(hits).repeat(len(hits) // max(self._muons, 1))
        return torch.cat([hits, numbers[:, None]], dim=1)

    def __call__(
        self, arguments: Float[Tensor, "some argument"], eta: Float[Tensor, "*some systematic"]
    ) -> Float[Tensor, "some observable"]:
        """The observables of some of these muons, in any order; each has its own η only if they `differ_by_muon`."""
        if self._weighed is None:
            return self._shifted(arguments, eta)
        numbers, most = arguments[:, -1].detach(), max(len(self._weighed), *map(len, self._known.given), 1)
        rows = numbers.clamp(0, most - 1).long()
        weighed = self._weighed if len(self._weighed) == 1 else self._weighed[rows]
        known = self._known.each(lambda values: values[rows])
        return self._of.of_shifted(self._shifted, arguments[:, :-1], eta, known, weighed)


def _references(model: Model, parameters: Parameters) -> dict[str, Float[Tensor, " 2"]]:
    """Two heights for the lines of each list of layers: where their position is best known, and the layer farthest off.

    There the errors of both positions are nearly independent.
    """
    weight = resolution_of(parameters, model).detach().square()
    found = {}
    for name in dict.fromkeys(line.z for line in model.lines):
        z = parameters[name].detach()
        of_lines = [weight[[*line.coordinates]] for line in model.lines if line.z == name]
        total = sum(of_lines, start=torch.zeros_like(z))
        best = z[0] + (total * (z - z[0])).sum() / total.sum()
        found[name] = torch.stack([best, z[(z - best).abs().argmax()]])
    return found
