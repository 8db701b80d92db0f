"""Studies are found by what a user has at hand."""

from pathlib import Path

import pytest

from pullback.commands.finding import results_of, study_file_of
from pullback.errors import PullbackError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finish("results/zeta")
    Path("my.yaml").write_text("study: zeta\n")
    Path("none.yaml").write_text("study: none\n")


def finish(folder):
    Path(folder).mkdir(parents=True)
    for name in ("validation.json", "study.h5", "config.yaml"):
        Path(folder, name).write_text("study: other\n")


@pytest.mark.parametrize(
    "given",
    [None, "zeta", "my.yaml", "./my.yaml", *(f"results/zeta{end}" for end in ("", "/", "/study.h5", "/config.yaml"))],
)
def test_what_is_at_hand(given):
    assert results_of(given) == Path("results/zeta")
    if given != "results/zeta/study.h5":
        assert study_file_of(given) == Path("results/zeta/study.h5")


def test_several_are_named():
    finish("results/alpha")
    with pytest.raises(PullbackError, match=r"^results/ holds several studies; name one: alpha, zeta$"):
        results_of(None)


def test_a_name_that_means_two_is_refused():
    finish("zeta")
    with pytest.raises(PullbackError, match=r"^zeta: zeta/ and results/zeta/ both hold a study; name \./zeta or"):
        results_of("zeta")
    assert results_of("./zeta").resolve() == Path("zeta").resolve()
    assert results_of("results/zeta") == Path("results/zeta")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("eta", "there is no folder eta; there are: zeta"),
        ("none.yaml", "none.yaml: there is no folder results/none; there are: zeta"),
        ("begun", "begun: results/begun: the study is not finished; end it by pullback run with its config"),
        ("other", "other: holds no finished study; there are: zeta"),
    ],
)
def test_no_study(given, said):
    Path("results/begun/truth").mkdir(parents=True)
    Path("other").mkdir()
    with pytest.raises(PullbackError) as error:
        results_of(given)
    assert str(error.value) == said


def test_a_file_of_another_name_is_taken_as_it_is():
    Path("kept.h5").write_text("")
    assert study_file_of("kept.h5") == Path("kept.h5")
