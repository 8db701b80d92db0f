"""The same hits in both layouts, with the heights and covariances of each: the same muons, and the same study."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from running import Run

from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import recorded_file
from pullback.models import load_model

Z = [0.0, 0.1, 0.25, 0.3]
MODELS = {
    "track": {"z": Z},
    "track3d": {"z": Z},
    "scatter": {"z_upper": [0.5, 0.4, 0.35], "z_lower": [-0.5, -0.4, -0.3]},
}
SECTIONS = {"track": Track, "track3d": Track3d, "scatter": Scatter}


def heights_of(name):
    return np.array([*MODELS[name].values()]).ravel()


def made(name, muons=300, seed=3):
    """Tracks with heights, errors and correlations of their own; a tenth of the hits is missing."""
    rng = np.random.default_rng(seed)
    z = heights_of(name) + rng.normal(0, 0.01, (muons, len(heights_of(name))))
    views = "x" if name == "track" else "xy"
    there = rng.random(z.shape) > 0.1
    there[:, 0] |= ~there.any(axis=1)
    hits = {
        view: np.where(there, rng.normal(0, 0.05, (muons, 1)) + rng.normal(0, 0.1, (muons, 1)) * z, np.nan)
        for view in views
    }
    sigma = {view: np.where(there, rng.uniform(1e-4, 9e-4, z.shape), np.nan) for view in views}
    for view in views:
        hits[view] += sigma[view] * rng.standard_normal(z.shape)
    shared = rng.uniform(-0.9, 0.9, z.shape) * np.prod([sigma[view] for view in views], axis=0)
    return hits, sigma, np.where(there, z, np.nan), shared, there


def both(name, sigma=True, z=True, covariance=True, squared=False, kind="csv", order=None, muons=300, **more):
    """The sections of the same hits in the wide and in the long layout, in mm."""
    hits, errors, heights, shared, there = made(name, muons)
    views, layers = [*hits], heights.shape[1]
    wide = {f"{view}{i}": 1e3 * hits[view][:, i] for view in views for i in range(layers)}
    wide |= {f"e{view}{i}": (1e3 * errors[view][:, i]) ** (1 + squared) for view in views for i in range(layers)}
    wide |= {f"z{i}": 1e3 * heights[:, i] for i in range(layers)} | {f"c{i}": 1e6 * shared[:, i] for i in range(layers)}
    event, layer = np.nonzero(there)
    of_hit = slice(None) if order is None else order(len(event))
    event, layer = event[of_hit], layer[of_hit]
    long = {"event": event, "plane": layer}
    for key, first in (("x", "x"), ("y", "y"), ("ex", "ex"), ("ey", "ey"), ("height", "z"), ("c", "c")):
        if f"{first}0" in wide:
            long[key] = np.stack([wide[f"{first}{i}"] for i in range(layers)], axis=1)[event, layer]
    names = [each.name for each in load_model(SECTIONS[name](**MODELS[name])).coordinates]
    column = {each: f"{each[0]}{index % layers}" for index, each in enumerate(names)}
    sections = {"wide": {"columns": column}, "long": {"layout": "long", "event": "event", "layer": "plane"}}
    sections["long"] |= {view: view for view in views}
    two = [(names[i], names[i + layers], f"c{i}") for i in range(layers)] if len(views) > 1 else []
    given = {"wide": [(each, f"e{column[each]}") for each in names], "long": [(view, f"e{view}") for view in views]}
    pairs = {"wide": two, "long": [("x", "y", "c")] if two else []}
    for layout, section in sections.items():
        variances = {f"{each},{each}": error for each, error in given[layout]}
        if sigma:
            section |= {"covariance": variances} if squared else {"sigma": dict(given[layout])}
        if covariance and sigma:
            section["covariance"] = section.get("covariance", {}) | {f"{a},{b}": c for a, b, c in pairs[layout]}
        if z:
            section["z"] = [f"z{i}" for i in range(layers)] if layout == "wide" else "height"
        path = f"{layout}.{kind}"
        columns = {"wide": wide, "long": long}[layout]
        table = pa.table({key: pa.array(values, from_pandas=True) for key, values in columns.items()})
        pa.csv.write_csv(table, path) if kind == "csv" else pa.parquet.write_table(table, path)
        section |= {"kind": "recorded", "file": path, "unit": "mm", **more}
    return sections


def block_of(section, name):
    model = load_model(SECTIONS[name](**MODELS[name]))
    section = Recorded(**section)
    counts, digest, reading = recorded_file(section, model).plan()
    (block,) = recorded_file(section, model, digest, counts, reading).blocks(0, counts.muons, counts.muons)
    return block


def same(one, other):
    """Whether two arrays are the same bit by bit, or both are missing."""
    return (one is None and other is None) or (one.shape == other.shape and one.tobytes() == other.tobytes())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("known", [(1, 1, 1, 0), (1, 0, 1, 0), (1, 1, 1, 1), (0, 1, 0, 0), (1, 1, 0, 1)])
def test_the_same_muons(name, kind, known):
    sections = both(
        name, **dict(zip(("sigma", "z", "covariance", "squared"), map(bool, known), strict=True)), kind=kind
    )
    wide, long = (block_of(sections[layout], name) for layout in ("wide", "long"))
    for field in ("hits", "covariance", "z"):
        assert same(getattr(wide, field), getattr(long, field)), field
    hits, errors, heights, shared, there = made(name)
    assert np.isfinite(long.hits).sum() == there.sum() * len(hits)
    if known[1]:
        np.testing.assert_allclose(long.z, heights, rtol=1e-14)
    if known[0]:
        variances = long.covariance if long.covariance.ndim == 2 else np.einsum("mii->mi", long.covariance)
        np.testing.assert_allclose(np.sqrt(variances), np.concatenate([*errors.values()], axis=1), rtol=1e-14)
        if long.covariance.ndim == 3:
            layers = heights.shape[1]
            of_pairs = np.einsum("mii->mi", long.covariance[:, :layers, layers:])
            np.testing.assert_allclose(of_pairs, np.where(there, shared, 0), rtol=1e-13)
            assert np.count_nonzero(long.covariance) == there.sum() * 4 + 2 * (~there).sum()


@pytest.mark.parametrize("name", MODELS)
def test_rows_in_any_order_give_the_same_muons_in_another_order(name):
    sections = both(name, order=lambda hits: np.random.default_rng(1).permutation(hits), keep=["event"])
    del sections["wide"]["keep"]
    wide, long = (block_of(sections[layout], name) for layout in ("wide", "long"))
    order = long.kept["event"]
    assert (np.diff(order) < 0).any()
    for field in ("hits", "covariance", "z"):
        assert same(getattr(wide, field)[order], getattr(long, field)), field


@pytest.mark.parametrize(
    ("name", "known"),
    [("track", {}), ("track3d", {"squared": True}), pytest.param("scatter", {}, marks=pytest.mark.slow)],
)
def test_the_same_study(name, known, tmp_path):
    """Every column of every artefact is the same, bit by bit."""
    sections, found = both(name, muons=60, **known), {}
    for layout, section in sections.items():
        raw = {
            "study": "s",
            "source": section,
            "model": {"name": name, **MODELS[name]},
            "toys": {"muons": 6, "per_muon": 50},
        }
        found[layout] = Run(raw, tmp_path / layout).make().columns()
    assert found["wide"].keys() == found["long"].keys()
    for column, values in found["wide"].items():
        assert values.tobytes() == found["long"][column].tobytes(), column
    assert any("residual" in column for column in found["long"])


BAD = [
    ("1,0,1,2,1,1,0,abc\n", "row 1, column 'z': 'abc' is not a number"),
    ("1,0,1,2,1,1,0,\n", "row 1, column 'z': is not a height: it is empty or not a number"),
    ("1,0,1,2,1,1,0,inf\n", "row 1, column 'z': is not a height: inf"),
    ("1,0,1,2,1,1,0,2e9\n", "row 1, column 'z': is not a height: 2e+09"),
    ("1,0,1,2,0,1,0,1\n", "row 1, column 'ex': is not a standard uncertainty: 0"),
    ("1,0,1,2,1,,0,1\n", "row 1, column 'ey': is not a standard uncertainty: it is empty"),
    ("1,0,1,2,1,1,,1\n", "row 1, column 'c': is not a covariance: it is empty or not a number"),
    ("1,0,1,2,1,1,inf,1\n", "row 1, column 'c': is not a covariance: inf"),
    (
        "1,0,1,2,1,2,-2,1\n1,1,1,2,1,2,2.001,1\n",
        "row 2, column 'c': is not the covariance of a hit with these uncertainties: the correlation is beyond ±1: ",
    ),
]


@pytest.mark.parametrize(("rows", "expected"), BAD)
@pytest.mark.parametrize("before", ["", "0,0,1,1,1,1,0,0\n0,1,,,,,,\n"])
def test_what_is_refused(rows, expected, before, tmp_path):
    with open("hits.csv", "w") as file:
        file.write("event,plane,x,y,ex,ey,c,z\n" + before + rows)
    source = {
        "file": "hits.csv",
        "layout": "long",
        "event": "event",
        "layer": "plane",
        "x": "x",
        "y": "y",
        "unit": "mm",
    }
    source |= {"z": "z", "sigma": {"x": "ex", "y": "ey"}, "covariance": {"y,x": "c"}}
    row = int(expected[4]) + before.count("\n")
    with pytest.raises(PullbackError) as caught:
        block_of(source, "track3d")
    assert str(caught.value).startswith(f"hits.csv: row {row}{expected[5:]}")


def test_variances_of_hits_are_refused_where_they_are_none():
    with open("hits.csv", "w") as file:
        file.write("event,plane,x,xx\n1,0,1,1\n1,1,1,-1\n")
    source = {"file": "hits.csv", "layout": "long", "event": "event", "layer": "plane", "x": "x"}
    with pytest.raises(PullbackError, match=r"row 2, column 'xx': is not a variance: -1"):
        block_of({**source, "covariance": {"x,x": "xx"}}, "track")


CLASHES = [
    ({"covariance": {"x,y": "c"}}, "the model has no view 'y'; it has x"),
    (
        {"covariance": {"x,x": "c"}, "sigma": {"x": "e"}},
        "x,x is the variance of x, whose uncertainty is in source.sigma",
    ),
    ({"covariance": {"x0,x1": "c"}}, "the model has no view 'x0'; it has x"),
]


@pytest.mark.parametrize(("section", "expected"), CLASHES)
def test_what_the_model_does_not_have(section, expected):
    with open("hits.csv", "w") as file:
        file.write("event,plane,x\n1,0,1\n")
    source = {"file": "hits.csv", "layout": "long", "event": "event", "layer": "plane", "x": "x"}
    with pytest.raises(PullbackError) as caught:
        block_of({**source, **section}, "track")
    assert str(caught.value).startswith("config: source.covariance: ")
    assert expected in str(caught.value)
