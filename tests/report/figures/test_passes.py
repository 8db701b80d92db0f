from types import SimpleNamespace

import numpy as np
import pytest

from pullback.report.figures.base import Subject
from pullback.report.figures.passes import Bins, all_rows, bins_of, counted, medians, sample
from pullback.study import blocks


def test_values_are_counted_in_their_bins():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, (2, 500))
    x[:3] = np.nan, -2.0, 2.0  # the edges are inside
    bins = Bins(-2.0, 2.0, 7), Bins(-1.0, 3.0, 5)
    np.testing.assert_array_equal(counted((bins[0], x)), np.histogram(x[1:], 7, (-2, 2))[0])
    both = np.histogram2d(x[1:], y[1:], (7, 5), ((-2, 2), (-1, 3)))[0]
    np.testing.assert_array_equal(counted((bins[0], x), (bins[1], y)), both)


def test_bins_hold_all_values_but_far_ones():
    values = np.random.default_rng(2).uniform(-3, 5, 10_000)
    bins = bins_of(values, 1e-3, 1)
    assert (bins.low, bins.high, bins.number) == (values.min(), values.max(), 100)
    assert counted((bins, values)).sum() == len(values)
    far = bins_of(np.append(values, 1e6), 1e-3, 1)
    assert (far.low, far.high) == (pytest.approx(-3, abs=0.2), pytest.approx(5, abs=1))
    assert bins_of(values[:900], 1e-3, 9).number == 10
    assert bins_of(np.array([np.nan]), 1e-3, 1) == Bins(-1.0, 1.0, 10)


def test_bins_of_pixels_hold_whole_numbers_of_them():
    rng = np.random.default_rng(3)
    columns = rng.integers(0, 80, 9000)
    values = 1e-3 + 2.5e-4 * columns + np.where(rng.random(9000) < 0.1, rng.uniform(-1e-4, 1e-4, 9000), 0)
    bins = bins_of(values, 1e-3, 8)
    width = (bins.high - bins.low) / bins.number / 2.5e-4
    assert width == pytest.approx(round(width), abs=1e-9)
    assert round(width) == 3  # 80 columns, at most √(9000/8) bins
    assert (bins.low - 1e-3) / 2.5e-4 == pytest.approx(-0.5, abs=0.5)
    counts = counted((bins, values))
    assert counts.sum() == 9000
    assert counts[:-1].min() > 0.7 * counts.max()  # without stripes
    exact = bins_of(1e-3 + 2.5e-4 * columns, 1e-3, 1)
    assert exact.number == 80
    np.testing.assert_array_equal(counted((exact, 1e-3 + 2.5e-4 * columns)), np.bincount(columns))


def test_medians_and_their_errors_are_those_of_order_statistics():
    rng = np.random.default_rng(4)
    bins = Bins(-8.0, 8.0, 1600)
    samples = rng.normal(0.3, 1, (400, 100))
    value, low, high = medians(np.stack([counted((bins, each)) for each in samples]), bins)
    np.testing.assert_allclose(value, np.median(samples, axis=1), atol=0.2)
    # √(π/2) of the error of the mean, for a normal distribution.
    assert value.std() == pytest.approx(np.sqrt(np.pi / 2) / 10, rel=0.15)
    assert np.mean((high - low) / 2) == pytest.approx(np.sqrt(np.pi / 2) / 10, rel=0.1)
    assert np.mean((low < 0.3) & (high > 0.3)) == pytest.approx(0.683, abs=0.08)


def test_few_values_have_no_error_and_hardly_any_no_median_beside_many():
    bins = Bins(0.0, 10.0, 10)
    value, low, high = medians(np.eye(10)[[2]], bins)
    assert value.tolist() == [2.5]
    assert np.isnan([low, high]).all()
    value, *_ = medians(np.eye(10)[[2, 3, 4]] * [[100], [9], [0]], bins)
    np.testing.assert_array_equal(value, [2.5, np.nan, np.nan])


@pytest.fixture
def subject(monkeypatch):
    """A point of 1000 blocks of 10 muons, whose column is the number of the muon."""
    monkeypatch.setattr(blocks, "BLOCK", 10)
    column = np.arange(9995.0)
    reader = SimpleNamespace(rows=lambda name, start, stop: column[start:stop, None].copy())
    found = object.__new__(Subject)
    vars(found).update(study=SimpleNamespace(muons={"p": 9995}), label="p", reader=reader)
    return found


def test_a_pass_reads_blocks_all_along_with_their_muons(subject):
    found = list(all_rows(subject, "x"))
    assert len(found) == 64
    for rows in found:
        np.testing.assert_array_equal(rows.columns[0][:, 0], rows.muon)
    assert found[0].start == 0
    assert found[-1].start > 9800


def test_a_sample_is_spread_over_all_blocks_and_does_not_keep_them(subject, monkeypatch):
    monkeypatch.setattr("pullback.report.figures.passes.SAMPLED", 128)
    (found,) = sample(subject, "x")
    assert found.shape == (128, 1)
    assert len(np.unique(found // 10)) == 64
