"""Whole studies of models with several layers, observables and systematics, run in process."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray
from running import ENOUGH, PROJECT, Run, slow
from scipy import stats

from pullback.store.columns import FLAGS
from pullback.study import shared_parameters
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

TRACK = {"study": "s", "model": {"name": "track"}, "source": {"muons": 400}, "toys": {"muons": 20, "per_muon": 300}}
SYSTEMATICS = {
    "model.z[1]": 0.02,
    "alignment.x[2]": 0.03,
    "correlations": {"model.z[1], alignment.x[2]": 0.5},
}


def entries(run):
    """What the evidence says, by point and observable."""
    return {(each.point, each.observable): each for each in Evidence.read(run.outputs.validation).points}


def sigma_of_slope(x, z, resolution):
    """1/√(Σ w (z − z̄)²) over the hits there are."""
    weight = np.where(np.isfinite(x), np.square(resolution), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (weight * z).sum(axis=1) / weight.sum(axis=1)
        return 1 / np.sqrt((weight * (z - centre[:, None]) ** 2).sum(axis=1))


@pytest.mark.parametrize("resolution", [100.0, [100.0, 30.0, 60.0]])
def test_tracks_with_missing_hits(tmp_path, resolution):
    raw = {**TRACK, "source": {"muons": 1500}, "detector": {"efficiency": 0.8, "resolution": resolution}}
    run = Run(raw, tmp_path).make()
    found = run.columns("nominal")
    x = found["x_reco"]
    hits = np.isfinite(x).sum(axis=1)
    lost = hits < 2
    assert lost.mean() == pytest.approx(0.2**3 + 3 * 0.8 * 0.2**2, abs=0.035)
    for name in ("slope", "theta", "intercept"):
        np.testing.assert_array_equal(found[f"flag_{name}"] == FLAGS["hit_not_finite"], lost)
        assert (found[f"flag_{name}"][~lost] == 0).all()
        for column in (name, f"sigma_{name}", f"sigma_{name}_linear", f"bias_{name}"):
            np.testing.assert_array_equal(np.isnan(found[column]), lost, err_msg=column)
        entry = entries(run)["nominal", name]
        assert entry.quoted.counts.hit_not_finite == lost.sum()
        assert entry.quoted.counts.muons == 1500
    expected = sigma_of_slope(x, np.array([0, 0.5, 1.0]), np.array(resolution) * np.ones(3))
    np.testing.assert_allclose(found["sigma_slope"][~lost], expected[~lost], rtol=1e-11)
    theta = expected / (1 + found["slope"] ** 2)
    np.testing.assert_allclose(found["sigma_theta_linear"][~lost], theta[~lost], rtol=1e-11)
    assert len(np.unique(expected[~lost].round(12))) == 4 if isinstance(resolution, list) else 3
    np.testing.assert_array_equal(found["ndf"][~lost], hits[~lost] - 2)
    # True hits are all there, and so is what is said of them.
    assert np.isfinite(found["theta_true"]).all()
    # Toys are thrown around muons that have a track, and of those with two hits as well.
    muon = found["toys/muon"]
    assert not lost[muon].any()
    ratio = found["toys/toy_sd_slope"] / expected[muon]
    assert (abs(ratio - 1) < 4.5 / math.sqrt(600)).all()


def test_chi2_of_tracks_is_that_of_its_degrees_of_freedom(tmp_path):
    run = Run({**TRACK, "source": {"muons": 2000}, "detector": {"resolution": [100.0, 30.0, 60.0]}}, tmp_path).make()
    found = run.columns("nominal")
    assert (found["ndf"] == 1).all()
    assert found["chi2"].mean() == pytest.approx(1, abs=4 * math.sqrt(2 / 2000))
    (fit,) = Evidence.read(run.outputs.validation).fits
    assert fit.chi2_per_ndf == pytest.approx(found["chi2"].mean(), rel=1e-12)


def test_strips_that_are_as_wide_as_each_layer_s_resolution(tmp_path):
    layers = np.array([100.0, 30.0, 60.0])
    raw = {**TRACK, "source": {"muons": 1500}, "detector": {"resolution": layers.tolist(), "noise": "strip"}}
    found = Run(raw, tmp_path).make().columns("nominal")
    off = (found["x_reco"] - found["x_true"]) * layers
    assert abs(off).max() <= math.sqrt(3) * (1 + 1e-9)
    np.testing.assert_allclose(off.std(axis=0), 1, rtol=0.06)
    muon = found["toys/muon"]
    ratio = found["toys/toy_sd_slope"] / found["sigma_slope"][muon]
    assert ratio.mean() == pytest.approx(1, abs=0.03)


def test_toys_of_layers_that_scatter_also_if_adaptive(tmp_path):
    """Each toy has a deviate of the noise and one of the scattering for each layer."""
    raw = {**TRACK, "model": {"name": "track", "theta0": 0.02}}
    for mode in ("fixed", "adaptive"):
        toys = {"muons": 5, "per_muon": 5000, "mode": mode, "most": 20_000}
        found = Run({**raw, "toys": toys}, tmp_path / mode).make().columns("nominal")
        ratio = found["toys/toy_sd_slope"] / found["sigma_slope"][found["toys/muon"]]
        np.testing.assert_allclose(ratio, 1, rtol=0.05)
        # 0.5 m below the upper layer lies the middle one: the scattering is no small part.
        assert (found["sigma_slope"] > 1.2 * math.sqrt(2) / 100).all()


def test_azimuths_next_to_the_cut_of_the_circle(tmp_path):
    """Muons all around, many of them recorded on the other side of φ = ±π than they were: pulls are of width 1."""
    raw = {
        **TRACK,
        "model": {"name": "track3d"},
        "source": {"muons": 5000},
        "detector": {"resolution": 150.0},
        "toys": {"muons": 100, "per_muon": 2000},
        "validation": {"domain": 5.0},
    }
    run = Run(raw, tmp_path).make()
    found = run.columns("nominal")
    across = abs(found["phi"] - found["phi_true"]) > math.pi
    assert across.sum() > 10
    entry = entries(run)["nominal", "phi"]
    assert entry.linear.domain.pulls.sd.value == pytest.approx(1, abs=0.05)
    assert entry.linear.domain.ratio.value == pytest.approx(1, abs=0.02)
    assert entry.linear.domain.pull_sd_verdict == "pass"
    assert entry.verdict != "fail", entry.reasons
    # An interval may reach beyond the cut; it holds the value.
    far = found["theta"] > 5 * found["sigma_theta_linear"]
    low, high = found["interval95_phi"][far].T
    assert (high > math.pi).any()
    assert (low < -math.pi).any()
    assert ((low <= found["phi"][far]) & (found["phi"][far] <= high)).all()
    # Toys that are on the other side are none the further away.
    muon = found["toys/muon"]
    ratio = (found["toys/toy_sd_phi"] / found["sigma_phi"][muon])[far[muon]]
    beyond = (abs(found["phi"][muon]) > math.pi - 2 * found["sigma_phi"][muon])[far[muon]]
    assert beyond.any()
    np.testing.assert_allclose(ratio[beyond], 1, rtol=0.1)


def test_vertical_muons_have_the_spread_of_a_rayleigh_deviate(tmp_path):
    """At θ = 0, where the linear law says nothing: mean √(π/2) σ, and sd √(2 − π/2) σ, with σ that of a slope."""
    Path("hits.csv").write_text("x0,x1,x2,y0,y1,y2\n" + "0.5,0.5,0.5,0.25,0.25,0.25\n" * 3)
    raw = {**TRACK, "model": {"name": "track3d"}, "source": {"kind": "recorded", "file": "hits.csv"}}
    run = Run({**raw, "toys": {"muons": 3, "per_muon": 20_000}}, tmp_path / "out").make()
    found, sigma = run.columns("nominal"), math.sqrt(2) / 100
    np.testing.assert_allclose(found["bias_theta"], math.sqrt(math.pi / 2) * sigma, rtol=3e-3)
    np.testing.assert_allclose(found["sigma_theta"], math.sqrt(2 - math.pi / 2) * sigma, rtol=3e-3)
    np.testing.assert_allclose(found["toys/toy_sd_theta"] / found["sigma_theta"], 1, atol=0.03)
    low, high = found["interval95_theta"].T / sigma
    np.testing.assert_allclose(low, math.sqrt(-2 * math.log(0.975)), rtol=0.02)
    np.testing.assert_allclose(high, math.sqrt(-2 * math.log(0.025)), rtol=0.02)
    assert not found["linear_valid_theta"].any()
    np.testing.assert_allclose(found["sigma_tx"], sigma, rtol=1e-12)
    assert found["linear_valid_tx"].all()


HONEST = {
    **TRACK,
    "source": {"muons": 2000},
    "detector": {"resolution": 20.0, "efficiency": 0.95},
    "systematics": SYSTEMATICS,
    "toys": {"muons": 60, "per_muon": 1000, "experiments": 2500},
}


@pytest.mark.parametrize("seed", [1, slow(2)])
def test_systematics_of_an_honest_study_pass(tmp_path, seed):
    """Coarse layers and large shifts, so that many muons are near the fold of θ."""
    run = Run({**HONEST, "seed": seed, "validation": {"tolerance": 0.08}}, tmp_path).make()
    for (_, name), entry in entries(run).items():
        assert entry.shared.verdict == "pass", (name, entry.shared)
        assert entry.verdict != "fail", entry.reasons
    found = entries(run)["nominal", "slope"].shared
    assert found.mean_uncertainty.shared > 5 * found.mean_uncertainty.independent
    assert found.pull_shift.value > 2 / math.sqrt(found.experiment_muons)


def test_the_verdict_of_an_honest_study_with_systematics_is_a_pass(tmp_path):
    toys = {"muons": 300, "per_muon": 8000, "experiments": 2500}
    raw = {**HONEST, **ENOUGH, "model": {"name": "track", "z": [0.0, 1.0]}, "source": {"muons": 6000}, "toys": toys}
    systematics = {"model.z[1]": 0.02, "alignment.x[0]": 0.03}
    run = Run({**raw, "systematics": systematics, "validation": {"tolerance": 0.1}}, tmp_path).make()
    evidence = Evidence.read(run.outputs.validation)
    assert evidence.verdict == "pass", [each.reasons for each in evidence.points]


def no_shift(self, hits, eta):
    return RIGHT(self, hits, 0 * eta)


def opposite_correlation(section):
    return COVARIANCE(section) * np.array([[1, -1], [-1, 1]])


RIGHT, COVARIANCE = shared_parameters.Shifted.__call__, shared_parameters.shift_covariance


@pytest.fixture(scope="module")
def correlated(tmp_path_factory):
    """An honest study of two alignments that are correlated."""
    systematics = {"alignment.x[0]": 0.03, "alignment.x[2]": 0.03}
    systematics["correlations"] = {", ".join(systematics): 0.6}
    toys = {"muons": 40, "per_muon": 300, "experiments": 1500}
    raw = {**HONEST, "source": {"muons": 200}, "toys": toys, "systematics": systematics}
    return Run(raw, tmp_path_factory.mktemp("correlated")).make()


@pytest.mark.parametrize(
    ("kind", "target", "name", "wrong"),
    [
        ("toys", shared_parameters.Shifted, "__call__", no_shift),
        ("toys", shared_parameters, "shift_covariance", opposite_correlation),
        ("sigma", shared_parameters, "shift_covariance", opposite_correlation),
        ("sigma", shared_parameters.Shifted, "__call__", lambda self, hits, eta: RIGHT(self, hits, 2 * eta)),
    ],
)
def test_systematics_that_are_wrong_in_one_rule_fail(correlated, tmp_path, kind, target, name, wrong):
    entry = entries(correlated.sabotaged(tmp_path, kind, target, name, wrong))["nominal", "slope"]
    assert (entry.verdict, entry.shared.verdict) == ("fail", "fail")
    assert [reason for reason in entry.reasons if reason.startswith("systematics: ")]


def test_nothing_depends_on_the_batches_or_on_who_is_made_with_whom(tmp_path, block):
    raw = {
        **HONEST,
        "source": {"muons": block + 300, "cosmic": {"zenith_max": 0.6}},
        "model": {"name": "track", "z": [0.0, 0.4, 0.7], "theta0": 2e-4},
        "detector": {"resolution": [5000.0, 10_000.0, 5000.0], "efficiency": 0.97},
        "toys": {"muons": 30, "per_muon": 50, "experiments": 100},
    }
    runs = [Run({**raw, "compute": {"batch_cost": cost}}, tmp_path / str(cost)).make() for cost in (10**12, 1)]
    assert [len(run.study.batches) for run in runs] == [1, 2]
    first, other = (run.columns() for run in runs)
    assert list(first) == list(other)
    for name, values in first.items():
        assert values.tobytes() == other[name].tobytes(), name
    for each in ("validation.json", "validation.csv", "summary.csv"):
        assert (runs[0].folder / each).read_bytes() == (runs[1].folder / each).read_bytes(), each


def test_a_scan_over_heights_and_the_resolution_of_a_layer(tmp_path):
    scan = {"model.z[1]": [0.2, 0.9], "detector.resolution[2]": [50, 100]}
    raw = {**TRACK, "detector": {"resolution": [100.0, 100.0, 100.0]}, "scan": scan}
    run = Run(raw, tmp_path).make()
    with open(run.outputs.summary, newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["observable"] == "slope"]
    assert len(rows) == 4
    for row in rows:
        z = np.array([0, float(row["model.z[1]"]), 1])
        resolution = np.array([100, 100, float(row["detector.resolution[2]"])])
        expected = sigma_of_slope(np.zeros((1, 3)), z, resolution)[0]
        assert float(row["mean_sigma_all"]) == pytest.approx(expected, rel=1e-11)
        h = 1e-4
        up, down = (sigma_of_slope(np.zeros((1, 3)), z, resolution + np.array([0, 0, sign * h]))[0] for sign in (1, -1))
        assert float(row["d_mean_sigma_d_detector.resolution[2]"]) == pytest.approx((up - down) / (2 * h), rel=1e-6)
    label = "model.z[1]=0.9,detector.resolution[2]=50"
    found = run.columns(label)
    lines_ = found["x_true"][:, 0] + 0.9 * (found["x_true"][:, 2] - found["x_true"][:, 0])
    np.testing.assert_allclose(found["x_true"][:, 1], lines_, atol=1e-12)


def test_the_study_of_a_track_opens_as_labelled_datasets(tmp_path):
    raw = {**TRACK, "systematics": SYSTEMATICS, "toys": {"muons": 10, "per_muon": 20, "experiments": 100}}
    run = Run(raw, tmp_path).make()
    with xarray.open_dataset(run.outputs.study, group="nominal", engine="h5netcdf") as data:
        assert data["x_reco"].dims == ("muon", "coordinate")
        assert data["coordinate"].values.tolist() == ["x0", "x1", "x2"]
        assert data["covariance"].dims == ("muon", "observable", "observable_2")
        assert data["observable"].values.tolist() == ["slope", "theta", "intercept"]
        assert data["budget_theta"].dims == ("muon", "source")
        assert data["budget_theta"].attrs["units"] == "rad2"
        assert data["budget_slope"].attrs["units"] == "1"
        budget = data["budget_theta"].sel(source="model.z[1]")
        by_z = data["systematic_jacobian_theta"].sel(systematic="model.z[1]")
        np.testing.assert_allclose(budget, np.square(0.02 * by_z), rtol=1e-10)
        sigma_eta = data["systematic_jacobian_theta"].attrs["systematic_covariance"]
        np.testing.assert_allclose(np.ravel(sigma_eta), [4e-4, 3e-4, 3e-4, 9e-4], rtol=1e-12)
        assert data.attrs["systematics.model.z[1]"] == 0.02
    for group, dims in (("design", ("block", "parameter")), ("experiments", ("experiment_block", "experiment"))):
        with xarray.open_dataset(run.outputs.study, group=f"nominal/{group}", engine="h5netcdf") as data:
            column = {"design": "slopes_theta", "experiments": "pull_theta"}[group]
            assert data[column].dims == dims
            if group == "design":
                names = [*(f"model.z[{i}]" for i in range(3)), "model.theta0", "detector.resolution"]
                assert data["parameter"].values.tolist() == names


# Recorded hits


def write_hits(kind, table):
    """A file of hits, with its name."""
    file = f"hits.{kind}"
    if kind == "csv":
        rows = zip(*table.values(), strict=True)
        Path(file).write_text(
            "\n".join([",".join(table), *(",".join(map(repr, map(float, row))) for row in rows)]) + "\n"
        )
    elif kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(table), file)
    else:
        import uproot

        with uproot.recreate(file) as out:
            out["tree"] = table
    return file


@pytest.fixture(scope="module")
def recorded():
    """Tracks recorded with uncertainties of their own, and correlated hits in two of the layers; mm."""
    rng, muons = np.random.default_rng(5), 300
    line = rng.uniform(0, 1000, (muons, 1)) + rng.normal(0, 300, (muons, 1)) * np.array([0, 0.5, 1.0])
    sigma = rng.uniform(5, 20, (muons, 3))
    rho = rng.uniform(-0.8, 0.8, muons)
    x = line + sigma * rng.normal(size=(muons, 3))
    x[:, 2] = line[:, 2] + 20 * rng.normal(size=muons)  # as the detector has it
    table = {f"h{i}": x[:, i] for i in range(3)} | {f"s{i}": sigma[:, i] for i in range(2)}
    return {**table, "c01": rho * sigma[:, 0] * sigma[:, 1]}


SOURCE = {
    "kind": "recorded",
    "unit": "mm",
    "columns": {f"x{i}": f"h{i}" for i in range(3)},
    "sigma": {f"x{i}": f"s{i}" for i in range(2)},
}


@pytest.mark.parametrize("kind", ["csv", "parquet", "root"])
@pytest.mark.parametrize("correlated", [False, True])
def test_recorded_hits_with_uncertainties_of_their_own(tmp_path, recorded, kind, correlated):
    source = {**SOURCE, "file": write_hits(kind, recorded)}
    if correlated:
        source["covariance"] = {"x0,x1": "c01"}
    raw = {**TRACK, "source": source, "toys": {"muons": 30, "per_muon": 2000}, "detector": {"resolution": 50.0}}
    raw["model"] = {**TRACK["model"], "fit": "ols"}
    run = Run(raw, tmp_path / "out").make()
    found = run.columns("nominal")
    np.testing.assert_allclose(found["x_reco"][:, 1], recorded["h1"] / 1000, rtol=1e-12)
    variance = np.stack([*(recorded[f"s{i}"] for i in range(2)), np.full(300, np.nan)], axis=1) ** 2 * 1e-6
    covariance = found["x_covariance"]
    diagonal = covariance.diagonal(axis1=1, axis2=2) if correlated else covariance
    np.testing.assert_allclose(diagonal, variance, rtol=1e-12)
    full = np.where(np.isnan(variance), 50.0**-2, variance)[:, :, None] * np.eye(3)
    if correlated:
        np.testing.assert_allclose(covariance[:, 0, 1], recorded["c01"] * 1e-6, rtol=1e-12)
        full[:, 0, 1] = full[:, 1, 0] = recorded["c01"] * 1e-6
    weights = np.array([-1.0, 0.0, 1.0])  # of the fit, which takes every layer for equally good
    expected = np.sqrt(np.einsum("i,mij,j->m", weights, full, weights))
    np.testing.assert_allclose(found["sigma_slope"], expected, rtol=1e-10)
    middle = np.einsum("mij,i,j->m", full, *[np.full(3, 1 / 3) - 0.5 * weights] * 2)
    np.testing.assert_allclose(found["sigma_intercept"], np.sqrt(middle), rtol=1e-10)
    # Closure: toys have the covariance of each muon by itself.
    for name in ("slope", "intercept"):
        ratio = found[f"toys/toy_sd_{name}"] / found[f"sigma_{name}"][found["toys/muon"]]
        assert abs(ratio - 1).max() < 4.5 / math.sqrt(4000)
        assert entries(run)["nominal", name].linear.domain.ratio.value == pytest.approx(1, abs=0.02)


def test_changing_systematics_makes_sigma_toys_and_coverage_again_and_nothing_else():
    one, other = (Study.from_config({**HONEST, "systematics": {"alignment.x[1]": u}}) for u in (0.01, 0.02))
    again = {kind for kind in one.kinds if one.batch(kind, "nominal").digest != other.batch(kind, "nominal").digest}
    assert again == {"sigma", "toys", "coverage"}
    assert one.digest != other.digest


LIGHT = """
import sys
from pathlib import Path
from pullback import steps
from pullback.validation.batch_sums import tally
from pullback.study.plan import Study
from pullback.validation.verdict import Outputs, validate

