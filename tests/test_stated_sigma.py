"""σ of the hits as people state it, by layer and by view, through whole studies."""

import csv

import numpy as np
import pytest
import yaml
from running import FEW, Run

from pullback.store.study_file import open_study
from pullback.validation.evidence import Evidence

TELESCOPE = """
study: s
source: {muons: 2000, beam: {spread: 0.001, spot: 5 mm}}
detector: {sigma: {x: "[72, 72, 72, 100] um", y: 14.4 um}}
model: {name: track3d, z: "[0, 19.5, 108.8, 128.3] mm"}
toys: {muons: 20, per_muon: 200}
"""
COLUMNS = ("theta", "phi", "tx", "ty", "sigma_theta", "sigma_tx", "sigma_ty", "confidence68_theta")


def run(raw, folder, **changes):
    raw = yaml.safe_load(raw) if isinstance(raw, str) else raw
    return Run({**FEW, **raw, **changes}, folder).make()


def columns(run):
    with open_study(run.outputs.study) as study:
        return {name: study["nominal"][name][()] for name in ("x_reco", *COLUMNS)}


@pytest.fixture(scope="module")
def telescope(tmp_path_factory):
    return run(TELESCOPE, tmp_path_factory.mktemp("telescope"))


def test_sigma_is_one_over_the_resolution(tmp_path):
    raw = {"study": "s", "source": {"muons": 1000}, "toys": {"muons": 20, "per_muon": 200}, "model": {"name": "track"}}
    found = []
    for name, detector in {"one": {"resolution": [100, 50, 200]}, "other": {"sigma": ["1 cm", 0.02, "5 mm"]}}.items():
        with open_study(run({**raw, "detector": detector}, tmp_path / name).outputs.study) as study:
            found.append(
                {each: study["nominal"][each][()] for each in ("x_reco", "theta", "sigma_theta", "sigma_slope")}
            )
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name])


def test_each_view_has_its_own_noise_and_weights(telescope):
    found = columns(telescope)
    with open_study(telescope.outputs.study) as study:
        noise = found["x_reco"] - study["nominal/x_true"][()]
    expected = np.array([72, 72, 72, 100, 14.4, 14.4, 14.4, 14.4]) * 1e-6
    np.testing.assert_allclose(noise.std(axis=0), expected, rtol=0.07)  # 4 standard errors
    z = np.array([0.0, 0.0195, 0.1088, 0.1283])
    for view, name in enumerate(("tx", "ty")):
        width = expected[4 * view : 4 * view + 4]
        own = found["x_reco"][:, 4 * view : 4 * view + 4]
        fit, covariance = np.polyfit(z, own.T, 1, w=1 / width, cov="unscaled")
        np.testing.assert_allclose(found[name], fit[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[f"sigma_{name}"], covariance[0, 0] ** 0.5, rtol=1e-9)


def test_recorded_hits_of_the_same_sigma_give_the_same(telescope, tmp_path, monkeypatch):
    found = columns(telescope)
    monkeypatch.chdir(tmp_path)
    names = [f"{view}{layer}" for view in "xy" for layer in range(4)]
    with open("hits.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[repr(float(each)) for each in row] for row in found["x_reco"]])
    again = columns(run(TELESCOPE, tmp_path / "again", source={"kind": "recorded", "file": "hits.csv"}))
    for name, values in found.items():
        np.testing.assert_array_equal(values, again[name])


def test_the_data_agree_and_the_report_says_what_is_stated(telescope):
    (fit,) = Evidence.read(telescope.outputs.validation).fits
    assert fit.verdict != "fail"
    page = telescope.show().report.read_text(encoding="utf-8")
    assert "σ<sub>x</sub> = 72 µm, 72 µm, 72 µm, 100 µm, σ<sub>y</sub> = 14.4 µm" in page
    assert "<td>72 µm, 14.4 µm</td>" in page


def test_a_scan_a_target_and_slopes_by_sigma_of_a_view(tmp_path):
    raw = {
        **yaml.safe_load(TELESCOPE),
        "scan": {"detector.sigma.y": ["14.4 um", "28.8 um"]},
        "target": {"sigma": {"tx": "0.5 mrad"}, "vary": "detector.sigma.x[1]"},
    }
    made = run(raw, tmp_path)
    with open_study(made.outputs.study) as study:
        sigma = [study[label]["sigma_ty"][()] for label in sorted(study)]
    np.testing.assert_allclose(sigma[1], 2 * sigma[0], rtol=1e-9)
    first = Evidence.read(made.outputs.validation).points[2]
    assert first.observable == "tx"
    slopes = {each.parameter: each for each in first.design}
    assert slopes["detector.sigma.y"].slope == pytest.approx(0, abs=1e-12)
    # σ of the slope is homogeneous of first order in the widths of its own view.
    own = sum(value * slopes[f"detector.sigma.x[{layer}]"].slope for layer, value in enumerate([72e-6] * 3 + [100e-6]))
    assert own == pytest.approx(first.quoted.overall.mean_sigma, rel=1e-9)
