import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pullback.statistics.quantiles import P_ENDS, quantiles, quantiles_of, sort_tails, sorted_rows

DOUBLE = torch.float64


def test_the_ends_are_symmetric_in_probability():
    np.testing.assert_allclose(P_ENDS, [0.15865, 0.84135, 0.025, 0.975], rtol=1e-14)
    assert stats.norm.ppf(P_ENDS) == pytest.approx([-1.0000217, 1.0000217, -1.959964, 1.959964], abs=1e-6)


@given(st.integers(1, 60), st.integers(0, 2**31), st.lists(st.floats(0, 1), min_size=1, max_size=5))
@settings(deadline=None)
def test_against_numpy(count, seed, probabilities):
    """numpy's "hazen" is Hyndman and Fan's definition 5."""
    values = np.random.default_rng(seed).normal(size=(3, count))
    found = quantiles(sorted_rows(torch.from_numpy(values)), tuple(probabilities))
    np.testing.assert_allclose(found, np.quantile(values, probabilities, axis=1, method="hazen").T, atol=1e-13)


def test_ranks():
    """Of 1 to 10, the first stands for 0.05 and the last for 0.95, and there is nothing beyond them."""
    values = torch.arange(1, 11, dtype=DOUBLE)[None]
    found = quantiles(
        values,
        (
            0.0,
            0.04,
            0.05,
            0.1,
            0.15,
            0.5,
            0.95,
            1.0,
        ),
    )
    assert found[0].tolist() == pytest.approx([1, 1, 1, 1.5, 2, 5.5, 10, 10], abs=1e-12)


def test_rows_are_sorted_each():
    values = torch.randn(4, 5, 100, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(sorted_rows(values), values.sort(dim=-1).values)
    assert sorted_rows(values.float()).dtype == torch.float32


SHAPES = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "positive": lambda rng, shape: rng.exponential(size=shape),
    "negative": lambda rng, shape: -rng.exponential(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(size=shape),
    "few values": lambda rng, shape: rng.integers(-3, 3, size=shape).astype(float),
    "one value": lambda rng, shape: np.full(shape, -0.25),
    "far from zero": lambda rng, shape: 1e9 + rng.normal(size=shape),
    "both zeros": lambda rng, shape: rng.choice([-0.0, 0.0, 1.0, -1.0], size=shape),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
def test_of_values_in_any_order(name, count):
    """Rows that rise, fall and do neither, together; within rounding of their range."""
    rng = np.random.default_rng(count)
    values = SHAPES[name](rng, (4, 2, count))
    values[0].sort(axis=-1)
    values[1] = np.sort(values[1], axis=-1)[..., ::-1]
    given = values.copy()
    for probabilities in ((*P_ENDS, 0.0, 1.0), (0.5,), (0.97, 0.99), (0.01,), (0.4, 0.5, 0.6)):
        found = quantiles_of(torch.from_numpy(values), tuple(probabilities))
        expected = np.moveaxis(np.quantile(values, probabilities, axis=-1, method="hazen"), 0, -1)
        rounding = 4 * np.finfo(float).eps * (np.ptp(values, axis=-1) + np.abs(values).max(axis=-1))
        assert (np.abs(found.numpy() - expected) <= rounding[..., None]).all()
    np.testing.assert_array_equal(values, given)


def test_of_values_in_single_precision():
    values = np.random.default_rng(1).normal(size=(3, 1000)).astype("f4")
    found = quantiles_of(torch.from_numpy(values), tuple(P_ENDS))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, np.quantile(values, P_ENDS, axis=1, method="hazen").T, atol=1e-6)


def test_a_row_with_nan_changes_no_other():
    values = np.random.default_rng(1).normal(size=(3, 100))
    values[1, 5] = np.nan
    found = quantiles_of(torch.from_numpy(values), tuple(P_ENDS)).numpy()
    expected = np.quantile(values[[0, 2]], P_ENDS, axis=1, method="hazen").T
    np.testing.assert_allclose(found[[0, 2]], expected, rtol=0, atol=1e-14)
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 1000])
def test_tails_are_sorted_as_far_as_needed(name, count):
    """Each number of the tails is in its place, and all are still there."""
    values = SHAPES[name](np.random.default_rng(count), (4, 2, count))
    for probabilities in ((*P_ENDS, 0.0, 1.0), tuple(P_ENDS), (0.5,), (0.97, 0.99), (0.01,)):
        found = values.copy()
        sort_tails(found, probabilities)
        ordered = np.sort(values, axis=-1)
        np.testing.assert_array_equal(np.sort(found, axis=-1), ordered)
        for p in probabilities:
            for tail in (p, 1 - p):  # as far for decreasing functions
                ranks = [int(np.clip(f(count * tail - 0.5), 0, count - 1)) for f in (np.floor, np.ceil)]
                np.testing.assert_array_equal(found[..., ranks], ordered[..., ranks])


@pytest.mark.parametrize("name", ["rising", "falling", "folded", "a step", "constant", "of nothing"])
def test_functions_of_values_with_sorted_tails(name):
    """Some rows are in order, and others are not; among them one that is out of order in the middle only."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(4, 1, 500))
    sort_tails(z, tuple(P_ENDS))
    functions = {
        "rising": np.arctan,
        "falling": lambda z: -(z**3),
        "folded": np.abs,
        "a step": np.sign,
        "constant": np.zeros_like,
        "of nothing": lambda z: rng.normal(size=z.shape),
    }
    values = np.concatenate([functions[name](z), np.exp(z)], axis=1)
    values[2, 1, 250] = 100.0
    found = quantiles_of(torch.from_numpy(values), tuple(P_ENDS)).numpy()
    expected = np.moveaxis(np.quantile(values, P_ENDS, axis=-1, method="hazen"), 0, -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
