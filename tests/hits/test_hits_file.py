import bz2
import gzip
import hashlib
import lzma
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hit_files import write, write_root
from running import PROJECT, Run

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import csv, guards, hdf5
from pullback.hits.hits_file import source_of
from pullback.steps.importing import import_hits
from pullback.steps.target import find_target
from pullback.store.study_file import open_study
from pullback.study.blocks import BLOCK
from pullback.study.plan import Study

KINDS = ["csv", "parquet", "h5", "root"]


def source(path, names=("x",), **section):
    return source_of(Recorded(file=path, **section), names)


def study_of(path, **changes):
    return Study.from_config({"study": "s", "source": {"kind": "recorded", "file": path}, **changes})


def hits(path, start=0, stop=None, names=("x",), **section):
    file = source(path, names, **section)
    return np.concatenate([block.hits for block in file.blocks(start, file.count_muons() if stop is None else stop)])


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5", "root"])
def test_all_kinds_read_the_same_in_blocks(kind):
    x = np.random.default_rng(1).normal(size=2 * BLOCK + 1000)
    y = -x
    options = {"row_group_size": 10_007} if kind == "parquet" else {}
    path = write(kind, {"y": y, "other": y, "x": x}, **options)
    file = source(path, ["x", "y"])
    assert file.count_muons() == len(x)
    blocks = list(file.blocks(0, len(x)))
    assert [len(block.hits) for block in blocks] == [BLOCK, BLOCK, 1000]
    assert all(block.covariance is None for block in blocks)
    np.testing.assert_array_equal(np.concatenate([block.hits for block in blocks]), np.stack([x, y], axis=1))
    np.testing.assert_array_equal(hits(path, BLOCK, 2 * BLOCK), x[BLOCK : 2 * BLOCK, None])
    np.testing.assert_array_equal(hits(path, 2 * BLOCK, len(x)), x[2 * BLOCK :, None])


@pytest.mark.parametrize("kind", ["parquet", "h5", "root"])
def test_whole_and_short_numbers_are_numbers(kind):
    for values in (np.arange(5, dtype="i4"), np.arange(5, dtype="f4")):
        np.testing.assert_array_equal(hits(write(kind, {"x": values}))[:, 0], np.arange(5.0))


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5", "root"])
def test_momenta_are_read_beside_the_hits(kind):
    path = write(kind, {"x": np.arange(4.0), "p": np.array([3.0, 0.5, np.nan, 20.0]), "s": np.ones(4)})
    (block,) = source(path, momentum_column="p", unit="mm").blocks(1, 4)
    np.testing.assert_array_equal(block.momentum, [0.5, np.nan, 20.0])
    np.testing.assert_array_equal(block.hits[:, 0], [0.001, 0.002, 0.003])
    (block,) = source(path, momentum_column="p", sigma={"x": "s"}).blocks(0, 4)
    assert block.momentum[0] == 3
    assert block.covariance.tolist() == [[1.0]] * 4
    (block,) = source(path).blocks(0, 4)
    assert block.momentum is None


@pytest.mark.parametrize("bad", ["0", "-3", "inf"])
def test_momenta_that_are_none_are_refused(bad):
    Path("hits.csv").write_text(f"x,p\n1,3\n2,{bad}\n")
    with pytest.raises(PullbackError, match=r"hits\.csv: row 2, column 'p': is not a momentum: "):
        next(source("hits.csv", momentum_column="p").blocks(0, 2))


def test_missing_hits_are_nan():
    Path("hits.csv").write_text('x,y\n1,2\n,3\nnan,4\n inf ,5\n"-inf",6\n')
    np.testing.assert_array_equal(hits("hits.csv")[:, 0], [1, np.nan, np.nan, np.inf, -np.inf])
    Path("hits.csv").write_text("x\n0.1\n\n0.3\n")
    np.testing.assert_array_equal(hits("hits.csv")[:, 0], [0.1, np.nan, 0.3])
    path = write("parquet", {"x": pa.array([1.0, None, float("nan")])})
    np.testing.assert_array_equal(hits(path)[:, 0], [1, np.nan, np.nan])


