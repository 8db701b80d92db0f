import pytest
import yaml
from configs import load

from pullback.errors import PullbackError
from pullback.study.plan import Study


def refused(raw) -> list[str]:
    with pytest.raises(PullbackError) as caught:
        load({"study": "s", **raw})
    return str(caught.value).splitlines()


CASES = """
# another name for a key, or the right name in another place
{detector: {sigma: 0.01, resolution: 100}}
    detector: has both sigma and resolution, which is 1/σ; give one of them
{detector: {sigma: {x: 0.01}}, model: {name: track3d}}
    detector: sigma: has no y; give both views
{detector: {sigma: {x: 0.01, y: 0.01}}, model: {name: track}}
    detector.sigma: has views, but model track has none; set model.name: track3d, or give a number
{detector: {sigma: {x: [1 um, 2 um], y: 1 um}}, model: {name: track3d}}
    detector.sigma.x: has 2 values, but model track3d has 3 layers
{detector: {sigma: 0}}
    detector.sigma: is 0; it must be positive
{detector: {sigma: -150 um}}
    detector.sigma: is -150 um; it must be positive
{detector: {sigma: [1 mm, -150 um]}, model: {name: track, z: [0, 1]}}
    detector.sigma[1]: is -150 um; it must be positive
{detector: {sigma: 1.0e-13}}
    detector.sigma: is 1e-13; it should be greater than or equal to 1e-12 m
{detector: {resolution: 150 um}}
    a length; it must be an inverse length, in 1/m, 1/km, 1/cm, 1/mm or 1/um; for a length use detector.sigma
{detector: {resolution: {x: 150 um}}}
    a length; it must be an inverse length, in 1/m, 1/km, 1/cm, 1/mm or 1/um; for a length use detector.sigma
{detector: {resolution: {x: 6667, y: 3333}}}
    it should be a valid number (each view has its own in detector.sigma: {x: 150 um, y: 300 um})
{model: {name: track, z: [0, 1], material: 0.5 %}}
    is '0.5 %', and % is no unit that is known here; write 0.5 %X0 or 0.005, in radiation lengths
{model: {name: track, z: [0, 1], thickness: 1}}
    model.thickness: unknown key; did you mean model.material of track
{detector: {sigma: 1 GeV}}
    detector.sigma: is '1 GeV', a momentum; it must be a length
{detector: {sigma_x: 0.01}}
    did you mean detector.sigma?
{detector: {noise: {kind: gaussian, sigma: 0.01}}}
    did you mean detector.resolution, which is
{resolution: 100}
    resolution: unknown key; did you mean detector.resolution?
{resolutoin: 100}
    resolutoin: unknown key; did you mean detector.resolution?
{detector: {pitch: 0.1}}
    detector.pitch: unknown key; did you mean detector.noise.pitch?
{detector: {dz: 1.5}}
    detector.dz: unknown key; did you mean model.dz?
{source: {momentum: 3}}
    source.momentum: unknown key; did you mean source.cosmic.momentum or source.beam.momentum?
{source: {energy: 3}}
    source.energy: unknown key; did you mean source.cosmic.momentum or source.beam.momentum?
{model: {name: track}, source: {beam: {divergence: 0.001}}}
    source.beam.divergence: unknown key; did you mean source.beam.spread, a slope?
{model: {name: scatter}, source: {material: lead}}
    source.material: unknown key; did you mean source.volume.material?
{muons: 1000}
    muons: unknown key; did you mean source.muons or toys.muons?
{source: {n_muons: 1000}}
    source.n_muons: unknown key; did you mean source.muons?
{source: {events: 1000}}
    source.events: unknown key; did you mean source.muons?
{source: {kind: recorded, file: a.csv, path: a.csv}}
    source.path: unknown key; did you mean file?
{toys: {n_toys: 10}}
    toys.n_toys: unknown key; did you mean toys.per_muon, toys around each of toys.muons
{toys: {number: 10}}
    toys.number: unknown key; did you mean toys.per_muon
{toys: {seed: 1}}
    toys.seed: unknown key; did you mean seed?
{device: cuda}
    device: unknown key; did you mean compute.device?
{cores: 4}
    cores: unknown key; it is an option of Snakemake: --cores 8
{name: s}
    name: unknown key; did you mean study?
{model: {kind: track}}
    model.kind: unknown key; did you mean model.name?
{source: {name: recorded}}
    source.name: unknown key; did you mean source.kind?
{detector: {noise: {kind: strip, type: 1}}}
    did you mean detector.noise.kind?
{model: {dZ: 1.5}}
    model.dZ: unknown key; did you mean model.dz?
{Model: {dz: 1.5}}
    Model: unknown key; did you mean model?
{model: {unit: mm}}
    model.unit: unknown key; lengths are in m, angles in rad
{model: {file: m.py, coordinates: [x0, x1], observables: [{name: p, unit: "1"}], unit: mm}}
    model.unit: unknown key; did you mean model.units?
{model: {height: 1.5}}
    model.height: unknown key; did you mean model.dz of one_hit, or model.z of track?
{model: {name: track, layers: 3}}
    model.layers: unknown key; the layers are given by their heights: model.z
{uncertainty: {digits: 1}}
    uncertainty.digits: unknown key; allowed: uncertainty.n_dig
# what goes with another kind
{model: {z: [0, 1]}}
    model.z: does not go with model.name: one_hit; leave it out, or set model.name: track
{source: {file: a.csv}}
    does not go with source.kind: simulated; leave it out, or set source.kind: recorded
{model: {name: one_hit, file: m.py}}
    model.file: does not go with model.name: one_hit; leave it out
{model: {name: track, file: m.py, coordinates: [x0, x1], observables: [{name: p, unit: "1"}]}}
    model.observables: does not go with model.name: track; leave it out, or
{source: {kind: recorded, file: a.csv, cosmic: {}}}
    source.cosmic: does not go with source.kind: recorded; leave it out
# sections
{target: {theta: 0.01, vary: model.dz}}
    target.theta: unknown key; did you mean target.sigma: {theta: 0.01}?
{target: {sigma: {theta: 0.01}}}
    target.vary: is missing (dotted name of the number to vary, such as
{target: {sigma: {theta: 2 mrad, phi: 1 mrad}, vary: model.dz}}
    target: has 2 observables in sigma, theta, phi; it is of one: write sigma: {theta: 0.002}, and make another study
{target: {sigma_theta: 0.01, sigma_phi: 0.02, vary: model.dz}}
    target: has 2 observables in sigma, theta, phi; it is of one: write sigma: {theta: 0.01}, and make another study
{target: {sigma: 0.01, vary: model.dz}}
    target.sigma: is 0.01; it must be a section with keys of its own:
{target: 0.01}
    target: is 0.01; it must be a section with keys of its own: {sigma: …, vary: …}
{model: {file: m.py, coordinates: [x0, x1], observables: [p]}}
    model.observables[0]: is 'p'; it must be a section with keys of its own: {name: p, unit: …}
{model: {file: m.py, coordinates: [x0, x1], observables: {p: "1"}}}
    (a list of sections: [{name: …, unit: …}])
{model: {file: m.py, coordinates: [x0, x1], observables: [{name: p}]}}
    model.observables[0].unit: is missing (unit, `1` for a ratio)
{model: {file: m.py, coordinates: "x0, x1", observables: [{name: p, unit: "1"}]}}
    model.coordinates: is 'x0, x1'; it should be a valid list (in brackets: [x0, x1])
{model: track}
    model: is 'track'; it must be a section with keys of its own: `model: {name: track}`
{model: Trak}
    `model: {name: track}`
{source: recorded}
    `source: {kind: recorded}`
{source: hits.csv}
    `source: {kind: simulated or recorded}`
{detector: {noise: 0.01}}
    detector.noise: is 0.01; it must be a section with keys of its own: `noise: {kind: gaussian or
{detector: 100}
    detector: is 100; it must be a section with keys of its own: efficiency, misalignment, noise, resolution
{toys: null}
    toys: is empty; it must be a section with keys of its own; leave it out, or give it keys
{systematics: null}
    systematics: is empty; it must be a section with keys of its own; leave it out, or give it keys
{model: {name: [one_hit]}}
    model.name: is ['one_hit']; allowed: one_hit, track, track3d, scatter, own
{model: {name: {}}}
    model.name: is {}; allowed: one_hit, track
{source: {kind: {}}}
    source.kind: is {}; allowed: simulated, recorded
{source: {kind: null}}
    source.kind: is None; allowed: simulated, recorded
{detector: {noise: {kind: [strip]}}}
    detector.noise.kind: is ['strip']; allowed: gaussian, strip
# numbers
{detector: {efficiency: 95}}
    detector.efficiency: is 95; ... (it is a fraction: write 95 % as 0.95)
{detector: {efficiency: [95]}}
    detector.efficiency[0]: is 95; ... (it is a fraction: write 95 % as 0.95)
{detector: {efficiency: 95 %}}
    (a fraction: write it as 0.95)
{detector: {efficiency: 950}}
    detector.efficiency: is 950; it should be less than or equal to 1
{validation: {confidence: 99.7}}
    (it is a fraction: write 99.7 % as 0.997)
{validation: {confidence: 0.9999999999999999}}
    it should be less than or equal to 0.999999
{validation: {tolerance: 5}}
    validation.tolerance: is 5; it should be less than 1 (it is a fraction: write 5 % as 0.05)
{model: {name: track, theta0: 13.6}}
    model.theta0: is 13.6; it should be less than or equal to 1 rad
{model: {dz: 1.5 kg}}
    model.dz: is '1.5 kg', and kg is no unit that is known here; it must be a length, in m, km, cm, mm, um or nm
{source: {cosmic: {momentum: 3 m}}, model: {name: track}}
    source.cosmic.momentum: is '3 m', a length; it must be a momentum, in GeV/c
{detector: {resolution: 1 cm}}
    detector.resolution: is '1 cm', a length; it must be an inverse length, in 1/m
{model: {name: track, z: [1 mm, 3 deg]}}
    model.z: is '3 deg', an angle; it must be a length
{model: {file: m.py, coordinates: [x], observables: [{name: p, unit: m}], parameters: {B: 500 mT}, units: {B: T}}}
    parameters: B: is '500 mT', and mT is no unit that is known here; write the number alone, in T
{toys: {per_muon: 10k}}
    toys.per_muon: is '10k'; it should be a valid integer (write the number alone)
{model: {dz: "1,5"}}
    (a decimal number has a point and no thousands separator: 1.5, 100000)
{source: {muons: 100 000}}
    (a decimal number has a point and no thousands separator
{source: {muons: 1e5}}
    source.muons: is '1e5'; it should be a valid integer (YAML takes it for text; write 1e5 as 100000)
{model: {dz: 15e-4}}
    (YAML takes it for text; write 15e-4 as 0.0015)
{model: {dz: 2e-7}}
    (YAML takes it for text; write 2e-7 as 2.0e-07)
{model: {dz: -.5}}
    (YAML takes it for text; write -.5 as -0.5)
{model: {dz: inf}}
    (YAML takes it for text; write a number in m, or with its unit)
{model: {dz: high}}
    (YAML takes it for text; write a number in m, or with its unit)
{model: {dz: "1.5"}}
    model.dz: is '1.5'; it should be a valid number (without the quotes)
{source: {muons: 100000.0}}
    source.muons: is 100000.0; it should be a valid integer (write 100000, without a point)
{source: {muons: true}}
    (YAML reads yes, no, on and off as true and false; write a number)
{model: {dz: [1.0, 1.5]}}
    model.dz: is [1.0, 1.5]; ... (several values make a scan: `scan: {model.dz: [1.0, 1.5]}`)
{model: {dz: null}}
    model.dz: is empty; it should be a valid number (or leave the key out)
{model: {name: track, z: 1.0}}
    model.z: is 1.0; it should be a valid list (in brackets: [1.0])
{model: {name: track, z: "0, 1"}}
    model.z: is '0, 1'; it should be a valid list (in brackets: [0, 1])
{model: {file: m.py, coordinates: [x0, x1], observables: [{name: p, unit: "1"}], parameters: {B: 1.5 T}}}
    model.parameters: B is '1.5 T'; it must be a finite number or a list of them (write the number alone)
{target: {sigma: {theta: 2 mm}, vary: model.dz}}
    target.sigma.theta: is '2 mm', a length; it must be an angle, in rad, mrad, urad or deg
{target: {sigma_theta: 2 mrad, vary: model.dz, between: [1 kg, 3]}}
    target.between: is '1 kg'
# words
{study: 2024}
    study: is 2024; it should be a valid string (text that looks like a number or a date is put in quotes: '2024')
{study: null}
    study: is empty; it should be a valid string
{model: {file: m.py, coordinates: [x0, x1], observables: [{name: p, unit: 2}]}}
    put in quotes: '2')
{source: {kind: recorded, file: a.csv, columns: {x: 3}}}
    source.columns.x: is 3; it must be the name of a column (in quotes if it looks like
{model: {file: m.py, coordinates: [x0, x1], observables: [{name: p, unit: "1", fold: false}]}}
    (YAML reads yes, no, on and off
{toys: {mode: true}}
    toys.mode: is True; it should be 'fixed' or 'adaptive' (YAML reads yes, no, on and off
{validation: {strict: "yes"}}
    validation.strict: is 'yes'; it should be a valid boolean (true or false, without
{source: {kind: recorded, file: a.csv, unit: inch}}
    source.unit: is 'inch'; it should be 'm', 'cm', 'mm' or 'um'
# units and lists
{model: {name: track, z: "[0, 1]"}}
    model.z: is '[0, 1]'; it should be a valid list (without the quotes)
{model: {name: track, at: "[] mm"}}
    (the brackets need numbers: [1, 2] mm)
{model: {name: track, z: [[0, 1], 2]}}
    model.z[0]: is [0, 1]; it should be a valid number (one number, without brackets of its own)
{model: {name: track, z: [0, null, 2]}}
    model.z[1]: is empty; it should be a valid number (a value between the commas is missing)
{model: {dz: "1,5 mm"}}
    (a decimal number has a point and no thousands separator: 1.5, 100000)
{model: {dz: "1 000 mm"}}
    (a decimal number has a point and no thousands separator: 1.5, 100000)
{model: {dz: 1,5 mm}}
    model.5 mm: unknown key; a decimal number has a point, 1.5, and no comma
{detector: {sigma: −5 um}}
    (the sign of a number is a hyphen: -1)
{model: {dz: nan mm}}
    (YAML takes it for text; write a number in m, or with its unit)
{model: {dz: 2020-01-01}}
    model.dz: is 2020-01-01; it should be a valid number (YAML reads 2020-01-01 as a date; write a number)
{model: {name: track}, source: {cosmic: {zenith_max: 60}}}
    is 60; it should be less than or equal to 1.5 rad (write 60 deg if it is in degrees)
{model: {name: track}, source: {beam: {spread: 5 mm}}}
    source.beam.spread: is '5 mm', a length; it must be a slope, as a number alone or as its angle in
{model: {name: track}, source: {beam: {slope_x: 90 deg}}}
    source.beam.slope_x: is '90 deg'; the angle of a slope, which is its tangent, must be below 90 deg
{model: {name: track}, source: {beam: {slope_x: 2000}}}
    source.beam.slope_x: is 2000; it should be less than or equal to 1000
{model: {name: track}, source: {beam: {spread: -1}}}
    source.beam.spread: is -1; it should be greater than or equal to 0
"""
"""Configs, each followed by its messages; dots stand for omitted text."""


