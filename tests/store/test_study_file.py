import numpy as np
import pytest
from running import Run

from pullback.errors import PullbackError
from pullback.store.study_file import ColumnPart, open_study, pack, unpack

RAW = {
    "study": "s",
    "source": {"muons": 30},
    "toys": {"muons": 2, "per_muon": 10},
    "scan": {"model.dz": [1.0, 1.5]},
    "compute": {"batch_cost": 1},
}


def part(name, rows, blocks):
    digests = np.arange(len(name), len(name) + blocks, dtype="u8")
    attributes = {"units": "m", "flag_masks": np.array([1, 2], "u1")}
    return ColumnPart(name, "sigma", (rows, 2), "<f8", {"muon": None, "end": ["low", "high"]}, attributes, digests)


def test_pieces_are_packed_and_unpacked_with_the_digests_of_each():
    parts = [part("p/a", 7, 3), part("p/long", 0, 0), part("p/bb", 9, 2)]
    for found, packed in zip(unpack(pack(parts)), parts, strict=True):
        for field in ColumnPart._fields[:-2]:
            assert getattr(found, field) == getattr(packed, field)
        assert found.attributes["flag_masks"].dtype == np.dtype("u1")
        np.testing.assert_equal(found.attributes, packed.attributes)
        np.testing.assert_array_equal(found.block_xxh3, packed.block_xxh3)


@pytest.fixture
def run(tmp_path):
    return Run(RAW, tmp_path).make()


def test_rows_whose_artefact_is_lost_are_no_plausible_numbers(run):
    """To whoever reads the file by other means; here they are refused."""
    lost, kept = run.files["sigma"]
    lost.unlink()
    with open_study(run.outputs.study) as reader:
        for column, expected in (("sigma_theta", np.nan), ("flag_theta", 255)):
            np.testing.assert_array_equal(reader._file[f"model.dz=1/{column}"][:], np.full(30, expected))
            with pytest.raises(PullbackError, match=str(lost)):
                reader.rows(f"model.dz=1/{column}")
            assert np.isfinite(reader.rows(f"model.dz=1.5/{column}")).all()
        assert kept.is_file()


def test_only_the_artefacts_that_hold_rows_are_verified(run, monkeypatch):
    with open_study(run.outputs.study) as reader:
        reader._sources["c"] = [(0, 10, "a.h5"), (10, 20, "b.h5"), (20, 30, "c.h5")]
        verified = []
        monkeypatch.setattr(reader, "_verify", verified.append)
        for rows, expected in (((0, 10), "a"), ((10, 20), "b"), ((9, 11), "ab"), ((29, None), "c"), ((0, None), "abc")):
            with pytest.raises(PullbackError):  # there is no such column
                reader.rows("c", *rows)
            assert [name[0] for name in verified] == [*expected]
            verified.clear()


def test_the_rows_of_each_artefact_are_known(run):
    with open_study(run.outputs.study) as reader:
        for label, name in zip(("model.dz=1", "model.dz=1.5"), run.study.batches, strict=True):
            assert reader._sources_of(f"{label}/sigma_theta") == [(0, 30, f"sigma/{name}.h5")]
