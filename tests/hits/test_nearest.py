"""The choice between several hits in a layer, at heights of their own, against a loop that fits one line at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pullback.config.model_schema import Scatter, Track3d
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import long_rows, recorded_file
from pullback.models import load_model

LINES = {"track3d": [0] * 6, "scatter": [0] * 3 + [1] * 3}
MODELS = {
    "track3d": Track3d(z=[0.1 * layer for layer in range(6)]),
    "scatter": Scatter(z_upper=[1.0, 0.7, 0.6], z_lower=[-0.5, -0.6, -1.0]),
}
SOURCE = {"layout": "long", "event": "event", "layer": "layer", "x": "x", "y": "y", "several": "nearest"}


def some_hits(seed=7, hits=2500):
    """Hits in no order, with heights of their own, of which some are alike, and positions that are missing."""
    rng = np.random.default_rng(seed)
    columns = {"event": rng.integers(350, size=hits), "layer": rng.integers(6, size=hits)}
    columns |= {view: np.where(rng.random(hits) < 0.05, np.nan, rng.normal(size=hits)) for view in "xy"}
    columns["z"] = np.where(rng.random(hits) < 0.3, 0.25, rng.normal(0.5, 0.4, hits))
    return columns


def by_hand(columns, lines):
    """The row of the hit of each event and layer, in order of first appearance; −1 without one."""
    events = {}
    for row, event in enumerate(columns["event"]):
        events.setdefault(event, []).append(row)
    found = []
    for rows in events.values():
        in_layer = [[row for row in rows if columns["layer"][row] == layer] for layer in range(6)]
        found.append([chosen(columns, in_layer, lines, layer) for layer in range(6)])
    return np.array(found)


def chosen(columns, in_layer, lines, layer):
    """The row of the hit in a layer of one event."""
    mine = in_layer[layer]
    if len(mine) < 2:
        return mine[0] if mine else -1
    squares, known = np.zeros(len(mine)), False
    for view in "xy":
        alone = [rows[0] for other, rows in enumerate(in_layer) if len(rows) == 1 and lines[other] == lines[layer]]
        alone = [row for row in alone if np.isfinite(columns[view][row])]
        z, at = columns["z"][alone], columns[view][alone]
        if len({*z.tolist()}) > 1:
            slope, intercept = np.linalg.lstsq(np.stack([z, np.ones(len(z))], axis=1), at, rcond=None)[0]
            squares += (columns[view][mine] - slope * columns["z"][mine] - intercept) ** 2
            known = True
    squares[np.isnan(squares)] = np.inf
    return mine[int(np.argmin(squares))] if known and np.isfinite(squares).any() else -1


def read(columns, name, **section):
    pa.parquet.write_table(pa.table(columns), "hits.parquet")
    source, model = Recorded(file="hits.parquet", **SOURCE, **section), MODELS[name]
    model = load_model(model)
    counts = recorded_file(source, model).counted()
    (block,) = recorded_file(source, model, planned=counts).blocks(0, counts.muons, counts.muons)
    return block, counts


@pytest.mark.parametrize("piece", [11, 65_536])
@pytest.mark.parametrize("name", MODELS)
def test_the_nearest_hit_at_its_own_height(name, piece, monkeypatch):
    monkeypatch.setattr(long_rows, "PIECE", piece)
    columns = some_hits()
    block, counts = read(columns, name, z="z")
    rows = by_hand(columns, LINES[name])
    for view, found in (("x", block.hits[:, :6]), ("y", block.hits[:, 6:]), ("z", block.z)):
        np.testing.assert_array_equal(found, np.where(rows >= 0, columns[view][rows], np.nan))
    assert counts.nearest_chosen > 60
    assert counts.nearest_undecided > 20
    assert counts.used_hits == (rows >= 0).sum()


def test_heights_of_the_layers_written_to_the_file_choose_the_same_hits():
    columns = some_hits()
    columns["z"] = np.array(MODELS["track3d"].z)[columns["layer"]]
    given, of_model = read(columns, "track3d", z="z")[0], read(columns, "track3d")[0]
    np.testing.assert_array_equal(given.hits, of_model.hits)
    assert given.hits.tobytes() == of_model.hits.tobytes()


def test_heights_decide():
    """Of two hits at the same position the one at whose height the line has it."""
    columns = {"event": [1] * 4, "layer": [0, 1, 2, 2], "x": [0.0, 1.0, 4.0, 4.0], "y": [0.0] * 4}
    for heights, chosen in (([0.0, 1, 2, 4], 4.0), ([0.0, 1, 4, 2], 4.0)):
        block, _ = read({**columns, "z": heights}, "track3d", z="z")
        assert (block.hits[0, 2], block.z[0, 2]) == (4.0, chosen)


def test_a_hit_without_a_height_is_refused_when_it_is_planned():
    columns = {"event": [1] * 4, "layer": [0, 1, 2, 2], "x": [0.0, 1, 4, 4], "y": [0.0] * 4, "z": [0.0, 1, np.nan, 2]}
    with pytest.raises(PullbackError, match=r"hits\.parquet: row 3, column 'z': is not a height: it is empty"):
        read(columns, "track3d", z="z")
