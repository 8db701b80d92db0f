"""Kept columns of a file of hits, whose names must not be those of results."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.model_base import RESULTS, RESULTS_OF
from ..errors import ConfigError
from ..hits.reading import kept_name
from ..models import Model
from ..statistics.prefixes import in_names, product_of_units

MORE_RESULTS = frozenset(
    {"bin", "block", "coverage", "experiment", "hit_z", "layer", "momentum", "parameter", "pulls", "quantity", "sample"}
)
"""Names of further datasets, groups and dimensions of a scan point."""

MORE_RESULTS_OF = ("{}", "{}_squared", "sigma_{}_squared")
"""Names of further results of an observable."""

SQUARES = MORE_RESULTS_OF[1:]
"""Names of the results that have the square of its unit."""

WITH_ELEMENTS = (
    *("x_reco", "x_true", "x_covariance", "hit_z", "covariance", "residual", "residual_sigma"),
    *("budget_{}", "confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}", "systematic_jacobian_{}"),
)
"""Results that an export writes as one column per element, whose names begin with these."""


UNITS_OF = {"m": ("m", "mm", "um"), "rad": ("rad", "mrad", "urad")}
"""Units at the ends of the names of exported columns, by the unit of the observable."""


def check_kept(keep: Sequence[str], model: Model) -> None:
    """Refuse names of kept columns that are those of results, or twice the same.

    Raises
    ------
    ConfigError
        The message names the column, and what has its name.

    """
    observables = [each.name for each in model.observables]
    results = RESULTS | MORE_RESULTS
    results |= {form.format(name) for form in (*RESULTS_OF, *MORE_RESULTS_OF) for name in observables}
    results |= {f"momentum_{in_names('GeV/c')}"}
    results |= {
        f"{form.format(each.name)}_{in_names(product_of_units([unit] * power))}"
        for each in model.observables
        for power, forms in ((1, ("{}", *RESULTS_OF)), (2, SQUARES))
        for form in forms
        for unit in UNITS_OF.get(each.unit, (each.unit,))
        if unit != "1"
    }
    begins = tuple(f"{form.format(name)}_" for form in WITH_ELEMENTS for name in observables)
    names = [kept_name(column) for column in keep]
    for column, name in zip(keep, names, strict=True):
        called = f"{column!r}" if name == column else f"{column!r}, {name} in results,"
        if not name:
            raise ConfigError(f"config: source.keep: {column!r} has no letter or digit for its name in results")
        if names.count(name) > 1:
            raise ConfigError(f"config: source.keep: {called} has the name of another kept column")
        if name in results or name.startswith(begins):
            raise ConfigError(
                f"config: source.keep: {called} is the name of a result; rename the column in the file, or leave it out"
            )
