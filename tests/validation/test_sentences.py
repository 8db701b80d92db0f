"""The answers in words, of studies without anything to judge, and what is advised where the numbers do not suffice."""

import json

import pytest
from running import Run

from pullback.statistics.intervals import Verdict
from pullback.validation.answers import Answer, Answers, NotTested
from pullback.validation.evidence import Counts, Entry, Evidence, Judgement
from pullback.validation.findings import Finding
from pullback.validation.fit_evidence import FitEntry
from pullback.validation.remedies import Remedy
from pullback.validation.sentences import no_pass, what_would_decide

WIDE = "x0,x1,x2\n" + ",,\n" * 40
LONG = "event,layer,x\n" + "".join(f"{event},{layer},\n" for event in range(40) for layer in range(3))
ONE_HIT = "x0,x1,x2\n" + "0.1,,nan\n" * 40


@pytest.mark.parametrize(
    ("text", "section"),
    [(WIDE, {}), (ONE_HIT, {}), (LONG, {"layout": "long", "event": "event", "layer": "layer", "x": "x"})],
)
def test_a_file_without_hits_is_said_to_have_none(tmp_path, text, section):
    (tmp_path / "hits.csv").write_text(text)
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv"), **section}
    run = Run({"study": "s", "source": source, "model": {"name": "track"}}, tmp_path / "out").make()
    answer = json.loads(run.outputs.validation.read_text())["answers"]["propagation"]
    assert answer["verdict"] == "inconclusive"
    assert answer["sentence"] == (
        "No muon has a usable fit: all 40 muons have too few finite hits; check the columns in source, and the cells "
        "of its file."
    )


def test_one_muon_with_hits_is_judged(tmp_path):
    (tmp_path / "hits.csv").write_text(WIDE + "0.1,0.2,0.3\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run = Run({"study": "s", "source": source, "model": {"name": "track"}}, tmp_path / "out").make()
    answer = json.loads(run.outputs.validation.read_text())["answers"]["propagation"]
    assert "too few finite hits" not in answer["sentence"]


def asked(key, value, now):
    return Remedy(key=key, value=value, now=now)


def advised(*of_entries, fit=(), muons=200, truth="inconclusive", verdict="inconclusive"):
    counts = Judgement.model_construct(counts=Counts.model_construct(muons=muons))
    points = [Entry.model_construct(point="p", remedies=[*each], quoted=counts) for each in of_entries]
    fits = [FitEntry.model_construct(point="p", remedies=[*fit])]
    answers = Answers.model_construct(truth=Answer.model_construct(verdict=truth))
    return what_would_decide(Evidence.model_construct(verdict=verdict, points=points, fits=fits, answers=answers))


def test_of_each_key_the_largest_number_is_advised_and_the_most_needed_first():
    """One value of a key serves all observables: the smaller ones would leave some of them open."""
    first = [asked("toys.per_muon", 26_000, 1000), asked("coverage.toys_per_bin", 80_000, 2000)]
    second = [asked("toys.muons", 2000, 100), asked("coverage.toys_per_bin", 91_000, 2000)]
    assert advised(first, second, first) == (
        "What would decide it: coverage: {toys_per_bin: 91000} (now 2000); toys: {per_muon: 26000, muons: 2000} "
        "(now 1000, 100)."
    )


def test_a_mode_is_written_beside_its_number():
    toys = [asked("toys.mode", "fixed", "adaptive"), asked("toys.per_muon", 26_000, 1000)]
    assert advised(toys, toys) == "What would decide it: toys: {mode: fixed, per_muon: 26000} (now adaptive, 1000)."


def test_simulated_muons_are_asked_for_with_those_that_have_no_fit():
    more = Remedy(key="source.muons", value=7000, now=100, words="take about 7000 muons (now 100)")
    wider = asked("validation.data_tolerance", 0.17, 0.05)
    assert advised([], fit=[more, wider]) == "What would decide it: source: {muons: 14000} (now 200)."


def test_recorded_muons_can_be_judged_by_a_wider_tolerance():
    more = Remedy(key="source.muons", value=7000, now=100, words="take about 7000 muons (now 100)")
    wider = asked("validation.data_tolerance", 0.17, 0.05)
    assert advised([], fit=[more, wider], truth=NotTested.RECORDED) == (
        "What would decide it: take about 7000 muons (now 100); or, with these, validation: {data_tolerance: 0.17} "
        "(now 0.05)."
    )
    assert advised([], fit=[more], truth=NotTested.RECORDED) == "What would decide it: take about 7000 muons (now 100)."


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_what_is_settled_needs_no_advice(verdict):
    assert advised([asked("toys.muons", 2000, 100)], verdict=verdict) == ""


@pytest.mark.parametrize(
    ("question", "points", "name", "number", "words"),
    [
        ("propagation", 6, "one_hit", 6, "at all 6 points"),
        ("propagation", 6, "one_hit", 4, "at 4 of 6 points"),
        ("data", 6, "track", 6, "at all 6 points"),
        ("truth", 1, "track", 3, "for all 3 observables"),
        ("truth", 6, "track", 18, "for all 3 observables at all 6 points"),
        ("truth", 6, "track", 11, "for 11 of 18 (3 observables at 6 points)"),
    ],
)
def test_a_sentence_says_all_where_all_are_meant(tmp_path, question, points, name, number, words):
    resolutions = [float(50 + each) for each in range(points)]
    study = Run({"study": "s", "model": {"name": name}, "scan": {"detector.resolution": resolutions}}, tmp_path).study
    names = [""] if question == "data" else [each.name for each in study.model.observables]
    pairs = [(point.label, each) for point in study.points for each in names]
    found = [Finding(question, point, each, Verdict.FAIL, 1.0, ["r"]) for point, each in pairs[:number]]
    assert f" {words}; worst" in no_pass(study, question, Verdict.FAIL, found)
