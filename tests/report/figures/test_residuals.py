import re

import numpy as np
import pytest
from pictured import bars, draw, recorded_study
from scipy.stats import chi2 as chi2_law
from scipy.stats import norm

from pullback.report.figures.base import ResidualSpread


def test_residuals_are_drawn_in_their_unit_beside_what_is_expected(telescope):
    axes = draw(telescope.run, "residuals_by_layer").axes
    residual, sigma = telescope.columns["residual"], telescope.columns["residual_sigma"]
    assert len(axes) == 8
    for place, each in enumerate(axes):
        own, width = (column[:, place][np.isfinite(residual[:, place])] for column in (residual, sigma))
        factor = {"unbiased residual (mm)": 1e3, "unbiased residual (µm)": 1e6}[each.get_xlabel()]
        ((heights, edges),) = bars(each)
        expected = np.histogram(own * factor, edges)[0]
        assert np.abs(heights * len(own) * np.diff(edges) - expected).max() <= 1.01  # on an edge
        line = next(line for line in each.lines if line.get_label().startswith("expected"))
        x, y = line.get_xydata().T
        law = np.mean([norm.pdf(x, 0, factor * one) for one in width], axis=0)
        np.testing.assert_allclose(y, law, atol=0.02 * law.max())
        low, high = np.quantile(own, [0.15865, 0.84135]) * factor
        unit = each.get_xlabel()[-3:-1]
        words = each.texts[0].get_text().replace("−", "-").split("\n")
        for name, said, value, times in (
            ("median", words[0], np.median(own) * factor, 1.2533),
            ("width", words[1], (high - low) / 2, 0.9627),
        ):
            number, error, shown = re.fullmatch(rf"{name} (\S+) ± (\S+) (\S+)", said).groups()
            assert shown == unit
            assert float(error) == pytest.approx(times * (high - low) / 2 / len(own) ** 0.5, rel=0.05)
            assert float(number) == pytest.approx(value, abs=0.051 * float(error))


def test_residuals_before_alignment_are_shown_where_they_are_known(telescope):
    before = {"x3": ResidualSpread(1e-3, 4e-3)}
    axes = draw(telescope.run, "residuals_by_layer", before).axes
    shown = [each.containers for each in axes]
    assert [len(each) for each in shown] == [0, 0, 0, 1, 0, 0, 0, 0]
    point, _, (bar,) = shown[3][0]
    assert point.get_xdata().tolist() == [1.0]
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [-3.0, 5.0])
    assert "before 1 ± 4" in axes[3].texts[0].get_text()


def test_chi2_is_drawn_beside_its_law_for_the_degrees_of_freedom(telescope):
    left, right = draw(telescope.run, "chi2").axes
    chi2, ndf = telescope.columns["chi2"], telescope.columns["ndf"]
    chi2, ndf = chi2[ndf > 0], ndf[ndf > 0]
    assert len(np.unique(ndf)) > 2
    (tracks, edges), (expected, _) = bars(left)
    assert np.abs(tracks - np.histogram(chi2 / ndf, edges)[0]).sum() <= 2
    law = sum(np.diff(chi2_law.cdf(edges * one, one)) for one in ndf)
    np.testing.assert_allclose(expected, law, atol=1e-9 * len(ndf))
    ((shares, _),) = bars(right)
    p_values = telescope.columns["p_value"]
    counts = np.histogram(p_values[np.isfinite(p_values)], 40, (0, 1))[0]
    np.testing.assert_allclose(shares, counts / counts.mean())


def test_chi2_beyond_the_panel_is_in_its_last_bin(tmp_path):
    hits = np.array([[0.0, 1.0, 0.0], [0.0, 1e-4, 0.0]] * 5)
    run = recorded_study(tmp_path, hits, {"name": "track"}, {"resolution": 1e5})
    left, _ = draw(run, "chi2").axes
    (tracks, edges), _ = bars(left)
    assert edges[-1] == pytest.approx(1e6)
    assert tracks[-1] == 5
    assert tracks.sum() == 10


@pytest.mark.parametrize("kind", ["residuals_by_layer", "chi2"])
def test_tracks_without_freedom_are_said(tmp_path, kind):
    run = recorded_study(tmp_path, np.array([[0.0, np.nan, 0.1]]), {"name": "track"}, {"resolution": 100.0})
    words = {text.get_text() for axes in draw(run, kind).axes for text in axes.texts}
    assert words == {"no residuals" if kind == "residuals_by_layer" else "no degrees of freedom"}


@pytest.mark.parametrize("far", [[], [1e308], [1e200, -1e308, 1e100, 1.0]])
def test_residuals_beyond_the_panel_are_counted(tmp_path, far):
    rng = np.random.default_rng(4)
    hits = rng.uniform(-1e-3, 1e-3, (999, 1)) + rng.uniform(-5e-4, 5e-4, (999, 3))  # no tail
    hits[: len(far), 1] = far
    run = recorded_study(tmp_path, hits, {"name": "track"}, {"resolution": 1e3})
    histograms = [axes for axes in draw(run, "residuals_by_layer").axes if axes.patches]
    assert len(histograms) == 3
    for axes in histograms:
        beyond = [line for line in axes.texts[0].get_text().split("\n") if line.endswith("outside")]
        assert beyond == [f"{100 * len(far) / 999:.3g} % outside"] * bool(far)
