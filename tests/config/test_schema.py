import math

import pytest
from configs import load

from pullback.config.dotted_names import numeric_fields, unit_of
from pullback.errors import PullbackError
from pullback.report.gallery import gallery
from pullback.statistics.intervals import half_width, sd_interval
from pullback.study.plan import Study

BASE = {"study": "s"}
OWN = {"file": "m.py", "coordinates": ["x"], "observables": [{"name": "o", "unit": "m"}]}


def refused(raw) -> str:
    with pytest.raises(PullbackError) as caught:
        Study.from_config(raw)
    message = str(caught.value)
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"detektor": {}}, "detektor: unknown key; did you mean detector?"),
        ({"detector": {"resolutoin": 1.0}}, "detector.resolutoin: unknown key; did you mean detector.resolution?"),
        ({"source": {"muon": 3}}, "source.muon: unknown key; did you mean source.muons?"),
        (
            {"source": {"kind": "recorded", "file": "a.csv", "muons": 3}},
            "source.muons: does not go with source.kind: recorded; leave it out",
        ),
        (
            {"toys": {"zzz": 3}},
            "toys.zzz: unknown key; allowed: "
            "toys.experiments, toys.mode, toys.most, toys.muons, toys.n_dig, toys.per_muon",
        ),
        ({"detector": {"resolution": "100"}}, "detector.resolution: is '100'; it should be a valid number"),
        ({"source": {"muons": "1e5"}}, "write 1e5 as 100000"),
        ({"source": {"muons": 10.5}}, "source.muons: is 10.5; it should be a valid integer"),
        ({"source": {"muons": True}}, "source.muons: is True"),
        ({"detector": {"resolution": 0}}, "detector.resolution: is 0; it must be positive"),
        ({"detector": {"resolution": -5.0}}, "detector.resolution: is -5.0; it must be positive"),
        ({"detector": {"resolution": float("inf")}}, "detector.resolution: is inf; it should be a finite number"),
        ({"detector": {"resolution": float("nan")}}, "detector.resolution: is nan; it should be"),
        ({"model": {"dz": 0}}, "model.dz: is 0; it must be positive"),
        (
            {"model": {"name": "two_hits"}},
            "model.name: is 'two_hits'; allowed: one_hit, track, track3d, scatter, own",
        ),
        ({"model": {"name": "track", "dz": 1.0}}, "model.dz: does not go with model.name: track; leave it out"),
        ({"model": {"name": "track", "z": [0.0]}}, "model.z: is [0.0]; it should have at least 2 items, not 1"),
        ({"model": {"name": "track", "z": [1.0, 1.0]}}, "model.z: all layers are at 1 m"),
        ({"model": {"name": "track", "z": [0.0, "1"]}}, "model.z[1]: is '1'; it should be a valid number"),
        ({"model": {"name": "track", "theta0": -0.1}}, "model.theta0: is -0.1; it should be greater than"),
        (
            {"detector": {"resolution": [100.0, 50.0]}},
            "detector.resolution: has 2 values, but model one_hit has 1 layers",
        ),
        (
            {"model": {"name": "track3d"}, "detector": {"efficiency": [0.9, 0.9]}},
            "detector.efficiency: has 2 values, but model track3d has 3 layers",
        ),
        (
            {"model": {"name": "track3d"}, "detector": {"sigma": [0.1] * 6}},
            "detector.sigma: has 6 values, but model track3d has 3 layers; by view, write {x: […], y: […]}, with 3 "
            "values each",
        ),
        ({"detector": {"resolution": [100.0, 0.0]}}, "detector.resolution[1]: is 0.0; it must be positive"),
        ({"detector": {"efficiency": 0.0}}, "detector.efficiency: is 0.0; it should be greater than 0"),
        ({"detector": {"efficiency": 1.5}}, "detector.efficiency: is 1.5; it should be less than or equal to 1"),
        ({"source": {"cosmic": {}}}, "source.cosmic: does not go with model.name: one_hit; leave it out"),
        (
            {"model": {"name": "track"}, "source": {"volume": {}}},
            "source.volume: does not go with model.name: track; leave it out",
        ),
        ({"source": {"beam": {}}}, "source.beam: does not go with model.name: one_hit; leave it out"),
        (
            {"model": {"name": "track"}, "source": {"beam": {}, "cosmic": {}}},
            "source: has both cosmic and beam; give one of them",
        ),
        (
            {"model": {"name": "track"}, "source": {"beam": {"spot": 0.1}, "x_max": 1}},
            "source: x_max and beam.spot both give the positions; leave one out",
        ),
        (
            {"model": {"name": "track"}, "source": {"beam": {"x": 0.1}}},
            "source.beam: x is the centre of a spot; give spot, or leave x out",
        ),
        (
            {"model": {"name": "track"}, "source": {"beam": {"spread": [0.1, -0.1]}}},
            "source.beam.spread[1]: is -0.1; it should be greater than or equal to 0",
        ),
        (
            {"model": {"name": "track"}, "source": {"beam": {"spot": [0.1]}}},
            "source.beam.spot: is [0.1]; it should have at least 2 items, not 1",
        ),
        (
            {"model": {"name": "track"}, "source": {"beam": {"spot": 0.1}}, "scan": {"source.x_min": [0, 0.5]}},
            "scan: source.x_min: no numeric field of that name",
        ),
        (
            {"model": {"name": "scatter"}, "source": {"volume": {"energy_loss": "bethe"}}},
            "source.volume: energy_loss: bethe needs material, or density, z_over_a and excitation",
        ),
        (
            {"model": {"name": "scatter"}, "source": {"volume": {"material": "lead", "radiation_length": 0.01757}}},
            "source.volume: radiation_length = 0.01757 is not that of lead, 0.005612; leave one out",
        ),
        (
            {"model": {"name": "scatter"}, "source": {"volume": {"material": "led"}}},
            "source.volume.material: is 'led'; it should be 'water', 'concrete', 'standard_rock', 'aluminium'",
        ),
        (
            {"model": {"name": "scatter"}, "source": {"volume": {"material": "lead", "density": "1"}}},
            "source.volume.density: is '1'; it should be a valid number (without the quotes)",
        ),
        (
            {"model": {"name": "track"}, "source": {"kind": "recorded", "file": "a.csv", "momentum_column": "p"}},
            "source.momentum_column: only model.material and model.theta0_momentum use it; give one of them",
        ),
        (
            {"source": {"kind": "recorded", "file": "a.csv", "momentum_column": "p"}},
            "source.momentum_column: only model.material and model.theta0_momentum use it; give one of them",
        ),
        (
            {"model": {"name": "track", "theta0": [0.1, 0.2]}},
            "model.theta0: has 2 values, but model track has 3 layers",
        ),
        (
            {"model": {"name": "scatter", "material": [0.1]}},
            "model.material: has 1 values, but model scatter has 6 layers",
        ),
        (
            {"model": {"name": "track", "theta0": 0.1, "material": 0.01}},
            "model: has both material and theta0: the scattering follows from either; give one, and null for the other",
        ),
        ({"model": {"name": "track", "material": 0.01, "theta0_momentum": 3}}, "has both material and theta0_momentum"),
        ({"model": {"name": "track", "momentum": 3}}, "model.momentum: only model.material uses it"),
        (
            {"model": {"name": "track", "material": "0.01 m"}},
            "model.material: is '0.01 m', a length; it must be a thickness",
        ),
        (
            {"source": {"kind": "recorded", "file": "a.csv"}, "model": {"name": "track", "material": 0.01}},
            "model.material: needs model.momentum, or the column of each muon's own in source.momentum_column",
        ),
        (
            {"source": {"kind": "recorded", "file": "a.csv", "z": ["a", "b"]}, "model": {"name": "track"}},
            "source.z: has 2 columns, but model track has 3 layers",
        ),
        (
            {"source": {"kind": "recorded", "file": "a.csv", "z": ["a"]}},
            "source.z: model one_hit has no heights of layers",
        ),
        (
            {
                "source": {"kind": "recorded", "file": "a.csv", "layout": "long", "layer": "k", "z": ["a", "b"]},
                "model": {"name": "track", "z": [0, 1]},
            },
            "source: z is one column in the long layout, with the height of each hit",
        ),
        ({"model": {"name": "track", "fit": "best"}}, "model.fit: is 'best'"),
        ({"model": {"name": "track", "theta0_momentum": 0}}, "model.theta0_momentum: is 0; it should be greater than"),
        (
            {"systematics": {"model.dx": 0.1}},
            "systematics: model.dx: no such number of the model; did you mean model.dz?",
        ),
        (
            {"model": {"name": "track"}, "systematics": {"model.theta0": 0.1}},
            "systematics: model.theta0: the inference does not use it, so it shifts no result",
        ),
        ({"scan": {"model.name": ["one_hit", "track"]}}, "scan: model.name: only numbers can be scanned"),
        (
            {"target": {"sigma_theta": 0.01, "vary": "model.dz", "between": [3, 1]}},
            "target.between: is reversed, [3, 1]; give the smaller number first",
        ),
        (
            {"scan": {"model.dz": ["1e-3"]}},
            "'1e-3' is not a finite number (YAML takes it for text; write 1e-3 as 0.001)",
        ),
        ({"systematics": {"model.dz": -0.1}}, "systematics: model.dz: is -0.1; it must be a standard uncertainty"),
        (
            {"scan": {"model.z[1]": [0.1]}, "model": {"name": "track"}, "systematics": {"model.z[3]": 0.1}},
            "systematics: model.z[3]: no such number of the model; did you mean",
        ),
        (
            {"scan": {"model.z[3]": [0.1]}, "model": {"name": "track"}},
            "scan: model.z[3]: no numeric field of that name",
        ),
        ({"scan": {"systematics.model.dz": [0.1]}, "systematics": {"model.dz": 0.1}}, "no numeric field of that name"),
        (
            {"scan": {"detector.resolution": [50]}, "model": {"name": "track"}, "detector": {"resolution": [1, 2, 3]}},
            "scan: detector.resolution: has 3 numbers; scan one, such as detector.resolution[0], or several in step",
        ),
        ({"source": {"muons": 0}}, "source.muons: is 0; it should be greater than or equal to 1"),
        ({"source": {"x_min": 1.0, "x_max": 1.0}}, "x_max = 1 must be greater than x_min = 1"),
        ({"source": {"kind": "simulatd"}}, "source.kind: is 'simulatd'; allowed: simulated, recorded"),
        ({"source": {"kind": "recorded"}}, "source.file: is missing"),
        ({"source": None}, "source: is empty; it must be a section"),
        ({"toys": 5}, "toys: is 5; it must be a section"),
        ({"toys": {"per_muon": 1}}, "toys.per_muon: is 1"),
        ({"seed": -1}, "seed: is -1"),
        ({"seed": 2**53 + 1}, "seed: is 9007199254740993"),
        ({"source": {"muons": 10**26}}, "source.muons: is 1"),
        ({"detector": {"resolution": 1e-320}}, "detector.resolution: is 1e-320"),
        ({"detector": {"dz": 1.5}}, "detector.dz: unknown key; did you mean model.dz?"),
        (
            {"detector": {"noise": "stripe"}},
            "detector.noise.kind: is 'stripe'; allowed: gaussian, strip, tails, clipped",
        ),
        ({"detector": {"noise": 3}}, "detector.noise: is 3; it must be a section"),
        ({"detector": {"noise": {"pitch": 0.1}}}, "detector.noise.kind: is missing; allowed: gaussian, strip"),
        (
            {"detector": {"noise": {"kind": "tails", "pitch": 0.1}}},
            "detector.noise.pitch: does not go with detector.noise.kind: tails; leave it out",
        ),
        (
            {"detector": {"noise": {"kind": "tails", "fractoin": 0.1}}},
            "detector.noise.fractoin: unknown key; did you mean detector.noise.fraction?",
        ),
        ({"detector": {"noise": {"kind": "strip", "pitch": -0.1}}}, "detector.noise.pitch: is -0.1"),
        (
            {"detector": {"noise": {"kind": "strip", "pitch": 5e-324}}},
            "detector.noise.pitch: is 4.94066e-324; it should be 0, or greater than or equal to 1e-12 m",
        ),
        ({"toys": {"mode": "adaptiv"}}, "toys.mode: is 'adaptiv'; it should be 'fixed' or 'adaptive'"),
        (
            {"toys": {"mode": "adaptive", "most": 10000}},
            "toys.most: is 10000; it should be greater than or equal to 20000",
        ),
        ({"uncertainty": {"n_dig": 0}}, "uncertainty.n_dig: is 0"),
        ({"study": "a" * 300}, "; it should have at most 100 characters"),
        ({"scan": {"detector.resolution": [10**400]}}, "is not a finite number"),
        ({"scan": {"source.muons": [1e30]}}, "source.muons: is 1"),
        ({"validation": {"tolerance": 0.0}}, "validation.tolerance: is 0.0"),
        ({"study": "../out"}, "study: is '../out'; allowed: letters, digits"),
        ({"study": "a/b"}, "study: is 'a/b'"),
        ({"study": ""}, "study: is ''"),
        ({"study": 3}, "study: is 3; it should be a valid string"),
        ({"study": "README.md"}, "results/ already holds"),
        ({"scan": {}}, "scan: is empty"),
        ({"scan": []}, "scan: is []"),
        ({"scan": {"detector.resolution": []}}, "scan: detector.resolution: is an empty list"),
        ({"scan": {"detector.resolution": 50}}, "scan: detector.resolution: is 50; it must be a list"),
        ({"scan": {"detector.resolutions": [50]}}, "did you mean detector.resolution?"),
        ({"scan": {"resolution": [50]}}, "did you mean detector.resolution?"),
        ({"scan": {"study": [1]}}, "scan: study: only numbers can be scanned"),
        ({"scan": {"validation.strict": [1]}}, "scan: validation.strict: only numbers can be scanned"),
        ({"scan": {"compute.batch_cost": [1]}}, "can't be scanned"),
        ({"scan": {"detector.resolution": [50, 50.0]}}, "point detector.resolution=50 is a duplicate"),
        ({"scan": {"detector.resolution": [50, "x"]}}, "'x' is not a finite number"),
        ({"scan": {"detector.resolution": [50, None]}}, "None is not a finite number"),
        ({"scan": {"detector.resolution": [True]}}, "True is not a finite number"),
        ({"scan": {"detector.resolution": [50, -1]}}, "point detector.resolution=-1: detector.resolution: is -1"),
        ({"scan": {"source.muons": [10, 10.5]}}, "source.muons: is 10.5"),
        ({"scan": {"zip": {"detector.resolution": [1, 2], "model.dz": [1]}}}, "must be of equal length"),
        ({"scan": {"zip": {}}}, "scan.zip: is {}"),
        ({"scan": {"zip": {"model.dz": [1]}, "model.dz": [1]}}, "scan: model.dz: is a duplicate; give it once"),
        ({"scan": {"zip": [1], "model.dz": [1]}}, "scan.zip: is [1]; it must map dotted names to lists"),
        ({"scan": {"table": "missing.csv"}}, "scan.table: missing.csv: no such file (relative"),
    ],
)
def test_mistakes_are_refused_in_one_line(change, expected):
    message = refused({**BASE, **change})
    assert expected in message
    assert "\n" not in message


