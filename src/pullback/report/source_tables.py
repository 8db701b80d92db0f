"""The tables of the sources of uncertainty: budget, systematics, design."""

from __future__ import annotations

import math
from typing import Any

from ..config.dotted_names import numeric_fields, unit_of
from ..store.evidence_file import Evidence
from ..study import shared_parameters
from ..study.plan import Study
from .gallery import sources

Entry = dict[str, Any]


def per_point(study: Study, evidence: Evidence) -> list[tuple[str, list[Entry]]]:
    """The entries of each point, by its label."""
    return [
        (point.label, [each for each in evidence["points"] if each["point"] == point.label]) for point in study.points
    ]


def budget_of(study: Study, entry: Entry) -> list[dict[str, Any]]:
    """The share of each source in the mean variance, and its standard uncertainty as root mean square over muons."""
    shares, variance = entry["budget"], entry["budget_variance"]
    # Rounding errors are set to 0.
    rows = [{"source": name, "share": round(shares[name], 12) if name in shares else None} for name in sources(study)]
    rows.append({"source": "together", "share": round(sum(shares.values()), 12) if shares else None})
    for row in rows:
        known = variance is not None and row["share"] is not None and row["share"] >= 0
        row["u"] = math.sqrt(variance * row["share"]) if known else None
    return rows


def design_of(study: Study, entry: Entry) -> list[dict[str, Any]]:
    """The derivative of the mean σ with respect to each parameter, and the relative change of σ for a small step.

    The step is 1 % of the parameter, which changes σ by (p/σ) dσ/dp %; for the height of a layer, which has no natural
    zero, it is 1 cm.
    """
    (point,) = (each for each in study.points if each.label == entry["point"])
    values, sigma = numeric_fields(point.config), entry["linear"]["overall"]["mean_sigma"]
    rows = []
    for name, slope in entry["design"].items():
        unit, value = unit_of(name, point.config), values[name]
        height = unit == "m" and "[" in name
        step = 0.01 if height else 0.01 * value
        rows.append(
            {
                "parameter": name,
                "value": value,
                "unit": unit,
                "slope": slope,
                "step": "1 cm" if height else "1 %",
                "change": slope * step / sigma if slope is not None and sigma and step else None,
            }
        )
    return rows


def systematics_of(study: Study) -> list[dict[str, Any]]:
    """The systematic parameters: names, standard uncertainties and units."""
    section, known = study.config.systematics, shared_parameters.targets(study.model)

    def unit(name: str) -> str:
        target = known[name]
        of_hits = isinstance(target, shared_parameters.OfCoordinate)
        return study.model.coordinates[target.index].unit if of_hits else unit_of(name, study.config)

    return [
        {
            "name": name,
            "u": section[name],
            "unit": unit(name),
            "value": numeric_fields(study.config).get(name),
        }
        for name in shared_parameters.names_of(section)
    ]


def correlations_of(study: Study) -> list[tuple[str, str, float]]:
    """The correlations of systematic parameters: two names, and ρ."""
    return shared_parameters.correlations_of(study.config.systematics)


def enough_muons(entry: Entry) -> int | None:
    """The number of muons for which the independent part of the uncertainty of their mean equals the shared part."""
    shared, muons = entry["shared"], entry["quoted"]["overall"]["muons"]
    if not shared or not shared.get("mean_uncertainty_shared") or not shared.get("mean_uncertainty_independent"):
        return None
    return math.ceil(muons * (shared["mean_uncertainty_independent"] / shared["mean_uncertainty_shared"]) ** 2)
