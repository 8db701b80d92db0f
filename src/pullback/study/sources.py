"""Names of the sources in an uncertainty budget, and of the numbers of a design."""

from __future__ import annotations

from ..uncertainty.budget import budget_sources
from . import shared_parameters
from .batches import Part


def sources_of(part: Part) -> list[str]:
    """The names of the sources in the budget of a part."""
    section, model = part.config["systematics"], part.model
    full = model.covariance is not None or bool(part.config["source"].get("covariance"))
    names = shared_parameters.names_of(section)
    return budget_sources(model.layers, full, names, shared_parameters.CORRELATIONS in section)


def design_names(part: Part) -> list[tuple[str, str, int | None]]:
    """The numbers by which the mean σ is differentiated: dotted name, name of the tensor, and index in the tensor."""
    resolution = part.config["detector"]["resolution"]
    found = []
    for name, value in {**part.model.parameters, "resolution": resolution}.items():
        dotted = f"detector.{name}" if name == "resolution" else f"model.{name}"
        many = isinstance(value, list | tuple)
        found += [(f"{dotted}[{i}]", name, i) for i in range(len(value))] if many else [(dotted, name, None)]
    return found
