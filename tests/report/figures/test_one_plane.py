import numpy as np
import pytest
from pictured import draw, recorded_study
from running import Run


def test_the_angle_the_plane_and_the_resolution_of_one_hit(tmp_path):
    raw = {"study": "s", "source": {"muons": 5}, "model": {"dz": 2.0}, "detector": {"resolution": 50.0}}
    run = Run({**raw, "toys": {"muons": 2, "per_muon": 50}}, tmp_path).make()
    columns, canvas = run.columns("nominal"), draw(run, "detector")
    left, right = canvas.axes
    x, true = columns["x_reco"][0, 0], columns["x_true"][0, 0]
    factor = 1000 if "(mm)" in left.get_xlabel() else 1
    by_label = {each.get_label(): each.get_xydata() for each in left.lines}
    np.testing.assert_allclose(by_label["inferred direction"], [[0, 2], [x * factor, 0]])
    np.testing.assert_allclose(by_label["origin of the muons"], [[0, 2]])
    assert "dz = 2 m" in [each.get_text() for each in left.texts]
    assert "± σ = 20 mm" in [each.get_text() for each in right.texts]
    (segment,) = right.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [-20, 20])
    marked = {each.get_label(): each.get_xdata() for each in right.lines}["true hit"]
    np.testing.assert_allclose(marked, [(true - x) * 1000], atol=1e-9)
    assert canvas.get_suptitle().startswith("muon 0: θ = ")


@pytest.mark.parametrize(("rows", "muon"), [([[np.nan], [-0.1], [0.2]], 1), ([[1e-300]], 0)])
def test_the_first_muon_with_a_hit_is_shown(tmp_path, rows, muon):
    run = recorded_study(tmp_path, np.array(rows), {"name": "one_hit"}, {"resolution": 100.0}, columns={"x": "x0"})
    assert draw(run, "detector").get_suptitle().startswith(f"muon {muon}: θ = ")


def test_without_hits_there_are_the_plane_and_the_origin(tmp_path):
    run = recorded_study(tmp_path, np.array([[np.nan]]), {"name": "one_hit"}, {"resolution": 1.0}, columns={"x": "x0"})
    (axes,) = draw(run, "detector").axes
    assert "inferred direction" not in [each.get_label() for each in axes.lines]


@pytest.mark.parametrize("x", [0.8, -0.8])
def test_the_angle_is_named_inside_it_and_dz_beside_the_line(tmp_path, x):
    run = recorded_study(tmp_path, np.array([[x]]), {"name": "one_hit"}, {"resolution": 100.0}, columns={"x": "x0"})
    canvas = draw(run, "detector")
    canvas.draw_without_rendering()
    axes = canvas.axes[0]
    texts = {each.get_text(): each for each in axes.texts}
    across, z = texts["θ"].get_position()
    (direction,) = [each.get_xydata() for each in axes.lines if each.get_label() == "inferred direction"]
    (_, top), (end, _) = direction
    assert 0 < across / end < 1 - z / top
    (words,) = [each for name, each in texts.items() if name.startswith("dz = ")]
    box, vertical = words.get_window_extent(), axes.transData.transform((0, 0))[0]
    assert box.x1 < vertical - 1 if x > 0 else box.x0 > vertical + 1
