import json
import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import filtered
from running import SMALL, Run, files_in, slow

from pullback import infer_theta
from pullback.statistics.random import random_stream
from pullback.steps import propagate
from pullback.store.columns import FLAGS
from pullback.study import blocks
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence


@pytest.mark.parametrize(
    ("size", "scan", "random_numbers"),
    [
        *product([1000], [None, SMALL["scan"]], ["common", "independent"]),
        slow(blocks.BLOCK, SMALL["scan"], "independent"),
    ],
)
def test_no_column_or_table_depends_on_the_batches(tmp_path, monkeypatch, size, scan, random_numbers):
    """One batch, a batch a point, and a batch a block: the same columns, verdict and tables."""
    monkeypatch.setattr(blocks, "BLOCK", size)
    muons = 2 * size + 500
    raw = {**SMALL, "scan": scan, "random_numbers": random_numbers, "source": {"muons": muons}}
    a_point = 30 * muons + 60 * 400 + 7 * 640 * 24  # the cost of a point, and less than that of two
    runs = [Run({**raw, "compute": {"batch_cost": cost}}, tmp_path / str(cost)).make() for cost in (10**12, a_point, 1)]
    assert len(runs[0].study.batches) == 1
    assert len(runs[2].study.batches) == 3 * len(runs[0].study.points)
    assert len({len(run.study.batches) for run in runs}) == (3 if scan else 2)
    first = runs[0].columns()
    for run in runs[1:]:
        other = run.columns()
        assert list(other) == list(first)
        for name, values in first.items():
            assert values.tobytes() == other[name].tobytes(), name
        for each in ("validation.json", "validation.csv", "summary.csv"):
            assert (run.folder / each).read_bytes() == (runs[0].folder / each).read_bytes(), each


def test_no_file_depends_on_the_order_of_the_blocks(tmp_path, block):
    """A batch a block, the last block first."""
    raw = {**SMALL, "scan": None, "source": {"muons": 2 * block + 500}, "compute": {"batch_cost": 1}}
    forwards, backwards = (Run(raw, tmp_path / str(way)).make(backwards=way) for way in (False, True))
    assert len(forwards.study.batches) == 3
    assert files_in(forwards.folder) == files_in(backwards.folder)


def test_the_same_bytes_every_time(tmp_path):
    first = files_in(Run(SMALL, tmp_path / "a").make().folder)
    time.sleep(1.1)  # so that a time of day in any file would show
    assert files_in(Run(SMALL, tmp_path / "b").make().folder) == first


def test_points_share_their_deviates_unless_told_not_to(tmp_path):
    for mode, shared in (("common", True), ("independent", False)):
        found = Run({**SMALL, "random_numbers": mode}, tmp_path / mode).make().columns()
        a, b = (f"detector.resolution={resolution},model.dz=1" for resolution in (50, 100))
        assert np.array_equal(found[f"{a}/x_true"], found[f"{b}/x_true"]) == shared
        noise = [(found[f"{p}/x_reco"] - found[f"{p}/x_true"]) * r for p, r in ((a, 50), (b, 100))]
        assert np.allclose(*noise, rtol=1e-9, atol=1e-12) == shared


@pytest.mark.parametrize(
    "scan",
    [
        {"toys.per_muon": [300, 500]},
        {"detector.noise.fraction": [0.0, 0.5]},
        {"detector.noise.width": [2.0, 6.0]},
        {"toys.muons": [20, 60]},
    ],
    ids=lambda scan: next(iter(scan)),
)
def test_points_with_other_toys_have_the_toys_of_a_study_of_their_own(tmp_path, scan):
    raw = {**SMALL, "scan": None, "detector": {"noise": {"kind": "tails", "fraction": 0.2, "width": 4.0}}}
    together = Run({**raw, "scan": scan}, tmp_path / "both").make().columns()
    ((name, values),) = scan.items()
    section, *keys = name.split(".")
    for value in values:
        alone = json.loads(json.dumps(raw))
        inner = alone[section]
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        mine = {key: column for key, column in together.items() if key.startswith(f"{name}={value:g}/")}
        other = Run(alone, tmp_path / str(value)).make().columns()
        assert len(mine) == len(other)
        for key, column in mine.items():
            assert column.tobytes() == other["nominal/" + key.split("/", 1)[1]].tobytes(), key


