"""The sentences of the answer, from numbers that are given."""

import math

import pytest

from pullback.report.answer import Knowledge, alike, known_table, over_scan
from pullback.statistics.intervals import Verdict
from pullback.validation.evidence import Entry, Shared, UncertaintyOfMean


def knowledge(mean, low, high, unit="rad", median=math.nan, shared=None, point="nominal"):
    of_mean = None if shared is None else UncertaintyOfMean(total=9.0, independent=1.0, shared=shared)
    of_all = Shared.model_construct(mean_uncertainty=of_mean) if of_mean else None
    entry = Entry.model_construct(point=point, observable="theta", shared=of_all, linear_valid=1.0, verdict="pass")
    (found,) = alike([Knowledge(entry, point, "θ", unit, 10, 10, mean, median, low, high, Verdict.PASS)])
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (knowledge(5.86e-3, 5.46e-3, 6.6e-3), "mean σ = 5.86 mrad (68 % of muons: 5.46 to 6.60)"),
        (knowledge(7.12e-3, 7.119e-3, 7.121e-3), "mean σ = 7.12 mrad"),
        (knowledge(3.37e-4, 3.37e-4, 3.37e-4, "1"), "mean σ = 0.337 × 10⁻³"),
        (knowledge(3.37e-4, 3.36e-4, 3.4e-4, "1"), "mean σ = 0.337 × 10⁻³ (68 % of muons: 0.336 to 0.340 × 10⁻³)"),
        (
            knowledge(3.43e-4, 3.36e-4, 3.4e-4, "1", median=3.38e-4),
            "median σ = 0.338 × 10⁻³ (68 % of muons: 0.336 to 0.340 × 10⁻³)",
        ),
        (knowledge(2e-5, 1e-5, 3e-5, "c/GeV"), "mean σ = 20.0 × 10⁻⁶ c/GeV (68 % of muons: 10.0 to 30.0 × 10⁻⁶)"),
        (knowledge(0.25, 0.2, 0.3, "c/GeV"), "mean σ = 0.250 c/GeV (68 % of muons: 0.200 to 0.300)"),
        (knowledge(2187.4, 2000, 3000, "GeV"), "mean σ = 2187 GeV (68 % of muons: 2000 to 3000)"),
        (knowledge(2e9, 1e9, 3e9, "GeV"), "mean σ = 2e+09 GeV (68 % of muons: 1e+09 to 3e+09)"),
        (knowledge(0.0, 0.0, 0.0, "m"), "mean σ = 0 m"),
        (
            knowledge(5e-3, 4e-3, 6e-3, shared=2.7e-4),
            "mean σ = 5.00 mrad (68 % of muons: 4.00 to 6.00), without the systematics that all muons share "
            "(0.27 mrad of the mean)",
        ),
    ],
)
def test_the_sentence(given, expected):
    assert given.sentence == f"θ of 10 muons: {expected}"


def test_over_a_scan_muons_without_a_sigma_are_told():
    mean = knowledge(2e-3, 1e-3, 3e-3)
    few = mean._replace(mean=2.5e-3, muons=4)
    assert [*over_scan([mean, few])] == [
        "θ over 2 points: mean σ from 2.00 mrad to 2.50 mrad for the 40 % to 100 % of the muons that have a σ"
    ]
    assert next(iter(over_scan([few, few]))).endswith("σ = 2.50 mrad for the 40 % of the muons that have a σ")


def test_over_a_scan_the_same_average_is_quoted_everywhere():
    mean, outside = knowledge(2e-3, 1e-3, 3e-3, median=1.9e-3), knowledge(9e-3, 3e-3, 5e-3, median=4e-3)
    assert [*over_scan([mean, mean._replace(mean=2.5e-3)])] == ["θ over 2 points: mean σ from 2.00 mrad to 2.50 mrad"]
    assert [*over_scan([mean, mean._replace(mean=2.0001e-3)])] == ["θ over 2 points: mean σ = 2.00 mrad"]
    assert [*over_scan(alike([outside, mean]))] == ["θ over 2 points: median σ from 1.90 mrad to 4.00 mrad"]


def test_a_median_that_looks_like_the_mean_is_not_named():
    """All σ are alike, so that the last bits put the mean outside the range; at the digits shown nothing differs."""
    assert knowledge(32.61e-6, 32.59e-6, 32.6e-6, median=32.595e-6).cell == "32.6 µrad"
    assert knowledge(32.66e-6, 32.59e-6, 32.6e-6, median=32.595e-6).cell == "32.6 µrad (median)"