def test_each_mistake_has_its_line():
    message = refused({"study": "s", "model": {"dz": -1}, "detector": {"resolution": 0}, "nonsense": 1})
    assert len(message.splitlines()) == 3


def test_each_mistake_in_a_scan_has_its_line():
    message = refused({"study": "s", "scan": {"detector.resolution": [-1, 0, "abc"], "modl.dz": [1]}})
    assert [line.split(": ")[2] for line in message.splitlines()] == [
        "detector.resolution",
        "modl.dz",
        "point detector.resolution=-1",
        "point detector.resolution=0",
    ]
    message = refused({"study": "s", "scan": {"detector.resolution": [-1, 0, 5, 5]}})
    assert len(message.splitlines()) == 3


def test_the_study_must_have_a_name():
    assert "study: is missing" in refused({})
    assert "must be a mapping" in refused([])


def test_defaults_are_the_documented_study():
    config = load(BASE)
    assert config.source.muons == 100_000
    assert (config.source.x_min, config.source.x_max) == (0.0, 1.0)
    assert config.detector.resolution == 100.0
    assert config.model.dz == 1.5
    assert (config.toys.muons, config.toys.per_muon) == (2000, 10_000)
    assert (config.validation.domain, config.validation.confidence) == (3.0, 0.95)
    assert (config.validation.of_toys, config.validation.of_truth) == (0.05, 0.02)
    assert (config.validation.coverage_tolerance, config.coverage.toys_per_bin) == (0.01, 100_000)


