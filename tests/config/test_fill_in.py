import pytest

from pullback.config.fill_in import check_filled_in
from pullback.errors import ConfigError
from pullback.study.plan import Study


def test_each_value_is_one_line_with_its_key():
    raw = {"source": {"unit": "FILL_IN"}, "model": {"z": "[1, 2] FILL_IN"}, "a": [{"b": "FILL_IN"}, "FILL_IN"], 7: 1}
    with pytest.raises(ConfigError) as caught:
        check_filled_in(raw)
    lines = [
        f"config: {key}: is to be filled in: write the value for FILL_IN"
        for key in ("source.unit", "model.z", "a.b", "a")
    ]
    assert str(caught.value).splitlines() == lines


@pytest.mark.parametrize(
    "raw", [None, {}, [], {"a": "fill_in", "b": "FILL_IN_x0", "c": [1, None, {"FILL_IN": "x"}]}, "x"]
)
def test_other_values_are_none(raw):
    check_filled_in(raw)


def test_a_study_is_refused():
    with pytest.raises(
        ConfigError, match=r"^config: detector\.sigma: is to be filled in: write the value for FILL_IN$"
    ):
        Study.from_config({"study": "s", "detector": {"sigma": "FILL_IN"}})
