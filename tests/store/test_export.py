import json
import os
import re
import shutil
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import uproot
import xarray
from hit_files import write
from running import PROJECT, Run, files_in

from pullback.cli import main
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits.hits_file import source_of
from pullback.store import artefact, export, export_fields
from pullback.store.columns import FLAG_COMMENT, FLAG_WORDS, FLAGS
from pullback.store.study_file import open_study
from pullback.study.blocks import BLOCK

MUONS = BLOCK + 500
CONFIG = {
    "study": "s",
    "source": {"kind": "simulated", "muons": MUONS},
    "toys": {"muons": 12, "per_muon": 200},
    "compute": {"batch_cost": 1_500_000},  # two batches a point, so that blocks are read across files
}
KINDS = ("parquet", "root", "csv")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of one point with two blocks, in two batches."""
    run = Run(CONFIG, tmp_path_factory.mktemp("one")).make()
    assert len(run.study.batches) > 1
    return run.folder / "study.h5"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A small study of two points."""
    raw = {**CONFIG, "source": {"kind": "simulated", "muons": 30}, "scan": {"detector.resolution": [50, 100]}}
    return Run(raw, tmp_path_factory.mktemp("two")).make().folder / "study.h5"


def table(path):
    """What is in an exported table, by column."""
    path = Path(path)
    if path.suffix == ".parquet":
        read = pa.parquet.read_table(path)
    elif path.suffix == ".csv":
        read = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(null_values=[]))
    else:
        import uproot

        with uproot.open(path) as file:
            return file["muons"].arrays(library="np")
    return {name: read.column(name).to_numpy() for name in read.column_names}


def columns(study, group):
    """The columns of a group of a study."""
    with open_study(study) as reader:
        return {
            name.rsplit("/", 1)[1]: reader.rows(name)
            for name, _ in reader.columns(group)
            if name.rsplit("/", 1)[0] == group
        }


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_is_there_exactly(study, kind):
    there = columns(study, "nominal")
    path, rows, count = export.export(study, kind, columns=["all"], output=f"out.{kind}", units="si")
    assert path == Path(f"out.{kind}")
    found = table(path)
    expected = {}
    for name, values in there.items():
        match values.ndim, name[:5]:
            case 1, _:
                expected[name] = values
            case 2, "inter" | "confi":
                expected |= {f"{name}_low": values[:, 0], f"{name}_high": values[:, 1]}
            case _:
                expected[f"{name}_x"] = values[:, 0]
    assert {"x_true_x", "x_reco_x", "theta", "sigma_theta", "interval95_theta_high", "flag_theta"} < set(expected)
    order = "x_reco_x theta sigma_theta confidence68_theta_low confidence68_theta_high confidence95_theta_low "
    order += "confidence95_theta_high interval68_theta_low interval68_theta_high interval95_theta_low "
    order += "interval95_theta_high flag_theta linear_valid_theta sigma_theta_linear bias_theta distance_theta "
    order += "x_true_x theta_true sigma_theta_linear_true distance_theta_true"
    assert list(found) == ["muon", *order.split()]
    assert {*found} == {"muon", *expected}
    np.testing.assert_array_equal(found["muon"], np.arange(MUONS))
    assert (rows, count) == (MUONS, 1 + len(expected))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        # CSV doesn't say whether whole numbers can be negative.
        assert found[name].dtype.kind == values.dtype.kind or (kind, values.dtype.kind) == ("csv", "u"), name


