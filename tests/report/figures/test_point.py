from matplotlib.colors import to_rgba
from pictured import draw

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
