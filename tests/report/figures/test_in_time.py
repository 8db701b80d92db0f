import numpy as np
import pytest
from pictured import MUONS, draw, recorded_study
from running import Run
from scipy.stats import chi2 as chi2_law

from pullback.report import captions
from pullback.report.gallery import gallery
from pullback.validation.evidence import Evidence


def curves(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines if len(line.get_xdata()) > 2}


def ranges(values, number=24):
    return np.array_split(values, number)


def test_the_median_width_and_residuals_are_those_of_each_range(telescope):
    width, residuals, _ = draw(telescope.run, "in_time").axes
    columns = telescope.columns
    with np.errstate(invalid="ignore"):
        ratio = columns["chi2"] / chi2_law.median(np.where(columns["ndf"] > 0, columns["ndf"], np.nan))
    (shown,) = curves(width).values()
    expected = [np.sqrt(np.nanmedian(each)) for each in ranges(ratio)]
    np.testing.assert_allclose(shown[:, 0], 50 * (np.arange(24) + 0.5) - 0.5)
    np.testing.assert_allclose(shown[:, 1], expected, rtol=0.05)
    pulls = columns["residual"] / columns["residual_sigma"]
    shown = curves(residuals)
    assert [*shown] == ["x₀", "x₁", "x₂", "x₃", "y₀", "y₁", "y₂", "y₃"]
    for name, column in zip(shown, pulls.T, strict=True):
        expected = [np.nanmedian(each) if np.isfinite(each).sum() >= 10 else np.nan for each in ranges(column)]
        np.testing.assert_allclose(shown[name][:, 1], expected, atol=0.12)


def test_a_layer_that_moves_and_one_that_is_lost_are_seen(telescope):
    _, residuals, missing = draw(telescope.run, "in_time").axes
    moved = curves(residuals)["x₃"][:, 1]
    assert np.median(moved[12:18]) - np.median(moved[:12]) == pytest.approx(1.5, abs=0.5)
    shown, gone = curves(missing), np.isnan(telescope.hits)
    for layer in range(4):
        lost = gone[:, layer] | gone[:, layer + 4]
        np.testing.assert_allclose(shown[f"layer {layer}"][:, 1], [each.mean() for each in ranges(lost)])
    np.testing.assert_allclose(shown["layer 2"][18:, 1], 1)
    assert MUONS // 24 == 50


def test_hits_without_a_fit_show_their_positions(tmp_path):
    x = np.random.default_rng(1).normal(0.5, 0.1, (400, 1))
    x[200:] += 0.1
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hits.csv").write_text("x\n" + "".join(f"{each!r}\n" for each in x[:, 0].tolist()))
    source = {"kind": "recorded", "file": str(tmp_path / "in" / "hits.csv")}
    run = Run({"study": "s", "source": source, "toys": {"muons": 2, "per_muon": 100}}, tmp_path / "out").make()
    positions, _ = draw(run, "in_time").axes
    (shown,) = curves(positions).values()
    low, middle, high = np.quantile(x, [0.15865, 0.5, 0.84135])
    expected = [(np.median(each) - middle) / ((high - low) / 2) for each in ranges(x, 8)]
    np.testing.assert_allclose(shown[:, 1], expected, atol=0.1)
    assert positions.get_ylabel() == "median position,\nover its width"


@pytest.mark.parametrize("rows", [1, 3])
def test_one_muon_or_few_are_one_range(tmp_path, rows, monkeypatch):
    monkeypatch.setattr("pullback.report.gallery.FEWEST_IN_TIME", 1)
    run = recorded_study(tmp_path, np.full((rows, 3), 0.1), {"name": "track"}, {"resolution": 100.0})
    _, _, missing = draw(run, "in_time").axes
    assert [line.get_xydata().tolist() for line in missing.lines] == [[[(rows - 1) / 2, 0.0]]] * 3


LONG = {"layout": "long", "event": "event", "layer": "layer", "x": "x"}
SORTED, APART = "1,0,3\n1,1,3\n0,1,2\n0,0,2\n0,2,2\n", "1,0,3\n0,1,2\n1,1,3\n0,0,2\n"


@pytest.mark.parametrize(
    ("text", "section", "axis", "words"),
    [
        (
            "x0,x1,x2\n1,2,3\n3,4,5\n",
            {},
            "in the order of the file",
            "the order of the rows of the file: the",
        ),
        (
            f"event,layer,x\n{SORTED}",
            LONG,
            "in the order of events in the file",
            "whatever their numbers: the",
        ),
        (f"event,layer,x\n{APART}", LONG, "by the first row of each event", "curves may drift although"),
    ],
)
def test_the_order_of_the_muons_is_said(tmp_path, text, section, axis, words, monkeypatch):
    monkeypatch.setattr("pullback.report.gallery.FEWEST_IN_TIME", 1)
    (tmp_path / "hits.csv").write_text(text)
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv"), **section}
    raw = {"study": "s", "source": source, "model": {"name": "track"}, "toys": {"muons": 2, "per_muon": 100}}
    run = Run(raw, tmp_path / "out").make()
    assert draw(run, "in_time").axes[-1].get_xlabel() == f"muon number, {axis}"
    (figure,) = (each for each in gallery(run.study) if each.kind == "in_time")
    _, caption = captions.words(figure, run.study, Evidence.read(run.outputs.validation))
    assert words in caption


@pytest.mark.parametrize(("rows", "drawn"), [(99, False), (100, True)])
def test_fewer_muons_than_two_ranges_are_not_drawn_in_time(tmp_path, rows, drawn):
    run = recorded_study(tmp_path, np.full((rows, 3), 0.1), {"name": "track"}, {"resolution": 100.0})
    assert ("in_time" in {each.kind for each in gallery(run.study)}) == drawn
