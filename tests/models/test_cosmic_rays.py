import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from pullback.models.cosmic_rays import directions_and_momenta, vertical_intensity


def cosmic(spectrum="sea_level", momentum=3.0, zenith_max=1.0):
    return SimpleNamespace(spectrum=spectrum, momentum=momentum, zenith_max=zenith_max)


def drawn(muons, section, seed=1):
    """Zenith angle, azimuth and momentum of each muon."""
    slopes, momenta = directions_and_momenta(np.random.default_rng(seed).random((muons, 3)), section)
    return np.arctan(np.hypot(*slopes.T)), np.arctan2(*slopes.T[::-1]), momenta


@pytest.mark.parametrize("zenith_max", [0.05, 1.0, 1.5])
def test_zenith_angles_follow_the_flux_through_a_horizontal_layer(zenith_max):
    zenith, azimuth, _ = drawn(20_000, cosmic("fixed", zenith_max=zenith_max))
    whole = integrate.quad(lambda t: math.cos(t) ** 3 * math.sin(t), 0, zenith_max)[0]
    edges = np.linspace(0, zenith_max, 2001)
    density = np.cos(edges) ** 3 * np.sin(edges) / whole
    share = integrate.cumulative_simpson(density, x=edges, initial=0)
    assert stats.kstest(zenith, lambda t: np.interp(t, edges, share)).pvalue > 0.01
    assert stats.kstest(azimuth / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01
    # And not that by solid angle, without the cos θ of a horizontal layer.
    if zenith_max > 0.5:
        other = lambda t: (1 - np.cos(t) ** 3) / (1 - math.cos(zenith_max) ** 3)  # noqa: E731
        assert stats.kstest(zenith, other).pvalue < 1e-6


@pytest.mark.parametrize("spectrum", ["fixed", "sea_level"])
def test_small_zenith_angles_are_drawn_with_all_digits(spectrum):
    uniform = np.array([[1e-20, 0.0, 0.9], [1e-10, 0.3, 0.9]])
    tan = np.hypot(*directions_and_momenta(uniform, cosmic(spectrum))[0].T)
    most = 1 - math.cos(1.0) ** 4
    np.testing.assert_allclose(tan, np.sqrt(np.array([1e-20, 1e-10]) * most / 2), rtol=1e-9)


def test_the_vertical_intensity_is_the_known_one():
    """Integrated, some 70 muons/(m² s sr) come down vertically above 1 GeV/c (PDG 2024, 30.3.1)."""
    whole = integrate.quad(lambda log: vertical_intensity(math.exp(log)) * math.exp(log), 0, math.log(1e4))[0]
    assert 1e4 * whole == pytest.approx(70, rel=0.1)
    assert vertical_intensity(1.0) == pytest.approx(0.00253)
    assert vertical_intensity(10.0) == pytest.approx(0.00253 * 10 ** -(0.2455 + 1.288 - 0.2555 + 0.0209))


def flux(zenith, log):
    """Muons crossing a horizontal layer per zenith angle and log p: cos θ · cos³θ I_V(p cos θ) · sin θ · p."""
    p = np.exp(log)
    return np.cos(zenith) ** 4 * np.sin(zenith) * p * vertical_intensity(p * np.cos(zenith))


def over_momenta(zenith, least, power=0.0):
    """The flux at one zenith angle, or its moment in p, integrated above the minimum momentum."""
    start = math.log(least)
    weighted = lambda log: math.exp(power * log) * flux(zenith, log)  # noqa: E731
    return integrate.quad(weighted, start, start + 14, epsrel=1e-10, limit=200)[0]


@pytest.mark.parametrize(("least", "zenith_max"), [(0.3, 1.0), (1.0, 1.3), (3.0, 0.2), (1000.0, 1.0)])
def test_zenith_angle_and_momentum_follow_the_sea_level_flux_together(least, zenith_max):
    """Against the flux integrated in two dimensions: the zenith angle, and the momentum in bins of it."""
    zenith, azimuth, momenta = drawn(200_000, cosmic(momentum=least, zenith_max=zenith_max))
    assert momenta.min() >= least
    assert zenith.max() <= zenith_max
    edges = np.linspace(0, zenith_max, 201)
    share = integrate.cumulative_simpson([over_momenta(each, least) for each in edges], x=edges, initial=0)
    assert stats.kstest(zenith, lambda t: np.interp(t, edges, share / share[-1])).pvalue > 0.01
    assert stats.kstest(azimuth / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01
    logs = np.linspace(math.log(least), math.log(least) + 14, 4001)
    for low, high in np.array([[0.0, 0.3], [0.45, 0.55], [0.95, 1.0]]) * zenith_max:
        angles = np.linspace(low, high, 41)[:, None]
        density = integrate.simpson(flux(angles, logs), x=angles[:, 0], axis=0)
        below = integrate.cumulative_simpson(density, x=logs, initial=0)
        chosen = momenta[(zenith >= low) & (zenith < high)]
        assert len(chosen) > 1000
        assert stats.kstest(np.log(chosen), lambda t: np.interp(t, logs, below / below[-1])).pvalue > 0.01  # noqa: B023


def test_inclined_muons_have_larger_momenta():
    """The spectrum of vertical muons scatters muons above 1 GeV/c at 0.8 rad 14 % too much: θ0 goes as 1/p."""
    zenith, _, momenta = drawn(1_000_000, cosmic(momentum=1.0))
    root_mean_square = lambda angle: math.sqrt(over_momenta(angle, 1.0, -2) / over_momenta(angle, 1.0))  # noqa: E731
    vertical = root_mean_square(1e-6)
    assert vertical / root_mean_square(0.8) == pytest.approx(1.14, abs=0.005)
    for angle in (0.1, 0.8):
        found = 1 / momenta[abs(zenith - angle) < 0.02] ** 2
        error = found.std() / math.sqrt(len(found))
        assert found.mean() == pytest.approx(root_mean_square(angle) ** 2, abs=4 * error)
        assert 4 * error / found.mean() < 0.05
    inclined = 1 / momenta[abs(zenith - 0.8) < 0.02] ** 2
    assert vertical / math.sqrt(inclined.mean()) == pytest.approx(1.14, abs=0.02)


@pytest.mark.parametrize("zenith_max", [1e-9, 0.05, 1.0])
def test_the_grid_of_the_spectrum_is_fine_enough(zenith_max):
    """Quantiles of p cos θ against its integral: (min(1, ζ/p_min)⁴ − cos⁴θ_max) I_V(ζ)."""
    quantiles = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    uniform = np.stack([0 * quantiles, 0 * quantiles, quantiles], axis=1)
    slopes, momenta = directions_and_momenta(uniform, cosmic(momentum=1.0, zenith_max=zenith_max))
    found = momenta / np.sqrt(1 + (slopes**2).sum(axis=1))
    cos = math.cos(zenith_max)
    density = lambda z: (min(1, z) ** 4 - cos**4) * vertical_intensity(z)  # noqa: E731
    if zenith_max < 1e-3:
        density = vertical_intensity

    def below(zeta):
        pieces = [(cos, min(zeta, 1.0)), *([(1.0, zeta)] if zeta > 1 else [])]
        in_log = lambda log: density(math.exp(log)) * math.exp(log)  # noqa: E731
        return sum(integrate.quad(in_log, *np.log(ends), epsabs=1e-14, limit=200)[0] for ends in pieces)

    np.testing.assert_allclose([below(each) / below(1e5) for each in found], quantiles, rtol=0, atol=2e-6)


def test_a_fixed_momentum_is_that_of_all():
    assert drawn(2, cosmic("fixed", momentum=4.0))[2].tolist() == [4.0, 4.0]