@pytest.mark.parametrize("kind", KINDS)
def test_toys_are_a_table_of_their_own(scan, kind):
    path, rows, _ = export.export(scan, kind, point="detector.resolution=50", table="toys", units="si")
    assert path == scan.with_name(f"detector.resolution=50.toys.{kind}")
    found, there = table(path), columns(scan, "detector.resolution=50/toys")
    assert rows == 12
    for name in ("muon", "toy_count", "toy_sd_theta"):
        np.testing.assert_array_equal(found[name], there[name])
    np.testing.assert_array_equal(found["toy_interval68_theta_high"], there["toy_interval68_theta"][:, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_can_be_read_as_recorded_hits(study, kind):
    path, _, count = export.export(study, kind, columns=["x_reco", "sigma_theta"], output=f"hits.{kind}", units="si")
    assert count == 2
    section = Recorded(file=str(path), columns={"x": "x_reco_x"}, sigma={"x": "sigma_theta"})
    file = source_of(section, ("x",))
    assert file.count_muons() == MUONS
    there = columns(study, "nominal")
    blocks = list(file.blocks(0, MUONS))
    np.testing.assert_array_equal(np.concatenate([block.hits for block in blocks]), there["x_reco"])
    np.testing.assert_array_equal(np.concatenate([b.covariance for b in blocks])[:, 0], there["sigma_theta"] ** 2)


def test_parquet_knows_its_units(study):
    path, *_ = export.export(study, "parquet", output="out.parquet", units="si")
    schema = pa.parquet.read_schema(path)
    field = schema.field("x_reco_x").metadata
    assert field[b"units"] == b"m"
    assert field[b"long_name"].startswith(b"recorded position")
    assert field[b"long_name"].endswith(b", coordinate x")
    assert schema.field("confidence68_theta_low").metadata[b"units"] == b"rad"
    assert schema.metadata[b"point"] == b"nominal"
    flags = schema.field("flag_theta").metadata[b"comment"].decode()
    assert flags == FLAG_COMMENT
    assert "; 16 (no_standard_deviation): " in flags
    assert b"comment" not in field


def test_root_knows_its_units(study):
    path, *_ = export.export(study, "root", output="out.root")
    with uproot.open(path) as file:
        *lines, flags = str(file["columns"]).splitlines()
        assert [line.split("\t")[0] for line in lines] == file["muons"].keys()
    assert "sigma_theta_mrad\tmrad\tstandard uncertainty of the angle from the vertical" in lines
    assert flags == FLAG_COMMENT


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_same_bytes_again(study, kind):
    first = export.export(study, kind, output=f"first.{kind}").path.read_bytes()
    assert export.export(study, kind, output=f"second.{kind}").path.read_bytes() == first


def test_numbers_that_are_not_finite_survive(study, monkeypatch):
    rows = artefact.Reader.rows

    def holed(self, name, start=0, stop=None):
        values = rows(self, name, start, stop)
        if name.endswith("/theta"):
            values[:4] = [np.nan, np.inf, -np.inf, 5e-324]
        return values

    monkeypatch.setattr(artefact.Reader, "rows", holed)
    for kind in KINDS:
        path, *_ = export.export(study, kind, columns=["theta"], output=f"out.{kind}", units="si")
        np.testing.assert_array_equal(table(path)["theta"][:4], [np.nan, np.inf, -np.inf, 5e-324])


OF_THETA = ["theta", "sigma_theta", "confidence68_theta_low", "confidence68_theta_high", "flag_theta"]


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_few_columns_are_there(study, kind):
    path, _, count = export.export(study, kind, output=f"out.{kind}", units="si")
    found = table(path)
    assert list(found) == ["muon", "x_reco_x", *OF_THETA, "linear_valid_theta"]
    assert count == len(found)
    np.testing.assert_array_equal(found["sigma_theta"], columns(study, "nominal")["sigma_theta"])
    header = list(table(export.export(study, kind, output=f"suited.{kind}").path))
    ends = ["confidence68_theta_low_rad", "confidence68_theta_high_rad"]
    flags = ["flag_theta", "linear_valid_theta"]
    assert header == ["muon", "x_reco_x_mm", "theta_rad", "sigma_theta_mrad", *ends, *flags]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["muons", "toys"])
def test_the_point_is_named_where_there_are_several(scan, kind, name):
    label = "detector.resolution=100"
    found = table(export.export(scan, kind, point=label, table=name, output=f"out.{kind}").path)
    assert list(found)[:2] == ["muon", "point"]
    assert {*found["point"]} == {label}


def test_with_digits_the_default_columns_are_the_same(scan):
    options = {"point": "detector.resolution=50"}
    exact = list(table(export.export(scan, output="exact.csv", **options).path))
    lines = export.export(scan, output="out.csv", **options, digits=2).path.read_text().splitlines()
    assert lines[0].split(",") == exact
    assert lines[1].startswith("0,detector.resolution=50,")


def test_all_stands_for_all_columns_wherever_it_is(study):
    every = list(table(export.export(study, output="all.csv", columns=["all"]).path))
    first = list(table(export.export(study, output="first.csv", columns=["sigma_theta", "all"]).path))
    assert first == ["sigma_theta_mrad", *(name for name in every if name != "sigma_theta_mrad")]


def test_columns_in_the_order_asked_for(study):
    path, *_ = export.export(study, "csv", columns=["theta", "interval68_theta", "theta"], output="out.csv", units="si")
    assert list(table(path)) == ["theta", "interval68_theta_low", "interval68_theta_high"]
    for name, advice in (
        ("sigma_thta", "did you mean sigma_theta or .*\\? "),
        ("other", ""),
        ("sigma_theta_mrads", "did"),
    ):
        with pytest.raises(PullbackError, match=f"study.h5: no column '{name}'; {advice}.*--list names all$"):
            export.export(study, "csv", columns=[name], output="no.csv")
    assert not Path("no.csv").exists()


def test_columns_by_their_names_with_units(study):
    names = ["sigma_theta_mrad", "x_reco_x [mm]", "theta_rad", "flag_theta"]
    path, *_ = export.export(study, columns=names, output="out.csv")
    assert list(table(path)) == ["sigma_theta_mrad", "x_reco_x_mm", "theta_rad", "flag_theta"]
    for name in ("sigma_theta_rad", "sigma_theta [µrad]"):
        said = re.escape(f"no column '{name}'; here it is sigma_theta_mrad, or write sigma_theta")
        with pytest.raises(PullbackError, match=f"study.h5: {said}$"):
            export.export(study, columns=[name], output="no.csv")
    with pytest.raises(PullbackError, match=r"study.h5: no column 'sigma_theta_mrad'; did you mean sigma_theta or"):
        export.export(study, columns=["sigma_theta_mrad"], units="si", output="no.csv")


def test_wrong_columns_are_told_before_the_kind_of_the_file(study):
    with pytest.raises(PullbackError, match=r"study.h5: no column 'other'"):
        export.export(study, columns=["other"])


def test_no_folder_is_made_for_a_table(study):
    with pytest.raises(PullbackError, match=r"^new/out.csv: there is no folder new; make it, or name another with"):
        export.export(study, output="new/out.csv")
    assert not Path("new").exists()


def test_the_short_name_of_the_output(study, capsys):
    main(["export", str(study), "--columns", "theta", "-o", "short.csv"])
    assert capsys.readouterr().out.startswith(f"short.csv: {MUONS} rows, 1 column")


def test_the_columns_are_listed(scan, capsys):
    main(["export", str(scan), "--list"])
    listed, flags, points = capsys.readouterr().out.split("\n\n")
    lines = listed.splitlines()
    options = {"point": "detector.resolution=50", "columns": ["all"], "units": "si"}
    path, _, count = export.export(scan, "csv", **options, output="out.csv")
    assert [line.split("\t")[0] for line in lines] == list(table(path))
    assert "sigma_theta\trad\tstandard uncertainty of the angle from the vertical" in lines
    assert len(lines) == count
    assert all(all(line.split("\t")) and line.count("\t") == 2 for line in lines)
    words = [f"{mask}\t{name}\t{FLAG_WORDS[name]}" for name, mask in FLAGS.items()]
    assert flags.splitlines() == ["bits of flag_…:", *words]
    assert points.splitlines() == [
        "points, for --point (all: all of them in one table):",
        "1\tdetector.resolution=50\tdetector.resolution = 50 /m",
        "2\tdetector.resolution=100\tdetector.resolution = 100 /m",
    ]
    main(["export", str(scan), "--list", "--table", "toys"])
    names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:3] == ["muon", "point", "toy_count"]
    assert "bits of flag_…:" not in names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["muons", "toys"])
