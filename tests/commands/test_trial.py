"""What only a run would show is found before it."""

import pytest

from pullback.commands import trial
from pullback.commands.outlook import outlook
from pullback.errors import HitsError, ModelError

RECORDED = {"study": "r", "source": {"kind": "recorded", "file": "hits.csv"}}
ROWS = 150_000
"""More than are read at once, and more than a block."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_hits(folder, last="0.5"):
    cells = [f"{0.1 + row / ROWS:.6f}" for row in range(ROWS)]
    (folder / "hits.csv").write_text("\n".join(["x", *cells[:-1], last]) + "\n")


def own(folder, body):
    (folder / "mine.py").write_text(f"import torch\n\ndef infer(hits, d):\n    {body}\n")
    model = {"file": "mine.py", "function": "infer", "coordinates": ["x0", "x1"], "parameters": {"d": 1.5}}
    observable = {"name": "slope", "unit": "1", "long_name": "slope", "symbol": "s", "fold": "none"}
    return {"study": "own", "source": {"muons": 500}, "model": {**model, "observables": [observable]}}


def test_a_misspelt_variable_is_found_with_file_and_line(here):
    assert outlook(own(here, "return ((hits[:, 1] - hits[:, 0]) / d)[:, None]"))
    with pytest.raises(ModelError, match=r"mine\.py:4: infer: NameError: name 'hts' is not defined"):
        outlook(own(here, "return ((hts[:, 1] - hits[:, 0]) / d)[:, None]"))


def test_text_in_the_last_row_is_found(here):
    write_hits(here)
    assert "\nfile         all of its 150\u202f000 muons were read\n" in str(outlook(RECORDED))
    write_hits(here, last="none")
    with pytest.raises(HitsError, match=r"^hits\.csv: .*none"):
        outlook(RECORDED)


def test_of_a_large_file_it_says_how_much_was_read(here, monkeypatch):
    monkeypatch.setattr(trial, "SMALL_FILE", 1000)
    write_hits(here)
    assert "the first 131\u202f072 of its 150\u202f000 muons were read" in str(outlook(RECORDED))


def test_only_the_first_point_and_selected_rows_are_tried(here):
    """A selection, a scan, and a muon without a hit."""
    (here / "hits.csv").write_text("x,good\n0.1,0\n0.2,1\n,1\n0.4,1\n")
    source = {**RECORDED["source"], "select": "good == 1"}
    assert "all of its 3 muons" in str(outlook({**RECORDED, "source": source, "scan": {"model.dz": [1.0, 2.0]}}))
