"""Response of the detector of a point to true hits: deviations of the recorded hits, and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..models import Model
from ..models.line_fit import side_by_side
from ..models.multiple_scattering import at_momenta
from ..models.stated import arguments, resolution_of, stated_resolution
from ..statistics.random import key_of, random_stream
from ..study.aligning import placement_by, placement_of
from ..study.artefact_configs import ArtefactConfig, DetectedConfig
from ..study.batches import Part
from ..study.blocks import Block
from ..uncertainty.arrays import Tensor
from . import noise
from .known import Known
from .losses import losses_of
from .smearing import smear

if TYPE_CHECKING:
    import torch

    from ..uncertainty.toys import ToySetup
    from .bound_model import Parameters
    from .reconstruction import Reconstruction


class Drawn(NamedTuple):
    """Random numbers from which recorded hits are made.

    `deviates` (muon, coordinate) are those of the noise; `kicks` (muon, coordinate) are standard normal, for the
    covariance that the model adds, such as scattering in the layers; `chances` (muon, coordinate) are uniform, and a
    hit is lost if its chance is not below the efficiency.
    """

    deviates: Float[Any, "muon coordinate"]
    kicks: Float[Any, "muon coordinate"] | None
    chances: Float[np.ndarray, "muon coordinate"] | None

    def take(self, rows: slice) -> Drawn:
        """The random numbers of the selected muons."""
        return Drawn(*(None if each is None else each[rows] for each in self))


def stream_of(part: Part[ArtefactConfig], purpose: str, *index: int) -> np.random.Generator:
    """The random stream of a point for a purpose and an index of a block or toy muon, or of a part of a block."""
    own = key_of(part.label) if part.config.random_numbers == "independent" else ()
    return random_stream(part.config.seed, purpose, *own, *index)


def generated(part: Part[ArtefactConfig], block: Block) -> Float[np.ndarray, "muon _"]:
    """The random input of the true hits of a block, such as track parameters."""
    return part.model.generate(stream_of(part, "truth", block.index), len(block), part.config.source)


def momenta(part: Part[ArtefactConfig], drawn: Float[Any, "muon _"]) -> Float[Any, " muon"] | None:
    """The momenta of the muons from their random input, if the layers scatter them by these."""
    return None if part.model.momentum is None else drawn[:, part.model.momentum]


def true_hits(
    part: Part[ArtefactConfig], drawn: Float[Any, "muon _"], parameters: Parameters | None = None
) -> Float[Any, "muon coordinate"]:
    """The true hits from their random input; tensors with the gradients of the parameters, if given as tensors."""
    model = part.model
    return model.intersect_layers(drawn, **_numbers(model, model.intersect_uses, parameters))


def _numbers(model: Model, names: Iterable[str], parameters: Parameters | None) -> dict[str, Any]:
    """Parameters by name: those that are given as tensors, else the model's own as arrays."""
    return {
        name: np.asarray(model.parameters[name], dtype="f8") if parameters is None else parameters[name]
        for name in names
    }


