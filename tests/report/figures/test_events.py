import numpy as np
import pytest
from pictured import SIGMA_X, SIGMA_Y, Z, draw, recorded_study


def straight(x, sigma):
    """The line through the hits of a muon, by numpy, with its covariance: slope and position at 0."""
    seen = np.isfinite(x)
    return np.polyfit(np.array(Z)[seen], x[seen], 1), np.linalg.inv(
        np.stack([[np.sum(np.array(Z)[seen] ** 2), np.sum(np.array(Z)[seen])], [np.sum(np.array(Z)[seen]), seen.sum()]])
    ) * sigma**2


def test_ten_tracks_are_drawn_with_their_hits_layers_and_bands(telescope):
    axes = draw(telescope.run, "events").axes
    flights, below = axes[:2], axes[2:]
    assert len(below) == 6
    for view, (axis, name) in enumerate(zip(flights, "xy", strict=True)):
        assert (axis.get_xlabel()[0], axis.get_ylabel()) == (name, "z (m)")
        (layers,) = axis.collections
        assert sorted(segment[0, 1] for segment in layers.get_segments()) == sorted(Z)
        lines, hits = axis.lines[::2], axis.lines[1::2]
        assert len(lines) == len(hits) == 10
        factor = 1000 if axis.get_xlabel() == f"{name} (mm)" else 1
        for muon, (line, dots) in enumerate(zip(lines, hits, strict=True)):
            own = telescope.hits[muon, 4 * view : 4 * view + 4]
            np.testing.assert_allclose(dots.get_xdata(), own * factor)
            (slope, start), _ = straight(own, 1)
            np.testing.assert_allclose(line.get_xdata(), factor * (start + slope * line.get_ydata()), atol=1e-9)
            np.testing.assert_allclose(line.get_ydata(), [-0.1, 1.1])


def test_hits_are_drawn_against_the_line_with_the_band_of_its_covariance(telescope):
    below = draw(telescope.run, "events").axes[2:]
    chi2, ndf = telescope.columns["chi2"], telescope.columns["ndf"]
    for muon, axes in enumerate(below):
        assert axes.get_title() == f"muon {muon}: χ²/ndf {chi2[muon]:.3g}/{ndf[muon]:.0f}"
        for view, sigma in enumerate((SIGMA_X, SIGMA_Y)):
            x = telescope.hits[muon, 4 * view : 4 * view + 4]
            (slope, start), C = straight(x, sigma)
            points, _, (bars,) = axes.containers[view]
            np.testing.assert_allclose(points.get_ydata(), (x - start - slope * np.array(Z)) * 1000, atol=1e-9)
            lengths = [np.diff(segment[:, 1])[0] for segment in bars.get_segments() if len(segment)]
            np.testing.assert_allclose(np.array(lengths)[np.isfinite(lengths)], 2000 * sigma)
            name = f"{'xy'[view]}: line ± σ"
            if view == 0:  # filled
                (band,) = (each for each in axes.collections if each.get_label() == name)
                z, edge = band.get_paths()[0].vertices.T
            else:
                edges = [line for line in axes.lines if line.get_linestyle() == "--"]
                assert [line.get_label() for line in edges] == [name, "_"]
                np.testing.assert_array_equal(edges[0].get_ydata(), -edges[1].get_ydata())
                z, edge = edges[1].get_data()
            half = np.abs(edge)
            expected = 1000 * np.sqrt(C[0, 0] * z**2 + 2 * C[0, 1] * z + C[1, 1])
            np.testing.assert_allclose(half[half > 0], expected[half > 0], rtol=1e-6)


def test_muons_without_a_line_are_passed_over(tmp_path):
    hits = np.full((14, 3), np.nan)
    hits[[3, 7]] = [[0.0, 0.1, 0.2], [0.0, 0.1, np.nan]]
    run = recorded_study(tmp_path, hits, {"name": "track"}, {"resolution": 100.0})
    _, *below = draw(run, "events").axes
    assert [each.get_title().split(":")[0] for each in below] == ["muon 3", "muon 7"]
    assert below[1].get_title() == "muon 7"  # no degrees of freedom


@pytest.mark.parametrize("kind", ["events", "pointing"])
def test_no_tracks_are_said(tmp_path, kind):
    run = recorded_study(tmp_path, np.full((2, 3), np.nan), {"name": "track"}, {"resolution": 100.0})
    (axes,) = draw(run, kind).axes
    assert [text.get_text() for text in axes.texts] == ["no tracks"]
