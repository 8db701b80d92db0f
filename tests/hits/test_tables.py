"""Tables in HDF5 files: of PyTables, of h5py, and of pandas."""

import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import hdf5, tables
from pullback.hits.hits_file import source_of
from pullback.study.blocks import BLOCK

BLOSC = 32001
CANDIDATES = [("event_number", "<i8"), ("y_dut_0", "<f8"), ("x_dut_0", ">f4"), ("hit", "<f8", (3,)), ("n_tracks", "u1")]


def candidates(rows):
    """Track candidates with random numbers."""
    rng = np.random.default_rng(11)
    table = np.zeros(rows, CANDIDATES)
    for name in ("x_dut_0", "y_dut_0", "hit"):
        table[name] = rng.normal(size=table[name].shape)
    table["event_number"] = np.arange(rows) * 3
    return table


def write(path="hits.h5", table=None, name="TrackCandidates", mode="w", **options):
    with h5py.File(path, mode) as file:
        file.create_dataset(name, data=candidates(5) if table is None else table, **options)
    return path


def write_pandas(path, group, mode="w"):
    """A group as pandas writes it by `to_hdf(..., format="table")`, of columns z, a, 7 and t."""
    blocks = {"values_block_0": ["z", "a"], "values_block_1": [7], "values_block_2": ["t"]}
    kinds = [("index", "<i8"), ("values_block_0", "<f8", (2,)), ("values_block_1", "<i8", (1,))]
    table = np.zeros(3, [*kinds, ("values_block_2", "S2", (1,))])
    table["values_block_0"], table["values_block_1"][:, 0] = [[1, 4], [2, 5], [3, 6]], [7, 8, 9]
    with h5py.File(path, mode) as file:
        made = file.create_group(group)
        made.attrs["pandas_type"] = np.bytes_("frame_table")
        data = made.create_dataset("table", data=table)
        for name, columns in blocks.items():
            data.attrs[f"{name}_kind"] = np.bytes_(pickle.dumps(columns, protocol=0))
        made.create_dataset("_i_table/index/abounds", data=np.zeros(2))
        made.create_dataset("_i_table/index/records", data=candidates(2))
    return path


def hits(path, column, start=0, stop=None, **section):
    file = source_of(Recorded(file=path, columns={"x": column}, **section), ["x"])
    muons = file.count_muons()
    return np.concatenate([block.hits for block in file.blocks(start, muons if stop is None else stop)])[:, 0]


