"""The columns of what is quoted of each muon, in the storage that the config chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from ..models import Quantity
from ..study.artefact_configs import SigmaConfig
from ..study.batches import Part
from .artefact import Writer
from .columns import END_LABELS, QUOTED, ColumnGroup, ColumnSpec, of_muons
from .encoding import CODES, COMPACT, FACTORS, IN_FULL, KEPT_NUMBERS, KEPT_OFFSETS, Kept, encode, factors_of

VALUE = ColumnSpec("value_{name}", "{long_name} from which the ends of its intervals are counted")
"""What offsets are counted from. It may differ from the column of the observable in the last bit."""

MUONS_PER_FULL = 16
"""Muons per row of a chunk of numbers in full: one chunk takes less than what float32 saves."""

FULL_AT_A_TIME = 16, 4_096
"""Minimum and maximum number of rows of that chunk."""

DECODE_NUMBER = f"value = this; NaN: see {IN_FULL}"
DECODE_END = f"end = value + {FACTORS} * sigma + this, with 0 for a sigma that is not finite; NaN: see {IN_FULL}"
"""How columns are decoded, for readers of the file."""


def of_quoted(out: Writer, part: Part[SigmaConfig]) -> ColumnGroup | CompactColumns:
    """Add the columns of what is quoted of each muon."""
    return CompactColumns(out, part) if part.config.compute.storage == "compact" else of_muons(out, part, QUOTED)


class CompactColumns:
    """The columns of what is quoted, in compact storage (`pullback.store.encoding`).

    σ, linear σ and bias in float32 under their own names, and the others as in lossless storage. In a group `compact`
    the offsets of the ends of intervals in float32 and, in float64, the values that they are counted from. In a group
    `compact/exact` the numbers that are kept in full: index of the muon in its point, code of the column, and value.
    """

    def __init__(self, out: Writer, part: Part[SigmaConfig]):
        self._next, self._codes, self._tables = part.start, _codes(part), list[ColumnGroup]()
        point = out.point(part)
        inside, rows = point.create_group(COMPACT), part.stop - part.start
        near = {field: _stored(kind) for field, kind in QUOTED.items() if field not in KEPT_OFFSETS}
        ends = {"value": VALUE, **{field: _stored(QUOTED[field]) for field in KEPT_OFFSETS}}
        for index in range(len(part.model.observables)):
            for group, kinds in ((point, near), (inside, ends)):
                about = self._about(part, index)
                self._tables.append(ColumnGroup(out, part, kinds, group, "muon", rows, about=about, which=[index]))
        chunk = int(np.clip(rows // MUONS_PER_FULL, *FULL_AT_A_TIME))
        self._exact = _exact_columns(out, point.create_group(IN_FULL), [*self._codes.values()], chunk)

    def _about(self, part: Part[SigmaConfig], index: int) -> dict[str, dict[str, Any]]:
        """The attributes of the columns of an observable, by field."""
        name = part.model.observables[index].name
        start = {"value": f"{COMPACT}/{VALUE.of(name)}", "sigma": QUOTED["sigma"].of(name), "decode": DECODE_END}
        found: dict[str, dict[str, Any]] = {field: {"decode": DECODE_NUMBER} for field in KEPT_NUMBERS}
        found |= {field: {**start, FACTORS: np.array(factors_of(k))} for field, k in KEPT_OFFSETS.items()}
        return {field: {**about, CODES: self._codes_of(field, index)} for field, about in found.items()}

    def _codes_of(self, field: str, index: int) -> np.ndarray:
        """The code of a column, or those of its two ends."""
        return np.array([code for code, key in enumerate(self._codes) if key[:2] == (field, index)], "u2")

    def append(self, quoted: Mapping[str, np.ndarray]) -> None:
        """Write a block of muons: the fields of `pullback.quote`, and the flag."""
        kept = encode(quoted)
        for table in self._tables:
            table.append({**quoted, **kept.stored})
        if kept.full:
            for name, values in self._in_full(kept, quoted).items():
                self._exact[name].append(values)
        self._next += len(quoted["value"])

    def _in_full(self, kept: Kept, quoted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The numbers of a block that are kept in full, in order of the muon."""
        places = {key: code for code, key in enumerate(self._codes)}
        muon, code, value = [], [], []
        for field, which in kept.full.items():
            at = np.nonzero(which)
            muon.append(at[0])
            code += [places[field, *key] for key in zip(*(axis.tolist() for axis in at[1:]), strict=True)]
            value.append(quoted[field][at])
        order = np.argsort(np.concatenate(muon), kind="stable")
        found = {"muon": np.concatenate(muon) + self._next, "code": np.array(code), "value": np.concatenate(value)}
        return {name: values[order] for name, values in found.items()}


def _stored(kind: ColumnSpec) -> ColumnSpec:
    """A column of numbers in float32; others, such as flags, as they are."""
    return kind._replace(dtype="f4") if kind.dtype == "f8" else kind


def _codes(part: Part[SigmaConfig]) -> dict[tuple[str | int, ...], str]:
    """Names of what may be kept in full, in order of their codes, by field, index of the observable and end."""
    found: dict[tuple[str | int, ...], str] = {}
    for index, observable in enumerate(part.model.observables):
        found |= {(field, index): QUOTED[field].of(observable.name) for field in KEPT_NUMBERS}
        for field in KEPT_OFFSETS:
            name = QUOTED[field].of(observable.name)
            found |= {(field, index, end): f"{name}:{label}" for end, label in enumerate(END_LABELS["end"])}
    return found


def _exact_columns(out: Writer, group: h5py.Group, names: list[str], chunk: int) -> dict[str, Any]:
    """The columns of numbers that are kept in full, of which there is any number."""
    meanings = {"flag_values": np.arange(len(names), dtype="u2"), "flag_meanings": " ".join(names)}
    code = Quantity("code", "1", "what the number is")
    value = Quantity("value", "that of the column", "number that is kept in full")
    return {
        "muon": out.growing(group, "number", Quantity("muon", "1", "index of the muon in its point"), chunk, "i8"),
        "code": out.growing(group, "number", code, chunk, "u2", **meanings),
        "value": out.growing(group, "number", value, chunk),
    }
