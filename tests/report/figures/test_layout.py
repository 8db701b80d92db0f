"""What every figure of some studies has in common: nothing is empty, hidden, clipped, too small or raw."""

from itertools import pairwise

import pytest
from matplotlib.text import Text
from running import SMALL, Run

from pullback.report.figures import base, plot
from pullback.report.figures.base import PAGE_WIDTH, STYLE, plt
from pullback.report.figures.layout import label_box, lay_out, overlapping, shown_labels
from pullback.report.gallery import SCANNED, gallery
from pullback.store.study_file import open_study
from pullback.validation.evidence import Evidence

SCATTER = {
    "study": "s",
    "source": {"muons": 300},
    "model": {"name": "scatter", "z_upper": [0.6, 0.8, 1.0], "z_lower": [-0.6, -0.8, -1.0], "at": "0.1 m"},
    "detector": {"resolution": 5000},
    "systematics": {"alignment.x[3]": 1e-4, "model.z_lower[0]": 2e-4},
    "toys": {"muons": 20, "per_muon": 100, "experiments": 100},
}
TRACK = {
    "study": "s",
    "source": {"muons": 300},
    "model": {"name": "track", "z": [1.0, 0.0, 0.5], "theta0": 0.001},
    "detector": {"resolution": [2000, 1000, 2000], "efficiency": 0.9},
    "toys": {"muons": 20, "per_muon": 100},
    "scan": {"model.theta0": [0.0, 0.001], "detector.efficiency": [0.8, 0.9], "model.z[2]": [0.4, 0.5]},
}
ONE = {**SMALL, "scan": None, "source": {"muons": 1}}
STUDIES = {
    "scan": SMALL,
    "track": TRACK,
    "one muon": ONE,
    "ten muons": {**TRACK, "scan": None, "source": {"muons": 10}},
    "scatter": pytest.param(SCATTER, marks=pytest.mark.slow),
}


def figures(run):
    """Every figure of a study, laid out, by its stem."""
    evidence = Evidence.read(run.outputs.validation)
    with open_study(run.outputs.study) as reader, plt.rc_context(STYLE):
        for figure in gallery(run.study):
            if figure.subject == SCANNED:
                canvas = plot.OF_SCAN[figure.kind](run.study, evidence, figure)
            else:
                canvas = plot.OF_SUBJECT[figure.kind](base.Subject(run.study, reader, evidence, figure))
            lay_out(canvas)
            yield figure.stem, canvas
            plt.close(canvas)


@pytest.mark.parametrize("raw", STUDIES.values(), ids=STUDIES)
def test_every_figure_can_be_read(raw, tmp_path):
    seen = {stem: problems(canvas) for stem, canvas in figures(Run(raw, tmp_path).make())}
    assert len(seen) > 6
    assert {stem: found for stem, found in seen.items() if found} == {}


def test_every_figure_of_recorded_tracks_can_be_read(telescope):
    assert {stem: found for stem, canvas in figures(telescope.run) if (found := problems(canvas))} == {}


def problems(canvas):
    """What a reader would complain of, in words."""
    canvas.draw_without_rendering()
    page = canvas.bbox
    width = canvas.get_size_inches()[0]
    texts = [each for each in canvas.findobj(Text) if each.get_visible() and each.get_text().strip()]
    drawn = [each for each in texts if inside_axes(each)]
    found = [] if width == PAGE_WIDTH else [f"{width} inches wide"]
    found += [f"small: {each.get_text()}" for each in drawn if each.get_fontsize() < 8]
    found += [f"raw: {each.get_text()}" for each in drawn if "_" in each.get_text() and "$" not in each.get_text()]
    for axes in canvas.axes:
        shown = axes.lines or axes.patches or axes.collections or axes.containers or axes.texts or axes.images
        if not shown and not axes.get_legend():
            found.append(f"empty: {axes.get_title()}")
        for axis in (axes.xaxis, axes.yaxis):
            if axes.axison and overlapping(axis):
                found.append(f"overlap: {[each.get_text() for each in shown_labels(axis)]}")
            boxes = [label_box(each) for each in shown_labels(axis)] if axes.axison else []
            found += ["overlap by box" for one, other in pairwise(boxes) if one.overlaps(other)]
            found += ["clipped tick" for box in boxes if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1]
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            box = text.get_window_extent()
            if text.get_text() and (box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1):
                found.append(f"clipped: {text.get_text()}")
    return found


def inside_axes(text):
    """Whether a text is drawn; labels of ticks out of the range are not."""
    axes = text.axes
    if axes is None or not axes.axison:
        return True
    labels = {id(each) for axis in (axes.xaxis, axes.yaxis) for each in axis.get_majorticklabels()}
    shown = {id(each) for axis in (axes.xaxis, axes.yaxis) for each in shown_labels(axis)}
    return id(text) not in labels or id(text) in shown


def panel(*words):
    """A narrow panel with names along its axis, laid out."""
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(2.0, 1.5))
        axes.set_xticks(range(len(words)), words)
        axes.set_xlim(-0.5, len(words) - 0.5)
        crowded = overlapping(axes.xaxis)
        lay_out(canvas)
        plt.close(canvas)
    return axes, crowded


def test_names_that_overlap_stand_on_two_lines():
    axes, crowded = panel("mean of x", "mean of y", "mean of z")
    assert crowded
    assert not overlapping(axes.xaxis)
    assert [each.get_text() for each in axes.get_xticklabels()] == ["mean of x", "\nmean of y", "mean of z"]


def test_very_many_names_are_thinned():
    axes, crowded = panel(*(f"x{index}" for index in range(40)))
    assert crowded
    assert not overlapping(axes.xaxis)
    assert 2 <= len(shown_labels(axes.xaxis)) < 20


def test_numbers_that_overlap_are_fewer():
    with plt.rc_context({**STYLE, "xtick.labelsize": 16}):
        canvas, axes = plt.subplots(figsize=(2.0, 1.5))
        axes.set_xlim(0, 0.00123)
        axes.locator_params(axis="x", nbins=9)
        assert overlapping(axes.xaxis)
        lay_out(canvas)
        plt.close(canvas)
    assert not overlapping(axes.xaxis)
