"""Where the layers of a detector are: small offsets, rotations about the axis z, and scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

Kind = Literal["x", "y", "rotation", "scale_x", "scale_y"]
"""Numbers of a layer: offsets, rotation, and the relative error of the scale in each view."""

KINDS_OF_VIEWS: tuple[tuple[Kind, Kind], tuple[Kind, Kind]] = (("x", "scale_x"), ("y", "scale_y"))
"""Offset and scale of each view."""


class Coordinates(NamedTuple):
    """How coordinates belong to layers: the layer of each, its view, and its partner in the other view of the layer.

    `view` is 0 for x and 1 for y. A coordinate without a partner is its own.
    """

    layer: Int[np.ndarray, " coordinate"]
    view: Int[np.ndarray, " coordinate"]
    partner: Int[np.ndarray, " coordinate"]

    @classmethod
    def of(cls, layers: Sequence[int], names: Sequence[str]) -> Coordinates:
        """The coordinates of a detector from their layers and names; names of view y begin with y."""
        views = [int(name.startswith("y")) for name in names]
        places = {place: index for index, place in enumerate(zip(layers, views, strict=True))}
        partner = [places.get((layer, 1 - view), index) for (layer, view), index in places.items()]
        return cls(np.array(layers), np.array(views), np.array(partner))


class Placement(NamedTuple):
    """Offset, rotation and scale of the layer of each coordinate.

    A layer that is displaced by d, rotated by φ about z, from x towards y, about x = y = 0, and stretched by
    S = diag(1 + s_x, 1 + s_y) reads a muon at r as h = S⁻¹ R(φ)ᵀ (r − d); so r = R(φ) S h + d.
    """

    offset: Float[np.ndarray, " coordinate"]
    angle: Float[np.ndarray, " coordinate"]
    stretch: Float[np.ndarray, " coordinate"]
    of: Coordinates

    @classmethod
    def by_layer(cls, of: Coordinates, numbers: Mapping[Kind, Sequence[float]]) -> Placement:
        """The placement from offsets (m), rotations (rad) and scales of each layer; those that are not given are 0."""
        zero = np.zeros(int(of.layer.max()) + 1)
        each = {kind: np.asarray(values, "f8") for kind, values in numbers.items()}
        offset, scale = (
            np.stack([each.get(kinds[which], zero) for kinds in KINDS_OF_VIEWS])[of.view, of.layer] for which in (0, 1)
        )
        return cls(offset, each.get("rotation", zero)[of.layer], 1 + scale, of)

    @property
    def turns(self) -> bool:
        """Whether a layer is rotated."""
        return bool(self.angle.any())

    @property
    def deforms(self) -> bool:
        """Whether a layer is rotated or stretched, so that the covariance of its hits changes, too."""
        return self.turns or bool((self.stretch != 1).any())

    @property
    def linear(self) -> Float[np.ndarray, "coordinate coordinate"]:
        """R(φ) S of all layers: hits of covariance Σ in the layers have (R S) Σ (R S)ᵀ in the frame."""
        return np.asarray(self._turned(np.eye(len(self.stretch)) * self.stretch, 1.0)).T

    def to_frame(self, hits: Float[Any, "muon coordinate"]) -> Float[Any, "muon coordinate"]:
        """Where muons are whose hits the layers read: r = R(φ) S h + d, for an array or a tensor.

        A hit of which a layer has one coordinate only is lost if the layer is rotated.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite hits
            return self._turned(hits * _like(hits, self.stretch), 1.0) + _like(hits, self.offset)

    def from_frame(self, positions: Float[Any, "muon coordinate"]) -> Float[Any, "muon coordinate"]:
        """What layers read of muons at these positions: h = S⁻¹ R(φ)ᵀ (r − d)."""
        return self._turned(positions - _like(positions, self.offset), -1.0) / _like(positions, self.stretch)

    def _turned(self, hits: Any, sense: float) -> Any:
        """The hits, rotated by ±φ."""
        if not self.turns:
            return hits
        sine = sense * np.sin(self.angle) * np.where(self.of.view == 1, 1.0, -1.0)
        turned = hits * _like(hits, np.cos(self.angle)) + _like(hits, sine) * hits[:, self.of.partner]
        straight = self.angle == 0  # where a missing partner does not matter
        if isinstance(hits, np.ndarray):
            return np.where(straight, hits, turned)
        return hits.where(_like(hits, straight).bool(), turned)


def _like(hits: Any, values: np.ndarray) -> Any:
    """The values as an array or a tensor like the hits."""
    return values if isinstance(hits, np.ndarray) else hits.new_tensor(values.tolist())
