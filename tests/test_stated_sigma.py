"""σ of the hits as people state it, by layer and by view, through whole studies."""

import csv

import numpy as np
import pytest
import yaml
from running import FEW, Run

from pullback.store.target_file import TargetAnswers
from pullback.validation.evidence import Evidence

TELESCOPE = """
study: s
source: {muons: 2000, beam: {spread: 0.001, spot: 5 mm}}
detector: {sigma: {x: "[72, 72, 72, 100] um", y: 14.4 um}}
model: {name: track3d, z: "[0, 19.5, 108.8, 128.3] mm"}
toys: {muons: 20, per_muon: 200}
"""
SIGMA = np.array([72, 72, 72, 100, 14.4, 14.4, 14.4, 14.4]) * 1e-6
Z = np.array([0.0, 0.0195, 0.1088, 0.1283])


def run(raw, folder, **changes):
    raw = yaml.safe_load(raw) if isinstance(raw, str) else raw
    return Run({**FEW, **raw, **changes}, folder).make()


@pytest.fixture(scope="module")
def telescope(tmp_path_factory):
    return run(TELESCOPE, tmp_path_factory.mktemp("telescope"))


def test_sigma_is_one_over_the_resolution(tmp_path):
    raw = {"study": "s", "source": {"muons": 1000}, "toys": {"muons": 20, "per_muon": 200}, "model": {"name": "track"}}
    one, other = (
        run({**raw, "detector": detector}, tmp_path / name).columns("nominal")
        for name, detector in (("one", {"resolution": [100, 50, 200]}), ("other", {"sigma": ["1 cm", 0.02, "5 mm"]}))
    )
    for name in ("x_reco", "theta", "sigma_theta", "sigma_slope", "confidence95_theta"):
        np.testing.assert_array_equal(one[name], other[name])


def test_each_view_has_its_own_noise_and_weights(telescope):
    found = telescope.columns("nominal")
    noise = found["x_reco"] - found["x_true"]
    np.testing.assert_allclose(noise.std(axis=0), SIGMA, rtol=0.07)  # 4 standard errors
    for view, name in enumerate(("tx", "ty")):
        own = slice(4 * view, 4 * view + 4)
        fit, covariance = np.polyfit(Z, found["x_reco"][:, own].T, 1, w=1 / SIGMA[own], cov="unscaled")
        np.testing.assert_allclose(found[name], fit[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[f"sigma_{name}"], covariance[0, 0].item() ** 0.5, rtol=1e-9)


def test_recorded_hits_with_the_same_sigma_give_the_same(telescope, tmp_path, monkeypatch):
    found = telescope.columns("nominal")
    monkeypatch.chdir(tmp_path)
    with open("hits.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{view}{layer}" for view in "xy" for layer in range(4)])
        writer.writerows([[repr(float(each)) for each in row] for row in found["x_reco"]])
    again = run(TELESCOPE, tmp_path / "again", source={"kind": "recorded", "file": "hits.csv"}).columns("nominal")
    for name in ("theta", "phi", "tx", "ty", "sigma_theta", "sigma_tx", "sigma_ty", "confidence68_theta"):
        np.testing.assert_array_equal(found[name], again[name])


def test_the_data_agree_and_the_report_says_what_is_stated(telescope):
    (fit,) = Evidence.read(telescope.outputs.validation).fits
    assert fit.verdict != "fail"
    page = (telescope.show().folder / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "σ<sub>x</sub> = 72 µm, 72 µm, 72 µm, 100 µm, σ<sub>y</sub> = 14.4 µm" in page
    assert "72 µm, 14.4 µm</td>" in page
    assert "100 µm, 14.4 µm</td>" in page


def test_a_scan_a_target_and_slopes_by_sigma_of_a_view(tmp_path):
    raw = {
        **yaml.safe_load(TELESCOPE),
        "scan": {"detector.sigma.y": ["14.4 um", "28.8 um"]},
        "target": {"sigma": {"tx": 5e-4}, "vary": "detector.sigma.x[0]"},
    }
    made = run(raw, tmp_path).show()
    first, second = (made.columns(point.label)["sigma_ty"] for point in made.study.points)
    np.testing.assert_allclose(second, 2 * first, rtol=1e-9)
    entry = Evidence.read(made.outputs.validation).points[2]
    assert entry.observable == "tx"
    slopes = entry.design
    assert slopes["detector.sigma.y"] == pytest.approx(0, abs=1e-12)
    # σ of a slope is homogeneous of first order in the widths of its own view.
    own = sum(width * slopes[f"detector.sigma.x[{layer}]"] for layer, width in enumerate(SIGMA[:4]))
    assert own == pytest.approx(entry.quoted.overall.mean_sigma, rel=1e-6)
    answer = TargetAnswers.read(tmp_path / "target.json").answers[0]
    width = np.array([answer.value, *SIGMA[1:4]])
    _, covariance = np.polyfit(Z, np.zeros(4), 1, w=1 / width, cov="unscaled")
    assert covariance[0, 0] ** 0.5 == pytest.approx(5e-4, rel=1e-6)