def test_columns_follow_from_each_other(tmp_path):
    found = Run({**SMALL, "scan": None}, tmp_path).make().columns()
    x_true, x_reco = found["nominal/x_true"][:, 0], found["nominal/x_reco"][:, 0]
    np.testing.assert_allclose(found["nominal/theta_true"], np.arctan(x_true / 1.5), rtol=1e-14)
    np.testing.assert_allclose(found["nominal/theta"], np.arctan(np.abs(x_reco) / 1.5), rtol=1e-14)
    for suffix, x in (("", x_reco), ("_true", x_true)):
        expected = 1.5 / (1.5**2 + x**2) * 0.01
        np.testing.assert_allclose(found[f"nominal/sigma_theta_linear{suffix}"], expected, rtol=1e-12)
    muon = found["nominal/toys/muon"]
    ratio = found["nominal/toys/toy_sd_theta"] / found["nominal/sigma_theta_linear_true"][muon]
    far = x_true[muon] > 0.05
    assert np.abs(ratio[far] - 1).max() < 5 / np.sqrt(2 * 400)
    assert (found["nominal/flag_theta"] == 0).all()


def test_what_is_quoted_is_linear_where_the_law_holds(tmp_path):
    raw = {**SMALL, "scan": None, "source": {"muons": 3000, "x_max": 0.1}, "toys": {"muons": 60, "per_muon": 400}}
    found = Run(raw, tmp_path).make().columns()
    ok = found["nominal/linear_valid_theta"] == 1
    assert 0.6 < ok.mean() < 0.9
    sigma, linear, bias = (found[f"nominal/{name}"] for name in ("sigma_theta", "sigma_theta_linear", "bias_theta"))
    np.testing.assert_array_equal(sigma[ok], linear[ok])
    assert (sigma[~ok] < linear[~ok]).all()
    # E|X|² = x² + σ²: at small angles mean and variance of the fold tell of each other.
    theta, scale = found["nominal/theta"], 0.01 / 1.5
    spread = np.sqrt(theta**2 + scale**2 - (theta + bias) ** 2)
    np.testing.assert_allclose(sigma[~ok], spread[~ok], rtol=2e-3)
    for level in ("68", "95"):
        low, high = found[f"nominal/interval{level}_theta"].T
        assert (low >= 0).all()
        assert (low < high).all()
    muon = found["nominal/toys/muon"]
    ratio = found["nominal/toys/toy_sd_theta"] / sigma[muon]
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(400)
    assert (found["nominal/toys/toy_count"] == 400).all()


@pytest.mark.parametrize(
    ("noise", "width", "largest"),
    [
        ("gaussian", 1, np.inf),
        ("strip", 1, np.sqrt(3) * 1.001),
        ({"kind": "strip", "pitch": 0.02}, 1 / np.sqrt(3), 1.001),
        ("tails", np.sqrt(0.95 + 0.05 * 25), np.inf),
        ("clipped", 0.8796, 2.001),
    ],
)
def test_hits_and_toys_have_the_noise_of_the_detector(tmp_path, noise, width, largest):
    raw = {**SMALL, "scan": None, "source": {"muons": 20_000}, "detector": {"noise": noise}}
    found = Run(raw, tmp_path).make().columns()
    off = (found["nominal/x_reco"] - found["nominal/x_true"])[:, 0] * 100
    assert off.std() == pytest.approx(width, rel=0.05)
    assert np.abs(off).max() <= largest
    muon = found["nominal/toys/muon"]
    far = found["nominal/theta_true"][muon] > 0.1
    ratio = (found["nominal/toys/toy_sd_theta"] / found["nominal/sigma_theta_linear_true"][muon])[far]
    assert np.sqrt((ratio**2).mean()) == pytest.approx(width, rel=0.05)
    # What propagation says doesn't change with the noise.
    np.testing.assert_allclose(
        found["nominal/sigma_theta_linear_true"], 1.5 / (1.5**2 + found["nominal/x_true"][:, 0] ** 2) * 0.01, rtol=1e-12
    )


