import numpy as np
import pytest
from pictured import SIGMA_X, SIGMA_Y, Z, draw, recorded_study
from running import PROJECT, Run

from pullback.config.schema import StudyConfig
from pullback.report.figures.detector import _layer_in_words
from pullback.report.gallery import gallery
from pullback.study.plan import Study


def line(axes, label):
    """The points of a line by its label."""
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return found.get_xydata()


def test_layers_hits_and_line_of_the_first_muon(telescope):
    canvas = draw(telescope.run, "detector")
    assert gallery(telescope.run.study)[0].kind == "detector"
    theta, sigma = telescope.columns["theta"][0] * 1000, telescope.columns["sigma_theta"][0] * 1000
    title = canvas.get_suptitle()
    assert title.startswith(f"muon 0: θ = {theta:.2f} ± {sigma:.2f} mrad, φ = ")
    for view, (left, right), sigma in zip("xy", np.reshape(canvas.axes, (2, 2)), (SIGMA_X, SIGMA_Y), strict=True):
        own = telescope.hits[0, "xy".index(view) * 4 :][:4] * 1000
        layers = [each.get_ydata()[0] for each in left.lines if each.get_label() == "layer"]
        assert layers == sorted(Z)
        np.testing.assert_allclose(line(left, f"hits, {view}"), np.stack([own, Z], axis=1))
        seen = np.isfinite(own)
        slope, start = np.polyfit(np.array(Z)[seen], own[seen], 1)
        x, z = line(left, f"fitted line, {view}").T
        np.testing.assert_allclose(x, start + slope * z, rtol=1e-9)
        bars = right.containers[0].lines[2][0]
        lengths = [np.ptp(segment[:, 0]) for segment in bars.get_segments() if len(segment)]
        factor = 1e6 if "µm" in right.get_xlabel() else 1e3
        np.testing.assert_allclose(lengths, 2 * sigma * factor)
        assert right.get_title().startswith("σ of the hits: ")


def test_the_picture_is_to_scale_or_says_by_how_much_it_is_not(telescope):
    canvas = draw(telescope.run, "detector")
    for axes in canvas.axes[::2]:
        words = axes.get_title()
        stretched = 1 if words == "to scale" else int(words.split()[2])
        box = axes.get_window_extent()
        of_x, of_z = box.width / np.ptp(axes.get_xlim()), box.height / np.ptp(axes.get_ylim())
        millimetres = 1000 if "(mm)" in axes.get_xlabel() else 1
        assert of_x * millimetres / of_z == pytest.approx(stretched, rel=1e-3)
        x = np.concatenate([each.get_xdata() for each in axes.lines if "line" in each.get_label()])
        assert axes.get_xlim()[0] < x.min() < x.max() < axes.get_xlim()[1]


def test_scattering_has_its_volume_and_the_point_of_closest_approach(tmp_path):
    model = {"name": "scatter", "z_upper": [0.6, 0.8], "z_lower": [-0.6, -0.8]}
    source = {"muons": 12, "volume": {"z": 0.1, "thickness": 0.2}}
    raw = {"study": "s", "source": source, "model": model, "detector": {"resolution": 20000}}
    run = Run({**raw, "toys": {"muons": 2, "per_muon": 50}}, tmp_path).make()
    columns, canvas = run.columns("nominal"), draw(run, "detector")
    for view, axes in zip("xy", canvas.axes[::2], strict=True):
        (volume,) = axes.patches
        assert volume.get_label() == "volume, 200 mm thick"
        assert (volume.get_y(), volume.get_height()) == pytest.approx((0.0, 200.0))
        point = line(axes, "point of closest approach")
        factor = 1000 if "(mm)" in axes.get_xlabel() else 1
        expected = [columns[f"poca_{view}"][0] * factor, columns["poca_z"][0] * 1000]
        np.testing.assert_allclose(point, [expected])


def test_layers_say_how_they_scatter():
    for model, words in (
        ({"name": "track"}, "layer"),
        ({"name": "track", "theta0": 0.001}, "layer, scatters: $θ_0$ = 1 mrad"),
        ({"name": "track", "theta0": [0.001, 0, 0.002]}, "layer, scatters: $θ_0$ = 0 rad to 2 mrad"),
        ({"name": "track", "material": 0.01}, "layer, scatters: 0.01 $X_0$"),
    ):
        assert _layer_in_words(StudyConfig.model_validate({"study": "s", "model": model}).model) == words


def test_without_tracks_there_are_only_the_layers(tmp_path):
    run = recorded_study(tmp_path, np.full((2, 3), np.nan), {"name": "track"}, {"resolution": 100.0})
    (axes,) = draw(run, "detector").axes
    assert {each.get_label() for each in axes.lines} == {"layer"}


def test_a_muon_without_one_of_its_lines_is_shown_if_none_has_all(tmp_path):
    hits = np.zeros((3, 8))
    hits[:, 4:] = np.nan
    run = recorded_study(tmp_path, hits, {"name": "track3d", "z": Z}, {"resolution": 100.0})
    canvas = draw(run, "detector")
    assert canvas.get_suptitle() == "muon 0"


def test_of_a_model_of_ones_own_there_is_no_picture():
    own = {
        "file": str(PROJECT / "examples" / "magnet.py"),
        "function": "infer",
        "coordinates": ["x0", "x1", "x2"],
        "observables": [{"name": name, "unit": "1", "fold": "none"} for name in ("s", "q")],
        "parameters": {"B": 1.0, "z": [1.0, 0.5, 0.0]},
    }
    study = Study.from_config({"study": "s", "model": own})
    assert "detector" not in {each.kind for each in gallery(study)}
