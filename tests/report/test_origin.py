import yaml
from running import PROJECT

from pullback import version
from pullback.report import origin
from pullback.report.origin import Origin
from pullback.study.plan import Study


def test_only_files_that_exist_are_linked_and_relative_to_the_page(tmp_path):
    (tmp_path / "study.h5").touch()
    (tmp_path / "figures").mkdir()
    figure = tmp_path / "figures" / "pulls of a+b #1.pdf"
    figure.touch()
    found = Origin(Study.from_config({"study": "s"}), tmp_path / "report.html")
    assert [(each.name, each.link) for each in found.files] == [("study.h5", "study.h5")]
    assert found.link(figure) == "figures/pulls%20of%20a%2Bb%20%231.pdf"
    assert found.link(tmp_path / "figures" / "missing.pdf") == ""


def test_the_citation_is_that_of_the_repository():
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert [each["name"] for each in cited["authors"]] == [origin.AUTHORS]
    text = Origin(Study.from_config({"study": "s"}), "report.html").citation
    assert text.startswith(f"T{origin.AUTHORS[1:]}, {cited['title']}: ")
    assert text.endswith(f"{cited['license']}.")


def test_versions_are_told_as_far_as_they_are_known(monkeypatch):
    found = Origin(Study.from_config({"study": "s"}), "report.html")
    for of_package, commit, words in (
        ("1.2", "0123456789ab", "pullback 1.2 (commit 0123456789ab)"),
        ("1.2", "", "pullback 1.2"),
        ("unknown", "0123-dirty", "pullback (commit 0123 with changes that are not committed)"),
        ("unknown", "", "pullback"),
    ):
        monkeypatch.setattr(origin, "version", lambda given=of_package: given)
        monkeypatch.setattr(origin, "commit", lambda given=commit: given)
        assert found.made_with == words
    assert version.version() != "1.2"


def test_files_that_the_config_names_are_needed_too(tmp_path):
    (tmp_path / "my hits.csv").write_text("x\n0.1\n")
    source = {"kind": "recorded", "file": "my hits.csv"}
    assert Origin(Study.from_config({"study": "s"}), "r.html").needed == "config.yaml"
    needed = Origin(Study.from_config({"study": "s", "source": source}), "r.html").needed
    assert needed == "config.yaml, and from which my hits.csv can be found"