NUMBERS_BY_NAME = """
{scan: {model.z: [[0, 1, 2]]}, model: {name: track}}
    scan: model.z: has 3 numbers; scan one, such as model.z[0] ... `scan: {zip: {'model.z[0]': […], 'model.z[1]': […]}}`
{scan: {detector.sigma.x: [1 mm]}, model: {name: track3d}, detector: {sigma: {x: [1, 2, 3], y: 1}}}
    scan: detector.sigma.x: has 3 numbers; scan one, such as detector.sigma.x[0]
{scan: {detector.sigma.x.0: [1 mm]}, model: {name: track3d}, detector: {sigma: {x: [1, 2, 3], y: 1}}}
    scan: detector.sigma.x.0: no numeric field of that name; did you mean detector.sigma.x[0]?
{scan: {detector.sigma: [1 mm]}, model: {name: track3d}, detector: {sigma: {x: 1, y: 1}}}
    scan: detector.sigma: has 2 numbers; scan one, such as detector.sigma.x
{scan: {model.at: [1 mm]}, model: {name: track, at: 1}}
    scan: model.at: no numeric field of that name; did you mean model.at[0]?
{scan: {model.at: [1 mm]}, model: {name: track}}
    scan: model.at: has no numbers to scan; give it some, such as at: [1], and scan model.at[0]
{target: {sigma: {slope: 1 mrad}, vary: model.z}, model: {name: track}}
    target.vary: model.z: no such number; did you mean model.z[0]?
{systematics: {model.z.1: 1 mm}, model: {name: track}}
    systematics: model.z.1: no such number of the model; did you mean model.z[1]?
# units of numbers by name
{scan: {model.dz: [1 m, 3 GeV]}}
    scan: model.dz: is '3 GeV', a momentum; it must be a length
{scan: {zip: {model.dz: [1 kg]}}}
    scan: model.dz: is '1 kg', and kg is no unit that is known here; it must be a length
{scan: {model.dz: "[1, 2] kg", seed: [1]}}
    scan: model.dz: is '[1, 2] kg', and kg is no unit
{scan: {detector.sigmaa: [1 mm]}}
    scan: detector.sigmaa: no numeric field of that name; did you mean detector.sigma?
{scan: {detector.sigma: [1 mm]}}
    scan: detector.sigma: is not given, but detector.resolution is; give detector.sigma in place of it, and scan that
{scan: {detector.resolution: [10]}, model: {name: track3d}, detector: {sigma: {x: 1, y: 2}}}
    scan: detector.resolution: is not given, but detector.sigma is; give detector.resolution in place of it
{scan: {model.dz: null}}
    scan: model.dz: is empty; it must be a list of numbers
{systematics: {model.dz: null}}
    systematics: model.dz: is empty; it must be a standard uncertainty
{systematics: {model.dz: 1 mrad}}
    systematics: model.dz: is '1 mrad', an angle; it must be a length
{scan: {toys.muons: [5 m]}}
    scan: toys.muons: is '5 m', a length; it has no unit: write the number alone
"""
"""Configs that name numbers, each followed by its only message."""


