import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.study import toy_selection
from pullback.study.toy_selection import FEWEST_SHOWN, _of_ranks, blocks_shown, share, spread_over


@given(st.integers(1, 40), st.integers(1, 5000))
def test_toys_are_shared_out_over_the_blocks(total, count):
    shares = [share(range(block, block + 1), total, count) for block in range(total)]
    assert [toy for each in shares for toy in each] == list(range(count))
    assert share(range(total), total, count) == range(count)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_toys_are_spread_evenly_over_theta_without_repeats():
    values = np.random.default_rng(1).random(100_000) ** 3  # crowded near zero
    chosen = spread_over(values, np.arange(2000))
    assert len(set(chosen.tolist())) == 2000
    counts, _ = np.histogram(values[chosen], bins=20, range=(0, 1))
    assert counts[1:].min() > 80  # nine in ten evenly …
    assert counts[1:].max() < 100
    assert counts[0] > 200  # … and one in ten near zero, evenly over the logarithm


def test_spreading_over_fewer_muons_than_toys_takes_each_once():
    values = np.array([3.0, np.nan, 1.0, 2.0, 1.0])
    assert spread_over(values, np.arange(10)).tolist() == [2, 4, 3, 0]
    assert len(spread_over(np.full(3, np.nan), np.arange(10))) == 0


def test_blocks_together_are_as_even_as_one():
    values = np.random.default_rng(1).random((8, 10_000))
    toys = [np.array(share(range(block, block + 1), 8, 800)) for block in range(8)]
    chosen = np.concatenate([row[spread_over(row, each)] for row, each in zip(values, toys, strict=True)])
    counts, _ = np.histogram(chosen, bins=10, range=(0, 1))
    assert counts[1:].min() > 60
    assert counts[1:].max() < 90


def test_values_of_either_sign():
    values = np.linspace(-2, 1, 10_000)
    chosen = values[spread_over(values, np.arange(1000))]
    assert (chosen < -1.9).sum() > 20
    assert (chosen > 0.9).sum() > 20
    assert (np.abs(chosen) < 0.01).sum() > 20


@pytest.mark.parametrize("kind", ["real", "few values", "with NaN", "of both signs", "zeros"])
@pytest.mark.parametrize("toys", range(1, 7))
def test_a_few_toys_are_selected_as_many_are(monkeypatch, kind, toys):
    """By comparisons as by sorting, with targets that coincide or lie beyond all values."""
    rng = np.random.default_rng(toys)
    for start in range(0, 300, 7):
        values = rng.random(rng.integers(1, 40)) - 0.5 * (kind == "of both signs")
        values = np.round(4 * values) / 4 if kind == "few values" else values * (kind != "zeros")
        values[rng.random(len(values)) < 0.3 * (kind == "with NaN")] = np.nan
        found = spread_over(values, np.arange(start, start + toys))
        with monkeypatch.context() as patch:
            patch.setattr(toy_selection, "FEW_IN_BLOCK", 0)
            assert spread_over(values, np.arange(start, start + toys)).tolist() == found.tolist()


def test_equal_values_are_taken_as_they_come():
    values = np.random.default_rng(4).integers(0, 12, 400) / 4
    ordered, ranks = np.sort(values), np.unique(np.random.default_rng(5).integers(0, 400, 60))
    assert _of_ranks(values, ordered, ranks).tolist() == np.argsort(values, kind="stable")[ranks].tolist()


@pytest.mark.parametrize(("total", "count"), [(1, 2000), (763, 2000), (7630, 2000), (7, 3), (5, 0), (10, 100)])
def test_as_few_blocks_are_shown_as_hold_the_toy_muons_that_are_wanted(total, count):
    blocks = blocks_shown(total, count)
    assert 1 <= blocks <= total
    assert len(share(range(blocks), total, count)) >= min(count, FEWEST_SHOWN)
    assert blocks == 1 or len(share(range(blocks - 1), total, count)) < min(count, FEWEST_SHOWN)
