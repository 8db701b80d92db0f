import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from pullback.models.cosmic_rays import momenta, slopes, vertical_intensity


@pytest.mark.parametrize("zenith_max", [0.05, 1.0, 1.5])
def test_zenith_angles_follow_the_flux_through_a_horizontal_layer(zenith_max):
    drawn = slopes(np.random.default_rng(1).random((20_000, 2)), zenith_max)
    zenith = np.arctan(np.hypot(*drawn.T))
    whole = integrate.quad(lambda t: math.cos(t) ** 3 * math.sin(t), 0, zenith_max)[0]
    edges = np.linspace(0, zenith_max, 2001)
    density = np.cos(edges) ** 3 * np.sin(edges) / whole
    share = integrate.cumulative_simpson(density, x=edges, initial=0)
    assert stats.kstest(zenith, lambda t: np.interp(t, edges, share)).pvalue > 0.01
    assert stats.kstest(np.arctan2(*drawn.T) / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01
    # And not that by solid angle, without the cos θ of a horizontal layer.
    if zenith_max > 0.5:
        other = lambda t: (1 - np.cos(t) ** 3) / (1 - math.cos(zenith_max) ** 3)  # noqa: E731
        assert stats.kstest(zenith, other).pvalue < 1e-6


def test_small_zenith_angles_are_drawn_with_all_digits():
    tan = np.hypot(*slopes(np.array([[1e-20, 0.0], [1e-10, 0.3]]), 1.0).T)
    most = 1 - math.cos(1.0) ** 4
    np.testing.assert_allclose(tan, np.sqrt(np.array([1e-20, 1e-10]) * most / 2), rtol=1e-9)


def test_the_vertical_intensity_is_the_known_one():
    """Integrated, some 70 muons/(m² s sr) come down vertically above 1 GeV/c (PDG 2024, 30.3.1)."""
    whole = integrate.quad(lambda log: vertical_intensity(math.exp(log)) * math.exp(log), 0, math.log(1e4))[0]
    assert 1e4 * whole == pytest.approx(70, rel=0.1)
    assert vertical_intensity(1.0) == pytest.approx(0.00253)
    assert vertical_intensity(10.0) == pytest.approx(0.00253 * 10 ** -(0.2455 + 1.288 - 0.2555 + 0.0209))


@pytest.mark.parametrize("least", [0.3, 3.0, 1000.0])
def test_momenta_follow_the_spectrum(least):
    cosmic = SimpleNamespace(spectrum="sea_level", momentum=least)
    drawn = momenta(np.random.default_rng(2).random(20_000), cosmic)
    assert drawn.min() >= least
    logs = np.linspace(math.log(least), math.log(least) + 14, 20_001)
    share = integrate.cumulative_simpson(vertical_intensity(np.exp(logs)) * np.exp(logs), x=logs, initial=0)
    assert stats.kstest(np.log(drawn), lambda t: np.interp(t, logs, share / share[-1])).pvalue > 0.01


def test_the_grid_of_the_spectrum_is_fine_enough():
    cosmic = SimpleNamespace(spectrum="sea_level", momentum=1.0)
    quantiles = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    found = momenta(quantiles, cosmic)
    below = lambda p: integrate.quad(  # noqa: E731
        lambda log: vertical_intensity(math.exp(log)) * math.exp(log), 0, math.log(p), epsabs=1e-14
    )[0]
    np.testing.assert_allclose([below(p) / below(1e5) for p in found], quantiles, rtol=0, atol=1e-6)


def test_a_fixed_momentum_is_that_of_all():
    assert momenta(np.array([0.0, 0.9]), SimpleNamespace(spectrum="fixed", momentum=4.0)).tolist() == [4.0, 4.0]
