import numpy as np
from pictured import draw, recorded_study

Z = [0.0, 0.5, 1.0]


def test_a_map_of_each_layer_counts_its_hits(telescope):
    canvas = draw(telescope.run, "hit_maps")
    maps = [axes for axes in canvas.axes if axes.get_title()]
    assert len(maps) == 4
    for layer, axes in enumerate(maps):
        both = telescope.hits[:, [layer, layer + 4]]
        both = both[np.isfinite(both).all(axis=1)]
        (mesh,) = axes.collections
        units = [text.split()[1] for text in (axes.get_xlabel(), axes.get_ylabel())]
        assert [axes.get_xlabel(), axes.get_ylabel()] == [
            f"{v}{'₀₁₂₃'[layer]} {u}" for v, u in zip("xy", units, strict=True)
        ]
        metres = [{"(m)": 1.0, "(mm)": 1e-3}[unit] for unit in units]
        counts, edges = mesh.get_array().filled(0), mesh.get_coordinates() * metres
        expected = np.histogram2d(both[:, 0], both[:, 1], (edges[0, :, 0], edges[:, 0, 1]))[0].T
        assert np.abs(counts - expected).sum() <= 2  # a hit on the edge of a bin may be rounded into its neighbour
        outside = len(both) - int(counts.sum())
        assert outside <= 8
        words = f"layer {layer}: {len(both):,} hits".replace(",", "\u202f") + f", {outside} outside" * (outside > 0)
        assert axes.get_title() == words


def test_the_colours_of_a_map_of_few_hits_are_whole_numbers(tmp_path):
    hits = np.random.default_rng(1).normal(0, 0.01, (11, 8))
    run = recorded_study(tmp_path, hits, {"name": "track3d", "z": [*Z, 1.5]}, {"sigma": 1e-3})
    bars = [axes for axes in draw(run, "hit_maps").axes if not axes.get_title()]
    assert len(bars) == 4
    assert all(float(tick).is_integer() for axes in bars for tick in axes.get_yticks())


def test_one_view_has_histograms_and_a_layer_without_hits_says_so(tmp_path):
    hits = np.random.default_rng(1).normal(0, 0.01, (200, 3))
    hits[:, 1] = np.nan
    run = recorded_study(tmp_path, hits, {"name": "track", "z": Z}, {"resolution": 1000.0})
    axes = draw(run, "hit_maps").axes
    assert [each.get_title()[:7] for each in axes] == ["layer 0", "layer 1", "layer 2"]
    assert [text.get_text() for text in axes[1].texts] == ["no hits"]
    (bars,) = axes[2].patches
    counts, edges, _ = bars.get_data()
    assert axes[2].get_xlabel() == "x₂ (mm)"
    np.testing.assert_array_equal(counts, np.histogram(hits[:, 2], edges / 1000)[0])


def test_coordinates_of_one_layer_share_a_map_whatever_their_order(tmp_path):
    from pullback.report.figures.hit_maps import _by_layer

    assert _by_layer((1, 0, 1, 0)) == [(0, (1, 3)), (1, (0, 2))]
    assert _by_layer((0, 0, 0, 1)) == [(0, (0,)), (0, (1,)), (0, (2,)), (1, (3,))]


def test_hits_that_are_too_far_to_be_drawn_are_outside_and_not_missing(tmp_path):
    hits = np.random.default_rng(1).normal(0, 0.01, (3000, 3))
    hits[7, 0] = hits[900, 0] = -1e308
    hits[8, 1], hits[9, 1] = 1e200, np.nan
    axes = draw(recorded_study(tmp_path, hits, {"name": "track", "z": Z}, {"resolution": 1000.0}), "hit_maps").axes
    totals = [int(each.patches[0].get_data()[0].sum()) for each in axes]
    titles = [each.get_title().replace("\u202f", "") for each in axes]
    for layer, (title, total, there) in enumerate(zip(titles, totals, (3000, 2999, 3000), strict=True)):
        outside = there - total
        assert title == f"layer {layer}: {there} hits" + f", {outside} outside" * (outside > 0)
        assert np.ptp(axes[layer].patches[0].get_data()[1]) < 200  # mm
    assert totals[0] <= 2998
    assert totals[1] <= 2998
