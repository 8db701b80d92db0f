"""One look at a config tells all mistakes in it, each once and on a line of its own."""

import time
from pathlib import Path

import pytest
from configs import load
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.errors import PullbackError
from pullback.study.plan import Study
from pullback.study.scan import MOST_POINTS, expand


def told(raw):
    with pytest.raises(PullbackError) as caught:
        Study.from_config(raw)
    lines = str(caught.value).splitlines()
    assert len(set(lines)) == len(lines)
    return lines


def assert_told(raw, *expected):
    """There is a line for each, and no other."""
    lines = told(raw)
    assert len(lines) == len(expected), lines
    for words in expected:
        assert sum(words in line for line in lines) == 1, (words, lines)


TRACK = {"name": "track", "z": [0.0, 0.5, 1.0]}


def test_of_fields_of_what_does_not_go_together_and_of_a_scan():
    raw = {
        "study": "s",
        "source": {"muons": 0, "volume": {}},
        "detector": {"resolution": [100, 50], "efficiency": 95},
        "model": TRACK,
        "systematics": {"model.z[7]": 0.1, "model.z[1]": -1},
        "toys": {"per_muons": 3},
        "scan": {"model.theta0": [0.1, -1, "1e-2"], "modl.z[0]": [1]},
    }
    assert_told(
        raw,
        "config: source.muons: is 0",
        "config: source.volume: does not go with model.name: track",
        "config: detector.resolution: has 2 values, but model track has 3 layers",
        "config: detector.efficiency: is 95",
        "config: systematics: model.z[7]: no such number",
        "config: systematics: model.z[1]: is -1",
        "config: toys.per_muons: unknown key",
        "config: scan: point model.theta0=-1: model.theta0: is -1",
        "config: scan: model.theta0: '1e-2' is not a finite number",
        "config: scan: modl.z[0]: no numeric field of that name",
    )


def test_a_mistake_does_not_hide_the_others_of_its_section():
    raw = {"study": "s", "source": {"muons": "many", "x_min": 2.0, "x_max": 1.0}, "compute": {"batch_cost": 0}}
    raw["compute"]["device_random"] = True
    assert_told(
        raw,
        "config: source.muons: is 'many'",
        "config: source: x_max = 1 must be greater than x_min = 2",
        "config: compute.batch_cost: is 0",
        "config: compute: device_random needs device: cuda, not cpu",
    )


def test_a_study_without_a_name_has_its_other_mistakes_told():
    raw = {"detector": {"resolution": [1, 2]}, "scan": {"model.d": [1]}}
    assert_told(
        raw, "config: study: is missing", "detector.resolution: has 2 values", "scan: model.d: no numeric field"
    )
    assert_told({**raw, "study": "a/b"}, "study: is 'a/b'", "detector.resolution: has 2 values", "scan: model.d: no")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # Nothing is known of the layers of a model that there is not, or whose heights are wrong.
        ({"model": {"name": "trac"}, "detector": {"resolution": [1, 2]}, "source": {"cosmic": {}}}, "model.name: is"),
        (
            {"model": {"name": "trac"}, "scan": {"model.z[1]": [0.5]}, "systematics": {"model.z[1]": 1}},
            "model.name: is",
        ),
        ({"model": {"name": "track", "z": "abc"}, "detector": {"resolution": [1, 2]}}, "model.z: is 'abc'"),
        ({"model": {"name": "track", "z": [0, 1, 2, "a"]}, "scan": {"model.z[3]": [1]}}, "model.z[3]: is 'a'"),
        ({"detector": {"resolution": ["a", 2]}, "scan": {"detector.resolution[1]": [3]}}, "resolution[0]: is 'a'"),
        ({"source": {"x_max": "a", "x_min": 5.0}}, "source.x_max: is 'a'"),
        ({"source": {"x_max": "a"}, "scan": {"source.x_min": [0.5, 5.0]}}, "source.x_max: is 'a'"),
        ({"model": {"name": "scatter", "z_upper": "a"}, "source": {"volume": {"z": 5.0}}}, "model.z_upper: is 'a'"),
        ({"source": {"kind": "recorded"}, "scan": {"source.muons": [5]}}, "source.file: is missing"),
        ({"model": {"file": "m.py", "observables": [{"name": "a"}]}, "systematics": {"model.b": 1}}, "coordinates: is"),
        ({"target": {"sigma_theta": 0.1, "vary": 3}}, "target.vary: is 3"),
    ],
)
def test_what_rests_on_a_mistake_is_not_told(raw, expected):
    lines = told({"study": "s", **raw})
    assert any(expected in line for line in lines)
    assert len(lines) == 1 + ("m.py" in str(raw)), lines  # of the user's own model a unit is missing too


def test_a_mistake_of_many_points_is_told_once():
    scan = {"source.volume.thickness": [0.1, 3.0], "detector.resolution": [50, -1, 100]}
    assert_told(
        {"study": "s", "model": {"name": "scatter"}, "scan": scan},
        "detector.resolution: is -1",
        "model.z_upper: 0.6 m is below the volume's top at 1.5 m",
        "model.z_lower: -0.6 m is above the volume's bottom at -1.5 m",
    )
    flat = {"study": "s", "model": {"name": "track", "z": [0.0, 1.0]}, "scan": {"model.z[1]": [0, 0.5], "seed": [1, 2]}}
    assert_told(flat, "point model.z[1]=0,seed=1: model.z: all layers are at 0 m")


