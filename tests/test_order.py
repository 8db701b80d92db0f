"""The order in which names are written in a config is their order everywhere: in labels, jobs, tables and figures."""

import csv
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from running import Run, slow

from pullback.report.figures.plot import plot
from pullback.report.gallery import over
from pullback.report.page import write_report
from pullback.steps.target import find_target
from pullback.store.target_file import TargetAnswers
from pullback.study.artefact_configs import KINDS
from pullback.study.batches import Batch
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

LAYERS = [0.1 * layer for layer in range(12)]
UNSORTED = {"model.dz": [1.0, 1.5], "detector.resolution": [50, 100]}
NAMES = (
    "model.z[2]",
    "model.z[10]",
    "model.theta0",
    "detector.resolution",
    "detector.efficiency",
    "source.x_max",
    "toys.muons",
    "seed",
)
VALUES = {"toys.muons": [20, 10], "seed": [7, 3], "detector.efficiency": [0.9, 0.8]}


def values_of(name, count):
    return VALUES.get(name, [0.25, 0.125])[:count]


@st.composite
def scans(draw):
    """A scan of every form, with names in any order and values of any order."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    lists = {name: values_of(name, draw(st.integers(1, 2))) for name in names}
    form = draw(st.sampled_from(["product", "zip", "table"]))
    if form == "product":
        return lists
    lists = {name: values_of(name, 2) for name in names}
    return {"zip": lists} if form == "zip" else lists_as_table(lists)


def lists_as_table(lists):
    rows = zip(*lists.values(), strict=True)
    text = "\n".join(",".join(map(str, row)) for row in ([*lists], *rows))
    with open("scan.csv", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return {"table": "scan.csv"}


def study_of(scan, **more):
    raw = {"study": "s", "source": {"muons": 300}, "model": {"name": "track", "z": LAYERS}, "scan": scan, **more}
    return Study.from_config(raw)


@given(scans(), st.permutations(["model.z[10]", "alignment.x[3]", "model.z[2]"]), st.integers(1, 10**9))
def test_a_job_has_the_study_that_was_planned(scan, shifted, batch_cost):
    systematics = dict.fromkeys(shifted, 0.01)
    study = study_of(scan, systematics=systematics, compute={"batch_cost": batch_cost})
    again = Study.from_json(study.to_json())
    assert [point.label for point in again.points] == [point.label for point in study.points]
    assert [[*point.values.items()] for point in again.points] == [[*point.values.items()] for point in study.points]
    assert again.points == study.points
    assert set(again.muons) == {point.label for point in again.points}
    assert list(again.batches) == list(study.batches)
    assert again.digest == study.digest
    assert again.to_json() == study.to_json()
    assert list(again.config.systematics) == list(study.config.systematics) == shifted
    for name in study.batches:
        for kind in KINDS:
            batch = study.batch(kind, name)
            back = Batch.from_json(batch.to_json())
            assert back == again.batch(kind, name) == batch
            assert back.digest == again.batch(kind, name).digest == batch.digest
            assert back.to_json() == batch.to_json()
            assert [[*part.values] for part in back.parts] == [[*part.values] for part in batch.parts]
            if kind in ("sigma", "toys", "tally"):
                assert [*back.parts[0].config.systematics] == shifted


def test_names_in_another_order_are_another_study():
    other = dict(reversed(UNSORTED.items()))
    one, two = (Study.from_config({"study": "s", "scan": scan}) for scan in (UNSORTED, other))
    assert one.digest != two.digest
    assert one.points[0].label == "model.dz=1,detector.resolution=50"


def test_the_order_of_sections_and_of_keys_with_a_meaning_of_their_own_does_not_matter():
    raw = {"study": "s", "toys": {"muons": 10, "per_muon": 100}, "detector": {"resolution": 50, "efficiency": 0.9}}
    turned = {key: dict(reversed(each.items())) if key != "study" else each for key, each in reversed(raw.items())}
    assert [*turned] != [*raw]
    one, two = (Study.from_config({**each, "scan": UNSORTED}) for each in (raw, turned))
    assert one.to_json() == two.to_json()
    assert [one.batch("tally", name).digest for name in one.batches] == [
        two.batch("tally", name).digest for name in two.batches
    ]


def test_tallies_are_made_of_batches_of_the_same_recipe():
    """A tally's job makes the batches of other kinds from its own: these must be the same to the letter."""
    study = study_of(UNSORTED_LAYERS, systematics={"model.z[10]": 0.01, "alignment.x[3]": 0.01})
    for name in study.batches:
        for kind in set(KINDS) - {"tally"}:
            assert study.batch("tally", name).of_kind(kind).to_json() == study.batch(kind, name).to_json()


