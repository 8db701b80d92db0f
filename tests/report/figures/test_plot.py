import re

import matplotlib as mpl
import numpy as np
import pytest
from pictured import draw
from running import SMALL, Run, files_in, slow

from pullback.errors import PullbackError
from pullback.report.captions import words
from pullback.report.figures import base, budget, plot, point, ranges
from pullback.report.figures.base import Subject
from pullback.report.gallery import PICTURES, drawn_from, fixed_entries, gallery, point_of
from pullback.statistics.intervals import Verdict
from pullback.store import artefact
from pullback.store.study_file import open_study
from pullback.study.plan import Study
from pullback.validation.evidence import ENDS, Evidence
from pullback.validation.findings import badness

PRINTED = {"figures": {"pdf": True}}


def made(raw, folder):
    """A study without its figures, and its evidence."""
    run = Run(raw, folder).make()
    return run, Evidence.read(run.outputs.validation)


def drawn(raw, folder, *subjects):
    """A study with its figures, or with those of some subjects, and its evidence."""
    run, evidence = made(raw, folder)
    figures = [figure for figure in gallery(run.study) if not subjects or figure.subject in subjects]
    svgs = [folder / "figures" / f"{figure.stem}.svg" for figure in figures]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "gallery", lambda _: figures)
        plot.plot(run.study, run.outputs.study, run.outputs.validation, svgs)
    return run, evidence


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return drawn({**SMALL, **PRINTED}, tmp_path_factory.mktemp("scan"))


def test_every_figure_of_the_gallery_is_drawn_and_no_other(scan):
    run, _ = scan
    stems = [figure.stem for figure in gallery(run.study)]
    assert len(stems) == 16
    assert stems[0] == "detector.nominal"
    assert set(files_in(run.folder / "figures")) == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")}


def test_without_the_request_pdfs_of_an_earlier_run_go_and_svgs_are_the_same(scan, tmp_path):
    run, _ = scan
    assert all(pdf.read_bytes().startswith(b"%PDF-") for pdf in run.printed)
    svgs = [tmp_path / path.name for path in run.figures]
    svgs[0].with_suffix(".pdf").touch()
    other = tmp_path / "own.pdf"
    other.touch()
    plot.plot(Study.from_config(SMALL), run.outputs.study, run.outputs.validation, svgs)
    assert {path.name: path.read_bytes() for path in run.figures} | {other.name: b""} == files_in(tmp_path)


@pytest.mark.parametrize("processes", [1, 3])
def test_the_same_bytes_every_time(scan, tmp_path, processes):
    run, _ = scan
    again = [tmp_path / path.name for path in run.figures]
    plot.plot(run.study, run.outputs.study, run.outputs.validation, again, processes=processes)
    assert files_in(tmp_path) == files_in(run.folder / "figures")


def test_files_hold_no_date_and_load_nothing(scan):
    run, _ = scan
    for name, content in files_in(run.folder / "figures").items():
        assert not re.search(rb"<dc:date>|CreationDate|/Producer", content), name
        assert not re.search(rb'(href|src)="https?:', content), name


def test_the_points_that_are_drawn(scan):
    run, evidence = scan
    for worst in range(4):
        entries = [
            entry.model_copy(update={"propagation": Verdict.FAIL if index == worst else Verdict.PASS, "truth": None})
            for index, entry in enumerate(evidence.points)
        ]
        judged = evidence.model_copy(update={"points": entries, "smeared": []})
        drawn = {f.subject: point_of(f, run.study, judged) for f in gallery(run.study) if f.kind == "hits"}
        assert drawn == {"nominal": "detector.resolution=100,model.dz=1.5", "worst": entries[worst].point}
    everything = Study.from_config({**SMALL, "figures": {"points": "all"}})
    labels = [point.label for point in everything.points]
    assert [figure.subject for figure in gallery(everything) if figure.kind == "hits"] == labels


def lines(run, evidence, kind):
    """The lines of a figure of the nominal point, by label, in each panel."""
    (figure,) = (f for f in gallery(run.study) if f.kind == kind and f.subject == "nominal")
    with plot.open_study(run.outputs.study) as reader, mpl.rc_context(base.STYLE):
        canvas = plot.OF_SUBJECT[kind](base.Subject(run.study, reader, evidence, figure))
        label = point_of(figure, run.study, evidence)
        columns = {name.removeprefix(label + "/"): reader.rows(name) for name, _ in reader.columns(label)}
        base.plt.close(canvas)
    return [[(line.get_label(), line.get_xydata()) for line in axes.lines] for axes in canvas.axes], columns


