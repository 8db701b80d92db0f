"""The workflow, run by Snakemake for real."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from running import PROJECT, SMALL, Workflow, copy_of_project, files_in, slow

from pullback.report.captions import CAPTIONS
from pullback.store.study_file import open_study

KINDS = ("truth", "reco", "theta", "sigma", "toys", "tally")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The small study with its four points in one batch, run once on two cores by a copy of the project."""
    workflow = Workflow(tmp_path_factory.mktemp("done"), copy_of_project(tmp_path_factory.mktemp("project")))
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    (workflow.folder / "printed").write_text(workflow.run("--cores", "2", "--configfile", "small.yaml"))
    return workflow


@pytest.fixture
def alike(done, tmp_path):
    """Another folder for the same copy of the project: artefacts name the commit, which a copy does not have."""
    return Workflow(tmp_path, done.project)


@pytest.fixture
def copy(done, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(done.folder, tmp_path, dirs_exist_ok=True)
    return Workflow(tmp_path, done.project)


def test_it_makes_everything_that_is_documented(done):
    files, printed = set(done.results()), (done.folder / "printed").read_text()
    assert {
        "config.yaml",
        "points.csv",
        "study.h5",
        "validation.json",
        "validation.schema.json",
        "validation.csv",
        "summary.csv",
        "report.html",
        "checked.txt",
    } <= files
    assert {name.split("/")[0] for name in files if "/" in name} == {
        "truth",
        "reco",
        "theta",
        "sigma",
        "toys",
        "coverage",
        "tally",
        "figures",
    }
    profile, *lines = printed.splitlines()
    assert profile.startswith("Using workflow specific profile")
    assert [line.split("]")[0] for line in lines[:11]] == [f"[{job:2}/11" for job in range(1, 12)]  # one job a rule
    assert all(line.startswith("  ") for line in lines[11:-1])  # the three answers
    assert re.fullmatch(r"small: verdict (\w+)\. See results/small/report\.html", lines[-1])
    assert len(lines) < 25
    assert max(map(len, lines)) <= 120
    logs = files_in(done.folder / "logs" / "small")
    rules = {*BY_ONE, "tally", "validate", "plot", "report", "check"}
    assert {name.split("/")[0] for name in logs} == rules
    assert all(content for content in logs.values())
    assert not list((done.folder / "results").rglob("*.part"))


def test_a_second_run_does_nothing(done):
    before = done.results()
    assert "Nothing to be done" in done.run("--cores", "2", "--configfile", "small.yaml")
    assert done.results() == before


@pytest.mark.slow
def test_one_core_gives_the_same_bytes(done, alike):
    shutil.copy(done.folder / "small.yaml", alike.folder)
    alike.run("--cores", "1", "--configfile", "small.yaml")
    assert alike.results() == done.results()


@pytest.mark.slow
def test_batches_of_a_point_give_the_same_bytes_and_an_added_point_runs_alone(done, alike):
    raw = {**SMALL, "compute": {"batch_cost": 1}}
    (alike.folder / "small.yaml").write_text(yaml.safe_dump(raw))
    alike.run("--cores", "2", "--configfile", "small.yaml")
    one, many = done.results(), alike.results()
    for name in ("validation.json", "validation.csv", "summary.csv", "report.html"):
        assert one[name] == many[name], name
    assert {n: c for n, c in one.items() if "figures" in n} == {n: c for n, c in many.items() if "figures" in n}
    with (
        open_study(done.folder / "results/small/study.h5") as a,
        open_study(alike.folder / "results/small/study.h5") as b,
    ):
        for label in ("detector.resolution=50,model.dz=1", "detector.resolution=100,model.dz=1.5"):
            for name, _ in a.columns(label):
                assert np.array_equal(a.rows(name), b.rows(name)), name

    raw["scan"] = {"detector.resolution": [50, 70, 100], "model.dz": [1.0, 1.5]}
    (alike.folder / "small.yaml").write_text(yaml.safe_dump(raw))
    planned = alike.run("--cores", "2", "--configfile", "small.yaml", "--dry-run").splitlines()
    alike.run("--cores", "2", "--configfile", "small.yaml")
    for rule in ("simulate_hits", "smear_hits", "infer_theta", "propagate_uncertainty", "run_toys", "tally"):
        assert [rule, "2"] in [line.split() for line in planned], rule
    after = alike.results()
    artefacts = [name for name in many if name.split("/")[0] in KINDS]
    assert all(after[name] == many[name] for name in artefacts)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["figures/hits.nominal.svg", "sigma/detector.resolution=50_model.dz=1_etc.h5"])