def test_whole_numbers_are_good_for_numbers():
    assert load({**BASE, "detector": {"resolution": 50}}).detector.resolution == 50.0


def test_numeric_fields_are_what_can_be_scanned():
    assert set(numeric_fields(load(BASE))) == {
        "seed",
        "source.muons",
        "source.x_min",
        "source.x_max",
        "detector.resolution",
        "detector.efficiency",
        "model.dz",
        "toys.muons",
        "toys.per_muon",
        "toys.most",
        "toys.n_dig",
        "toys.experiments",
        "uncertainty.n_dig",
        "coverage.toys_per_bin",
        "validation.coverage_tolerance",
        "validation.data_tolerance",
        "validation.confidence",
        "validation.domain",
        "compute.batch_cost",
    }


def test_numbers_in_lists_can_be_scanned():
    """Of a track: each height, and each layer's resolution where they are given one by one."""
    raw = {"model": {"name": "track", "z": [0.0, 1.0]}, "detector": {"resolution": [50, 100]}}
    found = numeric_fields(load({**BASE, **raw, "systematics": {"model.z[0]": 0.1}}))
    assert found["model.z[0]"] == 0.0
    assert found["model.z[1]"] == 1.0
    assert (found["detector.resolution[0]"], found["detector.resolution[1]"]) == (50, 100)
    assert "detector.resolution" not in found
    assert "source.cosmic.zenith_max" in found
    assert not [name for name in found if name.startswith("systematics")]


