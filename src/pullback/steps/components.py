"""Columns that decompose uncertainties: covariance, budget, shared uncertainty, slopes by the design."""

from __future__ import annotations

from functools import partial, reduce
from operator import add, itemgetter
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..detector.bound_model import Inference, Parameters, bound, hit_covariance
from ..detector.known import Known
from ..detector.response import SimulatedBlock
from ..store import columns
from ..store.artefact import Writer
from ..study import shared_parameters
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..uncertainty.budget import HIT_CORRELATIONS, uncertainty_budget
from ..uncertainty.covariance import canonical
from ..uncertainty.design import SigmaSums, mean_sigma_gradient
from ..uncertainty.linear import Propagated, by_blocks, linear_law, masked
from ..uncertainty.systematics import systematic_jacobian

DIFFERENTIATED_AT_A_TIME = 2_048
"""Muons whose σ is differentiated by the design in one call. The graph of a second derivative is large: about 30 kB per
muon with 16 coordinates and 8 observables.
"""


class Contributions:
    """Covariance, budget and shared uncertainty of a part, as columns.

    `covariance` of the observables by linear propagation; for each observable `budget_<o>`, the share of each source in
    the variance; and with systematics `systematic_jacobian_<o>`, `sigma_shared_<o>` and `sigma_total_<o>`.
    """

    def __init__(self, out: Writer, part: Part[SigmaConfig], parameters: Parameters):
        self.part, self.model, self.parameters = part, part.model, parameters
        self.systematics = _Systematics.of(part, parameters) if part.config.systematics else None
        self.covariance = columns.of_observables(out, part) if len(self.model.observables) > 1 else None
        sources = shared_parameters.sources_of(part)
        self.full = HIT_CORRELATIONS in sources
        kinds: dict[str, columns.ColumnSpec] = columns.BUDGET if len(sources) > 1 else {}
        labels, about = {"source": sources}, {}
        if self.systematics:
            kinds = {**kinds, **columns.SHARED}
            labels["systematic"] = self.systematics.names
            about["systematic_jacobian"] = {"systematic_covariance": self.systematics.covariance.numpy(force=True)}
        self.table = columns.of_muons(out, part, kinds, labels, about) if kinds else None

    def append(self, infer: Inference, hits: Tensor, sigma_x: Tensor, sigma: Float[Tensor, "muon observable"]) -> None:
        """Add a block of muons, with their quoted σ."""
        if self.table is None and self.covariance is None:
            return
        sigma_x = canonical(sigma_x, hits)
        if sigma_x.ndim == 3 and not self.full:  # variances; as many muons as coordinates
            sigma_x = sigma_x.diagonal(dim1=1, dim2=2)
        found = by_blocks(partial(self._found, infer), hits, sigma_x)
        if self.covariance is not None:
            self.covariance.append(found.covariance.numpy(force=True))
        if self.table is not None:
            variance = found.shared.square()
            total = {"total": (variance + sigma.square()).sqrt()}
            self.table.append({name: each.numpy(force=True) for name, each in {**found._asdict(), **total}.items()})

    def _found(self, infer: Inference, hits: Tensor, sigma_x: Tensor) -> _Found:
        """The contributions for a few muons, with Σ in the form of `canonical`."""
        law = linear_law(infer, hits, sigma_x)
        linear = masked(Propagated(law.value, law.covariance, law.sigma), law.finite)
        unknown = torch.isnan(linear.sigma)[:, :, None]
        jacobian = torch.where(unknown, float("nan"), law.jacobian)
        systematics = self.systematics
        if systematics is None:
            shares = uncertainty_budget(jacobian, sigma_x, self.model.layers).shares
            return _Found(linear.covariance, shares, jacobian[:, :, :0], torch.zeros_like(linear.sigma))
        G = systematic_jacobian(systematics.shifted, hits, hits.new_zeros(len(systematics.names)))
        # Without correlations, the budget has no row for them.
        sigma_eta = systematics.covariance if systematics.correlated else systematics.covariance.diagonal().sqrt()
        shares = uncertainty_budget(jacobian, sigma_x, self.model.layers, G, sigma_eta).shares
        variance = ((G[:, :, :, None] * systematics.covariance).sum(dim=2) * G).sum(dim=2)
        return _Found(linear.covariance, shares, G, variance.clamp(min=0).sqrt())


