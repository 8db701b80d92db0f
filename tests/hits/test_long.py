"""Lists of hits against a plain loop over their rows, which shares no code with the package."""

import math
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.config.own_schema import Own, OwnCoordinate, OwnObservable
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import event_order, long_rows, recorded_file
from pullback.models import load_model

KINDS = ["csv", "parquet", "h5", "root"]
NAMES = {"event": "event", "layer": "layer"}


def model_of(layers=4, views=2):
    return load_model((Track3d if views == 2 else Track)(z=[0.1 * layer for layer in range(layers)]))


def write(kind, columns):
    """A list of hits as a file of some kind."""
    path = f"hits.{kind}"
    if kind == "csv":
        pa.csv.write_csv(pa.table(columns), path)
    elif kind == "parquet":
        pa.parquet.write_table(pa.table(columns), path, row_group_size=999)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                text = isinstance(values[0], str)
                file.create_dataset(
                    name, data=list(values) if text else values, dtype=h5py.string_dtype() if text else None
                )
    else:
        import awkward as ak
        import uproot

        with uproot.recreate(path) as file:
            file.mkrntuple("hits", {name: ak.Array(values) for name, values in columns.items()})
    return path


def opened(path, model, planned=False, **section):
    views = {"x": "x", "y": "y"} if any(each.name.startswith("y") for each in model.coordinates) else {"x": "x"}
    file = recorded_file(Recorded(file=path, layout="long", **{**NAMES, **views, **section}), model)
    counts = file.counted()
    section = Recorded(file=path, layout="long", **{**NAMES, **views, **section})
    return (recorded_file(section, model, planned=counts) if planned else file), counts


def read(path, model, start=0, stop=None, **section):
    file, counts = opened(path, model, planned=True, **section)
    blocks = list(file.blocks(start, counts.muons if stop is None else stop))
    return np.concatenate([block.hits for block in blocks]), counts


def by_hand(columns, layers=4, views="xy"):
    """Events in order of first appearance, and the hit of each layer."""
    events = {}
    for row, (event, layer) in enumerate(zip(columns["event"], columns["layer"], strict=True)):
        hits = events.setdefault(event, [[math.nan] * layers for _ in views])
        for view, found in zip(views, hits, strict=True):
            found[layer] = columns[view][row]
    return np.array([np.ravel(hits) for hits in events.values()])


def some_hits(events=5000, layers=4, seed=1, share=0.8):
    """Hits in no order within events, of events in order, with layers that are missing."""
    rng = np.random.default_rng(seed)
    there = rng.random((events, layers)) < share
    there[:, 0] |= ~there.any(axis=1)
    event, layer = np.nonzero(there)
    order = np.lexsort((rng.random(len(event)), event))
    event, layer = event[order], layer[order].astype("i4")
    x, y = rng.normal(size=(2, len(event)))
    return {"event": event, "layer": layer, "x": x, "y": y, "other": x}


@pytest.fixture(params=[7, 1000, 65_536])
def _piece(request, monkeypatch):
    """Pieces of the file that end anywhere within events."""
    monkeypatch.setattr(long_rows, "PIECE", request.param)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("kind", KINDS)