def test_a_beam_takes_the_place_of_cosmic_muons():
    raw = {"model": {"name": "scatter"}, "source": {"beam": {"spread": [0.1, 0.2], "spot": 0.1}}}
    config = load({**BASE, **raw})
    assert config.source.cosmic is None
    assert config.source.volume is not None
    found = numeric_fields(config)
    assert (found["source.beam.spread[1]"], found["source.beam.spot"]) == (0.2, 0.1)
    assert not {"source.x_min", "source.x_max"} & {*found}
    assert "source.x_min" in numeric_fields(load({**BASE, "model": {"name": "track"}, "source": {"beam": {}}}))


def test_a_named_material_gives_its_constants():
    raw = {"model": {"name": "scatter"}, "source": {"volume": {"material": "lead", "density": None}}}
    config = load({**BASE, **raw})
    volume = config.source.volume
    assert (volume.radiation_length, volume.density, volume.z_over_a, volume.excitation) == (
        0.005612,
        11.35,
        0.39575,
        823.0,
    )
    assert load(config.model_dump()) == config
    assert load({**BASE, "model": {"name": "scatter"}}).source.volume.density is None


def test_any_name_of_an_observable_or_a_parameter_gives_names_of_files():
    """File systems count bytes: at most 255, of which some are left for the name of a file that is being written."""
    for letter, long in (("p", 300), ("p", 4000), ("漢", 80), ("é", 150), ("\U00020000", 60)):
        names = [letter * long, letter * long + "_2"]
        with open("m.py", "w", encoding="utf-8") as stream:
            stream.write(f"def infer(hits, {names[0]}, {names[1]}):\n    return hits * {names[0]}\n")
        model = {
            "file": "m.py",
            "coordinates": ["x"],
            "observables": [{"name": names[0], "unit": "1"}],
            "parameters": dict.fromkeys(names, 1.0),
        }
        scan = {f"model.{name}": [1.0, 2.0] for name in names}
        study = Study.from_config({"study": "s", "model": model, "scan": scan, "compute": {"batch_cost": 10**7}})
        stems = [figure.stem for figure in gallery(study)]
        assert len({*stems}) == len(stems)
        assert len(study.batches) == 4
        for name in (*stems, *study.batches):
            assert len(name.encode()) < 235
            assert name.isprintable()


