"""Lists of hits in every kind of file: compressed, in tables, with scales, a selection and kept columns."""

import gzip
import json

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pullback.config.model_schema import Track, Track3d
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import event_order, long_rows, recorded_file
from pullback.models import load_model

KINDS = ["csv", "csv.gz", "csv.zst", "parquet", "h5", "table", "pandas", "root"]
PICKED = {"event": "run_event", "layer": "plane", "x": "pixel"}


def hit_list(events=50, layers=3, seed=2):
    """One row per hit, and the hits of each event by hand, in pixels; whole numbers, text and charges beside them."""
    rng = np.random.default_rng(seed)
    rows = [(event, layer) for event in range(events) for layer in range(layers) if layer == 0 or rng.random() < 0.8]
    event, plane = np.array(rows).T
    return {
        "plane": plane,
        "pixel": rng.integers(-500, 500, len(rows)),
        "charge": rng.uniform(0, 10, len(rows)),
        "run_event": event + 2**60,
        "run": np.array([f"run{number // 20}" for number in event]),
    }


def write_list(kind, columns):
    """A list of hits as a file of some kind, and the keys of `source` for it."""
    plain = pd.DataFrame(columns)
    if kind.startswith("csv"):
        with pa.output_stream(f"hits.{kind}", compression={"csv.gz": "gzip", "csv.zst": "zstd"}.get(kind)) as out:
            pa.csv.write_csv(pa.table(columns), out)
        return {"file": f"hits.{kind}"}
    if kind == "parquet":
        pa.parquet.write_table(pa.table(columns), "hits.parquet", row_group_size=37)
        return {"file": "hits.parquet"}
    if kind == "root":
        import awkward as ak
        import uproot

        with uproot.recreate("hits.root") as file:
            file.mkrntuple("hits", {name: ak.Array(values.tolist()) for name, values in columns.items()})
        return {"file": "hits.root"}
    if kind == "pandas":
        pytest.importorskip("tables")
        plain.to_hdf("hits.h5", key="hits", format="table", data_columns=["run"])
        return {"file": "hits.h5", "table": "hits"}
    text = {"run": f"S{plain['run'].str.len().max()}"}
    with h5py.File("hits.h5", "w") as file:
        if kind == "table":
            file["other"] = np.zeros(3, [("x", "f8")])
            file["hits"] = plain.to_records(index=False, column_dtypes=text)
            return {"file": "hits.h5", "table": "hits"}
        for name, values in columns.items():
            file[name] = values.astype(text.get(name, values.dtype))
    return {"file": "hits.h5"}


def planned(layers=3, **section):
    """The file of a section as a job opens it, and the counts of planning."""
    source, model = (
        Recorded(layout="long", **{**PICKED, **section}),
        load_model(Track(z=[0.1 * i for i in range(layers)])),
    )
    counts, digest, reading = recorded_file(source, model).plan()
    return recorded_file(
        source, model, digest, counts, type(reading).of_plain(json.loads(json.dumps(reading.plain(), sort_keys=True)))
    ), counts


def found(start=0, stop=None, **section):
    """Hits, kept columns and counts."""
    file, counts = planned(**section)
    blocks = list(file.blocks(start, counts.muons if stop is None else stop, 7))
    names = blocks[0].kept
    kept = {name: np.concatenate([block.kept[name] for block in blocks]) for name in names}
    return np.concatenate([block.hits for block in blocks]), kept, counts


def by_event(columns, chosen, layers=3):
    """Pixels of the chosen rows by event and layer, and the row of each event's first one."""
    events = {}
    for row in np.flatnonzero(chosen):
        _, hits = events.setdefault(columns["run_event"][row], (row, np.full(layers, np.nan)))
        hits[columns["plane"][row]] = columns["pixel"][row]
    firsts, hits = zip(*events.values(), strict=True)
    return np.array(hits), list(firsts)


def refused(**section):
    with pytest.raises(PullbackError) as caught:
        found(**section)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("piece", [5, 65_536])