def test_events_are_muons_and_layers_are_coordinates(kind):
    columns = some_hits(500)
    hits, counts = read(write(kind, columns), model_of())
    np.testing.assert_array_equal(hits, by_hand(columns))
    assert counts.plain() == {
        "rows": len(columns["event"]),
        "hits": len(columns["event"]),
        "events": 500,
        "used_hits": len(columns["event"]),
        "muons": 500,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_of_muons_is_that_part_of_all(kind):
    columns = some_hits(3000)
    path, model = write(kind, columns), model_of()
    for start, stop in ((0, 1), (1, 2), (700, 2900), (2999, 3000)):
        hits, _ = read(path, model, start, stop)
        np.testing.assert_array_equal(hits, by_hand(columns)[start:stop])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", [13, 65_536])
def test_rows_in_any_order_are_brought_together(kind, piece, monkeypatch):
    monkeypatch.setattr(long_rows, "PIECE", piece)
    monkeypatch.setattr(event_order, "PIECE", piece)
    columns = some_hits(400)
    order = np.random.default_rng(3).permutation(len(columns["event"]))
    columns = {name: values[order] for name, values in columns.items()}
    hits, counts = read(write(kind, columns), model_of())
    np.testing.assert_array_equal(hits, by_hand(columns))
    assert (counts.muons, counts.rows) == (400, len(order))
    places = {}
    for row, event in enumerate(columns["event"]):
        places.setdefault(event, []).append(row)
    assert counts.events_apart == sum(rows[-1] - rows[0] >= len(rows) for rows in places.values())
    np.testing.assert_array_equal(read("hits." + kind, model_of(), 17, 301)[0], by_hand(columns)[17:301])


@pytest.mark.parametrize("kind", KINDS)
def test_events_in_sequence_may_be_in_any_order(kind):
    columns = some_hits(300)
    columns["event"] = np.random.default_rng(1).permutation(300)[columns["event"]] + 5
    hits, counts = read(write(kind, columns), model_of())
    np.testing.assert_array_equal(hits, by_hand(columns))
    assert counts.events_apart == 0


@pytest.mark.parametrize("kind", KINDS)
def test_large_numbers_of_events_are_exact(kind):
    events = np.array([2**64 - 1, 2**64 - 2, 2**64 - 2, 2**63], dtype="u8")
    columns = {"event": events, "layer": np.array([0, 0, 1, 2]), "x": np.arange(4.0)}
    nan = math.nan
    hits, counts = read(write(kind, columns), model_of(3, 1))
    np.testing.assert_array_equal(hits, [[0, nan, nan], [1, 2, nan], [nan, nan, 3]])
    assert counts.muons == 3


def test_numbers_beyond_64_bits_and_names_of_events():
    Path("hits.csv").write_text(f"event,layer,x\n{2**70},0,1\n {2**70} ,1,2\n{2**70 + 1},0,3\nrun b,2,4\n")
    hits, counts = read("hits.csv", model_of(3, 1))
    np.testing.assert_array_equal(hits, [[1, 2, math.nan], [3, math.nan, math.nan], [math.nan, math.nan, 4]])
    assert counts.events_apart == 0


@pytest.mark.parametrize("kind", KINDS)
def test_layers_by_name_in_the_order_of_the_model(kind):
    columns = {
        "event": ["b", "b", "b", "a", "a"],
        "layer": ["top", "middle", "other", "bottom", "top"],
        "x": np.arange(1.0, 6.0),
    }
    path = write(kind, columns)
    hits, counts = read(path, model_of(3, 1), layers=["bottom", "middle", "top"])
    np.testing.assert_array_equal(hits, [[math.nan, 2, 1], [4, math.nan, 5]])
    assert (counts.hits, counts.used_hits, counts.other_layers) == (5, 4, 1)
    with pytest.raises(PullbackError) as caught:
        read(path, model_of(3, 1))
    assert str(caught.value).startswith(
        f"{path}: row 1, column 'layer': 'top' is no layer of the model, which has 0, 1, 2; list the file's layers in"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_layers_by_number_in_the_order_of_the_model(kind):
    columns = {"event": [1, 1, 1, 1], "layer": [7, 3, 12, 5], "x": np.arange(1.0, 5.0)}
    hits, counts = read(write(kind, columns), model_of(3, 1), layers=[12, 3, "7"])
    np.testing.assert_array_equal(hits, [[3, 2, 1]])
    assert counts.other_layers == 1


def test_an_event_without_a_hit_in_the_model_is_a_muon_without_hits():
    Path("hits.csv").write_text("event,layer,x\n1,9,1\n2,0,2\n3,8,3\n3,9,3\n4,1,4\n")
    hits, counts = read("hits.csv", model_of(2, 1), layers=[0, 1])
    np.testing.assert_array_equal(hits, [[math.nan] * 2, [2, math.nan], [math.nan] * 2, [math.nan, 4]])
    assert (counts.empty_events, counts.other_layers, counts.muons) == (2, 3, 4)


def long_csv(rows, layers, **section):
    """What planning finds about a list of hits."""
    Path("hits.csv").write_text("event,layer,x\n" + rows)
    source = Recorded(file="hits.csv", layout="long", **NAMES, x="x", layers=layers, **section)
    return recorded_file(source, model_of(len(layers), 1)).plan()


@pytest.mark.parametrize(
    ("rows", "layers", "message"),
    [
        (
            "1,P9,1\n1,P0,1\n2,3.0,2\n2,P0,2\n",
            ["P0", "P1"],
            "layer P1, which source.layers lists; column 'layer' has 3, P0, P9",
        ),
        (
            "1,10,1\n1,9,1\n2,2,2\n2,2,2\n",
            [9, "10", 7],
            "layer 7, which source.layers lists; column 'layer' has 2, 9, 10",
        ),
        (
            "".join(f"1,{i},0\n" for i in range(9)),
            [1, 20],
            "layer 20, which source.layers lists; column 'layer' has 0, 1, 2, 3, 4, 5 and 3 more",
        ),
    ],
)
def test_a_listed_layer_without_a_hit_is_refused(rows, layers, message):
    with pytest.raises(PullbackError) as caught:
        long_csv(rows, layers, several="drop")
    assert str(caught.value) == f"hits.csv: has no hit in {message}"


def test_a_listed_layer_of_which_no_hit_is_selected_is_none_without_hits():
    planned = long_csv("1,0,1\n1,1,9\n2,0,2\n2,1,9\n", [0, 1], select="x < 5 m")
    assert planned.counts.used_hits == 2


def test_a_listed_layer_that_was_off_has_no_hits():
    assert long_csv("1,0,1\n2,0,2\n", [0, 1]).counts.used_hits == 2


@pytest.mark.usefixtures("_piece")
def test_layers_that_are_not_listed_are_named():
    rows = "1,c,1\n1,a,1\n1,10,0\n2,b,2\n3,9,2\n3, a,2\n"
    assert long_csv(rows, ["b", "a"]).reading.others == ("9", "10", "c")
    assert long_csv(rows, ["b", "a"], select="x > 0.5 m").reading.others == ("9", "c")
    assert long_csv(rows, ["b", "a"], select="layer == 'a' or layer == 'b'").reading.others == ()


def test_lists_of_hits_name_their_layers():
    columns = {"layer": [["a", "c"], [], ["b"]], "x": [[1.0, 2.0], [], [3.0]]}
    pa.parquet.write_table(pa.table(columns), "hits.parquet")
    section = {"file": "hits.parquet", "layout": "long", "layer": "layer", "x": "x"}
    assert recorded_file(Recorded(**section, layers=["b", "a"]), model_of(2, 1)).plan().reading.others == ("c",)
    with pytest.raises(
        PullbackError, match=r"has no hit in layer d, which source\.layers lists; column 'layer' has a, b, c"
    ):
        recorded_file(Recorded(**section, layers=["b", "d"]), model_of(2, 1)).plan()


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("order", ["increasing", "any", "apart"])
def test_events_of_which_no_hit_is_selected_are_counted(order):
    rng = np.random.default_rng(4)
    event, layer = np.repeat(np.arange(60), 3), np.tile([0, 1, 2], 60)
    names = np.array([f"{number}" for number in rng.permutation(60)])[event] if order == "any" else event
    rows = rng.permutation(180) if order == "apart" else np.arange(180)
    x = rng.random(180)
    text = "".join(f"{names[row]},{layer[row]},{float(x[row])!r}\n" for row in rows)
    counts = long_csv(text, [2, 0, 1], select="x < 0.3 m").counts
    left = len({*event[x < 0.3]})
    assert 0 < left < 60
    assert (counts.events, counts.muons, counts.unselected_events) == (left, left, 60 - left)
    assert long_csv(text, [2, 0, 1]).counts.unselected_events == 0


def test_units_and_uncertainties_of_hits_by_view():
    text = "event,layer,x,y,ex,ey\n1,1,10,20,0.1,0.2\n1,0,30,40,0.3,0.4\n2,0,50,,0.5,\n"
    Path("hits.csv").write_text(text)
    file, counts = opened("hits.csv", model_of(2), unit="mm", sigma={"y": "ey", "x": "ex"})
    (block,) = file.blocks(0, counts.muons)
    nan = math.nan
    np.testing.assert_array_equal(block.hits, np.array([[30, 10, 40, 20], [50, nan, nan, nan]]) / 1000)
    expected = (np.array([[0.3, 0.1, 0.4, 0.2], [0.5, nan, nan, nan]]) / 1000) ** 2
    np.testing.assert_allclose(block.covariance, expected, rtol=1e-15)
    (block,) = opened("hits.csv", model_of(2), sigma={"y": "ey"})[0].blocks(0, 2)
    np.testing.assert_array_equal(np.isnan(block.covariance), [[True, True, False, False], [True] * 4])


def test_the_momentum_of_an_event():
    Path("hits.csv").write_text("event,layer,x,p\n1,0,1,3\n1,1,2,3\n2,0,1,\n2,1,2,\n3,1,4,0.5\n")
    (block,) = opened("hits.csv", model_of(2, 1), momentum_column="p")[0].blocks(0, 3)
    np.testing.assert_array_equal(block.momentum, [3, math.nan, 0.5])


SEVERAL = {
    "event": [1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3],
    "layer": [0, 1, 1, 2, 0, 1, 2, 0, 1, 2, 2],
    "x": [0.0, 9.0, 1.5, 2.0, 5.0, 6.0, 40.0, 0.0, 1.0, 2.5, 1.5],
}


@pytest.mark.parametrize("kind", KINDS)
def test_several_hits_in_a_layer_are_refused_or_dropped_or_the_nearest_is_taken(kind):
    path = write(kind, {name: np.array(values) for name, values in SEVERAL.items()})
    with pytest.raises(PullbackError) as caught:
        read(path, model_of(3, 1))
    assert str(caught.value) == (
        f"{path}: row 3: event 1 has several hits in layer 1, the first in row 2; set source.several to drop such "
        "events, or to nearest for the hit nearest to the line through other layers; or, if another column such as run "
        "numbers the events too, list both in source.event"
    )
    hits, counts = read(path, model_of(3, 1), several="drop")
    np.testing.assert_array_equal(hits, [[5, 6, math.nan]])
    assert counts.plain() == {
        "rows": 11,
        "hits": 11,
        "events": 3,
        "several_events": 2,
        "dropped_events": 2,
        "dropped_hits": 9,
        "used_hits": 2,
        "muons": 1,
    }
    hits, counts = read(path, model_of(3, 1), several="nearest")
    # In event 3, layer 2 is predicted at 2: 2.5 and 1.5 are at the same distance, and the first is taken.
    np.testing.assert_array_equal(hits, [[0, 1.5, 2], [5, 6, math.nan], [0, 1, 2.5]])
    assert counts.plain() == {
        "rows": 11,
        "hits": 11,
        "events": 3,
        "several_events": 2,
        "nearest_chosen": 2,
        "nearest_left": 3,
        "used_hits": 8,
        "muons": 3,
    }


def nearest_by_hand(columns, heights, lines):
    """One event at a time, by numpy's polynomial fit."""
    events = {}
    for row, event in enumerate(columns["event"]):
        events.setdefault(event, []).append(row)
    layers, found = len(heights), []
    for rows in events.values():
        muon = np.full((2, layers), np.nan)
        rows_of = {layer: [row for row in rows if columns["layer"][row] == layer] for layer in range(layers)}
        for layer, mine in rows_of.items():
            chosen = mine[0] if len(mine) == 1 else None
            if len(mine) > 1:
                off = np.zeros(len(mine))
                known = False
                for view in "xy":
                    single = [
                        (heights[other], columns[view][theirs[0]])
                        for other, theirs in rows_of.items()
                        if len(theirs) == 1 and lines[other] == lines[layer] and np.isfinite(columns[view][theirs[0]])
                    ]
                    if len({z for z, _ in single}) > 1:
                        z, values = np.array(single).T
                        slope, at_zero = np.polyfit(z, values, 1)
                        off += (columns[view][mine] - slope * heights[layer] - at_zero) ** 2
                        known = True
                off[np.isnan(off)] = np.inf
                chosen = mine[int(np.argmin(off))] if known and np.isfinite(off).any() else None
            if chosen is not None:
                muon[:, layer] = columns["x"][chosen], columns["y"][chosen]
        found.append(muon.ravel())
    return np.array(found)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("name", ["track3d", "scatter"])
def test_the_nearest_hit_by_a_fit_of_each_event(name):
    if name == "scatter":
        model = load_model(Scatter(z_upper=[1.0, 0.7, 0.6], z_lower=[-0.5, -0.5, -1.0]))
        heights, lines = [1.0, 0.7, 0.6, -0.5, -0.5, -1.0], [0, 0, 0, 1, 1, 1]
    else:
        model, heights, lines = model_of(6), [0.1 * layer for layer in range(6)], [0] * 6
    rng = np.random.default_rng(5)
    event = np.sort(rng.integers(400, size=2800))
    columns = {"event": event, "layer": rng.integers(6, size=2800)}
    columns |= {view: np.where(rng.random(2800) < 0.05, np.nan, rng.normal(size=2800)) for view in "xy"}
    hits, counts = read(write("parquet", columns), model, several="nearest")
    np.testing.assert_array_equal(hits, nearest_by_hand(columns, heights, lines))
    assert counts.nearest_undecided > 20
    assert counts.nearest_chosen > 60
    assert counts.hits == counts.used_hits + counts.nearest_left == 2800


def test_every_hit_is_accounted_for():
    rng = np.random.default_rng(8)
    columns = {"event": rng.integers(900, size=4000), "layer": rng.integers(7, size=4000), "x": rng.normal(size=4000)}
    path = write("parquet", columns)
    for several in ("drop", "nearest"):
        hits, counts = read(path, model_of(5, 1), layers=[4, 0, 1, 2, 3], several=several)
        assert counts.rows == counts.hits == 4000
        assert counts.hits == counts.used_hits + counts.other_layers + counts.dropped_hits + counts.nearest_left
        assert counts.events == counts.muons + counts.dropped_events == len(np.unique(columns["event"]))
        assert np.isfinite(hits).sum() == counts.used_hits
        if several == "drop":
            assert (~np.isfinite(hits).any(axis=1)).sum() == counts.empty_events


def jagged(kind, columns):
    """A file with one event per row, and lists of its hits."""
    import awkward as ak

    if kind == "parquet":
        pa.parquet.write_table(pa.table(columns), "hits.parquet", row_group_size=3)
        return "hits.parquet"
    import uproot

    arrays = {name: ak.Array(values) for name, values in columns.items()}
    with uproot.recreate("hits.root") as file:
        if kind == "tuple":
            file.mkrntuple("hits", arrays)
        else:
            file.mktree("hits", {name: each.type.content for name, each in arrays.items()}).extend(arrays)
    return "hits.root"


LISTS = {
    "layer": [[0, 2], [], [1], [2, 1, 0], []],
    "x": [[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0], []],
    "y": [[-1.0, -2.0], [], [-3.0], [-4.0, -5.0, -6.0], []],
    "p": [1.0, 2.0, 3.0, 4.0, 5.0],
    "number": [5, 3, 2, 9, 1],
}
nan = math.nan
FROM_LISTS = [
    [1, nan, 2, -1, nan, -2],
    [nan] * 6,
    [nan, 3, nan, nan, -3, nan],
    [6, 5, 4, -6, -5, -4],
    [nan] * 6,
]


@pytest.mark.parametrize("kind", ["parquet", "tree", "tuple"])
@pytest.mark.parametrize("event", ["", "number"])
def test_lists_of_hits_with_one_event_per_row(kind, event):
    file, counts = opened(jagged(kind, LISTS), model_of(3), event=event, momentum_column="p")
    (block,) = file.blocks(0, 5)
    np.testing.assert_array_equal(block.hits, FROM_LISTS)
    np.testing.assert_array_equal(block.momentum, LISTS["p"])
    assert counts.plain() == {"rows": 5, "hits": 6, "events": 5, "used_hits": 6, "empty_events": 2, "muons": 5}


@pytest.mark.parametrize("kind", ["parquet", "tree"])
def test_bad_lists_are_named_with_their_row(kind):
    path = jagged(kind, {**LISTS, "x": [[1.0, 2.0], [], [3.0, 4.0], [4.0, 5.0, 6.0], []]})
    with pytest.raises(PullbackError) as caught:
        read(path, model_of(3), event="")
    assert str(caught.value) == (
        f"{path}: row 3: lists differ in length: 'layer' has 1 and 'x' 2; they hold one value per hit"
    )
    path = jagged(kind, {**LISTS, "layer": [[0, 2], [], [1], [2, 1, 1], []]})
    with pytest.raises(PullbackError, match=r"row 4: its event has several hits in layer 1; set"):
        read(path, model_of(3), event="")


REFUSED = [
    ("1,0,1,2\n1,1,a,2\n", {}, "hits.csv: row 2, column 'x': 'a' is not a number"),
    ("1,0,1,2\n,1,1,2\n", {}, "hits.csv: row 2, column 'event': is empty: to which event does the hit belong?"),
    ("1,0,1,2\n1,  ,1,2\n", {}, "hits.csv: row 2, column 'layer': is empty: which layer is it?"),
    ("1,0,1,2\n1.5,1,1,2\n", {}, "hits.csv: row 2, column 'event': 1.5 is not the number of an event"),
    ("1.0,0,1,2\n-.25,1,1,2\n", {}, "hits.csv: row 2, column 'event': -.25 is not the number of an event"),
    ("1,0,1,2\n7,1,1,0.5\n", {"event": ["event", "y"]}, "hits.csv: row 2, column 'y': 0.5 is not the number of an"),
    ("1,0,1,2\n1,4,1,2\n", {}, "hits.csv: row 2, column 'layer': '4' is no layer of the model, which has 0, 1, 2, 3;"),
    ("1,0,1,2\n1,-1,1,2\n", {}, "hits.csv: row 2, column 'layer': '-1' is no layer of the model"),
    ("1,0,1,2\n1,0.5,1,2\n", {}, "hits.csv: row 2, column 'layer': '0.5' is no layer of the model"),
    ("1,0,1,2\n1,1,1\n", {}, "hits.csv: row 2: has 3 cells, and the header 4"),
    ('1,0,1,2\n"1,1,1,2\n', {}, "hits.csv: row 2: a quote is opened and not closed"),
    ("", {}, "hits.csv: holds no hits, only a header"),
    ("1,0,1,2\n", {"event": "number"}, "hits.csv: no column 'number'; the columns are: event, layer, x, y"),
    ("1,0,1,2\n", {"event": ""}, "config: source.event: is missing; it names the column with the event of each hit"),
    ("1,0,1,2\n1,1,1,0\n", {"sigma": {"x": "y"}}, "hits.csv: row 2, column 'y': is not a standard uncertainty: 0"),
    ("1,0,1,2\n1,1,1,\n", {"momentum_column": "y"}, "hits.csv: row 2, column 'y': is not the momentum of the first"),
    ("1,0,1,2\n2,1,1,-3\n", {"momentum_column": "y"}, "hits.csv: row 2, column 'y': is not a momentum: -3"),
    ("1,0,1,2\n", {"layers": [1, 2, 3, 4]}, "hits.csv: has no hit in any layer of the model: 1, 2, 3, 4"),
    (
        "1,0,1,2\n1,0,1,2\n",
        {"several": "drop"},
        "hits.csv: no muon is left: all 1 events have several hits in a layer; does source.event need a second column",
    ),
    ("1,0,1,2\n", {"y": ""}, "config: source.y: is missing; it names the column with the hits in view y"),
    ("1,0,1,2\n", {"sigma": {"z": "y"}}, "config: source.sigma: the model has no view 'z'; it has x, y"),
    ("1,0,1,2\n", {"layers": ["a", "b"]}, "config: source.layers: has 2 values, but the model has 4 layers"),
    ("1,0,1,2\n", {"layers": [1, 2, "01", 4]}, "config: source.layers: '01' is listed twice"),
    ("1,0,1,2\n", {"tree": "hits"}, "config: source.tree: hits.csv is not a .root file"),
]


@pytest.mark.parametrize(("rows", "section", "expected"), REFUSED)
def test_what_is_refused_is_said_in_one_line(rows, section, expected):
    Path("hits.csv").write_text("event,layer,x,y\n" + rows)
    with pytest.raises(PullbackError) as caught:
        read("hits.csv", model_of(), **section)
    assert str(caught.value).startswith(expected)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["parquet", "h5"])
def test_a_bad_cell_in_rows_that_are_apart_is_named_with_its_own_row(kind):
    columns = {"event": [4, 3, 4, 3], "layer": [0, 0, 1, 1], "x": np.ones(4), "ex": np.array([1.0, 1.0, 0.0, 1.0])}
    with pytest.raises(PullbackError, match=rf"hits\.{kind}: row 3, column 'ex': is not a standard uncertainty: 0"):
        read(write(kind, columns), model_of(2, 1), sigma={"x": "ex"})
    columns |= {"layer": [0, 1, 1, 1]}
    with pytest.raises(
        PullbackError, match=rf"hits\.{kind}: row 4: event 3 has several hits in layer 1, the first in row 2;"
    ):
        read(write(kind, columns), model_of(2, 1))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.5], "row 2, column 'event': 1.5 is not the number of an event"),
        ([1.0, nan], "row 2, column 'event': is empty"),
        ([1.0, 2.0**60], "row 2, column 'event': 1.152921504606847e+18 is not the number of an event"),
        ([1.0, math.inf], "row 2, column 'event': inf is not the number of an event"),
        ([True, False], "column 'event' holds bool, not numbers or names of events"),
        ([1, None], "row 2, column 'event': is empty"),
        (["a", None], "row 2, column 'event': is empty"),
    ],
)
def test_events_that_are_none(values, expected):
    path = write("parquet", {"event": values, "layer": [0, 1], "x": [1.0, 2.0]})
    with pytest.raises(PullbackError) as caught:
        read(path, model_of(2, 1))
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_whole_numbers_of_events_may_have_a_point_and_names_may_have_several():
    Path("hits.csv").write_text("event,layer,x\n7.0,0,1\n7,1,2\n 7. ,2,3\nrun 1.5,0,4\n1.2.3,0,5\n")
    hits, counts = read("hits.csv", model_of(3, 1))
    np.testing.assert_array_equal(hits, [[1, 2, 3], [4, nan, nan], [5, nan, nan]])
    assert counts.events_apart == 0


