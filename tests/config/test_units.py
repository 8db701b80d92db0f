import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.config.units import DECIMAL, in_unit

SCALES = {"km": 1e3, "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("14.4 um", "m", 1.44e-05),
        ("14.4um", "m", 1.44e-05),
        ("14.4 µm", "m", 1.44e-05),
        ("-.5 mm", "m", -0.0005),
        ("1e3 mm", "m", 1.0),
        ("0.5 mrad", "rad", 0.0005),
        ("60 deg", "rad", math.pi / 3),
        ("90°", "rad", math.pi / 2),
        ("4 GeV", "GeV/c", 4.0),
        ("500 MeV/c", "GeV/c", 0.5),
        ("10 /mm", "1/m", 10_000.0),
        ("10 mm^-1", "1/m", 10_000.0),
        ("10 mm⁻¹", "1/m", 10_000.0),
        ("7870 kg/m3", "g/cm3", 7.87),
        ("0.286 keV", "eV", 286.0),
        ("1.5 T", "T", 1.5),
        ("[72, 14.4] um", "m", [7.2e-05, 1.44e-05]),
        ("[72] um", "m", [7.2e-05]),
        ("0, 19.5, 108.8 mm", "m", [0.0, 0.0195, 0.1088]),
        (["1 m", 2, "3 cm"], "m", [1.0, 2, 0.03]),
    ],
)
def test_numbers_with_units(text, unit, expected):
    assert in_unit(text, unit) == expected


@pytest.mark.parametrize("value", [1.5, 3, "1.5", "1e5", "1,5 m", "1_000 m", "[1 m, 2 mm]", "m", "", None, True])
def test_other_values_are_left_to_be_checked_by_type(value):
    assert in_unit(value, "m") is value


@pytest.mark.parametrize("unit", [*DECIMAL, "T", "1", ""])
@pytest.mark.parametrize("text", ["3 parsec", "[3, 4] furlong"])
def test_unknown_units_are_refused(unit, text):
    with pytest.raises(ValueError, match="no unit that is known here"):
        in_unit(text, unit)


@pytest.mark.parametrize("unit", DECIMAL)
def test_units_of_other_quantities_are_refused(unit):
    for other, units in DECIMAL.items():
        for each in units:
            if other != unit:
                with pytest.raises(ValueError, match="it must be"):
                    in_unit(f"3 {each}", unit)


@given(st.floats(-1e6, 1e6), st.sampled_from([*SCALES]))
def test_the_result_is_the_double_nearest_to_what_is_written(number, unit):
    """By Python's own reading of a decimal exponent."""
    mantissa, _, exponent = repr(number).partition("e")
    expected = float(f"{mantissa}e{int(exponent or 0) + round(math.log10(SCALES[unit]))}")
    assert in_unit(f"{number!r} {unit}", "m") == expected


def test_an_exponent_beyond_all_numbers_is_one_line():
    with pytest.raises(ValueError, match=r"is '.* um', a number that is too large or too small$"):
        in_unit("9e999999999999999999 um", "m")
