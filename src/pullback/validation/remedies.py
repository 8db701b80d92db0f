"""What would decide an inconclusive verdict: other numbers in the config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..store.evidence_file import Record, Unbounded


class Remedy(Record):
    """A key of the config with a value that would decide, or what else would."""

    key: str = ""
    """Dotted key; empty if no number of the config would decide."""
    value: Unbounded | str = ""
    """The value that it needs."""
    now: Unbounded | str = ""
    """The value that it has."""
    words: str = ""
    """What to do, where it is not in the config."""

    @property
    def need(self) -> float:
        """The ratio of both numbers; infinite without them."""
        if isinstance(self.value, str) or isinstance(self.now, str):
            return math.inf
        return self.value / self.now if self.now else math.inf

    def __str__(self) -> str:
        return self.words or f"set {self.key} to {value_written(self.value)} (now {value_written(self.now)})"


def rounded_up(number: float) -> float:
    """The next number of two digits.

    >>> rounded_up(26281.3), rounded_up(71.0)
    (27000.0, 71.0)

    """
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit


def value_written(value: float | str) -> str:
    """A value as the config takes it."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


class Wanted(NamedTuple):
    """A line of the config, or other words, and how much more than now is needed."""

    text: str
    need: float


def remedies_in_words(remedies: Iterable[Remedy]) -> str:
    """The remedies as lines of the config, the most needed first; of each key the largest value."""
    of_key: dict[str, Remedy] = {}
    for each in remedies:
        known = of_key.get(each.key)
        if known is None or each.need > known.need:
            of_key[each.key] = each
    lines = sorted(_lines(of_key), key=lambda line: -line.need)
    return f"What would decide it: {'; '.join(line.text for line in lines)}." if lines else ""


def _lines(of_key: dict[str, Remedy]) -> Iterator[Wanted]:
    sections: dict[str, dict[str, Remedy]] = {}
    for each in of_key.values():
        section, _, name = each.key.partition(".")
        sections.setdefault("" if each.words else section, {})[name] = each
    for section, found in sections.items():
        need = max((each.need for each in found.values() if math.isfinite(each.need)), default=0.0)
        if not section:
            yield Wanted("; ".join(each.words for each in found.values()), need)
            continue
        changes = ", ".join(f"{name}: {value_written(each.value)}" for name, each in found.items())
        now = ", ".join(value_written(each.now) for each in found.values())
        yield Wanted(f"{section}: {{{changes}}} (now {now})", need)
