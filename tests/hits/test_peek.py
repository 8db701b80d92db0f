import gzip
import pickle
import tracemalloc

import awkward as ak
import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from pullback.errors import HitsError
from pullback.hits.contents import HEAD_ROWS
from pullback.hits.peek import peek

TEXT = "x0_mm,x1 [mm],note,n\n1.5,,a,1\nnan,-2,b,2\n"


def columns(path, name=""):
    """The columns of the only table, as tuples."""
    (table,) = peek(path, name).tables
    return [(each.name, each.described, each.unit, each.missing, list(each.values)) for each in table.columns]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zst"])
def test_csv(kind):
    path = f"hits.{kind}"
    with pa.output_stream(path, compression={"csv.gz": "gzip", "csv.zst": "zstd"}.get(kind)) as stream:
        stream.write(TEXT.encode())
    found = columns(path)
    assert found[1:] == [
        ("x1 [mm]", "int64", "mm", 1, [None, -2]),
        ("note", "text", "", 0, ["a", "b"]),
        ("n", "int64", "", 0, [1, 2]),
    ]
    assert found[0][:4] == ("x0_mm", "float64", "mm", 1)
    assert found[0][4][0] == 1.5
    assert np.isnan(found[0][4][1])
    assert (peek(path).tables[0].rows, peek(path).tables[0].rows_are) == (2, "")


@pytest.mark.parametrize(("separator", "words"), [(";", "semicolons"), ("\t", "tabs")])
def test_csv_with_decimal_commas(separator, words):
    rows = [["event", "x", "note"], ["1", "1,5", "a"], ["2", "-,5e1", "1,5 b"]]
    with open("hits.csv", "w") as stream:
        stream.writelines(separator.join(row) + "\n" for row in rows)
    found = peek("hits.csv")
    assert found.format == f"CSV, separated by {words}"
    assert [(each.name, each.kind, list(each.values)) for each in found.tables[0].columns] == [
        ("event", "int64", [1, 2]),
        ("x", "float64", [1.5, -5.0]),
        ("note", "text", ["a", "1,5 b"]),
    ]


def test_only_the_start_of_a_large_csv_file_is_read():
    row = "1.25,2.5\n"
    with open("hits.csv", "w") as stream:
        stream.write("x0,x1\n" + row * 1_000_000)
    tracemalloc.start()
    (table,) = peek("hits.csv").tables
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (table.rows_are, table.rows) == ("about", 1_000_000)
    assert len(table.column("x0").values) == HEAD_ROWS
    assert peak < 40e6


def test_rows_of_a_large_compressed_file_are_not_counted():
    with gzip.open("hits.csv.gz", "wt", compresslevel=1) as stream:
        stream.write("x0,x1\n" + "1.25,2.5\n" * 600_000)
    (table,) = peek("hits.csv.gz").tables
    assert table.rows_are == "more than"
    assert 400_000 < table.rows < 600_000


def test_parquet():
    lists = pa.list_(pa.float32(), 2)
    schema = pa.schema(
        [
            pa.field("x", lists, metadata={"units": "cm"}),
            pa.field("jagged", pa.list_(pa.int16()), metadata={b"unit": b"m"}),
            pa.field("e", pa.float64()),
            pa.field("name", pa.string()),
        ]
    )
    rows = [[[1.0, 2.0], [3.0, None]], [[1], []], [None, 0.5], ["a", "b"]]
    table = pa.table([pa.array(each, field.type) for each, field in zip(rows, schema, strict=True)], schema=schema)
    pa.parquet.write_table(table, "hits.parquet")
    assert columns("hits.parquet") == [
        ("x", "list of 2 float32", "cm", 1, rows[0]),
        ("jagged", "jagged list of int16", "m", 0, rows[1]),
        ("e", "float64", "", 1, rows[2]),
        ("name", "text", "", 0, rows[3]),
    ]


def test_a_table_as_pytables_writes_it():
    rows = np.array(
        [(1.5, [1, 2, 3], b"ab"), (np.inf, [4, 5, 6], b"")], [("x_0", "f8"), ("list", "i4", (3,)), ("s", "S3")]
    )
    with h5py.File("hits.h5", "w") as file:
        file.create_dataset("Hits", data=rows, chunks=(2,), **hdf5plugin.Blosc())
        file["_i_Hits/x_0/sorted"] = np.zeros((4, 2))
    for name in ("", "Hits", "/Hits"):
        assert columns("hits.h5", name) == [
            ("x_0", "float64", "", 0, [1.5, np.inf]),
            ("list", "list of 3 int32", "", 0, [[1, 2, 3], [4, 5, 6]]),
            ("s", "text", "", 0, ["ab", ""]),
        ]


def test_a_table_as_pandas_writes_it():
    """By `to_hdf(..., format="table")`, with the columns y1, x1 and n."""
    rows = np.array(
        [(0, [1.0, 3.0], [5]), (1, [2.0, np.nan], [6])],
        [("index", "i8"), ("values_block_0", "f8", (2,)), ("values_block_1", "i8", (1,))],
    )
    with h5py.File("hits.h5", "w") as file:
        file.create_group("all/hits").attrs["pandas_type"] = np.bytes_("frame_table")
        table = file.create_dataset("all/hits/table", data=rows)
        for name, titles in (("values_block_0", ["y1", "x1"]), ("values_block_1", ["n"])):
            table.attrs[f"{name}_kind"] = np.bytes_(pickle.dumps(titles, protocol=0))
    assert peek("hits.h5").tables[0].name == "all/hits"
    assert columns("hits.h5", "all/hits")[:2] == [
        ("index", "int64", "", 0, [0, 1]),
        ("y1", "float64", "", 0, [1.0, 2.0]),
    ]
    assert [each[:4] for each in columns("hits.h5")][2:] == [("x1", "float64", "", 1), ("n", "int64", "", 0)]