TRACK = {
    "study": "track",
    "model": {"name": "track", "z": [0.0, 0.5, 1.0]},
    "source": {"muons": 400},
    "detector": {"resolution": 1000.0, "efficiency": 0.8},
    "systematics": {"alignment.x[1]": 0.0005, "model.z[2]": 0.002},
    "toys": {"muons": 24, "per_muon": 200, "experiments": 100},
    "scan": {"detector.resolution": [500.0, 1000.0]},
}


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return made(TRACK, tmp_path_factory.mktemp("track"))


def panels(run, evidence, kind):
    """The panels of a figure of the nominal point."""
    (figure,) = (f for f in gallery(run.study) if f.kind == kind and f.subject == "nominal")
    with plot.open_study(run.outputs.study) as reader, mpl.rc_context(base.STYLE):
        subject = base.Subject(run.study, reader, evidence, figure)
        canvas = plot.OF_SUBJECT[kind](subject)
        base.plt.close(canvas)
        label = subject.label
        columns = {name.removeprefix(label + "/"): reader.rows(name) for name, _ in reader.columns(label)}
    return canvas.axes, columns, {e.observable: e for e in evidence.points if e.point == label}


def test_several_observables_share_figures(track):
    run, _ = track
    stems = [figure.stem for figure in gallery(run.study)]
    kinds = ("detector", "events", "pointing", "hits", "value", "sigma", "validity", "ends", "pulls", "coverage")
    kinds += ("residuals", "trends", "budget", "systematics")
    assert stems[:14] == [f"{kind}.nominal" for kind in kinds]
    worst = ("sigma", "ends", "pulls", "residuals", "trends")
    assert stems[14:] == [*(f"{kind}.worst" for kind in worst), "scan.scan", "budget.scan"]


@pytest.mark.slow
def test_pictures_have_the_same_bytes_every_time(telescope, tmp_path):
    run = telescope.run
    figures = [figure for figure in gallery(run.study) if figure.kind in PICTURES]
    for name in ("first", "second"):
        svgs = [tmp_path / name / f"{figure.stem}.svg" for figure in figures]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plot, "gallery", lambda _: figures)
            plot.plot(run.study, run.outputs.study, run.outputs.validation, svgs)
    assert len(figures) == 6
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


@pytest.mark.slow
def test_several_observables_give_the_same_bytes_every_time(tmp_path_factory, tmp_path):
    run, _ = drawn({**TRACK, **PRINTED}, tmp_path_factory.mktemp("drawn"))
    again = [tmp_path / path.name for path in run.figures]
    plot.plot(run.study, run.outputs.study, run.outputs.validation, again)
    assert files_in(tmp_path) == files_in(run.folder / "figures")


def test_the_budget_figure_shows_the_evidence_and_adds_up(track):
    (axes,), _, entries = panels(*track, "budget")
    budgets = [entry.budget for entry in entries.values()]
    names = list(budgets[0])
    assert names == ["layer 0", "layer 1", "layer 2", "alignment.x[1]", "model.z[2]"]
    bars = {bar.get_label(): [each.get_width() for each in bar] for bar in axes.containers}
    shown = [*names[:3], r"alignment $x_\mathrm{1}$", r"$z_\mathrm{2}$"]
    assert bars == {
        label: pytest.approx([budget[name] for budget in budgets], rel=1e-12)
        for label, name in zip(shown, names, strict=True)
    }
    np.testing.assert_allclose([each.get_x() + each.get_width() for each in axes.containers[-1]], 1.0)


def test_what_makes_the_variance_smaller_is_below_zero():
    canvas, axes = base.plt.subplots()
    budget.stacked(axes.bar, [{"a": 0.7, "b": -0.2, "c": 0.5}], "bottom", "width")
    base.plt.close(canvas)
    spans = [sorted([bar[0].get_y(), bar[0].get_y() + bar[0].get_height()]) for bar in axes.containers]
    np.testing.assert_allclose(spans, [[0, 0.7], [-0.2, 0], [0.7, 1.2]])


