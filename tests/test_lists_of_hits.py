"""Events with lists of hits: structs in Parquet, and rows of any length in HDF5, against what was written."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pullback.config.model_schema import Track, Track3d
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import recorded_file
from pullback.models import load_model

LAYERS = 3
LIST = {"layout": "long", "layer": "hits.plane", "x": "hits.x", "y": "hits.y"}


def events(seed=2, number=200):
    """Events with hits in no order, some without any."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        planes = rng.permutation(LAYERS)[: rng.integers(LAYERS + 1)].tolist()
        made.append([{"plane": p, "x": rng.normal(), "y": rng.normal(), "z": rng.normal(), "q": p % 2} for p in planes])
    return made


def expected(made, keys="xy"):
    found = np.full((len(made), len(keys), LAYERS), np.nan)
    for row, hits in enumerate(made):
        for hit in hits:
            found[row, :, hit["plane"]] = [hit[key] for key in keys]
    return found.reshape(len(made), -1)


def read(path, model=None, **section):
    model = load_model(model or Track3d(z=[0.1 * layer for layer in range(LAYERS)]))
    source = Recorded(file=path, **section)
    counts, digest, reading = recorded_file(source, model).plan()
    (block,) = recorded_file(source, model, digest, counts, reading).blocks(0, counts.muons, counts.muons)
    return block, counts


def as_lists(kind, made):
    """The hits of each event, in a type of Arrow."""
    hit = pa.struct(
        [("plane", pa.int16()), ("x", pa.float64()), ("q", pa.int8()), ("y", pa.float64()), ("z", pa.float64())]
    )
    if kind == "list of structs":
        return pa.array(made, pa.list_(hit))
    if kind == "large list of structs":
        return pa.array(made, pa.large_list(hit))
    names = [field.name for field in hit]
    lists = {name: [[each[name] for each in hits] for hits in made] for name in names}
    if kind == "struct of lists":
        return pa.array([{name: lists[name][row] for name in names} for row in range(len(made))])
    inner = pa.struct([("at", hit)])
    return pa.array([[{"at": each} for each in hits] for hits in made], pa.list_(inner))


@pytest.mark.parametrize("kind", ["list of structs", "large list of structs", "struct of lists", "deeper"])
@pytest.mark.parametrize("groups", [7, 1000])
def test_structs_in_parquet(kind, groups):
    made, inner = events(), "hits.at." if kind == "deeper" else "hits."
    table = pa.table({"before": np.arange(200.0), "hits": as_lists(kind, made), "run": pa.array(range(200))})
    pa.parquet.write_table(table, "hits.parquet", row_group_size=groups)
    section = {key: each.replace("hits.", inner) for key, each in LIST.items()}
    block, counts = read("hits.parquet", **section, z=f"{inner}z", keep=["run"])
    np.testing.assert_array_equal(block.hits, expected(made))
    np.testing.assert_array_equal(block.z, expected(made, "z"))
    np.testing.assert_array_equal(block.kept["run"], np.arange(200))
    assert (counts.hits, counts.muons) == (sum(map(len, made)), 200)
    chosen = [[hit for hit in hits if hit["q"]] for hits in made]
    block, counts = read("hits.parquet", **section, select=f"`{inner}q` > 0", keep=["run"])
    rows = block.kept["run"]
    np.testing.assert_array_equal(block.hits, expected(chosen)[rows])
    assert counts.used_hits == sum(map(len, chosen))
    assert set(rows) == {row for row, hits in enumerate(chosen) if hits}


def test_missing_lists_and_structs():
    hit = pa.struct([("plane", pa.int64()), ("x", pa.float64())])
    column = pa.array(
        [None, [], [{"plane": 1, "x": None}, {"plane": 0, "x": 2.0}], [{"plane": 2, "x": 3.0}]], pa.list_(hit)
    )
    pa.parquet.write_table(pa.table({"hits": column}).slice(0, 4), "hits.parquet")
    block, _ = read("hits.parquet", Track(z=[0, 1, 2]), layout="long", layer="hits.plane", x="hits.x")
    nan = np.nan
    np.testing.assert_array_equal(block.hits, [[nan] * 3, [nan] * 3, [2, nan, nan], [nan, nan, 3]])
    column = pa.array([[{"plane": 1, "x": 1.0}, None]], pa.list_(hit))
    pa.parquet.write_table(pa.table({"hits": column}), "hits.parquet")
    with pytest.raises(PullbackError, match=r"row 1, column 'hits\.plane': is empty: which layer is it\?"):
        read("hits.parquet", Track(z=[0, 1, 2]), layout="long", layer="hits.plane", x="hits.x")


def test_records_of_awkward_arrays():
    import awkward as ak

    made = events(number=50)
    ak.to_parquet(ak.Array({"hits": made, "weight": np.arange(50.0)}), "hits.parquet")
    np.testing.assert_array_equal(read("hits.parquet", **LIST)[0].hits, expected(made))


def test_structs_with_one_row_per_muon():
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(2, 60, 2))
    columns = {
        f"plane{i}": [{"at": {"x": x[row, i], "other": 1}, "z": [z[row, i]] * 2} for row in range(60)] for i in range(2)
    }
    kind = pa.struct([("at", pa.struct([("x", pa.float64()), ("other", pa.int8())])), ("z", pa.list_(pa.float64(), 2))])
    table = pa.table({name: pa.array(values, kind) for name, values in columns.items()})
    pa.parquet.write_table(table, "hits.parquet", row_group_size=11)
    columns = {"x0": "plane0.at.x", "x1": "plane1.at.x"}
    block, _ = read("hits.parquet", Track(z=[0, 1]), columns=columns, z=["plane0.z[1]", "plane1.z[0]"])
    np.testing.assert_array_equal(block.hits, x)
    np.testing.assert_array_equal(block.z, z)