def test_all_points_are_one_table(scan, kind, name):
    options = {"table": name, "columns": ["all"]}
    found = table(export.export(scan, kind, point="all", **options, output=f"all.{kind}").path)
    assert list(found)[:3] == ["detector_resolution_per_m", "muon", "point"]
    assert found["detector_resolution_per_m"].dtype == float or kind == "csv"
    singles = [
        table(export.export(scan, kind, point=point, **options, units="si", output=f"{point}.{kind}").path)
        for point in ("1", "2")  # in the order of the scan, which is not that of the labels
    ]
    rows = [len(each["muon"]) for each in singles]
    np.testing.assert_array_equal(found["detector_resolution_per_m"], np.repeat([50, 100], rows))
    si = table(export.export(scan, kind, point="all", **options, units="si", output=f"si.{kind}").path)
    assert list(si) == ["detector_resolution", *singles[0]]
    for column in singles[0]:
        np.testing.assert_array_equal(si[column], np.concatenate([each[column] for each in singles]), err_msg=column)


def test_all_points_with_digits_and_few_columns(scan):
    options = {"point": "all", "columns": ["detector.resolution", "muon", "theta"], "units": "si"}
    path, rows, columns = export.export(scan, output="out.csv", **options, digits=2)
    lines = path.read_text().splitlines()
    assert (lines[0], rows, columns, len(lines)) == ("detector_resolution,muon,theta", 60, 3, 61)
    assert lines[1].startswith("50.0,0,")
    assert lines[31].startswith("100.0,0,")