def test_events_as_floating_point_numbers():
    path = write("parquet", {"event": [2.0, 2.0, 1.0], "layer": [0.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(read(path, model_of(2, 1))[0], [[1, 2], [nan, 3]])


@pytest.mark.parametrize("layer", [[0, None], [0.0, nan]])
def test_layers_that_are_none(layer):
    path = write("parquet", {"event": [1, 1], "layer": layer, "x": [1.0, 2.0]})
    with pytest.raises(PullbackError, match="row 2, column 'layer': is empty"):
        read(path, model_of(2, 1), layers=[0, 1])


def test_text_in_place_of_numbers_in_parquet():
    path = write("parquet", {"event": [1], "layer": [0], "x": ["1.0"]})
    with pytest.raises(PullbackError, match=r"hits\.parquet: column 'x' holds string, not numbers"):
        read(path, model_of(2, 1))


def test_a_file_too_large_to_be_sorted_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr("pullback.hits.long.MOST_ROWS", 3)
    Path("hits.csv").write_text("x,event,layer\n1,1,0\n2,2,0\n3,1,1\n")
    assert read("hits.csv", model_of(2, 1))[1].events_apart == 1
    Path("hits.csv").write_text("x,event,layer\n1,1,0\n2,2,0\n3,1,1\n4,2,1\n")
    with pytest.raises(PullbackError) as caught:
        read("hits.csv", model_of(2, 1))
    message = str(caught.value)
    assert message.startswith(
        "hits.csv: the rows of 2 events are apart, and 4 hits are more than the 3 that are sorted in memory: "
        "sort the file by event, such as by "
    )
    import subprocess

    subprocess.run(message.split("such as by ")[1], shell=True, check=True)
    hits, counts = read("sorted.csv", model_of(2, 1))
    np.testing.assert_array_equal(hits, [[1, 3], [2, 4]])
    assert counts.events_apart == 0


def test_many_events_in_no_order_can_not_be_compared(monkeypatch):
    monkeypatch.setattr(event_order, "MOST_EVENTS", 3)
    columns = {"event": np.arange(9)[::-1].copy(), "layer": np.zeros(9, int), "x": np.ones(9)}
    with pytest.raises(PullbackError, match="events are in no order, so that more than"):
        read(write("parquet", columns), model_of(2, 1))
    for event in (np.arange(9), [f"run {each}" for each in range(9)]):
        assert read(write("parquet", {**columns, "event": event}), model_of(2, 1))[1].muons == 9


def test_an_event_of_the_whole_file_is_refused(monkeypatch):
    monkeypatch.setattr(event_order, "PIECE", 50)
    columns = {"event": np.full(200, 7), "layer": np.arange(200), "x": np.ones(200)}
    with pytest.raises(PullbackError, match=r"hits\.csv: row 1: event 7 has more than .* hits; does event number"):
        read(write("csv", columns), model_of(2, 1), layers=[0, 1])


def own(*coordinates):
    section = Own(
        file="model.py",
        coordinates=[OwnCoordinate(name=name, layer=layer) for name, layer in coordinates],
        observables=[OwnObservable(name="a", unit="m")],
    )
    Path("model.py").write_text("def infer(hits):\n    return hits[:, :1]\n")
    return load_model(section)


def test_an_own_model_whose_coordinates_have_layers():
    model = own(("y_back", 1), ("x_front", 0), ("x_back", 1))
    Path("hits.csv").write_text("event,layer,x,y\n1,1,1,2\n1,0,3,\n2,0,4,\n")
    np.testing.assert_array_equal(read("hits.csv", model)[0], [[2, 3, 1], [nan, 4, nan]])
    Path("hits.csv").write_text("event,layer,x,y\n1,1,1,2\n1,0,3,5\n2,0,4,\n")
    with pytest.raises(PullbackError, match=r"row 2, column 'y': the model has no coordinate of view y in this layer"):
        read("hits.csv", model)
    with pytest.raises(PullbackError, match="nearest needs the heights of the layers, which this model does not have"):
        read("hits.csv", model, several="nearest")


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [
        ([("ct", 0)], "long needs coordinates x… and y… of layers, and the model has 'ct'; call it x_ct or y_ct"),
        ([("x0", 0), ("x1", 0)], "'x1' is a second coordinate of view x in layer 0; use layout: wide"),
        (
            [("x0", None), ("x1", None), ("y0", None), ("y1", None)],
            "x0 and y0 are in different layers of the model; give the coordinates their layer",
        ),
    ],
)
def test_own_models_whose_coordinates_can_not_be_matched(coordinates, expected):
    with pytest.raises(PullbackError) as caught:
        read("hits.csv", own(*coordinates))
    assert str(caught.value).startswith("config: source.layout: long")
    assert expected in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_events_that_restart_with_each_run(kind):
    columns = {
        "run": np.array([1, 1, 1, 2, 2, 11]),
        "event": ["7", "7", "8", "7", "8", "7"],
        "layer": np.array([0, 1, 0, 0, 1, 1], dtype="u1"),
        "x": np.arange(6.0),
    }
    path = write(kind, columns)
    with pytest.raises(PullbackError, match="row 4: event 7 has several hits in layer 0, the first in row 1"):
        read(path, model_of(2, 1))
    hits, counts = read(path, model_of(2, 1), event=["run", "event"])
    np.testing.assert_array_equal(hits, [[0, 1], [2, nan], [3, nan], [nan, 4], [nan, 5]])
    assert (counts.events, counts.events_apart) == (5, 0)


def test_layers_by_large_numbers_are_exact():
    ids = [2**60 + 1, 2**60 + 2]
    path = write("parquet", {"event": [1, 1], "layer": ids[::-1], "x": [1.0, 2.0]})
    np.testing.assert_array_equal(read(path, model_of(2, 1), layers=ids)[0], [[2, 1]])


def test_an_event_by_several_columns_is_named_by_all():
    Path("hits.csv").write_text("run,event,layer,x\n5,a,0,1\n5,a,0,1\n")
    with pytest.raises(PullbackError, match="row 2: event 5, a has several hits in layer 0, the first in row 1; set"):
        read("hits.csv", model_of(2, 1), event=["run", "event"])
    Path("hits.csv").write_text("run,event,layer,x\n5,a,0,1\n5,,0,1\n")
    with pytest.raises(PullbackError, match="row 2, column 'event': is empty"):
        read("hits.csv", model_of(2, 1), event=["run", "event"])


@pytest.mark.parametrize("kind", ["parquet", "root"])
def test_lists_of_a_fixed_size(kind):
    layer, x = np.array([[0, 1, -1], [2, 0, 1]]), np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]])
    if kind == "root":
        import uproot

        with uproot.recreate("hits.root") as file:
            file.mktree("hits", {"layer": ("i4", (3,)), "x": ("f8", (3,))}).extend(
                {"layer": layer.astype("i4"), "x": x}
            )
    else:
        columns = {"layer": layer, "x": x}
        fixed = {name: pa.FixedSizeListArray.from_arrays(each.ravel(), 3) for name, each in columns.items()}
        pa.parquet.write_table(pa.table(fixed), "hits.parquet")
    hits, counts = read(f"hits.{kind}", model_of(3, 1), event=[], layers=[0, 1, 2])
    np.testing.assert_array_equal(hits, [[1, 2, nan], [4, 5, 3]])
    assert (counts.rows, counts.hits, counts.other_layers) == (2, 6, 1)


