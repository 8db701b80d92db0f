"""Efficiency by view through whole studies: a strip telescope loses the hits of x and y independently."""

import numpy as np
import pytest
from running import ENOUGH, FEW, Run, slow

from pullback.detector import response
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

OF_X, OF_Y = 0.98, [0.9, 0.6, 0.95]
RAW = {
    "study": "s",
    "source": {"muons": 4000},
    "detector": {"resolution": 1000, "efficiency": {"x": OF_X, "y": OF_Y}},
    "model": {"name": "track3d"},
    "toys": {"muons": 4, "per_muon": 100},
    **FEW,
}
NAMES = [f"{view} of layer {layer}" for view in "xy" for layer in range(3)]


@pytest.fixture(scope="module")
def strips(tmp_path_factory):
    return Run(RAW, tmp_path_factory.mktemp("strips")).make()


def test_hits_are_lost_as_often_as_stated(strips):
    seen = np.isfinite(strips.columns("nominal")["x_reco"])
    expected = np.array([OF_X] * 3 + OF_Y)
    np.testing.assert_array_less(abs(seen.mean(axis=0) - expected), 4 * np.sqrt(expected * (1 - expected) / 4000))
    both = (seen[:, 1] & seen[:, 4]).mean()
    assert both == pytest.approx(OF_X * 0.6, abs=4 * np.sqrt(0.588 * 0.412 / 4000))


def test_each_view_of_each_layer_is_compared(strips):
    (entry,) = Evidence.read(strips.outputs.validation).smeared
    assert [each.layer for each in entry.hits] == [*NAMES, "all layers"]
    assert [each.expected for each in entry.hits] == pytest.approx([OF_X] * 3 + OF_Y + [OF_X**3 * np.prod(OF_Y)])
    assert entry.verdict == "pass"


def test_views_that_are_exchanged_fail(strips, tmp_path):
    right = response.losses_of

    def exchanged(detector, model):
        losses = right(detector, model)
        return [each._replace(efficiency=losses[(i + 3) % 6].efficiency) for i, each in enumerate(losses)]

    wrong = strips.sabotaged(tmp_path, "reco", response, "losses_of", exchanged)
    evidence = Evidence.read(wrong.outputs.validation)
    assert evidence.smeared[0].verdict == "fail"
    assert any(reason.startswith("y of layer 1: 9") for reason in evidence.smeared[0].reasons), evidence.smeared[
        0
    ].reasons


def test_the_report_says_it(strips):
    page = (strips.show().folder / "report.html").read_text(encoding="utf-8")
    assert "efficiency 0.98 in x, 0.9, 0.6, 0.95 in y" in page
    assert "0.98, 0.6</td>" in page


def test_scans_and_targets_by_view():
    scan = {"detector.efficiency.x": [0.9, 1.0], "detector.efficiency.y[1]": [0.5, 0.7]}
    target = {"sigma_tx": 0.002, "vary": "detector.efficiency.y[2]"}
    study = Study.from_config({**RAW, "scan": scan, "target": target})
    last = study.points[-1].config.detector
    assert last.efficiencies == {"efficiency.x": 1.0, "efficiency.y": [0.9, 0.7, 0.95]}
    assert Study.from_json(study.to_json()).points == study.points


MISTAKES = {
    "one view": ({"x": 0.9}, "detector: efficiency: has no y; give both views"),
    "another view": ({"x": 0.9, "y": 0.9, "z": 1}, "detector.efficiency.z: is 'z'; it should be 'x' or 'y'"),
    "layers": ({"x": [0.9, 0.9], "y": 1}, "detector.efficiency.x: has 2 values, but model track3d has 3 layers"),
    "too large": ({"x": 95, "y": 1}, "detector.efficiency.x: is 95; it should be less than or equal to 1"),
    "none": ({}, "detector: efficiency: has no x and no y; give both views"),
    "a fraction": ({"x": 1, "y": "95 %"}, "detector.efficiency.y: is '95 %'; it should be a valid number (a fraction"),
    "views of views": (
        {"x": {"x": 1, "y": 1}, "y": 1},
        "detector.efficiency.x: is {'x': 1, 'y': 1}; it should be a valid number",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    efficiency, message = MISTAKES[name]
    with pytest.raises(Exception, match=r"^config: ") as error:
        Study.from_config({**RAW, "detector": {"efficiency": efficiency}})
    (line,) = str(error.value).splitlines()
    assert message in line


def test_a_model_of_one_view_has_none():
    with pytest.raises(Exception, match=r"detector\.efficiency: has views, but model track has none"):
        Study.from_config({**RAW, "model": {"name": "track"}})


ROTATED = {
    "study": "s",
    "source": {"muons": 2000, "beam": {"spread": 5e-3, "spot": 5e-3}},
    "model": {"name": "track3d", "z": [0.0, 0.05, 0.11]},
    "detector": {
        "sigma": {"x": "72 um", "y": "14.4 um"},
        "efficiency": {"x": 0.9, "y": [0.95, 0.8, 1]},
        "misalignment": {"rotation": "[0, -20, 0] mrad", "y": "[0, 30, 0] um"},
    },
    "alignment": {},
    "toys": {"muons": 4, "per_muon": 100},
}


@pytest.fixture(scope="module")
def rotated(tmp_path_factory):
    """A study in which alignment rotates two layers, whose views lose their hits independently."""
    return Run(ROTATED, tmp_path_factory.mktemp("rotated")).make()


def test_hits_that_a_rotation_cannot_correct_are_expected_to_be_lost(rotated):
    (entry,) = Evidence.read(rotated.outputs.validation).smeared
    expected = {"x of layer 0": 0.9, "x of layer 2": 0.9, "y of layer 0": 0.95, "y of layer 2": 1.0}
    expected |= {"layer 1": 0.9 * 0.8, "all layers": 0.9**3 * 0.95 * 0.8}
    assert {each.layer: each.expected for each in entry.hits} == pytest.approx(expected)
    seen = np.isfinite(rotated.columns("nominal")["x_reco"])
    assert (seen[:, 1] == seen[:, 4]).all()
    assert seen[:, 1].mean() == pytest.approx(0.72, abs=4 * np.sqrt(0.72 * 0.28 / 2000))
    assert {each.layer for each in entry.hits if each.found.verdict == "fail"} == set()


def test_another_loss_of_a_rotated_layer_fails(rotated, tmp_path):
    right = response.losses_of

    def less(detector, model):
        return [
            each._replace(efficiency=0.65) if each.name == "y of layer 1" else each for each in right(detector, model)
        ]

    wrong = rotated.sabotaged(tmp_path, "reco", response, "losses_of", less)
    (entry,) = Evidence.read(wrong.outputs.validation).smeared
    assert entry.verdict == "fail"
    failed = {each.layer for each in entry.hits if each.found.verdict == "fail"}
    assert failed == {"layer 1", "all layers"}, entry.reasons


@pytest.mark.parametrize("muons", [slow(30_000)])
def test_a_rotated_telescope_that_loses_views_passes(tmp_path, muons):
    raw = {**ROTATED, **ENOUGH, "toys": {"per_muon": 20_000}, "source": {**ROTATED["source"], "muons": muons}}
    found = Evidence.read(Run(raw, tmp_path).make().outputs.validation).answers
    assert {str(each.verdict) for each in found.each.values()} == {"pass"}
