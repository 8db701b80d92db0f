"""Columns in the config: names, or sections with a scale and an offset."""

import json

import pytest

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.study.plan import Study


@pytest.mark.parametrize(
    ("key", "column", "expected"),
    [
        (
            "columns",
            3,
            "is 3; it must be the name of a column (in quotes if it looks like a number), or",
        ),
        ("columns", None, "is None; it must be the name of a column"),
        ("columns", {"scale": 1}, "column: is missing (name of the column)"),
        ("columns", {"column": "a", "scal": 1}, "scal: unknown key; did you mean scale?"),
        ("columns", {"column": "a", "scale": 0}, "scale: must not be 0"),
        ("columns", {"column": "a", "scale": "0 mm"}, "scale: must not be 0"),
        ("columns", {"column": "a", "scale": True}, "scale: is True; it must be a finite number, or one with a unit"),
        ("columns", {"column": "a", "scale": float("nan")}, "scale: is nan; it must be a finite number"),
        ("columns", {"column": "a", "scale": "wide"}, "scale: is 'wide'; it must be a finite number, or one with"),
        ("columns", {"column": "a", "scale": "250"}, "scale: is '250'; it must be a finite number, or one with"),
        ("columns", {"column": "a", "scale": "[1, 2] mm"}, "scale: is '[1, 2] mm'; it must be a finite number"),
        ("columns", {"column": "a", "scale": "2 kg"}, "scale: is '2 kg', and kg is no unit that is known here; it"),
        ("columns", {"column": "a", "offset": "2 mrad"}, "offset: is '2 mrad', an angle; it must be a length, in m,"),
        ("sigma", {"column": "a", "offset": 2}, "offset: unknown key; allowed: column, scale"),
        ("sigma", {"column": "a", "scale": "-1 mm"}, "scale: is '-1 mm'; it must be greater than 0"),
    ],
)
def test_wrong_columns_are_told_with_their_key(key, column, expected):
    with pytest.raises(PullbackError) as caught:
        Study.from_config({"study": "s", "source": {"kind": "recorded", "file": "no.csv", key: {"x": column}}})
    assert str(caught.value).startswith(f"config: source.{key}.x: {expected}")
    assert "\n" not in str(caught.value)


def test_a_section_keeps_what_was_written():
    section = Recorded(
        file="a.csv",
        columns={"x": {"column": "p", "scale": "250 um", "offset": -3}, "y": "q"},
        sigma={"x": {"column": "s", "scale": 2}},
    )
    plain = json.loads(section.model_dump_json())
    assert plain["columns"] == {"x": {"column": "p", "scale": "250 um", "offset": -3.0}, "y": "q"}
    assert Recorded.model_validate(plain) == section