class Response:
    """The measurement equation of a point: x_reco = x_true + d / scale + s(k), and NaN where a hit is lost.

    d are deviates of the noise in its own unit, k standard normal kicks, and s the deviations by scattering in the
    layers: stepped from layer to layer where the model says how (`Model.deviate`), else L k, with L Lᵀ the covariance
    that the model adds to that of the detector. Toys around recorded hits use this covariance in any case: it is what
    propagation assumes.

    Layers that are not where they are stated to be (`detector.misalignment`) read x_true + s(k) in their own frame, and
    recorded hits are corrected by `alignment`.
    """

    def __init__(self, part: Part[DetectedConfig]):
        detector, layers = part.config.detector, list(part.model.layers)
        self.part, self.model, self.noise, self.layers = part, part.model, detector.noise, layers
        misalignment = detector.misalignment
        self.placed = placement_by(misalignment.numbers, part.model) if misalignment else None
        self.corrected = placement_of(part)
        self.resolution = stated_resolution(detector.stated, part.model)
        losses = losses_of(detector, part.model)
        self.lost_with = [
            place for _, place in sorted((i, k) for k, each in enumerate(losses) for i in each.coordinates)
        ]
        self.efficiency: Float[np.ndarray, " coordinate"] = np.array([losses[k].efficiency for k in self.lost_with])

    @property
    def adds(self) -> tuple[bool, bool]:
        """Whether there are kicks, and whether hits are lost."""
        return self.model.covariance is not None, bool(self.efficiency.min() < 1)

    def draw(self, block: Block) -> Drawn:
        """The random numbers of a block, from the block's own streams."""
        return self.drawn(lambda purpose: stream_of(self.part, purpose, block.index), len(block))

    def drawn(self, stream: Callable[[str], np.random.Generator], muons: int, lossy: bool = True) -> Drawn:
        """The random numbers of some muons, from the streams of noise, scattering and efficiency.

        Not `lossy`: no hit is lost.
        """
        shape, (kicked, loses) = (muons, len(self.layers)), self.adds
        deviates = noise.draw(self.noise, stream("noise"), shape)
        kicks = stream("scattering").standard_normal(shape) if kicked else None
        lost = (muons, max(self.lost_with) + 1)
        chances = stream("efficiency").random(lost)[:, self.lost_with] if loses and lossy else None
        return Drawn(deviates, kicks, chances)

    def record(
        self,
        x_true: Float[Any, "muon coordinate"],
        drawn: Drawn,
        parameters: Parameters | None = None,
        momentum: Float[Any, " muon"] | None = None,
    ) -> Float[Any, "muon coordinate"]:
        """The recorded hits; tensors with the gradients of the parameters, if given as tensors.

        With momenta, the layers scatter each muon by its own.
        """
        resolution = self.resolution if parameters is None else resolution_of(parameters, self.model)
        off = None if drawn.kicks is None else self._scattered(x_true, drawn.kicks, parameters, momentum)
        if self.placed is not None:
            x_true, off = self.placed.from_frame(x_true if off is None else x_true + off), None
        hits = smear(x_true, noise.scale(self.noise, resolution), drawn.deviates)
        hits = hits if off is None else hits + off
        if drawn.chances is not None:
            lost = drawn.chances >= self.efficiency
            hits = np.where(lost, np.nan, hits) if isinstance(hits, np.ndarray) else _without(hits, lost)
        return hits if self.corrected is None else self.corrected.to_frame(hits)

    def _scattered(
        self,
        x_true: Float[Any, "muon coordinate"],
        kicks: Float[Any, "muon coordinate"],
        parameters: Parameters | None,
        momentum: Float[Any, " muon"] | None,
    ) -> Float[Any, "muon coordinate"]:
        """Deviations due to scattering in the layers, or to whatever else the model adds."""
        model = self.model
        if model.deviate is not None:
            numbers = at_momenta(_numbers(model, model.parameters, parameters), momentum)
            return model.deviate(kicks, **arguments(model.covariance_uses, numbers, model))
        import torch

        from ..uncertainty.covariance import combined
        from .bound_model import bound

        hits = torch.as_tensor(x_true).detach()
        root = self._root(hits, parameters or bound(self.part, hits.device)[0])
        assert root is not None  # since there are kicks
        off = combined(root, torch.as_tensor(kicks)[:, None])[:, 0]
        return off.numpy() if isinstance(x_true, np.ndarray) else off

    def _root(
        self, hits: Tensor, parameters: Parameters, momentum: Float[Tensor, " muon"] | None = None
    ) -> Float[Tensor, "#muon coordinate coordinate"] | None:
        """The Cholesky factor of the covariance that the model adds, or None."""
        from ..uncertainty.covariance import cholesky
        from .bound_model import added_covariance

        added = added_covariance(self.model, parameters, hits, momentum)
        return None if added is None else cholesky(added)

    def around(self, hits: Float[Tensor, "muon coordinate"], known: Known) -> ToySetup:
        """The setup of toys around hits, with what the inference takes of them in place of the hits."""
        from .reconstruction import Reconstruction

        reconstruction = Reconstruction.of(self.part, hits.device)
        thrown, taken = self._thrown(reconstruction, hits, known), reconstruction.taken(hits, known)
        if taken.gain is None:
            return thrown
        return thrown._replace(hits=taken.hits, noise=0.0, root=taken.gain.spread(thrown.factor))

    def around_hits(self, hits: Float[Tensor, "muon coordinate"], known: Known) -> ToySetup:
        """The setup of toys around hits, with the hits themselves.

        Their covariances may be recorded, and their momenta and heights known.
        """
        from .reconstruction import Reconstruction

        return self._thrown(Reconstruction.of(self.part, hits.device), hits, known)

    def _thrown(self, reconstruction: Reconstruction, hits: Float[Tensor, "muon coordinate"], known: Known) -> ToySetup:
        """The setup of toys around hits, with the hits themselves; the noise is that of the layers, in their place."""
        import torch

        from ..uncertainty.covariance import cholesky
        from ..uncertainty.fit_residuals import product
        from ..uncertainty.toys import ToySetup
        from .bound_model import hit_covariance

        infer, parameters = reconstruction.infer, reconstruction.at_heights(reconstruction.parameters, known)
        stated = hit_covariance(self.model, parameters, hits, known.covariance, added=False)
        factor = torch.from_numpy(noise.factor(self.noise, self.resolution)).to(hits.device)
        added = self._root(hits, parameters, known.momentum)
        deformed = self.corrected is not None and self.corrected.deforms
        if added is None and stated.ndim == 2 and not deformed:
            return ToySetup(infer, hits, (stated.sqrt() * factor).expand(hits.shape))
        root = cholesky(stated) * factor
        if self.corrected is not None and deformed:
            root = product(root.new_tensor(self.corrected.linear.tolist())[None], root)
        if added is not None:
            (muons,) = torch.broadcast_shapes(root.shape[:1], added.shape[:1])  # perhaps none
            root = torch.cat([each.expand(muons, -1, -1) for each in (root, added)], dim=2)
        return ToySetup(infer, hits, 0.0, root)

    def toy_deviates(self, rng: noise.Generator, shape: tuple[int, int]) -> Float[Any, "toy deviate"]:
        """Deviates of toys: those of the noise, and standard normal ones for the covariance that the model adds.

        A tensor if the generator is that of a device.
        """
        toys, count = shape
        coordinates = len(self.layers)
        if count == coordinates:
            return noise.draw(self.noise, rng, shape)
        of_noise = noise.draw(self.noise, rng, (toys, coordinates))
        return side_by_side([of_noise, rng.standard_normal((toys, count - coordinates))])


