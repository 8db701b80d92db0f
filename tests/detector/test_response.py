import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pullback.detector import response
from pullback.detector.bound_model import covariance_of, parameters_of
from pullback.detector.smearing import smear
from pullback.study.blocks import BLOCK, Block
from pullback.study.plan import Study

TRACK3D = {"study": "s", "model": {"name": "track3d"}, "source": {"muons": 3 * BLOCK}}
SOME = Block(0, 0, 50_000)


def part_of(raw, kind="reco"):
    study = Study.from_config(raw)
    (name,) = study.batches
    (part,) = study.batch(kind, name).parts
    return part


def detectors(**section):
    return part_of({**TRACK3D, "detector": section})


def test_a_number_for_all_layers_or_one_for_each():
    assert response.resolution(detectors(resolution=50)).tolist() == [50.0] * 6
    assert response.resolution(detectors(resolution=[50, 20, 10])).tolist() == [50, 20, 10, 50, 20, 10]


def test_whole_layers_are_lost_as_often_as_they_are_inefficient():
    efficiency = np.array([0.9, 0.6, 1.0])
    lost = response.lost(detectors(efficiency=efficiency.tolist()), SOME)
    assert lost.shape == (len(SOME), 6)
    np.testing.assert_array_equal(lost[:, :3], lost[:, 3:])  # x and y of a layer together
    error = np.sqrt(efficiency * (1 - efficiency) / len(SOME))
    assert (abs(lost[:, :3].mean(axis=0) - (1 - efficiency)) <= 4 * error).all()
    both = (lost[:, 0] & lost[:, 1]).mean()  # one layer knows nothing of another
    assert both == pytest.approx(0.1 * 0.4, abs=4 * math.sqrt(0.04 / len(SOME)))


def test_no_hit_is_lost_of_a_perfect_detector():
    assert response.lost(detectors(efficiency=1.0), SOME) is None
    assert response.lost(detectors(efficiency=[1.0, 1.0, 1.0]), SOME) is None
    assert not response.lost(detectors(efficiency=[1.0, 0.5, 1.0]), SOME)[:, [0, 2]].any()


@pytest.mark.parametrize("draw", [response.generated, response.deviates, response.lost, response.kicks])
def test_a_block_has_its_numbers_whatever_the_batch(draw):
    raw = {**TRACK3D, "detector": {"efficiency": 0.8}, "model": {"name": "track3d", "theta0": 0.01}}
    whole = part_of(raw)
    piece = replace(whole, first=2, last=3)
    block = list(whole.blocks)[2]
    assert list(piece.blocks) == [block]
    np.testing.assert_array_equal(draw(whole, block), draw(piece, block))
    other = draw(whole, list(whole.blocks)[1])
    assert (other != draw(whole, block)).mean() > 0.2


def test_what_is_lost_changes_no_other_number():
    some, all_ = detectors(efficiency=0.5), detectors()
    for draw in (response.generated, response.deviates, response.kicks):
        np.testing.assert_array_equal(draw(some, SOME), draw(all_, SOME))


def test_points_with_random_numbers_of_their_own():
    raw = {**TRACK3D, "random_numbers": "independent", "detector": {"efficiency": 0.5}}
    study = Study.from_config({**raw, "scan": {"detector.resolution": [50, 100]}})
    one, other = (part for batch in study.batches for part in study.batch("reco", batch).parts)
    for draw in (response.generated, response.deviates, response.lost, response.kicks):
        assert (draw(one, SOME) != draw(other, SOME)).mean() > 0.2


def covariance(off):
    """The covariance of samples about 0, and the standard error of each entry for Gaussian ones."""
    found = off.T @ off / len(off)
    variance = found.diagonal()
    return found, np.sqrt((variance[:, None] * variance + found**2) / len(off))


@pytest.mark.parametrize("model", ["track", "track3d"])
def test_smeared_hits_have_the_covariance_that_propagation_assumes(model):
    raw = {**TRACK3D, "model": {"name": model, "theta0": 0.01}, "detector": {"resolution": [100, 300, 200]}}
    part, block = part_of(raw), Block(0, 0, BLOCK)
    x = np.zeros((BLOCK, len(part.model.layers)))
    scale = response.resolution(part) / response.factor(part)
    off = smear(x, scale, response.deviates(part, block)) + response.scattered(part, block, x)
    found, error = covariance(off)
    hits = torch.zeros(1, len(part.model.layers), dtype=torch.float64)
    parameters = parameters_of(part.model, part.settings.detector.resolution)
    (expected,) = covariance_of(part.model, parameters, hits).numpy()
    assert (abs(found - expected) <= 4.5 * error).all()
    # Neither of the two alone would do.
    for alone in (np.diag(expected.diagonal()), expected - np.diag(response.resolution(part) ** -2.0)):
        assert (abs(found - alone) > 10 * error).any()


def test_a_model_that_adds_nothing_adds_nothing():
    assert response.scattered(detectors(), SOME, np.zeros((len(SOME), 6))) == 0.0
    assert response.scattering_root(detectors(), torch.zeros(1, 6, dtype=torch.float64)) is None


def test_strips_of_every_layer_are_as_wide_as_its_resolution():
    layers = [100, 50, 25]
    part = detectors(noise="strip", resolution=layers)
    off = response.deviates(part, SOME) * response.factor(part) / response.resolution(part)
    half = math.sqrt(12) / 2 / np.array(layers * 2)
    assert (abs(off) <= half).all()
    assert (abs(off).max(axis=0) > 0.999 * half).all()
    np.testing.assert_allclose(off.std(axis=0), 1 / np.array(layers * 2), rtol=0.02)


def test_strips_of_a_given_pitch_are_alike_in_every_layer():
    part = detectors(noise={"kind": "strip", "pitch": 0.06}, resolution=[100, 50, 25])
    off = response.deviates(part, SOME) * response.factor(part) / response.resolution(part)
    np.testing.assert_allclose(abs(off).max(axis=0), 0.03, rtol=1e-3)


def test_deviates_of_toys_are_the_noise_s_and_normal_ones_for_what_is_added():
    noise = detectors(noise="strip").settings.detector.noise
    rng = np.random.default_rng(1)
    z = response.draw_off(noise, 3, rng, (20_000, 6))
    assert abs(z[:, :3]).max() <= 0.5
    np.testing.assert_allclose(z[:, 3:].std(axis=0), 1, rtol=0.03)
    assert response.draw_off(noise, 3, rng, (10, 3)).shape == (10, 3)