folder, made = Path(sys.argv[1]), Path(sys.argv[2])
study = Study.from_config({raw!r})
(name,) = study.batches
batch = lambda kind: study.batch(kind, name)
if study.recorded:
    steps.import_hits(batch("reco"), folder / "reco.h5")
else:
    steps.simulate_hits(batch("truth"), folder / "truth.h5")
    steps.smear_hits(batch("reco"), folder / "truth.h5", folder / "reco.h5")
files = {{kind: made / kind / f"{{name}}.h5" for kind in study.kinds}}
tally(batch("tally"), files, folder / "tally.h5")
names = Outputs._fields
validate(study, [folder / "tally.h5"], Outputs(*(made / each for each in names)))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("kind", ["simulated", "recorded"])
def test_simulating_smearing_importing_and_judging_need_no_torch(tmp_path, recorded, kind):
    """torch takes seconds to import, and jobs that only move numbers have no use for it."""
    raw = {**TRACK, "systematics": SYSTEMATICS, "toys": {"muons": 10, "per_muon": 20, "experiments": 100}}
    raw["detector"] = {"efficiency": 0.9, "resolution": [100.0, 50.0, 20.0]}
    raw["model"] = {**raw["model"], "theta0": 0.002}
    if kind == "recorded":
        raw["source"] = {**SOURCE, "file": str(tmp_path / write_hits("csv", recorded)), "covariance": {"x0,x1": "c01"}}
    made = Run(raw, tmp_path / "made").make()
    assert made.outputs.validation.exists()
    command = [sys.executable, "-c", LIGHT.format(raw=made.raw), str(tmp_path), str(tmp_path / "made")]
    done = subprocess.run(command, cwd=PROJECT / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reco.h5").exists()


def test_muons_of_toy_experiments_are_spread_as_toy_muons_are(tmp_path):
    """Not the first of them, which would be those nearest to a fold."""
    raw = {**TRACK, "source": {"muons": 3000}, "systematics": {"alignment.x[1]": 0.001}}
    raw["toys"] = {"muons": 800, "per_muon": 20, "experiments": 100}
    found = Run(raw, tmp_path).make().columns("nominal")
    muon, toys = found["experiments/muon"], found["toys/muon"]
    assert len(muon) == 200
    assert set(muon) <= set(toys)
    some, every = np.sort(found["theta"][muon]), np.sort(found["theta"][toys])
    assert stats.ks_2samp(some, every).statistic < 0.05


def test_as_many_recorded_muons_as_coordinates_each_with_its_own_uncertainties(tmp_path):
    """Three variances of each of three muons are not one matrix for all, nor a budget with correlations."""
    rows = ["0.1,0.2,0.35,0.01,0.02,0.03", "0.3,0.1,0.05,0.02,0.01,0.02", "-0.2,0.1,0.3,0.03,0.03,0.01", "0,0,1,1,2,3"]
    found = []
    for muons in (3, 4):
        folder = tmp_path / str(muons)
        folder.mkdir()
        file = folder / "hits.csv"
        file.write_text("\n".join(["x0,x1,x2,s0,s1,s2", *rows[:muons]]))
        sigma = {"x0": "s0", "x1": "s1", "x2": "s2"}
        target = {"sigma_slope": 0.01, "vary": "model.z[2]", "between": [0.6, 10]}
        raw = {**TRACK, "source": {"kind": "recorded", "file": str(file), "sigma": sigma}, "target": target}
        run = Run(raw, folder).make()
        if muons == 3:
            run.show()
        found.append(run.columns("nominal"))
    few, more = found
    for name in ("sigma_slope", "sigma_theta", "interval95_theta", "budget_slope", "covariance"):
        np.testing.assert_allclose(few[name], more[name][:3], rtol=1e-9, atol=1e-15, err_msg=name)
    z, sigma = np.array([0, 0.5, 1.0]), np.array([[float(cell) for cell in row.split(",")[3:]] for row in rows[:3]])
    weight = 1 / sigma**2
    centre = (weight * z).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(few["sigma_slope"], (weight * (z - centre) ** 2).sum(axis=1) ** -0.5, rtol=1e-9)
