"""Layers that tracks cannot align: those without hits, with hits in one view alone, or with too few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from ..errors import PullbackError
from ..study.plan import Study
from ..uncertainty.alignment import Parameter, TrackGroup
from ..uncertainty.placement import Coordinates

FEWEST_OF_A_LAYER = 20
"""Minimum tracks with a hit in a coordinate of a layer that is aligned: of fewer, the covariance of the corrections,
which is that of the data, would be known to worse than 1/√(2 · 20) = 16 %."""

NEEDED = {"x": (0,), "scale_x": (0,), "y": (1,), "scale_y": (1,), "rotation": (0, 1)}
"""The views of a layer that must have hits to find its numbers."""


def refuse_unseen(
    study: Study, free: Sequence[Parameter], of: Coordinates, hits: Float[np.ndarray, "muon coordinate"]
) -> None:
    """Raise with the layers of which no muon has the hits that their free parameters need.

    Raises
    ------
    PullbackError
        A layer has no hits, or none in one view, or no muon has both coordinates of a layer that may be rotated.

    """
    seen = np.isfinite(hits)
    both = seen & seen[:, of.partner] if any(each.kind == "rotation" for each in free) else seen
    own, paired = _by_place(of, seen.any(axis=0)), _by_place(of, both.any(axis=0))
    _refuse(_unseen(study, free, own, paired), f"{len(hits)} muons")


def _unseen(
    study: Study,
    free: Sequence[Parameter],
    own: Mapping[tuple[int, int], int],
    paired: Mapping[tuple[int, int], int],
) -> Iterator[tuple[str, str]]:
    """What is wrong with each layer, and what else than to hold it would do."""
    for layer, kinds in _by_layer(free).items():
        views = [view for view in (0, 1) if own.get((layer, view))]
        if not views:
            yield f"{_named(study, layer)} has no hit", ""
            continue
        unknown = [kind for kind in kinds if not {*NEEDED[kind]} <= {*views}]
        out = f"leave {' and '.join(dict.fromkeys(each.split('_')[0] for each in unknown))} out of alignment.free, or "
        if unknown:
            yield f"{_named(study, layer)} has hits in {'xy'[views[0]]} alone", out
        elif "rotation" in kinds and not paired[layer, views[0]]:
            words = f"{_named(study, layer)} has x and y of no muon together, as its rotation needs"
            yield words, "leave rotation out of alignment.free, or "


def refuse_seldom(study: Study, free: Sequence[Parameter], of: Coordinates, groups: Sequence[TrackGroup]) -> None:
    """Raise with the layers of which too few tracks have hits.

    Raises
    ------
    PullbackError
        A coordinate that a free parameter needs is in fewer than `FEWEST_OF_A_LAYER` tracks with degrees of freedom.

    """
    count = _by_place(of, _tracks_by_coordinate(groups, len(of.layer)))
    few = []
    for layer, kinds in _by_layer(free).items():
        least = min(int(count[layer, view]) for kind in kinds for view in NEEDED[kind])
        if least < FEWEST_OF_A_LAYER:
            few.append((f"{_named(study, layer)} has hits in {least} tracks with more hits than parameters", ""))
    _refuse(few, f"{FEWEST_OF_A_LAYER} are needed")


def unseen_references(study: Study, held: Sequence[int], of: Coordinates, hits: np.ndarray) -> str:
    """What is to be said of layers that are held, and hold nothing since they have no hits; empty if there are none."""
    seen = np.isfinite(hits).any(axis=0)
    empty = [layer for layer in held if not seen[of.layer == layer].any()]
    return "".join(f"; {_named(study, layer)}, which is held, has no hit" for layer in empty)


def _tracks_by_coordinate(groups: Sequence[TrackGroup], coordinates: int) -> Int[np.ndarray, " coordinate"]:
    """The number of tracks that say something of each coordinate: whose other hits predict it."""
    found = np.zeros(coordinates, int)
    for group in groups:
        tells = np.square(group.white).sum(axis=1) > 0
        found[group.used] += np.broadcast_to(tells, (len(group.rows), len(group.used))).sum(axis=0)
    return found


def _by_place(of: Coordinates, values: Bool[np.ndarray, " _"] | Int[np.ndarray, " _"]) -> dict[tuple[int, int], int]:
    """Values of coordinates by layer and view."""
    return dict(zip(zip(of.layer.tolist(), of.view.tolist(), strict=True), values.tolist(), strict=True))


def _by_layer(free: Sequence[Parameter]) -> dict[int, list[str]]:
    """The kinds of free parameters of each layer."""
    return {layer: [each.kind for each in free if each.layer == layer] for layer in {each.layer: 0 for each in free}}


def _named(study: Study, layer: int) -> str:
    """A layer by its number, and by its name in the file where that has one."""
    names = getattr(study.config.source, "layers", [])
    return f"layer {layer}" + (f" ({names[layer]})" if names else "")


def _refuse(wrong: Iterator[tuple[str, str]] | list[tuple[str, str]], among: str) -> None:
    told = [*wrong]
    if told:
        words, advice = "; ".join(words for words, _ in told), told[0][1]
        layers = "layer" if len(told) == 1 else "layers"
        raise PullbackError(f"alignment: {words} ({among}); {advice}hold the {layers} by alignment.reference")