def test_what_is_lost_is_made_again(done, copy, lost):
    (copy.folder / "results/small" / lost).unlink()
    copy.run("--cores", "2", "--configfile", "small.yaml")
    assert copy.results() == done.results()


def test_changed_evidence_is_not_believed(copy):
    path = copy.folder / "results/small/validation.json"
    path.write_text(path.read_text().replace('"inconclusive"', '"pass"'))
    printed = copy.run("--cores", "1", "--configfile", "small.yaml", expect=1)
    assert "pullback: plot: results/small/validation.json: has been changed or damaged" in printed


@pytest.mark.parametrize(
    ("validation", "again"),
    [({"tolerance": 0.2, "confidence": 0.9}, set()), ({"domain": 4.0}, {"tally"})],
)
def test_another_verdict_is_made_from_the_same_artefacts(copy, validation, again):
    """And from the same tallies, unless their bins are others."""
    (copy.folder / "small.yaml").write_text(yaml.safe_dump({**SMALL, "validation": validation}))
    printed = copy.run("--cores", "2", "--configfile", "small.yaml", "--dry-run")
    planned = {line.split()[0] for line in printed.splitlines() if line.endswith(" 1") and len(line.split()) == 2}
    assert planned == {"validate", "plot", "report", "check", "all"} | again


