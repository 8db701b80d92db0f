import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.config.units import DECIMAL, OF_SLOPES, in_unit

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
        ("[60 mm, 50 cm]", "m", [0.06, 0.5]),
        ("60 mm, 50 cm", "m", [0.06, 0.5]),
        ("[0, 60 mm, -1 m]", "m", [0.0, 0.06, -1.0]),
        ("[1 /mm, 10 1/cm]", "1/m", [1000.0, 1000.0]),
        ("1 /mm, 10 1/cm", "1/m", [1000.0, 1000.0]),
        ("[45 deg, 1e2 mrad]", "rad", [math.pi / 4, 0.1]),
        ("5 mrad", "slope", math.tan(5e-3)),
        ("[-45 deg, 0.1 rad]", "slope", [math.tan(-math.pi / 4), math.tan(0.1)]),
        ("[5, 6] mrad", "slope", [math.tan(5e-3), math.tan(6e-3)]),
    ],
)
def test_numbers_with_units(text, unit, expected):
    assert in_unit(text, unit) == expected


@pytest.mark.parametrize("value", [1.5, 3, "1.5", "1e5", "1,5 m", "1_000 m", "[1, 2]", "m", "", None, True])
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
            if other != unit and not (other == "rad" and unit in OF_SLOPES):
                with pytest.raises(ValueError, match="it must be"):
                    in_unit(f"3 {each}", unit)


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda each: not 0 < abs(each) < 1e-290),
    st.sampled_from([*SCALES]),
)
def test_the_result_is_the_double_nearest_to_what_is_written(number, unit):
    """By Python's own reading of a decimal exponent."""
    mantissa, _, exponent = repr(number).partition("e")
    expected = float(f"{mantissa}e{int(exponent or 0) + round(math.log10(SCALES[unit]))}")
    assert in_unit(f"{number!r} {unit}", "m") == expected


def test_an_exponent_beyond_all_numbers_is_one_line():
    with pytest.raises(ValueError, match=r"is '.* um', a number that is too large or too small$"):
        in_unit("9e999999999999999999 um", "m")


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("[1 mm, 2 mm] m", "m", "is '[1 mm, 2 mm] m', with units both within and after the brackets; leave out one"),
        ("[60 mm, 2]", "m", "is '[60 mm, 2]'; 2 has no unit, and others have; give each its unit"),
        ("[60 mm, 2 GeV]", "m", "is '[60 mm, 2 GeV]', a momentum; it must be a length"),
        ("1 m,2 mm", "m", "is '1 m,2 mm'; several numbers with units need brackets: '[1 m,2 mm]'"),
        ("5 MM", "m", "MM is no unit that is known here: write mm; it must be a length"),
        ("5 GEV", "GeV/c", "GEV is no unit that is known here: write GeV; it must be a momentum"),
        ("5 meters", "m", "meters is no unit that is known here: write m; it must be"),
        ("5 micrometre", "m", "micrometre is no unit that is known here: write um; it must be"),
        ("5 milliradian", "rad", "milliradian is no unit that is known here: write mrad; it must be"),
        ("5 microns", "m", "write um"),
        ("5 mm", "slope", "a length; it must be a slope, as a number alone or as its angle in rad, mrad, urad or deg"),
        ("5 slope", "slope", "no unit that is known here; it must be a slope"),
        ("90 deg", "slope", "the angle of a slope, which is its tangent, must be below 90 deg"),
        ("-2 rad", "slope", "must be below 90 deg"),
        ("1e400 m", "m", "is '1e400 m', a number that is too large or too small"),
        ("1e-400 mm", "m", "is '1e-400 mm', a number that is too large or too small"),
        ("[1, 1e308] km", "m", "a number that is too large or too small"),
    ],
)
def test_what_is_wrong_with_a_number_with_a_unit_is_said(text, unit, expected):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        in_unit(text, unit)
    assert expected in str(caught.value)