def test_the_systematics_figure_shows_the_experiments(track, monkeypatch):
    seen = []
    keep = budget.density
    monkeypatch.setattr(budget, "density", lambda a, values, *b, **c: (seen.append(values), keep(a, values, *b, **c)))
    _, columns, entries = panels(*track, "systematics")
    for index, (name, entry) in enumerate(entries.items()):
        pull, count = (columns[f"experiments/{each}_{name}"].sum(axis=0) for each in ("pull", "count"))
        np.testing.assert_array_equal(seen[2 * index], pull / count)
        assert np.std(seen[2 * index], ddof=1) == pytest.approx(entry.shared.pull_shift.value)
        assert np.sqrt(np.mean(seen[2 * index + 1] ** 2)) == pytest.approx(entry.shared.pull_width.value)


def test_bins_are_of_the_distance_from_the_fold_that_there_is(track):
    axes, _, _ = panels(*track, "ends")
    assert [each.get_xlabel() for each in axes] == ["recorded θ/σ", ""]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["dx/dz", "x(0)"]


def test_the_axis_says_at_which_hits(track, monkeypatch):
    monkeypatch.setattr(point, "FEWEST_BELOW", 1)
    axes, _, _ = panels(*track, "validity")
    assert axes[1].get_xlabel() == "θ/σ"
    assert "share with linear propagation valid, at true hits" in axes[1].get_legend_handles_labels()[1]


def test_missing_hits_are_counted(track):
    axes, columns, _ = panels(*track, "hits")
    shares = [bar.get_height() for bar in axes[1].patches]
    np.testing.assert_array_equal(shares, np.isfinite(columns["x_reco"]).mean(axis=0))
    assert max(shares) < 0.9


def test_pulls_go_the_shorter_way_round(tmp_path, monkeypatch):
    raw = {**TRACK, "model": {"name": "track3d"}, "detector": {"resolution": 30.0}, "systematics": {}, "scan": None}
    run, evidence = drawn(raw, tmp_path)
    seen = []
    monkeypatch.setattr(point, "density", lambda axes, values, *_, **__: seen.append(values))
    _, columns, _ = panels(run, evidence, "pulls")
    off = columns["phi"] - columns["phi_true"]
    assert np.nanmax(np.abs(off)) > 6  # some have crossed the end of the circle
    assert max(np.abs(each).max() for each in seen if len(each)) < 50


def test_recorded_hits_in_layers(tmp_path):
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n0.1,0.2,0.3\n0.1,,0.1\n,,0.3\n-0.1,-0.2,-0.4\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    raw = {"study": "s", "model": {"name": "track"}, "source": source, "toys": {"per_muon": 100}}
    run, evidence = drawn(raw, tmp_path / "out")
    pictures = ("detector", "hit_maps", "events", "residuals_by_layer", "chi2", "pointing")
    others = ("hits", "value", "sigma", "validity", "ends", "residuals", "trends", "budget")
    assert [figure.stem for figure in gallery(run.study)] == [f"{kind}.nominal" for kind in (*pictures, *others)]
    axes, _, _ = panels(run, evidence, "hits")
    assert [bar.get_height() for bar in axes[1].patches] == [0.75, 0.5, 1.0]


@pytest.mark.parametrize("rows", ["0.1,0.2,0.3\n", "nan,nan,nan\n,,0.1\n"])
def test_recorded_tracks_of_little_or_no_use(tmp_path, rows):
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n" + rows)
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    drawn({"study": "s", "model": {"name": "track"}, "source": source, "toys": {"per_muon": 100}}, tmp_path / "out")


