"""Positions of tracks on planes, of a device under test or of a volume, through whole studies."""

import csv
import json

import numpy as np
import pytest
import yaml
from running import FEW, Run

from pullback.steps.target import find_target
from pullback.store.export import export
from pullback.store.target_file import TargetAnswers
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

TELESCOPE = """
study: s
source: {muons: 3000, beam: {spread: 0.001, spot: 5 mm}}
detector: {sigma: {x: "[72, 72, 72, 100] um", y: 14.4 um}, efficiency: 0.9}
model: {name: track3d, z: "[0, 19.5, 108.8, 128.3] mm", at: "[60, 500] mm"}
toys: {muons: 20, per_muon: 2000}
"""
SIGMA = np.array([72, 72, 72, 100, 14.4, 14.4, 14.4, 14.4]) * 1e-6
Z, AT = np.array([0.0, 0.0195, 0.1088, 0.1283]), np.array([0.06, 0.5])


def run(raw, folder, **changes):
    raw = yaml.safe_load(raw) if isinstance(raw, str) else raw
    return Run({**FEW, **raw, **changes}, folder).make()


def lines(x, sigma):
    """Positions at AT with their σ of each muon, by numpy; NaN with fewer than two hits."""
    found = np.full((len(x), 2, 2), np.nan)
    for row, hits in enumerate(x):
        seen = np.isfinite(hits)
        if seen.sum() > 1:
            design = np.stack([np.ones(seen.sum()), Z[seen]], axis=1) / sigma[seen, None]
            there = np.stack([np.ones(2), AT], axis=1) @ np.linalg.pinv(design)
            found[row] = there @ (hits[seen] / sigma[seen]), np.linalg.norm(there, axis=1)
    return found


@pytest.fixture(scope="module")
def telescope(tmp_path_factory):
    return run(TELESCOPE, tmp_path_factory.mktemp("telescope"))


def test_values_truth_and_sigma_against_numpy(telescope):
    found = telescope.columns("nominal")
    for view, own in (("x", slice(0, 4)), ("y", slice(4, 8))):
        expected = lines(found["x_reco"][:, own], SIGMA[own])
        true = lines(found["x_true"][:, own], SIGMA[own])[:, 0]
        assert np.isnan(expected).any()
        for plane in range(2):
            name = f"{view}_at_{plane}"
            np.testing.assert_allclose(found[name], expected[:, 0, plane], rtol=0, atol=1e-15)
            np.testing.assert_allclose(found[f"sigma_{name}"], expected[:, 1, plane], rtol=1e-12)
            np.testing.assert_allclose(found[f"{name}_true"], true[:, plane], rtol=0, atol=1e-15)
            pull = (found[name] - found[f"{name}_true"]) / found[f"sigma_{name}"]
            assert np.nanstd(pull) == pytest.approx(1, abs=4 / np.sqrt(2 * 3000))
            assert found[f"linear_valid_{name}"][np.isfinite(pull)].all()


def test_toys_have_the_quoted_spread(telescope):
    found = telescope.columns("nominal")
    sigma = found["sigma_x_at_1"][found["toys/muon"]]
    np.testing.assert_allclose(found["toys/toy_sd_x_at_1"], sigma, rtol=4 / np.sqrt(2 * 2000))


