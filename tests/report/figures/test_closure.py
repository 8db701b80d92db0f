import numpy as np
from pictured import draw

from pullback.report.figures.base import plt
from pullback.report.figures.closure import SpreadPanel, _by_missing, _quoted_by_missing


def test_muons_with_layers_without_hits_are_named_and_coloured(telescope):
    top = draw(telescope.run, "sigma").axes[0]
    shown = {each.get_label(): each for each in top.lines}
    muon = telescope.columns["toys/muon"]
    hits = telescope.hits[muon].reshape(len(muon), 2, 4)
    missing = np.isnan(hits).any(axis=1).sum(axis=1)
    names = ("hits in all layers", "1 layer without a hit", "2 or more layers without")
    assert 0 < (missing > 0).sum() < len(missing)
    colours = set()
    for number, name in enumerate(names):
        which = missing >= number if number == 2 else missing == number
        line = shown.get(f"quoted σ, {name}")
        drawn = np.sort(line.get_ydata()) if line else []
        np.testing.assert_array_equal(drawn, np.sort(telescope.columns["sigma_theta"][muon[which]]))
        colours |= {line.get_color()} if line else set()
    assert len(colours) == len([name for name in names if f"quoted σ, {name}" in shown])


def test_of_many_muons_each_kind_can_be_seen():
    """At most 80 of each, with the first and the last, without outlines, and the rarest on top."""
    missing = np.repeat([0, 1, 3], [900, 90, 10])
    value = np.linspace(0, 1, len(missing))
    ones = np.ones_like(value)
    toys = SpreadPanel(value, ones, ones, ones, ones, ones, ones > 0, missing)
    kinds = _by_missing(toys)
    assert [len(each) for each in kinds] == [80, 80, 10]
    assert [(each[0], each[-1]) for each in kinds] == [(0, 899), (900, 989), (990, 999)]
    assert np.ptp(np.diff(kinds[0])) <= 1
    canvas, axes = plt.subplots()
    _quoted_by_missing(axes, toys, kinds)
    plt.close(canvas)
    assert [len(each.get_xdata()) for each in axes.lines] == [80, 80, 10]
    assert {each.get_markeredgewidth() for each in axes.lines} == {0}
    many, some, few = axes.lines
    assert few.get_zorder() > max(many.get_zorder(), some.get_zorder())