UNSORTED_LAYERS = {"model.z[2]": [0.2, 0.25], "model.z[10]": [1.0, 1.05]}


def header(path):
    with path.open(encoding="utf-8") as lines:
        return next(csv.reader(lines))


def written(path, names):
    """The names in the order in which a file first has them."""
    text = path.read_text(encoding="utf-8")
    return sorted(names, key=text.index)


RUNS = {
    "product": (UNSORTED, {}),
    "zip": ({"zip": UNSORTED}, {}),
    "table": ({"table": "scan.csv"}, {}),
    "layers": (UNSORTED_LAYERS, {"model": {"name": "track", "z": LAYERS}}),
}


@pytest.mark.parametrize("form", ["product", *map(slow, ("zip", "table", "layers"))])
def test_a_whole_run_of_names_that_are_not_sorted(tmp_path, form):
    scan, more = RUNS[form]
    names = list(UNSORTED_LAYERS if form == "layers" else UNSORTED)
    if form == "table":
        lists_as_table(UNSORTED)
    raw = {"study": "s", "source": {"muons": 300}, "toys": {"muons": 10, "per_muon": 100}, "scan": scan, **more}
    run = Run({**raw, "target": {"sigma_theta": 0.005, "vary": "detector.resolution"}}, tmp_path)
    run.study = Study.from_json(run.study.to_json())  # as a job has it
    run.make()
    labels = [point.label for point in run.study.points]
    for label in labels:
        assert re.findall(r"[^=,]+(?==)", label) == names
    evidence = Evidence.read(run.outputs.validation)
    assert list(dict.fromkeys(each.point for each in evidence.points)) == labels
    assert all(list(each.values) == names for each in evidence.points)
    for table in (run.outputs.points, run.outputs.summary, run.outputs.table):
        assert [each for each in header(table) if each in names] == names
    config = yaml.safe_load(run.outputs.config.read_text(encoding="utf-8"))
    assert list(config["scan"].get("zip", config["scan"])) == (["table"] if form == "table" else names)

    target, page = tmp_path / "target.json", tmp_path / "report.html"
    find_target(run.study, target)
    kept = [name for name in names if name != "detector.resolution"]
    assert all(list(each.values) == kept for each in TargetAnswers.read(target).answers)
    plot(run.study, run.outputs.study, run.outputs.validation, run.figures, target)
    assert over(run.study) == (names[:1] if form in ("zip", "table") else names)
    write_report(run.study, run.outputs.validation, run.outputs.study, run.figures, page, target)
    assert written(page, names) == names


@pytest.mark.slow
def test_snakemake_runs_a_scan_of_names_that_are_not_sorted(workflow):
    raw = {"study": "small", "source": {"muons": 300}, "toys": {"muons": 10, "per_muon": 100}, "scan": UNSORTED}
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    run = ("--cores", "2", "--configfile", "small.yaml")
    workflow.run(*run)
    files = workflow.results()
    assert "report.html" in files
    assert "tally/model.dz=1_detector.resolution=50_etc.h5" in files
    assert header(workflow.folder / "results/small/summary.csv")[1:3] == list(UNSORTED)
    assert "Nothing to be done" in workflow.run(*run)