def test_small_points_are_written_together_and_large_ones_in_blocks(scan, study):
    pq = pa.parquet.ParquetFile(export.export(scan, point="all", output="all.parquet").path)
    assert pq.metadata.num_row_groups == 1
    assert pa.parquet.ParquetFile(export.export(study, output="one.parquet").path).metadata.num_row_groups == 2


def test_all_points_beside_the_study(copied):
    folder, _ = copied
    assert export.export(folder / "study.h5", "csv", point="all").path == folder / "all.csv"


def test_points_that_differ_are_no_table(scan, monkeypatch):
    stored = export_fields._stored

    def without(reader, label, table):
        fields, rows = stored(reader, label, table)
        return [each for each in fields if "100" not in label or each.name != "bias_theta"], rows

    monkeypatch.setattr(export_fields, "_stored", without)
    said = r"detector.resolution=50 and detector.resolution=100 differ in the column bias_theta; export one point"
    with pytest.raises(PullbackError, match=said):
        export.export(scan, "csv", point="all", columns=["all"], output="out.csv")
    export.export(scan, "csv", point="all", output="out.csv")


def test_a_kept_column_of_the_name_of_a_scanned_value(scan, monkeypatch):
    monkeypatch.setattr(export_fields, "plain", lambda name: "theta" if "resolution" in name else name)
    with pytest.raises(PullbackError, match="scanned value and the kept column theta share a name; export one"):
        export.export(scan, "csv", point="all", output="out.csv")


def test_the_kind_of_the_file_is_that_of_its_name(study):
    for name, kind in (("a.csv", "csv"), ("a.PQ", "parquet"), ("a.parquet", "parquet"), ("a.root", "root")):
        export.export(study, columns=["muon", "theta"], output=name)
        for other in {"csv", "parquet", "root"} - {kind}:
            with pytest.raises(PullbackError, match=f"{name}: is named as {kind}, and --format says {other}: leave"):
                export.export(study, other, output=name, force=True)
    assert Path("a.csv").read_bytes()[:6] == b'"muon"'
    assert pa.parquet.read_table("a.PQ").num_rows == MUONS
    for output, message in (("a.txt", "a.txt: doesn't end in .parquet"), (None, "give --format, or an --output")):
        with pytest.raises(PullbackError, match=message):
            export.export(study, output=output)
    assert export.export(study, "csv", columns=["theta"], output="a.txt").rows == MUONS
    for kind in ("", "csv"):
        with pytest.raises(PullbackError, match="-: a table is written to a file, not to the standard"):
            export.export(study, kind, output="-")


