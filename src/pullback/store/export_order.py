"""The columns of an exported table: those of the default, the order of all, and whose size sets the unit of which.

The order of all is: muon, point, kept columns, hits, values, σ, intervals, flags, σ by linear propagation, biases,
distances, squares, what muons share, covariances and budgets, the fit, toys, the truth, and all others. Which columns
there are follows from the config alone; so do their names, but for the prefix of a unit that suits the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MUON = "muon"
"""The column with the index of the muon in its point."""

POINT = "point"
"""The column with the label of the point, in studies with several."""

COVARIANCES = "covariance"
"""The column with the covariance matrix of the observables."""

BY_DEFAULT = ("{}", "sigma_{}", "confidence68_{}", "flag_{}", "linear_valid_{}")
"""Columns of each observable that are exported by default, observable by observable."""

HITS = ("momentum", "hit_z", "x_reco", "x_covariance", "toy_count", "toy_settled")
"""What is known of a muon before inference, and how many toys it has."""

OF_OBSERVABLES = (
    *("{}", "sigma_{}", "confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}"),
    *("flag_{}", "linear_valid_{}", "sigma_{}_linear", "bias_{}", "distance_{}", "{}_squared", "sigma_{}_squared"),
    *("sigma_shared_{}", "sigma_total_{}", "systematic_jacobian_{}"),
)
"""Columns of each observable, kind by kind."""

OF_FIT = ("chi2", "ndf", "p_value", "residual", "residual_sigma")

OF_TOYS = (
    *("toy_mean_{}", "toy_sd_{}", "toy_sd_error_{}"),
    *("toy_interval68_{}", "toy_interval68_error_{}", "toy_interval95_{}", "toy_interval95_error_{}"),
)

AT_TRUTH = ("x_true", "{}_true", "sigma_{}_linear_true", "distance_{}_true")
"""What is known of simulated muons only."""

OF_ALL = (*OF_OBSERVABLES, COVARIANCES, "budget_{}", *OF_FIT, *OF_TOYS, *AT_TRUTH)

SIZED_BY = {
    **dict.fromkeys(("{}_true", "confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}"), ("{}",)),
    **dict.fromkeys(("sigma_{}_linear", "sigma_{}_linear_true", "sigma_shared_{}", "sigma_total_{}"), ("sigma_{}",)),
    **dict.fromkeys(("bias_{}", "systematic_jacobian_{}"), ("sigma_{}",)),
    **dict.fromkeys(("toy_interval68_{}", "toy_interval95_{}"), ("toy_mean_{}",)),
    **dict.fromkeys(("toy_sd_error_{}", "toy_interval68_error_{}", "toy_interval95_error_{}"), ("toy_sd_{}",)),
    "sigma_{}_squared": ("{}_squared",),
    "budget_{}": ("sigma_{}", "sigma_{}"),
    "x_true": ("x_reco",),
    "residual": ("residual_sigma",),
}
"""The columns whose sizes set the unit of a column; of a product, one for each factor. Others set their own.

An element of a covariance matrix has the units of both σ.
"""


def default_columns(there: Iterable[str], kept: Sequence[str], observables: Sequence[str]) -> list[str]:
    """Names of the columns that are exported by default, in order.

    >>> default_columns(["muon", "bias_a", "flag_a", "x_reco", "a", "sigma_a", "a_true"], [], ["a"])
    ['muon', 'x_reco', 'a', 'sigma_a', 'flag_a']
    """
    names = set(there)
    forms = [form.format(each) for each in observables for form in BY_DEFAULT]
    return [name for name in (MUON, POINT, *kept, "x_reco", *forms) if name in names]


def ordered(there: Iterable[str], kept: Sequence[str], observables: Sequence[str]) -> list[str]:
    """Names of columns in the order of an export; those that are not named here come last, in the given order.

    >>> ordered(["bias_a", "a", "flag_a", "sigma_a", "x_reco", "a_true", "run"], ["run"], ["a"])
    ['run', 'x_reco', 'a', 'sigma_a', 'flag_a', 'bias_a', 'a_true']
    """
    names = dict.fromkeys(there)
    forms = [form.format(each) for form in OF_ALL for each in observables]
    first = dict.fromkeys([MUON, POINT, *kept, *HITS, *forms])
    return [*(name for name in first if name in names), *(name for name in names if name not in first)]
