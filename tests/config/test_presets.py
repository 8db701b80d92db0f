import csv
from dataclasses import dataclass

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa
import pytest

from pullback.config.messages import checked
from pullback.config.presets import ACTS_PARTICLE, PRESETS, fitting_preset, layers_have_heights, with_preset
from pullback.config.schema import StudyConfig
from pullback.errors import PullbackError
from pullback.steps.common import hits_file
from pullback.study.plan import Study

HEIGHTS = [0.0, 0.0195, 0.1088, 0.1283]


@dataclass
class Hits:
    """A file of a format, and the positions that were written, m, by coordinate."""

    path: str
    positions: dict[str, np.ndarray]


def tracks(layers, muons=6, seed=3):
    """Positions by coordinate, m."""
    rng = np.random.default_rng(seed)
    return {f"{view}{layer}": rng.normal(0, 0.01, muons) for view in "xy" for layer in range(layers)}


def write_testbeam(path="TrackCandidates.h5", layers=4):
    """Track candidates, in µm, as beam_telescope_analysis writes them: fields by plane, Blosc, zeros for errors."""
    found = tracks(layers)
    found["x1"][1] = np.nan
    names = [f"{name}_dut_{layer}" for name in ("y", "x", "z", "charge", "x_err") for layer in range(layers)]
    rows = np.zeros(6, [("event_number", "i8"), *((name, "f8") for name in names), ("n_tracks", "u1")])
    for coordinate, values in found.items():
        rows[f"{coordinate[0]}_dut_{coordinate[1:]}"] = values * 1e6
    with h5py.File(path, "w") as file:
        table = file.create_dataset("TrackCandidates", data=rows, chunks=(4,), **hdf5plugin.Blosc())
        table.attrs["CLASS"] = np.bytes_("TABLE")
    return Hits(path, found)


def write_muograph(path="hits.csv", layers=6):
    """Hits by panel, in mm, as muograph reads them."""
    found = tracks(layers)
    with open(path, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["E", *(f"{axis}{layer}" for layer in range(layers) for axis in "XYZ")])
        for muon in range(6):
            cells = ((found[f"x{i}"][muon] * 1e3, found[f"y{i}"][muon] * 1e3, 600 - 200 * i) for i in range(layers))
            rows.writerow([3000, *(repr(float(cell)) for row in cells for cell in row)])
    return Hits(path, found)


SPLIT = [f"particle_id_{part}" for part in ("pv", "sv", "part", "gen", "subpart")]
COLUMNS_OF_ACTS = "geometry_id,tx,ty,tz,tt,tpx,tpy,tpz,te,deltapx,deltapy,deltapz,deltae,index"


def surface(layer):
    """The 64-bit identifier of the sensitive surface 1 of a layer of volume 1, as ACTS encodes it."""
    return (1 << 56) | ((2 * layer + 2) << 36) | (1 << 8)


