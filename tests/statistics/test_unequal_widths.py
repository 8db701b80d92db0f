import numpy as np
import pytest
from scipy import stats

from pullback.statistics.unequal_widths import Components, Region, cell_masses, grid, lengths, share_inside


def test_cells_have_the_probabilities_of_a_folded_normal():
    points = np.array([0.0, 0.4, 1.0, 2.0])
    expected = np.diff(stats.foldnorm.cdf([0, 0.2, 0.7, 1.5, np.inf], 0.8))
    np.testing.assert_allclose(cell_masses(points, np.array([0.8])), expected[None], rtol=1e-12)


def test_the_density_of_equal_widths_is_that_of_rice():
    t = np.array([0.3, 1.0, 2.5, 4.0])
    found = Components(1.0, 12.0).log_density(0.6 * t, 0.8 * t, 1.7).diagonal()
    np.testing.assert_allclose(np.diff(found), np.diff(stats.rice(1.7).logpdf(t) - np.log(t)), rtol=1e-9)


def test_the_density_is_averaged_over_the_arc_of_the_ellipse():
    ratio, r, x, y = 3.0, 2.0, 0.7, 1.1
    turns = np.linspace(0, 2 * np.pi, 4001)[1:]
    arc = np.hypot(np.sin(turns) / ratio, np.cos(turns))

    def expected(x, y):
        density = stats.norm.pdf(x - r * np.cos(turns) / ratio) * stats.norm.pdf(y - r * np.sin(turns))
        return density @ arc / arc.sum()

    found = Components(ratio, 9.0).log_density(np.array([x, 0.1]), np.array([y, 0.2]), r).diagonal()
    assert np.diff(found)[0] == pytest.approx(np.log(expected(0.1, 0.2) / expected(x, y)), rel=1e-9)


def test_a_share_of_a_cell_is_inside():
    distance = np.linspace(-2.25, 1.75, 5)[:, None] + np.zeros(4)
    np.testing.assert_allclose(share_inside(distance)[:, 0], [0, 0, 0.25, 1, 1])


def test_lengths_are_close_together_near_the_fold():
    found = lengths(40.0, 20.0)
    assert found[0] == 0
    assert found[-1] >= 40
    assert np.diff(found)[found[:-1] < 20].max() <= 0.5


@pytest.mark.parametrize("level", [0.6827, 0.95])
def test_the_region_of_a_length_covers_every_azimuth(level):
    """By 300 × 300 equally probable points around the truth; larger lengths, which don't matter here, are left out."""
    components, r = Components(2.0, 8.0), 4.0
    points = components.ranked(grid(4.0), grid(8.0))
    weights = Region(components, points, r, None).calibrate(np.zeros(len(components.knots)), level)
    deviates = stats.norm.ppf((np.arange(300) + 0.5) / 300)
    for azimuth in (0.0, 0.6, 1.2, np.pi / 2):
        x, y = np.abs(r * np.cos(azimuth) / 2 + deviates), np.abs(r * np.sin(azimuth) + deviates)
        ratio = components.log_density(x, y, r, weights) - components.ranked(x, y).log_rank
        assert (ratio >= 0).mean() == pytest.approx(level, abs=0.006)
