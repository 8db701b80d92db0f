import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from pullback import random_stream
from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.config.source_schema import Beam, Simulated, Volume
from pullback.models import load_model
from pullback.models.muon_source import draw_muons

COSMIC = SimpleNamespace(zenith_max=0.5, spectrum="sea_level", momentum=2.0)
BEAM = {"slope_x": 0.1, "slope_y": -0.2, "spread": [0.01, 0.03], "spot": [0.002, 0.005], "x": 0.3, "y": -1.0}


def source(**sections):
    return SimpleNamespace(**{"x_min": -1.0, "x_max": 3.0, "cosmic": None, "beam": None, **sections})


def of_beam(**changes):
    return source(beam=Beam(**{**BEAM, "momentum": 120.0, **changes}))


def drawn(where, muons=20_000):
    return draw_muons(random_stream(3, "truth"), muons, where)


def test_a_beam_has_its_slopes_and_its_spot():
    position, slopes, momentum = drawn(of_beam())
    for values, mean, width in zip(
        [*slopes.T, *position.T], [0.1, -0.2, 0.3, -1.0], [0.01, 0.03, 0.002, 0.005], strict=True
    ):
        assert stats.kstest(values, stats.norm(mean, width).cdf).pvalue > 0.01
    off = abs(np.corrcoef(np.concatenate([slopes, position], axis=1).T) - np.eye(4)).max()
    assert off < 4 / math.sqrt(len(slopes))
    assert set(momentum) == {120.0}


def test_one_number_is_that_of_both_views():
    both, one = drawn(of_beam(spread=[0.01, 0.01], spot=[0.002, 0.002])), drawn(of_beam(spread=0.01, spot=0.002))
    np.testing.assert_array_equal(both.slopes, one.slopes)
    np.testing.assert_array_equal(both.position, one.position)


def test_a_parallel_beam_without_a_spot_lights_the_layers_evenly():
    position, slopes, _ = drawn(of_beam(spread=0.0, spot=None, x=0.0, y=0.0))
    assert np.unique(slopes, axis=0).tolist() == [[0.1, -0.2]]
    for values in position.T:
        assert stats.kstest(values, stats.uniform(-1, 4).cdf).pvalue > 0.01


def test_a_wider_spot_or_spread_changes_nothing_else():
    narrow, wide = drawn(of_beam()), drawn(of_beam(spot=0.5))
    np.testing.assert_array_equal(narrow.slopes, wide.slopes)
    np.testing.assert_allclose((wide.position - [0.3, -1.0]) / 0.5, (narrow.position - [0.3, -1.0]) / [0.002, 0.005])
    np.testing.assert_array_equal(drawn(of_beam(spread=0.5)).position, narrow.position)


@pytest.mark.parametrize("where", [source(cosmic=COSMIC), of_beam(), of_beam(spot=None, x=0.0, y=0.0)])
def test_what_is_drawn_for_a_block_depends_on_its_length_alone(where):
    """The stream is as far on, whatever the muons were."""
    streams = [random_stream(5, "truth") for _ in range(2)]
    draw_muons(streams[0], 1000, where)
    if where.beam is None:
        streams[1].random(5000)
    else:
        streams[1].random(2000)
        streams[1].standard_normal(4000)
    assert streams[0].random() == streams[1].random()


def test_cosmic_muons_are_those_of_their_spectrum():
    position, slopes, momentum = drawn(source(cosmic=COSMIC))
    assert stats.kstest(position[:, 1], stats.uniform(-1, 4).cdf).pvalue > 0.01
    assert np.arctan(np.hypot(*slopes.T)).max() <= 0.5
    assert momentum.min() >= 2
    assert abs(np.corrcoef(position[:, 0], momentum)[0, 1]) < 4 / math.sqrt(len(momentum))


def test_every_model_of_tracks_takes_a_beam():
    where = Simulated(beam=Beam(**BEAM, momentum=1e4), volume=Volume(thickness=0.0))
    muons = 5000
    positions = drawn(where, muons)
    hits = {}
    for section in (Track(z=[0.0, 1.0]), Track3d(z=[0.0, 1.0]), Scatter(z_upper=[0.0, 1.0], z_lower=[-1.0, -2.0])):
        model = load_model(section)
        parameters = {name: np.array(model.parameters[name]) for name in model.intersect_uses}
        hits[section.name] = model.intersect_layers(
            model.generate(random_stream(3, "truth"), muons, where), **parameters
        )
    below = positions.position + positions.slopes
    expected = np.stack([positions.position[:, 0], below[:, 0], positions.position[:, 1], below[:, 1]], axis=1)
    np.testing.assert_allclose(hits["track3d"], expected, rtol=1e-12)
    np.testing.assert_allclose(hits["track"], expected[:, :2], rtol=1e-12)
    np.testing.assert_allclose(hits["scatter"][:, [0, 1, 4, 5]], expected, rtol=1e-12)
    # And straight on below, as there is nothing to scatter in.
    np.testing.assert_allclose(hits["scatter"][:, 2], expected[:, 0] - positions.slopes[:, 0], rtol=1e-9)
