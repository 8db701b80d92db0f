"""Kept columns: whole numbers stay whole numbers and text stays text, in every kind of file."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hit_files import write, write_root

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits.hits_file import source_of

KINDS = ["csv", "parquet", "h5", "root"]
LARGE = 2**63 - 1
HUGE = 2**64 - 1


def kept(path, *names, **section):
    """The kept columns of a file, and their types at planning."""
    section = Recorded(file=path, keep=list(names), **section)
    plan = source_of(section, ["x"]).plan()
    blocks = source_of(section, ["x"], plan.sha256, plan.reading).blocks(0, plan.counts.muons, 2)
    of_blocks = [block.kept for block in blocks]
    return {name: np.concatenate([each[name] for each in of_blocks]) for name in names}, dict(plan.reading.kept)


def write_any(kind, columns):
    """A file with columns of numbers and text."""
    if kind != "root":
        return write(kind, columns)
    return write_root("hits.root", {}, {"hits": columns})


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_are_exact(kind):
    columns = {
        "x": np.arange(5.0),
        "event": np.array([LARGE, 0, -LARGE, 3, 2**53 + 1]),
        "time": np.array([HUGE, 0, 1, 2, 3], dtype="u8"),
        "real": np.array([0.1, -np.inf, 1e300, np.nan, 5]),
    }
    found, kinds = kept(write_any(kind, columns), "time", "event", "real")
    assert list(kinds.items()) == [("time", "u8"), ("event", "i8"), ("real", "f8")]
    for name in kinds:
        np.testing.assert_array_equal(found[name], columns[name])
        assert found[name].dtype == np.dtype(kinds[name])


@pytest.mark.parametrize("kind", ["parquet", "h5", "root"])
def test_short_numbers_and_truth_values_become_whole_numbers(kind):
    columns = {"x": np.arange(3.0), "n": np.array([1, 2, 255], "u1"), "ok": np.array([True, False, True])}
    found, kinds = kept(write_any(kind, columns), "n", "ok")
    assert kinds == {"n": "i8", "ok": "i8"}
    assert found["n"].tolist() == [1, 2, 255]
    assert found["ok"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_kept(kind):
    run = ["a", "µm", "run 17, first", "", "b"]
    found, kinds = kept(write_any(kind, {"x": np.arange(5.0), "run": run}), "run")
    assert kinds == {"run": "S13"}
    assert [each.decode() for each in found["run"]] == run


def test_text_of_fixed_length_and_in_tables():
    table = np.zeros(3, [("x", "f8"), ("run", "S4"), ("n", "<u8", (2,))])
    table["run"], table["n"] = [b"ab", b"", b"abcd"], [[1, 2], [3, HUGE], [5, 6]]
    with h5py.File("hits.h5", "w") as file:
        file["t"] = table
    found, kinds = kept("hits.h5", "run", "n[1]", "n[0]")
    assert kinds == {"run": "S4", "n[1]": "u8", "n[0]": "u8"}
    assert found["run"].tolist() == [b"ab", b"", b"abcd"]
    assert (found["n[1]"].tolist(), found["n[0]"].tolist()) == ([2, HUGE, 6], [1, 3, 5])


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        ("1 2 3", "i8", [1, 2, 3]),
        (f"{HUGE} 2 3", "u8", [HUGE, 2, 3]),
        (f"{HUGE} -2 3", "f8", [float(HUGE), -2, 3]),
        ("1 2.5 3", "f8", [1, 2.5, 3]),
        ("1 - 3", "f8", [1, np.nan, 3]),
        ("1 nan 3", "f8", [1, np.nan, 3]),
        ("- - -", "f8", [np.nan] * 3),
        ("1 two 3", "S3", [b"1", b"two", b"3"]),
        (f"{2**53} - 1", "f8", [2.0**53, np.nan, 1]),
    ],
)
def test_the_cells_of_a_csv_file_decide(cells, kind, expected):
    rows = "".join(f"0,{'' if cell == '-' else cell}\n" for cell in cells.split())
    Path("hits.csv").write_text("x,c\n" + rows)
    found, kinds = kept("hits.csv", "c")
    assert kinds == {"c": kind}
    np.testing.assert_array_equal(found["c"], expected)


def test_a_cell_far_down_decides_too():
    rows = 1_200_000
    Path("hits.csv").write_text("x,c\n" + "0,1\n" * rows + "0,b\n")
    section = Recorded(file="hits.csv", keep=["c"])
    assert source_of(section, ["x"]).plan().reading.kept == {"c": "S1"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_whole_numbers_are_nan_unless_they_are_too_large(kind):
    path = write(kind, {"x": pa.array([1.0, 2, 3]), "n": pa.array([1, None, 3])})
    found, kinds = kept(path, "n")
    assert kinds == {"n": "f8"}
    np.testing.assert_array_equal(found["n"], [1, np.nan, 3])
    path = write(kind, {"x": pa.array([1.0, 2, 3]), "n": pa.array([2**53 + 1, None, 3])})
    with pytest.raises(PullbackError, match=r"column 'n' has whole numbers beyond 2⁵³ and empty cells"):
        kept(path, "n")


def test_what_can_not_be_kept_is_refused():
    x = pa.array([1.0, 2.0])
    for column, expected in (
        (pa.array([1, 2], pa.timestamp("ms")), r"column 'c' holds timestamp\[ms\], neither numbers nor text"),
        (pa.array([b"a", b"b"]), "column 'c' holds binary, neither numbers nor text"),
        (pa.array([[1], [2, 3]]), "column 'c' holds lists"),
        (pa.array(["a", "b" * 257]), "column 'c' has text of 257 bytes; at most 256 can be kept"),
    ):
        pa.parquet.write_table(pa.table({"x": x, "c": column}), "hits.parquet")
        with pytest.raises(PullbackError, match=rf"^hits\.parquet: {expected}"):
            kept("hits.parquet", "c")
    for kind in KINDS:
        with pytest.raises(PullbackError, match=r"no column 'evnet'; the columns are: .*event"):
            kept(write_any(kind, {"x": np.ones(2), "event": np.arange(2)}), "evnet")


def test_text_of_a_dictionary_and_a_column_that_is_a_coordinate_too():
    run = pa.array(["a", "b", "a"]).dictionary_encode()
    pa.parquet.write_table(pa.table({"x": pa.array([3, 4, 5]), "run": run}), "hits.parquet")
    found, kinds = kept("hits.parquet", "run", "x", select="run == 'a' and x > 0", unit="mm")
    assert kinds == {"run": "S1", "x": "i8"}
    assert (found["run"].tolist(), found["x"].tolist()) == ([b"a", b"a"], [3, 5])