class _Systematics(NamedTuple):
    """The systematics of a part: names, covariance, whether it is given with correlations, and the inference."""

    names: list[str]
    covariance: Float[Tensor, "systematic systematic"]
    correlated: bool
    shifted: shared_parameters.Shifted

    @classmethod
    def of(cls, part: Part[SigmaConfig], parameters: Parameters) -> _Systematics:
        section = part.config.systematics
        names = shared_parameters.names_of(section)
        covariance = torch.from_numpy(shared_parameters.shift_covariance(section)).to(next(iter(parameters.values())))
        shifted = shared_parameters.Shifted(part.model, parameters, names)
        return cls(names, covariance, shared_parameters.CORRELATIONS in section, shifted)


class _Found(NamedTuple):
    """The contributions for some muons."""

    covariance: Float[Tensor, "muon observable observable"]
    shares: Float[Tensor, "muon observable source"]
    systematic_jacobian: Float[Tensor, "muon observable systematic"]
    shared: Float[Tensor, "muon observable"]


class Design:
    """Sums of σ and of its slopes by every number of the model and the detector, as columns of a part.

    Only the first block of a point is used: second derivatives dominate the cost of a muon, and the mean over 131 072
    muons is known to 0.3 % of the scatter of σ between them.
    """

    def __init__(self, out: Writer, part: Part[SigmaConfig]):
        self.part, self.numbers = part, shared_parameters.design_numbers(part)
        labels = {"parameter": [each.name for each in self.numbers]}
        self.table = columns.of_blocks(out, part, columns.DESIGN, labels, rows=int(part.first == 0))

    def append(self, block: Block, hits: Tensor, known: Known) -> None:
        """Add a block of muons with their recorded hits, and what else is known of them."""
        if block.index > 0:
            return
        simulated = self.part.config.source.kind == "simulated"
        drawn = SimulatedBlock.draw(self.part, block, hits.device) if simulated else None
        step = DIFFERENTIATED_AT_A_TIME
        pieces = [slice(start, start + step) for start in range(0, len(hits), step)]
        sums = reduce(
            add,
            (
                self._slopes(
                    hits[rows],
                    None if drawn is None else drawn.take(rows),
                    known.each(itemgetter(rows)),
                )
                for rows in pieces
            ),
        )
        slopes = [self._slope(sums, each.parameter, each.index) for each in self.numbers]
        found = {"count": sums.muons.double(), "sigma": sums.sigma, "slopes": torch.stack(slopes, dim=1)}
        self.table.append({name: each.numpy(force=True)[None] for name, each in found.items()})

    def _slopes(self, hits: Tensor, drawn: SimulatedBlock | None, known: Known) -> SigmaSums:
        part, model = self.part, self.part.model
        parameters = bound(part, hits.device)[0]
        leaves = {name: each.requires_grad_() for name, each in parameters.items()}
        if drawn is not None:
            hits = drawn.hits(part, leaves)
        sigma_x = hit_covariance(model, leaves, hits, known.covariance, momentum=known.momentum)
        return mean_sigma_gradient(Inference(model, leaves), hits, covariance=sigma_x, parameters=leaves)

    def _slope(self, sums: SigmaSums, name: str, index: int | None) -> Float[Tensor, " observable"]:
        slope = sums.slopes[name]
        if index is not None:
            return slope[:, index]
        return slope.sum(dim=1) if slope.ndim > 1 else slope  # one number of the config for all layers
