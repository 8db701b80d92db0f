"""Quoted uncertainties as a short table and as columns."""

import numpy as np
import pytest
import torch

from pullback import infer_theta, quote
from pullback.uncertainty.table import rounded

DOUBLE = torch.float64


def several(hits):
    """Three observables: linear, one without a standard deviation, and a constant."""
    return torch.cat([1000 * hits, 1 / (hits[:, :1] - hits[:, 1:]), 0 * hits[:, :1]], dim=1)[:, [0, 2, 3]]


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (0.321751, 0.0060, "0.3218"),
        (0.321751, 0.0997, "0.32"),
        (0.321751, 9.97, "0"),
        (123.456, 9.94, "123.5"),
        (1234.5678, 250.0, "1230"),
        (-1e-9, 0.01, "0.000"),
        (1 / 3, 0.0, "0.333333"),
        (1 / 3, float("nan"), "0.333333"),
        (1 / 3, 1e-20, "0.333333"),
        (float("nan"), 0.01, "nan"),
        (float("inf"), 0.01, "inf"),
    ],
)
def test_numbers_have_two_significant_digits_of_their_error(value, sigma, text):
    assert rounded(value, sigma) == text


def test_a_short_table():
    quoted = quote(infer_theta, torch.tensor([0.005, 0.5, float("nan")], dtype=DOUBLE), sigma=0.01)
    assert repr(quoted).splitlines() == [
        "muon        value ± σ   68 % confidence   95 % confidence  flags",
        "   0  0.0033 ± 0.0045  [0.0000, 0.0084]  [0.0000, 0.0156]  not linear",
        "   1  0.3218 ± 0.0060  [0.3157, 0.3277]  [0.3099, 0.3335]",
        "   2        nan ± nan        [nan, nan]        [nan, nan]  not finite",
        "3 muons, 1 observable",
    ]


@pytest.mark.parametrize("numpy", [False, True])
def test_a_long_table_shows_its_ends(numpy):
    hits = torch.linspace(0.1, 1, 100_000, dtype=DOUBLE)
    lines = str(quote(infer_theta, hits.numpy() if numpy else hits, sigma=0.01)).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [*"01234", "…", *map(str, range(99_995, 100_000))]
    assert lines[-1] == "100000 muons, 1 observable"


def test_no_muons():
    lines = repr(quote(infer_theta, torch.zeros(0, dtype=DOUBLE), sigma=0.01)).splitlines()
    assert lines[1:] == ["0 muons, 1 observable"]


def test_flags_and_several_observables():
    quoted = quote(several, torch.tensor([[3.0, 1.0]], dtype=DOUBLE), sigma=1.0)
    head, *rows, last = repr(quoted).splitlines()
    assert head.split()[:2] == ["muon", "observable"]
    assert [row.split()[:2] for row in rows] == [["0", "0"], ["0", "1"], ["0", "2"]]
    assert "3000 ± 1000" in rows[0]
    assert "± nan" in rows[1]
    assert rows[1].endswith("no standard deviation")
    assert rows[2].endswith("σ is zero")
    assert last == "1 muon, 3 observables"


def test_columns_have_one_row_for_each_muon_and_observable():
    quoted = quote(several, torch.tensor([[3.0, 1.0], [40.0, 1.0]], dtype=DOUBLE), sigma=0.1)
    columns = quoted.to_dict()
    assert all(isinstance(column, np.ndarray) and column.shape == (6,) for column in columns.values())
    assert columns["muon"].tolist() == [0, 0, 0, 1, 1, 1]
    assert columns["observable"].tolist() == [0, 1, 2, 0, 1, 2]
    for name in ("value", "sigma", "bias", "sigma_linear", "linear_valid"):
        assert np.array_equal(columns[name], getattr(quoted, name).numpy().flatten(), equal_nan=name != "linear_valid")
    for name in ("interval68", "interval95"):
        ends = np.stack([columns[f"{name}_low"], columns[f"{name}_high"]], axis=1)
        assert np.array_equal(ends, getattr(quoted, name).numpy().reshape(6, 2), equal_nan=True)