def test_adaptive_toys_are_the_same_whatever_the_batches(tmp_path):
    raw = {**SMALL, "toys": {"muons": 20, "mode": "adaptive", "most": 40_000}}
    runs = [Run({**raw, "compute": {"batch_cost": cost}}, tmp_path / str(cost)).make() for cost in (1_000_000, 10**12)]
    assert [len(run.study.batches) for run in runs] == [4, 1]
    first, second = (run.columns() for run in runs)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_failed_muons_are_kept_and_flagged(tmp_path):
    Path("hits.csv").write_text("x,y\n0.5,0\nnan,0\n,0\ninf,0\n0,0\n-0.25,0\n")
    raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv"}, "toys": {"per_muon": 100}}
    run = Run(raw, tmp_path / "out").make()
    found = run.columns()
    bad = FLAGS["hit_not_finite"]
    assert found["nominal/flag_theta"].tolist() == [0, bad, bad, bad, 0, 0]
    assert np.isnan(found["nominal/theta"]).tolist() == [False, True, True, True, False, False]
    for name in ("sigma_theta_linear", "sigma_theta", "bias_theta"):
        assert np.isnan(found[f"nominal/{name}"]).tolist() == [False, True, True, True, False, False]
    assert np.isnan(found["nominal/interval95_theta"]).all(axis=1).tolist() == [False, True, True, True, False, False]
    # At the fold the linear law says 0, beside it 0.0066667, and the truth is neither.
    assert found["nominal/sigma_theta_linear"][4] == 0
    assert found["nominal/sigma_theta"][4] == pytest.approx(0.0040185, rel=1e-3)
    assert found["nominal/linear_valid_theta"].tolist() == [1, 0, 0, 0, 0, 1]
    assert found["nominal/toys/muon"].tolist() == [4, 5, 0]
    assert not any("true" in name for name in found)


@pytest.mark.parametrize("fit", ["gls", "ols"])
def test_recorded_momenta_set_the_scattering_of_each_muon(tmp_path, fit):
    """σ of the slope by propagation and by toys, against kicks by hand."""
    given = [3.0, 0.5, math.nan, 40.0] * 50
    hits = np.random.default_rng(1).normal([0.1, 0.2, 0.3], 1e-3, (200, 3))
    lines = [",".join([*map(str, row), "" if math.isnan(p) else str(p)]) for row, p in zip(hits, given, strict=True)]
    Path("hits.csv").write_text("\n".join(["x0,x1,x2,p", *lines]) + "\n")
    theta0, sigma, toys = 0.002, 1e-3, 5_000
    raw = {
        "study": "s",
        "source": {"kind": "recorded", "file": "hits.csv", "momentum_column": "p"},
        "model": {"name": "track", "z": [0.0, 0.5, 1.0], "theta0": theta0, "theta0_momentum": 3.0, "fit": fit},
        "detector": {"resolution": 1 / sigma},
        "toys": {"muons": 20, "per_muon": toys},
    }
    found = Run(raw, tmp_path / "out").make().columns()
    np.testing.assert_array_equal(found["nominal/momentum"], given)
    beta_p = lambda p: p**2 / np.hypot(p, 0.1056583755)  # noqa: E731
    kick = theta0 * beta_p(3.0) / beta_p(np.nan_to_num(given, nan=3.0))
    # The fitted slope is x2 − x0 over 1 m, and kicks at the layers at 1 and 0.5 m move x0 by their arms of 1 and 0.5 m.
    expected = np.sqrt(2 * sigma**2 + kick**2 * 1.25)
    if fit == "gls":
        states = [filtered(row, [0.0, 0.5, 1.0], [sigma] * 3, [each] * 3) for row, each in zip(hits, kick, strict=True)]
        np.testing.assert_allclose(found["nominal/slope"], [state[1] for state, _ in states], rtol=1e-9)
        expected = np.sqrt([P[1, 1] for _, P in states])
    np.testing.assert_allclose(found["nominal/sigma_slope"], expected, rtol=1e-9)
    thrown = found["nominal/toys/toy_sd_slope"] / expected[found["nominal/toys/muon"]]
    np.testing.assert_allclose(thrown, 1, rtol=4 / math.sqrt(2 * toys))
    assert {*(found["nominal/toys/muon"] % 4)} == {0, 1, 2, 3}  # every kind of momentum