def test_the_evidence_and_the_report_name_them(telescope):
    evidence = Evidence.read(telescope.outputs.validation)
    names = [each.observable for each in evidence.points]
    assert names == ["theta", "phi", "tx", "ty", "x_at_0", "y_at_0", "x_at_1", "y_at_1"]
    assert evidence.verdict != "fail"
    page = (telescope.show().folder / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "y(500 mm) = y of the track at z = 500 mm, m" in page
    with open(telescope.outputs.study.parent / "summary.csv", encoding="utf-8", newline="") as file:
        assert [row["observable"] for row in csv.DictReader(file)] == names


def test_they_are_exported(telescope, tmp_path):
    export(telescope.outputs.study, "csv", columns=["all"], output=tmp_path / "muons.csv", units="si")
    with open(tmp_path / "muons.csv", encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert {"x_at_0", "sigma_x_at_0", "y_at_1_true", "confidence95_y_at_1_low"} <= {*header}


def test_recorded_hits_give_the_same(telescope, tmp_path, monkeypatch):
    found = telescope.columns("nominal")
    monkeypatch.chdir(tmp_path)
    with open("hits.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{view}{layer}" for view in "xy" for layer in range(4)])
        writer.writerows([["" if np.isnan(each) else repr(float(each)) for each in row] for row in found["x_reco"]])
    recorded = run(TELESCOPE, tmp_path / "again", source={"kind": "recorded", "file": "hits.csv"})
    again = recorded.columns("nominal")
    for name in ("x_at_0", "sigma_x_at_0", "confidence68_y_at_1"):
        np.testing.assert_array_equal(found[name], again[name])
    assert "x_at_0_true" not in again


def test_a_scan_of_a_height_its_systematic_and_a_target(tmp_path):
    z = [0.0, 0.4, 1.0]
    raw = {
        "study": "s",
        "source": {"muons": 100},
        "detector": {"resolution": 1000},
        "model": {"name": "track", "z": z, "at": ["3 m", 0.5]},
        "toys": {"muons": 2, "per_muon": 100, "experiments": 100},
        "coverage": {"toys_per_bin": 100},
        "scan": {"model.at[0]": [2, "300 cm"]},
        "systematics": {"model.at[0]": "1 mm"},
        "target": {"sigma_x_at_0": "1.5 mm", "vary": "model.at[0]", "between": [1, 10]},
    }
    made = run(raw, tmp_path)
    off = np.array(z) - np.mean(z)
    for height in (2, 3):
        found = made.columns(f"model.at[0]={height}")
        expected = 1e-3 * np.sqrt(1 / 3 + (height - np.mean(z)) ** 2 / (off @ off))
        np.testing.assert_allclose(found["sigma_x_at_0"], expected, rtol=1e-9)
        np.testing.assert_allclose(found["systematic_jacobian_x_at_0"][:, 0], found["slope"], rtol=1e-9)
        np.testing.assert_allclose(found["sigma_shared_x_at_0"], 1e-3 * np.abs(found["slope"]), rtol=1e-9)
        assert (found["sigma_shared_x_at_1"] == 0).all()
    find_target(made.study, tmp_path / "target.json")
    (answer,) = TargetAnswers.read(tmp_path / "target.json").answers
    assert 1e-3 * np.sqrt(1 / 3 + (answer.value - np.mean(z)) ** 2 / (off @ off)) == pytest.approx(1.5e-3, rel=1e-9)
    assert [each.symbol for each in made.of_job.model.observables[3:]] == ["x(at[0])", "x(500 mm)"]


@pytest.mark.slow
def test_both_tracks_of_scatter_through_a_study(tmp_path):
    raw = {
        "study": "s",
        "source": {"muons": 2000, "volume": {"thickness": 0.5, "radiation_length": 0.01}},
        "detector": {"resolution": 2000, "efficiency": 0.95},
        "model": {"name": "scatter", "at": [0.25, 0.0]},
        "toys": {"muons": 50, "per_muon": 2000},
        "coverage": {"toys_per_bin": 1000},
    }
    made = run(raw, tmp_path).show()
    found, evidence = made.columns("nominal"), Evidence.read(made.outputs.validation)
    verdicts = {each.observable: each.verdict for each in evidence.points}
    names = [name for name in verdicts if "_at_" in name]
    assert names == [f"{axis}_{arm}_at_{plane}" for plane in (0, 1) for arm in ("in", "out") for axis in "xy"]
    for name in names:
        pull = (found[name] - found[f"{name}_true"]) / found[f"sigma_{name}"]
        assert np.nanstd(pull) == pytest.approx(1, abs=4 / np.sqrt(2 * 1800))
        assert verdicts[name] != "fail"


def test_adding_a_plane_keeps_hits_and_residuals():
    raw = yaml.safe_load(TELESCOPE)
    without = {**raw, "model": {name: each for name, each in raw["model"].items() if name != "at"}}
    one, other = Study.from_config(raw), Study.from_config(without)
    for kind in ("truth", "reco", "fits"):
        assert one.batch(kind, "nominal").to_json() == other.batch(kind, "nominal").to_json()
    for kind in ("theta", "sigma", "toys", "coverage", "tally"):
        assert one.batch(kind, "nominal").to_json() != other.batch(kind, "nominal").to_json()
    (part,) = json.loads(other.batch("sigma", "nominal").to_json())["parts"]
    assert "at" not in part["config"]["model"]


@pytest.mark.slow
def test_an_honest_study_passes_all_three_questions(tmp_path):
    """With hits missing, and layers that scatter."""
    raw = {
        "study": "s",
        "source": {"muons": 20_000, "beam": {"spread": 0.01, "spot": "5 mm"}},
        "detector": {"sigma": "[72, 72, 72, 100] um", "efficiency": 0.97},
        "model": {"name": "track", "z": "[0, 19.5, 108.8, 128.3] mm", "at": "[60, 500] mm", "theta0": "0.5 mrad"},
        "toys": {"muons": 1000, "per_muon": 5000},
        "coverage": {"toys_per_bin": 100_000},
    }
    answers = Evidence.read(run(raw, tmp_path).outputs.validation).answers
    assert {name: str(each.verdict) for name, each in answers.each.items()} == dict.fromkeys(answers.each, "pass")
    assert len(answers.each) == 3
