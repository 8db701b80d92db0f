"""A reason and the table under it never disagree: the number that decided is marked in the table."""

import re

import pytest
from running import Run

from pullback.report.tables import Tables
from pullback.report.truth_tables import TruthTables
from pullback.validation.evidence import Evidence

BRACKETED = re.compile(r"[+-]?\d+\.\d+(?: %)? \[[^]]*\]")
"""A number with its interval, as reasons give it."""

STRIPS = {
    "study": "s",
    "source": {"muons": 20_000},
    "detector": {"noise": "strip"},
    "toys": {"muons": 300, "per_muon": 2000},
    "coverage": {"toys_per_bin": 20_000},
}
TRACK = {
    "study": "s",
    "model": {"name": "track", "z": [0.0, 0.5, 1.0]},
    "source": {"muons": 3000},
    "detector": {"resolution": 1000, "efficiency": 0.95},
    "toys": {"muons": 60, "per_muon": 400},
    "coverage": {"toys_per_bin": 3200},
}


@pytest.fixture(scope="module")
def strips(tmp_path_factory):
    run = Run(STRIPS, tmp_path_factory.mktemp("strips")).make()
    return run.study, Evidence.read(run.outputs.validation)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    run = Run(TRACK, tmp_path_factory.mktemp("track")).make()
    return run.study, Evidence.read(run.outputs.validation)


def cells(table):
    return [cell for row in table.rows for cell in row.cells]


def marked(table, verdict):
    """The numbers of a table that decide with a verdict."""
    return [cell.text for cell in cells(table) if cell.kind == f"judged {verdict}"]


def numbers(reasons):
    return [found for reason in reasons for found in BRACKETED.findall(reason)]


def test_what_fails_is_marked_with_the_number_that_the_reason_gives(strips):
    study, evidence = strips
    (entry,) = evidence.points
    assert (entry.truth.verdict, entry.quoted.verdict) == ("fail", "fail")
    table, said = TruthTables(study, evidence).bins(entry), numbers(entry.truth.reasons)
    assert len(said) >= 3
    for number in said:
        assert f"✗ {number}" in marked(table, "fail") or f"? {number}" in marked(table, "inconclusive"), number
    assert f"✗ {said[0]}" in marked(table, "fail")  # what fails is said first
    # Closure has its interval in the next column.
    table = Tables(study, evidence).bins(entry, entry.quoted)
    texts = [cell.text.removeprefix("✗ ").removeprefix("? ") for cell in cells(table)]
    for number in numbers(entry.quoted.reasons):
        assert number in texts or set(number.split(" ", 1)) <= set(texts), number
    assert len(marked(table, "fail")) >= 10


def test_what_decides_nothing_is_not_marked(strips):
    study, evidence = strips
    (entry,) = evidence.points
    for row, bin_ in zip(Tables(study, evidence).bins(entry, entry.linear).rows, entry.linear.bins, strict=False):
        outside = bin_.verdict == "outside the linear domain"
        assert any(cell.kind.startswith("judged") for cell in row.cells) != outside
        assert (row.kind == "outside") == outside
    few = [each.model_copy(update={"verdict": "inconclusive", "decides": False}) for each in entry.truth.bins]
    aside = entry.model_copy(update={"truth": entry.truth.model_copy(update={"bins": few})})
    table = TruthTables(study, evidence).bins(aside)
    assert not [cell for cell in cells(table) if cell.kind.startswith("judged")]
    assert [row.cells[1].text for row in table.rows] == ["too few muons"] * 7


def test_coverage_intervals_and_linear_propagation_are_only_shown(strips):
    study, evidence = strips
    (entry,) = evidence.points
    for row, bin_ in zip(TruthTables(study, evidence).bins(entry).rows, entry.truth.bins, strict=True):
        shown = [cell for cell in row.cells if cell.kind == "shown"]
        for name in ("linear68", "linear95", "interval68", "interval95"):
            assert f"{100 * bin_.coverage.of(name).value:.2f} %" in [cell.text for cell in shown]


def test_muons_contradict_or_decide_nothing(strips, track):
    study, evidence = strips
    assert "58." in next(each for each in marked(TruthTables(study, evidence).pulls(), "fail") if "%" in each)
    study, evidence = track
    tables = TruthTables(study, evidence)
    assert marked(tables.pulls(), "inconclusive") == marked(tables.hits(), "inconclusive") == []
    layers = [row.cells[1].text for row in tables.hits().rows]
    assert layers == ["layer 0", "layer 1", "layer 2", "all layers"]
    quantities = [row.cells[1].text for row in tables.pulls().rows]
    assert quantities[:2] == ["slope", "intercept"]
    assert "θ, linear domain" in quantities


def test_the_budget_by_toys_is_beside_the_quoted_one(track):
    study, evidence = track
    rows = TruthTables(study, evidence).budget().rows
    assert len(rows) == 3 * 3
    for row, share in zip(rows, [each for entry in evidence.points for each in entry.truth.budget], strict=True):
        assert row.cells[4].text.endswith(f"{100 * (share.quoted + share.toys.value):.1f} %")
        assert row.cells[5].text == f"{100 * share.quoted:.1f} %"
