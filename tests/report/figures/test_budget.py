import pytest
from matplotlib.colors import to_hex
from running import Run

from pullback.report.figures import base
from pullback.report.figures.budget import budget_scan, stacked
from pullback.report.gallery import SCANNED, gallery
from pullback.validation.evidence import Evidence


@pytest.mark.parametrize("layers", [2, 5, 8, 9])
def test_correlations_have_a_colour_of_their_own(layers):
    names = [f"layer {index}" for index in range(layers)] + ["hit correlations"]
    canvas, axes = base.plt.subplots()
    stacked(axes.bar, [dict.fromkeys(names, 0.1)], "bottom", "width")
    base.plt.close(canvas)
    colours = {str(each.get_label()): to_hex(each.patches[0].get_facecolor()) for each in axes.containers}
    assert colours.pop("hit correlations") not in colours.values()


def test_the_scanned_angle_is_below_its_panels_in_mrad(tmp_path):
    raw = {
        "study": "s",
        "source": {"muons": 60},
        "model": {"name": "track", "z": [0.0, 0.5, 1.0], "theta0": 0.001},
        "detector": {"resolution": 1000},
        "toys": {"muons": 2, "per_muon": 50},
        "scan": {"model.theta0": [0.0007, 0.001]},
    }
    run = Run(raw, tmp_path).make()
    (figure,) = (each for each in gallery(run.study) if (each.kind, each.subject) == ("budget", SCANNED))
    with base.plt.rc_context(base.STYLE):
        canvas = budget_scan(run.study, Evidence.read(run.outputs.validation), figure)
        canvas.draw_without_rendering()
        base.plt.close(canvas)
    lowest = canvas.axes[1:3]  # of three, in two columns
    assert [each.get_xlabel() for each in lowest] == ["$θ_0$ (mrad)"] * 2
    for axes in lowest:
        shown = [each.get_text() for each in axes.get_xticklabels() if each.get_visible()]
        assert shown == ["0.7", "1"]
    assert canvas.get_supxlabel() == ""


def test_a_source_that_cannot_be_seen_has_no_label():
    canvas, axes = base.plt.subplots()
    stacked(axes.bar, [{"a": 1.0, "b": 0.0, "c": 1e-4}, {"a": 0.9, "b": 0.0, "c": 0.1}], "bottom", "width")
    base.plt.close(canvas)
    assert [each.get_label() for each in axes.containers] == ["a", "c"]
