import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from running import Run

from pullback.errors import PullbackError
from pullback.report.data_tables import imported_table
from pullback.steps.importing import import_hits
from pullback.store.study_file import open_study
from pullback.study.batches import Batch
from pullback.study.blocks import BLOCK
from pullback.study.plan import Study


def long_study(**changes):
    source = {"kind": "recorded", "file": "hits.parquet", "layout": "long", "event": "e", "layer": "l", "x": "x"}
    raw = {"study": "s", "source": {**source, **changes.pop("source", {})}, "model": {"name": "track", "z": [0, 0.5]}}
    return Study.from_config({**raw, **changes})


def write_long(events, layers, x):
    pa.parquet.write_table(pa.table({"e": events, "l": layers, "x": x}), "hits.parquet", row_group_size=50_000)


def imported(study, folder):
    """The hits of all batches, each from the text that a job gets."""
    hits = []
    for name in study.batches:
        batch = Batch.from_json(study.batch("reco", name).to_json())
        assert batch.digest == study.batch("reco", name).digest
        import_hits(batch, folder / f"{name}.h5")
        with h5py.File(folder / f"{name}.h5") as file:
            hits += [file[f"{part.label}/x_reco"][:] for part in batch.parts]
            counts = {f"imported.{key}": number for key, number in study.imported.plain().items()}
            for part in batch.parts:
                attributes = file[part.label].attrs
                assert {name: attributes[name] for name in attributes if name.startswith("imported.")} == counts
    return np.concatenate(hits)


@pytest.mark.parametrize("apart", [False, True])
def test_batches_of_a_list_of_hits_are_parts_of_it(tmp_path, apart):
    muons = 2 * BLOCK + 777
    rng = np.random.default_rng(4)
    x = rng.normal(size=(muons, 2))
    x[rng.random(muons) < 0.2, 1] = np.nan
    event, layer = np.nonzero(np.isfinite(x))
    # Every 1000th event has another hit in layer 0, and is left out.
    more = np.arange(0, muons, 1000)
    kept = np.setdiff1d(np.arange(muons), more)
    event, layer = np.append(event, more), np.append(layer, np.zeros(len(more), int))
    order = np.argsort(event, kind="stable") if not apart else np.arange(len(event))
    write_long(event[order], layer[order], np.append(x[np.isfinite(x)], np.zeros(len(more)))[order])
    for cost in (10**9, 20 * BLOCK):
        study = long_study(source={"several": "drop"}, compute={"batch_cost": cost})
        assert len(study.batches) == (1 if cost == 10**9 else 3)
        again = Study.from_json(study.to_json())
        assert again.digest == study.digest
        np.testing.assert_array_equal(imported(again, tmp_path / str(cost)), x[kept])
    assert study.imported.muons == len(kept)
    assert study.imported.dropped_events == len(more)
    assert (study.imported.events_apart > 0) == apart


def test_counts_are_in_the_log(tmp_path, caplog):
    write_long([1, 1, 2], [0, 3, 1], [1.0, 2.0, 3.0])
    study = long_study(source={"layers": [0, 1]})
    with caplog.at_level(logging.INFO, logger="pullback"):
        imported(study, tmp_path)
    assert "hits left out: in layers that are not in source.layers (3): 1" in caplog.text
    assert "muons: 2" in caplog.text


def test_another_list_than_was_planned_is_refused_and_nothing_is_left(tmp_path):
    write_long([1, 1, 2], [0, 1, 0], [1.0, 2.0, 3.0])
    study = long_study()
    write_long([1, 1, 2], [0, 1, 1], [1.0, 2.0, 3.0])
    with pytest.raises(PullbackError, match="has changed since this run began: run again"):
        import_hits(study.batch("reco", "nominal"), tmp_path / "out" / "reco.h5")
    write_long([1, 1, 2], [0, 1, 1], [1.0, 2.0, 3.0])
    study = long_study(source={"momentum_column": "x"}, model={"name": "track", "z": [0, 0.5], "theta0_momentum": 1})
    with pytest.raises(PullbackError, match="row 2, column 'x': is not the momentum of the first hit of its event: 2"):
        import_hits(study.batch("reco", "nominal"), tmp_path / "out" / "reco.h5")
    assert not list((tmp_path / "out").iterdir())


def test_a_study_of_a_list_of_hits_is_that_of_one_row_per_muon():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40, 1)) + 0.01 * rng.normal(size=(40, 3))
    x[3, 1] = x[8, 0] = np.nan
    rows = "".join(",".join("" if np.isnan(each) else repr(float(each)) for each in row) + "\n" for row in x)
    Path("wide.csv").write_text("x0,x1,x2\n" + rows)
    hits = [
        f"ev{muon},{'abc'[layer]},{float(x[muon, layer])!r}\n" for muon, layer in np.argwhere(np.isfinite(x)).tolist()
    ]
    Path("long.csv").write_text("name,plane,pos\n" + "".join([*hits, "ev39,d,1\n", "ev3,a,1\n"]))
    model = {"name": "track", "z": [0, 0.5, 1.0]}
    names = {"layout": "long", "event": "name", "layer": "plane", "layers": ["a", "b", "c"], "x": "pos"}
    found, evidence = {}, {}
    for layout, source in (("wide", {}), ("long", {**names, "several": "nearest"})):
        raw = {"study": layout, "source": {"kind": "recorded", "file": f"{layout}.csv", **source}, "model": model}
        run = Run({**raw, "toys": {"muons": 10, "per_muon": 100}}, Path(layout)).make()
        with open_study(run.folder / "study.h5") as reader:
            found[layout] = {name: reader.rows(f"nominal/{name}") for name in ("x_reco", "theta", "sigma_theta")}
        evidence[layout] = json.loads((run.folder / "validation.json").read_text())["imported"]
    for name, values in found["wide"].items():
        same = np.ones(40, bool)
        same[3] = False  # two hits in its first layer, of which none is taken: a line needs two others
        np.testing.assert_array_equal(found["long"][name][same], values[same])
    assert np.isnan(found["long"]["x_reco"][3]).tolist() == [True, True, False]
    assert evidence["wide"] == {"rows": 40, "muons": 40}
    assert evidence["long"] == {
        "rows": 120,
        "hits": 120,
        "other_layers": 1,
        "events": 40,
        "events_apart": 1,
        "several_events": 1,
        "nearest_undecided": 1,
        "nearest_left": 2,
        "used_hits": 117,
        "muons": 40,
    }
    rows = [[cell.text for cell in row.cells] for row in imported_table(evidence["long"]).rows]
    assert len(rows) == 10
    named = imported_table(evidence["long"], run.study.reading.others).rows[2].cells[0].text
    assert named == "hits left out: in layers that are not in source.layers (d)"
    assert rows[0] == ["rows of the file", "120"]
    assert ["events whose rows are apart in the file, brought together in memory", "1"] in rows
