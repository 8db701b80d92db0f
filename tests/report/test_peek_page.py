import re
import subprocess
import sys
from contextlib import nullcontext
from math import nan

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot
import yaml

from pullback.cli import main
from pullback.config.source_schema import Recorded
from pullback.config.text import check_files
from pullback.errors import ConfigError, HitsError
from pullback.hits.hits_file import source_of
from pullback.hits.peek import peek
from pullback.report.peek_page import peek_page
from pullback.steps.common import hits_file
from pullback.study.plan import Study


def filled(page):
    """A page with values where it asks for them: mm, 0.1 mm, 1 m, and the heights of its example."""
    page = re.sub(r'FILL_IN(?=  # heights.* such as (".*? mm")$)', "HEIGHTS", page, flags=re.MULTILINE)
    page = re.sub(r'HEIGHTS(  # heights.* such as (".*? mm"))$', r"\2\1", page, flags=re.MULTILINE)
    for key, value in (("unit", "mm"), ("sigma", "0.1 mm"), ("dz", "1 m"), ("event", "number")):
        page = page.replace(f"{key}: FILL_IN", f"{key}: {value}")
    return page.replace(' FILL_IN"', ' mm"').replace(" FILL_IN  #", " mm  #")


def peeked(path, capsys, *arguments):
    """What the command prints, and the config in it after filling it in; the workflow accepts it as a config file.

    It is refused before, with the key of each value that is left.
    """
    main(["peek", path, *arguments])  # with status 0, since there is a config
    page = capsys.readouterr().out
    with open("my.yaml", "w", encoding="utf-8") as stream:
        stream.write(page)
    check_files(["my.yaml"])
    if raw := yaml.safe_load(page):
        left = re.findall(r"^  (\w+): .*FILL_IN", page, flags=re.MULTILINE)
        with pytest.raises(ConfigError) if left else nullcontext() as caught:
            Study.from_config(raw)
        lines = str(caught.value).splitlines() if left else []
        assert [re.match(r"config: \w+\.(\w+): is to be filled in", line)[1] for line in lines] == left
    found = filled(page)
    assert not raw or "FILL_IN" not in found[found.index("\nstudy:") :]
    return page, yaml.safe_load(found)


def without_config(path):
    """Run the command, which fails, since there is no config to start from."""
    with pytest.raises(SystemExit) as stopped:
        main(["peek", path])
    assert stopped.value.code == f"pullback: {path}: no config is written; the description says why"


def hits_of(raw):
    """The hits (muon, coordinate) that a study of a config reads, m."""
    study = Study.from_config(raw)
    (batch,) = study.batches.values()
    (part,) = batch.of_kind("reco").parts
    return np.concatenate([block.hits for block in hits_file(part).blocks(part.start, part.stop)])


COLUMNS = {f"{axis}_{layer}": np.arange(6.0) * (layer + 1) + (axis == "y") for axis in "xy" for layer in range(3)}
IN_METRES = np.stack([*COLUMNS.values()], axis=1) / 1000


def write(path):
    if path.endswith(".parquet"):
        pa.parquet.write_table(pa.table({"n": np.arange(6), **COLUMNS}), path)
    elif path.endswith(".root"):
        with uproot.recreate(path) as file:
            file["events"], file["other"] = COLUMNS, {"n": np.arange(9)}
    elif path.endswith(".h5"):
        with h5py.File(path, "w") as file:
            file["hits"] = np.rec.fromarrays([*COLUMNS.values()], names=[*COLUMNS])
            file["other"] = np.zeros(9, [("a", "f8")])
    else:
        rows = [",".join(COLUMNS), *(",".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True))]
        with pa.output_stream(path, compression="gzip" if path.endswith("gz") else None) as stream:
            stream.write("\n".join(rows).encode())
    return path