@pytest.mark.slow
def test_muons_that_stop_are_counted(tmp_path):
    """Some of the vertical muons above 0.55 GeV/c have a range of less than 0.6 m of iron."""
    volume = {"material": "iron", "thickness": 0.6, "energy_loss": "bethe"}
    cosmic = {"spectrum": "sea_level", "momentum": 0.55, "zenith_max": 1e-6}
    raw = {
        "study": "s",
        "source": {"muons": 120, "cosmic": cosmic, "volume": volume},
        "model": {"name": "scatter", "z_upper": [0.6, 1.0], "z_lower": [-0.6, -1.0]},
        "toys": {"muons": 10, "per_muon": 50},
        "coverage": {"toys_per_bin": 100},
    }
    run = Run(raw, tmp_path / "out").make()
    stopped = np.isnan(run.columns()["nominal/x_true"]).any(axis=1).sum()
    assert 8 < stopped < 60
    for entry in Evidence.read(run.outputs.validation).points:
        expected = 0 if entry.observable == "theta_in" else stopped
        assert entry.quoted.counts.no_true_value == entry.linear.counts.no_true_value == expected


def test_batches_without_toys_are_no_trouble(tmp_path, block):
    raw = {
        "study": "s",
        "source": {"muons": 3 * block},
        "toys": {"muons": 1, "per_muon": 10},
        "compute": {"batch_cost": 1},
    }
    found = Run(raw, tmp_path / "out").make().columns()
    assert len(found["nominal/toys/muon"]) == 1
    Path("hits.csv").write_text("x\nnan\ninf\n")
    raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv"}}
    run = Run(raw, tmp_path / "none").make()
    assert len(run.columns()["nominal/toys/muon"]) == 0
    assert json.loads(run.outputs.validation.read_text())["verdict"] == "inconclusive"


def test_a_sorted_file_has_toys_everywhere(tmp_path, block):
    """Blocks of a sorted file hold one stretch of θ each; toys must reach the last of them."""
    x = np.linspace(0, 1, 3 * block)
    np.savetxt("hits.csv", x, header="x", comments="", fmt="%.9f")
    raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv"}, "toys": {"muons": 300, "per_muon": 2}}
    found = Run(raw, tmp_path / "out").make().columns()
    counts, _ = np.histogram(x[found["nominal/toys/muon"]], bins=10, range=(0, 1))
    assert counts.min() >= 20


def test_truth_and_noise_come_from_streams_of_their_own(tmp_path, block):
    found = Run({**SMALL, "scan": None, "source": {"muons": block + 100}}, tmp_path).make().columns()
    for index, rows in enumerate((slice(0, block), slice(block, block + 100))):
        count = len(found["nominal/x_true"][rows])
        assert np.array_equal(found["nominal/x_true"][rows], random_stream(1, "truth", index).random((count, 1)))
        noise = random_stream(1, "noise", index).standard_normal((count, 1))
        np.testing.assert_array_equal(found["nominal/x_reco"][rows], found["nominal/x_true"][rows] + noise / 100)


def test_the_same_hits_file_with_other_numbers_is_another_study(tmp_path):
    raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv"}}
    digests = set()
    for number in (1, 2):
        Path("hits.csv").write_text(f"x\n0.{number}\n")
        study = Study.from_config(raw)
        digests |= {study.digest, study.batch("reco", "nominal").digest}
    assert len(digests) == 4


def test_the_plan_of_a_study_needs_no_file_again():
    Path("scan.csv").write_text("model.dz\n1\n2\n")
    study = Study.from_config({**SMALL, "scan": {"table": "scan.csv"}})
    text, digest = study.to_json(), study.digest
    Path("scan.csv").write_text("model.dz\n1\n3\n")
    assert Study.from_json(text).batches == study.batches
    assert Study.from_json(text).digest == digest
    assert Study.from_config({**SMALL, "scan": {"table": "scan.csv"}}).digest != digest


