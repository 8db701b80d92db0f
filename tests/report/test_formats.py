"""Numbers with the units that suit their size, in tables and at axes."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from pullback.models.planes import positions_on
from pullback.report.figures.base import label_axis
from pullback.report.formats import typeset
from pullback.statistics.prefixes import prefixed, suited, with_unit


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.25, "rad", "0.25 rad"),
        (-0.004, "rad", "-4 mrad"),
        (3e-5, "rad", "30 µrad"),
        (14.4e-6, "m", "14.4 µm"),
        (0.0195, "m", "19.5 mm"),
        (0.1083, "m", "108.3 mm"),
        (-0.999, "m", "-999 mm"),
        (0.9996, "m", "0.9996 m"),
        (0.00072, "m", "720 µm"),
        (0.001, "m", "1 mm"),
        (0.0999, "rad", "99.9 mrad"),
        (0.1, "rad", "0.1 rad"),
        (1.5, "m", "1.5 m"),
        (0.0, "m", "0 m"),
        (100.0, "1/m", "100 /m"),
        (2e-5, "GeV/c", "2e-05 GeV/c"),
        (7.0, "", "7"),
        (0.02, "1", "0.02"),
    ],
)
def test_a_number_has_the_unit_of_its_size(value, unit, words):
    assert suited(value, unit) == words


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("-0.6029 to -0.6002", "−0.6029 to −0.6002"),
        ("[-1, +2]", "[−1, +2]"),
        ("-8.56e-05", "−8.56\xa0×\xa010⁻⁵"),
        ("3e+07", "3\xa0×\xa010⁷"),
        ("p < 1e-4", "p &lt; 10⁻⁴"),
        ("0.4 × 10⁻³", "0.4\xa0×\xa010⁻³"),
        ("write `x: [0, -2e-3]`; -2 mm", "write <code>x: [0, -2e-3]</code>; −2\xa0mm"),
        ("12.5 ± 0.3 µm, 3 muons", "12.5\xa0±\xa00.3\xa0µm, 3 muons"),
        ("at 5 σ or 2.0 × 10⁻³ rad; σ = 100 /m", "at 5\xa0σ or 2.0\xa0×\xa010⁻³\xa0rad; σ = 100\xa0/m"),
        ("write `z: 2 ± 1 mm`", "write <code>z: 2 ± 1 mm</code>"),
        ("run-3 of 2026-07-01, x0e-5, model.dz=-1", "run-3 of 2026-07-01, x0e-5, model.dz=-1"),
    ],
)
def test_numbers_are_set_as_people_write_them(text, html):
    assert str(typeset(text)) == html


def test_several_numbers_share_the_unit_of_the_largest():
    assert suited([0.0, 0.0195, 0.1083, 0.1283], "m") == "0, 19.5, 108.3, 128.3 mm"
    assert suited((0.0, 0.0195), "m") == "0, 19.5 mm"


@pytest.mark.parametrize("value", [None, np.nan, np.inf, 0.0])
def test_what_has_no_size_keeps_its_unit(value):
    assert prefixed(value, "rad") == (1.0, "rad")


def test_a_number_and_its_error_share_the_unit():
    assert with_unit(0.0042, "rad", 1.3e-5) == "4.200 ± 0.013 mrad"
    assert with_unit(1e-9, "m", 1.2e-6, "+") == "+0.0 ± 1.2 µm"
    assert with_unit(1.5e30, "m", 2e29) == "1.5e+30 ± 2e+29 m"


def test_sentences_tables_and_heights_of_planes_have_the_same_unit():
    for value in (2e-5, 7.2e-4, 9.9e-4, 1e-3, 0.0195, 0.2, 0.99, 0.9996, 1.0, 1.5):
        unit = prefixed(value, "m")[1]
        (plane,) = positions_on({"x": "the track"}, [value])
        words = with_unit(value, "m"), with_unit(value, "m", value / 100), suited(value, "m"), plane.long_name
        assert {each.split()[-1] for each in words} == {unit}


@pytest.mark.parametrize(("unit", "words", "ticks"), [("m", "x (µm)", "20"), ("rad", "x (µrad)", "20"), ("1", "x", "")])
def test_an_axis_shows_the_unit_of_its_range_and_keeps_the_data(unit, words, ticks):
    canvas, axes = plt.subplots()
    axes.plot([1e-5, 5e-5], [0, 1])
    axes.set_xticks([2e-5])
    label_axis(axes, "x", "x", unit)
    canvas.canvas.draw()
    assert axes.get_xlabel() == words
    if ticks:
        assert [each.get_text() for each in axes.get_xticklabels()] == [ticks]
    assert axes.lines[0].get_xdata().tolist() == [1e-5, 5e-5]
    plt.close(canvas)


def test_a_logarithmic_axis_shows_decades_in_its_unit():
    canvas, axes = plt.subplots()
    axes.plot([1e-6, 1e-3], [0, 1])
    axes.set_xscale("log")
    label_axis(axes, "x", "σ", "m")
    canvas.canvas.draw()
    labels = {at: each.get_text() for at, each in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert axes.get_xlabel() == "σ (mm)"
    assert "10^{-3}" in labels[1e-6]
    assert "10^{-1}" in labels[1e-4]
    plt.close(canvas)