@pytest.mark.parametrize("path", ["a b.csv", "hits.csv.gz", "1: hits.parquet", "hits.h5", "#hits.root", "münze.csv"])
def test_the_config_to_start_from_reads_the_file(path, capsys):
    page, raw = peeked(write(path), capsys)
    assert raw["source"]["file"] == path
    assert raw["model"]["name"] == "track3d"
    np.testing.assert_allclose(hits_of(raw), IN_METRES, rtol=1e-14)
    assert "unit: FILL_IN  # unit of the positions: m, cm, mm, um\n" in page
    assert 'z: FILL_IN  # heights of x_0, x_1, x_2, such as "[0, 100, 200] mm"\n' in page
    assert "sigma: FILL_IN  # resolution of the hits, such as 0.1 mm" in page


def test_lists_uncertainties_units_and_heights_of_a_file(capsys):
    lists = pa.list_(pa.float64(), 3)
    schema = pa.schema([pa.field(name, lists, metadata={"units": "cm"}) for name in ("hit_x", "hit_ex", "hit_z")])
    rows = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0.1, 0.2, 0.3]] * 2, [[90.0, 50.5, -20.0]] * 2]
    pa.parquet.write_table(pa.table([pa.array(each, lists) for each in rows], schema=schema), "hits.parquet")
    page, raw = peeked("hits.parquet", capsys)
    assert raw["source"] == {
        "kind": "recorded",
        "file": "hits.parquet",
        "unit": "cm",
        "columns": {f"x{i}": f"hit_x[{i}]" for i in range(3)},
        "sigma": {f"x{i}": f"hit_ex[{i}]" for i in range(3)},
    }
    assert raw["model"] == {"name": "track", "z": "[90, 50.5, -20] cm"}
    assert raw["detector"] == {"sigma": "0.2 cm"}
    assert "sigma: 0.2 cm  # guessed, of hits without one in the file: the median there" in page
    assert "FILL_IN" not in page
    assert "# A config to start from: check it.\n" in page
    np.testing.assert_allclose(hits_of(raw), np.array(rows[0]) / 100, rtol=1e-14)


LIST = {"evt_id": [7, 7, 3, 3], "plane": [2, 1, 1, 2], "x": [2.0, 1.0, 3.0, 4.0], "x_err": [0.5] * 4}


@pytest.mark.parametrize("path", ["hits.csv.gz", "hits.parquet", "hits.h5"])
def test_a_list_of_hits_is_read_as_suggested(path, capsys):
    if path == "hits.h5":
        with h5py.File(path, "w") as file:
            file["list"] = np.rec.fromarrays([np.array(each) for each in LIST.values()], names=[*LIST])
            file["other"] = np.zeros(1, [("a", "f8")])
    elif path == "hits.parquet":
        pa.parquet.write_table(pa.table(LIST), path)
    else:
        rows = [",".join(LIST), *(",".join(map(str, row)) for row in zip(*LIST.values(), strict=True))]
        with pa.output_stream(path, compression="gzip") as stream:
            stream.write("\n".join(rows).encode())
    page, raw = peeked(path, capsys)
    assert "# layout: long, one row per hit, 2 layers" in page
    assert {key: raw["source"][key] for key in ("layout", "event", "layer", "x", "layers", "several")} == {
        "layout": "long", "event": "evt_id", "layer": "plane", "x": "x", "layers": [1, 2], "several": "refuse",
    }  # fmt: skip
    np.testing.assert_allclose(hits_of(raw), [[0.001, 0.002], [0.003, 0.004]], rtol=1e-14)


def test_jagged_lists_of_hits_are_read_as_suggested(capsys):
    lists = {"layer": [[0, 1], [], [1]], "x": [[1.0, 2.0], [], [3.0]], "y": [[4.0, 5.0], [], [6.0]]}
    pa.parquet.write_table(pa.table(lists), "hits.parquet")
    raw = peeked("hits.parquet", capsys)[1]
    assert "event" not in raw["source"]
    np.testing.assert_allclose(hits_of(raw) * 1000, [[1, 2, 4, 5], [nan] * 4, [nan, 3, nan, 6]], rtol=1e-14)


HITS = [(7, "up", 1.0, 2.0), (7, "mid", 3.0, 4.0), (7, "low", 5.0, 6.0), (9, "low", 7.0, 8.0), (9, "up", 9.0, 10.0)]
"""Event, layer, x and y in mm."""

