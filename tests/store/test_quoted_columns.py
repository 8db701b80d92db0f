"""A study in both storages: the same verdict, and numbers that differ by no more than 1e-7 σ."""

import h5py
import numpy as np
import pytest
import xarray
from running import Run

from pullback.store.encoding import KEPT_NUMBERS, KEPT_OFFSETS
from pullback.store.export import export
from pullback.store.labelled import decoded
from pullback.store.study_file import open_study
from pullback.validation.evidence import Evidence

RAW = {
    "study": "s",
    "source": {"muons": 1_500},
    "toys": {"muons": 40, "per_muon": 200},
    "coverage": {"toys_per_bin": 100},
    "scan": {"model.dz": [1.5, 1.0]},
}
"""Two points, whose labels are not in order."""

CASES = {
    "one hit": RAW,
    "lines in space": {**RAW, "model": {"name": "track3d", "z": [0, 0.1, 0.2]}, "scan": {"detector.efficiency": [0.9]}},
    "parallel beam": {
        **RAW,
        "source": {"muons": 1_000, "beam": {"spread": 0.0}},
        "model": {"name": "track", "z": [0, 0.1, 0.2]},
        "scan": None,
    },
}
"""The last: all true angles are 0, as are the lower ends of their intervals."""

EXTREME = """
def infer(hits):
    import torch
    x = hits[:, 0]
    return torch.stack([x * 1e50, x * 1e-50, x.abs() ** 3 - 1e-2 * x, torch.where(x > 0.5, x, torch.nan)], dim=1)
"""
"""An observable that float32 can't hold, one that is too small for it, a skewed one, and one that is often missing."""


