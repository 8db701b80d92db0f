"""Uniform errors, as of strips, are told from Gaussian ones by the residuals; and a pitch in place of σ is guessed."""

import math
from fractions import Fraction

import numpy as np
import pytest
from fitted_hits import tally_of
from running import slow

from pullback.config.model_schema import Track, Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.validation.fit_judgement import FitJudge
from pullback.validation.fit_shapes import shape_words

SIGMA, PITCH = 50e-6 / math.sqrt(12), 50e-6


def hits_of(noise, layers=4, muons=10_000, seed=1):
    """Hits of straight tracks with errors of unit variance, times `SIGMA`, that `noise` draws."""
    rng = np.random.default_rng(seed)
    slope, at_zero = rng.normal(0, 0.1, (muons, 1)), rng.uniform(-0.5, 0.5, (muons, 1))
    return at_zero + slope * heights(layers) + SIGMA * noise(rng, (muons, layers))


def heights(layers):
    return np.linspace(0, 0.1 * (layers - 1), layers)


def gaussian(rng, shape):
    return rng.standard_normal(shape)


def uniform(rng, shape):
    return math.sqrt(12) * (rng.random(shape) - 0.5)


def clipped(rng, shape):
    """A Gaussian that is clipped at 2 σ: also more compact than a Gaussian, but not uniform."""
    found = rng.standard_normal((*shape, 40))
    first = (np.abs(found) < 2).argmax(axis=-1)
    return np.take_along_axis(found, first[..., None], -1)[..., 0] / 0.8796


def tails(rng, shape):
    deviates = rng.standard_normal(shape)
    deviates[rng.random(shape) < 0.05] *= 3
    return deviates / math.sqrt(1.4)


def judged(hits, stated=SIGMA, model=None):
    model = model or load_model(Track(z=heights(hits.shape[1]).tolist()))
    units = [stated] * len(model.coordinates)
    judge = FitJudge(model, units, Validation(), 1, own_sigma=False)
    return judge.result("nominal", tally_of(model, 1 / stated, hits))


def said(entry, model=None):
    """What is said of the shape."""
    model = model or load_model(Track(z=heights(4).tolist()))
    return [*shape_words(entry, {each.name: each for each in model.coordinates})]


def is_uniform(entry):
    return any(each.uniform for each in entry.shapes)


@pytest.mark.parametrize("layers", [3, 4, 5, 8])
@pytest.mark.parametrize(("noise", "excess"), [(uniform, -1.2), (gaussian, 0.0), (clipped, -0.634)])
def test_the_excess_kurtosis_of_errors_is_found_from_any_number_of_layers(noise, excess, layers):
    (shape,) = judged(hits_of(noise, layers, 40_000)).shapes
    assert shape.excess.value == pytest.approx(excess, abs=4 * shape.excess.se)
    assert shape.excess.se < 0.06
    assert shape.uniform == (noise is uniform)


def test_the_dilution_is_that_of_the_fit():
    """By hand for three equidistant layers, whose only residual is (1, −2, 1)/√6."""
    weights = [Fraction(1), Fraction(-2), Fraction(1)]
    diluted = sum(each**4 for each in weights) / sum(each**2 for each in weights) ** 2
    hits = hits_of(uniform, 3, 40_000)
    residual = (hits @ [1, -2, 1]) / math.sqrt(6) / SIGMA
    found = ((residual**4).mean() / (residual**2).mean() ** 2 - 3) / float(diluted)
    assert judged(hits).shapes[0].excess.value == pytest.approx(found, abs=2e-3)  # about the mean, which is 0


@pytest.mark.parametrize("noise", [gaussian, tails])
def test_other_errors_are_not_called_uniform(noise):
    assert not any(is_uniform(judged(hits_of(noise, muons=2000, seed=seed))) for seed in range(30))


@slow
@pytest.mark.parametrize("noise", [gaussian, tails, clipped])
@pytest.mark.parametrize("muons", [1000, 10_000])
def test_false_alarms_are_rare(noise, muons):
    assert not any(is_uniform(judged(hits_of(noise, muons=muons, seed=seed))) for seed in range(100))


def test_uniform_errors_are_told_where_sigma_is_right_and_with_their_pitch():
    entry = judged(hits_of(uniform))
    assert entry.verdict == Verdict.PASS
    (words,) = said(entry)
    assert "pitch would be σ·√12 = " in words


def test_tails_are_told_and_two_far_tracks_are_none():
    def many(rng, shape):
        return np.where(rng.random(shape) < 0.1, 3, 1) * rng.standard_normal(shape)

    (words,) = said(judged(hits_of(many)))
    assert words.startswith("The errors of hits have longer tails than Gaussian ones: their excess kurtosis is ")
    # 3 (0.9 + 0.1 · 81)/1.8² − 3
    assert float(words.split(" kurtosis is ")[1].split(",")[0]) == pytest.approx(5.33, rel=0.1)
    hits = hits_of(gaussian)
    hits[[17, 900], 1] += 1.0
    entry = judged(hits)
    assert entry.shapes[0].excess.value > 100
    assert said(entry) == []


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (math.sqrt(12), "√12 times the wanted one, as if the pitch of strips had been given"),
        (math.sqrt(3), "√3 times the wanted one, as if half the pitch of strips had been given"),
        (2.5, ""),
    ],
)
def test_a_pitch_in_place_of_sigma_is_guessed(ratio, words):
    entry = judged(hits_of(uniform), ratio * SIGMA)
    assert entry.verdict == Verdict.FAIL
    (width,), (shape,) = entry.reasons, said(entry)
    assert ("the stated σ is" in width) == bool(words)
    assert words in width
    assert shape.startswith("The errors of hits look uniform, as of strips, not Gaussian: their excess kurtosis is -1.")
    pitch = float(shape.split("σ·√12 = ")[1].split()[0])
    assert pitch == pytest.approx(1e6 * PITCH, rel=0.02)


def test_one_view_of_strips_is_named():
    model = load_model(Track3d(z=heights(4).tolist()))
    entry = judged(np.concatenate([hits_of(gaussian), hits_of(uniform, seed=2)], axis=1), 2 * SIGMA, model)
    assert [each.uniform for each in entry.shapes] == [False, True]
    (words,) = said(entry, model)
    assert words.startswith("The errors of hits in y look uniform")


def test_a_layer_out_of_place_is_not_taken_for_a_shape():
    """A height that is wrong adds the slope of the track, here uniform, to the residuals."""
    rng = np.random.default_rng(3)
    slope = rng.uniform(-0.3, 0.3, (10_000, 1))
    hits = slope * heights(4) + SIGMA * rng.standard_normal((10_000, 4))
    hits[:, 1] += 2e-3 * slope[:, 0]
    entry = judged(hits)
    assert entry.verdict == Verdict.FAIL
    assert entry.shapes == []
