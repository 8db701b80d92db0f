import random
from dataclasses import replace

import pytest

from pullback.hits.column_words import name_words
from pullback.hits.contents import FileColumn, FileTable
from pullback.hits.guess import guess


def table(**columns):
    """A table with these values by name; lists are of the length of the first."""
    found = []
    for name, values in columns.items():
        first = values[0]
        shape = (len(first),) if isinstance(first, list) and len({len(each) for each in values}) == 1 else ()
        jagged = isinstance(first, list) and not shape
        inner = next((each[0] for each in values if each), 0.0) if isinstance(first, list) else first
        kind = "text" if isinstance(inner, str) else "float64"
        found.append(FileColumn(name, kind, values, shape=shape, jagged=jagged))
    return FileTable("", len(values), tuple(found))


def numbers(*names):
    return table(**{name: [0.5, 1.5] for name in names})


@pytest.mark.parametrize(
    "pattern",
    [
        "{}{}",
        "{}_{}",
        "{}_dut_{}",
        "hit_{}{}",
        "hit{}_{}",
        "plane{1}_{0}",
        "layer_{1}_{0}_mm",
        "{} {} [mm]",
        "pos_{}{}",
    ],
)
@pytest.mark.parametrize("upper", [False, True])
def test_names_with_the_number_of_the_layer(pattern, upper):
    layers = [10, 2, 3]  # in the file's order
    names = {
        (axis, layer): pattern.format(axis.upper() if upper else axis, layer) for axis in "xyz" for layer in layers
    }
    found = guess(numbers(*reversed([*names.values()]), "event", "charge_2", "p"))
    assert found.x == tuple(names["x", layer] for layer in sorted(layers))
    assert found.y == tuple(names["y", layer] for layer in sorted(layers))
    assert found.z == tuple(names["z", layer] for layer in sorted(layers))
    assert (found.layer, found.count) == ("", 3)


def test_the_order_of_columns_does_not_matter():
    names = [f"{axis}{layer}" for axis in "xy" for layer in range(12)]
    for seed in range(5):
        random.Random(seed).shuffle(names)
        assert guess(numbers(*names)).x == tuple(f"x{layer}" for layer in range(12))


@pytest.mark.parametrize("errors", ["ex{}", "x_err{}", "xerr_{}", "sigma_x{}", "err_x_{}", "sx{}"])
def test_uncertainties(errors):
    names = [errors.format(layer) for layer in range(2)]
    found = guess(numbers("x0", "x1", *names))
    assert (found.x, found.sigma_x, found.sigma_y) == (("x0", "x1"), tuple(names), ())


def test_uncertainties_of_another_name_or_that_are_not_positive_are_none():
    zero = table(x0=[1.0, 2.0], x1=[1.0, 2.0], ex0=[0.0, 0.0], ex1=[0.1, 0.1])
    assert guess(zero).sigma_x == ()
    assert guess(numbers("x0", "x1", "ex0")).sigma_x == ()


@pytest.mark.parametrize("other", ["x_true_{}", "x_res_{}", "x_fit{}", "slope_x{}", "chi_x{}", "px{}", "vx{}", "{}"])
def test_numbers_that_are_no_hits(other):
    assert guess(numbers(*(other.format(layer) for layer in range(4)))) is None
    assert guess(numbers("x0", "x1", *(other.format(layer) for layer in range(4)))).x == ("x0", "x1")


def test_lists_with_one_value_per_layer():
    found = guess(table(hit_x=[[1.0, 2.0, 3.0]], hit_y=[[1.0, 2.0, 3.0]], ehit_x=[[1.0]], name=["a"]))
    assert found.x == ("hit_x[0]", "hit_x[1]", "hit_x[2]")
    assert found.y == ("hit_y[0]", "hit_y[1]", "hit_y[2]")


def test_a_view_without_all_layers_is_left_out():
    found = guess(numbers("x0", "x1", "x2", "y0", "y2"))
    assert (found.x, found.y) == (("x0", "x1", "x2"), ())


def test_a_tracker_that_measures_y_only():
    assert guess(numbers("y0", "y1")).x == ("y0", "y1")


def test_one_position():
    assert guess(numbers("event", "x")).x == ("x",)
    assert guess(numbers("event", "hit_x_mm")).x == ("hit_x_mm",)


@pytest.mark.parametrize("names", [("event", "charge"), (), ("x0_1", "x0_2"), ("a", "b")])
def test_nothing_that_looks_like_hits(names):
    assert guess(table(**{name: [1.0] for name in names} or {"a": ["b"]})) is None


def test_heights():
    found = guess(table(X0=[1.0, 2.0], X1=[1.0, 2.0], Z0=[5.0, 5.0], Z1=[-3.0, None]))
    assert (found.heights, found.level) == ((5.0, -3.0), True)
    found = guess(table(X0=[1.0, 2.0], X1=[1.0, 2.0], Z0=[5.0, 6.0], Z1=[-3.0, -3.0]))
    assert (found.heights, found.level) == ((5.5, -3.0), False)