def test_windows_line_ends_and_byte_order_mark():
    Path("hits.csv").write_bytes(b"\xef\xbb\xbfx\r\n0.5\r\n0.25\r\n")
    np.testing.assert_array_equal(hits("hits.csv")[:, 0], [0.5, 0.25])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.csv", None, "no such file"),
        ("missing.parquet", None, "no such file"),
        ("missing.h5", None, "no such file"),
        ("hits.csv", b"", "the file is empty"),
        ("hits.csv", b"x\n", "holds no hits, only a header"),
        ("hits.csv", b"y,z\n1,2\n", "no column 'x'; the columns are: y, z"),
        ("hits.csv", b"x,x\n1,2\n", "more than one column 'x'"),
        ("hits.csv", b"x\n1\n2\n0.5m\n", "row 3, column 'x': '0.5m' is not a number"),
        ("hits.csv", b"x", "holds no hits, only a header"),
        ("hits.csv", b"x,y\n1,2\n3\n", "row 2: has 1 cell, and the header 2: '3'; is a cell"),
        ("hits.csv", "x\n1\n".encode("utf-16"), "not UTF-8"),
        ("hits.csv", b"x,caf\xe9\n1,2\n", "the header, column 2: is not UTF-8"),
        ("hits.csv", b"x\n0.1\n\n\nabc\n", "row 4, column 'x': 'abc'"),
        ("hits.csv", b"y,x\n1,2\n" + b"1,2\n" * 999 + b"1,\xff\n", "row 1001, column 2: is not UTF-8"),
        ("hits.csv", b"y,x\n1,2\n1,\xff\n", "row 2, column 2: is not UTF-8"),
        ("hits.parquet", b"PAR1 and no more", "can't be read"),
        ("hits.parquet", b"", "the file is empty"),
        ("missing.root", None, "no such file"),
        ("hits.root", b"root and no more", "can't be read"),
        ("hits.root", b"", "the file is empty"),
        ("hits.h5", b"", "the file is empty"),
        ("hits.h5", b"\x89HDF\r\n\x1a\n and no more", "can't be read"),
        ("hits.parquet", b"x\n1\n", "is text: name it .csv if it is CSV, or fetch it again"),
        ("hits.h5", b"x,y\r\n1,2\r\n", "is text: name it .csv if it is CSV, or fetch it again"),
        ("hits.root", b"not found", "is text: name it .csv if it is CSV, or fetch it again"),
        ("hits.txt", b"x\n1\n", "must be in a .csv, .csv.gz, .csv.zst, .parquet, .h5 or .root file, not .txt"),
    ],
)
def test_bad_files_are_named_with_row_and_column(name, content, expected):
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(PullbackError) as caught:
        hits(name)
    assert str(caught.value).startswith(name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "h5", "root"])
def test_a_folder_is_refused(suffix):
    Path(f"hits.{suffix}").mkdir()
    with pytest.raises(PullbackError, match="is a folder"):
        hits(f"hits.{suffix}")


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (os.mkfifo, "is a pipe, socket or device; only regular files are read"),
        (partial(os.symlink, "/dev/zero"), "is a pipe, socket or device; only regular files are read"),
        (lambda path: os.symlink(path, path), "can't be read: Too many levels of symbolic links"),
    ],
)
def test_only_regular_files_are_read_in_planning_and_in_jobs(suffix, make, expected):
    path = f"hits.{suffix}"
    study = study_of(write(suffix, {"x": [1.0, 2.0]} if suffix in ("csv", "parquet") else {"x": np.ones(2)}))
    Path(path).unlink()
    make(path)
    for step in (lambda: study_of(path), lambda: import_hits(study.batch("reco", "nominal"), "out.h5")):
        with pytest.raises(PullbackError) as caught:
            step()
        assert str(caught.value).startswith(f"{path}: {expected}")
        assert not list(Path().glob("out*"))


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(("name", "planned"), [("a\0b", "holds the character"), ("a" * 5000, "is text of 500")])
def test_names_that_no_file_can_have(suffix, name, planned):
    """The plan refuses them, and so does what reads the file."""
    for refused, expected in ((study_of, planned), (lambda file: source(file).count_muons(), "can't be read")):
        with pytest.raises(PullbackError, match=expected) as caught:
            refused(f"{name}.{suffix}")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


OTHER_KINDS = [
    (gzip.compress(b"x\n1\n", mtime=0), "is compressed by gzip: name it .csv.gz if it is CSV, or unpack it"),
    (bz2.compress(b"x\n1\n"), "is compressed by bzip2: unpack it"),
    (lzma.compress(b"x\n1\n"), "is compressed by xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd: name it .csv.zst if it is CSV, or unpack it"),
    (b"PK\x03\x04\x14\0", "is an Excel workbook or another zip archive: save it as CSV UTF-8, or unpack it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook: save it as CSV UTF-8"),
    (b"SQLite format 3\0", "is an SQLite database: export its table as CSV"),
    (b"\x93NUMPY\1\0", "is an array of NumPy: write it as CSV, with a header"),
    (b"ARROW1\0\0", "is an Arrow or Feather file: write it as Parquet"),
    (
        b"version https://git-lfs.github.com/spec/v1\n",
        "is a pointer of Git LFS, not the file itself: fetch that by git",
    ),
    (b"<!DOCTYPE html>\n", "is a web page, perhaps an error in place of the file: download it again"),
    (b"<html>", "is a web page, perhaps an error in place of the file: download it again"),
]


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(("content", "expected"), OTHER_KINDS)
def test_files_of_other_kinds_are_told_by_their_first_bytes(suffix, content, expected):
    path = Path(f"hits.{suffix}")
    path.write_bytes(content)
    with pytest.raises(PullbackError) as caught:
        study_of(str(path))
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("parquet", "is a Parquet file: name it .parquet"),
        ("h5", "is an HDF5 file: name it .h5"),
        ("root", "is a ROOT file: name it .root"),
    ],
)
def test_files_under_the_name_of_another_kind(suffix, kind, expected):
    content = Path(write(kind, {"y": np.ones(2)})).read_bytes()
    Path(f"hits.{suffix}").write_bytes(content)
    with pytest.raises(PullbackError) as caught:
        hits(f"hits.{suffix}")
    assert str(caught.value) == f"hits.{suffix}: " + (
        "no column 'x'; the columns are: y" if suffix == kind else expected
    )