def test_layers_must_be_lists_where_hits_are():
    pa.parquet.write_table(pa.table({"event": [1], "layer": [0], "x": [[1.0, 2.0]]}), "hits.parquet")
    with pytest.raises(
        PullbackError, match="column 'layer' holds int64, beside lists of the hits of an event; it must"
    ):
        read("hits.parquet", model_of(3, 1))
    pa.parquet.write_table(pa.table({"event": [1], "layer": [[0]], "x": [1.0]}), "hits.parquet")
    with pytest.raises(PullbackError, match="column 'x' holds double, beside lists of the hits of an event; it must"):
        read("hits.parquet", model_of(3, 1))
    nothing = pa.array([[], []], pa.list_(pa.int8()))
    pa.parquet.write_table(pa.table({"layer": nothing, "x": nothing}), "hits.parquet")
    with pytest.raises(PullbackError, match="has no hit in any layer of the model: 0, 1"):
        read("hits.parquet", model_of(2, 1), event=[])


@pytest.mark.parametrize("kind", ["csv", "parquet", "root"])
def test_a_list_without_hits(kind):
    path = write(kind, {"event": np.zeros(0, int), "layer": np.zeros(0, int), "x": np.zeros(0)})
    with pytest.raises(PullbackError, match="holds no hits, only "):
        read(path, model_of(2, 1))