@pytest.mark.parametrize("event", ["event", "event_id", "EventNumber", "evt", "muon", "trigger_id", "TrackID"])
@pytest.mark.parametrize("layer", ["layer", "Layer_ID", "plane", "detector", "station_number", "panel"])
@pytest.mark.parametrize("x", ["x", "X", "hit_x", "x_mm", "pos_x"])
def test_long_tables(event, layer, x):
    found = guess(table(**{x: [1.0] * 4, layer: [7, 3, 7, 3], event: [1, 1, 2, 2], "x_true": [0.0] * 4}))
    assert (found.x, found.y, found.layer, found.event, found.layers) == ((x,), (), layer, (event,), (3, 7))


def test_layers_of_a_long_table_are_in_order_of_their_heights():
    rows = {"evt": [1, 1, 1], "plane": ["up", "low", "mid"], "x": [1.0] * 3, "y": [1.0] * 3, "z": [9.0, -9.0, 1.0]}
    found = guess(table(**rows, ex=[0.1] * 3))
    assert (found.layers, found.heights, found.level) == (("low", "mid", "up"), (-9.0, 1.0, 9.0), True)
    assert (found.y, found.sigma_x, found.sigma_y) == (("y",), ("ex",), ())


def test_layers_numbered_by_floats_are_whole_numbers():
    found = guess(table(event=[1, 1, 1], layer=[3.0, 1.5, 2.0], x=[1.0] * 3))
    assert list(map(repr, found.layers)) == ["1.5", "2", "3"]


def test_jagged_lists_need_no_event():
    found = guess(table(layer=[[0, 2], [1]], x=[[1.0, 2.0], [3.0]], y=[1.0, 2.0], event=[1, 2]))
    assert (found.layer, found.event, found.x, found.y, found.layers) == ("layer", (), ("x",), (), (0, 1, 2))


def test_a_table_without_layers_is_not_long_and_one_without_events_lacks_them():
    rows = {"event": [1, 1], "layer": [0, 1], "x": [1.0, 2.0]}
    assert guess(table(event=rows["event"], x=rows["x"])).layer == ""
    found = guess(table(layer=rows["layer"], x=rows["x"]))
    assert (found.layer, found.event) == ("layer", ())


@pytest.mark.parametrize("event", ["ev", "evn", "Event Number"])
@pytest.mark.parametrize("run", ["run", "RunID"])
def test_runs_number_events_too(run, event):
    found = guess(table(**{"layer": [0, 1], "hx": [1.0, 2.0], event: [1, 1], run: [2, 2]}))
    assert (found.layer, found.event, found.x) == ("layer", (run, event), ("hx",))


def test_a_position_with_one_cell_of_text_is_not_left_out():
    found = guess(table(x0=[1.0, 2.0, 3.0], x1=["1.0", "n/a?", "3.0"], x2=[1.0, 2.0, 3.0], name0=["a", "b", "c"]))
    assert found.x == ("x0", "x1", "x2")


def test_a_column_twice_is_none():
    columns = [FileColumn(name, "float64", [1.0]) for name in ("x0", "x0", "x1", "x2")]
    assert guess(FileTable("", 1, tuple(columns))).x == ("x1", "x2")


def test_words_of_names():
    assert name_words("det/hitX_0") == ["det", "hit", "x", "0"]
    assert name_words("x_um") == ["x"]
    assert name_words("x[2]") == ["x", "2"]


def in_other_words(layers, rows=400, **more):
    """A list of hits whose columns of events and layers have names that nobody knows."""
    values = [float(row) for row in range(rows)]
    found = {"Ereignis": values, "Ebene": [layers[row % len(layers)] for row in range(rows)], "x": values, "y": values}
    columns = table(**found, **more).columns
    whole = [replace(each, kind="int64") if isinstance(each.values[0], int) else each for each in columns]
    return FileTable("", rows, tuple(whole))


@pytest.mark.parametrize("layers", [["T1", "T2", "DUT"], [7, 8, 9, 12]])
def test_a_column_of_few_values_is_guessed_to_hold_the_layers(layers):
    found = guess(in_other_words(layers))
    assert (found.layer, found.x, found.y, found.event) == ("Ebene", ("x",), ("y",), ())
    assert found.by_values
    assert found.layers == tuple(sorted(layers))


def test_names_are_more_likely_layers_than_numbers():
    assert guess(in_other_words(["a", "b"], number=[1, 2, 3, 4] * 100)).layer == "Ebene"


@pytest.mark.parametrize(
    ("layers", "rows"),
    [([*range(33)], 33 * 40), ([0, 1], 400), (["a"], 400), (["a", "b", "c"], 59), ([1, 2, None], 400)],
)
def test_other_columns_are_not_guessed_to_hold_layers(layers, rows):
    found = guess(in_other_words(layers, rows))
    assert (found.layer, found.x, found.others) == ("", ("x",), ("y",))


def test_a_run_is_no_layer():
    found = guess(in_other_words(["a", "b"], run=[17, 18, 19, 20] * 100, event=[*range(400)]))
    assert (found.layer, found.event) == ("Ebene", ("run", "event"))


def test_positions_in_the_plane_of_a_sensor_and_strips():
    found = guess(numbers("evt", "det", "v", "u", "cov_uu", "cov_vv", "cov_uv"))
    assert (found.x, found.y, found.layer) == (("u",), ("v",), "det")
    assert found.covariance == {"x,x": "cov_uu", "y,y": "cov_vv", "x,y": "cov_uv"}
    found = guess(numbers("trigger", "station", "strip"))
    assert (found.x, found.y, found.event) == (("strip",), (), ("trigger",))
