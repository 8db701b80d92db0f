"""Columns that decompose uncertainties: covariance, budget, shared uncertainty, slopes by the design."""

from __future__ import annotations

from functools import partial, reduce
from operator import add, itemgetter
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..detector.bound_model import parameters_of
from ..detector.known import Known
from ..detector.reconstruction import Reconstruction, ShiftedMuons, Taken, fits_lines
from ..detector.response import SimulatedBlock
from ..store import columns
from ..store.artefact import Writer
from ..study import shared_parameters
from ..study.aligning import placement_of
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..uncertainty.budget import HIT_CORRELATIONS, uncertainty_budget
from ..uncertainty.covariance import canonical
from ..uncertainty.design import SigmaSums, mean_sigma_gradient
from ..uncertainty.linear import Propagated, by_rows, linear_law, masked
from ..uncertainty.systematics import systematic_jacobian

DERIVATIVES_AT_A_TIME, DIFFERENTIATED_AT_A_TIME = 262_144, 16_384
"""Derivatives, and muons, whose σ is differentiated by the design in one call. The graph of a second derivative holds
some 240 bytes for each number of the Jacobian."""


class Contributions:
    """Covariance, budget and shared uncertainty of a part, as columns.

    `covariance` of the observables by linear propagation; for each observable `budget_<o>`, the share of each source in
    the variance; and with systematics `systematic_jacobian_<o>`, `sigma_shared_<o>` and `sigma_total_<o>`.
    """

    def __init__(self, out: Writer, part: Part[SigmaConfig], reconstruction: Reconstruction):
        self.part, self.model, self.reconstruction = part, part.model, reconstruction
        self.systematics = _Systematics.of(part, reconstruction) if part.config.systematics else None
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

    def append(self, hits: Tensor, known: Known, taken: Taken, sigma: Float[Tensor, "muon observable"]) -> None:
        """Add a block of muons, with what the inference takes of them and their quoted σ."""
        if self.table is None and self.covariance is None:
            return
        block = _Block.of(self.reconstruction, hits, known, taken, self.systematics, full=self.full)
        found = by_rows(partial(self._found, block), hits)
        if self.covariance is not None:
            self.covariance.append(found.covariance.numpy(force=True))
        if self.table is not None:
            variance = found.shared.square()
            total = {"total": (variance + sigma.square()).sqrt()}
            self.table.append({name: each.numpy(force=True) for name, each in {**found._asdict(), **total}.items()})

    def _found(self, block: _Block, rows: slice) -> _Found:
        """The contributions for a few muons."""
        taken, sigma_x = block.taken.hits[rows], some(block.sigma_x, rows)
        law = linear_law(self.reconstruction.infer, taken, some(block.taken.covariance, rows))
        linear = masked(Propagated(law.value, law.covariance, law.sigma), law.finite)
        unknown = torch.isnan(linear.sigma)[:, :, None]
        jacobian = torch.where(unknown, float("nan"), block.taken.by_hits(law.jacobian, rows))
        systematics = self.systematics
        if systematics is None or block.shifted is None:
            shares = uncertainty_budget(jacobian, sigma_x, self.model.layers).shares
            return _Found(linear.covariance, shares, jacobian[:, :, :0], torch.zeros_like(linear.sigma))
        G = systematic_jacobian(block.shifted, block.arguments[rows], taken.new_zeros(len(systematics.names)))
        # Without correlations, the budget has no row for them.
        sigma_eta = systematics.covariance if systematics.correlated else systematics.covariance.diagonal().sqrt()
        shares = uncertainty_budget(jacobian, sigma_x, self.model.layers, G, sigma_eta).shares
        variance = ((G[:, :, :, None] * systematics.covariance).sum(dim=2) * G).sum(dim=2)
        return _Found(linear.covariance, shares, G, variance.clamp(min=0).sqrt())


class _Systematics(NamedTuple):
    """The systematics of a part: names, covariance, and whether it is given with correlations."""

    names: list[str]
    covariance: Float[Tensor, "systematic systematic"]
    correlated: bool

    @classmethod
    def of(cls, part: Part[SigmaConfig], reconstruction: Reconstruction) -> _Systematics:
        section, like = part.config.systematics, next(iter(reconstruction.parameters.values()))
        covariance = torch.from_numpy(shared_parameters.shift_covariance(section)).to(like)
        return cls(shared_parameters.names_of(section), covariance, shared_parameters.CORRELATIONS in section)


class _Block(NamedTuple):
    """A block of muons: what the inference takes, the covariance of the hits, and how observables shift.

    Covariances have the form of `canonical`.
    """

    taken: Taken
    sigma_x: Float[Tensor, "#muon *coordinates"]
    shifted: ShiftedMuons | None
    arguments: Float[Tensor, "muon argument"]

    @classmethod
    def of(
        cls,
        reconstruction: Reconstruction,
        hits: Tensor,
        known: Known,
        taken: Taken,
        systematics: _Systematics | None,
        *,
        full: bool,
    ) -> _Block:
        sigma_x = canonical(reconstruction.covariance(hits, known), hits)
        if sigma_x.ndim == 3 and not full:  # variances; as many muons as coordinates
            sigma_x = sigma_x.diagonal(dim1=1, dim2=2)
        if taken.gain is None:
            taken = taken._replace(covariance=sigma_x)
        if systematics is None:
            return cls(taken, sigma_x, None, hits)
        shifted = reconstruction.shifted(systematics.names, hits, known)
        return cls(taken, sigma_x, shifted, shifted.arguments(hits))


def some(covariance: Tensor, rows: slice) -> Tensor:
    """The covariance of some muons; one that all share stays as it is."""
    return covariance if len(covariance) == 1 else covariance[rows]


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
        each = hits.shape[1] * len(self.part.model.observables)
        step = min(DIFFERENTIATED_AT_A_TIME, DERIVATIVES_AT_A_TIME // each)
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
        part = self.part
        parameters = parameters_of(part.model, part.config.detector.stated, hits.device)
        leaves = {name: each.requires_grad_() for name, each in parameters.items()}
        if drawn is not None:
            hits = drawn.hits(part, leaves)
        reconstruction = Reconstruction(part.model, leaves, fits_lines(part), placement_of(part))
        taken, sigma_x, _ = reconstruction.taken(hits, known)
        return mean_sigma_gradient(reconstruction.infer, taken, covariance=sigma_x, parameters=leaves)

    def _slope(self, sums: SigmaSums, name: str, index: int | None) -> Float[Tensor, " observable"]:
        slope = sums.slopes[name]
        if index is not None:
            return slope[:, index]
        return slope.sum(dim=1) if slope.ndim > 1 else slope  # one number of the config for all layers
