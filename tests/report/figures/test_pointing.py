from types import SimpleNamespace

import numpy as np
import pytest
from pictured import SIGMA_X, SIGMA_Y, Z, draw, recorded_study
from running import Run

from pullback.report.figures import pointing as module


def by_closed_form(z, sigma, at):
    """σ of the least-squares line of equal weights, PDG 2024, section 40.2.3: σ² (1/N + (z − z̄)²/Σ(z − z̄)²)."""
    z = np.array(z)
    return sigma * np.sqrt(1 / len(z) + (at - z.mean()) ** 2 / ((z - z.mean()) ** 2).sum())


def curves(canvas):
    (axes,) = canvas.axes
    found = {line.get_label(): line.get_xydata() for line in axes.lines if not line.get_label().startswith("_")}
    return axes, found


def test_sigma_over_z_is_that_of_the_line_and_hits_are_beside_it(telescope):
    axes, found = curves(draw(telescope.run, "pointing"))
    for view, sigma in (("x", SIGMA_X), ("y", SIGMA_Y)):
        z, drawn = found[f"track, {view}"].T
        np.testing.assert_allclose(drawn, 1000 * by_closed_form(Z, sigma, z), rtol=1e-9)
        assert (z.min(), z.max()) == (pytest.approx(-0.25), pytest.approx(1.25))
        np.testing.assert_allclose(found[f"hits, {view}"], [[each, 1000 * sigma] for each in Z])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z (m)", "σ of the position (mm)")
    layers = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert layers == sorted(Z)


def test_each_arm_of_scattering_has_its_own_line_to_the_middle(tmp_path):
    model = {"name": "scatter", "z_upper": [0.5, 0.75, 1.0], "z_lower": [-0.4, -0.8]}
    raw = {"study": "s", "source": {"muons": 30}, "model": model, "detector": {"resolution": 2000.0}}
    run = Run({**raw, "toys": {"muons": 2, "per_muon": 100}}, tmp_path).make()
    axes = draw(run, "pointing").axes[0]
    drawn = [line.get_xydata() for line in axes.lines if line.get_label().startswith("track")]
    assert len(drawn) == 4
    for (z, sigma), heights, span in zip(
        (each.T for each in drawn), [[0.5, 0.75, 1.0], [-0.4, -0.8]] * 2, [(0.05, 1.125), (-0.9, 0.05)] * 2, strict=True
    ):
        np.testing.assert_allclose(sigma, 1000 * by_closed_form(heights, 5e-4, z), rtol=1e-9)
        np.testing.assert_allclose([z.min(), z.max()], span, atol=1e-12)


def test_muons_with_errors_of_their_own_give_the_median(tmp_path):
    hits, sigma = np.zeros((9, 3)), np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 50.0, 50.0, 50.0]) * 1e-3
    names = [f"x{layer}" for layer in range(3)]
    rows = [",".join(map(repr, [*row.tolist(), float(own)])) for row, own in zip(hits, sigma, strict=True)]
    (tmp_path / "hits.csv").write_text("\n".join([",".join([*names, "s"]), *rows]) + "\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv"), "sigma": dict.fromkeys(names, "s")}
    raw = {"study": "s", "source": source, "model": {"name": "track", "z": [0.0, 0.5, 1.0]}}
    run = Run({**raw, "toys": {"muons": 2, "per_muon": 100}}, tmp_path / "out").make()
    _, found = curves(draw(run, "pointing"))
    z, drawn = found["track, x"].T
    np.testing.assert_allclose(drawn, 1000 * by_closed_form([0.0, 0.5, 1.0], 3e-3, z), rtol=1e-9)
    np.testing.assert_allclose(found["hits, x"][:, 1], 3.0)


def test_only_muons_with_the_most_hits_are_typical(tmp_path):
    hits = np.zeros((9, 4))
    hits[2:, 1] = np.nan
    run = recorded_study(tmp_path, hits, {"name": "track", "z": Z}, {"resolution": 500.0})
    _, found = curves(draw(run, "pointing"))
    z, drawn = found["track, x"].T
    np.testing.assert_allclose(drawn, 1000 * by_closed_form(Z, SIGMA_X, z), rtol=1e-9)


def test_planes_of_the_config_are_marked_and_reached(telescope, monkeypatch):
    monkeypatch.setattr(module, "planes_of", lambda _: [0.06, 3.0])
    axes, found = curves(draw(telescope.run, "pointing"))
    planes = [line.get_xdata()[0] for line in axes.lines if line.get_label() == "planes of model.at"]
    assert planes == [0.06, 3.0]
    assert found["track, x"][:, 0].max() == 3.0


def test_planes_are_those_of_the_model():
    for model, planes in ((SimpleNamespace(at=[0.06, 0.5]), [0.06, 0.5]), (SimpleNamespace(), [])):
        assert module.planes_of(model) == planes
