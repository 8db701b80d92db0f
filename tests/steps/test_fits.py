"""Residuals of the fits as artefacts, and what a study makes of them."""

from pathlib import Path

import numpy as np
import pytest
from running import Run
from scipy import stats

from pullback.detector.response import Response
from pullback.statistics.intervals import Verdict
from pullback.validation.evidence import Evidence
from pullback.validation.fit_evidence import Untested

TRACK = {
    "study": "fits",
    "source": {"muons": 6000},
    "detector": {"resolution": 1000.0},
    "model": {"name": "track", "z": [0.0, 0.2, 0.4, 0.6]},
    "toys": {"muons": 20, "per_muon": 50},
}
OWN = """
import torch

def infer(hits, z):
    return ((hits * (z - z.mean())).sum(1) / (z - z.mean()).square().sum())[:, None]

def fitted(hits, z):
    return hits.mean(1, keepdim=True) + infer(hits, z) * (z - z.mean())

def chi2(hits, z, resolution):
    square = ((hits - fitted(hits, z)) * resolution).square().sum(1)
    return torch.stack([square, torch.full_like(square, 2.0)], dim=1)

def draw(rng, muons, z):
    return rng.uniform(-0.5, 0.5, (muons, 1)) + rng.normal(0, 0.3, (muons, 1)) * z
"""


def own(**functions):
    Path("own.py").write_text(OWN)
    model = {
        "file": "own.py",
        "coordinates": ["x0", "x1", "x2", "x3"],
        "observables": [{"name": "slope", "unit": "1", "fold": "none"}],
        "parameters": {"z": [0.0, 0.2, 0.4, 0.6]},
        "draw": "draw",
    }
    return {**TRACK, "model": {**model, **functions}}


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(run):
    (found,) = Evidence.read(run.outputs.validation).fits
    return found


def test_columns_are_those_of_an_independent_fit(in_folder):
    run = Run({**TRACK, "detector": {"resolution": [1000.0, 500.0, 2000.0, 800.0]}}, in_folder).make()
    found, z, weights = run.columns("nominal"), [0.0, 0.2, 0.4, 0.6], np.array([1000.0, 500.0, 2000.0, 800.0])
    for muon in range(0, 6000, 997):
        hits = found["x_reco"][muon]
        line = np.polyval(np.polyfit(z, hits, 1, w=weights), z)
        chi2 = ((hits - line) ** 2 * weights**2).sum()
        assert found["chi2"][muon] == pytest.approx(chi2, rel=1e-8)
        assert found["p_value"][muon] == pytest.approx(stats.chi2.sf(chi2, 2), rel=1e-8)
        others = np.polyfit(z[1:], hits[1:], 1, w=weights[1:])
        assert found["residual"][muon, 0] == pytest.approx(hits[0] - np.polyval(others, 0.0), rel=1e-8, abs=1e-12)
    fit = data(run)
    assert fit.verdict == Verdict.PASS
    assert fit.muons == 6000
    assert sum(fit.p_values) == 6000
    pulls = found["residual"] / found["residual_sigma"]
    assert fit.coordinates[2].pull_sd.value == pytest.approx(pulls[:, 2].std(), rel=1e-9)
    assert fit.coordinates[2].mean.value == pytest.approx(found["residual"][:, 2].mean(), rel=1e-9)


def test_hits_that_were_recorded_with_twice_the_noise_fail_the_study(in_folder):
    honest = Run(TRACK, in_folder / "honest").make()
    assert data(honest).verdict == Verdict.PASS
    record = Response.record

    def twice(self, x_true, drawn, parameters=None, momentum=None):
        if parameters is not None:  # of slopes by the design, which are not at stake
            return record(self, x_true, drawn, parameters, momentum)
        return x_true + 2 * (record(self, x_true, drawn, momentum=momentum) - x_true)

    run = honest.sabotaged(in_folder / "twice", "reco", Response, "record", twice)
    assert data(run).verdict == Verdict.FAIL
    assert "the data want σ = 1.985 ± 0.013 mm in x₀–x₃ (stated 1 mm)" in data(run).reasons[0]
    assert Evidence.read(run.outputs.validation).verdict == Verdict.FAIL
    text = run.show().folder.joinpath("report.html").read_text()
    assert "disagree with what is stated of the detector" in text


def test_the_fitted_positions_of_an_own_model_give_what_those_of_a_track_give(in_folder):
    fit = data(Run(own(fitted="fitted"), in_folder / "own").make())
    assert fit.verdict == Verdict.PASS
    assert [each.name for each in fit.coordinates] == ["x0", "x1", "x2", "x3"]
    assert fit.coordinates[0].against_slope is None  # heights are not known
    assert fit.width.se == pytest.approx(1 / np.sqrt(2 * 2 * 6000), rel=0.1)


def test_an_own_chi2_gives_p_values_and_no_residuals(in_folder):
    run = Run(own(chi2="chi2"), in_folder / "own").make()
    fit, found = data(run), run.columns("nominal")
    assert fit.verdict == Verdict.PASS
    assert fit.coordinates == fit.resolution == []
    np.testing.assert_allclose(found["p_value"], stats.chi2.sf(found["chi2"], 2), rtol=1e-9)
    assert np.isnan(found["residual"]).all()
    wrong = Run({**own(chi2="chi2"), "detector": {"resolution": 1000.0, "noise": {"kind": "clipped"}}}, in_folder / "w")
    assert data(wrong.make()).verdict == Verdict.FAIL
    wrong.show()


def test_an_own_model_without_either_can_not_be_tested(in_folder):
    fit = data(Run(own(), in_folder / "own").make())
    assert fit.verdict == Untested.UNTESTED
    assert "neither `fitted` nor `chi2`" in fit.reasons[0]


def test_a_small_sample_of_tracks_with_two_hits_can_not_be_tested(in_folder):
    raw = {**TRACK, "source": {"muons": 50}, "model": {"name": "track", "z": [0.0, 1.0]}}
    run = Run(raw, in_folder / "two").make()
    assert (data(run).verdict, data(run).reasons) == (Untested.UNTESTED, ["as many parameters as hits"])
    run.show()
