import math
import subprocess
import sys

import pytest
import yaml

from pullback.config.dotted_names import numeric_fields
from pullback.config.named_numbers import unit_by_name
from pullback.config.schema import StudyConfig
from pullback.errors import ConfigError
from pullback.study.plan import Study

PLAIN = """
study: s
detector: {resolution: [10000, 5000, 100]}
model: {name: track3d, z: [0, 0.0195, 0.1088], theta0: 0.0005, theta0_momentum: 4}
source: {cosmic: {momentum: 4, zenith_max: 0.5}, x_min: -0.02, x_max: 0.02}
scan: {model.theta0: [0.0001, 0.001], "detector.resolution[0]": [10000.0, 20000.0]}
systematics: {"alignment.x[1]": 0.00002, "model.z[2]": 0.001, correlations: {"alignment.x[1], model.z[2]": 0.5}}
target: {sigma: {theta: 0.0005}, vary: "model.z[2]", between: [0.02, 1]}
"""
WITH_UNITS = """
study: s
detector: {resolution: [10 /mm, 5 /mm, 100]}
model: {name: track3d, z: "[0, 19.5, 108.8] mm", theta0: 0.5 mrad, theta0_momentum: 4000 MeV}
source: {cosmic: {momentum: 4 GeV, zenith_max: 500 mrad}, x_min: -2 cm, x_max: 20 mm}
scan: {model.theta0: [0.1 mrad, 1 mrad], "detector.resolution[0]": "[10, 20] /mm"}
systematics: {"alignment.x[1]": 20 um, "model.z[2]": 1 mm, correlations: {"alignment.x[1], model.z[2]": 0.5}}
target: {sigma_theta: 0.5 mrad, vary: "model.z[2]", between: [20 mm, 1 m]}
"""
OWN = """
import torch


def infer(hits, B):
    return (B * hits[:, :1]).asinh()
"""


def test_a_config_with_units_is_the_one_without():
    plain, written = (Study.from_config(yaml.safe_load(text)) for text in (PLAIN, WITH_UNITS))
    assert written.config == plain.config
    assert [point.label for point in written.points] == [point.label for point in plain.points]
    assert written.digest == plain.digest


@pytest.mark.parametrize("form", [{"zip": {"model.dz": ["1 m", "150 cm"]}}, {"model.dz": ["1 m", 1.5]}])
def test_scans_of_both_forms(form):
    points = Study.from_config({"study": "s", "scan": form}).points
    assert [point.values["model.dz"] for point in points] == [1.0, 1.5]


def test_an_own_model_has_the_units_that_it_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    raw = {
        "study": "s",
        "model": {
            "file": "own.py",
            "coordinates": [{"name": "x0"}, {"name": "t", "unit": "rad"}],
            "observables": [{"name": "bend", "unit": "rad"}],
            "parameters": {"B": "1.5 T"},
            "units": {"B": "T"},
        },
        "scan": {"model.B": ["0.5 T", 1]},
        "systematics": {"alignment.x[0]": "1 mm", "alignment.t": "2 mrad"},
        "target": {"sigma": {"bend": "1 mrad"}, "vary": "model.B", "between": ["0.1 T", "9 T"]},
    }
    study = Study.from_config(raw)
    assert study.config.model.parameters == {"B": 1.5}
    assert [point.values["model.B"] for point in study.points] == [0.5, 1]
    assert study.config.systematics == {"alignment.x[0]": 0.001, "alignment.t": 0.002}
    assert study.config.target.sigma == {"bend": 0.001}
    assert study.config.target.between == [0.1, 9.0]


@pytest.mark.parametrize(
    ("given", "expected"), [("1 mrad", 0.001), ("0.1 rad", 0.1), ("90 deg", math.pi / 2), (0.002, 0.002)]
)
def test_the_sigma_of_a_slope_is_that_of_an_angle_and_no_tangent(given, expected):
    """A beam's slope at 0.1 rad is tan 0.1; a σ of 0.1 rad is a change of the angle, and of the slope at θ = 0."""
    target = {"sigma": {"slope": given}, "vary": "detector.sigma"}
    raw = {"study": "s", "model": {"name": "track"}, "detector": {"sigma": "20 um"}, "target": target}
    assert Study.from_config(raw).config.target.sigma == {"slope": expected}


TRACK = {"study": "s", "model": {"name": "track"}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"target": {"sigma": {"x": "5 mm"}, "vary": "model.dz"}},
            "target.sigma.x: no such observable; the model has",
        ),
        (
            {"target": {"sigma_teta": "5 mm", "vary": "model.dz"}},
            "target.sigma.teta: no such observable; did you mean theta?",
        ),
        (
            {"target": {"sigma": {"theta": "5 mrad"}, "vary": "model.d", "between": ["1 GeV", "2 GeV"]}},
            "target.vary: model.d: no such number; did you mean model.dz?",
        ),
        ({"scan": {"detector.sigmaa": ["1 mm", "2 mm"]}}, "scan: detector.sigmaa: no numeric field of that name; did"),
        ({"scan": {"model.zz": "[1, 2] mm"}}, "scan: model.zz: no numeric field of that name; did you mean model.dz?"),
        ({"scan": {"zip": {"model.zz": ["1 mm"], "seed": [1]}}}, "scan: model.zz: no numeric field of that name"),
        ({**TRACK, "scan": {"model.dz": ["1 GeV"]}}, "scan: model.dz: no numeric field of that name"),
        ({**TRACK, "scan": {"model.z[7]": ["1 GeV"]}}, "scan: model.z[7]: no numeric field of that name"),
        ({"systematics": {"model.zz": "1 mm"}}, "systematics: model.zz: no such number of the model; did you mean"),
        ({"systematics": {"alignment.z": "1 GeV"}}, "systematics: alignment.z: no such number of the model; did you"),
        ({**TRACK, "systematics": {"model.z[7]": "1 GeV"}}, "systematics: model.z[7]: no such number of the model"),
        ({"systematics": {"model.dz": "1 GeV"}}, "systematics: model.dz: is '1 GeV', a momentum; it must be a length"),
        ({"scan": {"model.dz": ["1 mm", "1 GeV"]}}, "scan: model.dz: is '1 GeV', a momentum; it must be a length"),
    ],
)
def test_an_unknown_name_is_told_and_the_unit_only_of_a_known_one(raw, expected):
    with pytest.raises(ConfigError) as caught:
        Study.from_config({"study": "s", **raw})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["one_hit", "track", "track3d", "scatter"])
@pytest.mark.parametrize("noise", ["gaussian", "strip", "tails", "clipped"])
def test_every_number_has_a_unit_or_none_that_can_be_written(model, noise):
    """A number that can be scanned, but whose unit is unknown, could never be given with one."""
    raw = {"study": "s", "model": {"name": model}, "detector": {"noise": {"kind": noise}}}
    config = Study.from_config(raw).config
    unit = unit_by_name(StudyConfig, raw)
    assert {name for name in numeric_fields(config) if unit(name) is None} == set()


def test_a_length_is_no_sigma_of_a_slope():
    target = {"sigma": {"slope": "1 mm"}, "vary": "detector.resolution"}
    with pytest.raises(ConfigError, match=r"slope: is '1 mm', a length; it must be a σ of a slope, as a number alone"):
        Study.from_config({"study": "s", "model": {"name": "track"}, "target": target})


def test_planning_does_not_load_torch():
    code = """
import sys
from pullback.study.plan import Study
Study.from_config({"study": "s", "target": {"sigma": {"theta": "1 mrad"}, "vary": "model.dz"}})
print("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
