import numpy as np
import pytest
from pictured import bars, draw, recorded_study

from pullback.report.captions import parts_of, words
from pullback.report.figures.plot import _save
from pullback.report.gallery import gallery
from pullback.validation.evidence import Evidence


def test_the_axis_of_trends_names_what_is_ranked(telescope):
    labels = {each.get_xlabel() for each in draw(telescope.run, "trends").axes if each.get_title()}
    assert labels == {"quantile of position or slope"}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Twelve recorded tracks of four layers, far from vertical."""
    rng = np.random.default_rng(7)
    start, slope = rng.uniform(0.1, 0.2, (12, 1)), rng.uniform(0.2, 0.4, (12, 1))
    hits = start + slope * np.array([0.0, 0.3, 0.6, 1.0]) + rng.normal(0, 1e-3, (12, 4))
    model = {"name": "track", "z": [0.0, 0.3, 0.6, 1.0]}
    return recorded_study(tmp_path_factory.mktemp("few"), hits, model, {"resolution": 1000.0})


def test_few_muons_have_no_trends_and_the_figure_says_why(few):
    (axes,) = draw(few, "trends").axes
    assert [each.get_text() for each in axes.texts] == ["fewer than 50 muons: too few for means"]


def test_few_muons_have_wide_bins(few):
    tracks, p_values = draw(few, "chi2").axes
    (counts, edges), (expected, _) = bars(tracks)
    assert counts.sum() == 12
    np.testing.assert_allclose(np.diff(np.log10(edges)), 0.3)
    assert expected.sum() == pytest.approx(12, rel=1e-2)
    ((shares, edges),) = bars(p_values)
    assert (len(shares), shares.mean()) == (10, pytest.approx(1.0))
    for axes in draw(few, "residuals_by_layer").axes:
        ((heights, _),) = bars(axes)
        assert len(heights) == 21


def test_counts_of_few_muons_have_whole_ticks(few):
    panels = [*draw(few, "hit_maps").axes, draw(few, "chi2").axes[0]]
    ticks = np.concatenate([each.get_yticks() for each in panels])
    np.testing.assert_array_equal(ticks, ticks.round())


def test_the_words_of_a_legend_stand_above_the_pulls(few):
    axes = draw(few, "residuals").axes[0]
    highest = axes.patches[0].get_xy()[:, 1].max()
    assert axes.get_ylim()[1] >= 1.2 * highest


def test_the_legend_has_no_muons_outside_the_linear_domain_where_there_are_none(few):
    labels = [line.get_label() for axes in draw(few, "sigma").axes for line in axes.lines]
    assert "toy sd / linear σ, in the linear domain" in labels
    assert "toy sd / linear σ, outside the linear domain" not in labels


def test_captions_describe_only_panels_that_are_drawn(few, telescope, tmp_path):
    said = {}
    for name, run in (("few", few), ("many", telescope.run)):
        evidence = Evidence.read(run.outputs.validation)
        for figure in gallery(run.study):
            if figure.kind in ("hits", "sigma", "ends", "residuals", "trends"):
                svg = tmp_path / f"{name}_{figure.stem}.svg"
                _save(draw(run, figure.kind), [svg])
                said[name, figure.kind] = words(figure, run.study, evidence, parts_of(svg))[1]
    assert not any("{" in caption for caption in said.values())
    for kind, text in {
        "hits": "Share of muons with a hit",
        "sigma": "layers without a hit",
        "residuals": "mean and width by coordinate",
        "trends": "share of tracks with a smaller position",
    }.items():
        assert (text in said["few", kind], text in said["many", kind]) == (False, True), kind
    assert "empty bins" not in said["few", "ends"].lower()