@pytest.mark.parametrize("kind", KINDS)
def test_scale_selection_and_kept_columns_in_every_kind_of_file(kind, piece, monkeypatch):
    monkeypatch.setattr(long_rows, "PIECE", piece)
    columns = hit_list()
    section = {
        **write_list(kind, columns),
        "x": {"column": "pixel", "scale": "50 um", "offset": "1 mm"},
        "select": "charge > 2 and abs(x - 1 mm) < 22 mm and run != 'run1'",
        "keep": ["run_event", "run"],
    }
    chosen = (columns["charge"] > 2) & (np.abs(columns["pixel"] * 50e-6) < 0.022) & (columns["run"] != "run1")
    expected, firsts = by_event(columns, chosen)
    hits, kept, counts = found(**section)
    np.testing.assert_allclose(hits, expected * 50e-6 + 1e-3, rtol=1e-13)
    np.testing.assert_array_equal(kept["run"].astype(str), columns["run"][firsts])
    assert kept["run_event"].dtype == "i8"
    np.testing.assert_array_equal(kept["run_event"], columns["run_event"][firsts])
    assert counts.plain() == {
        "rows": len(chosen), "unselected": (~chosen).sum(), "hits": chosen.sum(),
        "unselected_events": len({*columns["run_event"]}) - len(firsts), "events": len(firsts),
        "used_hits": chosen.sum(), "muons": len(firsts),
    }  # fmt: skip
    part, kept, _ = found(11, 17, **section)
    np.testing.assert_allclose(part, expected[11:17] * 50e-6 + 1e-3, rtol=1e-13)
    np.testing.assert_array_equal(kept["run_event"], columns["run_event"][firsts][11:17])


@pytest.mark.parametrize("kind", ["csv", "table"])
def test_rows_that_are_apart(kind):
    columns = hit_list()
    order = np.random.default_rng(1).permutation(len(columns["plane"]))
    columns = {name: values[order] for name, values in columns.items()}
    chosen = columns["charge"] > 5
    expected, firsts = by_event(columns, chosen)
    hits, kept, counts = found(**write_list(kind, columns), unit="um", select="charge > 5", keep=["run", "run_event"])
    np.testing.assert_allclose(hits, expected / 1e6, rtol=1e-14)
    np.testing.assert_array_equal(kept["run_event"], columns["run_event"][firsts])
    assert counts.unselected == (~chosen).sum()
    assert counts.events_apart > 0


def test_a_scale_of_uncertainties_and_the_names_of_lengths():
    columns = {**hit_list(4), "error": np.tile([2.0, 4.0], 50)[: len(hit_list(4)["plane"])]}
    section = {"sigma": {"x": {"column": "error", "scale": "3 um"}}, "unit": "mm", **write_list("csv", columns)}
    file, counts = planned(**section)
    (block,) = file.blocks(0, counts.muons)
    errors = dict(zip(columns["pixel"].tolist(), columns["error"].tolist(), strict=True))
    there = np.isfinite(block.hits)
    expected = [(errors[round(x * 1e3)] * 3e-6) ** 2 for x in block.hits[there]]
    np.testing.assert_allclose(block.covariance[there], expected, rtol=1e-13)
    every = found(**section, select="error < 10 um and pixel < 300 mm")[2]
    assert every.hits == ((columns["error"] < 10 / 3) & (columns["pixel"] < 300)).sum()


def test_nearest_by_scaled_positions():
    rows = "event,layer,c,r\n" + "".join(f"1,{k},{k},{-k}\n" for k in (0, 2)) + "1,1,1.2,-1\n1,1,1,-1.1\n"
    with gzip.open("hits.csv.gz", "wt") as file:
        file.write(rows)
    model, picked = load_model(Track3d(z=[0.0, 0.1, 0.2])), {"event": "event", "layer": "layer", "several": "nearest"}
    for fine, expected in (("x", -1.0), ("y", -1.1)):
        scales = {view: "1 um" if view == fine else "1 mm" for view in "xy"}
        views = {view: {"column": name, "scale": scales[view]} for view, name in (("x", "c"), ("y", "r"))}
        source = Recorded(file="hits.csv.gz", layout="long", **picked, **views)
        (block,) = recorded_file(source, model).blocks(0, 1)
        assert block.hits[0, 4] == pytest.approx(expected * (1e-6 if fine == "y" else 1e-3), rel=1e-12)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"select": "charge > 99"}, "none of its 4 rows is selected by source.select: charge > 99"),
        (
            {"select": "charg > 0"},
            "no column 'charg'; the columns are: event, layer, x, charge, run, in source.select; did",
        ),
        ({"select": "run > 0"}, "row 1, column 'run': 'a' is not a number"),
        (
            {"select": "x > 1"},
            "config: source.select: x > 1: x is a length and 1 is a pure number; write 1 with a unit",
        ),
        ({"select": "x0 > 1"}, "no column 'x0'"),
        (
            {"keep": ["charge"]},
            "row 2, column 'charge': differs from the first hit of its event: 6; in the long layout",
        ),
        ({"keep": ["run"]}, "row 4, column 'run': differs from the first hit of its event: b; in the long layout"),
        ({"keep": ["rum"]}, "no column 'rum'"),
        ({"table": "hits"}, "config: source.table: hits.csv is not a .h5 file"),
        ({"layer": "run"}, "row 1, column 'run': 'a' is no layer of the model"),
    ],
)
def test_what_is_refused_in_one_line(section, expected):
    with open("hits.csv", "w") as file:
        file.write("event,layer,x,charge,run\n1,0,1,5,a\n1,1,2,6,a\n2,0,3,7,a\n2,1,4,7,b\n")
    assert expected in refused(**{"file": "hits.csv", "event": "event", "layer": "layer", "x": "x", **section})


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 2, 3, 1]])
def test_a_kept_column_of_hits_is_refused_when_a_study_is_planned(order):
    """Before any job, also where the rows of an event are apart."""
    rows = [["1,0,1,5,8"], ["1,1,2,6,8"], ["2,0,3,7,9"], ["2,1,4,7,9"]]
    with open("hits.csv", "w") as file:
        file.write("event,layer,x,charge,run\n" + "".join(f"{rows[row][0]}\n" for row in order))
    section = {"file": "hits.csv", "layout": "long", "event": "event", "layer": "layer", "x": "x"}
    model = load_model(Track(z=[0.0, 0.1]))
    with pytest.raises(PullbackError, match="column 'charge': differs from the first hit of its event: 6"):
        recorded_file(Recorded(**section, keep=["charge"]), model).plan()
    assert recorded_file(Recorded(**section, keep=["run"]), model).plan().counts.muons == 2


