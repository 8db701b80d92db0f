"""The examples of docs/recorded_data.md, each run as it stands on a file that the test writes."""

import gzip
import re
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from running import PROJECT, Run

from pullback.store.alignment_file import AlignmentFile

PAGE = (PROJECT / "docs" / "recorded_data.md").read_text()
EXAMPLES = {raw["study"]: raw for raw in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))}
FEW = {"toys": {"muons": 20, "per_muon": 200}}
Z = np.array([0, 0.02, 0.1])


def tracks(rows, pitch, seed=4):
    """Positions of straight tracks on three layers, in units of a pitch."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.005, 0.005, (rows, 1)) + rng.normal(0, 0.001, (rows, 1)) * Z
    return (x + rng.normal(0, 7.2e-5, x.shape)) / pitch


def write_candidates():
    table = np.zeros(300, [("event_number", "i8"), *((f"x_dut_{i}", "f8") for i in range(3)), ("n_tracks", "u1")])
    table["event_number"], table["n_tracks"] = np.arange(300) + 2**60, np.arange(300) % 3
    for layer, x in enumerate(tracks(300, 1e-6).T):
        table[f"x_dut_{layer}"] = x
    table["x_dut_1"][:60] = np.nan
    with h5py.File("candidates.h5", "w") as file:
        file["TrackCandidates"], file["other"] = table, table[:7]
    chosen = (table["n_tracks"] == 1) & np.isfinite(table["x_dut_1"])
    return np.stack([table[f"x_dut_{i}"] for i in range(3)], axis=1)[chosen] / 1e6, table["event_number"][chosen]


def write_pixels():
    x = tracks(200, 1e-3)
    pixel = np.round((x[:, :2] + [10, 9.9]) / 0.25).astype(int)
    rows = [f"{p},{q},{h!r},72\n" for (p, q), h in zip(pixel.tolist(), x[:, 2].tolist(), strict=True)]
    with gzip.open("pixels.csv.gz", "wt") as file:
        file.write("col_0,col_1,hit_2,error_2\n" + "".join(rows))
    return np.column_stack([pixel * 250e-6 - [10e-3, 9.9e-3], x[:, 2] / 1000]), None


def write_list():
    strips = np.round(tracks(200, 80e-6)).astype(int)
    rows = ["run,event_id,plane,strip,charge\n"]
    for muon, hits in enumerate(strips.tolist()):
        event = f"{muon % 2},{muon // 2}"
        rows += [
            f"{event},{plane},{strip},30\n" for plane, strip in zip(["bottom", "middle", "top"], hits, strict=True)
        ]
        rows += [f"{event},middle,{hits[1] + 1},5\n", f"{event},top,{hits[2] + 60},99\n", f"{event},veto,0,99\n"]
    with gzip.open("list.csv.gz", "wt") as file:
        file.writelines(rows)
    return strips[:, ::-1] * 80e-6, np.arange(200) // 2


Z_BEAM = np.array([0, 19.5, 108.8, 128.3])
OFF = {"x": [0.0, 60.0, -40.0, 0.0], "y": [0.0, -12.0, 9.0, 0.0]}
"""How far the hits of each plane of the test beam are off, µm: the plane itself is out of place by the opposite."""


def write_test_beam(events=900):
    """Track candidates of testbeam_analysis, of planes that are out of place."""
    rng = np.random.default_rng(5)
    names = [f"{view}_dut_{plane}" for view in "xy" for plane in range(4)]
    table = np.zeros(events, [("event_number", "i8"), *((name, "f8") for name in names), ("n_tracks", "u1")])
    table["event_number"], table["n_tracks"] = np.arange(events), 1 + (np.arange(events) % 9 == 0)
    for view, sigma in (("x", 72.2), ("y", 14.4)):
        at, slope = rng.uniform(-9000, 9000, events), rng.normal(0, 2, events)  # µm, and µm for each mm
        for plane, (z, off) in enumerate(zip(Z_BEAM, OFF[view], strict=True)):
            table[f"{view}_dut_{plane}"] = at + slope * z + off + rng.normal(0, sigma, events)
    table["x_dut_2"][:50] = np.nan
    with h5py.File("TrackCandidates.h5", "w") as file:
        file["TrackCandidates"] = table


def write_tomography():
    rng = np.random.default_rng(6)
    z = np.array([580, 480, 380, -380, -480, -580])
    at, above, below = (rng.normal(0, width, (150, 2, 1)) for width in (100, 0.1, 0.1))
    hits = at + np.where(z > 0, above, below) * z + rng.normal(0, 0.5, (150, 2, 6))
    names = [f"{axis}{layer}" for layer in range(6) for axis in "XYZ"]
    columns = [each for layer in range(6) for each in (*hits[:, :, layer].T, np.full(150, z[layer]))]
    rows = [",".join(map(repr, row)) for row in np.stack(columns, axis=1).tolist()]
    Path("muons.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    return hits.reshape(150, 12) / 1000, None


def write_clusters():
    """Events with a hit in each plane, a second one far off, and covariances of which σ is known exactly."""
    rng = np.random.default_rng(7)
    z = np.array([0, 20, 100, 120]) + rng.normal(0, 0.5, (150, 4))
    at, slope = rng.uniform(-5, 5, (2, 150, 1)), rng.normal(0, 0.01, (2, 150, 1))
    sigma, rho = rng.uniform(0.05, 0.2, (2, 150, 4)), rng.uniform(-0.9, 0.9, (150, 4))
    x, y = at + slope * z + sigma * rng.standard_normal((2, 150, 4))
    xx, xy, yy = sigma[0] ** 2, rho * sigma[0] * sigma[1], sigma[1] ** 2
    columns = {"x": x, "y": y, "z": z, "xx": xx, "xy": xy, "yy": yy}
    events = []
    for event in range(150):
        hits = [{"plane": k, **{key: each[event, k] for key, each in columns.items()}} for k in rng.permutation(4)]
        events.append([*hits, {**hits[0], "x": hits[0]["x"] + 40}])
    table = pa.table({"event_id": np.arange(150)[::-1] + 2**60, "hits": pa.array(events)})
    pa.parquet.write_table(table, "clusters.parquet")
    return np.concatenate([x, y], axis=1) / 1000, np.arange(150)[::-1] + 2**60


WRITERS = {
    "clusters": write_clusters,
    "tomography": write_tomography,
    "candidates": write_candidates,
    "pixels": write_pixels,
    "list_of_hits": write_list,
}


def test_every_example_is_run():
    assert EXAMPLES.keys() == {*WRITERS, "test_beam"}


def test_the_planes_of_the_test_beam_are_found_where_they_are(tmp_path):
    write_test_beam()
    run = Run({**EXAMPLES["test_beam"], **FEW}, tmp_path / "out").make()
    found = {each.name: each for each in AlignmentFile.read(run.alignment).numbers}
    for view, offs in OFF.items():
        for plane in (1, 2):
            each = found[f"alignment.{view}[{plane}]"]
            assert abs(each.value + 1e-6 * offs[plane]) < 4.5 * each.se < 40e-6
    columns = run.columns("nominal")
    assert len(columns["event_number"]) == 900 - 100 - 50 + 6
    assert np.isfinite(columns["sigma_x_at_0"]).all()


@pytest.mark.parametrize("name", WRITERS)
def test_an_example_reads_what_was_written(name, tmp_path):
    hits, kept = WRITERS[name]()
    found = Run({**EXAMPLES[name], **FEW}, tmp_path / "out").make().columns("nominal")
    np.testing.assert_allclose(found["x_reco"], hits, rtol=1e-13, atol=1e-17)
    if kept is not None:
        np.testing.assert_array_equal(found["event_number" if name == "candidates" else "event_id"], kept)
    if name == "clusters":
        for muon, events in enumerate(pa.parquet.read_table("clusters.parquet")["hits"].to_pylist()):
            for k, z, *errors in ([hit[key] for key in ("plane", "z", "xx", "xy", "yy")] for hit in events[:4]):
                matrix = found["x_covariance"][muon][[k, k, k + 4], [k, k + 4, k + 4]]
                np.testing.assert_allclose([found["hit_z"][muon, k], *matrix], [z / 1e3, *np.array(errors) / 1e6])
    if name == "pixels":
        np.testing.assert_allclose(found["x_covariance"][:, 2], 72e-6**2, rtol=1e-13)


@pytest.mark.parametrize("number", ['["run", "event"]', '["evt"]'])
def test_the_recipe_leaves_out_the_wrong_tracks_of_their_run(number, tmp_path, monkeypatch):
    """Event 2 of run 8 has a wrong track, and event 2 of run 9 a right one."""
    monkeypatch.chdir(tmp_path)
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = number.strip("[]").replace('"', "").replace(" ", "")
    runs = ["8", "9"] if "run" in names else [""]
    of = {(run, event): f"{run},{event}".strip(",") for run in runs for event in range(4)}
    chi2 = {each: 80.0 if each == of[runs[0], 2] else 2.5 for each in of.values()}
    x = {each: f"{0.1 / (3 + index)!r}" for index, each in enumerate(of.values())}
    Path("tracks.csv").write_text(f"{names},chi2,ndf\n" + "".join(f"{each},{chi2[each]},3\n" for each in chi2))
    Path("noisy.csv").write_text(f"plane,{names},x\n" + "".join(f"T1,{each},{x[each]}\n" for each in x))
    exec(recipe.replace('["run", "event"]  # or ["evt"]', number), {})
    left = [f"T1,{each},{x[each]}" for each in x if chi2[each] == 2.5]
    assert Path("clean.csv").read_text().splitlines() == [f"plane,{names},x", *left]
