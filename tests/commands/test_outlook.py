import math
import re

import h5py
import pytest
import yaml
from running import PROJECT, SMALL, Run

from pullback.cli import main
from pullback.commands.beginning import begin
from pullback.commands.outlook import PAGE, VALUES_IN_SEARCH, bytes_per_muon, outlook, seconds_of
from pullback.config.schema import TARGET_MUONS
from pullback.config.text import read_config
from pullback.report.formats import LINE
from pullback.study.plan import Study
from pullback.study.work import OF_FITTED_LINES, TOY_SECONDS

MUONS = 40


def stored(path):
    """Bytes per muon of the columns in a file, of its first point."""
    sizes = []
    with h5py.File(path) as file:
        point = file[next(iter(file))]
        for dataset in (*point.values(), *point.get("compact", {}).values()):
            if isinstance(dataset, h5py.Dataset) and dataset.shape[:1] == (MUONS,) and not dataset.is_scale:
                sizes.append(dataset.dtype.itemsize * math.prod(dataset.shape[1:]))
    return sum(sizes)


@pytest.mark.parametrize(
    ("name", "storage"),
    [*((name, "lossless") for name in ("exercise", "track", "scatter", "own_model")), ("exercise", "compact")],
)
def test_the_space_is_that_of_the_columns(name, storage, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    raw = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())
    raw["source"]["muons"] = MUONS
    raw |= {"toys": {"muons": 2, "per_muon": 100}, "compute": {"storage": storage}}
    raw = {name: each for name, each in raw.items() if name not in ("target", "scan")}
    run = Run(raw, tmp_path).make()
    whole = sum(stored(files[0]) for files in run.files.values())
    assert bytes_per_muon(run.study) == pytest.approx(whole, rel=0.1)