def both(raw, folder):
    """The study in both storages."""
    made = lambda storage: Run({**raw, "compute": {**raw.get("compute", {}), "storage": storage}}, folder / storage)  # noqa: E731
    return [made(storage).make() for storage in ("lossless", "compact")]


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    return both(CASES[request.param], tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def extreme(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extreme")
    (folder / "model.py").write_text(EXTREME)
    observables = [{"name": name, "unit": "1"} for name in ("huge", "tiny", "skewed", "missing")]
    model = {"file": str(folder / "model.py"), "coordinates": ["x"], "observables": observables}
    return both({**RAW, "scan": None, "source": {"muons": 400}, "model": model}, folder)


def sigma_of(columns, name, observables):
    """The σ of the muons of a column of what is quoted, with its axes; None for other columns."""
    label, *groups, last = name.split("/")
    for each in () if groups else observables:
        fields = {"sigma_{}", "bias_{}", *(f"{field}_{{}}" for field in KEPT_OFFSETS)}
        if last in {field.format(each) for field in fields}:
            sigma = columns[f"{label}/sigma_{each}"]
            return sigma[:, None] if last.startswith(tuple(KEPT_OFFSETS)) else sigma
        if last == f"sigma_{each}_linear":
            return columns[name]
    return None


def check(lossless, compact):
    """Columns have the same names, types and numbers to 1e-7 σ; those that are not quoted are the same."""
    before, after = lossless.columns(), compact.columns()
    assert list(before) == list(after)
    observables = [each.name for each in lossless.study.model.observables]
    for name, numbers in before.items():
        found, sigma = after[name], sigma_of(before, name, observables)
        assert (found.dtype, found.shape) == (numbers.dtype, numbers.shape), name
        if sigma is None:
            if "/pulls/" not in name:  # of pulls less the quoted bias
                assert found.tobytes() == numbers.tobytes(), name
            continue
        np.testing.assert_array_equal(np.isnan(found), np.isnan(numbers), name)
        there = np.isfinite(numbers)
        if name.split("/")[1].startswith(tuple(KEPT_OFFSETS)):  # some have no σ, as their tails are too heavy
            value = before[f"{name.split('/')[0]}/{name.split('_', 1)[1]}"]
            sigma = np.where(np.isfinite(sigma), sigma, 2 * np.abs(numbers - value[:, None]))
        assert (np.abs(found - numbers) <= 1e-7 * np.abs(sigma))[there].all(), name
        assert (found == numbers)[np.isinf(numbers)].all()


def test_numbers_differ_by_no_more_than_a_ten_millionth_of_sigma(pair):
    check(*pair)


def test_the_verdict_is_the_same_and_so_is_every_count(pair):
    first, second = (Evidence.read(run.outputs.validation) for run in pair)
    assert first.verdict == second.verdict
    assert first.answers == second.answers
    for one, other in zip(first.points, second.points, strict=True):
        assert one.quoted.counts == other.quoted.counts
        assert (one.verdict, one.quoted.verdict) == (other.verdict, other.quoted.verdict)
        assert one.linear.counts == other.linear.counts
        assert one.quoted.overall.pulls.coverage95 == other.quoted.overall.pulls.coverage95
    if pair[0].study.points[0].label == "nominal":
        assert not np.any(pair[0].columns("nominal")["theta_true"])


def test_what_float32_cant_hold_is_kept_in_full(extreme):
    lossless, compact = extreme
    check(lossless, compact)
    before, after = (run.columns("nominal") for run in extreme)
    for name in ("huge", "tiny"):
        np.testing.assert_array_equal(after[f"sigma_{name}"], before[f"sigma_{name}"])
        with h5py.File(compact.outputs.study) as file:
            assert np.isnan(file[f"nominal/sigma_{name}"][:]).all()  # no plausible number to others who read it
    assert 0 < np.isnan(after["sigma_missing"]).mean() < 1


def test_the_file_says_how_it_is_decoded(extreme):
    """By h5py alone, by the attributes of the file."""
    lossless, compact = extreme
    before = lossless.columns("nominal")
    with h5py.File(compact.outputs.study) as file:
        point = file["nominal"]
        exact = {name: point[f"compact/exact/{name}"][:] for name in ("muon", "code", "value")}
        names = point["compact/exact/code"].attrs["flag_meanings"].split()

        def in_full(values, codes):
            for column, code in zip(values.reshape(len(values), -1).T, codes, strict=True):
                mine = exact["code"] == code
                column[exact["muon"][mine]] = exact["value"][mine]
            return values

        for observable in ("huge", "tiny", "skewed", "missing"):
            for field in KEPT_NUMBERS:
                name = f"sigma_{observable}_linear" if field == "sigma_linear" else f"{field}_{observable}"
                codes = point[name].attrs["exact_codes"]
                assert [names[code] for code in codes] == [name]
                found = in_full(point[name][:].astype(float), codes)
                sizes = before[f"sigma_{observable}"] if field == "bias" else before[name]
                there = np.isfinite(before[name])
                assert (np.abs(found - before[name]) <= 1e-7 * np.abs(sizes))[there].all(), name
            for field in KEPT_OFFSETS:
                name = f"{field}_{observable}"
                stored, about = point[f"compact/{name}"], point[f"compact/{name}"].attrs
                assert [names[code] for code in about["exact_codes"]] == [f"{name}:low", f"{name}:high"]
                sigma = in_full(point[about["sigma"]][:].astype(float), point[about["sigma"]].attrs["exact_codes"])
                known = np.where(np.isfinite(sigma), sigma, 0)[:, None]
                found = point[about["value"]][:][:, None] + about["factors"] * known + stored[:]
                found = in_full(found, about["exact_codes"])
                sizes = before[f"sigma_{observable}"][:, None]
                sizes = np.where(np.isfinite(sizes), sizes, np.abs(before[name] - before[observable][:, None]))
                there = np.isfinite(before[name])
                np.testing.assert_array_equal(np.isnan(found), np.isnan(before[name]))
                assert (np.abs(found - before[name]) <= 4e-7 * sizes)[there].all(), name


def check_xarray(run):
    """What `decoded` makes of a point is what the package reads."""
    for point in run.study.points:
        with xarray.open_datatree(run.outputs.study, engine="h5netcdf") as tree:
            data = decoded(tree[point.label])
            columns = {name: each for name, each in run.columns(point.label).items() if "/" not in name}
            assert set(data.data_vars) == set(columns)
            for name, values in columns.items():
                np.testing.assert_array_equal(data[name].values, values, name)
                assert data[name].attrs["long_name"]
            interval = f"interval95_{run.study.model.observables[0].name}"
            assert data[interval].dims == ("muon", "end")
            high = columns[interval][:, 1]
            np.testing.assert_array_equal(data[interval].sel(end="high").values, high)
            np.testing.assert_array_equal(data.sel(end="high")[interval].values, high)


def test_xarray_has_the_same_coordinates_in_both_storages(pair):
    for point in pair[0].study.points:
        found = []
        for run in pair:
            with xarray.open_datatree(run.outputs.study, engine="h5netcdf") as tree:
                found.append(decoded(tree[point.label]).load())
        first, second = found
        assert "end" in second.coords
        xarray.testing.assert_identical(first.coords.to_dataset(), second.coords.to_dataset())
        assert first.sizes == second.sizes
        for name in first.data_vars:
            assert set(first[name].coords) == set(second[name].coords), name
            assert first[name].attrs.keys() == second[name].attrs.keys(), name


def test_xarray_has_the_same_numbers(pair):
    for run in pair:
        check_xarray(run)


def test_xarray_has_the_numbers_that_are_kept_in_full(extreme):
    for run in extreme:
        check_xarray(run)


def test_exports_have_the_numbers_and_not_how_they_are_stored(extreme, tmp_path):
    tables = []
    for run in extreme:
        output, found = tmp_path / f"{run.folder.name}.csv", run.columns("nominal")
        export(run.outputs.study, output=output, columns=["all"], units="si")
        table = np.genfromtxt(output, delimiter=",", names=True)
        for each in ("huge", "tiny", "skewed", "missing"):
            np.testing.assert_array_equal(table[f"sigma_{each}"], found[f"sigma_{each}"])
            np.testing.assert_array_equal(table[f"interval95_{each}_high"], found[f"interval95_{each}"][:, 1])
        tables.append(table)
    assert tables[0].dtype == tables[1].dtype


def test_numbers_do_not_depend_on_the_batches(tmp_path, block):
    """Also those that are kept in full, whose rows follow each other in `study.h5`."""
    raw = {**RAW, "scan": None, "source": {"muons": 2 * block + 300, "x_max": 0.05}}
    raw["compute"] = {"storage": "compact"}
    runs = [
        Run({**raw, "compute": {"storage": "compact", "batch_cost": cost}}, tmp_path / str(cost)) for cost in (10**9, 1)
    ]
    first, second = (run.make().columns() for run in runs)
    assert [len(run.study.batches) for run in runs] == [1, 3]
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values.tobytes() == second[name].tobytes(), name
    with open_study(runs[1].outputs.study) as reader:
        muon = reader.stored("nominal/compact/exact/muon")
        assert len({*(muon // block).tolist()}) == 3
        assert (np.diff(muon) >= 0).all()
        for start, stop in ((0, 7), (block - 3, block + 3), (2 * block, None), (muon[-1], muon[-1] + 1)):
            for name in ("confidence95_theta", "sigma_theta"):
                rows = reader.rows(f"nominal/{name}", int(start), None if stop is None else int(stop))
                np.testing.assert_array_equal(rows, first[f"nominal/{name}"][start:stop])


def sizes(run):
    """Bytes of the artefacts of a study, by path in its folder."""
    return {str(path.relative_to(run.folder)): path.stat().st_size for path in run.folder.rglob("*.h5")}


def end_of(path):
    """The address where an HDF5 file ends, by its superblock (file format specification, section II.A, version 3)."""
    with path.open("rb") as file:
        file.seek(512)
        block = file.read(48)
    assert block[:9] == b"\x89HDF\r\n\x1a\n\x03"
    return int.from_bytes(block[28:36], "little")


SPACE_OF_A_POINT = 16_000
"""Bytes that compact storage adds for each observable of a point, to describe further columns."""


def check_space(raw, folder):
    """No file has space that is not used, and compact storage adds no more than what describes its columns."""
    runs = both(raw, folder)
    first, second = (sizes(run) for run in runs)
    for run, files in zip(runs, (first, second), strict=True):
        assert {name: end_of(run.folder / name) for name in files} == files
    study = runs[0].study
    described = SPACE_OF_A_POINT * len(study.points) * len(study.model.observables)
    assert second["study.h5"] <= 1.12 * first["study.h5"]
    muons = raw["source"]["muons"] * len(study.points)
    return sum(first.values()), sum(second.values()), described, muons * len(study.model.observables)


FEW_TOYS = {"study": "s", "toys": {"muons": 20, "per_muon": 100}, "coverage": {"toys_per_bin": 100}}
DZ, EFFICIENCY = {"scan": {"model.dz": [1.5, 1.0, 0.5]}}, {"scan": {"detector.efficiency": [0.9, 1.0, 0.8]}}
LINES = {"model": {"name": "track3d", "z": [0, 0.1, 0.2, 0.3]}, **EFFICIENCY}
LARGE = pytest.param(200_000, marks=pytest.mark.slow)


@pytest.mark.parametrize("muons", [10, 2_000, LARGE])
@pytest.mark.parametrize("model", [DZ, LINES], ids=["one hit", "lines in space"])
def test_compact_storage_takes_no_more_space(model, muons, tmp_path):
    lossless, compact, described, numbers = check_space({**FEW_TOYS, **model, "source": {"muons": muons}}, tmp_path)
    assert compact <= lossless + described
    if muons > 1_000:
        assert compact <= lossless + described - 20 * numbers


def test_only_what_is_made_from_quoted_numbers_is_made_again(tmp_path):
    first, second = (
        Run({**RAW, "compute": {"storage": storage}}, tmp_path).study for storage in ("lossless", "compact")
    )
    (name,) = first.batches
    changed = {kind for kind in first.kinds if first.batch(kind, name).digest != second.batch(kind, name).digest}
    assert changed == {"sigma", "coverage"}
    assert first.batch("tally", name).digest != second.batch("tally", name).digest
    assert first.target_to_json() == second.target_to_json()


def test_a_lossless_artefact_has_nothing_of_it(pair):
    with h5py.File(pair[0].outputs.study) as file:
        for point in file.values():
            assert "compact" not in point
            assert all(each.dtype == np.float64 for name, each in point.items() if name.startswith(("sigma_", "inter")))