def test_a_csv_file_may_begin_as_a_file_of_another_kind_does():
    for name in ("root", "PAR1", "BZh91", "ARROW1", "version https://git-lfs"):
        Path("hits.csv").write_text(f"{name},x\n1,2\n")
        assert hits("hits.csv") == [[2]]


@pytest.mark.parametrize("kind", ["parquet", "h5", "root"])
def test_whatever_is_damaged_is_read_or_refused_in_one_line(kind):
    rng = np.random.default_rng(1)
    content = Path(write(kind, {"x": np.round(rng.normal(size=2000), 2)})).read_bytes()
    said = []
    for trial in range(60):
        damaged = bytearray(content)
        at = int(rng.integers(len(content)))
        if trial % 3:
            damaged[at : at + 16] = rng.bytes(len(damaged[at : at + 16]))
        else:
            damaged = damaged[:at]
        Path(f"hits.{kind}").write_bytes(damaged)
        try:
            hits(f"hits.{kind}")
        except PullbackError as error:
            said.append(str(error))
    assert len(said) > 15
    assert all(each.startswith(f"hits.{kind}: ") and each.isprintable() and len(each) < 400 for each in said)


def test_what_hdf5_raises_of_a_damaged_file_is_said_in_one_line(monkeypatch):
    path = write("h5", {"x": np.ones(2)})
    for error in (
        KeyError("Unable to open object\n"),
        UnicodeDecodeError("utf-8", b"\xb3", 0, 1, "invalid"),
        TypeError(),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(hdf5, "_columns", Mock(side_effect=error))
            with pytest.raises(PullbackError) as caught:
                hits(path)
        assert str(caught.value).startswith(f"hits.h5: can't be read: {type(error).__name__}: ")
        assert str(caught.value).isprintable()


def test_an_hdf5_file_that_another_program_writes_to():
    code = "import h5py; file = h5py.File('hits.h5', 'w'); file['x'] = [1.0]; file.flush(); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        try:
            with pytest.raises(PullbackError, match="another program has it open to write to it: close it there"):
                hits("hits.h5")
        finally:
            other.communicate(b"\n")


@pytest.mark.parametrize("name", ["", "/", "a\0b", "x\ny", "x" * 5000, "x[" + "1" * 5000 + "]"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_that_no_column_has(kind, name):
    with pytest.raises(PullbackError) as caught:
        hits(write(kind, {"y": np.ones(2)}), columns={"x": name})
    assert str(caught.value).endswith("; the columns are: y")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_columns_that_are_not_asked_for_may_hold_anything():
    rows = "".join(f"0.25,{index}\n" for index in range(1_200_000)) + "0.5,hello\n"
    Path("hits.csv").write_text("x,note\n" + rows)
    assert source("hits.csv").count_muons() == 1_200_001
    np.testing.assert_array_equal(hits("hits.csv", 1_200_000, 1_200_001), [[0.5]])


def test_text_far_down_is_named_with_its_row():
    rows = ["0.5"] * 300_000
    rows[250_000] = "oops"
    Path("hits.csv").write_text("x\n" + "\n".join(rows) + "\n")
    with pytest.raises(PullbackError, match=r"row 250001, column 'x': 'oops'"):
        hits("hits.csv")


def test_text_and_truncation_in_parquet():
    with pytest.raises(PullbackError, match="column 'x' holds string, not numbers"):
        hits(write("parquet", {"x": ["a"]}))
    path = write("parquet", {"x": np.random.default_rng(1).normal(size=10_000)})
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-100])
    with pytest.raises(PullbackError, match=r"hits\.parquet: can't be read"):
        hits(path)


def test_bad_hdf5():
    for column in (np.array([b"a"]), 0.0, np.array([True])):
        with pytest.raises(PullbackError, match="must be a dataset of numbers, one per row"):
            hits(write("h5", {"x": column}))
    with pytest.raises(PullbackError, match="differ in length"):
        hits(write("h5", {"x": np.zeros(3), "y": np.zeros(4)}), names=("x", "y"))
    with h5py.File("linked.h5", "w") as file:
        file["x"] = h5py.ExternalLink("hits.h5", "/x")
        file["y"] = h5py.SoftLink("/nowhere")
    for name in "xy":
        with pytest.raises(PullbackError, match="is a link to elsewhere"):
            hits("linked.h5", names=(name,))
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("missing.h5", "x", (3,))
    with h5py.File("virtual.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=0.3)
    with pytest.raises(PullbackError, match="keeps its data in another file"):
        hits("virtual.h5")


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5", "root"])
@pytest.mark.parametrize("start", [0, 15])
def test_a_file_that_shrank_is_noticed(kind, start):
    path = write(kind, {"x": np.zeros(10)})
    with pytest.raises(PullbackError, match=rf"no longer has row {max(10, start) + 1} of 20; it has changed since"):
        hits(path, start, 20)


CHANGED = "has changed since this run began: run again"


def written_into(path, new):
    with Path(path).open("r+b") as file:
        file.write(new)
        file.truncate()


def replaced(path, new):
    Path("other").write_bytes(new)
    os.replace("other", path)


def written_and_restored(path, new):
    old, status = Path(path).read_bytes(), os.stat(path)
    time.sleep(0.05)  # a tick of the clock
    written_into(path, new)
    written_into(path, old)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced_and_restored(path, new):
    os.rename(path, "kept")
    time.sleep(0.05)
    Path(path).write_bytes(new)
    os.replace("kept", path)


def cut_short(path, new):
    written_into(path, new[: len(new) // 2])


def removed(path, new):
    Path(path).unlink()


WAYS = [written_into, replaced, written_and_restored, replaced_and_restored, cut_short, removed]


def other_content(kind, path, x):
    """A file of as many hits of other values."""
    old = Path(path).read_bytes()
    new = Path(write(kind, {"x": x})).read_bytes()
    Path(path).write_bytes(old)
    assert new != old
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_other_hits_than_were_planned_is_refused_and_nothing_is_left(kind, tmp_path):
    path = write(kind, {"x": np.full(2 * BLOCK, 0.5)})
    target = {"target": {"sigma_theta": 0.004, "vary": "model.dz"}}
    study = study_of(path, compute={"batch_cost": 20 * BLOCK}, **target)
    first, second = study.batches
    import_hits(study.batch("reco", first), tmp_path / "out" / "first.h5")
    find_target(study, tmp_path / "out" / "target.json")
    write(kind, {"x": np.full(2 * BLOCK, 0.25)})
    assert study_of(path, **target).digest != study.digest
    for step in (
        lambda: import_hits(study.batch("reco", second), tmp_path / "out" / "second.h5"),
        lambda: find_target(Study.from_json(study.to_json()), tmp_path / "out" / "again.json"),
    ):
        with pytest.raises(PullbackError) as caught:
            step()
        assert str(caught.value) == f"{path}: {CHANGED}"
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["first.h5", "target.json"]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_while_it_is_read_is_refused(kind, change):
    x = np.random.default_rng(1).normal(size=2 * BLOCK)
    path = write(kind, {"x": x})
    new = other_content(kind, path, x[::-1])
    blocks = source_of(Recorded(file=path), ["x"], source(path).plan()[1]).blocks(0, 2 * BLOCK)
    next(blocks)
    change(path, new)
    with pytest.raises(PullbackError) as caught:
        list(blocks)
    assert str(caught.value) == f"{path}: {CHANGED}"


def test_what_a_reader_makes_of_a_file_that_is_being_written_to_is_not_said(monkeypatch):
    path = write("csv", {"x": np.random.default_rng(1).normal(size=3 * BLOCK)})
    monkeypatch.setattr(csv, "CSV_CHUNK_BYTES", 1 << 16)
    blocks = source(path).blocks(0, 3 * BLOCK)
    next(blocks)
    written_into(path, b"oops, this is no number\n" * 3 * BLOCK)
    with pytest.raises(PullbackError) as caught:
        list(blocks)
    assert str(caught.value) == f"{path}: {CHANGED}"


def test_where_times_are_coarse_the_content_is_looked_at_again(monkeypatch):
    path, second = write("csv", {"x": [1.0, 2.0]}), 1_000_000_000
    state = guards._state
    monkeypatch.setattr(
        guards, "_state", lambda file: (state(file)[0], *(each // second * second for each in state(file)[1:]))
    )
    blocks = source(path).blocks(0, 2)
    next(blocks)
    replaced(path, Path(path).read_bytes().replace(b"2", b"3"))
    with pytest.raises(PullbackError, match=CHANGED):
        list(blocks)


def test_the_last_block_is_not_the_last_look(monkeypatch):
    path = write("csv", {"x": [1.0, 2.0]})
    study = study_of(path, target={"sigma_theta": 0.004, "vary": "model.dz"})
    planned, read = Path(path).read_bytes(), csv.read

    def late(*arguments):
        yield from read(*arguments)
        replaced(path, b"x\n1\n3\n")

    monkeypatch.setattr(csv, "read", late)
    for step in (lambda: import_hits(study.batch("reco", "nominal"), "out.h5"), lambda: find_target(study, "out.json")):
        replaced(path, planned)
        with pytest.raises(PullbackError, match=CHANGED):
            step()
        assert not list(Path().glob("out*"))


@pytest.mark.parametrize("more", ["3\n", "oops\n"])
def test_a_file_that_changes_while_it_is_planned_is_refused(monkeypatch, more):
    path = write("csv", {"x": [1.0, 2.0]})
    count = csv.count

    def early(*arguments):
        muons = count(*arguments)
        with Path(path).open("a") as file:
            file.write(more)
        return muons

    monkeypatch.setattr(csv, "count", early)
    with pytest.raises(PullbackError, match=CHANGED):
        study_of(path)


@pytest.mark.parametrize("seconds", [0, 3600])
def test_a_file_that_is_as_it_was_planned_is_digested_once_unless_just_written(monkeypatch, seconds):
    digested, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: digested.append(given) or digest(*given))
    study = study_of(write("csv", {"x": [1.0, 2.0]}))
    digested.clear()
    later = time.time_ns() + seconds * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    import_hits(study.batch("reco", "nominal"), "out.h5")
    assert len(digested) == (1 if seconds else 2)


@pytest.mark.parametrize(("unit", "metre"), [("m", 1), ("cm", 100), ("mm", 1000), ("um", 1e6), ("µm", 1e6)])
def test_units(unit, metre):
    x, e, c = np.array([[1.5, -2.25], [3.1, 4.0]]), np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.01, -0.05])
    path = write("csv", {"a": x[:, 0], "b": x[:, 1], "ea": e[:, 0], "eb": e[:, 1], "c": c})
    file = source(path, ("x0", "x1"), columns={"x0": "a", "x1": "b"}, unit=unit, sigma={"x0": "ea", "x1": "eb"})
    (block,) = file.blocks(0, 2)
    np.testing.assert_array_equal(block.hits, x / metre)
    np.testing.assert_array_equal(block.covariance, (e / metre) ** 2)
    file = source(path, file.coordinates, unit=unit, sigma={"a": "ea", "b": "eb"}, covariance={"a, b": "c"})
    (block,) = file.blocks(0, 2)
    expected = np.array([[[e[row, 0] ** 2, c[row]], [c[row], e[row, 1] ** 2]] for row in range(2)]) / metre**2
    np.testing.assert_allclose(block.covariance, expected, rtol=1e-15)


def test_what_is_mapped_decides_the_shape():
    path = write("csv", {"x0": [1.0, 2.0], "x1": [3.0, np.nan], "x2": [5.0, 6.0], "s": [0.5, 2.0], "c": [0.1, 7.0]})
    names = ("x0", "x1", "x2")
    assert source(path, names).covariance_shape is None
    file = source(path, names, sigma={"x2": "s", "x1": "s"})
    (block,) = file.blocks(0, 2)
    assert file.covariance_shape == block.covariance.shape[1:] == (3,)
    nan = np.nan  # no column, or no hit: the detector's resolution
    np.testing.assert_array_equal(block.covariance, [[nan, 0.25, 0.25], [nan, nan, 4.0]])
    file = source(path, names, sigma={"x2": "s", "x1": "s"}, covariance={"x2,x1": "c"})
    (block,) = file.blocks(0, 2)
    assert file.covariance_shape == block.covariance.shape[1:] == (3, 3)
    np.testing.assert_array_equal(
        block.covariance,
        [
            [[nan, 0, 0], [0, 0.25, 0.1], [0, 0.1, 0.25]],
            [[nan, 0, 0], [0, nan, 0], [0, 0, 4.0]],  # a covariance with a missing hit is none
        ],
    )


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5", "root"])
@pytest.mark.parametrize(("value", "said"), [(0.0, "0"), (-0.1, "-0.1"), (np.inf, "inf"), (np.nan, "it is empty")])
def test_an_impossible_uncertainty_is_named_with_its_row(kind, value, said):
    x, sigma = np.zeros(BLOCK + 10), np.full(BLOCK + 10, 0.1)
    x[3], sigma[3] = np.nan, value  # of a missing hit it may be anything
    path = write(kind, {"x": x, "ex": sigma})
    assert np.isnan(next(source(path, sigma={"x": "ex"}).blocks(0, BLOCK)).covariance[3, 0])
    sigma[BLOCK + 5] = value
    path = write(kind, {"x": x, "ex": sigma})
    with pytest.raises(PullbackError) as caught:
        list(source(path, sigma={"x": "ex"}).blocks(0, BLOCK + 10))
    assert f"{path}: row {BLOCK + 6}, column 'ex': is not a standard uncertainty: {said}" in str(caught.value)


def test_uncertainties_whose_squares_are_no_numbers_are_refused():
    for value in (1e-200, 1e200):
        path = write("csv", {"x": [0.0], "ex": [value]})
        with pytest.raises(PullbackError, match="row 1, column 'ex': is not a standard uncertainty"):
            list(source(path, sigma={"x": "ex"}).blocks(0, 1))


def test_an_impossible_covariance_is_named_with_its_row():
    columns = {"x": [0.0] * 3, "y": [0.0, np.nan, 0.0], "e": [0.1] * 3}
    mapped = {"sigma": {"x": "e", "y": "e"}, "covariance": {"x,y": "c"}}
    for c, expected in [
        ([0.01, 9.0, 0.0100001], "row 3: the covariance of columns e, e, c is not positive semi-definite"),
        ([-0.01, np.nan, np.nan], "row 3, column 'c': is not a covariance: it is empty or not a number"),
        ([0.0, np.inf, np.inf], "row 3, column 'c': is not a covariance: inf"),
    ]:
        path = write("csv", {**columns, "c": c})
        assert len(list(source(path, ("x", "y"), **mapped).blocks(0, 2))) == 1
        with pytest.raises(PullbackError) as caught:
            list(source(path, ("x", "y"), **mapped).blocks(0, 3))
        assert f"{path}: {expected}" in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "h5", "root"])
def test_elements_of_a_column_with_a_fixed_size(kind):
    a = np.arange(12.0).reshape(4, 3)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(a.ravel()), 3) if kind == "parquet" else a
    path = write(kind, {"a": flat, "y": np.arange(4.0)})
    read = hits(path, 1, 4, ("x0", "y", "x1"), columns={"x0": "a[2]", "x1": "a[0]"})
    np.testing.assert_array_equal(read, np.stack([a[1:, 2], np.arange(1.0, 4), a[1:, 0]], axis=1))
    for name, expected in [
        ("a[3]", "no element 'a[3]': column 'a' has a[0] to a[2]"),
        ("a[0][0]", "no element 'a[0][0]': column 'a' has a[0] to a[2]"),
        ("a", "column 'a' holds 3 numbers per row: name one, a[0] to a[2]"),
        ("y[0]", "no element 'y[0]': column 'y' holds one number per row"),
        ("b[0]", "no column 'b'; the columns are: a, y"),
    ]:
        with pytest.raises(PullbackError) as caught:
            source(path, columns={"x": name}).count_muons()
        assert str(caught.value) == f"{path}: {expected}"


