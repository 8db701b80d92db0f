"""Several layers at wrong heights: what the verdict says of them, and that it says nothing else first."""

import re

import numpy as np
import pytest
from fitted_hits import tally_of

from pullback.config.model_schema import Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.validation.fit_judgement import FitJudge

Z, SIGMA, MUONS = np.array([0.0, -0.15, -0.31, -0.48, -0.62]), 20e-6, 6000


def hits_of(seed=4):
    """A beam with a mean slope, so that a wrong height shifts the mean residual too; some hits are lost."""
    rng, views = np.random.default_rng(seed), []
    for mean in (1e-3, 0.0):
        x, slope = rng.normal(0, 4e-3, (MUONS, 1)), rng.normal(mean, 4e-3, (MUONS, 1))
        views.append(x + slope * Z + SIGMA * rng.normal(size=(MUONS, len(Z))))
    return np.where(np.tile(rng.random((MUONS, len(Z))) < 0.04, 2), np.nan, np.concatenate(views, axis=1))


def reasons(z, hits=None, **model):
    loaded = load_model(Track3d(z=np.asarray(z).tolist(), **model))
    judge = FitJudge(loaded, [SIGMA] * len(loaded.coordinates), Validation(), 1, own_sigma=False)
    entry = judge.result("nominal", tally_of(loaded, 1 / SIGMA, hits_of() if hits is None else hits))
    return entry.verdict, "; ".join(entry.reasons)


@pytest.mark.parametrize("pair", [(1, 2), (2, 3), (1, 3), (0, 1), (0, 4)])
@pytest.mark.parametrize("theta0", [0.0, 0.2e-3])
def test_two_layers_that_are_exchanged_are_named(pair, theta0):
    stated, (i, j) = Z.copy(), pair
    stated[[i, j]] = stated[[j, i]]
    verdict, text = reasons(stated, theta0=theta0)
    assert verdict == Verdict.FAIL
    assert f"layers {i} and {j} of model.z look exchanged: exchange their heights, model.z[{i}] and " in text
    assert not re.search("raise|lower model|shifted|too far along|alignment", text)


@pytest.mark.parametrize("factor", [1, 0.2])
def test_two_wrong_heights_are_found_together(factor):
    stated = Z + factor * np.array([0, 0.08, 0.14, 0, 0])
    verdict, text = reasons(stated)
    assert verdict == Verdict.FAIL
    assert "more than one height is wrong; if those of the lowest and the highest layer are right, write" in text
    found = re.findall(r"model\.z\[(\d)\] = (-[0-9.]+) ± ([0-9.]+) mm \(stated", text)
    assert [int(layer) for layer, *_ in found] == [1, 2]
    for layer, value, se in found:
        assert float(value) == pytest.approx(1e3 * Z[int(layer)], abs=3 * float(se))
        assert float(se) < 2
    assert "shifted" not in text


def test_a_single_wrong_height_stays_one_and_hides_no_shift_of_its_own():
    stated = Z + np.array([0, 0, 0.03, 0, 0])
    _, text = reasons(stated)
    assert "lower model.z[2] by" in text
    assert "more than one height" not in text
    assert "shifted" not in text
    assert "too far along" not in text
    hits = hits_of()
    hits[:, 3] += 3e-4
    assert "too far along" in reasons(stated, hits)[1]


def test_muons_that_fly_the_other_way_are_named_as_a_cause_of_small_changes():
    rng, views = np.random.default_rng(8), []
    for _ in "xy":
        x, slope, view = rng.normal(0, 4e-3, 20_000), rng.normal(0, 4e-3, 20_000), np.empty((20_000, 5))
        for layer, step in enumerate(np.diff(Z, prepend=0.0)):
            x = x + slope * step
            view[:, layer] = x
            slope = slope + 0.2e-3 * rng.normal(size=len(x))
        views.append(view + SIGMA * rng.normal(size=view.shape))
    hits = np.concatenate(views, axis=1)
    assert "where muons fly upwards in z" in reasons(-Z, hits, theta0=0.2e-3)[1]
    assert reasons(Z, hits, theta0=0.2e-3) == (Verdict.PASS, "")
