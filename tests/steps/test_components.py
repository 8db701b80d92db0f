"""Columns that say where uncertainties come from, against propagation by itself and against small changes."""

import csv
import math

import numpy as np
import pytest
import torch
from oracles import best_line
from running import Run

from pullback import propagate
from pullback.config.model_schema import Track3d
from pullback.detector.bound_model import Inference, hit_covariance, parameters_of
from pullback.detector.reconstruction import Reconstruction
from pullback.models import load_model
from pullback.store.study_file import open_study
from pullback.study.shared_parameters import shift_covariance
from pullback.uncertainty import linear
from pullback.validation.evidence import Evidence

SYSTEMATICS = {
    "model.z[1]": 0.01,
    "alignment.x[2]": 0.003,
    "alignment.y[0]": 0.002,
    "correlations": {"model.z[1], alignment.x[2]": -0.4},
}
NAMES = ["model.z[1]", "alignment.x[2]", "alignment.y[0]"]
STUDY = {
    "study": "s",
    "source": {"muons": 300},
    "model": {"name": "track3d", "theta0": 0.005},
    "detector": {"resolution": [200, 100, 300], "efficiency": 0.8},
    "systematics": SYSTEMATICS,
    "toys": {"muons": 4, "per_muon": 10, "experiments": 100},
}


@pytest.fixture(scope="module", params=["gls", "ols"])
def made(request, tmp_path_factory):
    raw = {**STUDY, "model": {**STUDY["model"], "fit": request.param}}
    run = Run(raw, tmp_path_factory.mktemp("made")).make()
    with open_study(run.outputs.study) as reader:
        columns = {name.removeprefix("nominal/"): reader.rows(name) for name, _ in reader.columns("nominal")}
        dims = {
            name: reader.dims(f"nominal/{name}") for name in ("budget_theta", "systematic_jacobian_phi", "covariance")
        }
    return run.study.model, columns, dims


def by_hand(model, hits):
    parameters = parameters_of(model, {"resolution": [200.0, 100.0, 300.0]})
    reconstruction = Reconstruction(model, parameters, by_lines=model.fit == "gls")
    hits, covariance, _ = reconstruction.taken(hits)
    return propagate(reconstruction.infer, hits, covariance=covariance)


def best_angles(hits, z, covariance):
    """Zenith angle, azimuth and slopes by the best lines in both views."""
    found = np.full((len(hits), 4), np.nan)
    for row, each in zip(found, hits, strict=True):
        if np.isfinite(each).sum() >= 4:
            tx, ty = (best_line(view, z, covariance)[0][1] for view in np.split(each, 2))
            row[:] = math.atan(math.hypot(tx, ty)), math.atan2(ty, tx), tx, ty
    return found


def test_the_covariance_is_that_of_propagation(made):
    model, columns, dims = made
    found = by_hand(model, torch.from_numpy(columns["x_reco"]))
    np.testing.assert_allclose(columns["covariance"], found.covariance, rtol=1e-12, atol=1e-18)
    names = [each.name for each in model.observables]
    assert dims["covariance"] == {"muon": None, "observable": names, "observable_2": names}
    for axis, name in enumerate(names):
        np.testing.assert_allclose(columns["covariance"][:, axis, axis] ** 0.5, columns[f"sigma_{name}_linear"])
    lost = np.isnan(columns["x_reco"][:, :3]).sum(axis=1) >= 2
    assert 0.05 < lost.mean() < 0.2
    np.testing.assert_array_equal(np.isnan(columns["covariance"]).all(axis=(1, 2)), lost)


@pytest.mark.parametrize("name", ["theta", "phi", "tx", "ty"])
def test_the_budget_adds_up(made, name):
    _, columns, dims = made
    shares = columns[f"budget_{name}"].sum(axis=1)
    expected = columns[f"sigma_{name}_linear"] ** 2 + columns[f"sigma_shared_{name}"] ** 2
    np.testing.assert_allclose(shares, expected, rtol=1e-10)
    assert np.isfinite(shares).sum() > 200
    sources = dims["budget_theta"]["source"]
    assert sources[:3] == ["layer 0", "layer 1", "layer 2"]
    assert [each for each in sources if each in NAMES] == NAMES
    assert len(sources) == len(set(sources)) == 3 + 1 + 3 + 1  # with correlations of the hits, and of the systematics