OF_HITS = [[5.0, 3.0, 1.0, 6.0, 4.0, 2.0], [7.0, np.nan, 9.0, 8.0, np.nan, 10.0]]
"""The same by muon, in mm: x and y in low, mid and up."""

Z = {"low": -20.0, "mid": 1.5, "up": 30.0}


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
@pytest.mark.parametrize("titles", ["event_id,layer,x,y,z", "Evt,Plane,hit_X,hit_Y,hit_Z"])
def test_a_list_of_hits(order, titles, capsys):
    rows = [",".join(map(str, (*HITS[row], Z[HITS[row][1]]))) for row in order]
    with open("hits.csv", "w") as stream:
        stream.write("\n".join([titles, *rows]) + "\n")
    page, raw = peeked("hits.csv", capsys)
    assert raw["source"]["layers"] == ["low", "mid", "up"]
    assert raw["model"] == {"name": "track3d", "z": "[-20, 1.5, 30] mm"}
    found = hits_of(raw)
    np.testing.assert_array_equal(found[np.argsort(-np.isfinite(found).sum(axis=1))], np.array(OF_HITS) / 1000)
    assert "layout: long, one row per hit, 3 layers" in page


@pytest.mark.parametrize("kind", ["parquet", "root"])
def test_jagged_lists_of_hits(kind, capsys):
    numbers = {"low": 3, "mid": 5, "up": 12}
    events = [[hit for hit in HITS if hit[0] == event] for event in (7, 9)]
    columns = {
        "layer": [[numbers[layer] for _, layer, _, _ in hits] for hits in events],
        "x": [[x for _, _, x, _ in hits] for hits in events],
        "y": [[y for _, _, _, y in hits] for hits in events],
        "ex": [[0.5 for _ in hits] for hits in events],
    }
    path = f"hits.{kind}"
    if kind == "root":
        with uproot.recreate(path) as file:
            file["events"] = {name: ak.Array(values) for name, values in columns.items()}
    else:
        pa.parquet.write_table(pa.table(columns), path)
    page, raw = peeked(path, capsys)
    assert raw["source"]["layers"] == [3, 5, 12]
    assert raw["source"]["sigma"] == {"x": "ex"}
    assert "event" not in raw["source"]
    np.testing.assert_array_equal(hits_of(raw), np.array(OF_HITS) / 1000)
    assert "one row per muon, with lists of hits" in page


LOCAL = {
    "evt": [5, 5, 2, 2],
    "Plane": [1, 0, 0, 1],
    "loc0": [1.0, 2.0, 3.0, 4.0],
    "loc1": [5.0, 6.0, 7.0, 8.0],
    "var0": [0.04] * 4,
    "var1": [0.01, 0.01, 0.01, 0.09],
    "cov01": [0.0, 0.01, -0.01, 0.0],
}
"""Hits with positions local to their planes, mm, and their covariances, mm²."""


@pytest.mark.parametrize("path", ["hits.csv", "hits.parquet", "hits.h5"])
def test_a_list_of_local_positions_with_variances(path, capsys):
    if path == "hits.h5":
        with h5py.File(path, "w") as file:
            file["hits"] = np.rec.fromarrays([np.array(each) for each in LOCAL.values()], names=[*LOCAL])
    elif path == "hits.parquet":
        pa.parquet.write_table(pa.table(LOCAL), path)
    else:
        rows = [",".join(LOCAL), *(",".join(map(str, row)) for row in zip(*LOCAL.values(), strict=True))]
        with open(path, "w") as stream:
            stream.write("\n".join(rows) + "\n")
    page, raw = peeked(path, capsys)
    source = raw["source"]
    assert (source["event"], source["layer"], source["x"], source["y"]) == ("evt", "Plane", "loc0", "loc1")
    assert source["covariance"] == {"x,x": "var0", "y,y": "var1", "x,y": "cov01"}
    np.testing.assert_allclose(hits_of(raw) * 1000, [[2, 1, 6, 5], [3, 4, 7, 8]], rtol=1e-14)
    assert "sigma: 0.2 FILL_IN  # guessed" in page  # of 0.2 four times, 0.1 three times and 0.3 once


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        ("evt,plane,x,y,ex,var_y,cov_xy", {"y,y": "var_y", "x,y": "cov_xy"}),
        ("evt,plane,x,y,ex,ey,cov_xy", {"x,y": "cov_xy"}),
        ("evt,plane,x,y,ex,other,cov_xy", None),
        ("evt,plane,x,u,var_x,var_y,cov_xy", {"x,x": "var_x"}),
    ],
)
def test_variances_are_those_of_views_without_uncertainties(titles, expected, capsys):
    with open("hits.csv", "w") as stream:
        stream.write(f"{titles}\n1,0,1,2,0.1,0.2,0\n1,1,3,4,0.1,0.2,0\n")
    assert peeked("hits.csv", capsys)[1]["source"].get("covariance") == expected