@pytest.mark.parametrize("confidence", [0.999999, 1e-300])
def test_every_level_of_confidence_gives_intervals_however_many_numbers_are_judged(confidence):
    """The lower tail of a χ² of the fewest degrees of freedom is not 0 yet, whose inverse no figure could show."""
    load({**BASE, "validation": {"confidence": confidence}})
    corrected = 1 - (1 - confidence) / 10**9
    for degrees in (1.0, 1e5):
        limits = sd_interval(1.0, degrees, corrected)
        assert 0 < limits[0] <= limits[1] < math.inf
    assert 0 <= half_width(corrected) < 10


@pytest.mark.parametrize(
    ("name", "unit"),
    [("model.dz", "m"), ("model.z[1]", "m"), ("source.cosmic.momentum", "GeV/c"), ("detector.resolution[0]", "1/m")],
)
def test_the_unit_of_a_number(name, unit):
    assert unit_of(name) == unit_of(name, load(BASE)) == unit


@pytest.mark.parametrize("name", ["seed", "detector.efficiency", "model.nothing", "nothing"])
def test_a_count_and_a_ratio_have_no_unit(name):
    assert unit_of(name) == unit_of(name, load(BASE)) == ""


def test_the_unit_of_a_number_of_the_user_s_own_is_in_the_config():
    config = load(
        {**BASE, "model": {**OWN, "parameters": {"B": 1.0, "z": [0.0, 1.0], "dz": 1.0}, "units": {"B": "T", "z": "cm"}}}
    )
    units = {name: unit_of(name, config) for name in ("model.B", "model.z[1]", "model.dz", "source.x_min")}
    assert units == {"model.B": "T", "model.z[1]": "cm", "model.dz": "", "source.x_min": "m"}


def test_the_unit_of_a_ratio_may_be_the_number():
    observables = [{"name": "b", "unit": 1}]
    model = {"file": "m.py", "coordinates": ["x0"], "observables": observables, "parameters": {"k": 2.0}}
    model = load({"study": "s", "model": {**model, "units": {"k": 1}}}).model
    assert (model.observables[0].unit, model.units) == ("1", {"k": "1"})
