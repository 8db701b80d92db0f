"""What may be a mistake in a config, and is none that can be refused: forgotten units, dead layers, equal heights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..config.base import each_layer
from ..config.schema import PointConfig
from ..statistics.prefixes import with_unit
from ..study.plan import Study
from ..validation.fit_estimates import FitEstimates
from ..validation.fit_units import LONGEST_DETECTOR, heights_question
from .recorded_lengths import ReadHits, notes_on_hits


def notes_on(study: Study, hits: ReadHits | None = None, fits: FitEstimates | None = None) -> list[str]:
    """Notes on the points of a study, each once; also on recorded hits, and on the fits of the first of them."""
    of_hits = [*notes_on_hits(study, hits, fits, _size(study.points[0].config))]
    found = [_too_wide(study), _at_one_height(study), *of_hits]
    if not any("the layers of model." in each for each in of_hits):
        found.append(_too_long(study))
    return [note for note in found if note]


def _too_long(study: Study) -> str:
    """That heights may lack a unit."""
    dz = getattr(study.config.model, "dz", 0.0)
    if dz >= LONGEST_DETECTOR:
        return f"model.dz is {with_unit(dz, 'm')}: if it is in mm, write `model.dz: {dz:g} mm`"
    return heights_question(study.model)


def _too_wide(study: Study) -> str:
    """The widest σ of hits that is larger than the detector, if there is one."""
    found = [
        (sigma / size, key, sigma, size)
        for config in (point.config for point in study.points)
        for size in (_size(config),)
        for key, sigma in _widths(config)
        if 0 < size < sigma
    ]
    if not found:
        return ""
    _, key, sigma, size = max(found)
    between = "dz" if study.config.model.layer_count == 1 else "the distance of the outermost layers"
    return (
        f"detector.{key} gives a σ of {with_unit(sigma, 'm')}, larger than {between}, {with_unit(size, 'm')}; "
        "is a unit missing?"
    )


def _at_one_height(study: Study) -> str:
    """Layers that are at the same height, at the first point with such layers."""
    for point in study.points:
        heights = _heights(point.config)
        for height, number in Counter(heights).items():
            if number > 1:
                layers = ", ".join(str(layer) for layer, each in enumerate(heights) if each == height)
                where = f", where {point.words}" * (len(study.points) > 1)
                return f"layers {layers} are at the same height, {with_unit(height, 'm')}{where}"
    return ""


def _heights(config: PointConfig) -> list[float]:
    """The heights of the layers, as far as the config gives them."""
    known = [getattr(config.model, name, None) for name in ("z", "z_upper", "z_lower")]
    return [height for of_layers in known if isinstance(of_layers, list) for height in of_layers]


def _size(config: PointConfig) -> float:
    """The distance of the outermost layers or, of a single hit, from the target, m; 0 if it is not known."""
    heights = _heights(config)
    return max(heights) - min(heights) if heights else getattr(config.model, "dz", 0.0)


def _widths(config: PointConfig) -> Iterator[tuple[str, float]]:
    """Each stated σ, m, with the key that states it."""
    for key, value in config.detector.stated.items():
        for number in each_layer(value, 1):
            yield key, 1 / number if key == "resolution" else number