@pytest.mark.parametrize("kind", ["h5", "root"])
def test_elements_of_a_column_with_two_axes(kind):
    a = np.arange(24).reshape(4, 3, 2)
    path = write(kind, {"a": a.astype("i4")})
    np.testing.assert_array_equal(hits(path, columns={"x": "a[2][1]"})[:, 0], a[:, 2, 1])
    with pytest.raises(PullbackError, match=r"name one, a\[0\]\[0\] to a\[2\]\[1\]"):
        hits(path, columns={"x": "a"})


def test_a_name_that_only_looks_like_an_element():
    path = write("parquet", {"x[0]": [1.0, 2.0]})
    np.testing.assert_array_equal(hits(path, columns={"x": "x[0]"})[:, 0], [1, 2])
    path = write("csv", {"x[0]": [1.0, 2.0]})
    np.testing.assert_array_equal(hits(path, columns={"x": "x[0]"})[:, 0], [1, 2])
    with pytest.raises(PullbackError, match=r"no element 'y\[0\]': column 'y' holds one number per row"):
        hits(write("csv", {"y": [1.0, 2.0]}), columns={"x": "y[0]"})


def test_missing_lists_in_parquet():
    column = pa.array([[1.0, 2.0], None, [None, 6.0]], pa.list_(pa.float64(), 2))
    path = write("parquet", {"a": column})
    nan = np.nan
    read = hits(path, names=("x0", "x1"), columns={"x0": "a[0]", "x1": "a[1]"})
    np.testing.assert_array_equal(read, [[1, 2], [nan, nan], [nan, 6]])