def test_all_of_a_zip_and_of_lists_that_are_none():
    scan = {"zip": {"model.dz": [1.0, "x"], "detector.resolutoin": [1], "toys.muons": 5, "seed": []}}
    assert_told(
        {"study": "s", "scan": scan},
        "scan.zip: the lists must be of equal length, but model.dz has 2, detector.resolutoin has 1",
        "scan: model.dz: 'x' is not a finite number",
        "scan: detector.resolutoin: no numeric field",
        "scan.zip: toys.muons: is 5; it must be a list",
        "scan.zip: seed: is an empty list",
    )


def test_all_of_a_table():
    Path("scan.csv").write_text("model.d,detector.resolution\n1,2\n3\n4,x\n5,-6\n1,2\n")
    assert_told(
        {"study": "s", "toys": {"muons": 0}, "scan": {"table": "scan.csv"}},
        "toys.muons: is 0",
        "scan: model.d: no numeric field",
        "scan.csv: row 2 has 1 cells",
        "scan.csv: row 3, column detector.resolution: 'x' is not a number",
        "detector.resolution: is -6",
    )


def test_of_a_target_and_systematics_beside_a_scan():
    raw = {"study": "s", "target": {"sigma_phi": 0.1, "vary": "model.dz"}, "scan": {"model.dz": [-1]}}
    assert_told(
        {**raw, "systematics": {"a": 1}}, "target.sigma.phi: no such observable", "dz: is -1", "systematics: a: no such"
    )


def test_many_mistakes_are_told_in_part():
    lines = told({"study": "s", "scan": {"detector.resolution": [-1.0 - i for i in range(5000)]}})
    assert len(lines) == 31
    assert lines[0] == ("config: scan: point detector.resolution=-1: detector.resolution: is -1.0; it must be positive")
    assert lines[-1] == "and more; correct these first"


FAULTS = {
    "muons": ({"source": {"muons": 0}}, "config: source.muons: is 0"),
    "range": ({"source": {"x_min": 2.0}}, "config: source: x_max = 1 must be greater than x_min = 2"),
    "cosmic": ({"source": {"cosmic": {}}}, "config: source.cosmic: does not go with"),
    "efficiency": ({"detector": {"efficiency": 0}}, "config: detector.efficiency: is 0"),
    "layers": ({"detector": {"resolution": [1, 2]}}, "config: detector.resolution: has 2 values"),
    "key": ({"toys": {"muon": 0}}, "config: toys.muon: unknown key"),
    "section": ({"validation": 5}, "config: validation: is 5"),
    "systematic": ({"systematics": {"model.dx": 1}}, "config: systematics: model.dx: no such number"),
    "target": ({"target": {"vary": "model.dx", "sigma_theta": 1}}, "config: target.vary: model.dx: no such number"),
    "name": ({"scan": {"model.dx": [1]}}, "config: scan: model.dx: no numeric field"),
    "value": ({"scan": {"model.dz": [1.0, "a"]}}, "config: scan: model.dz: 'a' is not a finite number"),
    "impossible": ({"scan": {"seed": [1, -1]}}, "seed: is -1"),
}


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(FAULTS)), min_size=1))
def test_any_mistakes_together(names):
    raw = {"study": "s"}
    for name in names:
        for section, value in FAULTS[name][0].items():
            raw[section] = {**raw.get(section, {}), **value} if isinstance(value, dict) else value
    assert_told(raw, *(FAULTS[name][1] for name in names))


@pytest.mark.parametrize(
    "scan",
    [
        {"model.dz": [1.0 + i / 1000 for i in range(1000)], "seed": list(range(1001))},
        {f"model.z[{i}]": [0.1 + i + j / 100 for j in range(10)] for i in range(40)},
        {"zip": {"seed": list(range(MOST_POINTS + 1))}},
    ],
)
def test_a_scan_that_is_too_long_is_refused_at_once(scan):
    start = time.process_time()
    (line,) = told({"study": "s", "scan": scan})
    assert time.process_time() - start < 2
    assert line.startswith("config: scan: has 1")
    assert f"points, and a study at most {MOST_POINTS}; give fewer values, " in line


def test_a_table_that_is_too_long_is_not_read_to_its_end():
    with open("scan.csv", "w", encoding="utf-8") as file:
        file.write("seed\n")
        file.writelines(f"{index}\n" for index in range(MOST_POINTS + 1))
        file.write("not a number\n")
    (line,) = told({"study": "s", "scan": {"table": "scan.csv"}})
    assert line.startswith(f"config: scan.table: scan.csv: has more than {MOST_POINTS} rows")


def test_the_longest_scan_is_counted_right(monkeypatch):
    monkeypatch.setattr("pullback.study.scan.MOST_POINTS", 6)
    assert len(expand(load({"study": "s", "scan": {"seed": [1, 2, 3], "model.dz": [1.0, 2.0]}}))) == 6
    with pytest.raises(PullbackError, match="has 7 points, and a study at most 6"):
        expand(load({"study": "s", "scan": {"seed": list(range(7))}}))