@pytest.mark.parametrize("name", ["theta", "phi", "tx", "ty"])
def test_the_total_is_the_quoted_and_the_shared_one(made, name):
    _, columns, _ = made
    jacobian, sigma_eta = columns[f"systematic_jacobian_{name}"], shift_covariance(SYSTEMATICS)
    shared = np.sqrt(np.einsum("mk,kl,ml->m", jacobian, sigma_eta, jacobian))
    np.testing.assert_allclose(columns[f"sigma_shared_{name}"], shared, rtol=1e-12)
    np.testing.assert_allclose(columns[f"sigma_total_{name}"], np.hypot(columns[f"sigma_{name}"], shared), rtol=1e-12)
    assert (shared[np.isfinite(shared)] > 0).mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_the_systematic_jacobian_is_the_change_of_what_is_inferred(made, name):
    """Central differences over numbers that are really shifted: a model with other heights, hits that lie elsewhere."""
    model, columns, dims = made
    assert dims["systematic_jacobian_phi"]["systematic"] == NAMES

    def inferred(shift):
        z, hits = [0.0, 0.5, 1.0], columns["x_reco"].copy()
        if name == "model.z[1]":
            z[1] += shift
        else:
            hits[:, {"alignment.x[2]": 2, "alignment.y[0]": 3}[name]] += shift
        if model.fit == "gls":  # by the weights of the layers where they are said to be
            parameters = parameters_of(model, {"resolution": [200.0, 100.0, 300.0]})
            return best_angles(hits, z, hit_covariance(model, parameters, torch.zeros(1, 6))[0, :3, :3].numpy())
        other = load_model(Track3d(z=z, theta0=0.005))
        return Inference(other, parameters_of(other, {"resolution": [200.0, 100.0, 300.0]}))(
            torch.from_numpy(hits)
        ).numpy()

    h = 1e-5
    difference = inferred(h) - inferred(-h)
    difference[:, 1] -= 2 * math.pi * np.round(difference[:, 1] / (2 * math.pi))
    for axis, each in enumerate(model.observables):
        found = columns[f"systematic_jacobian_{each.name}"][:, NAMES.index(name)]
        near = columns["theta"] > 0.05  # the azimuth of a vertical muon bends within a step
        np.testing.assert_allclose(found[near], difference[near, axis] / (2 * h), rtol=1e-5, atol=1e-6)
    assert np.nanmax(abs(found)) > 0.1 or name == "alignment.x[2]"  # the last one is dy/dz


def test_one_source_needs_no_budget_and_one_observable_no_covariance(tmp_path):
    run = Run({"study": "s", "source": {"muons": 20}, "toys": {"muons": 2, "per_muon": 10}}, tmp_path).make()
    with open_study(run.outputs.study) as reader:
        names = {name for name, _ in reader.columns("nominal")}
    assert not [name for name in names if "budget" in name or "covariance" in name or "shared" in name]


