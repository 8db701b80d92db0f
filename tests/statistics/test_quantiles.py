import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pullback.statistics.quantiles import P_ENDS, quantiles, sorted_rows

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
