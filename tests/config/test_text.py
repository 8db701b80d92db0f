import json
import os

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from running import PROJECT

from pullback.config.text import check_files
from pullback.errors import PullbackError

AS_DECIMAL = "write a number in decimals, and text in quotes"


def refused(content: str | bytes, name: str = "my.yaml") -> str:
    with open(name, "wb") as stream:
        stream.write(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PullbackError) as caught:
        check_files([name])
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "study: s\nmodel:\n  dz: 1.0\n  name: one_hit\n  dz: 2.0\n",
            "my.yaml:5: key 'dz' is given twice, first in line 3",
        ),
        ("study: s\nstudy: s\n", "my.yaml:2: key 'study' is given twice, first in line 1; leave one of them"),
        ("'study': s\nstudy: s\n", "my.yaml:2: key 'study' is given twice"),
        ("scan: {a: [{b: 1, b: 2}]}", "my.yaml:1: key 'b' is given twice, first in line 1"),
        ("model:\n  dz: 1:30\n", f"my.yaml:2: 1:30 would be read as 90, in base 60; {AS_DECIMAL}"),
        ("dz: -1:30:00", "my.yaml:1: -1:30:00 would be read as -5400, in base 60"),
        ("dz: 1:30.5", "my.yaml:1: 1:30.5 would be read as 90.5, in base 60"),
        ("a: [1,\n 010]", f"my.yaml:2: 010 would be read as 8, in base 8, since it begins with 0; {AS_DECIMAL}"),
        ("study: 0012", "my.yaml:1: 0012 would be read as 10, in base 8"),
        ("dz: 1_5", f"my.yaml:1: 1_5 would be read as 15, without its underscores; {AS_DECIMAL}"),
        ("dz: 1_0.5", "my.yaml:1: 1_0.5 would be read as 10.5, without its underscores"),
        ("dz: 1" + ":59" * 1000, "would be read as a number, in base 60"),
        ("study: s\n1: 2\n", "my.yaml:2: key 1 is read as a number, and keys are names"),
        ("model: {dz: 1,5}", "my.yaml:1: key 5 is read as a number, and keys are names; a decimal number has a point"),
        ("toys: {off: 1}", "my.yaml:1: key off is read as true or false, and keys are names"),
        ("null: 1", "my.yaml:1: key null is read as no value, and keys are names"),
        ("a: 1\n2024-01-01: 1", "my.yaml:2: key 2024-01-01 is read as a date, and keys are names"),
        ("? [a, b]\n: 1", "my.yaml:1: a list or a mapping stands where a key should"),
        ("toys: {{a: 1}: 2}", "my.yaml:1: a list or a mapping stands where a key should"),
        ("scan: {model.z[1]: [0.4]}", "my.yaml:1: can't be read as YAML: "),
        ("systematics: {alignment.x[1]: 1}\n", "got '['; put a name with brackets in quotes, while"),
        ("study: s\nmodel: {dz: 1\ntoys: {}\n", "flow mapping that begins in line 2"),
        (
            "study: s\nmodel: {name: track, z: [0, 19.5] mm}\n",
            'my.yaml:2: a list with a unit after it is text, and needs quotes: z: "[0, 19.5] mm"',
        ),
        (
            "m:\n  z: [0,\n   1]mm # x\n  at: 1",
            'my.yaml:3: a list with a unit after it is text, and needs quotes: z: "[0, 1] mm"',
        ),
        (
            "\ufeffs: µ\r\nm:\r\n  'z': [1] µm\r\n",
            'my.yaml:3: a list with a unit after it is text, and needs quotes: z: "[1] µm"',
        ),
        ("a:\n- [1, 2] /mm\n", 'my.yaml:2: a list with a unit after it is text, and needs quotes: "[1, 2] /mm"'),
        (
            "model: {z: [0, 1]\nstudy: s\n",
            "my.yaml:2: can't be read as YAML: a comma, or a bracket or brace, is missing; ",
        ),
        ("scan: {model.dz: [1 m] mm}", 'needs quotes: model.dz: "[1 m] mm"'),
        ("a: [[1], 2] ]", "can't be read as YAML"),
        ("d:\n  a: 1\n   b: 2", "my.yaml:3: can't be read as YAML: check the indentation of line 3; mapping"),
        ("d:\n  a: 1\n b: 2", "my.yaml:3: can't be read as YAML: check the indentation of line 3; expected"),
        ("d:\n  a:1\n  b: 2", "a colon, or the space after it, is missing in a:1; mapping values"),
        ("d:\n  a 1\n\n  # c\n  b: 2", "a colon, or the space after it, is missing in a 1; expected"),
        ("d: a: b", "put text with a colon in quotes, and each key in a line of its own; mapping values"),
        ("d: {a: 1", "a bracket or brace is not closed; expected"),
        ("d: 'a", "a quote is not closed; found unexpected end"),
        ("a: [1] 2", "can't be read as YAML"),
        ("study: s\n\ttoys: {}\n", "my.yaml:2: can't be read as YAML: a tab; indent by spaces"),
        ("study: s\ntoys: *a\n", "my.yaml:2: can't be read as YAML: found undefined alias 'a'"),
        (
            "study: s\ntoys: !mine 1\n",
            "my.yaml:2: can't be read as YAML: could not determine a constructor for the tag",
        ),
        (
            "study: s\n---\nstudy: t\n",
            "my.yaml:2: can't be read as YAML: a second document begins; a config is one, without",
        ),
        ("a: 1\nb: &b [*b]", "my.yaml:2: can't be read as YAML: found unconstructable recursive node"),
        ("a: 1\nb: 2024-13-45", "my.yaml:2: can't be read as YAML: month must be in 1..12"),
        ("a: 1\nb: !!bool maybe", "my.yaml:2: can't be read as YAML"),
        ("a: 1\nb: !!timestamp maybe", "my.yaml:2: can't be read as YAML"),
        ("a: 1\nb: " + "9" * 5000, "my.yaml:2: can't be read as YAML: Exceeds the limit"),
        ("a: 1\nb: " + "[" * 5000 + "]" * 5000, "my.yaml: is nested too deep"),
        ('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", "my.yaml: is nested too deep"),
        ("study: s\n# 30\xb0\n".encode("latin-1"), "my.yaml:2: is not UTF-8 text; save the file in that encoding"),
        ("study: s\n".encode("utf-16"), "my.yaml:1: is not UTF-8 text"),
        ("study: s\r\n# \x01\r\n", "my.yaml:2: holds the control character U+0001"),
        ("\0", "my.yaml:1: holds the control character U+0000"),
        ("", "my.yaml: is empty; a config is keys with values, such as `study: my_study`"),
        ("# nothing\n", "my.yaml: is empty"),
        ("- study: s", "my.yaml: holds a list; a config is keys with values"),
        ("study", "my.yaml: holds only 'study'; a config is"),
        ("7", "my.yaml: holds only 7; a config is"),
        ('{"study": "s", "toys": {"muons": 1, "muons": 2}}', "my.yaml: key 'muons' is given twice; leave one of them"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused_by_line(content, expected):
    assert expected in refused(content)


@pytest.mark.parametrize(
    "content",
    [
        "study: s\nsource: {muons: 100_000}\nmodel: {dz: 1_500.25}\n",
        "seed: 0x1F\na: 0b1_0\nb: 0\nc: 0.5\nd: 07\ne: 00\nf: 1.0e+3\ng: 08.5",
        "validation: {strict: yes}",
        "study: '010'\nunit: '1:30'\nother: \"1_5\"",
        "base: &base {a: 1, b: 2}\none: {<<: *base, a: 2}\ntwo: {<<: *base}\nthree: *base",
        "all: &all {<<: {a: 1}, a: 2}\nthen: {<<: *all, a: 3}",
        "\ufeffstudy: s\r\ntoys: {}\r\n",
        '{\n\t"study": "s\x7f", "detector": {"resolution": 1e5, "1": true}\n}',
        '{"' + "k" * 2000 + '": 1}',
        "__use_yte__: true\n?if 1 > 0:\n  study: s\n?else:\n  study: t\n",
    ],
)
def test_what_is_written_as_it_is_meant_is_taken(content):
    with open("my.yaml", "w", encoding="utf-8", newline="") as stream:
        stream.write(content)
    check_files(["my.yaml"])


def test_each_of_several_files_is_looked_at_by_itself():
    """The same key in two files is what laying one over the other is for."""
    for name in ("a.yaml", "b.yaml"):
        with open(name, "w") as stream:
            stream.write("study: s\n")
    check_files(["a.yaml", "b.yaml"])
    assert "b.yaml:2: " in refused("study: s\nstudy: s", "b.yaml")


@pytest.mark.parametrize("name", ["missing.yaml", ".", "x" * 5000, "a\0b"])
def test_what_is_no_file_is_refused(name):
    with pytest.raises(PullbackError) as caught:
        check_files([name])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_pipe_is_not_waited_for():
    os.mkfifo("pipe.yaml")
    with pytest.raises(PullbackError, match=r"pipe\.yaml: is a pipe"):
        check_files(["pipe.yaml"])


@pytest.mark.parametrize("path", sorted((PROJECT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_configs_that_ship_are_taken(path):
    check_files([path])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(config=st.dictionaries(st.text(), VALUES))
@settings(max_examples=200, deadline=None)
@example(config={"010": "010", "1:30": "1:30"})
@example(config={"\x7f": "\ud7ff", "=": "<<", "<<": {}, "a": -0.0, "b": 1e308, "c": 1e-320})
def test_what_a_program_writes_is_taken(config, tmp_path_factory):
    """And is what Snakemake's loader reads."""
    path = tmp_path_factory.mktemp("written") / "a.yaml"
    for write in (yaml.safe_dump, lambda value: json.dumps(value, default=str)):
        path.write_text(write(config), encoding="utf-8")
        if config:
            check_files([path])


@given(content=st.binary(max_size=60) | st.text("ab01:_.,-[]{}#&*!|>'\"%@`? \n\t<=~", max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_whatever_a_file_holds_there_is_one_line_or_nothing(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_bytes(content)
    message = ""
    try:
        check_files([path])
    except PullbackError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert message or isinstance(yaml.full_load(content.decode()), dict)