@pytest.mark.parametrize("options", [{}, {"chunks": (1000,), "compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("name", ["TrackCandidates", "run/7/hits"])
def test_the_fields_of_a_table_are_columns(options, name):
    table = candidates(BLOCK + 100)
    path = write(table=table, name=name, **options)
    for given in ("", name, f"/{name}/"):
        np.testing.assert_array_equal(hits(path, "x_dut_0", table=given), table["x_dut_0"])
    np.testing.assert_array_equal(hits(path, "hit[2]", 17, BLOCK + 9), table["hit"][17 : BLOCK + 9, 2])
    np.testing.assert_array_equal(hits(path, "event_number", unit="mm"), table["event_number"] / 1000)


def test_several_columns_of_one_table():
    table = candidates(7)
    section = Recorded(file=write(table=table), columns={"b": "y_dut_0", "a": "hit[1]"}, sigma={"a": "event_number"})
    table["event_number"] += 1
    write(table=table)
    (block,) = source_of(section, ["a", "b", "x_dut_0"]).blocks(2, 6)
    expected = np.stack([table["hit"][:, 1], table["y_dut_0"], table["x_dut_0"]], axis=1)
    np.testing.assert_array_equal(block.hits, expected[2:6])
    np.testing.assert_array_equal(block.covariance[:, 0], table["event_number"][2:6] ** 2)


def test_fields_within_fields():
    table = np.zeros(3, [("hit", [("x", "f8"), ("y", "f8", (2,))]), ("n", "i4")])
    table["hit"]["y"] = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(hits(write(table=table), "hit/y[1]"), [1, 3, 5])
    with pytest.raises(PullbackError, match=r"no column 'y'; the columns are: hit/x, hit/y, n$"):
        hits("hits.h5", "y")


@pytest.mark.parametrize(
    ("column", "table", "expected"),
    [
        ("x", "", "no column 'x'; the columns are: event_number, y_dut_0, x_dut_0, hit, n_tracks"),
        ("x_dut_0", "Tracks", "no table 'Tracks'; the tables are: TrackCandidates"),
        ("x_dut_0[1]", "", "no element 'x_dut_0[1]': column 'x_dut_0' holds one number per row"),
        ("hit", "", "column 'hit' holds 3 numbers per row: name one, hit[0] to hit[2]"),
        ("hit[3]", "", "no element 'hit[3]': column 'hit' has hit[0] to hit[2]"),
        ("plain", "TrackCandidates", "no column 'plain'; the columns are: event_number"),
        ("x_dut_0", "plain", "no table 'plain'; the tables are: TrackCandidates"),
        ("x_dut_0", "link", "'link' is a link to elsewhere, which is refused"),
    ],
)
def test_wrong_columns_and_tables_are_listed(column, table, expected):
    with h5py.File(write(), "a") as file:
        file["plain"] = np.zeros(2)
        file["link"] = h5py.SoftLink("/TrackCandidates")
    with pytest.raises(PullbackError) as caught:
        hits("hits.h5", column, table=table)
    assert str(caught.value).startswith(f"hits.h5: {expected}")


def test_plain_datasets_beside_a_table_are_columns_too():
    with h5py.File(write(), "a") as file:
        file["plain"] = np.arange(2.0)
    np.testing.assert_array_equal(hits("hits.h5", "plain"), [0, 1])
    np.testing.assert_array_equal(hits("hits.h5", "event_number"), [0, 3, 6, 9, 12])


def test_one_of_several_tables_must_be_named():
    write(name="b/two")
    write(name="a", mode="a", table=candidates(2))
    write_pandas("hits.h5", "p", mode="a")
    with pytest.raises(PullbackError, match=r"^hits\.h5: name one of its tables in source\.table: a, b/two, p$"):
        hits("hits.h5", "x_dut_0")
    assert len(hits("hits.h5", "x_dut_0", table="a")) == 2
    assert len(hits("hits.h5", "x_dut_0", table="b/two")) == 5
    with pytest.raises(PullbackError, match=r"source\.table: hits\.csv is not a \.h5 file and has no tables"):
        source_of(Recorded(file="hits.csv", table="a"), ["x"])


def test_columns_of_pandas_have_their_own_names():
    path = write_pandas("hits.h5", "run/hits")
    for table in ("", "run/hits", "run/hits/table"):
        np.testing.assert_array_equal(hits(path, "a", table=table), [4, 5, 6])
    np.testing.assert_array_equal(hits(path, "z"), [1, 2, 3])
    np.testing.assert_array_equal(hits(path, "7"), [7, 8, 9])
    with pytest.raises(PullbackError, match=r"no column 'values_block_0'; the columns are: index, z, a, 7, t$"):
        hits(path, "values_block_0")
    with pytest.raises(PullbackError, match=r"'t' must be a column of numbers, not of \|S2, one per row$"):
        hits(path, "t")


def test_names_of_columns_are_not_unpickled():
    class Trap:
        def __reduce__(self):
            return (Path.touch, (Path("sprung"),))

    with h5py.File(write_pandas("hits.h5", "hits"), "a") as file:
        for trap in (pickle.dumps([Trap()], protocol=0), b"junk", b"\x80"):
            file["hits/table"].attrs["values_block_0_kind"] = np.bytes_(trap)
            with pytest.raises(PullbackError, match="the names of the columns in values_block_0 are no plain text"):
                tables.table_fields("hits.h5", file["hits/table"])
    assert not Path("sprung").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_names_are_read_from_every_protocol(protocol):
    names = ["x", "µ y", 3, "x" * 300]
    assert tables._pickled_names("f", "v", pickle.dumps(names, protocol)) == [*map(str, names)]


def test_what_pandas_itself_writes():
    pytest.importorskip("tables")
    frame = pytest.importorskip("pandas").DataFrame({"z": [1.0, 2.0], "n": [5, 6], "a": [3.0, 4.0], "t": ["u", "vv"]})
    frame.to_hdf("hits.h5", key="one/hits", format="table", complib="blosc", complevel=5)
    frame.to_hdf("hits.h5", key="two", format="table", data_columns=["n", "a"])
    frame[["z"]].to_hdf("hits.h5", key="fixed", format="fixed")
    for table in ("one/hits", "two"):
        for name in ("z", "n", "a"):
            np.testing.assert_array_equal(hits("hits.h5", name, table=table), frame[name])
    with pytest.raises(PullbackError, match=r"'fixed' is in the fixed format of pandas.*format=\"table\""):
        hits("hits.h5", "z", table="fixed")


def test_blosc_is_read_with_hdf5plugin(monkeypatch):
    import hdf5plugin

    table = candidates(3000)
    path = write(table=table, chunks=(1000,), **hdf5plugin.Blosc())
    np.testing.assert_array_equal(hits(path, "y_dut_0"), table["y_dut_0"])
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != BLOSC)
    with pytest.raises(PullbackError, match="is compressed by Blosc, which hdf5plugin does not have; write it with"):
        hits(path, "y_dut_0")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(PullbackError) as caught:
        hits(path, "y_dut_0")
    assert str(caught.value) == (
        "hits.h5: 'TrackCandidates' is compressed by Blosc, which needs hdf5plugin, which is not installed: "
        'pip install "pullback[hdf5]"'
    )


def test_a_plain_dataset_may_be_compressed_too(monkeypatch):
    import hdf5plugin

    with h5py.File("hits.h5", "w") as file:
        file.create_dataset("x", data=np.arange(5000.0), chunks=(100,), **hdf5plugin.Zstd())
    np.testing.assert_array_equal(hits("hits.h5", "x"), np.arange(5000.0))
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(PullbackError, match=r"'x' is compressed by Zstandard, which needs hdf5plugin"):
        hits("hits.h5", "x")


@pytest.mark.parametrize("options", [{}, {"chunks": (500,), "compression": "gzip"}])
def test_a_damaged_table_is_read_or_refused_in_one_line(options):
    rng, said = np.random.default_rng(1), []
    content = Path(write(table=candidates(4000), **options)).read_bytes()
    for trial in range(40):
        damaged = bytearray(content)
        at = int(rng.integers(len(content) if trial % 2 else 4000))
        damaged[at : at + 16] = rng.bytes(len(damaged[at : at + 16]))
        Path("hits.h5").write_bytes(damaged if trial % 4 else damaged[:at])
        try:
            hits("hits.h5", "y_dut_0")
        except PullbackError as error:
            said.append(str(error))
    assert len(said) > 8
    assert all(each.startswith("hits.h5: ") and each.isprintable() and len(each) < 500 for each in said)


def test_rows_are_read_in_pieces_that_fit_into_memory(monkeypatch):
    table = candidates(50_000)
    monkeypatch.setattr("pullback.hits.columns.CHUNK_BYTES", 1 << 16)
    pieces = [each for (each,) in hdf5.read(write(table=table), ["y_dut_0"], 3, 49_000)]
    assert max(map(len, pieces)) * table.dtype.itemsize < 1.2 * (1 << 16)
    np.testing.assert_array_equal(np.concatenate(pieces), table["y_dut_0"][3:49_000])
