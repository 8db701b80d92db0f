from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pullback.batches import BLOCK
from pullback.errors import PullbackError
from pullback.recorded import count_muons, read_hits


def write(kind, columns, **options):
    """A file of hits of some kind."""
    path = f"hits.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    elif kind == "parquet":
        pa.parquet.write_table(pa.table(columns), path, **options)
    else:
        pa.csv.write_csv(pa.table(columns), path)
    return path


def hits(path, start=0, stop=None, names=("x",)):
    return np.concatenate(list(read_hits(path, names, start, count_muons(path, names) if stop is None else stop)))


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5"])
def test_all_kinds_read_the_same_in_blocks(kind):
    x = np.random.default_rng(1).normal(size=2 * BLOCK + 1000)
    y = -x
    options = {"row_group_size": 10_007} if kind == "parquet" else {}
    path = write(kind, {"y": y, "other": y, "x": x}, **options)
    assert count_muons(path, ["x", "y"]) == len(x)
    blocks = list(read_hits(path, ["x", "y"], 0, len(x)))
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 1000]
    np.testing.assert_array_equal(np.concatenate(blocks), np.stack([x, y], axis=1))
    np.testing.assert_array_equal(hits(path, BLOCK, 2 * BLOCK), x[BLOCK : 2 * BLOCK, None])
    np.testing.assert_array_equal(hits(path, 2 * BLOCK, len(x)), x[2 * BLOCK :, None])


@pytest.mark.parametrize("kind", ["parquet", "h5"])
def test_whole_and_short_numbers_are_numbers(kind):
    for values in (np.arange(5, dtype="i4"), np.arange(5, dtype="f4")):
        np.testing.assert_array_equal(hits(write(kind, {"x": values}))[:, 0], np.arange(5.0))


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
        ("hits.csv", b"x,y\n1,2\n3\n", "row 2: Expected 2 columns, got 1"),
        ("hits.csv", "x\n1\n".encode("utf-16"), "not UTF-8"),
        ("hits.csv", b"x,caf\xe9\n1,2\n", "the header, column 2: is not UTF-8"),
        ("hits.csv", b"x\n0.1\n\n\nabc\n", "row 4, column 'x': 'abc'"),
        ("hits.csv", b"y,x\n1,2\n" + b"1,2\n" * 999 + b"1,\xff\n", "row 1001, column 2: is not UTF-8"),
        ("hits.csv", b"y,x\n1,2\n1,\xff\n", "row 2, column 2: is not UTF-8"),
        ("hits.parquet", b"PAR1 and no more", "can't be read"),
        ("hits.parquet", b"", "can't be read"),
        ("hits.h5", b"\x89HDF\r\n\x1a\n and no more", "can't be read"),
        ("hits.txt", b"x\n1\n", "must be in a .csv, .parquet or .h5 file, not .txt"),
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


@pytest.mark.parametrize("suffix", ["csv", "parquet", "h5"])
def test_a_folder_is_refused(suffix):
    Path(f"hits.{suffix}").mkdir()
    with pytest.raises(PullbackError, match="is a folder"):
        hits(f"hits.{suffix}")


def test_columns_that_are_not_asked_for_may_hold_anything():
    rows = "".join(f"0.25,{index}\n" for index in range(1_200_000)) + "0.5,hello\n"
    Path("hits.csv").write_text("x,note\n" + rows)
    assert count_muons("hits.csv", ["x"]) == 1_200_001
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
    with pytest.raises(PullbackError, match="must be a dataset of numbers with one dimension"):
        hits(write("h5", {"x": np.zeros((3, 2))}))
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


def test_a_file_that_shrank_is_noticed():
    path = write("csv", {"x": np.zeros(10)})
    with pytest.raises(PullbackError, match="ends at row 10, before row 20"):
        hits(path, 0, 20)