def write_acts(path="event000000000-hits.csv", layers=4, split=False):
    """Simulated hits of ACTS, in mm, sorted by surface; later versions have the particle in five columns."""
    found = tracks(layers)
    particle = SPLIT if split else ["particle_id"]
    with open(path, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow([*particle, *COLUMNS_OF_ACTS.split(",")])
        for layer in range(layers):
            for muon in range(6):
                barcode = [1 + muon // 3, 0, 1 + muon % 3, 0, 0] if split else [(1 << 52) | ((muon + 1) << 24)]
                hit = [repr(float(found[f"{view}{layer}"][muon] * 1e3)) for view in "xy"]
                rows.writerow([*barcode, surface(layer), *hit, 30 * layer, 0, 0, 0, 1, 1, 0, 0, 0, 0, layer])
    return Hits(path, found)


def config(hits, preset, model, **source):
    return {
        "study": "s",
        "source": {"kind": "recorded", "file": hits.path, "preset": preset, **source},
        "detector": {"resolution": 1e4},
        "model": model,
    }


def read(raw):
    """The hits of a study by coordinate, as it reads them, and its config."""
    study = Study.from_config(raw)
    (batch,) = study.batches.values()
    (part,) = batch.of_kind("reco").parts
    hits = np.concatenate([block.hits for block in hits_file(part).blocks(part.start, part.stop)])
    return dict(zip((each.name for each in part.model.coordinates), hits.T, strict=True)), study.config


TRACK3D = {"name": "track3d", "z": HEIGHTS}
SCATTER = {"name": "scatter", "z_upper": [0.6, 0.4, 0.2], "z_lower": [0.0, -0.2, -0.4]}


@pytest.mark.parametrize("layers", [2, 4, 12])
def test_track_candidates_of_a_test_beam(layers):
    hits = write_testbeam(layers=layers)
    found, resolved = read(
        config(hits, "testbeam_analysis", {"name": "track3d", "z": [0.1 * i for i in range(layers)]})
    )
    assert found.keys() == hits.positions.keys()
    for name, values in hits.positions.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-14)
    written = resolved.model_dump()["source"]
    assert (written["table"], written["unit"]) == ("TrackCandidates", "um")
    assert "preset" not in written
    assert checked(StudyConfig, resolved.model_dump(), "config") == resolved


def test_muograph():
    hits = write_muograph()
    found, resolved = read(config(hits, "muograph", SCATTER))
    for name, values in hits.positions.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-14)
    assert resolved.source.unit == "mm"


def test_one_view_only_and_what_is_written_beside_a_preset():
    hits = write_muograph()
    model = {"name": "track", "z": "[600, 400, 200] mm"}
    found, _ = read(config(hits, "muograph", model, columns={"x1": "Y4"}, unit="cm"))
    assert list(found) == ["x0", "x1", "x2"]
    np.testing.assert_allclose(found["x0"], hits.positions["x0"] * 10, rtol=1e-14)
    np.testing.assert_allclose(found["x1"], hits.positions["y4"] * 10, rtol=1e-14)


def test_the_users_own_model():
    with open("model.py", "w") as stream:
        stream.write("def infer(hits):\n    return hits[:, :1] - hits[:, 1:]\n")
    hits = write_testbeam()
    observables = [{"name": "d", "unit": "m", "fold": "none"}]
    own = {"file": "model.py", "function": "infer", "coordinates": ["y3", "x0"], "observables": observables}
    found, _ = read(config(hits, "testbeam_analysis", own))
    assert list(found) == ["y3", "x0"]
    np.testing.assert_allclose(found["y3"], hits.positions["y3"], rtol=1e-14)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [2, 0]])
def test_simulated_hits_of_acts(split, order):
    hits = write_acts(split=split)
    beside = {"event": SPLIT} if split else {}
    model = {"name": "track3d", "z": [0.03 * layer for layer in order]}
    found, resolved = read(config(hits, "acts_hits", model, layers=[surface(layer) for layer in order], **beside))
    for view in "xy":
        for place, layer in enumerate(order):
            np.testing.assert_allclose(found[f"{view}{place}"], hits.positions[f"{view}{layer}"], rtol=1e-14)
    written = resolved.model_dump()["source"]
    assert (written["layout"], written["layer"], written["unit"]) == ("long", "geometry_id", "mm")
    assert checked(StudyConfig, resolved.model_dump(), "config") == resolved


def test_one_view_of_a_format_with_two():
    hits = write_acts()
    found, _ = read(config(hits, "acts_hits", {"name": "track", "z": [0.0, 0.03]}, layers=[surface(1), surface(3)]))
    np.testing.assert_allclose(found["x1"], hits.positions["x3"], rtol=1e-14)
    assert list(found) == ["x0", "x1"]


def test_the_surfaces_of_acts_must_be_listed():
    with pytest.raises(PullbackError, match=r"no layer of the model.*source\.layers"):
        Study.from_config(config(write_acts(), "acts_hits", TRACK3D))