def test_several_observables_over_a_grid(tmp_path):
    raw = {
        **TRACK,
        "systematics": {},
        "scan": {"detector.resolution": [500.0, 1000.0], "detector.efficiency": [0.8, 1.0]},
    }
    run, evidence = drawn(raw, tmp_path, "scan")
    (scan, budget) = (each for each in gallery(run.study) if each.subject == "scan")
    assert "All other parameters are those of the scan point nearest" not in words(scan, run.study, evidence)[1]
    assert "All other parameters are those of the scan point nearest" in words(budget, run.study, evidence)[1]
    entries = fixed_entries(run.study, evidence, ["detector.resolution"])
    assert [(each.observable, each.values["detector.resolution"]) for each in entries] == [
        (name, resolution) for resolution in (500.0, 1000.0) for name in ("slope", "theta", "intercept")
    ]
    assert {each.values["detector.efficiency"] for each in entries} == {0.8}


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([], (-1.0, 1.0)),
        ([0.0, 1.0], (0.0, 1.1)),
        ([-1.0, 2.0], (-2.3, 2.3)),
        ([5.0, 5.0], (0.0, 10.0)),
        ([1e-308] * 2, (0.0, 1.0)),
    ],
)
def test_the_range_of_a_figure(values, limits):
    assert ranges.most_of(np.array(values), tail=0) == pytest.approx(limits)


def test_the_ratio_panel_shows_the_ratio(scan):
    (top, _, bottom, near_fold), columns = lines(*scan, "sigma")
    muon = columns["toys/muon"]
    order = np.argsort(columns["theta"][muon], kind="stable")
    theta, sigma = columns["theta"][muon][order], columns["sigma_theta_linear"][muon][order]
    sd = columns["toys/toy_sd_theta"][order]
    quoted = columns["sigma_theta"][muon][order]
    top, bottom, near_fold = dict(top), dict(bottom), dict(near_fold)
    np.testing.assert_array_equal(top["linear σ"], np.stack([theta, sigma], axis=1))
    np.testing.assert_array_equal(top["quoted σ"], np.stack([theta, quoted], axis=1))
    np.testing.assert_array_equal(top["sd of toys"], np.stack([theta, sd], axis=1))
    claimed = theta / sigma >= 3
    assert 0 < claimed.sum() < len(claimed)
    for which, where in ((claimed, "in"), (~claimed, "outside")):
        shown = bottom[f"toy sd / linear σ, {where} the linear domain"]
        np.testing.assert_array_equal(shown, np.stack([theta, sd / sigma], axis=1)[which])
        np.testing.assert_array_equal(shown, near_fold[f"toy sd / linear σ, {where} the linear domain"])
    np.testing.assert_array_equal(bottom["toy sd / quoted σ"], np.stack([theta, sd / quoted], axis=1))


def test_the_coverage_figure_shows_the_evidence(scan):
    run, evidence = scan
    panels, _ = lines(run, evidence, "coverage")
    entry = next(e for e in evidence.points if e.point == "detector.resolution=100,model.dz=1.5")
    for panel, level in zip(panels, ("68", "95"), strict=True):
        shown = [data[:, 1].tolist() for _, data in panel if len(data) > 2]
        for kind in ("linear", "interval", "confidence"):
            assert [each.coverage.of(f"{kind}{level}").value for each in entry.truth.bins] in shown


def test_the_ends_figure_shows_the_evidence(scan):
    run, evidence = scan
    ((panel,), _) = lines(run, evidence, "ends")
    entry = next(e for e in evidence.points if e.point == "detector.resolution=100,model.dz=1.5")
    shown = [data[:, 1].tolist() for _, data in panel if len(data) > 2]
    for name in ENDS:
        means = [each.offsets.of(name).mean for each in entry.quoted.bins]
        assert [mean.value for mean in means if mean] in shown


