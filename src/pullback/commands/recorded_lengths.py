"""What recorded hits say of units and of dead layers, before a study is run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ..config.source_schema import Recorded
from ..models.stated import stated_resolution
from ..statistics.prefixes import with_unit
from ..study.plan import Study
from ..validation.fit_estimates import FitEstimates
from ..validation.fit_reasons import symbols_of
from ..validation.fit_scattering import wanted_scattering
from ..validation.fit_units import LONGEST_DETECTOR, heights_question, noise_of, unit_of_positions, unit_question

FEWEST_HITS = 20
"""Minimum muons of which anything is said."""

WIDE_HITS, STEEP_HITS = 10.0, 10.0
"""Half-width of the central 68 % of the hits in a coordinate, m and over the distance of the outermost layers, beyond
which a unit is in question: most muons would be within 6° of the horizontal, in a detector of 20 m."""

MOST_IN_PLACE = 0.5
"""Share of noise in the residuals above which scattering may explain them; else layers are out of place."""

LONG, FLAT_SHAPE = 20.0, 1000.0
"""Distance of the outermost layers, m, and over the half-width of the hits, beyond which heights may lack a unit."""

CENTRAL_SHARE = (0.16, 0.84)
"""Quantiles of the central 68 %."""


class ReadHits:
    """The range of the hits in each coordinate, over blocks of a file, and the central 68 % in the first block."""

    def __init__(self, coordinates: int):
        """No hits yet."""
        self.muons = 0
        self.low, self.high = np.full(coordinates, np.inf), np.full(coordinates, -np.inf)
        self.half_width = np.zeros(coordinates)

    def add(self, hits: Float[np.ndarray, "muon coordinate"]) -> None:
        """Add a block."""
        known = np.isfinite(hits)
        self.low = np.minimum(self.low, np.where(known, hits, np.inf).min(axis=0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(known, hits, -np.inf).max(axis=0, initial=-np.inf))
        if not self.muons:
            for index in np.flatnonzero(known.any(axis=0)):
                low, high = np.quantile(hits[known[:, index], index], CENTRAL_SHARE)
                self.half_width[index] = (high - low) / 2
        self.muons += len(hits)

    @property
    def silent(self) -> list[int]:
        """Coordinates without a hit, if others have hits."""
        none = self.low > self.high
        return [] if none.all() else np.flatnonzero(none).tolist()

    @property
    def constant(self) -> list[int]:
        """Coordinates in which all hits are the same, if they differ in others."""
        same = self.low == self.high
        return np.flatnonzero(same).tolist() if (self.low < self.high).any() else []


def notes_on_hits(study: Study, hits: ReadHits | None, fits: FitEstimates | None, size: float) -> Iterator[str]:
    """Notes on recorded hits; `size` is the distance of the outermost layers, m, or 0."""
    if hits is None or hits.muons < FEWEST_HITS:
        return
    coordinates = {each.name: each for each in study.model.coordinates}
    names = [*coordinates]
    if hits.silent:
        where = symbols_of([names[each] for each in hits.silent], coordinates)
        yield f"no muon has a hit of {where}: a dead layer, {OR_COLUMN}"
    if hits.constant:
        where = symbols_of([names[each] for each in hits.constant], coordinates)
        yield f"all hits of {where} are the same: a dead layer, {OR_COLUMN}"
    widest = float(hits.half_width.max())
    if question := _of_residuals(study, fits) or _of_spread(study, hits, size):
        yield question
    elif size < LONGEST_DETECTOR and size > max(LONG, FLAT_SHAPE * widest):
        yield heights_question(study.model, LONG)


OR_COLUMN = "or a wrong column in source?"
"""What else it may be."""


def _of_residuals(study: Study, fits: FitEstimates | None) -> str:
    """The unit that the residuals of the first muons put in question."""
    if fits is None or fits.muons < FEWEST_HITS:
        return ""
    in_place = float(np.median(fits.noise_alone)) > MOST_IN_PLACE
    scattering = wanted_scattering(fits, study.model) if in_place else None
    sigma = (1 / stated_resolution(study.points[0].config.detector.stated, study.model)).tolist()
    unit = unit_of_positions(study.config.source)
    return unit_question(noise_of(fits), study.model, unit, sigma, scatters=bool(scattering and scattering.better))


def _of_spread(study: Study, hits: ReadHits, size: float) -> str:
    """That hits spread so far that they can be no tracks through the layers."""
    assert isinstance(study.config.source, Recorded)
    unit, widest = study.config.source.unit, int(hits.half_width.argmax())
    wide = float(hits.half_width[widest])
    if not (size and unit == "m" and wide > WIDE_HITS and wide > STEEP_HITS * size):
        return ""
    name = study.model.coordinates[widest]
    return (
        f"the central 68 % of the hits of {name.symbol or name.name} spread over {with_unit(2 * wide, 'm')}, and the "
        f"layers over {with_unit(size, 'm')}; if the positions in the file are in mm, write `source.unit: mm` (now m)"
    )
