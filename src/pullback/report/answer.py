"""The answer of a study in its first lines: how well each observable is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..statistics.intervals import Verdict
from ..statistics.prefixes import LARGE, LARGEST_IN_MILLI, prefixed
from ..store.study_file import StudyReader
from ..study.blocks import BLOCK
from ..validation.estimates import worst
from ..validation.evidence import Entry, Evidence
from .cells import Table, left, row, verdict
from .formats import RAISED, count, percent

MUONS_READ = 10 * BLOCK
"""Muons of a point of which the spread of σ is read, from the first on."""

SPREADS_READ = 64
"""Answers of which the spread of σ is read at most: each of a scan's points is another file to verify."""

QUANTILES = (0.1587, 0.5, 0.8413)
"""Of σ over the muons: the median, and those between which 68.27 % of the muons are."""

SIGMA_DIGITS = 3
"""Significant digits of an average σ; its range has as many decimals."""

WIDEST_ALIKE = 100
"""Ratio of the largest σ of a scan to the smallest up to which all have the same unit and power of ten."""

SMALL_NUMBER = 0.01
"""Numbers without a unit, or with one that takes no prefix, are written with a power of ten below this."""

IN_SENTENCES = 4
"""Answers that are told one by one; more are rows of a table."""


class Scale(NamedTuple):
    """What numbers are multiplied by, and the power of ten and the unit that follow them."""

    factor: float
    power: str
    unit: str


class Knowledge(NamedTuple):
    """How well an observable is known at a point: its quoted σ over the muons."""

    entry: Entry
    point: str
    """The point as people read it."""
    symbol: str
    unit: str
    muons: int
    """Muons with a σ."""
    of: int
    """All muons."""
    mean: float
    median: float
    low: float
    high: float
    verdict: Verdict
    """The worst of the three questions."""
    kind: Literal["mean", "median"] = "mean"
    """Which average of σ is quoted; the same at all points."""
    largest: float = math.nan
    """The largest average σ of the points that share unit and power of ten; NaN for a point by itself."""

    @property
    def shared(self) -> float:
        """The σ of the mean of the observable by what all muons share; 0 without systematics."""
        of_mean = self.entry.shared.mean_uncertainty if self.entry.shared else None
        return of_mean.shared if of_mean else 0.0

    @property
    def typical(self) -> float:
        """The average of σ that is quoted."""
        return self.median if self.kind == "median" else self.mean

    @property
    def sigma(self) -> str:
        """The average σ with the unit that suits it."""
        return self.written(self.typical) if self.muons else "–"

    @property
    def cell(self) -> str:
        """The average σ in a table of means."""
        return self.sigma + " (median)" * (self.kind == "median" and self.muons > 0)

    @property
    def range(self) -> str:
        """The range of the σ of most muons, in the same unit and with as many decimals, or one number."""
        if math.isnan(self.low):
            return "–"
        return f"{_from_to(self._number(self.low), self._number(self.high))}{self.scale.power}"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        if not self.muons:
            return f"{self.symbol}: no muon has a σ"
        some = f"{count(self.muons)} of " if self.muons < self.of else ""
        muons = f"{self.symbol} of {some}{count(self.of)} muon{'s' * (self.of != 1)}"
        spread = f" (68 % of muons: {self.range})" if self.muons > 1 and " to " in self.range else ""
        return f"{muons}: {self.kind} σ = {self.sigma}{spread}{_without([self])}"

    def written(self, sigma: float) -> str:
        """A σ in the unit of the quoted one, and with as many decimals."""
        _, power, unit = self.scale
        return f"{self._number(sigma)}{power} {unit}".rstrip()

    @property
    def scale(self) -> Scale:
        """What suits the average σ."""
        return scale_of(self.typical if math.isnan(self.largest) else self.largest, self.unit)

    def _number(self, sigma: float) -> str:
        factor = self.scale.factor
        size = factor * self.typical
        return f"{factor * sigma:.{decimals(size)}f}" if size < LARGE else f"{factor * sigma:.{SIGMA_DIGITS}g}"