def test_datasets_by_their_path():
    with h5py.File("hits.h5", "w") as file:
        file["detector/x0"] = np.arange(3.0)
        file["detector/soft"] = h5py.SoftLink("/detector/x0")
        file["away"] = h5py.SoftLink("/detector")
    np.testing.assert_array_equal(hits("hits.h5", columns={"x": "/detector/x0"})[:, 0], [0, 1, 2])
    for path in ("detector/soft", "away/x0", "away/x0[0]"):
        with pytest.raises(PullbackError, match=f"'{path.split('[')[0]}.*' is a link to elsewhere"):
            hits("hits.h5", columns={"x": path})
    with pytest.raises(PullbackError, match=r"no column 'detector/x1'; the columns are: detector/x0$"):
        hits("hits.h5", columns={"x": "detector/x1"})
    with pytest.raises(PullbackError, match=r"no column 'detector'; the columns are: detector/x0$"):
        hits("hits.h5", columns={"x": "detector"})


def test_a_jagged_column_is_refused_with_advice():
    import awkward as ak

    lists = [[1.0], [], [2.0, 3.0]]
    write_root("tree.root", {"hits": {"x": ak.Array(lists)}})
    write_root("tuple.root", {}, {"hits": {"x": ak.Array(lists)}})
    pa.parquet.write_table(pa.table({"x": lists}), "hits.parquet")
    for path in ("tree.root", "tuple.root", "hits.parquet"):
        with pytest.raises(PullbackError) as caught:
            source(path).count_muons()
        assert str(caught.value).startswith(f"{path}: column 'x' is jagged (")
        assert "write it with a fixed size, as x[4], or one column per layer, with NaN" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_number_in_root():
    import awkward as ak

    record = ak.Array([{"u": 1.0}, {"u": 2.0}])
    write_root("hits.root", {}, {"hits": {"x": ["a", "b"], "flag": np.array([True, False]), "p": record}})
    words = {"x": "string, not numbers", "flag": "bool, not numbers", "p": "records of u; records in ROOT"}
    for name, what in words.items():
        with pytest.raises(PullbackError, match=rf"hits\.root: column '{name}' holds {what}"):
            hits("hits.root", columns={"x": name})


