import shutil

import h5py
import numpy as np
import pytest
from running import SMALL, Run

from pullback.errors import PullbackError
from pullback.store import artefact
from pullback.store.study_file import ColumnPart, pack, unpack
from pullback.validation.batch_sums import PointTally
from pullback.validation.evidence import Evidence
from pullback.validation.verdict import validate

EVIDENCE = ("validation.json", "validation.csv", "summary.csv")
TRACK = {
    "study": "s",
    "model": {"name": "track"},
    "toys": {"muons": 20, "per_muon": 300},
    "detector": {"resolution": 1000.0},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small scan in several batches."""
    raw = {**SMALL, "source": {"muons": 300}, "compute": {"batch_cost": 1}}
    return Run(raw, tmp_path_factory.mktemp("made")).make()


@pytest.fixture
def copy(made, tmp_path):
    """A copy of it, to be spoilt."""
    shutil.copytree(made.folder, tmp_path / "copy")
    return Run({**SMALL, "source": {"muons": 300}, "compute": {"batch_cost": 1}}, tmp_path / "copy")


def test_the_verdict_reads_nothing_but_tallies(made, copy):
    for kind in copy.study.kinds:
        shutil.rmtree(copy.folder / kind)
    for each in copy.outputs:
        each.unlink()
    validate(copy.study, copy.tallies, copy.outputs)
    for each, before in zip(copy.outputs, made.outputs, strict=True):
        assert each.read_bytes() == before.read_bytes()


def refusal(run):
    """Why the tallies of a study are refused, in one line, and nothing is written."""
    for each in run.outputs:
        each.unlink()
    with pytest.raises(PullbackError) as error:
        validate(run.study, run.tallies, run.outputs)
    assert not any(each.exists() for each in run.outputs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_tally_is_refused(copy):
    copy.tallies[1].unlink()
    assert refusal(copy) == f"{copy.tallies[1]}: can't be read: No such file or directory; run again"


def test_a_damaged_tally_is_refused(copy):
    content = bytearray(copy.tallies[2].read_bytes())
    content[len(content) // 2] ^= 1
    copy.tallies[2].write_bytes(content)
    assert refusal(copy).startswith(f"{copy.tallies[2]}: is damaged or truncated")


def test_the_tally_of_another_batch_is_refused(copy):
    shutil.copy(copy.tallies[0], copy.tallies[1])
    assert refusal(copy) == f"{copy.tallies[1]}: was made from another config; delete it and run again"


def test_the_tally_of_another_study_is_refused(copy, tmp_path):
    raw = {**SMALL, "seed": 2, "source": {"muons": 300}, "compute": {"batch_cost": 1}}
    other = Run(raw, tmp_path / "other").make()
    shutil.copy(other.tallies[0], copy.tallies[0])
    assert "was made from another config" in refusal(copy)


def test_another_artefact_in_the_place_of_a_tally_is_refused(copy):
    shutil.copy(copy.files["toys"][0], copy.tallies[0])
    assert "is not an artefact of kind 'tally'" in refusal(copy)


def cuts(raw, folder):
    """A study in one batch, and in as many as it can be cut into."""
    runs = [Run({**raw, "compute": {"batch_cost": cost}}, folder / str(cost)).make() for cost in (10**12, 1)]
    assert len(runs[0].study.batches) == 1
    return runs


def same(one, other):
    for name in EVIDENCE:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes(), name


def test_a_scan_with_systematics_that_is_cut_between_and_within_points(tmp_path, block):
    raw = {
        **SMALL,
        "source": {"muons": block + 300},
        "scan": {"detector.resolution": [500, 1000]},
        "systematics": {"model.dz": 0.01},
        "toys": {"muons": 20, "per_muon": 100, "experiments": 100},
    }
    one, other = cuts(raw, tmp_path)
    assert len(other.study.batches) == 4
    same(one, other)
    entries = Evidence.read(one.outputs.validation).points
    assert len(entries) == 2
    for entry in entries:  # each point has its own muons, and no others
        assert entry.quoted.counts.muons == block + 300
        assert sum(each.toy_muons for each in entry.quoted.bins) == 20


def test_recorded_hits_with_missing_ones_and_fits(tmp_path):
    rng, muons = np.random.default_rng(1), 400
    line = rng.uniform(0, 1, (muons, 1)) + rng.normal(0, 0.3, (muons, 1)) * np.array([0, 0.5, 1.0])
    x = line + 0.01 * rng.normal(size=(muons, 3))
    x[rng.uniform(size=x.shape) < 0.1] = np.nan
    with h5py.File(tmp_path / "hits.h5", "w") as file:
        for index in range(3):
            file[f"x{index}"] = x[:, index]
    raw = {**TRACK, "source": {"kind": "recorded", "file": str(tmp_path / "hits.h5")}}
    one, other = cuts({**raw, "scan": {"detector.resolution": [50.0, 100.0]}}, tmp_path)
    assert len(other.study.batches) == 2
    same(one, other)


def test_pieces_come_back_as_they_were():
    attributes = {
        "units": "rad",
        "flag_masks": np.array([1, 2], "u1"),
        "systematic_covariance": np.array([[0.1, 1e-300]]),
    }
    blocks = np.arange(48, dtype="u1").reshape(3, 16)
    parts = [
        ColumnPart("p/flag", "sigma", (5,), "|u1", {"muon": None}, attributes, blocks[:1]),
        ColumnPart(
            "p/none", "toys", (0, 2), "<f8", {"toy_muon": None, "end": ["low", "high"]}, {"units": "1"}, blocks[:0]
        ),
        ColumnPart("p/x", "reco", (300_000, 3), "<f8", {"muon": None, "coordinate": ["x0"]}, {}, blocks[1:]),
    ]
    found = list(unpack(pack(parts)))
    for part, again in zip(parts, found, strict=True):
        assert again._replace(attributes={}, block_xxh3=None) == part._replace(attributes={}, block_xxh3=None)
        np.testing.assert_array_equal(again.block_xxh3, part.block_xxh3)
        assert list(again.attributes) == list(part.attributes)
        for key, value in part.attributes.items():
            assert np.array_equal(again.attributes[key], value)
            assert np.asarray(again.attributes[key]).dtype == np.asarray(value).dtype


def test_merging_into_nothing_brings_all_of_a_tally_back(tmp_path):
    raw = {**TRACK, "source": {"muons": 500}, "systematics": {"alignment.x[1]": 0.01}}
    raw["toys"] = {**TRACK["toys"], "experiments": 100}
    run = Run(raw, tmp_path).make()
    (batch,) = (run.study.batch("tally", name) for name in run.study.batches)
    (part,) = batch.parts
    with artefact.read(run.tallies[0], batch) as reader:
        arrays = reader.arrays(part.label)
    merged = PointTally(part)
    merged.merge(arrays)
    for path, values in merged.arrays.items():
        assert values.dtype == arrays[path].dtype, path
        np.testing.assert_array_equal(values, arrays[path], err_msg=path)