@pytest.mark.slow
def test_pdfs_on_request_are_drawn_from_the_same_artefacts(done, copy):
    """Those of all figures; without the request, they go, and all else is as before."""
    drawn = {name for name in done.results() if name.startswith("figures/")}
    assert all(name.endswith(".svg") for name in drawn)
    (copy.folder / "small.yaml").write_text(yaml.safe_dump({**SMALL, "figures": {"pdf": True}}))
    copy.run("--cores", "2", "--configfile", "small.yaml")
    after = copy.results()
    pdfs = {name.removesuffix("svg") + "pdf" for name in drawn}
    assert set(after) == set(done.results()) | pdfs
    assert all(after[name].startswith(b"%PDF-") for name in pdfs)
    assert all(name.encode() in after["report.html"] for name in pdfs)
    artefacts = [name for name in after if name.split("/")[0] in (*KINDS, "coverage")]
    assert all(after[name] == done.results()[name] for name in artefacts)
    assert all(after[name] == done.results()[name] for name in drawn)
    (copy.folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    copy.run("--cores", "2", "--configfile", "small.yaml")
    assert copy.results() == done.results()


@pytest.mark.slow
def test_recorded_hits(workflow):
    """The config that ships, against the table that the exercise printed."""
    shutil.copytree(PROJECT / "config", workflow.folder / "config")
    printed = workflow.run("--cores", "2", "--configfile", "config/recorded.yaml")
    assert "recorded: verdict pass" in printed
    table = json.loads((PROJECT / "tests/data/exercise_table.json").read_text())
    with open_study(workflow.folder / "results/recorded/study.h5") as reader:
        np.testing.assert_array_equal(reader.rows("nominal/x_reco")[:, 0], table["reco_x"])
        np.testing.assert_allclose(reader.rows("nominal/theta"), table["theta"], atol=1e-4)
        np.testing.assert_allclose(reader.rows("nominal/sigma_theta_linear"), table["unc_theta"], atol=1e-4)
    files = set(workflow.results("recorded"))
    assert not any("truth" in name or "pulls" in name or "coverage" in name for name in files)


def test_mistakes_stop_before_any_job(workflow):
    (workflow.folder / "bad.yaml").write_text("study: s\ndetector: {resolutoin: 5}\nmodel: {dz: -1}\n")
    printed = workflow.run("--cores", "1", "--configfile", "bad.yaml", expect=1)
    lines = [line for line in printed.splitlines() if "bad.yaml:" in line]
    assert lines == [
        "pullback: bad.yaml:2: detector.resolutoin: unknown key; did you mean detector.resolution?",
        "pullback: bad.yaml:3: model.dz: is -1; it must be positive",
    ]
    assert "Traceback" not in printed
    assert not (workflow.folder / "results").exists()


@pytest.mark.parametrize(
    ("content", "given", "expected"),
    [
        slow(b"study: s\n\ntoys: {muons: 1\n", ["--configfile", "bad.yaml"], "bad.yaml:4: can't be read as YAML"),
        (b"study: s\n# 30\xb0\n", ["--configfiles", "good.yaml", "bad.yaml"], "bad.yaml:2: is not UTF-8 text"),
        slow(b"", ["--configfile=bad.yaml"], "bad.yaml: is empty"),
        slow(b"study: s\nstudy: t\n", ["--configfile", "bad.yaml"], "bad.yaml:2: key 'study' is given twice"),
        (None, ["--configfile", "bad.yaml", "good.yaml"], "bad.yaml: no such file"),
    ],
)
def test_what_snakemake_cannot_read_is_told_in_one_line(workflow, content, given, expected):
    """The profile that Snakemake finds by itself looks at the files before Snakemake does."""
    (workflow.folder / "good.yaml").write_text("study: s\n")
    if content is not None:
        (workflow.folder / "bad.yaml").write_bytes(content)
    printed = workflow.run("--cores", "1", "--dry-run", *given, expect=1)
    said = [line for line in printed.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(said) == 1, printed
    assert said[0].startswith(f"pullback: {expected}")


@pytest.mark.parametrize(
    "options", [["--workflow-profile", "none"], slow(["--profile", str(PROJECT / "profiles" / "cluster-generic")])]
)
def test_a_key_given_twice_is_refused_whatever_the_profile(workflow, options):
    """The Snakefile looks at the files too, where another profile is in the place of the default one."""
    (workflow.folder / "bad.yaml").write_text("study: s\ntoys: {}\nstudy: t\n")
    printed = workflow.run("--cores", "1", "--dry-run", *options, "--configfile", "bad.yaml", expect=1)
    assert "bad.yaml:3: key 'study' is given twice, first in line 1; leave one of them\n" in printed
    assert "Traceback" not in printed


def test_the_default_config_is_looked_at_too(tmp_path):
    """That of a copy of the project, as someone who works in it would change it."""
    copy_of_project(tmp_path)
    with (tmp_path / "config/config.yaml").open("a") as stream:
        stream.write("study: again\n")
    environment = {**Workflow(tmp_path).environment, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1
    assert f"pullback: {tmp_path}/config/config.yaml:" in done.stderr
    assert "key 'study' is given twice" in done.stderr


def test_mistakes_in_hits_stop_in_one_line_and_leave_nothing(workflow):
    (workflow.folder / "hits.csv").write_text("x\n0.5\n0.6m\n")
    (workflow.folder / "bad.yaml").write_text("study: s\nsource: {kind: recorded, file: hits.csv}\n")
    printed = workflow.run("--cores", "1", "--configfile", "bad.yaml", expect=1)
    said = "hits.csv: row 2, column 'x': '0.6m' is not a number; cells are numbers alone, in the unit of source.unit\n"
    assert f"pullback: import_hits: {said}" in printed
    assert "Traceback" not in printed
    assert files_in(workflow.folder / "results") == {}
    (workflow.folder / "hits.csv").write_text("y\n0.5\n")
    printed = workflow.run("--cores", "1", "--configfile", "bad.yaml", expect=1)
    assert "pullback: hits.csv: no column 'x'; the columns are: y\n" in printed


def test_config_files_and_the_command_line(workflow):
    """A config file takes the place of the default; several are laid over each other; --config over either."""
    (workflow.folder / "over.yaml").write_text("toys: {muons: 7}\nscan: null\n")
    printed = workflow.run("--cores", "1", "--dry-run", "--configfile", "over.yaml", expect=1)
    assert "pullback: over.yaml: study: is missing" in printed
    both = ("--configfile", str(PROJECT / "config" / "config.yaml"), "over.yaml")
    workflow.run("results/exercise/toys/nominal.h5", "--cores", "1", "--dry-run", *both)
    (workflow.folder / "over.yaml").write_text("source: {kind: recorded, file: hits.csv}\n")
    printed = workflow.run("--cores", "1", "--dry-run", *both, expect=1)
    assert "config.yaml:" in printed
    assert ": source.muons: does not go with source.kind: recorded; leave it out" in printed
    printed = workflow.run("--cores", "1", "--dry-run", "--config", "seed=5")
    assert "detector.resolution=50_model.dz=1_etc" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_inconclusive_fails_only_when_strict_and_has_its_report(copy, strict, code):
    raw = {**SMALL, "validation": {"strict": strict, "tolerance": 0.001}}
    (copy.folder / "small.yaml").write_text(yaml.safe_dump(raw))
    printed = copy.run("--cores", "2", "--configfile", "small.yaml", expect=code)
    assert "verdict inconclusive" in printed
    assert "inconclusive" in (copy.folder / "results/small/report.html").read_text()
    assert (copy.folder / "results/small/checked.txt").exists() == (code == 0)


def test_snakemakes_own_report(done, tmp_path):
    done.run("--configfile", "small.yaml", "--report", str(tmp_path / "snakemake.html"))
    page = (tmp_path / "snakemake.html").read_text()
    assert "sigma_theta" in page
    assert "summary, point by point" in page
    for caption in ("sigma", "summary", "report"):  # each is shown beside its file
        words = (PROJECT / "workflow" / "report" / f"{caption}.rst").read_text().split(",")[0].strip()
        assert json.dumps(words)[1:-1] in page, caption
    assert "has the page of the study <cite>small</cite>" in page


def test_the_workflow_is_where_the_catalogue_of_workflows_looks_for_it(tmp_path):
    """It plans the same jobs, and the usage is told by the keys that the catalogue knows."""
    planned = []
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        options = ("--snakefile", str(PROJECT / snakefile), "--dry-run", "--quiet", "rules")
        printed = Workflow(tmp_path).run(*options, "--config", "study=seen")
        planned.append(dict(re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE)))
    assert planned[0].pop("all") == planned[1].pop("everything") == planned[0]["validate"]
    assert planned[0] == planned[1]
    usage = yaml.safe_load((PROJECT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}


def test_every_figure_has_a_caption_in_snakemakes_report():
    captions = {path.stem for path in (PROJECT / "workflow" / "report").glob("*.rst")}
    kinds = {re.sub("_(of|recorded|in_layers|scan).*", "", name) for name in CAPTIONS}
    assert {"sigma", "hits", "budget", "target"} <= kinds <= captions


BY_ONE = {"simulate_hits", "smear_hits", "infer_theta", "propagate_uncertainty", "run_toys", "measure_coverage"}
VERDICT, PAGE = {"tally", "validate"}, {"plot", "report", "check", "all"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("report/captions.py", PAGE),
        slow("report/templates/report.html.j2", PAGE),
        slow("validation/judgement.py", VERDICT | PAGE),
        ("detector/response.py", BY_ONE | VERDICT | PAGE),
        slow("uncertainty/quoting.py", BY_ONE | VERDICT | PAGE),
        slow("cli.py", set()),
        slow("config/hints.py", set()),
        slow("store/export.py", set()),
    ],
)
def test_a_change_makes_again_what_its_layer_and_those_above_make(done, changed, expected):
    source = done.project / "src" / "pullback" / changed
    content = source.read_bytes()
    try:
        source.write_bytes(content + b"\n")
        printed = done.run("--cores", "1", "--dry-run", "--configfile", "small.yaml")
    finally:
        source.write_bytes(content)
    planned = {rule for rule, _ in re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE)} - {"total"}
    assert planned == expected