PARTICLES = {
    "particle_id": ["4503599644147712", "4503599660924928"],
    "particle_id_pv,particle_id_sv,particle_id_part,particle_id_gen,particle_id_subpart": ["1,0,1,0,0", "2,0,1,0,0"],
}
"""Numbers of two particles in one column, and in five, as ACTS writes them."""


@pytest.mark.parametrize("particle", PARTICLES)
def test_hits_of_acts(particle, capsys):
    surfaces = [2**56 + (2 * layer + 2) * 2**36 + 256 for layer in range(3)]
    rows = [
        f"{number},{surface},{muon},{-layer},{30 * layer}"
        for layer, surface in enumerate(surfaces)
        for muon, number in enumerate(PARTICLES[particle])
    ]
    with open("event000000000-hits.csv", "w") as stream:
        stream.write("\n".join([f"{particle},geometry_id,tx,ty,tz", *rows]) + "\n")
    _, raw = peeked("event000000000-hits.csv", capsys)
    assert raw["source"]["preset"] == "acts_hits"
    assert raw["source"]["layers"] == surfaces
    assert raw["source"].get("event", "particle_id") == (particle.split(",") if "," in particle else particle)
    assert raw["model"] == {"name": "track3d", "z": "[0, 30, 60] mm"}
    np.testing.assert_array_equal(hits_of(raw) * 1000, [[0, 0, 0, 0, -1, -2], [1, 1, 1, 0, -1, -2]])


def test_two_trackers_are_those_of_scattering(capsys):
    names = [f"{axis}{layer}" for layer in range(6) for axis in "XYZ"]
    heights = [600, 500, 400.25, -400, -500, -600]
    rows = [[value for z in heights for value in (muon, muon + 0.5, z)] for muon in range(4)]
    np.savetxt("hits.csv", rows, delimiter=",", header=",".join(names), comments="")
    page, raw = peeked("hits.csv", capsys)
    assert raw["source"] == {"kind": "recorded", "file": "hits.csv", "preset": "muograph"}
    assert raw["model"] == {"name": "scatter", "z_upper": "[600, 500, 400.25] mm", "z_lower": "[-400, -500, -600] mm"}
    assert "preset: muograph" in page.split("study:")[0]
    hits = hits_of(raw)
    np.testing.assert_allclose(hits[2], [0.002] * 6 + [0.0025] * 6, rtol=1e-14)


@pytest.mark.parametrize("heights", [[-1, -2, -9, -10], [1, 2, 3, 4], [4, 3, 2, 1], [-10, -9, 9, 10], [9, 8, 7, -9]])
def test_layers_without_a_gap_or_from_below_are_one_track(heights, capsys):
    names = [f"{axis}{layer}" for layer in range(4) for axis in "XYZ"]
    np.savetxt(
        "hits.csv", [[v for z in heights for v in (0, 1, z)]], delimiter=",", header=",".join(names), comments=""
    )
    page, raw = peeked("hits.csv", capsys)
    upper = heights == [-1, -2, -9, -10]
    assert ("guessed: two trackers, by a gap between the layers;" in page) == upper
    assert raw["model"]["name"] == ("scatter" if upper else "track3d")
    Study.from_config(raw)