def test_a_long_format_gets_no_columns():
    expanded = with_preset({"preset": "acts_hits", "layers": [3]}, ["x0", "y0"])
    assert expanded == {**PRESETS["acts_hits"].source, "layers": [3]}
    assert "y" not in with_preset({"preset": "acts_hits"}, ["x0", "x1"])


@pytest.mark.parametrize("path", ["event000000000-hits.csv", "hits.csv.gz"])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("model", [TRACK3D, {"name": "track", "z": HEIGHTS}])
def test_hits_of_acts(path, split, model):
    hits = write_acts("plain.csv", split=split)
    with open("plain.csv", "rb") as plain, pa.output_stream(path, "gzip" if path.endswith("gz") else None) as out:
        out.write(plain.read())
    hits.path = path
    layers = {"layers": [surface(layer) for layer in range(4)]}
    source = {**layers, "event": [*ACTS_PARTICLE]} if split else layers
    found, resolved = read(config(hits, "acts_hits", model, **source))
    assert list(found) == [name for name in hits.positions if model is TRACK3D or name[0] == "x"]
    for name, values in found.items():
        np.testing.assert_allclose(values, hits.positions[name], rtol=1e-14)
    assert checked(StudyConfig, resolved.model_dump(), "config") == resolved


def test_hits_of_acts_need_their_layers():
    with pytest.raises(PullbackError, match=f"'{surface(0)}' is no layer of the model.*source.layers"):
        read(config(write_acts(), "acts_hits", TRACK3D))


def test_what_is_written_wins_and_what_is_empty_is_filled():
    source = {"preset": "muograph", "unit": None, "columns": None}
    assert with_preset(source, ["x0", "x"])["columns"] == {"x0": "X0"}
    assert with_preset(source, [])["unit"] == "mm"
    assert with_preset({"unit": "m"}, ["x0"]) == {"unit": "m"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("testbeam_analisys", "source.preset: is 'testbeam_analisys'; did you mean testbeam_analysis? presets: "),
        ("nonsense", "source.preset: is 'nonsense'; presets: testbeam_analysis, muograph, acts_hits"),
        ("acts_measurements", "holds positions local to each surface, and no particle; join it"),
        (3, "source.preset: is 3; it should be a valid string"),
        (["muograph"], "source.preset: is ['muograph']; it should be a valid string"),
    ],
)
def test_unknown_presets(name, expected):
    raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv", "preset": name}}
    with pytest.raises(PullbackError) as caught:
        checked(StudyConfig, raw, "config")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_simulated_muons_have_no_preset():
    with pytest.raises(PullbackError, match=r"source\.preset: does not go with source\.kind: simulated"):
        checked(StudyConfig, {"study": "s", "source": {"preset": "muograph"}}, "config")


def test_a_wrong_model_is_told_once():
    raw = config(write_muograph(), "muograph", {"name": "track", "z": [0.0]})
    with pytest.raises(PullbackError) as caught:
        Study.from_config(raw)
    assert "model.z" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_told():
    hits = write_muograph()
    with pytest.raises(PullbackError, match=r"hits\.csv.*TrackCandidates|source\.table.*hits\.csv"):
        Study.from_config(config(hits, "testbeam_analysis", TRACK3D))


def test_formats_are_recognised():
    names = [f"{axis}{layer}" for layer in range(3) for axis in "XYZ"]
    assert fitting_preset(".csv.gz", "", names) == "muograph"
    assert fitting_preset(".csv", "", names[:-3]) == "muograph"
    assert fitting_preset(".csv", "", names[:5]) == ""
    assert fitting_preset(".h5", "", names) == ""
    assert fitting_preset(".csv", "", ["particle_id", *COLUMNS_OF_ACTS.split(",")]) == "acts_hits"
    assert fitting_preset(".csv", "", [*SPLIT, *COLUMNS_OF_ACTS.split(",")]) == "acts_hits"
    assert fitting_preset(".csv", "", [*SPLIT[:-1], *COLUMNS_OF_ACTS.split(",")]) == ""
    assert fitting_preset(".csv", "", COLUMNS_OF_ACTS.split(",")) == ""
    beam = ["event_number", *(f"{axis}_dut_{i}" for axis in "xy" for i in range(2))]
    assert fitting_preset(".h5", "TrackCandidates", beam) == "testbeam_analysis"
    assert fitting_preset(".h5", "Tracks", beam) == ""