def test_the_tree_of_a_root_file():
    two = {"one": {"x": np.array([1.0])}, "deep/two": {"x": np.array([2.0, 3.0])}}
    write_root("hits.root", two, {"three": {"x": np.array([4.0])}})
    with pytest.raises(PullbackError, match=r"name one of its trees in source\.tree: one, deep/two, three$"):
        hits("hits.root")
    with pytest.raises(PullbackError, match=r"no tree 'two'; the trees are: one, deep/two, three$"):
        hits("hits.root", tree="two")
    np.testing.assert_array_equal(hits("hits.root", tree="deep/two"), [[2], [3]])
    np.testing.assert_array_equal(hits("hits.root", tree="one;1"), [[1]])
    np.testing.assert_array_equal(hits("hits.root", tree="three"), [[4]])
    with pytest.raises(PullbackError, match="holds no tree and no RNTuple"):
        hits(write_root("empty.root", {}))
    with pytest.raises(PullbackError, match="hits, only column names"):
        source(write("root", {"x": np.zeros(0)})).count_muons()
    with pytest.raises(PullbackError, match=r"source\.tree: hits\.csv is not a \.root file and has no trees"):
        source("hits.csv", tree="one")


def test_an_rntuple_with_elements_and_missing_hits():
    import awkward as ak

    n = 2 * BLOCK + 10
    a, x = np.random.default_rng(1).normal(size=(n, 3)), np.arange(float(n))
    optional = ak.Array([None if each == 5 else each for each in x.tolist()])
    write_root("hits.root", {}, {"hits": {"a": ak.to_regular(ak.Array(a)), "x": optional}})
    read = hits("hits.root", 1, n, ("x", "y"), columns={"y": "a[1]"})
    np.testing.assert_array_equal(read[:, 1], a[1:, 1])
    np.testing.assert_array_equal(read[:, 0], np.where(x == 5, np.nan, x)[1:])


