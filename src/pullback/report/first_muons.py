"""The first muons of a study: hits, observables with their σ, and confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..models import Quantity
from ..models.stated import stated_resolution
from ..statistics.prefixes import prefixed
from ..store.columns import FLAGS
from ..store.export_digits import rounded_text
from ..store.study_file import StudyReader
from ..study.plan import Study
from ..study.scan import nearest_to_unscanned
from .cells import Cell, Table, left, row

DIGITS = 2
"""Significant digits of σ."""

FIRST_SHOWN = 20
"""Muons that the report shows."""

HITS_FIRST = 2
"""Most hits of a muon that stand before the observables; more would push the observables out of sight."""

Texts = tuple[str, list[str]]
"""A column: its head, and a text for each muon."""


class FirstMuons:
    """The first muons of the point that the figures show: the one nearest the unscanned config."""

    def __init__(self, study: Study, reader: StudyReader):
        point = nearest_to_unscanned(study.points, study.config)
        self._model, self._reader, self.point = study.model, reader, point.label
        self.count = min(FIRST_SHOWN, study.muons[self.point])
        # Recorded hits are shown as they were read.
        known = stated_resolution(point.config.detector.stated, study.model)
        self._sigmas = np.full(len(known), np.nan) if study.recorded else 1 / known

    def table(self) -> Table:
        """A row for each muon; of several observables or many hits, the columns have heads in groups."""
        hits, flags = [*self._hits()], self._flags()
        groups = [(_with_name(each), [*self._observable(each)]) for each in self._model.observables]
        groups += [("", [("flags", flags)])] * any(flags)
        groups.insert(0 if len(hits) <= HITS_FIRST else len(groups), ("hits", hits))
        columns = [column for _, of_group in groups for column in of_group]
        heads = [row("muon", *(left(head) if head == "flags" else head for head, _ in columns))]
        if len(self._model.observables) > 1:
            heads.insert(0, row("", *(Cell(name, "group" * bool(name), len(of)) for name, of in groups)))
        return Table(heads, [row(str(muon), *self._cells(columns, muon)) for muon in range(self.count)])

    def _cells(self, columns: list[Texts], muon: int) -> list[str | Cell]:
        return [left(texts[muon]) if head == "flags" else texts[muon] for head, texts in columns]

    def _rows(self, name: str) -> np.ndarray:
        return self._reader.rows(f"{self.point}/{name}", 0, self.count)

    def _hits(self) -> Iterator[Texts]:
        hits = self._rows("x_reco").reshape(self.count, -1)
        for coordinate, values, sigma in zip(self._model.coordinates, hits.T, self._sigmas, strict=True):
            factor, unit = _suited(values, coordinate.unit)
            yield f"{coordinate.symbol}{_of(unit)}", [at_digit(factor * value, factor * sigma) for value in values]

    def _observable(self, observable: Quantity) -> Iterator[Texts]:
        values, sigmas = self._rows(observable.name), self._rows(f"sigma_{observable.name}")
        factor, unit = _suited(values, observable.unit)
        pairs = [with_sigma(factor * value, factor * sigma) for value, sigma in zip(values, sigmas, strict=True)]
        yield f"{observable.symbol} ± σ{_of(unit)}", pairs
        ends = self._rows(f"confidence68_{observable.name}")
        yield (
            f"68.27 % confidence interval{_of(unit)}",
            [
                _interval(factor * low, factor * high, factor * sigma)
                for (low, high), sigma in zip(ends, sigmas, strict=True)
            ],
        )

    def _flags(self) -> list[str]:
        """What is wrong with an observable of each muon, in the words of `study.h5`."""
        found: list[list[str]] = [[] for _ in range(self.count)]
        for observable in self._model.observables:
            for of_muon, flag in zip(found, self._rows(f"flag_{observable.name}"), strict=True):
                of_muon += [name.replace("_", " ") for name, mask in FLAGS.items() if flag & mask]
        return [", ".join(dict.fromkeys(names)) for names in found]


def _with_name(observable: Quantity) -> str:
    """The symbol, and the name by which files, configs and the terminal call it."""
    symbol, name = observable.symbol, observable.name
    return symbol if symbol == name else f"{symbol} ({name})"


def with_sigma(value: float, sigma: float) -> str:
    """A value and its σ, both to the second significant digit of σ (JCGM 100:2008, 7.2.6).

    >>> with_sigma(0.31416, 0.0059), with_sigma(1234.5, 140.0), with_sigma(1.0, float("nan"))
    ('0.3142 ± 0.0059', '1230 ± 140', '1 ± –')

    """
    return f"{at_digit(value, sigma)} ± {at_digit(sigma, sigma)}" if math.isfinite(value) else "–"


def _interval(low: float, high: float, sigma: float) -> str:
    known = math.isfinite(low) or math.isfinite(high)
    return f"{at_digit(low, sigma)} to {at_digit(high, sigma)}" if known else "–"


def at_digit(value: float, sigma: float) -> str:
    """A value to the second significant digit of its σ; a dash where it is unknown."""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(sigma) and sigma > 0):
        return _number(value)
    return rounded_text(value, sigma, DIGITS)


def _number(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else "–"


def _suited(values: np.ndarray, unit: str) -> tuple[float, str]:
    """The factor and the unit that suit the largest of the values."""
    finite = np.abs(values[np.isfinite(values)])
    return prefixed(float(finite.max()) if len(finite) else None, unit)


def _of(unit: str) -> str:
    return "" if unit == "1" else f" ({unit})"
