"""Messages about a config name the file and the line of the key."""

import pytest

from pullback.config.places import at_places
from pullback.errors import ConfigError, HitsError, PullbackError

TEXT = """study: s
model:
  name: track
  z: [0, 1,
      2]
scan:
  model.z[1]: [1 m, 2 m]
  "detector.resolution": [50, 0]
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "a.yaml"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("study", 1),
        ("model", 2),
        ("model.name", 3),
        ("model.z", 4),
        ("model.z[2]", 4),
        ("model.at", 2),
        ("scan.model.z[1]", 7),
        ("scan.model.z[1][0]", 7),
        ("scan.detector.resolution", 8),
        ("scan.detector.resolution[1]", 8),
    ],
)
def test_a_key_has_the_line_of_the_deepest_key_on_the_way_to_it(config, key, line):
    told = at_places(HitsError(f"config: {key}: is wrong; see config: {key}"), [config])
    assert str(told) == f"a.yaml:{line}: {key}: is wrong; see config: {key}"
    assert type(told) is PullbackError


def test_a_key_that_is_not_there_has_no_line(config):
    for key in ("source", "mode", "modelz", "z"):
        assert str(at_places(ConfigError(f"config: {key}: is missing"), [config])) == f"a.yaml: {key}: is missing"


def test_each_problem_has_a_line_of_its_own(config):
    told = at_places(ConfigError("config: model.z: one\nhits.csv: two\nconfig: study: three"), [config])
    assert str(told) == "a.yaml:4: model.z: one\nhits.csv: two\na.yaml:1: study: three"


def test_of_several_files_the_last_with_the_key_is_named(config):
    over = config.with_name("over.yaml")
    over.write_text("# over a.yaml\nmodel: {name: track3d}\n")
    said = "config: model.name: one\nconfig: model.z: two\nconfig: toys: three"
    assert str(at_places(ConfigError(said), [config, over])) == (
        "over.yaml:2: model.name: one\na.yaml:4: model.z: two\nconfig: toys: three"
    )


def test_what_the_command_line_says_is_in_no_file(config):
    said = "config: model.z: one\nconfig: study: two"
    assert (
        str(at_places(ConfigError(said), [config], {"model": {"z": [1]}}))
        == "config: model.z: one\na.yaml:1: study: two"
    )
    assert str(at_places(ConfigError(said), [])) == said


def test_json_with_tabs_has_a_name_but_no_lines(config):
    other = config.with_name("a.json")
    other.write_text('{\n\t"study": "s"}')
    assert str(at_places(ConfigError("config: study: one"), [other])) == "a.json: study: one"


def test_a_file_elsewhere_is_named_as_it_was_given(config, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert str(at_places(ConfigError("config: study: one"), [config])) == f"{config}:1: study: one"
