"""The answers in words, of studies without anything to judge, and what is advised where the numbers do not suffice."""

import json

import pytest
from running import Run

from pullback.validation.evidence import Entry, Evidence
from pullback.validation.sentences import what_would_decide

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
        "No muon has a usable fit: 40 of 40 muons have too few finite hits; check the columns in source, and the cells "
        "of its file."
    )


def test_one_muon_with_hits_is_judged(tmp_path):
    (tmp_path / "hits.csv").write_text(WIDE + "0.1,0.2,0.3\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run = Run({"study": "s", "source": source, "model": {"name": "track"}}, tmp_path / "out").make()
    answer = json.loads(run.outputs.validation.read_text())["answers"]["propagation"]
    assert "too few finite hits" not in answer["sentence"]


def advised(*of_entries, verdict="inconclusive"):
    points = [Entry.model_construct(verdict=verdict, more=[*more]) for more in of_entries]
    return what_would_decide(Evidence.model_construct(points=points, fits=[]))


BEGIN = "What would decide it, if the numbers stay as they are: "


def test_of_each_key_the_largest_number_is_advised():
    """One value of a key serves all observables: the smaller ones would leave some of them open."""
    first = ["raise coverage.toys_per_bin from 2000 to 170945"]
    second = ["raise toys.muons: 1 bin has muons but no toys", "raise coverage.toys_per_bin from 2000 to 1035390"]
    third = ["raise toys.per_muon from 1000 to 2593 (318600 more toys), then pass"]
    assert advised(first, second, third) == (
        f"{BEGIN}{second[1]}; {second[0]}; raise toys.per_muon from 1000 to 2593 (318600 more toys), then pass."
    )


def test_what_no_number_would_decide_outweighs_any_number():
    even = "even coverage.toys_per_bin of 1e+07 would not decide: a number is too close to the limit"
    raised = "raise coverage.toys_per_bin from 2000 to 390489"
    assert advised([even], [raised]) == advised([raised], [even]) == f"{BEGIN}{even}."


def test_what_names_no_key_stays_beside_the_keys():
    texts = [f"find out {number}" for number in range(6)]
    assert advised(texts) == f"{BEGIN}{'; '.join(texts[:4])}; and 2 more in validation.json."


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_what_is_settled_needs_no_advice(verdict):
    assert advised(["raise toys.muons"], verdict=verdict) == ""
