"""The studies in config/, smaller, and what a real Snakemake makes of a model in a file of the user's."""

import os
import shutil

import pytest
import yaml
from running import ENOUGH, PROJECT, Run, slow

from pullback.validation.evidence import Evidence

SEEDS = range(1, 21)

FEWER = {
    "track": {"scan": None},
    "own_model": {"scan": None},
    "scatter": {
        "source": {"muons": 3000},
        "toys": {"muons": 500, "per_muon": 12_500},
        # A tenth of the toys around true hits, which take 3 minutes by default, and tolerances √10 times as large.
        "coverage": {"toys_per_bin": 10_000},
        "validation": {"tolerance": 0.0632, "coverage_tolerance": 0.0316, "data_tolerance": 0.1},
    },
}
"""What is smaller than in the studies of config/."""


def merged(raw, changes):
    both = {**raw, **changes}
    return {
        key: {**raw[key], **value} if isinstance(value, dict) and key in raw else value for key, value in both.items()
    }


@pytest.mark.parametrize("seed", [SEEDS[0], *map(slow, SEEDS[1:])])
@pytest.mark.parametrize(
    "name", ["exercise", "recorded", "recorded_root", slow("config"), slow("track"), slow("own_model"), slow("scatter")]
)
def test_every_example_passes_with_any_seed(tmp_path, monkeypatch, name, seed):
    raw = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(PROJECT)  # where the files are that it names
    raw = merged({**ENOUGH, **raw}, {**FEWER.get(name, {}), "seed": seed})
    evidence = Evidence.read(Run(raw, tmp_path).make().outputs.validation)
    assert evidence.verdict == "pass", [reason for entry in evidence.points for reason in entry.reasons]
    if name == "scatter" and seed == SEEDS[0]:  # angles near zero included
        (entry,) = [each for each in evidence.points if each.observable == "theta_msc"]
        assert all(each.toy_muons for each in entry.quoted.bins)


@pytest.mark.slow
def test_editing_a_model_reruns_what_depends_on_it(workflow):
    """And touching nothing reruns nothing; a mistake in the file is named by file and line before any job."""
    shutil.copytree(PROJECT / "examples", workflow.folder / "examples")
    raw = yaml.safe_load((PROJECT / "config" / "own_model.yaml").read_text(encoding="utf-8"))
    small = {"study": "small", "source": {"muons": 500}, "toys": {"muons": 20, "per_muon": 300}}
    config = workflow.folder / "own.yaml"
    config.write_text(yaml.safe_dump({**merged(raw, small), "scan": None}))
    wanted = [f"results/small/{kind}/nominal.h5" for kind in ("theta", "sigma", "toys")]
    run = (*wanted, "--cores", "2", "--configfile", "own.yaml")
    workflow.run(*run)
    before = workflow.results()
    assert "Nothing to be done" in workflow.run(*run)

    model = workflow.folder / "examples" / "magnet.py"
    text = model.read_text(encoding="utf-8")
    assert text.count("0.299792458") == 1
    model.write_text(text.replace("0.299792458", "0.3"), encoding="utf-8")
    workflow.run(*run)
    after = workflow.results()
    assert all(before[name] != after[name] for name in (each.removeprefix("results/small/") for each in wanted))

    model.write_text(text.replace("def infer(", "def infer((", 1), encoding="utf-8")
    printed = workflow.run(*run, expect=1)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each.startswith("def infer("))
    assert f"examples/magnet.py:{line}: " in printed


@pytest.mark.slow
def test_editing_a_module_beside_a_model_reruns_the_same_rules(workflow):
    code = "from helper import angle\n\n\ndef infer(hits, dz):\n    return angle(hits / dz)\n"
    (workflow.folder / "mine.py").write_text(code)
    (workflow.folder / "helper.py").write_text("def angle(slope):\n    return slope.arctan()\n")
    model = {"file": "mine.py", "coordinates": ["x"], "observables": [{"name": "theta", "unit": "rad"}]}
    raw = {"study": "small", "source": {"muons": 100}, "model": {**model, "parameters": {"dz": 0.5}}}
    (workflow.folder / "own.yaml").write_text(yaml.safe_dump(raw))
    run = ("results/small/theta/nominal.h5", "--cores", "1", "--configfile", "own.yaml")
    workflow.run(*run)
    assert "Nothing to be done" in workflow.run(*run)

    def planned():
        printed = workflow.run(*run, "--dry-run", "--quiet", "rules")
        return [rule for rule in ("simulate_hits", "smear_hits", "infer_theta") if rule in printed]

    for name in ("helper.py", "mine.py"):
        text = (workflow.folder / name).read_text()
        (workflow.folder / name).write_text(text + "# changed\n")
        assert planned() == ["simulate_hits", "smear_hits", "infer_theta"]
        (workflow.folder / name).write_text(text)


@pytest.mark.slow
def test_an_error_in_a_model_names_its_line(workflow):
    (workflow.folder / "mine.py").write_text("import torch\n\n\ndef infer(hits, a):\n    return hits @ torch.ones(7)\n")
    raw = {
        "study": "small",
        "source": {"muons": 100},
        "model": {
            "file": "./mine.py",
            "coordinates": ["x0", "x1"],
            "observables": [{"name": "s", "unit": "m"}],
            "parameters": {"a": 1.0},
        },
    }
    (workflow.folder / "own.yaml").write_text(yaml.safe_dump(raw))
    printed = workflow.run("--cores", "1", "--configfile", "own.yaml", expect=1)
    assert "mine.py:5: " in printed
    assert "Relative file path" not in printed
    assert not os.path.exists(workflow.folder / "results" / "small" / "theta" / "nominal.h5")