def test_digits_that_the_uncertainty_deserves(study):
    options = {"columns": ["muon", "theta", "interval68_theta", "sigma_theta", "x_reco", "bias_theta"]}
    exact = table(export.export(study, output="exact.csv", **options).path)
    lines = export.export(study, output="out.csv", **options, digits=2).path.read_text().splitlines()
    assert lines[0].split(",") == list(exact)
    rows = [dict(zip(exact, line.split(","), strict=True)) for line in lines[1:2000]]
    for i, row in enumerate(rows):
        sigma = Decimal(f"{exact['sigma_theta_mrad'][i]:.1e}")
        assert Decimal(row["sigma_theta_mrad"]) == sigma
        assert len(row["sigma_theta_mrad"].replace(".", "").lstrip("0")) == 2
        place = Decimal(1).scaleb(sigma.adjusted() - 4)  # second digit, mrad to rad
        for name in ("theta_rad", "interval68_theta_low_rad", "interval68_theta_high_rad"):
            assert row[name] == str(Decimal(float(exact[name][i])).quantize(place)).replace("-0.0000", "0.0000")
        assert float(row["x_reco_x_mm"]) == exact["x_reco_x_mm"][i]
        assert row["muon"] == str(i)
    with pytest.raises(PullbackError, match=r"--digits is for CSV, where numbers are text; root holds them in full"):
        export.export(study, "root", digits=2)
    for digits in (-1, 10):
        with pytest.raises(PullbackError, match=f"--digits is {digits}; it must be from 1 to 9"):
            export.export(study, "csv", digits=digits)


def test_digits_of_toys_by_their_standard_deviation(scan):
    options = {"point": "detector.resolution=50", "table": "toys", "columns": ["toy_mean_theta", "toy_sd_theta"]}
    exact = table(export.export(scan, output="exact.csv", **options).path)
    found = export.export(scan, output="out.csv", **options, digits=3).path.read_text().splitlines()
    for line, sd in zip(found[1:], exact["toy_sd_theta_mrad"], strict=True):
        mean, rounded = line.split(",")
        assert Decimal(rounded) == Decimal(f"{sd:.2e}")
        assert Decimal(mean).as_tuple().exponent == Decimal(rounded).as_tuple().exponent - 3


@pytest.mark.parametrize("kind", KINDS)
def test_units_suit_the_size_of_lengths_and_angles(study, kind):
    path, *_ = export.export(study, kind, columns=["all"], output=f"out.{kind}")
    found, there = table(path), columns(study, "nominal")
    for name, values in {
        "x_reco_x_mm": 1e3 * there["x_reco"][:, 0],
        "theta_rad": there["theta"],
        "sigma_theta_mrad": 1e3 * there["sigma_theta"],
        "interval68_theta_low_rad": there["interval68_theta"][:, 0],
        "flag_theta": there["flag_theta"],
        "linear_valid_theta": there["linear_valid_theta"],
    }.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    if kind == "parquet":
        assert pa.parquet.read_schema(path).field("sigma_theta_mrad").metadata[b"units"] == b"mrad"


def test_the_points_are_listed(scan):
    listed = r"\. Points: 1: detector\.resolution=50; 2: detector\.resolution=100$"
    for point, problem in (
        (None, "has 2 points; name one by --point, or `--point all`"),
        ("detector.resolution=51", ""),
    ):
        with pytest.raises(PullbackError, match=f"{problem}.*{listed}"):
            export.export(scan, "csv", point=point)


def test_kinds_of_files_and_of_tables(scan):
    with pytest.raises(ValueError, match="'xlsx' is not one of parquet, root, csv"):
        export.export(scan, "xlsx")
    with pytest.raises(ValueError, match="'truth' is not one of muons, toys"):
        export.export(scan, "csv", table="truth")


def test_a_file_that_is_there_is_kept(scan):
    options = {"point": "detector.resolution=50", "output": "out.csv"}
    Path("out.csv").write_text("mine")
    with pytest.raises(PullbackError, match=r"out\.csv: already exists; name another file with --output"):
        export.export(scan, "csv", **options)
    assert Path("out.csv").read_text() == "mine"
    export.export(scan, "csv", **options, force=True)
    assert len(table("out.csv")["theta_rad"]) == 30
    assert [path.name for path in Path().iterdir()] == ["out.csv"]