def test_the_validity_figure_shows_where_linear_propagation_is_valid(scan):
    (_, right), columns = lines(*scan, "validity")
    shown = dict(right)
    linear, quoted = columns["sigma_theta_linear"], columns["sigma_theta"]
    place = np.abs(columns["theta"]) / linear
    near = np.argsort(place, kind="stable")[: (place < 6).sum()]
    expected = np.stack([place[near], quoted[near] / linear[near]], axis=1)
    assert 0.55 < expected[0, 1] < 0.65
    np.testing.assert_array_equal(shown["quoted σ / linear σ"], expected[:: max(1, len(near) // 500)])


def test_badness_puts_the_verdict_first(scan):
    run, evidence = scan
    some, settings = evidence.points[0], run.study.config.validation
    (*_, last) = some.linear.bins

    def entry(verdict, ratio):
        closure = last.ratio.model_copy(update={"value": ratio})
        bins = [last.model_copy(update={"ratio": closure, "verdict": verdict, "decides": True})]
        judged = some.linear.model_copy(update={"bins": bins})
        found = {"propagation": verdict, "truth": None, "linear": judged}
        return some.model_copy(update={**found, "quoted": judged.model_copy(update={"bins": []})})

    def order_of(entry):
        return badness(entry, [], [], settings)

    order = [
        entry(Verdict.PASS, 1.04),
        entry(Verdict.INCONCLUSIVE, 1.01),
        entry(Verdict.FAIL, 1.06),
        entry(Verdict.FAIL, 0.8),
    ]
    shuffled = [order[index] for index in (2, 0, 3, 1)]
    assert sorted(shuffled, key=order_of) == order
    assert order_of(order[-1])[0][1] == pytest.approx(0.2 / 0.05)


@pytest.mark.parametrize(
    "scan",
    [
        {"detector.resolution": [50, 100, 200]},
        {"zip": {"detector.resolution": [50, 100], "model.dz": [1.0, 2.0]}},
        {"zip": {"detector.resolution": [50, 100], "model.dz": [1.0, 2.0]}, "source.x_max": [0.5, 1.0]},
        {"detector.resolution": [50, 100], "model.dz": [1.0, 2.0], "source.x_max": [0.5, 1.0]},
    ],
)
def test_scans_of_other_shapes(tmp_path, scan):
    run, evidence = drawn({**SMALL, "scan": scan}, tmp_path, "scan")
    (figure,) = (each for each in gallery(run.study) if each.kind == "scan")
    assert (tmp_path / "figures" / f"{figure.stem}.svg").stat().st_size > 10_000
    _, caption = words(figure, run.study, evidence)
    assert ("those of the scan point nearest" in caption) == (len(scan) > 2)
    assert ("vary together" in caption) == ("zip" in scan)


@pytest.mark.parametrize("rows", ["0.5\n", "nan\ninf\n", "0\n0\n0\n", "0.1\n0.2\n0.3\n0.004\n"])
def test_recorded_hits_of_few_or_no_use(tmp_path, rows):
    (tmp_path / "hits.csv").write_text("x\n" + rows)
    raw = {"study": "s", "source": {"kind": "recorded", "file": str(tmp_path / "hits.csv")}, "toys": {"per_muon": 100}}
    run, _ = drawn(raw, tmp_path / "out")
    assert [figure.kind for figure in gallery(run.study)] == ["detector", "hits", "value", "sigma", "validity", "ends"]


FEW = {"study": "s", "source": {"muons": 300}, "toys": {"muons": 20, "per_muon": 100, "experiments": 100}}
LOST = {"detector": {"efficiency": 1e-12}}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        slow("one_hit", {"detector": {"efficiency": 0.5}}),
        ("one_hit", {"source": {"muons": 2}, **LOST}),
        slow("one_hit", {"toys": {"muons": 1, "per_muon": 2}, "detector": {"efficiency": 0.01}}),
        ("one_hit", {"source": {"muons": 9, "x_max": 1e-300}, "detector": {"resolution": 1e12}}),
        slow("one_hit", {"detector": {"noise": {"kind": "strip", "pitch": 3.0}}}),
        ("track", LOST),
        slow("track", {"source": {"muons": 99, "x_min": 1e6 - 1e-9, "x_max": 1e6}, "detector": {"resolution": 1e12}}),
    ],
)
def test_hits_that_are_lost_few_or_all_equal_are_drawn(tmp_path, name, changes):
    run, _ = drawn({**FEW, "model": {"name": name}, **changes}, tmp_path)
    assert len(files_in(tmp_path / "figures")) == len(gallery(run.study))


def test_the_hits_figure_says_how_many_hits_are_lost(tmp_path):
    run, evidence = made({**FEW, "detector": {"efficiency": 0.5}}, tmp_path)
    axes, columns, _ = panels(run, evidence, "hits")
    hits = np.isfinite(columns["x_reco"]).sum()
    assert 100 < hits < 200
    assert axes[0].get_title() == f"{hits} of 300 muons have a hit"
    (mesh,) = axes[0].collections
    assert np.nansum(mesh.get_array()) == hits
    run, evidence = made({**FEW, **LOST}, tmp_path / "lost")
    axes, _, _ = panels(run, evidence, "hits")
    assert [each.get_text() for each in axes[0].texts] == ["no hits"]


def recorded(folder, rows, header="x", name="one_hit", make=made):
    """A study of recorded hits."""
    (folder / "hits.csv").write_text(f"{header}\n{rows}")
    source = {"kind": "recorded", "file": str(folder / "hits.csv")}
    raw = {"study": "s", "model": {"name": name}, "source": source, "toys": {"per_muon": 100}}
    return make(raw, folder / "out")


NUMBERS = {
    "largest": ["1e308", "-1e308", "1.7976931348623157e308", "0.1"],
    "all largest": ["1e308"] * 4,
    "squares overflow": ["1e155", "-1e155", "3e155", "1e99"],
    "denormal": ["5e-324", "1e-308", "-5e-324", "1e-310"],
    "all decades": [f"{sign}1e{power}" for sign in ("", "-") for power in range(-320, 309, 4)],
    "differ by rounding": ["1.0", "1.0000000000000002", "1.0000000000000004"],
    "large and differ by rounding": ["1e16", "10000000000000002", "10000000000000004"],
}


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("one_hit", "x", "{0}\n"),
        slow("track", "x0,x1,x2", "{0},{0},0.1\n{0},0.1,-0.1\n"),
    ],
)
@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_recorded_hits_of_any_size_are_drawn(tmp_path, numbers, name, header, row):
    recorded(tmp_path, "".join(map(row.format, numbers)), header, name, drawn)


