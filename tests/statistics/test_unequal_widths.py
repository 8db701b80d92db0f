import numpy as np
import pytest
import torch
from scipy import stats

from pullback.statistics.feldman_cousins import intervals
from pullback.statistics.fold_tables import LARGEST_LENGTH, UNEQUAL_WIDTHS, entries_across, entries_along, read_table
from pullback.statistics.unequal_widths import (
    AZIMUTHS,
    LEAST_END,
    TrueVectors,
    cell_masses,
    distant,
    interpolation,
    roughness,
    square_and_scale,
    true_lengths,
)


def test_cells_have_the_probabilities_of_a_folded_normal():
    points = np.array([0.0, 0.4, 1.0, 2.0])
    expected = np.diff(stats.foldnorm.cdf([0, 0.2, 0.7, 1.5, np.inf], 0.8))
    np.testing.assert_allclose(cell_masses(points, np.array([0.8])), expected[None], rtol=1e-12)


def test_true_lengths_are_close_together_near_the_fold():
    found = true_lengths(40.0)
    assert found[0] == 0
    assert found[-1] >= 40
    assert np.diff(found)[found[:-1] < 1].max() < 0.081
    assert np.diff(found).max() < 1.001


def test_entries_are_interpolated_in_the_asinh():
    entries, points = np.sinh([0.0, 0.5, 1.0]), np.sinh([0.1, 0.5, 0.8])
    np.testing.assert_allclose(
        interpolation(points, entries) @ torch.tensor([1.0, 2, 4], dtype=torch.float64), [1.2, 2, 3.2], rtol=1e-12
    )


def test_a_plane_has_no_roughness_and_a_bend_has():
    plane = torch.arange(12.0).reshape(1, 3, 4).repeat(2, 1, 1)
    assert roughness(plane) == 0
    plane[0, 0, 0] += 1
    assert roughness(plane) == 2


@pytest.mark.parametrize("level", [0.6827, 0.95])
def test_distant_ends_for_equal_widths_are_those_of_feldman_and_cousins(level):
    x, y = np.array([0.0, 6.0, 12.0]), np.array([12.0, 15.0])
    expected = intervals(np.hypot(x[:, None], y).ravel(), 2, level)
    found = np.sqrt(distant(1.0, level, x, y)).reshape(2, -1).T
    np.testing.assert_allclose(found, expected, atol=0.006)


@pytest.mark.parametrize("level", [0.6827, 0.95])
def test_the_coverage_of_feldman_cousins_is_nominal_and_their_length_that_of_the_mean_over_rice(level):
    truths = TrueVectors(1.0, level)  # a coarse table of them is up to 0.8 % off
    low, high = {0.6827: (0, 1), 0.95: (2, 3)}[level]
    entries = np.moveaxis(read_table(UNEQUAL_WIDTHS)[0][..., [low, high]], -1, 0)
    coverage, length = truths.coverage_and_length(torch.from_numpy(entries.copy()))
    assert (coverage[truths.lengths < LARGEST_LENGTH] - level).abs().max() < 0.01
    t = np.linspace(0, 19, 401)
    ends = intervals(t, 2, level)
    density = stats.rice.pdf(t, truths.lengths[:, None])
    means = np.trapezoid(density * (ends[:, 1].clip(max=truths.lengths[-1]) - ends[:, 0]), t, axis=1)
    weights = np.gradient(np.arcsinh(truths.lengths))
    assert length.item() == pytest.approx(weights @ means / weights.sum(), rel=0.02)


def test_coverage_is_that_of_toys():
    """Of any entries: here Q = ± 2.5 everywhere, with upper and lower ends that are far from the right ones."""
    ratio, level = 3.0, 0.6827
    truths = TrueVectors(ratio, level)
    entries = torch.tensor([-2.5, 2.5], dtype=torch.float64)[:, None, None].expand(2, 40, 60)
    coverage, _ = truths.coverage_and_length(entries)
    deviates = np.random.default_rng(1).standard_normal((200_000, 2))
    for index in (0, 5, 20, 40):
        r = truths.lengths[index]
        for azimuth in (0, 4, 12):
            x, y = (r * np.array([np.cos(AZIMUTHS[azimuth]) / ratio, np.sin(AZIMUTHS[azimuth])]) + deviates).T
            square, scale = (ratio * x) ** 2 + y**2, np.sqrt(ratio**4 * (1 + x**2) + y**2)
            inside = (square - 2.5 * scale <= r**2) & (r**2 <= square + 2.5 * scale)
            assert coverage[index, azimuth].item() == pytest.approx(inside.mean(), abs=0.005)


def test_no_upper_end_is_below_the_least_and_ends_beyond_the_table_are_known():
    ratio, level = 2.0, 0.95
    x, y = entries_along(), entries_across(ratio)
    square, scale = square_and_scale(ratio, x, y)
    low, high = (bound.reshape(2, *square.shape) for bound in TrueVectors(ratio, level).bounds())
    far = square > (LARGEST_LENGTH * ratio) ** 2
    np.testing.assert_allclose((square + low[1] * scale)[~far], LEAST_END**2, atol=1e-9)
    assert np.isinf(high[:, ~far]).all()
    assert np.isinf(low[0, ~far]).all()
    np.testing.assert_allclose((square + low * scale)[:, far], distant(ratio, level, x, y)[:, far])
    np.testing.assert_array_equal(low[:, far], high[:, far])
