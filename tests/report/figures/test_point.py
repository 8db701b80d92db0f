import numpy as np
import pytest
from matplotlib.colors import to_rgba
from pictured import draw
from running import Run

from pullback.report.figures import point


def test_shares_have_the_colour_of_the_legend_in_all_panels(telescope):
    first, *others = draw(telescope.run, "validity").axes
    folded = [each for each in others if each.get_title()]
    colours = {each.get_facecolor() for axes in (first, *folded) for each in axes.patches}
    assert folded
    assert colours == {to_rgba("#7F7F7F", first.patches[0].get_alpha())}


def test_observables_with_few_muons_near_the_fold_have_no_panel(telescope, monkeypatch):
    shown = [each for each in draw(telescope.run, "validity").axes[1:] if each.get_title()]
    dots = {each.get_title(): len(each.lines[0].get_xdata()) for each in shown}
    most = max(dots.values())
    monkeypatch.setattr(point, "FEWEST_BELOW", most + 1)
    left = [each.get_title() for each in draw(telescope.run, "validity").axes[1:] if each.get_title()]
    assert min(dots.values()) >= 10
    assert left == []


@pytest.mark.parametrize(("low", "title"), [(1.0, "minus the value"), (0.0, "within 6 σ of the fold")])
def test_intervals_of_one_hit_are_drawn_large_enough_to_be_seen(tmp_path, low, title):
    raw = {
        "study": "s",
        "source": {"muons": 300, "x_min": low, "x_max": low + 1},
        "detector": {"resolution": 100.0},
        "toys": {"muons": 2, "per_muon": 50},
    }
    run = Run(raw, tmp_path).make()
    left, right = draw(run, "value").axes
    assert (left.get_title(), right.get_title()) == ("all hits", title)
    if low:
        columns = run.columns("nominal")
        half = np.diff(columns["interval68_theta"], axis=1).max() / 2
        high = right.get_ylim()[1]
        assert half < high < 2 * half
        assert right.get_ylabel() == "interval − θ (mrad)"