def test_unselected_rows_need_no_layer_and_no_event_and_may_come_in_any_number():
    with open("hits.csv", "w") as file:
        file.write("event,layer,x,good\n,9,1,0\n,,1,0\n1,0,1,1\n1,1,2,1\n,9,3,0\n")
    hits, _, counts = found(file="hits.csv", event="event", layer="layer", x="x", select="good == 1")
    np.testing.assert_array_equal(hits, [[1, 2, np.nan]])
    assert (counts.rows, counts.unselected, counts.hits) == (5, 3, 2)
    assert counts.unselected_events == 0  # not known


@pytest.mark.parametrize("kind", ["parquet", "root"])
def test_a_selection_on_lists_of_hits(kind):
    columns = {
        "plane": [[0, 1], [], [0], [2, 1, 0], [1]],
        "pixel": [[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0], [7.0]],
        "charge": [[9.0, 1.0], [], [1.0], [9.0, 9.0, 1.0], [9.0]],
        "number": [5, 3, 2, 9, 1],
    }
    if kind == "parquet":
        pa.parquet.write_table(pa.table(columns), "hits.parquet", row_group_size=2)
    else:
        import awkward as ak
        import uproot

        with uproot.recreate("hits.root") as file:
            file.mkrntuple("hits", {name: ak.Array(values) for name, values in columns.items()})
    section = {"file": f"hits.{kind}", "event": "", "keep": ["number"]}
    hits, kept, counts = found(select="charge > 5 and number != 1", **section)
    np.testing.assert_array_equal(hits, [[1, np.nan, np.nan], [np.nan, 5, 4]])
    np.testing.assert_array_equal(kept["number"], [5, 9])
    wanted = {"rows": 5, "unselected": 3, "unselected_hits": 4, "hits": 3, "events": 2, "used_hits": 3, "muons": 2}
    assert counts.plain() == wanted
    hits, kept, counts = found(select="number < 9", **section)
    np.testing.assert_array_equal(kept["number"], [5, 3, 2, 1])  # an event without hits is selected by its number
    assert (counts.empty_events, counts.unselected, counts.unselected_hits) == (1, 1, 3)
    assert "column 'charge' holds lists; source.keep takes columns with one value per muon" in refused(
        **{**section, "keep": ["charge"]}
    )


def test_too_many_hits_in_no_order_are_those_that_are_selected(monkeypatch):
    monkeypatch.setattr(event_order, "MOST_ROWS", 3)
    monkeypatch.setattr("pullback.hits.long.MOST_ROWS", 3)
    with open("hits.csv", "w") as file:
        file.write("event,layer,x,good\n1,0,1,1\n2,0,2,0\n2,1,2,1\n1,1,3,1\n3,0,1,0\n2,2,9,0\n")
    names = {"file": "hits.csv", "event": "event", "layer": "layer", "x": "x"}
    assert "5 hits are more than the 3" in refused(**names, select="x < 9 m")
    assert found(**names, select="good == 1")[2].events_apart == 1