def test_a_name_with_a_dot_and_lists_of_a_fixed_size():
    hit = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    pairs = pa.array([[{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}], None], pa.list_(hit, 2))
    pa.parquet.write_table(pa.table({"hits.q": [5.0, 6.0], "hits": pairs}), "hits.parquet")
    block, _ = read("hits.parquet", Track(z=[0, 1]), columns={"x0": "hits.q", "x1": "hits.y[1]"})
    np.testing.assert_array_equal(block.hits, [[5, 4], [6, np.nan]])


def test_what_is_said_of_structs():
    pa.parquet.write_table(
        pa.table({"hits": as_lists("list of structs", events(number=5)), "e": range(5)}), "hits.parquet"
    )
    for section, message in (
        ({**LIST, "layer": "hits"}, "no column 'hits'; the columns are: hits.plane, hits.x, hits.q, hits.y, hits.z, e"),
        ({**LIST, "x": "hits.w"}, "no column 'hits.w'; the columns are: hits.plane, hits.x,"),
        ({"columns": {"x0": "hits.x", "x1": "hits.y", "x2": "e"}}, "column 'hits.x' is jagged (list<"),
    ):
        model = Track3d(z=[0, 1, 2]) if "layout" in section else Track(z=[0, 1, 2])
        with pytest.raises(PullbackError) as caught:
            read("hits.parquet", model, **section)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def jagged(made, table, kinds):
    """A file of HDF5 with lists as datasets, or as fields of a table."""
    names = ["plane", "x", "y", "z", "q"]
    lists = {name: [np.array([hit[name] for hit in hits], kinds.get(name, "f8")) for hits in made] for name in names}
    dtype = np.dtype([("number", "i8"), *((name, h5py.vlen_dtype(np.dtype(kinds.get(name, "f8")))) for name in names)])
    with h5py.File("hits.h5", "w") as file:
        if table:
            rows = np.empty(len(made), dtype)
            for row in range(len(made)):
                rows[row] = (row, *(lists[name][row] for name in names))
            file["events"] = rows
            return
        file["number"] = np.arange(len(made))
        for name in names:
            column = file.create_dataset(name, (len(made),), dtype[name], chunks=(16,), compression="gzip")
            for row, values in enumerate(lists[name]):
                column[row] = values


@pytest.mark.parametrize("kinds", [{"plane": "u1"}, {"plane": "i4", "x": "f4", "y": ">f8", "z": ">f4", "q": ">i2"}])
@pytest.mark.parametrize("table", [False, True])
def test_rows_of_any_length_in_hdf5(kinds, table):
    made = events()
    jagged(made, table, kinds)
    for hits in made:
        for hit in hits:
            hit |= {name: np.array(hit[name]).astype(kind).item() for name, kind in kinds.items()}
    section = {key: each.replace("hits.", "") for key, each in LIST.items()}
    block, counts = read("hits.h5", **section, z="z", event="number", keep=["number"], select="q >= 0 or number < 0")
    chosen = [row for row, hits in enumerate(made) if hits]  # an event without hits has no q, and is not selected
    np.testing.assert_array_equal(block.hits, expected(made)[chosen])
    np.testing.assert_array_equal(block.z, expected(made, "z")[chosen])
    np.testing.assert_array_equal(block.kept["number"], chosen)
    assert counts.rows == 200
    block, counts = read("hits.h5", **section)
    np.testing.assert_array_equal(block.hits, expected(made))
    with pytest.raises(PullbackError, match="column 'x' is jagged"):
        read("hits.h5", Track(z=[0, 1]), columns={"x0": "x", "x1": "number"})
    with pytest.raises(PullbackError, match="column 'q' holds lists"):
        read("hits.h5", **section, keep=["q"])


def test_names_of_layers_in_lists_of_hdf5():
    with h5py.File("hits.h5", "w") as file:
        file.create_dataset("plane", (2,), h5py.vlen_dtype(h5py.string_dtype()))[0] = np.array(["top", "low"], object)
        x = file.create_dataset("x", (2,), h5py.vlen_dtype("f8"))
        x[0] = [1.0, 2.0]
    block, _ = read("hits.h5", Track(z=[0, 1]), layout="long", layer="plane", x="x", layers=["low", "top"])
    np.testing.assert_array_equal(block.hits, [[2, 1], [np.nan, np.nan]])
    with h5py.File("hits.h5", "a") as file:
        file["x"][1] = [1.0]
    with pytest.raises(PullbackError, match=r"row 2: lists differ in length: 'plane' has 0 and 'x' 1"):
        read("hits.h5", Track(z=[0, 1]), layout="long", layer="plane", x="x", layers=["low", "top"])


@pytest.mark.parametrize(
    "section",
    [LIST, {**LIST, "layer": "hits"}, {"columns": {"x0": "hits", "x1": "n", "x2": "m"}}, {"columns": {"x0": "hits.x"}}],
)
def test_records_in_root_are_not_read(section):
    import awkward as ak
    import uproot

    with uproot.recreate("hits.root") as file:
        file.mkrntuple("hits", {"hits": ak.Array([[{"plane": 0, "x": 1.0}], []]), "n": [1, 2], "m": [1, 2]})
    with pytest.raises(PullbackError) as caught:
        read("hits.root", Track(z=[0.0, 0.1, 0.2]), **{key: each for key, each in section.items() if key != "y"})
    assert str(caught.value) == (
        "hits.root: column 'hits' holds records of plane, x; records in ROOT files are not read: write each of these "
        "as a column of its own, or the file as Parquet"
    )
