import math

import numpy as np
import pytest
from configs import load
from scipy import stats

from pullback.detector.noise import draw, factor, width

KINDS = {
    "gaussian": ({"kind": "gaussian"}, stats.norm()),
    "strip": ({"kind": "strip"}, stats.uniform(-0.5, 1)),
    "wide strip": ({"kind": "strip", "pitch": 0.03}, stats.uniform(-0.5, 1)),
    "clipped": ({"kind": "clipped", "clip": 2.0}, stats.truncnorm(-2, 2)),
    "narrowly clipped": ({"kind": "clipped", "clip": 0.3}, stats.truncnorm(-0.3, 0.3)),
    "hardly clipped": ({"kind": "clipped", "clip": 8.0}, stats.norm()),
    "all wide": ({"kind": "tails", "fraction": 1.0, "width": 3.0}, stats.norm(0, 3)),
    "none wide": ({"kind": "tails", "fraction": 0.0, "width": 3.0}, stats.norm()),
}
TAILS = {"kind": "tails", "fraction": 0.05, "width": 5.0}


def detector(noise, resolution=100.0):
    return load({"study": "s", "detector": {"resolution": resolution, "noise": noise}}).detector


def drawn(noise, shape=(200_000, 1), seed=1):
    return draw(detector(noise).noise, np.random.default_rng(seed), shape)


@pytest.mark.parametrize("name", KINDS)
def test_the_distribution(name):
    noise, exact = KINDS[name]
    assert stats.kstest(drawn(noise)[:, 0], exact.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("resolution", [100.0, 20.0])
def test_the_width_is_that_of_the_hits_over_the_stated_one(name, resolution):
    """In closed form, by scipy."""
    noise, exact = KINDS[name]
    each = detector(noise, resolution).noise
    unit = factor(each, np.array([resolution]))[0]
    assert width(each, resolution) == pytest.approx(exact.std() * unit, rel=1e-9)


def test_tails():
    """A mixture: its variance and kurtosis, and how many hits are far out."""
    z = drawn(TAILS, (2_000_000,))
    variance = 0.95 + 0.05 * 25
    kurtosis = 3 * (0.95 + 0.05 * 625) / variance**2
    assert width(detector(TAILS).noise, 100.0) == pytest.approx(math.sqrt(variance), rel=1e-14)
    assert z.var() == pytest.approx(variance, abs=4 * variance * math.sqrt((kurtosis - 1) / len(z)))
    assert abs(z.mean()) < 4 * math.sqrt(variance / len(z))
    beyond = 0.95 * 2 * stats.norm.sf(4) + 0.05 * 2 * stats.norm.sf(0.8)
    assert (abs(z) > 4).mean() == pytest.approx(beyond, abs=4 * math.sqrt(beyond / len(z)))


def test_no_hit_is_further_out_than_it_can_be():
    for clip in (0.01, 2.0, 8.0):
        assert abs(drawn({"kind": "clipped", "clip": clip})).max() <= clip * (1 + 1e-12)
    assert abs(drawn({"kind": "strip"})).max() <= 0.5


def test_the_pitch():
    """Without one, such that the stated resolution is right: a uniform of that width has the stated σ."""
    layers = np.array([100.0, 20.0])
    plain = detector("strip").noise
    np.testing.assert_allclose(factor(plain, layers) / layers, math.sqrt(12) / layers, rtol=1e-15)
    assert stats.uniform(0, factor(plain, layers)[0] / 100).std() == pytest.approx(0.01, rel=1e-12)
    assert width(plain, 100.0) == pytest.approx(1, rel=1e-14)
    wide = detector({"kind": "strip", "pitch": 0.03}).noise
    np.testing.assert_allclose(factor(wide, layers) / layers, 0.03, rtol=1e-15)  # whatever is stated
    assert width(wide, 20.0) == pytest.approx(0.03 / math.sqrt(12) * 20, rel=1e-14)


@pytest.mark.parametrize("noise", ["gaussian", "tails", "clipped"])
def test_deviates_are_in_units_of_the_stated_sigma_but_for_strips(noise):
    assert factor(detector(noise).noise, np.array([70.0, 20.0])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("noise", ["gaussian", "strip", "tails", "clipped"])
def test_a_stream_gives_the_same_deviates_again(noise):
    first, again, other = (drawn(noise, (5, 2), seed) for seed in (1, 1, 2))
    assert first.shape == (5, 2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
