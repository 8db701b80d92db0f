"""Columns of the uncertainties of hits: standard uncertainties, variances, and covariances of two coordinates."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from .recorded import RecordedSource
from .scaling import PER_METRE, Scaling, column_name, scalings


class ErrorColumn(NamedTuple):
    """The column of the uncertainties of a coordinate, and how its numbers become variances.

    They are those of σ, which `scaling` makes lengths, or variances in the squared unit of the file.
    """

    column: str
    scaling: Scaling
    squared: bool = False

    @property
    def refusal(self) -> str:
        """What is said of a number that is no such uncertainty."""
        return "is not a variance" if self.squared else "is not a standard uncertainty"

    def variances(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The variances, m², and whether each is one: positive and finite."""
        with np.errstate(all="ignore"):
            found = numbers / self.scaling.per_metre**2 if self.squared else self.scaling.metres(numbers) ** 2
            return found, (numbers > 0) & (found > 0) & (found < np.inf)


class ErrorColumns(NamedTuple):
    """The uncertainties of coordinates, or of views, by name; and the columns of covariances, by two indices."""

    of_one: Mapping[str, ErrorColumn]
    of_two: Mapping[tuple[int, int], str]


def error_columns(section: RecordedSource, names: Sequence[str], noun: str = "coordinate") -> ErrorColumns:
    """The columns of uncertainties of the config's `source` section, for a model's coordinates, or its views.

    Raises
    ------
    ConfigError
        The section names what the model does not have, or contradicts itself.

    """
    for name in section.sigma:
        coordinate_index("sigma", name, names, noun)
    scaling, plain = scalings(section.sigma, section.unit), Scaling(PER_METRE[section.unit])
    found = {name: ErrorColumn(column_name(each), scaling.get(name, plain)) for name, each in section.sigma.items()}
    pairs = _pairs(section.covariance, names, noun)
    for (one, other), column in pairs.items():
        name = names[one]
        if one == other and name in found:
            raise ConfigError(
                f"config: source.covariance: {name},{name} is the variance of {name}, whose uncertainty is in "
                "source.sigma; leave one out"
            )
        if one == other:
            found[name] = ErrorColumn(column, plain, squared=True)
    of_two = {pair: column for pair, column in pairs.items() if pair[0] != pair[1]}
    for pair in of_two:
        for name in (names[index] for index in pair if names[index] not in found):
            raise ConfigError(
                f"config: source.covariance: '{names[pair[0]]},{names[pair[1]]}' needs the uncertainty of {name} in "
                f"source.sigma, or its variance, '{name},{name}'"
            )
    return ErrorColumns(found, of_two)


def _pairs(covariance: Mapping[str, str], names: Sequence[str], noun: str) -> dict[tuple[int, int], str]:
    """The columns by two indices in order; the same twice for a variance."""
    found: dict[tuple[int, int], str] = {}
    for key, column in covariance.items():
        one, *more = sorted(coordinate_index("covariance", name.strip(), names, noun) for name in key.split(","))
        if len(more) != 1:
            example = f"{{'{names[0]},{names[-1]}': column}}"
            raise ConfigError(f"config: source.covariance: {key!r} must be two {noun}s: {example}")
        if (one, more[0]) in found:
            raise ConfigError(f"config: source.covariance: {key!r} is given twice")
        found[one, more[0]] = column
    return found


def coordinate_index(key: str, name: str, names: Sequence[str], noun: str = "coordinate") -> int:
    """The index of a name among those of a model.

    Raises
    ------
    ConfigError
        It is none of them; the message names the key of `source`.

    """
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"config: source.{key}: the model has no {noun} {name!r}; it has {', '.join(names)}{advice}")