def test_one_position(capsys):
    with open("hits.csv", "w") as stream:
        stream.write("x\n0.5\n\n0.25\n")
    _, raw = peeked("hits.csv", capsys)
    assert raw["model"]["name"] == "one_hit"
    np.testing.assert_array_equal(hits_of(raw), [[0.0005], [np.nan], [0.00025]])


def test_the_table_with_most_layers_is_taken_unless_one_is_named(capsys):
    with h5py.File("hits.h5", "w") as file:
        file["a"] = np.zeros(9, [("x0", "f8"), ("x1", "f8")])
        file["b"] = np.zeros(3, [("x0", "f8"), ("x1", "f8"), ("x2", "f8")])
    assert peeked("hits.h5", capsys)[1]["source"]["table"] == "b"
    page, raw = peeked("hits.h5", capsys, "--table", "a")
    assert raw["source"]["table"] == "a"
    assert "'b'" not in page


def test_events_are_kept_and_a_selection_is_suggested(capsys):
    rows = np.zeros(
        3,
        [(name, "f8") for name in ("x_dut_0", "y_dut_0", "x_dut_1", "y_dut_1", "n_tracks")] + [("event_number", "i8")],
    )
    rows["n_tracks"] = [1, 2, 1]
    with h5py.File("Tracks.h5", "w") as file:
        file["TrackCandidates"] = rows
    page, raw = peeked("Tracks.h5", capsys)
    assert raw["source"] == {
        "kind": "recorded",
        "file": "Tracks.h5",
        "preset": "testbeam_analysis",
        "keep": ["event_number"],
    }
    assert len(hits_of(raw)) == 3
    assert len(hits_of(yaml.safe_load(filled(page).replace("# select:", "select:")))) == 2


@pytest.mark.parametrize(
    ("event", "kept"), [("evt_id", ["evt_id"]), ("Muon ID", ["Muon ID"]), ("muon", []), ("charge", [])]
)
def test_a_column_of_a_reserved_name_is_not_kept(event, kept, capsys):
    with open("hits.csv", "w") as stream:
        stream.write(f"{event},x0,x1\n1,2,3\n")
    _, raw = peeked("hits.csv", capsys)
    assert raw["source"].get("keep", []) == kept
    np.testing.assert_array_equal(hits_of(raw), [[0.002, 0.003]])


def test_what_is_said_of_columns(capsys):
    with open("hits.csv", "w") as stream:
        stream.write("x0 [mm],note\n1.23456789,a\nnan," + "b" * 90 + "\n,c\n")
    lines = peeked("hits.csv", capsys)[0].splitlines()
    assert lines[0] == "# hits.csv: CSV"
    assert lines[2] == "# 3 rows"
    assert [line.split() for line in lines[3:6]] == [
        ["#", "column", "kind", "unit", "missing", "in", "3", "row", "1", "row", "2", "row", "3"],
        ["#", "x0", "[mm]", "float64", "mm", "2", "1.234568", "nan", "-"],
        ["#", "note", "text", "-", "0", "a", "b" * 24 + "…", "c"],
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a,b", "no columns look like the positions of hits"),
        ("a,b", "source: {kind: recorded, file: …, unit: mm, layout: long, event: …, layer: …, x: …, y: …}"),
        ("plane,loc0,loc1", "no columns look like the positions of hits"),
        ("evt,loc0,loc1", "no columns look like the positions of hits"),
        ("measurement_id,geometry_id,local_key,local0,local1", "an ACTS measurement file holds positions local"),
        (",".join(f"x{layer}" for layer in range(33)), "33 columns of positions look like layers, and a model has at"),
    ],
)
def test_no_config_is_made_up(header, expected, capsys):
    with open("hits.csv", "w") as stream:
        stream.write(header + "\n" + ",".join("1" * (header.count(",") + 1)) + "\n")
    without_config("hits.csv")
    page = capsys.readouterr().out
    assert expected in page
    assert all(line.startswith("#") for line in page.splitlines())