def test_the_median_stands_where_there_is_no_mean():
    assert knowledge(math.inf, 3e-3, 5e-3, median=4e-3).cell == "4.00 mrad (median)"
    assert knowledge(math.nan, math.nan, math.nan)._replace(muons=0).cell == "–"


def test_all_points_of_a_table_show_the_same_average():
    """A point whose mean would do shows the median if another needs it; the headline uses the same word."""
    mean, outside = knowledge(2e-3, 1e-3, 3e-3, median=1.9e-3), knowledge(9e-3, 3e-3, 5e-3, median=4e-3, point="b")
    assert [each.cell for each in alike([mean, outside])] == ["1.90 mrad (median)", "4.00 mrad (median)"]
    assert "median σ = 1.90 mrad" in alike([mean, outside])[0].sentence
    assert [each.cell for each in alike([mean, mean._replace(mean=2.5e-3)])] == ["2.00 mrad", "2.50 mrad"]
    empty = outside._replace(muons=0, mean=math.nan, median=math.nan)
    assert [each.cell for each in alike([outside, empty])] == ["4.00 mrad (median)", "–"]


def test_over_a_scan_the_systematics_are_named():
    few, many = (knowledge(each, each, each, shared=each / 10) for each in (2e-3, 3e-3))
    (text,) = over_scan([many, few])
    assert text.endswith(", without the systematics that all muons share (0.2 mrad to 0.3 mrad of the mean)")


def texts(rows):
    return [[cell.text for cell in row.cells] for row in rows]


def test_a_scan_has_a_row_for_each_point():
    """Two numbers that are scanned and three observables take a line on a page, not three rows of three lines."""
    scanned = {
        "a": {"model.z[2]": "200 mm", "detector.sigma": "20 µm"},
        "b": {"model.z[2]": "1 m", "detector.sigma": "20 µm"},
    }
    theta = [knowledge(4e-3, 3e-3, 5e-3, median=4e-3, point=point) for point in "ab"]
    slope = [each._replace(symbol="dx/dz", unit="1") for each in theta]
    slope[1] = slope[1]._replace(verdict=Verdict.FAIL)
    table = known_table([theta[0], slope[0], theta[1], slope[1]], scanned)
    assert texts(table.heads) == [["model.z[2]", "detector.sigma", "mean σ of θ", "mean σ of dx/dz", "verdict"]]
    assert texts(table.rows) == [
        ["200 mm", "20 µm", "4.00 mrad", "4.00 × 10⁻³", "pass"],
        ["1 m", "20 µm", "4.00 mrad", "4.00 × 10⁻³", "fail"],
    ]


def test_sigma_stands_next_to_what_it_is_of():
    """On a phone the columns after it are beyond the edge."""
    found = [knowledge(9e-3, 3e-3, 5e-3, median=4e-3)._replace(symbol=symbol) for symbol in ("θ", "φ")]
    table = known_table(found, {"nominal": {}})
    assert texts(table.heads)[0][:3] == ["observable", "mean σ", "68 % of muons"]
    assert texts(table.rows)[1][:3] == ["φ", "4.00 mrad (median)", "3.00 to 5.00"]


@pytest.mark.parametrize(
    ("sigma", "unit", "shared", "words"),
    [(0.78e-3, "1", 5.1e-5, "0.051 × 10⁻³"), (548e-6, "m", 1.02e-4, "100 µm"), (1.2e-3, "m", 9.6e-4, "0.96 mm")],
)
def test_the_systematics_have_the_unit_of_the_sigma_beside_them(sigma, unit, shared, words):
    assert knowledge(sigma, sigma, sigma, unit, shared=shared).sentence.endswith(f"({words} of the mean)")


def test_points_of_a_scan_share_unit_and_power_of_ten():
    """A column in which 4.33 × 10⁻³ stands above 0.0131 is hard to compare."""
    sizes = [knowledge(each, each, each, "c/GeV") for each in (0.0131, 0.00654, 0.00433)]
    assert [each.cell for each in alike(sizes)] == ["0.0131 c/GeV", "0.00654 c/GeV", "0.00433 c/GeV"]
    assert [*over_scan(alike(sizes))] == ["θ over 3 points: mean σ from 0.00433 c/GeV to 0.0131 c/GeV"]
    lengths = [knowledge(each, each, each, "m") for each in (0.9e-3, 1.1e-3)]
    assert [each.cell for each in alike(lengths)] == ["0.900 mm", "1.10 mm"]
    apart = [knowledge(each, each, each, "m") for each in (2e-6, 0.3)]
    assert [each.cell for each in alike(apart)] == ["2.00 µm", "300 mm"]
