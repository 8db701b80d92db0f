"""The base of the config's sections for models, and names that results have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import model_serializer

from .base import Section

RESULTS_OF = (
    "{}_true",
    "bias_{}",
    "budget_{}",
    "confidence68_{}",
    "confidence95_{}",
    "distance_{}",
    "distance_{}_true",
    "flag_{}",
    "interval68_{}",
    "interval95_{}",
    "linear_valid_{}",
    "systematic_jacobian_{}",
    "sigma_{}",
    "sigma_{}_linear",
    "sigma_{}_linear_true",
    "sigma_shared_{}",
    "sigma_total_{}",
)
"""Names of an observable's result columns."""


RESULTS = frozenset(
    [
        "chi2",
        "compact",
        "coordinate",
        "coordinate_2",
        "covariance",
        "design",
        "end",
        "experiments",
        "fit_sums",
        "muon",
        "ndf",
        "p_value",
        "observable",
        "observable_2",
        "residual",
        "residual_sigma",
        "source",
        "systematic",
        "toys",
        "x_covariance",
        "x_reco",
        "x_true",
    ]
)
"""Other dataset names; reserved."""


class ModelSection(Section):
    """A model."""

    beside: ClassVar[tuple[str, ...]] = ()
    """Sections of a simulated source that this model uses."""

    views: ClassVar[bool] = False
    """Whether its layers measure both x and y."""

    @model_serializer(mode="wrap")
    def _without_planes(self, write: Callable[[ModelSection], dict[str, Any]]) -> dict[str, Any]:
        """Omit `at` where there is none, as if the key did not exist."""
        return {name: each for name, each in write(self).items() if name != "at" or each}