def test_flags_of_muons_whose_hits_are_finite():
    nan = float("nan")
    said = [
        (0.3, 0.1, 0.0, 0.0),
        (nan, nan, nan, nan),
        (0.3, 0.0, 0.0, 0.0),
        (0.3, -0.1, 0.0, 0.0),
        (0.3, nan, 0.0, 0.0),
        (0.3, nan, nan, 0.0),
        (0.3, 0.1, 0.0, nan),
        (0.3, 0.1, 0.0, float("inf")),
    ]
    value, sigma, end, bound = np.array(said).T[:, :, None]
    ends = dict.fromkeys(("confidence68", "confidence95"), np.stack([bound, bound], axis=2))
    quoted = {"value": value, "sigma": sigma, "interval95": np.stack([end, end], axis=2), **ends}
    hits = torch.full((len(said), 1), 0.5, dtype=torch.float64)
    assert propagate._flag(infer_theta, hits, quoted)[:, 0].tolist() == [
        0,
        FLAGS["value_not_finite"] | FLAGS["sigma_zero_or_nan"],
        FLAGS["sigma_zero_or_nan"],
        FLAGS["sigma_negative"],
        FLAGS["no_standard_deviation"],
        FLAGS["sigma_zero_or_nan"],
        FLAGS["no_confidence_interval"],
        FLAGS["no_confidence_interval"],
    ]


def test_distances_from_folds_and_squares_are_columns(tmp_path):
    source = {"muons": 200, "cosmic": {"spectrum": "fixed", "momentum": 20.0, "zenith_max": 0.3}}
    model = {"name": "scatter"}
    found = Run({"study": "s", "model": model, "source": source, "detector": {"resolution": 1000}}, tmp_path).make()
    found = found.columns("nominal")
    for suffix in ("", "_true"):
        distance = found[f"distance_theta_msc{suffix}"]
        assert np.isfinite(distance).all()
        np.testing.assert_array_equal(found[f"distance_poca_z{suffix}"], distance)
        # Roughly in units of the linear σ, as σ hardly differs by direction at small zenith angles.
        ratio = found[f"theta_msc{suffix}"] / found[f"sigma_theta_msc_linear{suffix}"] / distance
        assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert not {"distance_dtheta_x", "theta_in_squared", "theta_msc_squared_true"} & set(found)
    off = found["theta_msc"] ** 2 - found["theta_msc_squared"]  # tr C
    np.testing.assert_allclose(off, 2 * found["sigma_theta_msc_linear"] ** 2, rtol=0.15)
    assert (found["sigma_theta_msc_squared"] > 0.8 * off).all()
    low, high = found["confidence95_theta_msc"].T
    inside = (low <= found["theta_msc_true"]) & (found["theta_msc_true"] <= high)
    assert inside.mean() > 0.9


def test_an_infinite_observable_is_flagged_and_the_others_are_quoted(tmp_path):
    code = (
        "import torch\ndef infer(hits):\n    a, b = hits.unbind(1)\n    return torch.stack([a / b, a.atan()], dim=1)\n"
    )
    (tmp_path / "model.py").write_text(code)
    (tmp_path / "hits.csv").write_text("a,b\n0.5,0.4\n0.5,0\n0.1,0.7\n0,0\n")
    quantities = [{"name": name, "unit": "1", "fold": "none"} for name in ("ratio", "angle")]
    model = {"name": "own", "file": str(tmp_path / "model.py"), "coordinates": ["a", "b"], "observables": quantities}
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run = Run({"study": "s", "model": model, "source": source, "toys": {"per_muon": 300}}, tmp_path).make()
    found = run.columns("nominal")
    without = FLAGS["value_not_finite"] | FLAGS["sigma_zero_or_nan"]
    assert found["flag_ratio"].tolist() == [0, without, 0, without]
    assert found["flag_angle"].tolist() == [0, 0, 0, 0]
    a = np.array([0.5, 0.5, 0.1, 0.0])
    np.testing.assert_allclose(found["sigma_angle_linear"], 0.01 / (1 + a**2), rtol=1e-12)
    np.testing.assert_allclose(found["sigma_angle"], 0.01 / (1 + a**2), rtol=1e-3)
    assert np.isfinite(found["interval68_angle"]).all()
    for name in ("sigma_ratio", "sigma_ratio_linear", "bias_ratio", "interval95_ratio"):
        assert np.isnan(found[name][[1, 3]]).all(), name
        assert np.isfinite(found[name][[0, 2]]).all(), name
    assert np.isfinite(found["toys/toy_sd_angle"]).all()