class SimulatedBlock(NamedTuple):
    """The random numbers of simulated hits, which are made from them as functions of the design of the detector."""

    generated: Float[Any, "muon _"]
    drawn: Drawn

    @classmethod
    def draw(cls, part: Part[DetectedConfig], block: Block, device: str | torch.device = "cpu") -> SimulatedBlock:
        """The random numbers of a block, as in the simulation, as tensors on a device."""
        import torch

        drawn = Response(part).draw(block)
        on_device = lambda values: None if values is None else torch.from_numpy(values).to(device)  # noqa: E731
        moved = drawn._replace(deviates=on_device(drawn.deviates), kicks=on_device(drawn.kicks))
        return cls(on_device(generated(part, block)), moved)

    def take(self, rows: slice) -> SimulatedBlock:
        """The random numbers of the selected muons."""
        return SimulatedBlock(self.generated[rows], self.drawn.take(rows))

    def hits(self, part: Part[DetectedConfig], parameters: Parameters) -> Float[Tensor, "muon coordinate"]:
        """The recorded hits with these parameters, and their gradients; lost hits are lost."""
        x_true = true_hits(part, self.generated, parameters)
        return Response(part).record(x_true, self.drawn, parameters, self.momentum(part))

    def momentum(self, part: Part[DetectedConfig]) -> Float[Any, " muon"] | None:
        """The momenta of the muons, if the layers scatter them by these."""
        return momenta(part, self.generated)


def _without(hits: Tensor, lost: np.ndarray) -> Tensor:
    """The hits with NaN where they are lost."""
    import torch

    return hits.masked_fill(torch.from_numpy(lost).to(hits.device), float("nan"))