def decimals(size: float) -> int:
    """Decimals of a number of this size that has as many significant digits as an average σ."""
    return max(SIGMA_DIGITS - 1 - math.floor(math.log10(size)), 0) if size > 0 else 0


def scale_of(size: float, unit: str) -> Scale:
    """What suits a σ of this size; only where the unit takes no prefix is there a power, such as × 10⁻³."""
    if unit in LARGEST_IN_MILLI or not 0 < size < SMALL_NUMBER:
        factor, unit = prefixed(size, unit)
        return Scale(factor, "", "" if unit == "1" else unit)
    power = -3 * math.floor(math.log10(10 * size) / 3)  # from 0.1 on, as with prefixes
    return Scale(10.0**power, f" × 10{str(-power).translate(RAISED)}", "" if unit == "1" else unit)


def sigma_in_words(sigma: float, unit: str, digits: int = SIGMA_DIGITS) -> str:
    """A σ alone, in the unit that suits it.

    >>> sigma_in_words(3.5223e-5, "1"), sigma_in_words(0.00402, "rad"), sigma_in_words(2e-7, "c/GeV")
    ('35.2 × 10⁻⁶', '4.02 mrad', '0.2 × 10⁻⁶ c/GeV')

    """
    factor, power, unit = scale_of(sigma, unit)
    return f"{factor * sigma:.{digits}g}{power} {unit}".rstrip()


def how_well_known(study: StudyReader, evidence: Evidence, symbols: Mapping[str, str]) -> list[Knowledge]:
    """The answers of a study, point by point and observable by observable; by their names where they have no symbol."""
    return alike(list(_read(study, evidence, symbols)))


def alike(found: Sequence[Knowledge]) -> list[Knowledge]:
    """The answers with the same average of each observable at all points: the median if one of them needs it.

    They have the same unit and power of ten too, unless they differ by orders of magnitude.
    """
    by_median = {each.entry.observable for each in found if _needs_median(each)}
    found = [each._replace(kind="median" if each.entry.observable in by_median else "mean") for each in found]
    return [each._replace(largest=_largest(each, found)) for each in found]


def _largest(one: Knowledge, found: Sequence[Knowledge]) -> float:
    """The largest average σ of the same observable; NaN where they differ by orders of magnitude."""
    same = [each.typical for each in found if each.entry.observable == one.entry.observable]
    known = [size for size in same if math.isfinite(size) and size > 0]
    return max(known) if known and max(known) < WIDEST_ALIKE * min(known) else math.nan


def _needs_median(found: Knowledge) -> bool:
    """Whether a few large σ move the mean out of the range of most muons, by what is seen in the digits shown.

    Without a finite mean the median is all there is.
    """
    if not math.isfinite(found.median) or not math.isfinite(found.mean):
        return math.isfinite(found.median) and found.muons > 0
    outside = found.mean < found.low or found.mean > found.high
    by_median = found._replace(kind="median")
    return outside and by_median.written(found.mean) != by_median.written(found.median)


def _read(study: StudyReader, evidence: Evidence, symbols: Mapping[str, str]) -> Iterator[Knowledge]:
    for entry in evidence.points:
        few = len(evidence.points) <= SPREADS_READ
        sigma = study.rows(f"{entry.point}/sigma_{entry.observable}", 0, MUONS_READ if few else 0)
        attributes = study.attributes(f"{entry.point}/{entry.observable}")
        known = sigma[np.isfinite(sigma)]
        low, median, high = np.quantile(known, QUANTILES).tolist() if len(known) else (math.nan,) * 3
        mean = entry.quoted.overall.mean_sigma
        yield Knowledge(
            entry,
            study.words(entry.point),
            symbols.get(entry.observable, entry.observable),
            str(attributes["units"]),
            0 if mean is None else entry.quoted.counts.muons - _without_sigma(entry),
            entry.quoted.counts.muons,
            math.nan if mean is None else mean,
            median,
            low,
            high,
            evidence.verdict_on(entry),
        )


