import pytest
from configs import load
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.config.base import fields
from pullback.config.plain import UNWRITABLE, check_plain
from pullback.config.schema import StudyConfig
from pullback.errors import PullbackError
from pullback.study.plan import Study

OWN = {"file": "m.py", "coordinates": ["x"], "observables": [{"name": "p", "unit": "1"}]}


def refused(raw) -> str:
    with pytest.raises(PullbackError) as caught:
        load({"study": "s", **raw})
    message = str(caught.value)
    with pytest.raises(PullbackError) as planned:
        Study.from_config({"study": "s", **raw})
    assert str(planned.value) == message
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({1: 2}, "config: key 1 is not text, and keys are names; put it in quotes if it is one"),
        ({True: {}}, "config: key True is not text"),
        ({None: 1}, "config: key None is not text"),
        ({(1, 2): 3}, "config: key (1, 2) is not text"),
        ({"model": {1.5: 2}}, "config: model: key 1.5 is not text"),
        ({"model": {"name": "own", 3: 4}}, "config: model: key 3 is not text"),
        ({"scan": {1: [2]}}, "config: scan: key 1 is not text"),
        ({"scan": {"zip": {1: [2]}}}, "config: scan.zip: key 1 is not text"),
        ({"systematics": {"correlations": {1: 0.5}}}, "config: systematics.correlations: key 1 is not text"),
        ({"target": {"sigma": {1: 0.5}}}, "config: target.sigma: key 1 is not text"),
        ({"model": {**OWN, "observables": [{1: 2}]}}, "config: model.observables[0]: key 1 is not text"),
        ({"": 1}, "config: a key is empty"),
        ({"model": {"": 1}}, "config: model: a key is empty"),
        ({"1": 2}, "config: 1: unknown key"),
        ({"source": {"kind": "recorded", "file": "a\0b.csv"}}, "config: source.file: holds the character U+0000"),
        ({"model": {**OWN, "file": "a\0b.py"}}, "config: model.file: holds the character U+0000, which no file"),
        ({"scan": {"table": "a\0"}}, "config: scan.table: holds the character U+0000"),
        ({"model": {"a\0": 1}}, r"config: model: key 'a\x00' holds the character U+0000"),
        ({"systematics": {"a\nb": 1}}, r"config: systematics: key 'a\nb' holds the character U+000A"),
        ({"seed": 1 << 20_000}, "config: seed: is a whole number of more than 1000 digits"),
        ({"scan": {"model.dz": [1.0, -(1 << 20_000)]}}, "config: scan.model.dz[1]: is a whole number of more"),
        ({"source": {"kind": "recorded", "file": "x" * 5000}}, "config: source.file: is text of 5000 characters"),
        ({"model": {**OWN, "file": "x" * 5000}}, "config: model.file: is text of 5000 characters; at most 4096"),
        ({"scan": {"table": "x" * 5000}}, "config: scan.table: is text of 5000 characters"),
        ({"x" * 5000: 1}, "… has 5000 characters; at most 4096 are allowed"),
        ({"x" * 4000: "\0"}, "…: holds the character U+0000"),
    ],
)
def test_what_no_config_may_hold_is_refused_in_one_line(raw, expected):
    assert expected in refused(raw)


@pytest.mark.parametrize("character", ["\0", "\x01", "\x1b", "\x7f", "\x9f", "\ud800", "\ufffe", "\uffff"])
def test_text_that_no_figure_can_show_is_refused_wherever_it_stands(character):
    """HDF5 ends text at NUL, UTF-8 has no halves of surrogates, and SVG no other control characters."""
    text, name = f"a{character}", f"holds the character U+{ord(character):04X}"
    for key in ("unit", "long_name", "symbol"):
        observable = {"name": "p", "unit": "1", key: text}
        assert f"model.observables[0].{key}: {name}" in refused({"model": {**OWN, "observables": [observable]}})
    for key in ("unit", "long_name"):
        assert f"model.coordinates[0].{key}: {name}" in refused(
            {"model": {**OWN, "coordinates": [{"name": "x", key: text}]}}
        )
    assert f"model.units.a: {name}" in refused({"model": {**OWN, "units": {"a": text}}})


@pytest.mark.parametrize(
    "text", ["two\nlines", "a\ttab", "µm², 30 °, 漢字, 😀", "\u2028", "<b>&\"'", "$\\theta$", "", " "]
)
def test_other_text_is_taken(text):
    observable = {"name": "p", "unit": text, "long_name": text, "symbol": text}
    assert load({"study": "s", "model": {**OWN, "observables": [observable]}}).model.observables[0].unit == text


def test_what_holds_itself_is_refused():
    raw = {"study": "s", "scan": {}}
    raw["scan"]["zip"] = raw["scan"]
    with pytest.raises(PullbackError, match=r"config: scan\.zip: holds itself"):
        check_plain(raw, "config")
    twice = [1.0]
    check_plain({"study": "s", "scan": {"model.dz": twice, "source.x_max": twice}}, "config")


def test_each_mistake_has_its_line():
    with pytest.raises(PullbackError) as caught:
        check_plain({1: "\0", "a": "\0"}, "config")
    assert len(str(caught.value).splitlines()) == 3


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from([*StudyConfig.model_fields, "other"])
INNER = st.sampled_from(sorted({part for name in fields(StudyConfig) for part in name.split(".")}))


@given(raw=st.dictionaries(KEYS, ANY | st.dictionaries(INNER, ANY, max_size=4), max_size=5))
@settings(max_examples=400, deadline=None)
def test_whatever_a_config_holds_there_are_lines_or_a_config(raw):
    """Of what Python could take for something else, no line is longer than a reader would read."""
    try:
        load(raw)
    except PullbackError as error:
        lines = str(error).splitlines()
    else:
        return
    assert lines
    for line in lines:
        assert line.startswith("config: ")
        assert len(line) < 600
        assert not UNWRITABLE.search(line)
