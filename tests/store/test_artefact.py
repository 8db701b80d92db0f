import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
import torch
import xarray
from running import SMALL, Run

from pullback.errors import PullbackError
from pullback.store import artefact, netcdf
from pullback.store.checksum import seal
from pullback.store.columns import COVERED, PULLS
from pullback.store.provenance import code_digest
from pullback.store.study_file import open_study
from pullback.study import blocks
from pullback.study.blocks import BLOCK

KINDS = ("truth", "reco", "theta", "sigma", "toys", "coverage")
FILES = (*KINDS, "tally")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small study, made once, with every column read."""
    run = Run({**SMALL, "source": {"kind": "simulated", "muons": 300}}, tmp_path_factory.mktemp("made")).make()
    return run, {kind: everything(run, kind, file_of(run, kind)) for kind in FILES}


def file_of(run, kind):
    """The only artefact of a kind."""
    (file,) = run.tallies if kind == "tally" else run.files[kind]
    return file


def everything(run, kind, path):
    """All that an artefact says: columns, attributes and dimensions."""
    (name,) = run.study.batches
    batch = run.study.batch(kind, name)
    found = {}
    with artefact.read(path, batch) as reader:
        for part in batch.parts:
            if kind == "tally":
                arrays = reader.arrays(part.label)
                found |= {f"{part.label}/{name}": (each.tobytes(), each.shape) for name, each in arrays.items()}
                continue
            for column, dataset in reader.columns(part.label):
                values = reader.rows(column)
                attributes = {key: str(value) for key, value in netcdf.attributes_of(dataset).items()}
                found[column] = (values.tobytes(), values.shape, attributes, reader.dims(column))
    return found


def refusal(run, kind, path):
    """Why a file is refused, or all that it says."""
    try:
        return everything(run, kind, path)
    except PullbackError as error:
        return str(error)


def test_layout(made):
    run, _ = made
    with h5py.File(run.files["sigma"][0]) as file:
        column = file["detector.resolution=100,model.dz=1.5/sigma_theta_linear"]
        assert column.attrs["units"] == "rad"
        assert not column.fletcher32  # the checksum of the whole file covers every byte
        assert column.compression is None
        assert file["detector.resolution=100,model.dz=1.5"].attrs["model.dz"] == 1.5
        assert file["detector.resolution=100,model.dz=1.5"].attrs["source.muons"] == 300
        assert {
            "schema",
            "kind",
            "units",
            "config_digest",
            "code_digest",
            "vector_instructions",
            "versions",
            "commit",
            "parents",
            "digest",
            "seed",
        } == set(file.attrs)


def test_root_attributes(made):
    run, _ = made
    found = {}
    for kind in FILES:
        with h5py.File(file_of(run, kind)) as file:
            found[kind] = dict(file.attrs)
    (name,) = run.study.batches
    for kind, attributes in found.items():
        assert attributes["kind"] == kind
        assert attributes["schema"] == 3
        assert attributes["seed"] == 1
        assert attributes["units"] == "SI: m, rad"
        assert attributes["config_digest"] == run.study.batch(kind, name).digest
        assert attributes["code_digest"] == code_digest("validation" if kind == "tally" else "steps")
        assert json.loads(attributes["versions"])["torch"].startswith("2.13.0")
        by_torch = {} if kind in ("truth", "reco", "tally") else {"torch": torch.backends.cpu.get_cpu_capability()}
        by_numpy = {"numpy": np.show_config(mode="dicts")["SIMD Extensions"]["found"][-1]}
        assert json.loads(attributes["vector_instructions"]) == by_numpy | by_torch
    parents = {kind: json.loads(attributes["parents"]) for kind, attributes in found.items()}
    digest = {kind: attributes["digest"] for kind, attributes in found.items()}
    assert parents == {
        "truth": {},
        "reco": {"truth": digest["truth"]},
        "theta": {kind: digest[kind] for kind in ("truth", "reco")},
        "sigma": {kind: digest[kind] for kind in ("truth", "reco")},
        "toys": {"reco": digest["reco"]},
        "coverage": {kind: digest[kind] for kind in ("truth", "reco", "sigma")},
        "tally": {kind: digest[kind] for kind in KINDS},
    }
    with h5py.File(run.outputs.study) as file:
        assert file.attrs["seed"] == 1
        assert json.loads(file.attrs["parents"]) == {f"{kind}/{name}.h5": digest[kind] for kind in KINDS}


def test_every_column_says_what_it_holds(made):
    run, _ = made
    with open_study(run.outputs.study) as reader:
        label = "detector.resolution=50,model.dz=1"
        said = {
            name.removeprefix(f"{label}/"): (each.attrs["units"], each.attrs["long_name"])
            for name, each in reader.columns(label)
        }
    measured = {name: said.pop(name) for name in [*said] if name.startswith(("coverage/", "pulls/"))}
    assert {f"coverage/{kind.of('theta')}" for name, kind in COVERED.items() if not kind.along} <= set(measured)
    assert {f"pulls/{name}" for name in PULLS} <= set(measured)
    assert all(unit and words for unit, words in measured.values())
    angle = "angle from the vertical"
    quoted = {
        "sigma_theta": ("rad", f"standard uncertainty of the {angle}"),
        "sigma_theta_linear": ("rad", f"standard uncertainty of the {angle} by linear propagation"),
        "bias_theta": ("rad", f"mean of the {angle} over the noise minus its value at the hits"),
        "interval68_theta": ("rad", f"68.27 % coverage interval (JCGM 101) of the {angle}"),
        "interval95_theta": ("rad", f"95 % coverage interval (JCGM 101) of the {angle}"),
        "confidence68_theta": ("rad", f"68.27 % confidence interval of the {angle}"),
        "confidence95_theta": ("rad", f"95 % confidence interval of the {angle}"),
        "distance_theta": ("1", f"distance of the {angle} from its fold, in standard deviations"),
        "linear_valid_theta": ("1", f"whether linear propagation is valid for the {angle}"),
    }
    sigma = quoted["sigma_theta_linear"][1]
    assert said == {
        "x_true": ("m", "true position on the layer"),
        "x_reco": ("m", "recorded position on the layer"),
        "theta": ("rad", angle),
        "theta_true": ("rad", f"{angle} at the true hits"),
        "sigma_theta_linear_true": ("rad", f"{sigma} at the true hits"),
        "distance_theta_true": ("1", f"{quoted['distance_theta'][1]}, at the true hits"),
        "flag_theta": ("1", f"sum of bits on the result for the {angle}; 0: it can be used"),
        **quoted,
        "design/count_theta": ("1", f"muons with a linear σ of the {angle}"),
        "design/sigma_theta": ("rad", f"sum of the linear σ of the {angle} over muons"),
        "design/slopes_theta": (
            "rad per unit of the parameter",
            f"sum over muons of the slope of the linear σ of the {angle} by each parameter",
        ),
        "toys/muon": ("1", "index of the muon in its point"),
        "toys/toy_count": ("1", "number of toys thrown around the muon"),
        "toys/toy_mean_theta": ("rad", f"mean of the {angle} over toys"),
        "toys/toy_sd_theta": ("rad", f"standard deviation of the {angle} over toys"),
        "toys/toy_sd_error_theta": ("rad", f"standard error of the standard deviation of the {angle} over toys"),
        "toys/toy_interval68_theta": ("rad", f"interval that holds 68.27 % of the toys' {angle}"),
        "toys/toy_interval68_error_theta": (
            "rad",
            f"standard errors of the ends of the 68.27 % interval of the {angle}",
        ),
        "toys/toy_interval95_theta": ("rad", f"interval that holds 95 % of the toys' {angle}"),
        "toys/toy_interval95_error_theta": ("rad", f"standard errors of the ends of the 95 % interval of the {angle}"),
    }


def test_where_space_cannot_be_set_aside_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    Run({**SMALL, "source": {"muons": 300}}, tmp_path / "enough").make()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))
    with pytest.raises(PullbackError, match="no space left on the disk"):
        Run({**SMALL, "source": {"muons": 300}}, tmp_path / "full").make()
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()]


def test_full_blocks_are_chunks_of_one_mebibyte(tmp_path):
    run = Run({"study": "s", "source": {"muons": 200_000}, "toys": {"muons": 2, "per_muon": 2}}, tmp_path).make()
    with h5py.File(run.files["truth"][0]) as file:
        column = file["nominal/x_true"]
        assert np.prod(column.chunks) * column.dtype.itemsize == 2**20


def test_the_study_opens_as_labelled_datasets(made):
    run, _ = made
    with xarray.open_dataset(
        run.outputs.study, group="detector.resolution=100,model.dz=1.5", engine="h5netcdf"
    ) as data:
        assert set(data.data_vars) == {
            "x_true",
            "x_reco",
            "theta_true",
            "theta",
            "sigma_theta",
            "sigma_theta_linear",
            "sigma_theta_linear_true",
            "bias_theta",
            "interval68_theta",
            "confidence68_theta",
            "confidence95_theta",
            "distance_theta",
            "distance_theta_true",
            "interval95_theta",
            "linear_valid_theta",
            "flag_theta",
        }
        assert data["interval95_theta"].dims == ("muon", "end")
        assert data["end"].values.tolist() == ["low", "high"]
        assert data["x_reco"].dims == ("muon", "coordinate")
        assert data["coordinate"].values.tolist() == ["x"]
        assert data["theta"].attrs["units"] == "rad"
        assert data["theta"].attrs["long_name"] == "angle from the vertical"
        assert data.attrs["detector.resolution"] == 100.0
        np.testing.assert_allclose(data["theta"], np.arctan(np.abs(data["x_reco"][:, 0]) / 1.5), rtol=1e-14)
    with xarray.open_dataset(
        run.outputs.study, group="detector.resolution=100,model.dz=1.5/toys", engine="h5netcdf"
    ) as toys:
        assert toys["toy_sd_theta"].dims == ("toy_muon",)
        assert toys.sizes["toy_muon"] == 60


def test_the_study_can_be_moved_as_a_folder(made, tmp_path):
    run, _ = made
    shutil.copytree(run.folder, tmp_path / "elsewhere")
    with open_study(tmp_path / "elsewhere" / "study.h5") as reader:
        assert np.isfinite(reader.rows("detector.resolution=50,model.dz=1/theta")).all()


def test_every_flipped_bit_is_refused_or_does_no_harm(made, tmp_path):
    """One bit at a time, all over each file: refused by name, or everything reads as before."""
    run, before = made
    rng = np.random.default_rng(1)
    refused = dict.fromkeys(FILES, 0)
    for kind in FILES:
        original = file_of(run, kind).read_bytes()
        path = tmp_path / f"{kind}.h5"
        for position in rng.choice(len(original), 60, replace=False):
            spoilt = bytearray(original)
            spoilt[position] ^= 1 << rng.integers(8)
            path.write_bytes(spoilt)
            found = refusal(run, kind, path)
            if isinstance(found, str):
                refused[kind] += 1
                assert str(path) in found
                assert "\n" not in found
            else:
                assert found == before[kind], (kind, position)
    assert min(refused.values()) > 50  # only the padding of the user block does no harm


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(made, tmp_path, keep):
    run, _ = made
    path = tmp_path / "cut.h5"
    content = run.files["reco"][0].read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(PullbackError, match=r"cut\.h5: is (damaged|not a pullback artefact, or is damaged)"):
        everything(run, "reco", path)


def test_what_is_not_the_artefact_is_refused_by_name(made, tmp_path):
    run, _ = made
    other = Run({**SMALL, "seed": 2, "source": {"muons": 300}}, tmp_path / "other").make()
    with pytest.raises(PullbackError, match="made from another config"):
        everything(run, "reco", other.files["reco"][0])
    with pytest.raises(PullbackError, match="not an artefact of kind 'reco'"):
        everything(run, "reco", run.files["truth"][0])
    with pytest.raises(PullbackError, match="can't be read: No such file"):
        everything(run, "reco", tmp_path / "missing.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(PullbackError, match=r"foreign\.h5: is not a pullback artefact"):
        everything(run, "reco", tmp_path / "foreign.h5")


def test_another_version_of_the_package_is_refused(made, monkeypatch):
    run, _ = made
    monkeypatch.setattr(artefact, "code_digest", lambda layer: "another")
    with pytest.raises(PullbackError, match="another version of pullback"):
        everything(run, "reco", run.files["reco"][0])


def test_a_changed_attribute_is_refused(made, tmp_path):
    run, _ = made
    path = shutil.copy(run.files["reco"][0], tmp_path / "edited.h5")
    with h5py.File(path, "r+") as file:
        file["detector.resolution=50,model.dz=1/x_reco"].attrs["units"] = "mm"
    with pytest.raises(PullbackError, match=r"edited\.h5: is damaged"):
        everything(run, "reco", path)


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda group: group.__setitem__("more", h5py.ExternalLink("secret.h5", "/x")), "links to another file"),
        (
            lambda group: group.create_dataset("more", (1,), "f8", external=[("/etc/hostname", 0, 8)]),
            "keeps its data in another file",
        ),
        (lambda group: group.__setitem__("more", h5py.SoftLink("/nowhere")), "links to another place"),
        (lambda group: group.__setitem__("more", h5py.SoftLink(group.name)), "links to another place"),
        (lambda group: group.__setitem__("more", group), "links to another place"),
        (lambda group: group.__setitem__("more", group.file), "links to another place"),
    ],
)
@pytest.mark.parametrize("inside", ["", "/a/b"])
def test_links_are_refused(made, tmp_path, add, words, inside):
    run, _ = made
    path = shutil.copy(run.files["reco"][0], tmp_path / "linked.h5")
    where = f"detector.resolution=50,model.dz=1{inside}"
    with h5py.File(path, "r+") as file:
        add(file.require_group(where))
    seal(path)
    with pytest.raises(PullbackError, match=rf"linked\.h5: /{re.escape(where)}/more {words}, which is refused"):
        everything(run, "reco", path)


def test_a_link_whose_name_is_not_utf_8_is_refused(made, tmp_path):
    run, _ = made
    path = shutil.copy(run.files["reco"][0], tmp_path / "linked.h5")
    with h5py.File(path, "r+") as file:
        file.id.links.create_external(b"\xff", b"secret.h5", b"/x")
    seal(path)
    with pytest.raises(PullbackError, match="/\N{REPLACEMENT CHARACTER} links to another file"):
        everything(run, "reco", path)


def test_an_artefact_that_changed_under_the_study_is_refused(made, tmp_path):
    run, _ = made
    folder = shutil.copytree(run.folder, tmp_path / "copy")
    other = Run({**SMALL, "seed": 2, "source": {"muons": 300}}, tmp_path / "other").make()
    (name,) = run.study.batches
    shutil.copy(other.files["reco"][0], folder / "reco" / f"{name}.h5")
    label = "detector.resolution=50,model.dz=1"
    with open_study(folder / "study.h5") as reader:
        for _ in range(2):
            with pytest.raises(
                PullbackError, match=r"reco/.* has changed since .*study.h5 was made from it; run again"
            ):
                reader.rows(f"{label}/x_reco", 0, 10)
        assert len(reader.rows(f"{label}/theta")) == 300


def test_only_artefacts_whose_rows_are_read_are_verified_and_each_once(tmp_path, monkeypatch, block):
    """A figure shows the first muons of a billion, and need not read the others for that."""
    raw = {"study": "s", "source": {"muons": 2 * block + 5}, "compute": {"batch_cost": 1}}
    run = Run({**raw, "toys": {"muons": 6, "per_muon": 20}}, tmp_path).make()
    verified = []
    monkeypatch.setattr(artefact, "verify", lambda path, advice: verified.append(path))
    with open_study(run.outputs.study) as reader:
        verified.clear()
        for start, stop, batches in (
            (0, block, [0]),
            (10, 20, []),
            (block - 1, block + 1, [1]),
            (2 * block, None, [2]),
        ):
            assert len(reader.rows("nominal/theta", start, stop)) == (2 * block + 5 if stop is None else stop) - start
            assert verified == [run.files["theta"][index] for index in batches]
            verified.clear()
        reader.rows("nominal/sigma_theta", 0, 0)
        assert verified == []


def test_a_column_that_is_not_full_is_never_left_behind(made, tmp_path):
    run, _ = made
    (name,) = run.study.batches
    path = tmp_path / "half.h5"

    def write_half():
        with artefact.create(path, run.study.batch("truth", name)) as out:
            part = run.study.batch("truth", name).parts[0]
            quantity = run.study.model.coordinates[0]
            out.column(out.point(part), "x_true", (10,), {"muon": None}, quantity).append(np.zeros(5))

    with pytest.raises(AssertionError, match="5 of 10 rows"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_many_blocks_has_all_of_their_digests_and_space_for_them(made, tmp_path, monkeypatch):
    """More than the 64 KiB that an attribute of HDF5 had for long."""
    run, _ = made
    monkeypatch.setattr(blocks, "BLOCK", 1)  # a chunk a row
    reserved, reserve = [], artefact.reserve
    monkeypatch.setattr(artefact, "reserve", lambda path, size: reserved.append(size) or reserve(path, size))
    (name,) = run.study.batches
    batch, path = run.study.batch("truth", name), tmp_path / "many.h5"
    with artefact.create(path, batch) as out:
        quantity = run.study.model.coordinates[0]
        column = out.column(out.point(batch.parts[0]), "x_true", (7630,), {"muon": None}, quantity)
        for row in range(7630):
            column.append(np.array([float(row)]))
    with h5py.File(path) as file:
        assert max(reserved) >= file.id.get_filesize()
    with artefact.read(path, batch) as reader:
        rows = f"{batch.parts[0].label}/x_true"
        ((_, dataset),) = reader.columns(batch.parts[0].label)
        assert dataset.attrs["block_xxh3"].shape == (7630, 16)
        assert np.array_equal(reader.rows(rows), np.arange(7630.0))


def test_the_last_chunk_of_a_column_has_space_for_a_full_one(made, tmp_path, monkeypatch):
    run, _ = made
    reserved, reserve = [], artefact.reserve
    monkeypatch.setattr(artefact, "reserve", lambda path, size: reserved.append(size) or reserve(path, size))
    (name,) = run.study.batches
    batch, path = run.study.batch("truth", name), tmp_path / "partial.h5"
    with artefact.create(path, batch) as out:
        quantity = run.study.model.coordinates[0]
        column = out.column(out.point(batch.parts[0]), "x_true", (BLOCK + 5,), {"muon": None}, quantity)
        column.append(np.ones(BLOCK))
        column.append(np.ones(5))
    assert max(reserved) >= path.stat().st_size