def _from_to(low: str, high: str) -> str:
    """A range, or one number if its ends are the same to the digits shown."""
    return low if low == high else f"{low} to {high}"


def _without_sigma(entry: Entry) -> int:
    """Muons without a quoted σ, each counted once."""
    counts = entry.quoted.counts
    return counts.hit_not_finite + counts.value_not_finite + counts.no_standard_deviation + counts.sigma_zero_or_nan


def over_scan(found: Sequence[Knowledge]) -> Iterator[str]:
    """The range of the average σ of each observable over the points of a scan, in words."""
    for symbol in dict.fromkeys(each.symbol for each in found):
        of = [each for each in found if each.symbol == symbol]
        kind = of[0].kind
        low, high = (choose(of, key=lambda each: getattr(each, kind)) for choose in (min, max))
        known = all(math.isfinite(each.typical) for each in of)
        if len(of) > 1 and known:
            ends = _from_to(*(each.written(getattr(each, kind)) for each in (low, high)))
            sigma = f"{kind} σ {'from' if ' to ' in ends else '='} {ends}"
            yield f"{symbol} over {len(of)} points: {sigma}{_of_some(of)}{_without(of)}"


def _of_some(found: Sequence[Knowledge]) -> str:
    """Of how many muons the averages are, where others have no σ."""
    low, high = (choose(each.muons / each.of for each in found) for choose in (min, max))
    return f" for the {_from_to(percent(low), percent(high))} of the muons that have a σ" if low < 1 else ""


def _without(found: Sequence[Knowledge]) -> str:
    """What the quoted σ leaves out: the systematics, by how much they move the mean of all muons."""
    shared = [each.shared for each in found if each.shared > 0]
    if not shared:
        return ""
    # In the unit and power of ten of the σ beside it, so that they can be compared.
    ends = _from_to(*(_brief(each, found[0].scale) for each in (min(shared), max(shared))))
    return f", without the systematics that all muons share ({ends} of the mean)"


def _brief(value: float, scale: Scale) -> str:
    number = float(f"{scale.factor * value:.2g}")  # 100, not 1e+02
    return f"{number:g}{scale.power} {scale.unit}".rstrip()


def known_table(found: Sequence[Knowledge], scanned: Mapping[str, Mapping[str, str]]) -> Table:
    """The answers as a table: a row for each point of a scan with the σ of all observables, else for each observable.

    `scanned` has the scanned values of each point, in words, by the name of the point and theirs.
    """
    return _over_points(found, scanned) if len(scanned) > 1 else _over_observables(found)


def _over_points(found: Sequence[Knowledge], scanned: Mapping[str, Mapping[str, str]]) -> Table:
    symbols = list(dict.fromkeys(each.symbol for each in found))
    names = next(iter(scanned.values()))
    # σ before all else that is long: on a phone the table ends behind it.
    heads = row(*map(left, names), *(f"mean σ of {symbol}" for symbol in symbols), left("verdict"))
    rows = []
    for point, values in scanned.items():
        of = {each.symbol: each for each in found if each.entry.point == point}
        cells = [of[symbol].cell for symbol in symbols]
        rows.append(row(*map(left, values.values()), *cells, verdict(worst(each.verdict for each in of.values()))))
    return Table([heads], rows)


def _over_observables(found: Sequence[Knowledge]) -> Table:
    heads = row(
        left("observable"), "mean σ", "68 % of muons", "muons with σ", "linear propagation valid", left("verdict")
    )
    rows = [
        row(
            left(each.symbol),
            each.cell,
            each.range,
            count(each.muons),
            percent(each.entry.linear_valid),
            verdict(each.verdict),
        )
        for each in found
    ]
    return Table([heads], rows)
