"""The answer of a study in its first lines: how well each observable is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..statistics.intervals import Verdict
from ..statistics.prefixes import prefixed
from ..store.study_file import StudyReader
from ..study.blocks import BLOCK
from ..validation.evidence import Entry, Evidence
from .cells import Table, left, row, verdict
from .formats import count, percent

MUONS_READ = 10 * BLOCK
"""Muons of a point of which the spread of σ is read, from the first on."""

SPREADS_READ = 64
"""Answers of which the spread of σ is read at most: each of a scan's points is another file to verify."""

MOST_MUONS = (0.1587, 0.8413)
"""Quantiles between which 68.27 % of the muons are."""

IN_SENTENCES = 4
"""Answers that are told one by one; more are rows of a table."""


class Knowledge(NamedTuple):
    """How well an observable is known at a point: its quoted σ over the muons."""

    entry: Entry
    symbol: str
    unit: str
    muons: int
    """Muons with a σ."""
    of: int
    """All muons."""
    mean: float
    low: float
    high: float
    verdict: Verdict
    """The worst of the three questions."""

    @property
    def sigma(self) -> str:
        """The mean σ with the unit that suits it."""
        factor, unit = prefixed(self.mean, self.unit)
        return f"{factor * self.mean:.3g} {'' if unit == '1' else unit}".rstrip() if self.muons else "–"

    @property
    def range(self) -> str:
        """The range of the σ of most muons, in the same unit."""
        factor, _ = prefixed(self.mean, self.unit)
        return f"{factor * self.low:.3g} to {factor * self.high:.3g}" if self.low == self.low else "–"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        if not self.muons:
            return f"{self.symbol}: no muon has a σ"
        some = f"{count(self.muons)} of " if self.muons < self.of else ""
        muons = f"{self.symbol} of {some}{count(self.of)} muon{'s' * (self.of != 1)}"
        return f"{muons}: mean σ = {self.sigma}" + (f" (68 % of muons: {self.range})" if self.muons > 1 else "")


def how_well_known(study: StudyReader, evidence: Evidence, symbols: Mapping[str, str]) -> Iterator[Knowledge]:
    """The answers of a study, point by point and observable by observable; by their names where they have no symbol."""
    for entry in evidence.points:
        few = len(evidence.points) <= SPREADS_READ
        sigma = study.rows(f"{entry.point}/sigma_{entry.observable}", 0, MUONS_READ if few else 0)
        attributes = study.attributes(f"{entry.point}/{entry.observable}")
        known = sigma[np.isfinite(sigma)]
        low, high = np.quantile(known, MOST_MUONS) if len(known) else (math.nan, math.nan)
        mean = entry.quoted.overall.mean_sigma
        yield Knowledge(
            entry,
            symbols.get(entry.observable, entry.observable),
            str(attributes["units"]),
            0 if mean is None else entry.quoted.counts.muons - _without_sigma(entry),
            entry.quoted.counts.muons,
            math.nan if mean is None else mean,
            low,
            high,
            evidence.verdict_on(entry),
        )


def _without_sigma(entry: Entry) -> int:
    """Muons without a quoted σ, each counted once."""
    counts = entry.quoted.counts
    return counts.hit_not_finite + counts.value_not_finite + counts.no_standard_deviation + counts.sigma_zero_or_nan


def over_scan(found: Sequence[Knowledge]) -> Iterator[str]:
    """The range of the mean σ of each observable over the points of a scan, in words."""
    for symbol in dict.fromkeys(each.symbol for each in found):
        of = [each for each in found if each.symbol == symbol]
        low, high = (choose(of, key=lambda each: each.mean) for choose in (min, max))
        known = all(math.isfinite(each.mean) for each in of)
        if len(of) > 1 and known:
            yield f"{symbol} over {len(of)} points: mean σ from {low.sigma} to {high.sigma}"


def known_table(found: Sequence[Knowledge]) -> Table:
    """The answers as a table, a row for each; without the point if there is only one."""
    several = len({each.entry.point for each in found}) > 1
    words = [*[left("point")] * several, left("observable")]
    heads = row(*words, "muons with σ", "mean σ", "68 % of muons", "linear propagation valid", left("verdict"))
    rows = [
        row(
            *[left(each.entry.point)] * several,
            left(each.symbol),
            count(each.muons),
            each.sigma,
            each.range,
            percent(each.entry.linear_valid),
            verdict(each.verdict),
        )
        for each in found
    ]
    return Table([heads], rows)