def cases(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return list(zip(lines[::2], map(str.strip, lines[1::2]), strict=True))


@pytest.mark.parametrize(("config", "expected"), cases(CASES))
def test_mistakes_of_a_physicist_are_told_with_what_was_meant(config, expected):
    lines = refused(yaml.safe_load(config))
    assert any(all(part in line for part in expected.split(" ... ")) for line in lines), lines
    assert all(line.startswith("config: ") for line in lines)


@pytest.mark.parametrize(("config", "expected"), cases(NUMBERS_BY_NAME))
def test_how_to_name_a_number_and_give_its_unit_is_said(config, expected):
    with pytest.raises(PullbackError) as caught:
        Study.from_config({"study": "s", **yaml.safe_load(config)})
    (line,) = str(caught.value).splitlines()
    assert all(part in line for part in expected.split(" ... ")), line


def test_a_long_value_is_shortened():
    (line,) = refused({"model": {"dz": list(range(1000))}})
    assert "…" in line
    assert len(line) < 400


def test_dates_are_put_in_quotes():
    (line,) = refused(yaml.safe_load("study: 2024-05-01"))
    assert line.endswith("put in quotes: '2024-05-01')")


@pytest.mark.parametrize(
    ("model", "beside"),
    [("one_hit", []), ("track", ["cosmic"]), ("track3d", ["cosmic"]), ("scatter", ["cosmic", "volume"])],
)
def test_a_section_of_a_source_that_is_null_is_one_that_is_left_out(model, beside):
    """As where all of its lines are commented out; and as the config that a study writes has those that it lacks."""
    empty = {"study": "s", "source": {"cosmic": None, "beam": None, "volume": None}, "model": {"name": model}}
    study = Study.from_config(empty)
    assert study.to_json() == Study.from_config({"study": "s", "model": {"name": model}}).to_json()
    assert [name for name in ("cosmic", "volume") if getattr(study.config.source, name) is not None] == beside
    again = Study.from_json(study.to_json())
    assert again.to_json() == study.to_json()
    assert Study.from_config(study.config.model_dump(mode="json")).to_json() == study.to_json()