OWN = ("study.h5", "config.yaml", "points.csv", "validation.json", "validation.csv", "summary.csv", "report.html")
INSIDE = (*OWN, "truth/nominal.h5", "figures/hits.nominal.svg", "new.csv", "figures/new.csv", "new/deep/down.csv")


@pytest.fixture
def copied(scan, tmp_path):
    """A copy of a small study, and what is in it."""
    folder = shutil.copytree(scan.parent, tmp_path / "results" / "s")
    (folder / "report.html").write_text("a report")
    return folder, files_in(folder)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("force", [False, True])
def test_the_own_files_of_a_study_are_never_written_over(copied, name, force):
    folder, before = copied
    with pytest.raises(PullbackError, match=r"is in the folder of a study, .*50\.csv is allowed; name a"):
        export.export(folder / "study.h5", "csv", point="detector.resolution=50", output=folder / name, force=force)
    assert files_in(folder) == before


def test_nor_those_of_another_study_nor_by_another_way_there(copied, scan, tmp_path):
    folder, before = copied
    (tmp_path / "link").symlink_to(folder)
    options = {"point": "detector.resolution=50", "force": True}
    (tmp_path / "deep").symlink_to(folder / "truth")
    for output in (folder / "summary.csv", tmp_path / "link/summary.csv", tmp_path / "deep/x.csv", "results/s/x/../x"):
        for study in (scan, folder / "study.h5", tmp_path / "link/study.h5"):
            with pytest.raises(PullbackError, match="is in the folder of a study"):
                export.export(study, "csv", **options, output=output)
    assert files_in(folder) == before


def test_its_own_file_beside_the_study_is_written_over_by_force(copied):
    folder, before = copied
    options = {"point": "detector.resolution=50"}
    path, *_ = export.export(folder / "study.h5", "csv", **options)
    content = path.read_bytes()
    path.write_text("another")
    with pytest.raises(PullbackError, match="already exists"):
        export.export(folder / "study.h5", "csv", **options)
    export.export(folder / "study.h5", "csv", **options, force=True, output=folder / path.name)
    assert files_in(folder) == {**before, path.name: content}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["file", "nowhere", "pipe"])
def test_links_are_not_written_through_or_over(scan, kind, target):
    Path("file").write_text("mine")
    os.mkfifo("pipe")
    Path("out").symlink_to(target)
    with pytest.raises(PullbackError, match="out: can't be written: there is a link of that name"):
        export.export(scan, kind, point="detector.resolution=50", output="out", force=True)
    assert os.readlink("out") == target
    assert Path("file").read_text() == "mine"
    assert sorted(path.name for path in Path().iterdir()) == ["file", "out", "pipe"]


def test_pipes_and_folders_are_not_written_over(scan):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    for output, kind in (("pipe", "a pipe, socket or device"), ("folder", "a folder")):
        with pytest.raises(PullbackError, match=f"{output}: can't be written: there is {kind} of that name"):
            export.export(scan, "csv", point="detector.resolution=50", output=output, force=True)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert Path("folder").is_dir()


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("a" * 300, "File name too long"),
        ("a/" * 3000, "File name too long"),
        ("file/out.csv", "Not a directory"),
        ("loop/out.csv", "Too many levels of symbolic links"),
        ("a\0b", "no file can have that name"),
    ],
)
def test_names_that_no_file_can_have_are_refused_in_one_line(scan, output, reason):
    Path("file").write_text("mine")
    Path("loop").symlink_to("loop")
    with pytest.raises(PullbackError, match=f"can't be written: {reason}") as caught:
        export.export(scan, "csv", point="detector.resolution=50", output=output)
    assert len(str(caught.value)) < 300
    assert sorted(path.name for path in Path().iterdir()) == ["file", "loop"]


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n and more", b"pullback, but no seal"])
def test_nobody_is_told_to_delete_a_file_of_their_own(content):
    Path("somebody.h5").write_bytes(content)
    with pytest.raises(PullbackError, match=r"somebody\.h5: is not a pullback artefact") as caught:
        export.export("somebody.h5", "csv")
    assert "delete" not in str(caught.value)
    assert "name the study.h5 of a study" in str(caught.value)