def test_names_of_branches_are_no_expressions():
    write_root("hits.root", {"hits": {"x": np.array([3.0]), "y": np.array([1.0]), "x-y": np.array([7.0])}})
    assert hits("hits.root", columns={"x": "x-y"}) == [[7]]
    with pytest.raises(PullbackError, match=r"no column 'x\+y'; the columns are: x, y, x-y"):
        hits("hits.root", columns={"x": "x+y"})


def test_a_damaged_root_file_is_refused():
    # Numbers that can be compressed: those that can't are stored as they are, with no checksum.
    path = write("root", {"x": np.round(np.random.default_rng(1).normal(size=100_000), 2)})
    content = Path(path).read_bytes()
    half = len(content) // 2
    for damaged in (content[:half], content[:half] + b"?" * 5000 + content[half + 5000 :]):
        Path(path).write_bytes(damaged)
        with pytest.raises(PullbackError, match=r"hits\.root: can't be read: ") as caught:
            hits(path)
        assert "\n" not in str(caught.value)


def test_root_without_uproot(monkeypatch):
    path = write("root", {"x": np.zeros(3)})
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(PullbackError, match=r'need uproot, which is not installed: pip install "pullback\[root\]"'):
        hits(path)


def test_importing_is_light():
    code = (
        "import sys, pullback.hits.hits_file\n"
        "heavy = [name for name in ('torch', 'uproot', 'awkward', 'pyarrow') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT / "src")


def test_a_wrong_column_lists_the_first_of_many():
    path = write("parquet", {f"c{index}": [1.0] for index in range(100)})
    with pytest.raises(PullbackError, match=r"no column 'x'; the columns are: c0, .*, c29 and 70 more$"):
        hits(path)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"columns": {"x10": "a"}}, "source.columns: the model has no coordinate 'x10'; it has x0, x1; did you mean x"),
        ({"sigma": {"elephant": "a"}}, "source.sigma: the model has no coordinate 'elephant'; it has x0, x1"),
        ({"columns": {"x0": "x1"}}, "source.columns.x0: x0 and x1 are all column 'x1'"),
        ({"covariance": {"x0": "c"}}, "source.covariance: 'x0' must be two coordinates"),
        (
            {"sigma": {"x0": "s"}, "covariance": {"x0,x0": "c"}},
            "source.covariance: x0,x0 is the variance of x0, whose uncertainty is in source.sigma; leave one out",
        ),
        ({"covariance": {"x0,x0": "c", "x0,x1": "d"}}, "'x0,x1' needs the uncertainty of x1 in source.sigma, or its"),
        ({"covariance": {"x0,x1,x0": "c"}}, "source.covariance: 'x0,x1,x0' must be two coordinates"),
        ({"covariance": {"x0,y": "c"}}, "source.covariance: the model has no coordinate 'y'"),
        ({"sigma": {"x0": "s"}, "covariance": {"x0,x1": "c"}}, "'x0,x1' needs the uncertainty of x1 in source.sigma"),
        (
            {"sigma": {"x0": "s", "x1": "s"}, "covariance": {"x0,x1": "c", "x1,x0": "c"}},
            "source.covariance: 'x1,x0' is given twice",
        ),
    ],
)
def test_a_mapping_that_contradicts_the_model(section, expected):
    with pytest.raises(PullbackError) as caught:
        source("hits.csv", ("x0", "x1"), **section)
    assert str(caught.value).startswith("config: ")
    assert expected in str(caught.value)


