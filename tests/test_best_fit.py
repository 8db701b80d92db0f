"""The best fit of each muon through the whole pipeline: recorded errors, covariances, heights and momenta."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracles import best_line
from running import Run

from pullback.models.best_line import gain_of
from pullback.uncertainty.covariance import check_covariance

Z = np.array([0.6, 0.0, 0.3, 1.0])
MUONS = 60
MASS = 0.1056583755


def scattering(z, theta0):
    """The covariance by scattering: what each layer's deflection does to the hits below it, layer by layer."""
    kicks = [angle * np.maximum(height - z, 0.0) for height, angle in zip(z, theta0, strict=True)]
    return sum(np.outer(kick, kick) for kick in kicks)


def recorded(folder):
    """A file of tracks in mm, and for each muon its hits, heights and the covariance of its hits, in m."""
    rng = np.random.default_rng(4)
    z = Z + rng.normal(0, 5e-3, (MUONS, 4))
    sigma = np.exp(rng.uniform(np.log(1e-4), np.log(2e-3), (MUONS, 4)))
    rho, p = rng.uniform(-0.8, 0.8, MUONS), rng.uniform(0.5, 4, MUONS)
    known = np.where(np.arange(MUONS) % 5 == 0, np.nan, p)
    x = rng.uniform(-0.1, 0.1, (MUONS, 1)) + rng.normal(0, 0.2, (MUONS, 1)) * z + sigma * rng.normal(size=(MUONS, 4))
    x[rng.random(x.shape) < 0.1] = np.nan
    material = np.array([0.02, 0.0, 0.1, 0.05])
    muons = []
    for row in range(MUONS):
        beta_p = (q := np.nan_to_num(known[row], nan=2.0)) ** 2 / math.hypot(q, MASS)
        log = np.log(np.maximum(material, 1e-9) * (q / beta_p) ** 2)
        theta0 = 0.0136 / beta_p * np.sqrt(material) * (1 + 0.038 * log)
        covariance = np.diag(sigma[row] ** 2) + scattering(z[row], theta0)
        covariance[0, 3] = covariance[3, 0] = covariance[0, 3] + rho[row] * sigma[row, 0] * sigma[row, 3]
        muons.append((x[row], z[row], covariance))
    shared = rho * sigma[:, 0] * sigma[:, 3]
    table = np.concatenate([1e3 * x, 1e3 * z, 1e3 * sigma, 1e6 * shared[:, None], known[:, None]], axis=1)
    names = [f"{kind}{layer}" for kind in ("x", "Z", "s") for layer in range(4)]
    lines = [",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in table]
    (folder / "hits.csv").write_text("\n".join([",".join([*names, "c", "p"]), *lines]) + "\n")
    source = {
        "kind": "recorded",
        "file": str(folder / "hits.csv"),
        "unit": "mm",
        "z": ["Z0", "Z1", "Z2", "Z3"],
        "sigma": {f"x{layer}": f"s{layer}" for layer in range(4)},
        "covariance": {"x0,x3": "c"},
        "momentum_column": "p",
    }
    model = {"name": "track", "z": Z.tolist(), "material": ["2 %X0", 0, "0.1 X0", 0.05], "momentum": "2 GeV"}
    return {"study": "s", "source": source, "model": model}, muons


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("best")
    raw, muons = recorded(folder)
    more = {"systematics": {"alignment.x[1]": 1e-3}, "toys": {"muons": 30, "per_muon": 4000, "experiments": 100}}
    return Run({**raw, **more}, folder / "out").make().columns(), muons


def test_lines_are_the_best_by_all_that_is_recorded_of_a_muon(made):
    found, muons = made
    judged = 0
    for muon, (hits, z, covariance) in enumerate(muons):
        if np.isfinite(hits).sum() < 2:
            assert np.isnan(found["nominal/slope"][muon])
            continue
        (intercept, slope), P = best_line(hits, z, covariance)
        assert found["nominal/slope"][muon] == pytest.approx(slope, rel=1e-8)
        assert found["nominal/intercept"][muon] == pytest.approx(intercept, rel=1e-8, abs=1e-12)
        assert found["nominal/sigma_slope"][muon] == pytest.approx(math.sqrt(P[1, 1]), rel=1e-8)
        assert found["nominal/sigma_intercept"][muon] == pytest.approx(math.sqrt(P[0, 0]), rel=1e-8)
        judged += 1
    assert judged > 50


def test_toys_of_a_muon_have_its_weights(made):
    found, muons = made
    sigma = [math.sqrt(best_line(*muons[muon])[1][1, 1]) for muon in found["nominal/toys/muon"]]
    np.testing.assert_allclose(found["nominal/toys/toy_sd_slope"] / sigma, 1, rtol=4.5 / math.sqrt(2 * 4000))


def test_budgets_and_systematics_are_those_of_its_weights(made):
    found, muons = made
    for muon, (hits, z, covariance) in enumerate(muons):
        if np.isfinite(hits).sum() < 2:
            continue
        there = np.isfinite(hits)
        weights = np.zeros(4)
        weights[there] = [best_line(np.where(there, unit, np.nan), z, covariance)[0][1] for unit in np.eye(4)[there]]
        shares = found["nominal/budget_slope"][muon]
        np.testing.assert_allclose(shares[:4], weights**2 * covariance.diagonal(), rtol=1e-7, atol=1e-18)
        variance = weights @ covariance @ weights + (1e-3 * weights[1]) ** 2
        assert shares.sum() == pytest.approx(variance, rel=1e-8)
        jacobian = found["nominal/systematic_jacobian_slope"][muon]
        assert jacobian[0] == pytest.approx(weights[1], rel=1e-7, abs=1e-12)


def test_residuals_are_hits_less_what_all_others_say_of_them(made):
    """χ² of the fit, and a free shift of one hit, whose estimate is its unbiased residual."""
    found, muons = made
    for muon, (hits, z, covariance) in enumerate(muons):
        there = np.flatnonzero(np.isfinite(hits))
        if len(there) < 3:
            continue
        inverse = np.linalg.inv(covariance[np.ix_(there, there)])
        lines = np.stack([np.ones(len(there)), z[there]], axis=1)
        off = hits[there] - lines @ best_line(hits, z, covariance)[0]
        assert found["nominal/chi2"][muon] == pytest.approx(off @ inverse @ off, rel=1e-7, abs=1e-9)
        assert found["nominal/ndf"][muon] == len(there) - 2
        for index, layer in enumerate(there):
            design = np.concatenate([lines, np.eye(len(there))[:, [index]]], axis=1)
            P = np.linalg.inv(design.T @ inverse @ design)
            shift = (P @ design.T @ inverse @ hits[there])[2]
            assert found["nominal/residual"][muon, layer] == pytest.approx(shift, rel=1e-6, abs=1e-10)
            assert found["nominal/residual_sigma"][muon, layer] == pytest.approx(math.sqrt(P[2, 2]), rel=1e-6)


def test_a_hit_without_a_height_is_refused_with_its_row_and_column(tmp_path):
    raw, _ = recorded(tmp_path)
    lines = (tmp_path / "hits.csv").read_text().splitlines()
    cells = ["1" if index < 4 else cell for index, cell in enumerate(lines[3].split(","))]
    cells[5] = ""
    (tmp_path / "hits.csv").write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]) + "\n")
    with pytest.raises(Exception, match=r"hits.csv: row 3, column 'Z1': is not a height: it is empty"):
        Run(raw, tmp_path / "out").make()


