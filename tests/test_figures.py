import json
import re

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from conftest import SMALL, Run, files_in

from pullback import figures
from pullback.gallery import badness, gallery, notable
from pullback.study import Study


def drawn(raw, folder):
    run = Run(raw, folder).make()
    figures.plot(run.study, run.outputs.study, run.outputs.validation, folder / "figures")
    return run, json.loads(run.outputs.validation.read_text())


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return drawn(SMALL, tmp_path_factory.mktemp("scan"))


def test_every_figure_of_the_gallery_is_drawn_and_no_other(scan):
    run, evidence = scan
    stems = [figure.stem for figure in gallery(run.study, evidence)]
    assert len(stems) == 11
    assert set(files_in(run.folder / "figures")) == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")}


def test_the_same_bytes_every_time(scan, tmp_path):
    run, _ = scan
    figures.plot(run.study, run.outputs.study, run.outputs.validation, tmp_path / "figures")
    assert files_in(tmp_path / "figures") == files_in(run.folder / "figures")


def test_files_hold_no_date_and_load_nothing(scan):
    run, _ = scan
    for name, content in files_in(run.folder / "figures").items():
        assert not re.search(rb"<dc:date>|CreationDate|/Producer", content), name
        assert not re.search(rb'(href|src)="https?:', content), name


def test_the_points_that_are_drawn(scan):
    run, evidence = scan
    points = notable(run.study, evidence)
    assert points["nominal"] == "detector.resolution=100,model.dz=1.5"
    assert points.get("worst", points["nominal"]) == max(evidence["points"], key=badness)["point"]
    everything = Study.from_config({**SMALL, "figures": {"points": "all"}})
    assert list(notable(everything, evidence)) == [point.label for point in everything.points]


def test_badness_puts_the_verdict_first():
    def entry(verdict, ratio):
        return {"verdict": verdict, "bins": [{"ratio": ratio, "verdict": verdict}], "domain": {"pull_sd": 1.0}}

    order = [entry("pass", 1.04), entry("inconclusive", 1.01), entry("fail", 1.06), entry("fail", 0.8)]
    assert sorted(order, key=badness) == order


@pytest.mark.parametrize(
    "scan",
    [
        {"detector.resolution": [50, 100, 200]},
        {"zip": {"detector.resolution": [50, 100], "model.dz": [1.0, 2.0]}},
        {"detector.resolution": [50, 100], "model.dz": [1.0, 2.0], "source.x_max": [0.5, 1.0]},
    ],
)
def test_scans_of_other_shapes(tmp_path, scan):
    run, evidence = drawn({**SMALL, "scan": scan}, tmp_path)
    (figure,) = (each for each in gallery(run.study, evidence) if each.kind == "scan")
    assert (tmp_path / "figures" / f"{figure.stem}.svg").stat().st_size > 10_000
    if len(scan) > 2:
        assert "with the others as at the point nearest" in figure.caption


@pytest.mark.parametrize("rows", ["0.5\n", "nan\ninf\n", "0\n0\n0\n", "0.1\n0.2\n0.3\n0.004\n"])
def test_recorded_hits_of_few_or_no_use(tmp_path, rows):
    (tmp_path / "hits.csv").write_text("x\n" + rows)
    raw = {"study": "s", "source": {"kind": "recorded", "file": str(tmp_path / "hits.csv")}, "toys": {"per_muon": 100}}
    run, evidence = drawn(raw, tmp_path / "out")
    assert [figure.kind for figure in gallery(run.study, evidence)] == ["hits", "value", "sigma"]


def test_a_single_muon_is_drawn(tmp_path):
    drawn({**SMALL, "scan": None, "source": {"muons": 1}}, tmp_path)


def test_colours_differ_in_grey():
    """The colours that tell things apart keep apart when printed without colour."""

    def grey(colour):
        return np.dot(mpl.colors.to_rgb(colour), (0.299, 0.587, 0.114))

    assert abs(grey(figures.BLUE) - grey(figures.VERMILLION)) > 0.05
    ramp = [grey(colour) for colour in mpl.colormaps[figures.STYLE["image.cmap"]](np.linspace(0, 1, 20))]
    assert all(np.diff(ramp) > 0)


def test_pictures_are_not_blank(scan, tmp_path):
    run, evidence = scan
    figure = gallery(run.study, evidence)[0]
    with figures.open_study(run.outputs.study) as reader, mpl.rc_context(figures.STYLE):
        canvas = figures._OF_POINT["hits"](figures._Point(run.study, reader, evidence, figure))
        canvas.savefig(tmp_path / "a.png")
        figures.plt.close(canvas)
    assert mpl.image.imread(tmp_path / "a.png").mean(axis=2).std() > 0.04


def test_a_failure_leaves_no_half_folder(scan, tmp_path, monkeypatch):
    run, _ = scan

    def fail(_):
        raise RuntimeError("stop")

    monkeypatch.setitem(figures._OF_POINT, "coverage", fail)
    with pytest.raises(RuntimeError, match="stop"):
        figures.plot(run.study, run.outputs.study, run.outputs.validation, tmp_path / "figures")
    assert list(tmp_path.iterdir()) == []
