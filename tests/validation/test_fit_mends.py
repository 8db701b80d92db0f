"""Layers out of place by known amounts: what the verdict says must mend them."""

import re

import numpy as np
import pytest
import yaml
from fitted_hits import tally_of

from pullback.config.model_schema import Scatter, Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.study.aligning import placement_by
from pullback.study.plan import Study
from pullback.validation.fit_judgement import FitJudge

Z = np.array([-0.013, 0.0415, 0.1227, 0.2331, 0.4029, 0.5173])
SIGMA = 1e-3 * np.array([0.20, 0.35, 0.15, 0.50, 0.25, 0.40])
MUONS = 8000


def hits_of(z=Z, sigma=SIGMA, seed=7, efficiency=0.93):
    """Muons of cosmic rays up to 0.7 rad in both views, at the true heights, each hit lost at random."""
    rng = np.random.default_rng(seed)
    zenith = np.arccos(np.sqrt(rng.uniform(np.cos(0.7) ** 2, 1, MUONS)))
    azimuth = rng.uniform(-np.pi, np.pi, MUONS)
    views = []
    for way in (np.cos, np.sin):
        slope, at_zero = np.tan(zenith) * way(azimuth), rng.uniform(-0.1, 0.1, MUONS)
        views.append(at_zero[:, None] + slope[:, None] * z + sigma * rng.normal(size=(MUONS, len(z))))
    lost = rng.random((MUONS, len(z))) > efficiency
    return np.where(np.tile(lost, 2), np.nan, np.concatenate(views, axis=1))


