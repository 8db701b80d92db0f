"""Scattering in the layers that is forgotten, or stated wrong: what the verdict says must mend it."""

import re

import numpy as np
import pytest
import yaml
from fitted_hits import tally_of

from pullback.config.model_schema import Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.validation.fit_judgement import FitJudge

Z = np.array([0.0, -0.15, -0.31, -0.48, -0.62])
SIGMA, THETA0, MUONS = 20e-6, 0.2e-3, 4000


def hits_of(z=Z, seed=3):
    """A beam that falls along −z and is scattered in each layer; some hits are lost."""
    rng, views = np.random.default_rng(seed), []
    for _ in "xy":
        x, slope, view = rng.normal(0, 4e-3, MUONS), rng.normal(1e-3, 4e-3, MUONS), np.empty((MUONS, len(z)))
        for layer, step in enumerate(np.diff(z, prepend=z[0])):
            x = x - slope * step
            view[:, layer] = x
            slope = slope + THETA0 * rng.normal(size=MUONS)
        views.append(view + SIGMA * rng.normal(size=view.shape))
    return np.where(np.tile(rng.random((MUONS, len(z))) < 0.04, 2), np.nan, np.concatenate(views, axis=1))


def judged(hits, z=Z, sigma=SIGMA, **model):
    loaded = load_model(Track3d(z=np.asarray(z).tolist(), **model))
    judge = FitJudge(loaded, [sigma] * len(loaded.coordinates), Validation(), 1, own_sigma=False)
    return judge.result("nominal", tally_of(loaded, 1 / sigma, hits))


def test_honest_scattering_passes():
    entry = judged(hits_of(), theta0=THETA0)
    assert (entry.verdict, entry.scattering) == (Verdict.PASS, None)


@pytest.mark.parametrize("stated", [0.0, 0.1e-3, 0.4e-3, 1e-3])
@pytest.mark.parametrize("layers", [(0, 1, 2, 3, 4), (0, 1, 2, 4)])
def test_one_wrong_angle_of_all_layers_is_told_from_a_sigma_of_each(stated, layers):
    z = Z[[*layers]]
    entry = judged(hits_of(z), z, theta0=stated)
    assert entry.verdict == Verdict.FAIL
    assert entry.scattering.better
    angle = entry.scattering.angle
    assert angle.value == pytest.approx(THETA0, abs=4 * angle.se)
    assert angle.se < 0.03 * THETA0
    text = "; ".join(entry.reasons)
    assert "σ = " not in text
    line = yaml.safe_load(re.search(r"write `model\.(theta0: .*? mrad)`", text)[1])
    again = judged(hits_of(z), z, theta0=Track3d(z=z.tolist(), **line).theta0)
    assert again.verdict != Verdict.FAIL


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.4])
def test_a_wrong_sigma_is_not_taken_for_scattering(factor):
    entry = judged(hits_of(), sigma=factor * SIGMA, theta0=THETA0)
    assert entry.verdict == Verdict.FAIL
    assert entry.scattering is None
    assert entry.reasons[0].startswith("the data want σ = ")
    for each in entry.resolution:
        assert each.wanted.value == pytest.approx(SIGMA, abs=4 * each.wanted.se)


def test_three_layers_do_not_tell_which():
    z = Z[[0, 1, 4]]
    entry = judged(hits_of(z), z)
    assert not entry.scattering.better
    assert re.search(r"want σ = .*; or, as these residuals do not tell which, θ0 = ", entry.reasons[0])


def test_different_angles_of_layers_have_one_factor():
    entry = judged(hits_of(), theta0=[2 * THETA0] * 4 + [4 * THETA0])
    assert entry.scattering.factor == pytest.approx(0.5, rel=0.05)
    assert "times the scattering of `model.theta0`, with σ as stated" in entry.reasons[0]
    assert re.search(r": multiply it by 0\.(4[89]|5)", entry.reasons[0])


def test_the_unit_of_heights_is_asked_for():
    entry = judged(hits_of(), 10 * Z, theta0=THETA0)
    assert entry.width.value < 0.3
    assert "a factor of 10 almost exactly; check the units of model.z and of the scattering" in entry.reasons[0]
    assert "σ = " not in entry.reasons[0]
    assert "write" not in entry.reasons[0]


def test_the_unit_of_hits_is_asked_for():
    (reason,) = judged(10 * hits_of(), theta0=THETA0).reasons
    assert reason.startswith("residuals are 9.9") or reason.startswith("residuals are 10.0")
    assert reason.endswith(": a factor of 10 almost exactly; check `source.unit` and the unit of detector.sigma")


def test_no_larger_sigma_is_wanted_where_residuals_are_too_narrow():
    """Two layers have a σ that is stated much too large, beside too much scattering: no one number mends both."""
    model = load_model(Track3d(z=Z.tolist(), theta0=2 * THETA0))
    sigma = np.tile(SIGMA * np.array([1, 8, 1, 8, 1]), 2).tolist()
    judge = FitJudge(model, sigma, Validation(), 1, own_sigma=False)
    entry = judge.result("nominal", tally_of(model, [1 / each for each in sigma], hits_of()))
    print(entry.reasons)
    assert entry.width.value < 1
    assert "no σ explains this: the stated scattering in the layers, or the distances of layers," in entry.reasons[0]
    assert "σ = " not in entry.reasons[0]
