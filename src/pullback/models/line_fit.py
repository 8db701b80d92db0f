"""Straight lines through the hits of several layers by weighted least squares, with support for missing hits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..errors import ConfigError
from ..uncertainty.arrays import Tensor
from ..uncertainty.elementwise import length, magnitude, total
from . import Quantity

LayerNumbers = Sequence[float] | Float[Tensor, " _"]
"""One number per layer: from the config, or a tensor for derivatives."""

HeightsOfHits = LayerNumbers | Float[Tensor, "muon layer"]
"""Height of each layer, of all muons or of each."""

LayerHeights = LayerNumbers | Float[np.ndarray, " _"]
"""Height of each layer: in simulations also an array."""

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class View(NamedTuple):
    """The hits of one view of a tracker, with 0 in place of hits that are not finite.

    Attributes
    ----------
    hits : tuple of tensor (muon,)
        Positions on each layer.
    seen : tensor (layer, muon), optional
        Whether each hit exists; None if all do.
    finite : tensor (muon,), optional
        Whether each muon is without infinite hits; None if all are.
    """

    hits: tuple[Float[Tensor, " muon"], ...]
    seen: Bool[Tensor, "layer muon"] | None
    finite: Bool[Tensor, " muon"] | None


class Line(NamedTuple):
    """A line x(z) per muon: dx/dz, x at a given height (m), and whether the muon has a line (None if all have).

    Muons without a line have finite placeholders, so that gradients have no NaN; `observables` inserts NaN.
    """

    slope: Float[Tensor, " muon"]
    position: Float[Tensor, " muon"]
    known: Bool[Tensor, " #muon"] | None


def as_layers(
    values: LayerNumbers, hits: Tensor, name: str, layers: int | None = None, positive: bool = False
) -> Tensor:
    """One number per layer as a tensor like the hits.

    Raises
    ------
    ValueError
        There are not as many numbers as layers, or one is not positive although it must be.

    """
    import torch

    numbers = values if isinstance(values, torch.Tensor) else hits.new_tensor(values)
    if numbers.ndim != 1 or (layers is not None and len(numbers) != layers):
        raise ValueError(f"{name} must have a number for each of {layers or 'the'} layers, not {tuple(numbers.shape)}")
    if positive and not (numbers > 0).all():
        raise ValueError(f"{name} must be positive, not {numbers.tolist()}")
    return numbers


def as_heights(z: HeightsOfHits, hits: Tensor, name: str) -> Float[Tensor, "*muons layer"]:
    """Heights of layers as a tensor like the hits: one per layer for all muons, or a tensor (muon, layer)."""
    heights: Any = z
    return heights if getattr(z, "ndim", 1) == 2 else as_layers(z, hits, name)


def prepare(
    hits: Float[Tensor, "muon coordinate"], z: LayerNumbers, resolution: LayerNumbers, in_views: int
) -> list[tuple[View, Float[Tensor, " layer"], Float[Tensor, " layer"]]]:
    """Each of one or two views of the same layers: hits, heights and resolutions, as tensors; checked."""
    layers = len(z)
    found, heights = views(hits, *[layers] * in_views), as_layers(z, hits, "z")
    of_views = resolutions_by_view(resolution, hits, layers, in_views)
    return [(view, heights, own) for view, own in zip(found, of_views, strict=True)]


def resolutions_by_view(
    resolution: LayerNumbers, hits: Float[Tensor, "muon coordinate"], layers: int, in_views: int
) -> list[Float[Tensor, " layer"]]:
    """The resolutions of the layers in each view: one per layer for all views, or one per coordinate; checked."""
    count = len(resolution) if hasattr(resolution, "__len__") else 0
    own = in_views if in_views > 1 and count == layers * in_views else 1
    numbers = as_layers(resolution, hits, "resolution", layers * own, positive=True)
    return [*numbers.split(layers)] if own > 1 else [numbers] * in_views


def views(hits: Float[Tensor, "muon coordinate"], *layers: int) -> list[View]:
    """The hits split into views with these numbers of layers.

    Raises
    ------
    ValueError
        Hits are no tensor (muon, coordinate) with one coordinate for each of these layers.

    """
    import torch

    if not isinstance(hits, torch.Tensor) or hits.ndim != 2 or hits.shape[1] != sum(layers):
        shape = tuple(getattr(hits, "shape", None) or ())
        raise ValueError(f"hits must be a torch tensor (muon, {sum(layers)}), not {type(hits).__name__} {shape}")
    seen = finite = None
    if not torch.isfinite(hits.detach().sum()):
        seen, finite = ~hits.isnan().t(), ~hits.isinf().t()
        hits = torch.where(torch.isfinite(hits), hits, 0.0)
    columns, found, start = hits.unbind(1), [], 0
    for count in layers:
        part = slice(start, start + count)
        if seen is None or finite is None:
            found.append(View(columns[part], None, None))
        else:
            found.append(View(columns[part], seen[part], finite[part].all(dim=0)))
        start += count
    return found


def fit(
    view: View,
    z: Float[Tensor, " layer"],
    resolution: Float[Tensor, " layer"],
    at: float | Float[Tensor, ""] = 0.0,
) -> Line:
    """The straight line of each muon by least squares, with weights w = resolution² of the available hits.

    With z̄ = Σ w z / Σ w, d = z − z̄ and S = Σ w d²: dx/dz = Σ w d x / S, and x(at) = Σ w x / Σ w + dx/dz (at − z̄).
    Sums are centred in z, so that slope and position keep their precision for layers far from z = 0.

    A muon has no line with fewer than two hits, with all its hits at one height, or with an infinite hit.

    Parameters
    ----------
    view : View
        The hits.
    z : tensor (layer,)
        Height of each layer, m.
    resolution : tensor (layer,)
        1/σ of the hits of each layer, 1/m.
    at : float or tensor
        Height of the requested position, m.

    Returns
    -------
    Line
        The line of each muon.

    Source: the least-squares line of independent hits, PDG 2024, section 40.2.3.

    """
    import torch

    z = z[:, None]
    weight = _weights(view, resolution)
    if view.seen is None or view.finite is None:
        known = None if z.amax() > z.amin() else z.new_zeros(1, dtype=torch.bool)
    else:
        with torch.no_grad():
            top = torch.where(view.seen, z, -torch.inf).amax(dim=0)
            known = (top > torch.where(view.seen, z, torch.inf).amin(dim=0)) & view.finite
    safe = (lambda sums: sums) if known is None else lambda sums: torch.where(known, sums, 1.0)
    origin = z.detach()[0]
    slopes, positions = line_factors(weight, z - origin, at - origin, safe)  # differences of similar numbers are exact
    return Line(_weighted(slopes, view.hits), _weighted(positions, view.hits), known)


def line_factors(
    weight: Tensor,
    height: Tensor,
    at: float | Tensor,
    safe: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> tuple[Tensor, Tensor]:
    """What each layer's hit counts in the slope, and in the position at a height, all (layer, …).

    `safe` replaces sums that may be 0.
    """
    weights = safe(total(weight))
    centre = total(weight * height) / weights
    arm = height - centre
    slopes = weight * arm / safe(total(weight * (arm * arm)))
    return slopes, weight / weights + slopes * (at - centre)


def _weights(view: View, resolution: Float[Tensor, " layer"]) -> Float[Tensor, "layer _"]:
    """The weights of the hits; 0 for missing hits."""
    import torch

    weight = resolution.square()[:, None]
    return weight if view.seen is None else torch.where(view.seen, weight, 0.0)


def _weighted(factors: Float[Tensor, "layer _"], hits: Sequence[Tensor]) -> Float[Tensor, " muon"]:
    return total(factor * x for factor, x in zip(factors.unbind(0), hits, strict=True))


def fitted_of_all(
    parts: Iterable[tuple[View, Float[Tensor, " layer"], Float[Tensor, " layer"]]],
) -> Float[Tensor, "muon coordinate"]:
    """The position of the line on each layer, view by view with their z and resolutions; NaN where there is no line.

    It is linear in the hits that exist, without a constant.
    """
    values: list[Tensor] = []
    known: list[Bool[Tensor, " #muon"] | None] = []
    for view, z, resolution in parts:
        at = z.detach()[0]
        values += positions(line := fit(view, z, resolution, at), at, z)
        known += [line.known] * len(z)
    return observables(values, known)


def positions(line: Line, at: float | Float[Tensor, ""], heights: LayerNumbers) -> list[Float[Tensor, " muon"]]:
    """Positions on a line at several heights, of which `line.position` is that at the height `at`."""
    return [line.position + line.slope * (height - at) for height in heights]


def zenith(*slopes: Float[Tensor, " muon"]) -> Float[Tensor, " muon"]:
    """The angle of a line from the vertical, from its slopes in one or two views: arctan of their length."""
    size = magnitude(slopes[0]) if len(slopes) == 1 else length(*slopes)
    return size.arctan2(size.new_ones(()))


def both(*known: Bool[Tensor, " #muon"] | None) -> Bool[Tensor, " #muon"] | None:
    """Whether each muon has all of these lines; None if all have."""
    some = [each for each in known if each is not None]
    return reduce(and_, some) if some else None


def observables(
    values: Sequence[Float[Tensor, " muon"]], known: Sequence[Bool[Tensor, " #muon"] | None]
) -> Float[Tensor, "muon observable"]:
    """The observables as columns, with NaN for unknown ones.

    NaN is inserted last, so that it does not enter the gradients of known observables.
    """
    import torch

    return torch.stack(
        [v if k is None else torch.where(k, v, float("nan")) for v, k in zip(values, known, strict=True)], dim=1
    )


def as_one_type(*arrays: Any) -> list[Any]:
    """All arrays as tensors if any is one, else as numpy arrays."""
    like = next((each for each in arrays if hasattr(each, "new_tensor")), None)
    if like is None:
        return [np.asarray(each, dtype=float) for each in arrays]
    return [each if hasattr(each, "new_tensor") else like.new_tensor(each) for each in arrays]


def side_by_side(parts: Sequence[Any]) -> Any:
    """Arrays or tensors (muon, …) joined along the second axis."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=1)
    import torch

    return torch.cat(list(parts), dim=1)


def coordinates(view: str, layers: int) -> tuple[Quantity, ...]:
    """The positions on each layer, in the view "x" or "y"."""
    return tuple(
        Quantity(f"{view}{i}", "m", f"position {view} on the layers", f"{view}{str(i).translate(_SUBSCRIPTS)}")
        for i in range(layers)
    )


def check_heights(name: str, z: Sequence[float]) -> None:
    """Raise unless layers at these heights determine a line."""
    if len(set(z)) < 2:
        raise ConfigError(f"model.{name}: all layers are at {z[0]:g} m; a line needs two heights at least")