def test_nor_an_artefact_that_is_no_study(scan):
    batch = next((scan.parent / "truth").iterdir())
    with pytest.raises(PullbackError, match=r"is not an artefact of kind 'study'.*; name the study\.h5 of a study"):
        export.export(batch, "csv")


def test_a_study_that_is_no_file(tmp_path):
    os.mkfifo("pipe.h5")
    for name, message in (("pipe.h5", "only regular files are read"), ("no.h5", "no such file"), (".", "is a folder")):
        with pytest.raises(PullbackError, match=message):
            export.export(name, "csv")


def test_a_damaged_batch_is_refused(scan, tmp_path):
    folder = shutil.copytree(scan.parent, tmp_path / "copy")
    (batch,) = (folder / "reco").iterdir()
    content = bytearray(batch.read_bytes())
    content[len(content) // 2] ^= 1
    batch.write_bytes(content)
    with pytest.raises(PullbackError, match=r"reco/.*: is damaged or truncated"):
        export.export(folder / "study.h5", "csv", point="detector.resolution=50")
    assert not list(folder.glob("*=50.csv*"))


def test_root_without_uproot(scan, monkeypatch):
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(PullbackError, match=r'^hits\.root: .* pip install "pullback\[root\]"'):
        export.export(scan, "root", point="detector.resolution=50", output="hits.root")
    assert not list(Path().iterdir())


def test_the_command(scan):
    command = [sys.executable, "-m", "pullback", "export", str(scan), "--format", "csv", "--output"]
    options = ["--point", "detector.resolution=50", "--columns", "theta, x_reco"]
    run = {"capture_output": True, "text": True, "check": False, "env": {"PYTHONPATH": str(PROJECT / "src")}}
    done = subprocess.run([*command, "out.csv", *options], **run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.csv: 30 rows, 2 columns\n", "")
    done = subprocess.run([*command, "other.csv"], **run)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pullback: ")
    assert "has 2 points; name one by --point" in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_option_reaches_the_export(scan, capsys):
    Path("out.parquet").write_text("")
    options = ["--point", "detector.resolution=100", "--table", "toys", "--columns", "muon", "--force"]
    main(["export", str(scan), "--format", "parquet", "--output", "out.parquet", *options])
    assert capsys.readouterr().out == "out.parquet: 12 rows, 1 column\n"
    assert list(table("out.parquet")) == ["muon"]


def test_exporting_needs_no_torch(scan):
    code = (
        "import sys; from pullback.cli import main\n"
        f"main(['export', {str(scan)!r}, '--format', 'root', '--point=detector.resolution=50', '--output=o.root'])\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(PROJECT / "src")})


def test_labels_with_brackets_become_plain_names(tmp_path):
    """`budget_theta` along `alignment.x[1]`: in ROOT, brackets would be those of an array."""
    raw = {
        "study": "s",
        "source": {"muons": 50},
        "model": {"name": "track"},
        "systematics": {"alignment.x[1]": 0.001, "model.z[2]": 0.002},
        "toys": {"muons": 3, "per_muon": 20, "experiments": 100},
    }
    Run(raw, tmp_path).make()
    found = export.export(tmp_path / "study.h5", "root", columns=["all"], units="si")
    with uproot.open(found.path) as file:
        names = file["muons"].keys()
        assert {"budget_theta_alignment_x_1", "budget_theta_layer_0", "systematic_jacobian_slope_model_z_2"} <= {*names}
        assert all(name.isidentifier() for name in names)
        shares = sum(file["muons"][name].array(library="np") for name in names if name.startswith("budget_theta_"))
        sigma = file["muons"]["sigma_theta_linear"].array(library="np")
        shared = file["muons"]["sigma_shared_theta"].array(library="np")
    assert np.allclose(shares, sigma**2 + shared**2, rtol=1e-12)
    found = table(export.export(tmp_path / "study.h5", "csv", columns=["all"]).path)
    names = [name for name in found if name.startswith("budget_theta_")]
    assert {"budget_theta_alignment_x_1_mrad2", "budget_theta_layer_0_mrad2"} <= {*names}
    assert all(name.endswith("_mrad2") for name in names)
    linear = found["sigma_theta_linear_mrad"]
    assert np.allclose(sum(found[name] for name in names), 1e6 * (sigma**2 + shared**2), rtol=1e-12)
    assert np.allclose(found["covariance_theta_theta_mrad2"], linear**2, rtol=1e-9)
    assert {"covariance_slope_slope", "covariance_slope_theta_mrad", "covariance_theta_intercept_mrad_mm"} <= {*found}
    assert {"systematic_jacobian_theta_alignment_x_1_mrad_per_m", "systematic_jacobian_slope_model_z_2_per_m"} <= {
        *found
    }
    with open_study(tmp_path / "study.h5") as reader:
        jacobian = reader.rows("nominal/systematic_jacobian_theta")[:, 0]
    assert np.allclose(found["systematic_jacobian_theta_alignment_x_1_mrad_per_m"], 1e3 * jacobian, rtol=1e-12)
    listed = {name: unit for name, unit, _ in export.exported_columns(tmp_path / "study.h5")}
    assert listed["covariance_theta_intercept"] == "rad m"
    assert listed["systematic_jacobian_theta_alignment_x_1"] == "rad/m"
    assert listed["budget_theta_layer_0"] == "rad2"


@pytest.fixture
def kept():
    """A study of selected hits with kept columns, and what should be in them."""
    rows = 400
    x, event = np.linspace(0.01, 1, rows), 2**62 + np.arange(rows)
    run, n = [f"ü{i % 7}" for i in range(rows)], np.arange(rows) % 3
    write("parquet", {"x": x, "event": event, "run": run, "n": n})
    raw = {
        "study": "kept",
        "source": {"kind": "recorded", "file": "hits.parquet", "select": "n != 1", "keep": ["run", "event"]},
        "toys": {"muons": 20, "per_muon": 200},
    }
    chosen = np.flatnonzero(n != 1)
    return Run(raw, Path("made")).make().folder / "study.h5", event[chosen], [run[row] for row in chosen]


def test_kept_columns_are_exported_as_they_are(kept):
    study, event, run = kept
    with open_study(study) as reader:
        np.testing.assert_array_equal(reader.rows("nominal/event"), event)
        assert [each.decode() for each in reader.rows("nominal/run")] == run
    table = pa.parquet.read_table(export.export(study, "parquet", output="out.parquet").path)
    assert table.schema.field("event").type == pa.int64()
    assert table["event"].to_pylist() == event.tolist()
    assert table["run"].to_pylist() == run
    table = pa.csv.read_csv(export.export(study, "csv", output="out.csv").path)
    assert (table["event"].to_pylist(), table["run"].to_pylist()) == (event.tolist(), run)
    assert table.column_names[:4] == ["muon", "run", "event", "x_reco_x_mm"]
    lines = export.export(study, "csv", output="digits.csv", digits=2).path.read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[1:3] for line in lines[1:]] == [[a, str(b)] for a, b in zip(run, event, strict=True)]
    export.export(study, "root", output="out.root")
    with uproot.open("out.root") as file:
        assert file["muons"].keys()[:4] == ["muon", "run", "event", "x_reco_x_mm"]
        np.testing.assert_array_equal(file["muons"]["event"].array(library="np"), event)
        assert file["muons"]["run"].array().to_list() == run
    with xarray.open_dataset(study, group="nominal", engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["event"], event)
        assert opened["event"].dims == ("muon",)


def test_what_was_selected_is_in_the_evidence_and_in_the_artefact(kept):
    study, event, _ = kept
    evidence = json.loads(study.with_name("validation.json").read_text())
    assert evidence["imported"] == {"rows": 400, "unselected": 400 - len(event), "muons": len(event)}
    with h5py.File(study.with_name("reco") / "nominal.h5") as file:
        assert file["nominal"].attrs["imported.unselected"] == 400 - len(event)
        assert file["nominal"].attrs["source.select"] == "n != 1"