def test_a_table_without_rows(capsys):
    pa.parquet.write_table(pa.table({"x0": pa.array([], pa.float64()), "x1": pa.array([], pa.float64())}), "no.parquet")
    assert "no rows: a study needs some" in peeked("no.parquet", capsys)[0]


def test_a_name_with_a_line_break_stays_a_comment(capsys):
    pa.parquet.write_table(pa.table({"x0\nstudy: evil": [1.0], "x1": [2.0], "x2": ["a\nb"]}), "hits.parquet")
    page, raw = peeked("hits.parquet", capsys)
    assert raw is None or raw["study"] == "hits"
    assert "\nstudy: evil" not in page


def test_the_command_ends_in_one_line_and_status_1_without_a_file():
    command = [sys.executable, "-m", "pullback", "peek", "none.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "pullback: none.csv: no such file\n")


def test_the_study_is_named_after_the_file(capsys):
    for path, name in (("1.csv", "1"), ("_a b.v2.csv", "a_b"), ("ü.csv", "my_study"), ("yes.csv", "yes")):
        with open(path, "w") as stream:
            stream.write("x\n1\n")
        assert peeked(path, capsys)[1]["study"] == name


def test_a_page_needs_no_torch():
    script = "import sys\nfrom pullback.cli import main\nmain(['peek', 'hits.csv'])\nprint('torch' in sys.modules)"
    with open("hits.csv", "w") as stream:
        stream.write("x0,x1\n1,2\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_a_large_file_with_a_wide_head_is_shown_in_time():
    with open("hits.csv", "w") as stream:
        stream.write("event,layer,x\n" + "".join(f"{row // 3},{row % 3},1.5\n" for row in range(300_000)))
    assert "layers: [0, 1, 2]" in peek_page(peek("hits.csv"))


ARMS = [
    ("up_{}{}", "low_{}{}"),
    ("{}_upper_{}", "{}_lower_{}"),
    ("{}_in{}", "{}_out{}"),
    ("top{1}_{0}", "bottom{1}_{0}"),
]


def arms(patterns, heights, views="xy"):
    """Columns of two trackers: the number of the column as its value, and z where there are heights."""
    columns, counts = {}, (3, 2)
    for view in views:
        for pattern, count in zip(patterns, counts, strict=True):
            columns |= {pattern.format(view, i): np.arange(2.0) + len(columns) + i for i in range(count)}
    for pattern, of_arm in zip(patterns, heights, strict=True):
        columns |= {pattern.format("z", i): np.full(2, z) for i, z in enumerate(of_arm)}
    return columns


@pytest.mark.parametrize("patterns", ARMS)
@pytest.mark.parametrize("order", [1, -1])
def test_two_trackers_by_their_names(patterns, order, capsys):
    columns = arms(patterns, ((), ()))
    pa.parquet.write_table(pa.table(dict([*columns.items()][::order])), "hits.parquet")
    page, raw = peeked("hits.parquet", capsys)
    assert raw["model"] == {"name": "scatter", "z_upper": "[400, 300, 200] mm", "z_lower": "[-200, -300] mm"}
    assert "guessed: two trackers, by their names" in page
    np.testing.assert_array_equal(hits_of(raw), np.stack([*columns.values()], axis=1) / 1000)


@pytest.mark.parametrize(("first", "second"), [((9, 8, 7), (-7, -8)), ((-9, -8, -7), (7, 8)), ((9, 8, 7), (7.5, 6))])
def test_the_higher_tracker_comes_first(first, second, capsys):
    columns = arms(ARMS[2], (first, second))
    pa.parquet.write_table(pa.table(columns), "hits.parquet")
    raw = peeked("hits.parquet", capsys)[1]
    names = [*columns][: 2 * 5]
    if first[0] == -9:
        names = [names[i] for i in (3, 4, 0, 1, 2, 8, 9, 5, 6, 7)]
        assert raw["model"] == {"name": "scatter", "z_upper": "[7, 8] mm", "z_lower": "[-9, -8, -7] mm"}
    elif second[0] < first[-1]:
        assert raw["model"] == {"name": "scatter", "z_upper": "[9, 8, 7] mm", "z_lower": "[-7, -8] mm"}
    else:
        assert raw["model"] == {"name": "track3d", "z": "[9, 8, 7, 7.5, 6] mm"}
    np.testing.assert_array_equal(hits_of(raw), np.stack([columns[name] for name in names], axis=1) / 1000)


def test_two_trackers_with_one_view_are_one_track(capsys):
    pa.parquet.write_table(pa.table(arms(ARMS[0], ((), ()), views="x")), "hits.parquet")
    raw = peeked("hits.parquet", capsys)[1]
    assert raw["model"]["name"] == "track"
    assert hits_of(raw).shape == (2, 5)


def test_positions_that_are_not_used_are_named(capsys):
    with open("hits.csv", "w") as stream:
        stream.write("a_x0,a_x1,a_x2,b_x0,b_x1\n1,2,3,4,5\n")
    page, raw = peeked("hits.csv", capsys)
    assert "# not used, though named like positions: b_x0, b_x1\n" in page
    assert [*raw["source"]["columns"].values()] == ["a_x0", "a_x1", "a_x2"]
    with open("hits.csv", "w") as stream:
        stream.write("top_x,bottom_x,top_y,x_true,x_err\n1,2,3,4,5\n")
    page, raw = peeked("hits.csv", capsys)
    assert "# not used, though named like positions: bottom_x, top_y\n" in page
    with open("hits.csv", "w") as stream:
        stream.write("event,station,plane,x,charge\n1,1,0,2,5\n1,1,1,3,6\n")
    page, raw = peeked("hits.csv", capsys)
    assert "# not used, though named like layers: station\n" in page
    assert "not used" not in peeked(write("few.csv"), capsys)[0]


def test_units_that_do_not_fit_are_told(capsys):
    for titles, said in (("x0 [inch],x1 [inch]", "inch"), ("x0_mm,x1_um", "mm, um"), ("x0 (mm),x1", "mm")):
        with open("hits.csv", "w") as stream:
            stream.write(f"{titles}\n1,2\n")
        page = peeked("hits.csv", capsys)[0]
        assert f"unit: FILL_IN  # unit of the positions: m, cm, mm, um; the file says {said}\n" in page


def test_a_list_of_hits_without_events_asks_for_them(capsys):
    with open("hits.csv", "w") as stream:
        stream.write("number,hit_plane,x\n1,0,2\n1,1,3\n2,0,4\n")
    page, raw = peeked("hits.csv", capsys)
    assert "event: FILL_IN  # the column, or the columns, that number the events" in page
    assert "layout: long, one row per hit, 2 layers" in page
    np.testing.assert_array_equal(hits_of(raw), [[0.002, 0.003], [0.004, nan]])


@pytest.mark.parametrize("both", [False, True])
def test_the_fixed_format_of_pandas(both, capsys):
    with h5py.File("hits.h5", "w") as file:
        group = file.create_group("old/hits")
        group.attrs["pandas_type"] = np.bytes_("frame")
        group["axis0"] = group["block0_items"] = np.array([*COLUMNS], "S3")
        group["axis1"], group["block0_values"] = np.arange(6), np.stack([*COLUMNS.values()], axis=1)
        if both:
            file["new"] = np.rec.fromarrays([*COLUMNS.values()], names=[*COLUMNS])
    line = "'old/hits' is in the fixed format of pandas, which is not read: write it by to_hdf(…, format=\"table\")"
    if both:
        page, raw = peeked("hits.h5", capsys)
        np.testing.assert_allclose(hits_of(raw), IN_METRES, rtol=1e-14)
    else:
        without_config("hits.h5")
        page = capsys.readouterr().out
        assert "no config: nothing else is in the file" in page
        source = Recorded(file="hits.h5", columns={"x": "x_0"})
        with pytest.raises(HitsError) as caught:
            source_of(source, ("x",)).count_muons()
        assert str(caught.value) == f"hits.h5: {line}"
    assert f"# {line}\n" in page
    assert "block0" not in page


def test_fields_of_records_are_columns(capsys):
    hits = [[{"plane": 1, "x": 2.0}, {"plane": 0, "x": 1.0}], [], [None, {"plane": 1, "x": None}]]
    kind = pa.list_(pa.struct([("plane", pa.int32()), ("x", pa.float64())]))
    pa.parquet.write_table(pa.table({"hits": pa.array(hits, kind)}), "hits.parquet")
    main(["peek", "hits.parquet"])
    page = capsys.readouterr().out
    lines = [re.split("  +", line) for line in page.splitlines() if "hits." in line and line.startswith("#   ")]
    assert lines == [
        ["#", "hits.plane", "jagged list of int32", "-", "1", "[1, 0]", "[]", "[-, 1]"],
        ["#", "hits.x", "jagged list of float64", "-", "2", "[2, 1]", "[]", "[-, -]"],
    ]
    source = yaml.safe_load(page)["source"]
    assert {key: source[key] for key in ("layout", "layer", "x", "layers")} == {
        "layout": "long", "layer": "hits.plane", "x": "hits.x", "layers": [0, 1],
    }  # fmt: skip


def test_records_of_root_are_named(capsys):
    with uproot.recreate("hits.root") as file:
        file.mkrntuple("t", {"hit": ak.Array([[{"plane": 1, "x": 2.0}], []])})
    without_config("hits.root")
    assert "  hit     jagged list of records of plane, x  -  " in capsys.readouterr().out


def test_a_preset_knows_its_units(capsys):
    names = [f"{axis}{error}_dut_{i}" for axis in "xyz" for error in ("", "err") for i in range(2)]
    with h5py.File("Tracks.h5", "w") as file:
        file["TrackCandidates"] = np.zeros(1, [(name, "f8") for name in (*names, "event_number", "charge_dut_0")])
    lines = [line.split() for line in peeked("Tracks.h5", capsys)[0].splitlines()]
    units = {line[1]: line[3] for line in lines if "float64" in line}
    assert units == {**dict.fromkeys(names, "um"), "event_number": "-", "charge_dut_0": "-"}


def test_lists_whose_names_say_nothing_are_named_in_the_long_layout(capsys):
    pa.parquet.write_table(pa.table({"q": [[1.0], [2.0, 3.0]], "w": [[1], [2, 3]]}), "lists.parquet")
    without_config("lists.parquet")
    page = capsys.readouterr().out
    assert "no config: no columns look like positions and layers of hits; name those with lists of hits, as in" in page
    assert "source: {kind: recorded, file: …, unit: mm, layout: long, layer: …, x: …}" in page
    assert "columns:" not in page


def test_what_is_guessed_says_so(tmp_path):
    rows = [f"{event},{'abc'[plane]},{event},0.5" for event in range(30) for plane in range(3)]
    (tmp_path / "hits.csv").write_text("\n".join(["Nr,Ebene,x,strip_y", *rows, ""]))
    page = peek_page(peek(str(tmp_path / "hits.csv")))
    assert "# layout: long, one row per hit, 3 layers; guessed, since Ebene has few values in many rows\n" in page
    assert "\n  layer: Ebene  # guessed, by its few values\n" in page
    (tmp_path / "hits.csv").write_text("x,y\n0.5,1.5\n")
    page = peek_page(peek(str(tmp_path / "hits.csv")))
    assert "# layout: wide, one row per muon, 1 layer; guessed, since no column is named like layers; if " in page
    assert "# not used, though named like positions: y\n" in page


def test_the_number_of_a_strip_needs_the_pitch(tmp_path):
    (tmp_path / "hits.csv").write_text("trigger,station,strip\n1,A,17\n1,B,19\n")
    page = peek_page(peek(str(tmp_path / "hits.csv")))
    assert "\n  x: {column: strip, scale: FILL_IN}  # the pitch of the strips, such as 80 um\n" in page
    with pytest.raises(ConfigError, match=r"source\.x\.scale"):
        Study.from_config(yaml.safe_load(page))