def test_recorded_hits_have_no_truth_to_store(tmp_path):
    lines = "\n".join(f"{0.1 + index / MUONS}" for index in range(MUONS))
    (tmp_path / "hits.csv").write_text(f"x\n{lines}\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run = Run({"study": "r", "source": source, "toys": {"muons": 2, "per_muon": 100}}, tmp_path).make()
    whole = sum(stored(files[0]) for files in run.files.values())
    assert bytes_per_muon(run.study) == pytest.approx(whole, rel=0.1)


def test_more_work_takes_longer():
    small, large = (outlook({**SMALL, "source": {"kind": "simulated", "muons": muons}}) for muons in (10**4, 10**8))
    assert large.size - PAGE == pytest.approx(1e4 * (small.size - PAGE))
    assert 60 < large.seconds - small.seconds < 3600  # 4e8 muons


CPU_SECONDS = {"config": 27, "exercise": 10, "recorded": 9.8, "track": 88, "track3d": 75, "own_model": 17}
"""Of whole studies on busy machines (load 5 to 12 on two cores): the `.tsv` of their jobs, and Snakemake itself."""


@pytest.mark.parametrize("name", CPU_SECONDS)
def test_the_time_is_about_that_of_a_run(name, monkeypatch):
    monkeypatch.chdir(PROJECT)
    seconds = seconds_of(Study.from_config(read_config(f"config/{name}.yaml")))
    assert CPU_SECONDS[name] / 1.5 < seconds < 1.5 * CPU_SECONDS[name]


SCATTER = {"study": "few", "model": {"name": "scatter"}, "detector": {"sigma": "0.2 mm"}}


@pytest.mark.parametrize(
    ("muons", "toys", "per_bin", "cpu"), [(300, (100, 2000), 100_000, 97), (3000, (300, 5000), 1000, 32)]
)
def test_the_time_of_few_scattered_muons_is_mainly_that_of_toys_around_true_hits(muons, toys, per_bin, cpu):
    raw = {**SCATTER, "source": {"muons": muons}, "toys": dict(zip(("muons", "per_muon"), toys, strict=True))}
    seconds = seconds_of(Study.from_config({**raw, "coverage": {"toys_per_bin": per_bin}}))
    assert cpu / 1.5 < seconds < 1.5 * cpu


def test_a_target_is_searched_once_for_the_points_that_differ_in_nothing_else():
    raw = {"study": "s", "source": {"muons": 10_000}, "model": {"name": "track"}, "detector": {"sigma": 1e-3}}
    target = {"target": {"sigma_theta": 1e-3, "vary": "detector.sigma"}}

    def searched(scan):
        with_target, without = (seconds_of(Study.from_config({**raw, **more, "scan": scan})) for more in (target, {}))
        return with_target - without

    of_varied, of_others = searched({"detector.sigma": [1e-3, 2e-3, 3e-3]}), searched({"model.z[1]": [0.3, 0.4, 0.5]})
    of_one = searched({"seed": [1]})
    assert of_one > 1
    assert of_varied == pytest.approx(of_one)
    of_muon = TOY_SECONDS * 3 * OF_FITTED_LINES.muon
    assert of_others - of_one == pytest.approx(2 * VALUES_IN_SEARCH * TARGET_MUONS * of_muon)
    few = {**raw, "source": {"muons": 100}}
    assert seconds_of(Study.from_config({**few, **target})) - seconds_of(Study.from_config(few)) < of_one


def rows_of(found):
    """The text of each row, whose lines but the first begin with spaces."""
    assert max(map(len, str(found).splitlines())) <= LINE
    rows = (line.split(None, 1) for line in str(found).replace("\n  ", " ").splitlines())
    return {name: re.sub(" +", " ", text) for name, text in rows}


def test_one_muon_reads_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hits.csv").write_text("x\n0.3\n")
    said = rows_of(outlook({"study": "one", "source": {"kind": "recorded", "file": "hits.csv"}}))
    assert said["hits"] == "recorded, 1 muon from hits.csv"
    assert said["file"] == "its only muon was read"
    assert said["toys"].endswith(" around the hits of the muon")
    assert not {"muons", "scan", "batches"} & {*said}


def test_points_and_batches_are_counted_where_there_are_several():
    config = {**SMALL, "scan": {"model.dz": [1 + number / 100 for number in range(9)]}}
    said = rows_of(outlook({**config, "compute": {"batch_cost": 1}}))
    assert said["scan"] == "9 points: 9 values of model.dz from 1 m to 1.08 m"
    assert said["toys"] == "400 around the hits of each of 60 muons at each point"
    assert said["batches"] == "9; each can run on a core of its own"


def test_target_systematics_and_toys_around_true_hits_are_told():
    raw = yaml.safe_load((PROJECT / "config/track.yaml").read_text())
    said = rows_of(outlook({**raw, "source": {"muons": 500}, "toys": {"experiments": 150}}))
    assert said["systematics"] == (
        "alignment.x[1] ± 200 µm, alignment.x[2] ± 200 µm, model.z[3] ± 1 mm; correlation of alignment.x[1] and "
        "alignment.x[2]: 0.5; tested by 150 pseudo-experiments"
    )
    assert said["target"] == "model.z[3] for a mean σ of theta of 0.5 mrad, searched from 700 mm to 3 m"
    assert said["coverage"] == "100\u202f000 toys around true hits in each of 8 bins of the true values"
    plain = rows_of(outlook({**SMALL, "target": {"sigma_theta": 1e-3, "vary": "detector.resolution"}}))
    assert plain["target"] == "detector.resolution for a mean σ of theta of 1 mrad, searched from 0.1 /m to 100000 /m"
    assert "systematics" not in plain


def test_many_systematics_are_listed_in_part():
    names = [f"alignment.x[{layer}]" for layer in range(12)]
    raw = {"study": "s", "source": {"muons": 50}, "model": {"name": "track", "z": [0.1 * layer for layer in range(12)]}}
    said = rows_of(outlook({**raw, "systematics": dict.fromkeys(names, 1e-4)}))["systematics"]
    assert "alignment.x[7] ± 100 µm, and 4 more; tested by" in said


def test_toys_around_true_hits_are_not_told_of_recorded_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hits.csv").write_text("x\n0.3\n0.2\n")
    assert "coverage" not in rows_of(outlook({"study": "two", "source": {"kind": "recorded", "file": "hits.csv"}}))


def test_what_was_meant_is_repeated_with_units(tmp_path, monkeypatch):
    """A forgotten `cosmic`, or a length in mm, is seen."""
    monkeypatch.chdir(tmp_path)
    model = {"name": "track", "z": [0.0, 0.4, 1.0], "material": 0.02}
    raw = {"study": "s", "source": {"muons": 500}, "model": model, "detector": {"sigma": 2e-4, "efficiency": 0.9}}
    said = rows_of(outlook(raw))
    assert said["hits"].startswith("simulated, x ~ U(0, 1) m")
    assert said["detector"] == "3 layers, σx = 200 µm; efficiency 0.9; noise gaussian"
    assert "z = 0, 0.4, 1 m" in said["model"]
    assert "material = 0.02" in said["model"]
    assert "3 GeV/c" in said["hits"]
    cosmic = {"cosmic": {"momentum": 4.0}, "x_min": -0.05, "x_max": 0.05}
    text = rows_of(outlook({**raw, "source": {"muons": 500, **cosmic}}))["hits"]
    assert "x ~ U(-50, 50) mm at z = 0, zenith angles as cos²" in text
    assert "4 GeV/c" in text


TELESCOPE = {
    "study": "s",
    "source": {"muons": 500, "beam": {"spread": 0.02, "spot": 0.01}},
    "detector": {"sigma": 2e-5},
    "model": {"name": "track", "z": [0.0, 0.12, 0.8]},
}


def test_what_plays_no_part_is_left_out(tmp_path, monkeypatch):
    """A momentum where nothing scatters, and scattering by no angle."""
    monkeypatch.chdir(tmp_path)
    text = str(outlook(TELESCOPE))
    assert "GeV" not in text
    assert "theta0" not in text
    cosmic = {**TELESCOPE, "source": {"muons": 500, "cosmic": {"momentum": 4.0}}}
    assert "GeV" not in str(outlook(cosmic))
    spectrum = {**TELESCOPE, "source": {"muons": 500, "cosmic": {"momentum": 4.0, "spectrum": "sea_level"}}}
    assert "above 4 GeV/c" in str(outlook(spectrum))


@pytest.mark.parametrize(
    ("model", "scan", "seen"),
    [
        ({"material": 0.02}, None, "N(0, 0.02), 3 GeV/c"),
        ({"theta0": 5e-4, "theta0_momentum": 3.0}, None, "N(0, 0.02), 3 GeV/c"),
        ({"theta0": 5e-4}, None, "theta0 = 0.5 mrad"),
        ({}, {"model.theta0": [0.0, 1e-3]}, "theta0 = 0 rad"),
    ],
)
def test_what_scatters_is_shown(model, scan, seen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert seen in str(outlook({**TELESCOPE, "model": {**TELESCOPE["model"], **model}, "scan": scan}))


def test_a_volume_scatters_by_momentum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin("tomography")
    assert "GeV/c, scattered in" in str(outlook(read_config("tomography.yaml")))


def test_check_prints_it(tmp_path, capsys):
    file = tmp_path / "my.yaml"
    file.write_text(
        yaml.safe_dump(
            {**SMALL, "scan": {"model.dz": [1.0, 1.5], "detector.resolution": [50, 60, 70]}}, sort_keys=False
        )
    )
    main(["check", str(file)])
    printed = capsys.readouterr().out
    assert "6 points: model.dz = 1, 1.5 m; detector.resolution = 50, 60, 70 /m\n" in printed
    assert "18\u202f000 in all points\n" in printed
    file.write_text("study: s\nmodel: {name: one_hitt}\n")
    with pytest.raises(SystemExit, match=r"^pullback: .*:2: model\.name: is 'one_hitt'"):
        main(["check", str(file)])


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        ({"sigma": "20 um"}, "2 layers, σx = σy = 20 µm; noise"),
        ({"resolution": 1000}, "2 layers, resolution 1000 /m (σx = σy = 1 mm); noise"),
        ({"sigma": {"x": "20 um", "y": "1 mm"}}, "2 layers, σx = 20 µm, σy = 1 mm; noise"),
    ],
)
def test_a_width_is_that_of_both_views(detector, words):
    raw = {"study": "s", "source": {"muons": 500}, "model": {"name": "track3d", "z": [1.0, 0.0]}, "detector": detector}
    assert f"  {words}" in str(outlook(raw))