@pytest.mark.parametrize("piece", [2, 3, 65_536])
@pytest.mark.parametrize(
    "events", [["3", "1", "3", "4", "5", "6"], ["7", "07", "7", "8", "9", "9"], ["a", "b", "b", "a", "c", "d"]]
)
def test_events_that_are_apart_once_are_found(events, piece, monkeypatch):
    monkeypatch.setattr(long_rows, "PIECE", piece)
    columns = {"event": events, "layer": [0, 1, 2, 3, 1, 2], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    hits, counts = read(write("csv", columns), model_of(4, 1))
    np.testing.assert_array_equal(hits, by_hand(columns, views="x"))
    assert counts.events_apart == 1


def test_of_hits_at_the_same_distance_the_first_in_the_file_is_taken():
    """Also where rows are brought together; with 5000 events an unstable sort would not keep their order."""
    events = 5000
    layer = np.repeat([3, 0, 3, 1, 3, 2], events)
    x = np.repeat([2.0, 0.0, -2.0, 0.0, 2.0, 0.0], events)
    columns = {"event": np.tile(np.arange(events), 6), "layer": layer, "x": x}
    hits, counts = read(write("parquet", columns), model_of(4, 1), several="nearest")
    np.testing.assert_array_equal(hits, np.tile([0.0, 0.0, 0.0, 2.0], (events, 1)))
    assert (counts.events_apart, counts.nearest_chosen, counts.nearest_left) == (events, events, 2 * events)


def test_layers_at_one_height_have_no_line():
    """Although the mean of three equal heights may be rounded."""
    assert sum([0.1, 0.1, 0.1]) / 3 != 0.1
    columns = {"event": [1] * 5, "layer": [0, 1, 2, 3, 3], "x": [1.0, 2.0, 4.0, 5.0, 6.0]}
    model = load_model(Track(z=[0.1, 0.1, 0.1, 0.4]))
    hits, counts = read(write("csv", columns), model, several="nearest")
    np.testing.assert_array_equal(hits, [[1, 2, 4, nan]])
    assert (counts.nearest_chosen, counts.nearest_undecided, counts.nearest_left) == (0, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_far_down_are_named(kind):
    count = 300_000
    columns = {"event": np.arange(count), "layer": np.zeros(count, int), "x": np.zeros(count)}
    columns["layer"][290_000] = 5
    with pytest.raises(PullbackError, match="row 290001, column 'layer': '5' is no layer of the model"):
        read(write(kind, columns), model_of(2, 1))
    columns["layer"][290_000] = 0
    columns["event"][290_000] = 289_999
    with pytest.raises(PullbackError, match="row 290001: event 289999 has several hits in layer 0, the first in row"):
        read(write(kind, columns), model_of(2, 1))


def test_an_uncertainty_whose_square_is_no_number_in_metres():
    Path("hits.csv").write_text("event,layer,x,ex\n1,0,1,1\n1,1,1,1e-160\n")
    assert opened("hits.csv", model_of(2, 1), sigma={"x": "ex"})[1].muons == 1
    with pytest.raises(PullbackError, match="row 2, column 'ex': is not a standard uncertainty: 1e-160"):
        list(opened("hits.csv", model_of(2, 1), sigma={"x": "ex"}, unit="mm")[0].blocks(0, 1))


def two_runs(noise=0.0, events=400, layers=5, seed=3):
    """Hits of two runs that number their events alike, in the order of the runs, and noise hits."""
    rng = np.random.default_rng(seed)
    there = rng.random((2, events, layers)) < 0.95
    there[1, : events // 4] = False
    run, event, layer = np.nonzero(there)
    number = np.nonzero(rng.random((2, events, layers)) < noise)
    run, event, layer = (np.concatenate(both) for both in zip((run, event, layer), number, strict=True))
    order = np.lexsort((event, run))
    columns = {"event": event[order], "layer": layer[order], "run": run[order] + 17, "x": rng.normal(size=len(order))}
    others = {name: rng.integers(1, 60, len(order)) for name in ("charge", "tot", "row", "column")}
    return {"hit": np.arange(len(order)), **others, **columns}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("several", ["nearest", "drop"])
def test_a_column_that_separates_merged_events_is_found(kind, several):
    columns = two_runs()
    file, _ = opened(write(kind, columns), model_of(5, 1), several=several)
    found = file.plan()
    events = [np.bincount(columns["layer"][columns["event"] == each], minlength=5) for each in range(400)]
    crowded = sum(np.sum(hits > 1) > np.sum(hits > 0) / 2 for hits in events)
    assert 280 < crowded <= 300
    assert found.counts.crowded_events == crowded
    assert found.reading.separating == "run"
    assert type(found.reading).of_plain(found.reading.plain()) == found.reading


def test_a_column_that_numbers_hits_separates_no_events():
    columns = two_runs()
    del columns["run"]
    found = opened(write("csv", columns), model_of(5, 1), several="nearest")[0].plan()
    assert found.counts.crowded
    assert found.reading.separating == ""


def test_ordinary_noise_is_no_cause_for_a_warning():
    section = {"several": "nearest", "event": ["run", "event"]}
    counts = opened(write("csv", two_runs(0.05, 4000)), model_of(5, 1), **section)[0].plan().counts
    assert counts.several_events > 0.2 * counts.events
    assert not counts.notable_loss
    counts = opened(write("csv", two_runs(0.15, 4000)), model_of(5, 1), **section)[0].plan().counts
    assert counts.notable_loss
    assert not counts.crowded