DESIGNS = {
    "one_hit": ({"model": {"name": "one_hit"}}, {"model.dz": 1.5, "detector.resolution": 100.0}),
    "strips": (
        {"detector": {"noise": {"kind": "strip", "pitch": 0.02}}},
        {"model.dz": 1.5, "detector.resolution": 100.0},
    ),
    "track": (
        {"model": {"name": "track", "theta0": 0.01}, "detector": {"resolution": 100.0}},
        {"model.z[1]": 0.5, "model.theta0": 0.01, "detector.resolution": 100.0},
    ),
    "a resolution for each layer": (
        {
            "model": {"name": "track", "theta0": 0.01},
            "detector": {"resolution": [100.0, 50.0, 200.0], "efficiency": 0.9, "noise": "strip"},
        },
        {"model.z[0]": 0.0, "detector.resolution[1]": 50.0},
    ),
    "track3d": (
        {"model": {"name": "track3d"}, "detector": {"resolution": 100.0, "efficiency": 0.9}},
        {"model.z[1]": 0.5, "detector.resolution": 100.0},
    ),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_slopes_by_the_design_are_those_of_studies_made_again(tmp_path, name):
    """d(mean σ)/d(parameter) of a study against studies at parameter ± h, with the same random numbers."""
    more, base = DESIGNS[name]
    steps = {each: 1e-4 * (value or 1.0) for each, value in base.items()}
    rows = [dict(base)]
    rows += [{**base, each: base[each] + sign * steps[each]} for each in base for sign in (1, -1)]
    scan = {"zip": {each: [row[each] for row in rows] for each in base}}
    raw = {"study": "s", "source": {"muons": 150}, "toys": {"muons": 1, "per_muon": 2}, "scan": scan, **more}
    run = Run(raw, tmp_path).make()
    with open(run.outputs.summary, newline="") as lines:
        summary = list(csv.DictReader(lines))
    for observable in [each.name for each in run.study.model.observables]:
        points = [row for row in summary if row["observable"] == observable]
        assert len(points) == len(rows)
        for index, each in enumerate(base):
            up, down = (float(point["mean_sigma_all"]) for point in points[1 + 2 * index : 3 + 2 * index])
            slope = float(points[0][f"d_mean_sigma_d_{each}"])
            size = float(points[0]["mean_sigma_all"]) / (base[each] or 1.0)
            assert slope == pytest.approx((up - down) / (2 * steps[each]), rel=1e-6, abs=1e-6 * size), (
                observable,
                each,
            )


def test_one_coordinate_has_its_budget_too(tmp_path):
    """One hit: ∂θ/∂dz = -x/(dz² + x²) and ∂θ/∂x = dz/(dz² + x²); a lone variance is no matrix of hits."""
    raw = {"study": "s", "source": {"muons": 20}, "systematics": {"model.dz": 0.1}, "toys": {"muons": 2, "per_muon": 2}}
    run = Run(raw, tmp_path).make()
    with open_study(run.outputs.study) as reader:
        x, budget = reader.rows("nominal/x_reco")[:, 0], reader.rows("nominal/budget_theta")
        assert reader.dims("nominal/budget_theta")["source"] == ["layer 0", "model.dz"]
    expected = np.stack([1.5 * 0.01 / (1.5**2 + x**2), 0.1 * x / (1.5**2 + x**2)], axis=1)
    np.testing.assert_allclose(budget, expected**2, rtol=1e-12)


def test_nothing_is_said_of_muons_that_are_all_lost(tmp_path):
    raw = {**STUDY, "detector": {"efficiency": 1e-9}, "source": {"muons": 20}, "scan": {"model.theta0": [0, 0.1]}}
    run = Run(raw, tmp_path).make()
    entries = Evidence.read(run.outputs.validation).points
    assert {entry.shared.experiment_muons for entry in entries} == {0}
    assert {entry.verdict for entry in entries} == {"inconclusive"}


def test_without_systematics_any_number_of_muons_is_propagated(tmp_path, monkeypatch):
    """Several blocks of propagation, and no systematic to propagate: the default of every model with layers."""
    study = {key: value for key, value in STUDY.items() if key != "systematics"}
    whole = Run(study, tmp_path / "whole").make()
    monkeypatch.setattr(linear, "MUONS_AT_A_TIME", 256)  # 32 muons of 6 coordinates
    parts = Run(study, tmp_path / "parts").make()
    with open_study(whole.outputs.study) as one, open_study(parts.outputs.study) as other:
        for name in ("budget_theta", "covariance", "sigma_theta"):
            # Blocks without missing hits have closed forms: covariances that cancel to 0 are so to rounding.
            np.testing.assert_allclose(
                other.rows(f"nominal/{name}"), one.rows(f"nominal/{name}"), rtol=1e-13, atol=1e-18
            )
