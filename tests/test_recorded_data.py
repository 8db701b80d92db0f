"""The examples of docs/recorded_data.md, each run as it stands on a file that the test writes."""

import gzip
import re

import h5py
import numpy as np
import pytest
import yaml
from running import PROJECT, Run

PAGE = (PROJECT / "docs" / "recorded_data.md").read_text()
EXAMPLES = {raw["study"]: raw for raw in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))}
FEW = {"toys": {"muons": 20, "per_muon": 200}}
Z = np.array([0, 0.02, 0.1])


def tracks(rows, pitch, seed=4):
    """Positions of straight tracks on three layers, in units of a pitch."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.005, 0.005, (rows, 1)) + rng.normal(0, 0.001, (rows, 1)) * Z
    return (x + rng.normal(0, 7.2e-5, x.shape)) / pitch


def write_candidates():
    table = np.zeros(300, [("event_number", "i8"), *((f"x_dut_{i}", "f8") for i in range(3)), ("n_tracks", "u1")])
    table["event_number"], table["n_tracks"] = np.arange(300) + 2**60, np.arange(300) % 3
    for layer, x in enumerate(tracks(300, 1e-6).T):
        table[f"x_dut_{layer}"] = x
    table["x_dut_1"][:60] = np.nan
    with h5py.File("candidates.h5", "w") as file:
        file["TrackCandidates"], file["other"] = table, table[:7]
    chosen = (table["n_tracks"] == 1) & np.isfinite(table["x_dut_1"])
    return np.stack([table[f"x_dut_{i}"] for i in range(3)], axis=1)[chosen] / 1e6, table["event_number"][chosen]


def write_pixels():
    x = tracks(200, 1e-3)
    pixel = np.round((x[:, :2] + [10, 9.9]) / 0.25).astype(int)
    rows = [f"{p},{q},{h!r},72\n" for (p, q), h in zip(pixel.tolist(), x[:, 2].tolist(), strict=True)]
    with gzip.open("pixels.csv.gz", "wt") as file:
        file.write("col_0,col_1,hit_2,error_2\n" + "".join(rows))
    return np.column_stack([pixel * 250e-6 - [10e-3, 9.9e-3], x[:, 2] / 1000]), None


WRITERS = {"candidates": write_candidates, "pixels": write_pixels}


def test_every_example_is_run():
    assert EXAMPLES.keys() == WRITERS.keys()


@pytest.mark.parametrize("name", WRITERS)
def test_an_example_reads_what_was_written(name, tmp_path):
    hits, kept = WRITERS[name]()
    found = Run({**EXAMPLES[name], **FEW}, tmp_path / "out").make().columns("nominal")
    np.testing.assert_allclose(found["x_reco"], hits, rtol=1e-13, atol=1e-17)
    if kept is not None:
        np.testing.assert_array_equal(found["event_number"], kept)
    if name == "pixels":
        np.testing.assert_allclose(found["x_covariance"][:, 2], 72e-6**2, rtol=1e-13)
