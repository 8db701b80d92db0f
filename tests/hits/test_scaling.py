"""Lengths of columns with a scale and an offset, against exact arithmetic of fractions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits.hits_file import source_of
from pullback.hits.scaling import PER_METRE

NUMBERS = [0, 1, 79, -3.5, 336]


@pytest.fixture
def columns():
    """A file with a column and its negative."""
    Path("hits.csv").write_text("p,q,s\n" + "".join(f"{n},{-n},{n * n + 1}\n" for n in NUMBERS))


def block(names=("x",), **section):
    (found,) = source_of(Recorded(file="hits.csv", **section), names).blocks(0, len(NUMBERS))
    return found


def exact(scale, offset):
    return [float(Fraction(offset) + Fraction(scale) * Fraction(n)) for n in NUMBERS]


@pytest.mark.parametrize(
    ("unit", "column", "scale", "offset"),
    [
        ("m", {"scale": "250 um", "offset": "-10 mm"}, "250e-6", "-10e-3"),
        ("um", {"scale": "250 um", "offset": "-10 mm"}, "250e-6", "-10e-3"),
        ("mm", {"scale": 0.25, "offset": -10}, "250e-6", "-10e-3"),
        ("cm", {"scale": -2.5, "offset": "1 m"}, "-2.5e-2", "1"),
        ("mm", {"scale": "5 cm"}, "5e-2", "0"),
        ("mm", {"offset": 3}, "1e-3", "3e-3"),
        ("m", {"offset": "1 km"}, "1", "1000"),
        ("um", {}, "1e-6", "0"),
    ],
)
@pytest.mark.usefixtures("columns")
def test_a_hit_is_offset_plus_scale_times_value(unit, column, scale, offset):
    found = block(columns={"x": {"column": "p", **column}}, unit=unit)
    np.testing.assert_allclose(found.hits[:, 0], exact(scale, offset), rtol=4e-16, atol=1e-17)


@pytest.mark.usefixtures("columns")
def test_plain_and_scaled_columns_beside_each_other():
    found = block(("b", "a"), columns={"a": {"column": "q", "scale": "2 m"}, "b": "p"}, unit="mm")
    np.testing.assert_array_equal(found.hits[:, 0], np.array(NUMBERS) / 1000)
    np.testing.assert_array_equal(found.hits[:, 1], np.array(NUMBERS) * -2)


@pytest.mark.parametrize("unit", PER_METRE)
@pytest.mark.usefixtures("columns")
def test_the_scale_of_uncertainties_is_theirs_alone(unit):
    found = block(
        columns={"x": {"column": "p", "scale": "7 m", "offset": "3 m"}},
        sigma={"x": {"column": "s", "scale": "50 um"}},
        unit=unit,
    )
    expected = [(5e-5 * (n * n + 1)) ** 2 for n in NUMBERS]
    np.testing.assert_allclose(found.covariance[:, 0], expected, rtol=1e-14)
    np.testing.assert_array_equal(found.hits[:, 0], [3 + 7 * n for n in NUMBERS])


@pytest.mark.usefixtures("columns")
def test_two_coordinates_may_share_a_column_of_uncertainties_with_scales_of_their_own():
    sigma = {"a": {"column": "s", "scale": 2}, "b": "s"}
    found = block(("a", "b"), columns={"a": "p", "b": "q"}, sigma=sigma)
    np.testing.assert_array_equal(found.covariance[:, 0], 4 * found.covariance[:, 1])


@pytest.mark.usefixtures("columns")
def test_one_column_is_not_two_coordinates_by_two_scales():
    columns = {"a": "p", "b": {"column": "p", "scale": 2}}
    with pytest.raises(PullbackError, match=r"source\.columns\.a: a and b are all column 'p'"):
        block(("a", "b"), columns=columns)