def test_the_covariance_of_a_line_is_symmetric_and_positive_whatever_the_variances():
    """σ from 1 pm to 100 km in layers that are rotated: terms of G Σ Gᵀ cancel to far less than their rounding."""
    rng, layers, muons = np.random.default_rng(7), 3, 200
    sigma = 10.0 ** rng.uniform(-12, 5, (muons, 2 * layers))
    turn = np.zeros((muons, 2 * layers, 2 * layers))
    for layer, angle in enumerate([0.0, -0.08, 1e-6]):
        places = np.ix_(range(muons), [layer, layer + layers], [layer, layer + layers])
        turn[places] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    root = turn * sigma[:, None]
    covariance = torch.from_numpy(root @ root.swapaxes(1, 2))
    z, at = torch.tensor([[0.0, 0.5, 2.0] * 2]).double(), torch.tensor([0.0, 1.0]).double()
    hits = torch.zeros(muons, 2 * layers).double()
    gain = gain_of(covariance, z, hits, [range(layers), range(layers, 2 * layers)], [at, at])
    found = gain.propagated(covariance)
    assert torch.equal(found, found.mT)
    check_covariance(found)
    matrix = gain.matrix.numpy()
    for muon in range(muons):
        exact = [[Fraction(each) for each in row] for row in matrix[muon].tolist()]
        known = [[Fraction(each) for each in row] for row in covariance[muon].tolist()]
        for place, row in enumerate(exact):
            variance = sum(a * b * known[i][j] for i, a in enumerate(row) for j, b in enumerate(row))
            terms = sum(abs(a) * float(known[i][i]) ** 0.5 for i, a in enumerate(row)) ** 2
            assert found[muon, place, place].item() == pytest.approx(
                float(variance), abs=3e-14 * float(terms)
            )  # pivots of 100 ε
