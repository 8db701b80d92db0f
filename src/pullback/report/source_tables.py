"""The sources of uncertainty, for tables: budget, systematics, design."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..config.dotted_names import numeric_fields, unit_of
from ..study import shared_parameters
from ..study.plan import Study
from ..validation.evidence import Entry
from .gallery import sources


class Share(NamedTuple):
    """A source of uncertainty: share in the mean variance, and standard uncertainty as root mean square over muons."""

    source: str
    share: float | None
    u: float | None


class Slope(NamedTuple):
    """A parameter: value and unit, the derivative of the mean σ, and its relative change for a small step."""

    parameter: str
    value: float
    unit: str
    slope: float
    step: str
    change: float


class Systematic(NamedTuple):
    """A systematic parameter: standard uncertainty, unit, and value if it is a number of the model."""

    name: str
    u: float
    unit: str
    value: float | None


def budget_of(study: Study, entry: Entry) -> list[Share]:
    """The budget of an observable at a point, and the sum of the sources."""
    # Rounding errors are set to 0.
    shares = {name: round(share, 12) for name, share in entry.budget.items()}
    rows = {name: shares.get(name) for name in sources(study)}
    rows["together"] = round(sum(entry.budget.values()), 12) if shares else None
    variance = entry.budget_variance

    def uncertainty(share: float | None) -> float | None:
        return None if variance is None or share is None or share < 0 else math.sqrt(variance * share)

    return [Share(name, share, uncertainty(share)) for name, share in rows.items()]


def design_of(study: Study, entry: Entry) -> list[Slope]:
    """The slopes of an observable at a point.

    The step is 1 % of the parameter, which changes σ by (p/σ) dσ/dp %; for the height of a layer, which has no natural
    zero, it is 1 cm.
    """
    (config,) = (each.config for each in study.points if each.label == entry.point)
    values, sigma = numeric_fields(config), entry.linear.overall.mean_sigma
    rows = []
    for name, slope in entry.design.items():
        unit, value = unit_of(name, config), values[name]
        height = unit == "m" and "[" in name
        step = 0.01 if height else 0.01 * value
        change = slope * step / sigma if sigma and step else math.nan
        rows.append(Slope(name, value, unit, slope, "1 cm" if height else "1 %", change))
    return rows


def systematics_of(study: Study) -> list[Systematic]:
    """The systematic parameters of a study."""
    section, known = study.config.systematics, shared_parameters.targets(study.model)

    def unit(name: str) -> str:
        target = known[name]
        if isinstance(target, shared_parameters.OfCoordinate):
            return study.model.coordinates[target.index].unit
        if isinstance(target, shared_parameters.OfLayer):
            return "rad" if len(target.moved) > 1 else "1"
        return unit_of(name, study.config)

    values = numeric_fields(study.config)
    names = shared_parameters.names_of(section)
    return [Systematic(name, section[name], unit(name), values.get(name)) for name in names]


def enough_muons(entry: Entry) -> int | None:
    """The number of muons for which the independent part of the uncertainty of their mean equals the shared part."""
    mean = entry.shared and entry.shared.mean_uncertainty
    if not mean or not mean.shared or not mean.independent:
        return None
    return math.ceil(entry.quoted.overall.muons * (mean.independent / mean.shared) ** 2)
