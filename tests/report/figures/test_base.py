from unittest.mock import Mock

import numpy as np
import pytest

from pullback.report.figures.base import (
    STYLE,
    Observable,
    beyond_band,
    bin_panels,
    label_axis,
    legend,
    panels,
    plt,
    with_minus,
)
from pullback.report.figures.layout import lay_out
from pullback.validation.evidence import Bin


def log_axis(low, high, unit):
    """The labels of a logarithmic axis by place, and its title."""
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(4, 4))
        axes.plot([1, 2], [low, high])
        axes.set(yscale="log", ylim=(low, high))
        label_axis(axes, "y", "σ", unit)
        canvas.draw_without_rendering()
        plt.close(canvas)
    labels = [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)]
    return {each.get_position()[1]: each.get_text() for each in labels if each.get_text()}, axes.get_ylabel()


@pytest.mark.parametrize(
    ("low", "high", "unit", "factor", "title"),
    [(3e-4, 2e-3, "rad", 1e3, "σ (mrad)"), (3e-4, 8e-4, "rad", 1e3, "σ (mrad)"), (0.3, 2.0, "rad", 1, "σ (rad)")],
)
def test_all_labels_of_a_logarithmic_axis_have_its_unit(low, high, unit, factor, title):
    found, words = log_axis(low, high, unit)
    assert words == title
    inside = {place: text for place, text in found.items() if low <= place <= high}
    assert len(inside) >= 3
    for place, text in inside.items():
        assert float(text) == pytest.approx(place * factor, rel=1e-5)


def test_labels_of_many_decades_are_powers():
    found, _ = log_axis(1e-12, 1e-2, "rad")
    assert all(text.startswith("$") for text in found.values())
    assert any("10^{-5}" in text for place, text in found.items() if place == pytest.approx(1e-8))  # mrad


def observable(symbol, fold=None):
    return Mock(spec=Observable, symbol=symbol, fold=fold, place=f"{symbol}/σ")


def bins(*known):
    edges = [*range(len(known)), np.inf]
    return [Mock(spec=Bin, low=edges[place], high=edges[place + 1], known=each) for place, each in enumerate(known)]


def test_bins_without_anything_at_the_ends_are_left_out_and_counted():
    of_each = [
        (observable("a", "a"), bins(False, True, False, True, False)),
        (observable("b", "b"), bins(False, False, True)),
        (observable("c"), bins(True)),
    ]
    wide, flat = bin_panels(of_each, lambda each: each.known)
    assert (wide.title, wide.words, wide.left_out) == ("a", ["1–2", "2–3", "3–4"], 2)
    assert wide.bins == of_each[0][1][1:4]
    assert (flat.title, flat.words, flat.left_out) == ("one bin each", ["b\n≥ 2 σ", "c"], 0)
    assert flat.bins == [of_each[1][1][2], of_each[2][1][0]]


def test_a_single_observable_has_its_panel_with_one_bin():
    (panel,) = bin_panels([(observable("a", "a"), bins(False, True))], lambda each: each.known)
    assert (panel.place, panel.words, panel.left_out) == ("a/σ", ["≥ 1"], 1)


@pytest.mark.parametrize(("count", "free"), [(2, 0), (3, 1), (4, 0)])
def test_the_legend_is_in_a_place_of_two_panels(count, free):
    """Panels in pairs, one below the other, as those of closure."""
    with plt.rc_context(STYLE):
        canvas, grid = plt.subplots(4, 2)
        for row, column in [(row, column) for row in (0, 2) for column in (0, 1)][count:]:
            grid[row, column].remove()
            grid[row + 1, column].remove()
        grid[0, 0].plot([0, 1], [0, 1], label="line")
        drawn = list(canvas.axes)
        legend(canvas, grid[:2].flat, rows=2)
        lay_out(canvas)
        plt.close(canvas)
    added = [each for each in canvas.axes if each not in drawn]
    assert (len(added), len(canvas.legends)) == (free, 1 - free)
    assert not any(axes.bbox.overlaps(panel.bbox) for axes in added for panel in drawn)


def test_a_number_that_is_zero_has_no_sign():
    assert with_minus("mean -0.000, +0.005, -0.12, -0, +10") == "mean 0.000, +0.005, −0.12, 0, +10"


def test_a_band_of_a_tolerance_has_edges():
    canvas, axes = plt.subplots()
    axes.set_ylim(0.99, 1.2)
    assert beyond_band(axes, 1.0, 0.05) == pytest.approx((0.93, 1.2))
    plt.close(canvas)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_legend_is_in_a_free_place(count):
    with plt.rc_context(STYLE):
        canvas, grid = panels(count, 2.0)
        grid[0].plot([0, 1], [0, 1], label="line")
        legend(canvas, grid)
        lay_out(canvas)
        plt.close(canvas)
    free = [each for each in canvas.axes if each not in grid]
    assert (len(free), len(canvas.legends)) == ((1, 0) if count in (3, 5) else (0, 1))
    for axes in free:
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["line"]
        assert not any(axes.bbox.overlaps(panel.bbox) for panel in grid)