def test_the_section_of_a_job_is_as_good():
    section = Recorded(
        file="hits.csv", columns={"x0": "a"}, unit="mm", sigma={"x1": "e", "x0": "e"}, covariance={"x1,x0": "c"}
    )
    file = source_of(Recorded.model_validate_json(section.model_dump_json()), ("x0", "x1"))
    assert file == source_of(section, ("x0", "x1"))
    assert file.coordinates == ("a", "x1")
    assert {index: each.column for index, each in file.sigma.items()} == {0: "e", 1: "e"}
    assert file.covariance == {(0, 1): "c"}


def test_a_study_of_mapped_hits_is_that_of_plain_ones():
    x = np.linspace(0.0, 1.0, 300)
    write("csv", {"x": x})
    write_root("hits.root", {"one": {"y": x}, "two": {"hit": np.stack([x, 1000 * x], axis=1)}})
    mapped = {"file": "hits.root", "tree": "two", "columns": {"x": "hit[1]"}, "unit": "mm"}
    reco = {}
    for name, section in (("plain", {"file": "hits.csv"}), ("mapped", mapped)):
        raw = {"study": name, "source": {"kind": "recorded", **section}, "toys": {"muons": 20, "per_muon": 200}}
        run = Run(raw, Path(name)).make()
        with open_study(run.folder / "study.h5") as reader:
            reco[name] = reader.rows("nominal/x_reco")
    np.testing.assert_array_equal(reco["plain"][:, 0], x)
    np.testing.assert_allclose(reco["mapped"], reco["plain"], rtol=1e-15)
    for section, expected in (
        ({"columns": {"y": "hit"}}, "the model has no coordinate 'y'; it has x"),
        ({"columns": {"x": "hits"}}, "no column 'hits'; the columns are: hit"),
    ):
        with pytest.raises(PullbackError, match=expected):
            Study.from_config({"study": "s", "source": {"kind": "recorded", **mapped, **section}})
