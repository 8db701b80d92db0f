"""The work of muons, toys and pseudo-experiments, by which batches are cut, time is requested, and told in advance.

It follows from the config and not from the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..models import Model, has_fit
from .blocks import block_count
from .coverage_bins import series_of
from .toy_selection import share

if TYPE_CHECKING:
    from ..config.schema import PointConfig
    from .batches import Part

TOY_SECONDS = 25e-9
"""Time of a toy of one hit, s, the unit of work: `benchmarks/costs.py`."""


class Rates(NamedTuple):
    """Work per coordinate, in toys of one hit: of a muon in all rules, toys around recorded and true hits, experiments.

    They are CPU times of whole studies on a busy machine, where they are a third larger than on one that is idle;
    `benchmarks/costs.py --models` measures those of muons, and of pseudo-experiments (300 to 4 700).
    """

    muon: int
    toy: int
    truth: int
    experiment: int = 4_000


OF_FUNCTIONS = Rates(28, 1, 24)
"""Of the default study."""

OF_FITTED_LINES = Rates(160, 3, 36)
"""Of models that fit lines: of `config/track.yaml`, and toys also of lists of hits, with or without σ of their own."""

OF_SLOW = Rates(2000, 3, 80)
"""Of models with observables that are slow to quote, such as points of closest approach: of `scatter`."""


def of_weighed_lines(coordinates: int) -> Rates:
    """Rates of models that fit lines with weights of each muon's own, by its momentum: of `config/track3d.yaml`.

    The matrices of weights have as many rows as the muon has coordinates, so that work grows with their square.
    """
    square = coordinates * coordinates
    return Rates(160 + 10 * square, 4, 36 + 2 * square // 3, OF_FITTED_LINES.experiment + 15 * square)


def rates_of(model: Model) -> Rates:
    """What muons and toys of a model take."""
    if model.slow:
        return OF_SLOW
    if not has_fit(model):
        return OF_FUNCTIONS
    return OF_FITTED_LINES if model.momentum is None else of_weighed_lines(len(model.coordinates))


def cost(part: Part[PointConfig]) -> int:
    """Work of a part, in toys of one hit."""
    return divisible_cost(part) + experiments_cost(part)


def divisible_cost(part: Part[PointConfig]) -> int:
    """Work of the muons and toys of a part, which is divided between the blocks of a point."""
    rates, (toys, around_truth) = rates_of(part.model), toys_of(part)
    of_coordinate = rates.muon * (part.stop - part.start) + rates.toy * toys + rates.truth * around_truth
    return len(part.model.coordinates) * of_coordinate


def experiments_cost(part: Part[PointConfig]) -> int:
    """Work of the pseudo-experiments of a part, all of which are run for each part of a point."""
    if not part.config.systematics:
        return 0
    return len(part.model.coordinates) * part.config.toys.experiments * rates_of(part.model).experiment


def toys_of(part: Part[PointConfig]) -> tuple[int, int]:
    """Numbers of toys around recorded and around true hits of a part."""
    toys, blocks_of_point = part.config.toys, block_count(part.muons)
    each = toys.per_muon if toys.mode == "fixed" else toys.most
    mine = range(part.first, part.last)
    thrown = len(share(mine, blocks_of_point, min(toys.muons, part.muons))) * each
    if part.config.source.kind != "simulated":
        return thrown, 0
    bins = sum(len(series.edges) - 1 for series in series_of(part.model))
    return thrown, len(share(mine, blocks_of_point, bins * part.config.coverage.toys_per_bin))