def test_hits_too_far_to_be_drawn_are_counted_in_the_figure(tmp_path):
    run, evidence = recorded(tmp_path, "0.1\n-1e308\n1e101\n1e100\ninf\n\n0.2\n")
    (axes,), _, _ = panels(run, evidence, "hits")
    assert axes.get_title() == "2 hits beyond ±1e+100 not shown"
    assert sum(bar.get_height() for bar in axes.patches) == 3
    run, evidence = recorded(tmp_path, "0.1,0.2,0.3\n0.1,1e308,0.1\n,0.1,0.2\n", "x0,x1,x2", "track")
    axes, _, _ = panels(run, evidence, "hits")
    assert axes[0].get_title() == "1 hit beyond ±1e+100 not shown"
    assert [bar.get_height() for bar in axes[1].patches] == [pytest.approx(2 / 3), 1.0, 1.0]  # far, but a hit


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.25, 0.5], (0.25, 0.5)),
        ([0.5, 0.5], (0.0, 1.0)),
        ([5e-324, 1e-310], (-0.5, 0.5)),
        ([1e16, 1e16 + 2], (1e16 - 1e4, 1e16 + 1e4 + 2)),
    ],
)
def test_the_range_of_a_histogram_of_all_values(values, limits):
    assert ranges.all_of(np.array(values)) == pytest.approx(limits, rel=1e-15)


@pytest.mark.parametrize("systematics", [slow({}), {"model.dz": 0.1}])
def test_a_single_muon_is_drawn(tmp_path, systematics):
    drawn({**SMALL, "scan": None, "source": {"muons": 1}, "systematics": systematics}, tmp_path)


def test_colours_differ_in_grey():
    """The colours that tell things apart keep apart when printed without colour."""

    def grey(colour):
        return np.dot(mpl.colors.to_rgb(colour), (0.299, 0.587, 0.114))

    assert abs(grey(base.BLUE) - grey(base.VERMILLION)) > 0.1
    ramp = [grey(colour) for colour in mpl.colormaps[base.STYLE["image.cmap"]](np.linspace(0, 1, 20))]
    assert all(np.diff(ramp) > 0)


def test_a_failure_leaves_no_half_file(scan, tmp_path, monkeypatch):
    run, _ = scan

    def fail(_):
        raise RuntimeError("stop")

    monkeypatch.setitem(plot.OF_SUBJECT, "coverage", fail)
    again = [tmp_path / path.name for path in run.figures]
    with pytest.raises(RuntimeError, match="stop"):
        plot.plot(run.study, run.outputs.study, run.outputs.validation, again)
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob("coverage*"))


