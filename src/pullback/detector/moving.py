"""Hits simulated again from the same random numbers, as functions of the design of the detector."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..study.batches import Part
from ..study.blocks import Block
from ..uncertainty.covariance import cholesky, combined
from . import response
from .bound_model import Parameters, added_covariance


class Drawn(NamedTuple):
    """Random numbers from which the hits of some muons are made."""

    generated: Tensor
    deviates: Tensor
    kicks: Tensor | None

    def take(self, rows: slice) -> Drawn:
        """The random numbers of the selected muons."""
        return Drawn(*(None if each is None else each[rows] for each in self))


def draw(part: Part, block: Block, device: str | torch.device = "cpu") -> Drawn:
    """The random numbers of a block, as in the simulation, on a device."""
    drawn = response.generated(part, block), response.deviates(part, block)
    kicks = response.kicks(part, block) if part.model.covariance else None
    return Drawn(*(None if each is None else torch.from_numpy(each).to(device) for each in (*drawn, kicks)))


def moving_hits(
    part: Part, parameters: Parameters, drawn: Drawn, hits: Float[Tensor, "muon coordinate"]
) -> Float[Tensor, "muon coordinate"]:
    """The simulated hits as functions of the design parameters; lost hits stay lost."""
    model, noise = part.model, part.settings.detector.noise
    true = model.intersect_layers(drawn.generated, **{name: parameters[name] for name in model.intersect_uses})
    resolution = parameters["resolution"][list(model.layers)]
    # A given pitch of strips does not change with the stated resolution.
    unit = noise.pitch if getattr(noise, "pitch", 0) else resolution.new_tensor(response.factor(part)) / resolution
    moved = true + drawn.deviates * unit
    if model.covariance is not None:
        root = cholesky(added_covariance(model, parameters, true.detach()))
        moved = moved + combined(root, drawn.kicks[:, None])[:, 0]
    return torch.where(torch.isfinite(hits), moved, hits)
