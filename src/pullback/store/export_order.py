"""The columns of an exported table: those of the default, the order of all, and which of them share a unit.

The order of all is: muon, point, kept columns, hits, values, σ, intervals, flags, truth, and all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MUON = "muon"
"""The column with the index of the muon in its point."""

POINT = "point"
"""The column with the label of the point, in studies with several."""

BY_DEFAULT = ("{}", "sigma_{}", "confidence68_{}", "flag_{}", "linear_valid_{}")
"""Columns of each observable that are exported by default, observable by observable."""

HITS = ("momentum", "hit_z", "x_reco", "x_covariance", "toy_count")
"""What is known of a muon before inference, and how many toys it has."""

OF_OBSERVABLES = (
    *("{}", "sigma_{}", "confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}", "flag_{}"),
    *("toy_mean_{}", "toy_sd_{}", "toy_sd_error_{}"),
    *("toy_interval68_{}", "toy_interval68_error_{}", "toy_interval95_{}", "toy_interval95_error_{}"),
)
"""Columns of each observable, kind by kind."""

AT_TRUTH = ("x_true", "{}_true")
"""What is known of simulated muons only."""

UNIT_OF = {
    **dict.fromkeys(("{}_true", "confidence68_{}", "confidence95_{}", "interval68_{}", "interval95_{}"), "{}"),
    **dict.fromkeys(("sigma_{}_linear", "sigma_{}_linear_true"), "sigma_{}"),
    **dict.fromkeys(("toy_interval68_{}", "toy_interval95_{}"), "toy_mean_{}"),
    **dict.fromkeys(("toy_sd_error_{}", "toy_interval68_error_{}", "toy_interval95_error_{}"), "toy_sd_{}"),
    "x_true": "x_reco",
}
"""The column whose size sets the unit, by a column that is read beside it."""


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
    ['run', 'x_reco', 'a', 'sigma_a', 'flag_a', 'a_true', 'bias_a']
    """
    names = dict.fromkeys(there)
    forms = [form.format(each) for form in (*OF_OBSERVABLES, *AT_TRUTH) for each in observables]
    first = dict.fromkeys([MUON, POINT, *kept, *HITS, *forms])
    return [*(name for name in first if name in names), *(name for name in names if name not in first)]