@pytest.mark.parametrize("systematics", [{}, {"model.dz": 0.01}])
def test_figures_read_the_artefacts_that_they_name_and_no_others(tmp_path, monkeypatch, block, systematics):
    """A point in several batches: those of the first 100 toy muons and the pseudo-experiments, each verified once."""
    raw = {"study": "s", "source": {"muons": block + 300}, "compute": {"batch_cost": 1}, "systematics": systematics}
    run = Run({**raw, "toys": {"muons": 200, "per_muon": 20, "experiments": 100}}, tmp_path).make()
    (first, second), named = run.study.batches, drawn_from(run.study)
    read = set(run.study.kinds) - {"coverage"}
    assert set(named) == {(kind, first) for kind in read} | ({("toys", second)} if systematics else set())
    for kind, files in run.files.items():
        for name, file in zip(run.study.batches, files, strict=True):
            if (kind, name) not in named:
                file.unlink()
    verified, verify = [], artefact.verify
    monkeypatch.setattr(artefact, "verify", lambda path, advice: verified.append(path) or verify(path))
    plot.plot(run.study, run.outputs.study, run.outputs.validation, run.figures)
    files = [tmp_path / kind / f"{name}.h5" for kind, name in named]
    assert sorted(verified) == sorted([run.outputs.study, *files])
    files[0].write_bytes(files[0].read_bytes()[:-1])
    with pytest.raises(PullbackError, match=f"{re.escape(str(files[0]))}: is damaged or truncated"):
        plot.plot(run.study, run.outputs.study, run.outputs.validation, run.figures)


def test_pictures_show_recorded_hits_from_all_along_the_file(tmp_path, block):
    """The first block has toys that are shown; of the others only hits and fits are read."""
    rng = np.random.default_rng(1)
    rows = "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in rng.normal(0, 0.01, (2 * block + 5, 3)).tolist())
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n" + rows)
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    raw = {"study": "s", "source": source, "model": {"name": "track"}, "compute": {"batch_cost": 1}}
    run = Run({**raw, "toys": {"muons": 200, "per_muon": 20}}, tmp_path / "out").make()
    assert len(run.study.batches) == 3
    named = set(drawn_from(run.study))
    assert named >= {(kind, name) for kind in ("reco", "fits") for name in run.study.batches}
    for kind, files in run.files.items():
        for name, file in zip(run.study.batches, files, strict=True):
            if (kind, name) not in named:
                file.unlink()
    plot.plot(run.study, run.outputs.study, run.outputs.validation, run.figures)
    totals = [each.patches[0].get_data().values.sum() for each in draw(run, "hit_maps").axes]
    assert 0.99 * (2 * block + 5) < min(totals) <= max(totals) <= 2 * block + 5


def test_toys_of_very_many_blocks_are_shown(tmp_path, block):
    """The first block has no toy muon: the first two blocks with one are shown, from the second batch."""
    raw = {"study": "s", "source": {"muons": 3 * block}, "compute": {"batch_cost": 1}}
    run = Run({**raw, "toys": {"muons": 2, "per_muon": 300}}, tmp_path).make()
    assert {name for _, name in drawn_from(run.study)} == set(run.study.batches)
    with open_study(run.outputs.study) as reader:
        figure = next(each for each in gallery(run.study) if each.kind == "sigma")
        subject = Subject(run.study, reader, Evidence.read(run.outputs.validation), figure)
        (theta,) = subject.observables
        muon = theta.toys("muon")
        assert len(muon) == 2
        assert (muon >= block).all()
        for name in ("theta", "sigma_theta", "interval68_theta"):
            assert np.array_equal(subject.at(name, muon), reader.rows(f"nominal/{name}")[muon])
        assert np.array_equal(theta.distance(muon=muon), theta.at("{}", muon) / theta.at("sigma_{}_linear", muon))


@pytest.mark.parametrize(("name", "below_theta"), [("one_hit", 2), ("track", 3)])
def test_ratios_far_from_1_are_in_sight(tmp_path, name, below_theta):
    noise = {"noise": {"kind": "strip", "pitch": 3.0}}
    run, evidence = drawn({**FEW, "model": {"name": name}, "detector": noise}, tmp_path)
    axes, columns, _ = panels(run, evidence, "sigma")
    muon = columns["toys/muon"]
    ratios = columns["toys/toy_sd_theta"] / columns["sigma_theta"][muon]
    assert np.nanmedian(ratios) > 10
    assert axes[below_theta].get_ylim()[1] > np.nanmedian(ratios)