def heights_read(raw):
    """The heights that a study reads, muon by muon."""
    (batch,) = Study.from_config(raw).batches.values()
    (part,) = batch.of_kind("reco").parts
    return [block.z for block in hits_file(part).blocks(part.start, part.stop)]


def test_the_heights_of_muograph_are_those_of_the_file():
    (z,) = heights_read(config(write_muograph(), "muograph", {**SCATTER, "z_upper": "[700, 650, 600] mm"}))
    np.testing.assert_allclose(z, [[0.6, 0.4, 0.2, 0.0, -0.2, -0.4]] * 6, rtol=1e-14)


@pytest.mark.parametrize("z", [[], None])
def test_heights_of_the_file_can_be_switched_off(z):
    assert heights_read(config(write_muograph(), "muograph", SCATTER, z=z)) == [None]


def test_heights_are_those_of_the_panels_that_are_read():
    model = {"name": "track3d", "z": "[300, 200, 100] mm"}
    columns = {"x0": "X4", "y0": "Y4", "x1": {"column": "X1", "scale": "2 mm"}, "y1": "Y1", "x2": "X0", "y2": "Y0"}
    (z,) = heights_read(config(write_muograph(), "muograph", model, columns=columns))
    np.testing.assert_allclose(z, [[-0.2, 0.4, 0.6]] * 6, rtol=1e-14)


@pytest.mark.parametrize("columns", [{"x1": "Y4"}, {"x1": "E"}])
def test_panels_that_contradict_give_no_heights(columns):
    model = {"name": "track3d", "z": "[300, 200, 100] mm"}
    assert heights_read(config(write_muograph(), "muograph", model, columns=columns)) == [None]


def test_heights_of_acts_are_those_of_the_hits():
    (z,) = heights_read(config(write_acts(), "acts_hits", TRACK3D, layers=[surface(layer) for layer in range(4)]))
    np.testing.assert_allclose(z, [[0.0, 0.03, 0.06, 0.09]] * 6, rtol=1e-14)


@pytest.mark.parametrize(
    ("model", "there"),
    [(SCATTER, True), ({"name": "track"}, True), ({"name": "one_hit"}, False), ({"name": "own"}, False), (None, False)],
)
def test_models_whose_heights_a_file_may_give(model, there):
    assert layers_have_heights(model) is there


def test_a_file_without_a_height_says_how_to_do_without():
    with open("hits.csv", "w") as stream:
        stream.write("X0,Y0,Z0,X1,Y1\n1,2,3,4,5\n")
    with pytest.raises(PullbackError, match=r"no column 'Z1'.*source\.z: set that to \[\]"):
        Study.from_config(config(Hits("hits.csv", {}), "muograph", {"name": "track", "z": "[3, 1] m"}))


@pytest.mark.parametrize(
    ("beside", "where"),
    [
        ({"scan": {"model.z[1]": [0.4, 0.5]}}, "scan: model.z[1]: it"),
        ({"systematics": {"model.z[1]": "1 mm"}}, "systematics: model.z[1]: it"),
        ({"target": {"sigma": {"theta": "1 mrad"}, "vary": "model.z[0]"}}, "target.vary: model.z[0]"),
    ],
)
def test_heights_that_are_in_the_file_are_not_varied(beside, where):
    raw = {**config(write_muograph(), "muograph", {"name": "track", "z": [0.6, 0.4, 0.2]}), **beside}
    with pytest.raises(PullbackError) as caught:
        Study.from_config(raw)
    assert str(caught.value).startswith(f"config: {where} changes nothing, since source.z takes the heights")
    assert "\n" not in str(caught.value)
    raw["source"]["z"] = []
    assert Study.from_config(raw).muons
