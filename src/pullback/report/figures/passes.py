"""One pass over the recorded muons of a point, for figures that show all of them: counts in bins, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...study import blocks
from ...study.blocks import block_count
from ...study.pictured import pictured
from .base import Subject
from .ranges import FURTHEST, all_of, most_of

SAMPLED = 200_000
"""Muons from which the range of a histogram is taken."""

FEWEST_ON_A_GRID = 4.0
"""Mean number of hits at each of the most frequent positions above which positions are those of pixels or strips."""

FEWEST_BINS, MOST_BINS = 10, 100
"""Bins of a map or histogram along each axis."""

FEWEST_WITH_ERROR = 4
"""Values of whose median the standard error is known."""

FEWEST_WITH_MEDIAN = 10
"""Values of which a median is shown beside medians of more."""


class Bins(NamedTuple):
    """Bins of equal width from `low` to `high`."""

    low: float
    high: float
    number: int

    @property
    def edges(self) -> np.ndarray:
        """The edges of the bins."""
        return np.linspace(self.low, self.high, self.number + 1)

    @property
    def middles(self) -> np.ndarray:
        """The middles of the bins."""
        edges = self.edges
        return (edges[1:] + edges[:-1]) / 2

    def places(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value; −1 for a value outside, or NaN."""
        with np.errstate(invalid="ignore"):
            inside = (values >= self.low) & (values <= self.high)
        share = np.where(inside, values - self.low, 0.0) / (self.high - self.low)
        return np.where(inside, np.minimum(share * self.number, self.number - 1).astype(int), -1)


def counted(*axes: tuple[Bins, np.ndarray]) -> np.ndarray:
    """The number of muons in bins of one or more values."""
    shape = tuple(bins.number for bins, _ in axes)
    places = [bins.places(values) for bins, values in axes]
    inside = np.all([place >= 0 for place in places], axis=0)
    flat = np.ravel_multi_index([place[inside] for place in places], shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)


class BlockColumns(NamedTuple):
    """The rows of a block: the number of its first muon, and columns."""

    start: int
    columns: tuple[np.ndarray, ...]

    @property
    def muon(self) -> np.ndarray:
        """The number of each muon."""
        return np.arange(self.start, self.start + len(self.columns[0]))


def all_rows(subject: Subject, *names: str) -> Iterator[BlockColumns]:
    """Columns of the muons of a point block by block.

    Values that are too far to be drawn are ±`FURTHEST`, outside of any picture, and infinite ones NaN.
    """
    muons = subject.study.muons[subject.label]
    for index in pictured(block_count(muons)):
        start, stop = index * blocks.BLOCK, min((index + 1) * blocks.BLOCK, muons)
        read = (_at_most(subject.reader.rows(f"{subject.label}/{name}", start, stop)) for name in names)
        yield BlockColumns(start, tuple(read))


def _at_most(values: np.ndarray) -> np.ndarray:
    return np.clip(np.where(np.isinf(values), np.nan, values), -FURTHEST, FURTHEST)


def sample(subject: Subject, *names: str) -> tuple[np.ndarray, ...]:
    """Columns of muons that are evenly spread over those of `all_rows`."""
    total = min(subject.study.muons[subject.label], blocks.BLOCK * len(pictured(10**9)))
    step = max(1, total // SAMPLED)
    parts = [[column[::step].copy() for column in rows.columns] for rows in all_rows(subject, *names)]
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def bins_of(values: np.ndarray, tail: float, in_bin: int) -> Bins:
    """Bins for a map of positions, without far tails; of pixels or strips, whole numbers of them.

    There are at most as many as the root of the number of values over `in_bin`.
    """
    values = values[np.abs(values) < FURTHEST]
    if not len(values):
        return Bins(-1.0, 1.0, FEWEST_BINS)
    low, high = all_of(values)
    near = most_of(values, tail, math.inf)
    low, high = max(low, near[0]), min(high, near[1])
    number = int(np.clip((len(values) / in_bin) ** 0.5, FEWEST_BINS, MOST_BINS))
    pitch, first = _grid(values)
    if not pitch or (high - low) / pitch > 1e6:
        return Bins(low, high, number)
    low = first + pitch * (np.floor((low - first) / pitch + 0.5) - 0.5)
    steps = max(1, math.ceil((high - low) / pitch - 1e-6))
    each = -(-steps // number)
    number = -(-steps // each)
    return Bins(low, low + number * each * pitch, number)


def _grid(values: np.ndarray) -> tuple[float, float]:
    """The pitch of the grid on which most values lie, and one place on it; 0 if there is none."""
    places, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    most = np.searchsorted(np.cumsum(counts[order]), 0.6 * len(values)) + 1
    frequent = np.sort(places[order[:most]])
    if len(frequent) < 2 or 0.6 * len(values) / most < FEWEST_ON_A_GRID:
        return 0.0, 0.0
    return float(np.median(np.diff(frequent))), float(frequent[0])


def medians(counts: np.ndarray, bins: Bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The median of each row of counts (row, bin), and the ends of its interval of ± one standard error.

    By order statistics: the number of values below the median is binomial, with a standard deviation of √n/2. NaN for
    a row with few values, or none; and for the ends, if they would be beyond all values.
    """
    found, totals = np.full((3, len(counts)), np.nan), counts.sum(axis=1)
    for row, (each, total) in enumerate(zip(counts, totals, strict=True)):
        if total >= np.clip(totals.max(), 1, FEWEST_WITH_MEDIAN):
            below = np.concatenate([[0], np.cumsum(each)]) / total
            shares = 0.5 + np.array([0, -1, 1]) / (2 * np.sqrt(total))
            found[:, row] = np.interp(shares, below, bins.edges)
            found[1:, row] = np.nan if total < FEWEST_WITH_ERROR else found[1:, row]
    return found[0], found[1], found[2]
