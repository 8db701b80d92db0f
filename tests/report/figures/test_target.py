import numpy as np
import pytest

from pullback.report.figures.base import STYLE, plt
from pullback.report.figures.plot import METADATA, _save
from pullback.report.figures.symbols import key_in_math
from pullback.report.figures.target import target_figure
from pullback.store.target_file import TargetAnswer, TargetAnswers
from pullback.study.plan import Study

NAMES = ("source.x_max", "validation.confidence", "validation.tolerance", "uncertainty.n_dig", "toys.per_muon")


def drawn(values):
    """The figure of a target at points with some scanned values, by name, laid out and saved."""
    study = Study.from_config({"study": "s", "target": {"sigma_theta": 0.004, "vary": "detector.resolution"}})
    grid = np.geomspace(1.0, 1e4, 20)
    answers = [
        TargetAnswer(
            values=each,
            value=250.0 * index,
            reached=True,
            nearest=250.0 * index,
            nearest_sigma=0.004,
            start=100.0,
            start_sigma=index / 100,
            grid=grid.tolist(),
            sigmas=(index / grid).tolist(),
        )
        for index, each in enumerate(values, 1)
    ]
    target = TargetAnswers(observable="theta", vary="detector.resolution", wanted=0.004, answers=answers)
    with plt.rc_context(STYLE):
        canvas = target_figure(study, target)
        _save(canvas, [f"target.{kind}" for kind in METADATA])
    return canvas


@pytest.mark.parametrize(("names", "answers"), [(0, 1), (1, 8), (1, 9), (2, 8), (3, 5), (3, 6), (5, 3)])
def test_the_legend_leaves_room_for_the_curves(names, answers):
    """Whatever was scanned: over several numbers, each with all of its digits."""
    values = [dict.fromkeys(NAMES[:names], 1 / (3 * index)) for index in range(1, 1 + answers)]
    canvas = drawn(values)
    (axes,) = canvas.axes
    assert min(axes.get_position().width, axes.get_position().height) > 0.4
    (legend,) = canvas.legends
    frame = legend.get_window_extent()
    assert canvas.bbox.width >= frame.x1
    assert frame.y0 >= 0
    assert frame.y1 <= canvas.bbox.height
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[-3:] == ["target", "present value", "target reached"]
    named = [label for label in labels[:-3] if label]
    assert len(named) == (answers if names and answers <= 8 and names * answers <= 16 else 0)
    for label, each in zip(named, values, strict=False):
        assert label.splitlines() == [f"{key_in_math(name)} = {value:.6g}" for name, value in each.items()]