def test_datasets_of_the_same_length_are_a_table():
    with h5py.File("hits.h5", "w") as file:
        for name in ("b/x1", "b/x0"):
            file[name] = np.arange(3, dtype="f4") + len(file)
            file[name].attrs["units"] = "mm"
        file["text"] = ["a", "b", "c"]
        file.create_dataset("runs", data=np.arange(8).reshape(2, 4), **hdf5plugin.Blosc())
        file["scalar"] = 1.0
        file["soft"] = h5py.SoftLink("/b/x0")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
    found = peek("hits.h5").tables
    assert [(table.name, table.rows, table.names) for table in found] == [
        ("", 3, ["b/x0", "b/x1", "text"]),
        ("", 2, ["runs"]),
    ]
    assert [(each.unit, each.kind) for each in found[0].columns] == [("mm", "float32"), ("mm", "float32"), ("", "text")]
    assert found[1].column("runs").values == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_lists_of_different_length_in_hdf5():
    with h5py.File("hits.h5", "w") as file:
        file.create_dataset("x", (2,), dtype=h5py.vlen_dtype("f8"))[:] = [np.array([1.0]), np.array([2.0, 3.0])]
    assert columns("hits.h5") == [("x", "jagged list of float64", "", 0, [[1.0], [2.0, 3.0]])]


def test_root():
    jagged = ak.Array([[1, 2], []])
    with uproot.recreate("hits.root") as file:
        file["in/tree"] = {"x": np.array([[1.0, 2.0], [3.0, np.nan]]), "layer": jagged}
        file.mkrntuple("tuple", {"X1": np.array([1.5, 2.5], "f4"), "s": ["a", "b"]})
    first, second = peek("hits.root").tables
    assert (first.name, second.name, peek("hits.root", "tuple").tables[0].name) == ("in/tree", "tuple", "tuple")
    assert (first.rows, second.rows) == (2, 2)
    described = {each.name: (each.described, each.missing) for each in (*first.columns, *second.columns)}
    assert described["x"] == ("list of 2 float64", 1)
    assert described["layer"] == ("jagged list of int64", 0)
    assert described["X1"] == ("float32", 0)
    assert described["s"] == ("text", 0)
    assert first.column("layer").values == [[1, 2], []]
    assert second.column("s").values == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "table", "expected"),
    [
        ("hits.csv", None, "", "hits.csv: no such file"),
        ("hits.txt", b"x\n", "", "not .txt"),
        ("hits.csv", b"", "", "the file is empty"),
        ("hits.csv", b"x|y\n1|2\n", "", "not by vertical lines"),
        ("hits.csv", b"1,2\n3,4\n", "", "the header is missing, since the first line holds only numbers"),
        ("hits.csv", b"x,y\n1,2\n3\n", "", "row 2: has 1 cell, and the header 2"),
        ("hits.csv", b'x,y\n1,"2\n', "", "is a quote opened and not closed?"),
        ("hits.csv", b"x,y\n1,\xff\n", "", "is not UTF-8 text"),
        ("hits.csv", b"x\n1\n", "t", "a CSV file has no tables by name; leave 't' out"),
        ("hits.csv", b"x" * (5 << 20), "", "the first line is longer than 4 MiB"),
        ("hits.csv", b"PAR1\x15\0", "", "is a Parquet file: name it .parquet"),
        ("hits.csv.gz", gzip.compress(b"x\n1\n" * 99, mtime=0)[:25], "", "is cut off"),
        ("hits.csv.zst", b"x\n1\n", "", "damaged, or not compressed by zstd"),
        ("hits.parquet", b"PAR1\x15", "", "can't be read"),
        ("hits.h5", b"\x89HDF\r\n\x1a\n", "", "can't be read"),
        ("hits.root", b"root\0", "", "can't be read"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, name, content, table, expected):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HitsError) as caught:
        peek(str(tmp_path / name), table)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_table_or_tree():
    with h5py.File("hits.h5", "w") as file:
        file["a"] = np.zeros(2, [("x", "f8")])
        file["b"] = np.zeros(2)
    with pytest.raises(HitsError, match=r"no table 'c'; the tables are: a"):
        peek("hits.h5", "c")
    with uproot.recreate("hits.root") as file:
        file["t"] = {"x": np.zeros(2)}
    with pytest.raises(HitsError, match=r"no tree 'c'; the trees are: t"):
        peek("hits.root", "c")
    with uproot.recreate("none.root"):
        pass
    with pytest.raises(HitsError, match="holds no tree"):
        peek("none.root")


def test_many_columns():
    names = [f"c{index}" for index in range(1000)]
    with open("hits.csv", "w") as stream:
        stream.write(",".join(names) + "\n" + (",".join("1" * 1000) + "\n") * 2000)
    (table,) = peek("hits.csv").tables
    assert (len(table.columns), table.left_out, table.rows) == (300, 700, 2000)