def judged(hits, model, sigma=SIGMA, **more):
    every = np.tile(sigma, len(model.coordinates) // len(sigma)).tolist()
    judge = FitJudge(model, every, Validation(), 1, own_sigma=False, **more)
    return judge.result("nominal", tally_of(model, [1 / each for each in every], hits))


def changed(z, reason):
    """The stated heights with the change that a reason asks for."""
    way, layer, by = re.search(r"(raise|lower) model\.z\[(\d)\] by ([0-9.]+) mm$", reason).groups()
    mended = np.array(z)
    mended[int(layer)] += 1e-3 * float(by) * (1 if way == "raise" else -1)
    return mended


@pytest.mark.parametrize(("layer", "error"), [(5, 0.0227), (5, -0.03), (4, 0.02), (0, -0.02), (2, 0.03)])
def test_a_layer_at_a_wrong_height_is_named_alone_and_mended_by_what_is_said(layer, error):
    stated, hits = Z.copy(), hits_of()
    stated[layer] += error
    entry = judged(hits, load_model(Track3d(z=stated.tolist())))
    assert (entry.verdict, entry.misplaced) == (Verdict.FAIL, True)
    assert changed(stated, entry.reasons[0])[layer] == pytest.approx(Z[layer], abs=0.07 * abs(error))
    assert f"{'lower' if error > 0 else 'raise'} model.z[{layer}] by " in entry.reasons[0]
    text = "; ".join(entry.reasons)
    assert "σ = " not in text
    assert "the data want" not in text.replace("which resolution the data want", "")
    assert not any(f"z[{other}]" in text for other in range(6) if other != layer)
    for _ in range(3):
        stated = changed(stated, entry.reasons[0])
        entry = judged(hits, load_model(Track3d(z=stated.tolist())))
        if entry.verdict != Verdict.FAIL:
            break
    assert entry.verdict != Verdict.FAIL
    assert stated[layer] == pytest.approx(Z[layer], abs=2e-4)


def test_a_wrong_sigma_is_wanted_once_the_height_is_mended():
    hits, stated = hits_of(sigma=1.4 * SIGMA), Z.copy()
    stated[3] -= 0.03
    first = judged(hits, load_model(Track3d(z=stated.tolist())))
    assert "raise model.z[3]" in first.reasons[0]
    assert first.reasons[1].endswith("mend this first: only then is it known which resolution the data want")
    mended = judged(hits, load_model(Track3d(z=Z.tolist())))
    assert not mended.misplaced
    assert mended.reasons[0].startswith("the data want σ = ")


@pytest.mark.parametrize("shift", [2.036e-4, -3e-4])
@pytest.mark.parametrize("name", ["x3", "y3", "y1"])
def test_the_line_of_a_shifted_layer_mends_it_as_it_stands(name, shift):
    model, hits = load_model(Track3d(z=Z.tolist())), hits_of()
    index = [each.name for each in model.coordinates].index(name)
    hits[:, index] += shift
    entry = judged(hits, model)
    assert entry.verdict == Verdict.FAIL
    assert f"too far along {'+' if shift > 0 else '−'}{name[0]}" in entry.reasons[0]
    line = yaml.safe_load(re.search(r"write `(.*)`", entry.reasons[0])[1])
    config = {"study": "s", "model": {"name": "track3d", "z": Z.tolist()}, **line}
    study = Study.from_config(config)
    numbers = study.config.alignment.numbers
    assert numbers[name[0]][int(name[1])] == pytest.approx(-shift, abs=3e-5)
    assert judged(placement_by(numbers, model).to_frame(hits), model).verdict != Verdict.FAIL
    again = judged(hits, model, aligned=True)
    way = "smaller" if shift > 0 else "larger"
    assert re.search(rf"alignment\.{name[0]}\[{name[1]}\] must be \d+\.?\d* um {way}$", again.reasons[0])


def test_what_is_furthest_off_comes_first():
    hits, stated = hits_of(), Z.copy()
    hits[:, 1] += 2e-4
    stated[5] += 0.02
    entry = judged(hits, load_model(Track3d(z=stated.tolist())))
    assert "lower model.z[5]" in entry.reasons[0]
    assert any("shifted" in each or "too far along" in each for each in entry.reasons[1:])
    hits[:, 1] += 0.02
    entry = judged(hits, load_model(Track3d(z=stated.tolist())))
    assert "hits of" in entry.reasons[0]


def test_the_lower_tracker_of_a_volume_has_keys_of_its_own():
    upper, lower = [1.0, 0.9, 0.75, 0.6, 0.5], [-0.5, -0.6, -0.7, -0.9, -1.0]
    sigma = np.full(10, 2e-4)
    hits = hits_of(np.array(upper + lower), sigma, efficiency=1.0)
    assert len(load_model(Scatter(z_upper=upper, z_lower=lower)).coordinates) == 20
    stated = [*lower]
    stated[3] += 0.01
    entry = judged(hits, load_model(Scatter(z_upper=upper, z_lower=stated)), sigma)
    assert "lower model.z_lower[3] by" in entry.reasons[0]


def test_few_wrong_tracks_are_told_by_the_width_of_the_others_first():
    hits, rng = hits_of(), np.random.default_rng(3)
    some = rng.choice(MUONS, 50, replace=False)
    hits[some, 2] = rng.uniform(-0.3, 0.3, 50)
    entry = judged(hits, load_model(Track3d(z=Z.tolist())))
    text = "; ".join(entry.reasons)
    width = float(re.match(r"residuals of most tracks are ([0-9.]+) ", text)[1])
    assert width == pytest.approx(1, abs=0.02)
    assert "pullback export" in text
    assert not re.search(r"residuals are [0-9.]+ \[", text)


def test_a_shifted_layer_comes_before_few_wrong_tracks_and_nothing_is_said_twice():
    hits, rng = hits_of(), np.random.default_rng(3)
    some = rng.choice(MUONS, 20, replace=False)
    hits[some, 2] = rng.uniform(-30, 30, 20)
    hits[:, 3] -= 7e-4
    reasons = judged(hits, load_model(Track3d(z=Z.tolist()))).reasons
    assert reasons[0].startswith("hits of x₃ are ")
    assert "make χ²/ndf = " in reasons[-1]
    text = "; ".join(reasons)
    for once in ("most tracks", "χ²/ndf = ", "too far along", "pullback export"):
        assert text.count(once) == 1, text
