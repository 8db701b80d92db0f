"""The answers in words, of studies without anything to judge."""

import json

import pytest
from running import Run

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
