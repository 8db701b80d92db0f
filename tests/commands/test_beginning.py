import re

import pytest

from pullback.cli import main
from pullback.commands.beginning import BEGINNINGS, begin
from pullback.config.text import read_config
from pullback.errors import PullbackError
from pullback.study.plan import Study


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_what_is_begun_is_a_study(kind, tmp_path, monkeypatch):
    """In a folder without anything else, where its files are beside the config."""
    monkeypatch.chdir(tmp_path)
    config, *others = begin(kind)
    study = Study.from_config(read_config(config))
    assert study.config.study == kind
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (config, *others)}
    text = config.read_text()
    assert re.search(r"^# \w", text, re.MULTILINE)  # it says what it is
    assert text.startswith("# All keys with units and defaults: pullback keys")
    assert not re.search(r"config/|examples/|yaml-language-server", text)


def test_nothing_is_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hits.csv").write_text("mine\n")
    with pytest.raises(SystemExit) as stopped:
        main(["init", "recorded"])
    assert stopped.value.code == "pullback: hits.csv: already there; begin in another folder, or move it away"
    assert [path.name for path in tmp_path.iterdir()] == ["hits.csv"]
    assert (tmp_path / "hits.csv").read_text() == "mine\n"
    main(["init", "recorded", "--folder", "new"])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"hits.csv", "recorded.yaml"}
    assert "pullback run new/recorded.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "advice"), [("telescop", "did you mean telescope?"), ("zz", "there are exercise, telescope,")]
)
def test_an_unknown_kind_is_refused_with_what_was_meant(kind, advice, tmp_path):
    with pytest.raises(PullbackError, match=re.escape(f"init {kind}: unknown; {advice}")):
        begin(kind, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_each_of_several_mistakes_begins_with_the_program(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("study: s\nmodel: {dz: -1}\ntoys: {per_muon: -1}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["check", "a.yaml"])
    lines = str(stopped.value.code).split("\n")
    assert [line.partition(": is ")[0] for line in lines] == [
        "pullback: a.yaml:2: model.dz",
        "pullback: a.yaml:3: toys.per_muon",
    ]
