"""Alignment in the workflow, run by Snakemake for real: recorded hits, a kept file, mistakes before any job."""

import json

import numpy as np
import pytest
import yaml

Z = np.array([0.0, 0.02, 0.07, 0.11])


def write_hits(folder, muons=400):
    """Hits of four layers, of which the layer 2 is turned by 5 mrad and shifted by 100 µm in x, in mm."""
    rng = np.random.default_rng(1)
    position, slope = rng.normal(0, 5, (muons, 2)), rng.normal(0, 2, (muons, 2))
    x, y = (position[:, [view]] + slope[:, [view]] * Z for view in range(2))
    h = (x + 1j * y - np.array([0, 0, 0.1, 0])) * np.exp(-1j * np.array([0, 0, 5e-3, 0]))
    hits = np.concatenate([h.real, h.imag], axis=1) + rng.normal(0, 0.02, (muons, 8))
    names = [f"{view}{layer}" for view in "xy" for layer in range(4)]
    np.savetxt(folder / "hits.csv", hits, delimiter=",", header=",".join(names), comments="")


CONFIG = {
    "study": "beam",
    "source": {"kind": "recorded", "file": "hits.csv", "unit": "mm"},
    "model": {"name": "track3d", "z": Z.tolist()},
    "detector": {"sigma": "20 um"},
    "alignment": {},
    "toys": {"muons": 5, "per_muon": 50, "experiments": 100},
}


def write(folder, name, **raw):
    (folder / name).write_text(yaml.safe_dump({**CONFIG, **raw}))


@pytest.mark.slow
def test_recorded_hits_are_aligned_and_an_alignment_is_kept(workflow):
    folder = workflow.folder
    write_hits(folder)
    write(folder, "beam.yaml")
    printed = workflow.run("--cores", "2", "--configfile", "beam.yaml")
    assert "Aligning the layers by the tracks" in printed
    found = {each["name"]: each for each in json.loads((folder / "results/beam/alignment.json").read_text())["numbers"]}
    for name, true in (("alignment.rotation[2]", 5e-3), ("alignment.x[2]", 1e-4), ("alignment.y[1]", 0.0)):
        assert abs(found[name]["value"] - true) < 4 * found[name]["se"]
    assert "alignment.rotation[2]" in (folder / "results/beam/report.html").read_text()
    assert (folder / "results/beam/figures/systematics.nominal.svg").exists()
    before = workflow.results("beam")
    again = workflow.run("--cores", "1", "--configfile", "beam.yaml", "--forceall")
    assert "Aligning the layers" in again
    assert workflow.results("beam") == before
    (folder / "kept.json").write_bytes(before["alignment.json"])
    write(folder, "kept.yaml", study="kept", alignment={"file": "kept.json"})
    workflow.run("--cores", "2", "--configfile", "kept.yaml")
    after = workflow.results("kept")
    assert after.keys() == before.keys()
    assert after["alignment.json"] == before["alignment.json"]
    # A criterion of the verdict does not align anew, another layer that is held does.
    write(folder, "beam.yaml", validation={"data_tolerance": 0.06})
    plan = workflow.run("--cores", "1", "--configfile", "beam.yaml", "--dry-run")
    assert "Aligning the layers" not in plan
    write(folder, "beam.yaml", alignment={"reference": [0, 1]})
    plan = workflow.run("--cores", "1", "--configfile", "beam.yaml", "--dry-run")
    assert "Aligning the layers" in plan


def test_mistakes_are_refused_before_any_job(workflow):
    write_hits(workflow.folder, 5)
    write(workflow.folder, "wrong.yaml", alignment={"reference": [1]})
    printed = workflow.run("--cores", "1", "--configfile", "wrong.yaml", expect=1)
    assert "pullback: wrong.yaml:" in printed
    assert "alignment.reference: [1] leaves free: shear in x (shift ∝ z)" in printed
    write(workflow.folder, "none.yaml", alignment={"file": "none.json"})
    printed = workflow.run("--cores", "1", "--configfile", "none.yaml", expect=1)
    assert "alignment.file: none.json: no such file" in printed
    assert not (workflow.folder / "results").exists()


@pytest.mark.slow
def test_tracks_that_are_too_few_end_the_run_in_one_line(workflow):
    write_hits(workflow.folder, 5)
    write(workflow.folder, "beam.yaml")
    printed = workflow.run("--cores", "1", "--configfile", "beam.yaml", expect=1)
    assert "pullback: align: alignment: all 5 muons have more hits than a line has parameters, too few for 6" in printed
    assert not (workflow.folder / "results/beam/alignment.json").exists()