def test_import_and_alignment_take_time(tmp_path):
    """123 000 muons on five layers in two views took 1.8 s of CPU to read, and 5.7 s to align."""
    x = ",".join(f"{view}{layer}" for view in "xy" for layer in range(5))
    seconds = {}
    for muons in (20_000, 123_000):
        file = tmp_path / f"{muons}.csv"
        file.write_text(f"{x}\n" + "0,0,0,0,0,0,0,0,0,0\n" * muons)
        model = {"name": "track3d", "z": "[0, -150, -310, -480, -620] mm"}
        source = {"kind": "recorded", "file": str(file)}
        raw = {"study": "s", "source": source, "model": model, "detector": {"sigma": "20 um"}}
        seconds[muons] = seconds_of(Study.from_config(raw))
        seconds[muons, "aligned"] = seconds_of(Study.from_config({**raw, "alignment": {}}))
        seconds[muons, "few"] = seconds_of(Study.from_config({**raw, "alignment": {"tracks": 1000}}))
    assert seconds[123_000] - seconds[20_000] > 1.8 - 0.6
    further = {muons: seconds[muons, "aligned"] - seconds[muons, "few"] for muons in (20_000, 123_000)}
    assert further[123_000] - further[20_000] == pytest.approx(5.7 - 1.3, rel=0.1)
