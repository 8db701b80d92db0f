"""The project's files agree with each other."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from running import PROJECT, Run

from pullback import cli
from pullback.commands.beginning import begin
from pullback.commands.showing import show
from pullback.config import reference
from pullback.config.text import read_config
from pullback.report.formats import LINE
from pullback.store.provenance import LAYERS, code_digest
from pullback.study.plan import Study

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "xxhash": "python-xxhash"}


def requirement(text):
    """Name and version of a requirement, without its extras."""
    name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?\s*(.*)", text).groups()
    return name.lower(), version


def requirements(*groups):
    """Name and version of all that the package needs, and of what is in groups of dependencies."""
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    lists = [pyproject["project"]["dependencies"], *(pyproject["dependency-groups"][name] for name in groups)]
    return dict(map(requirement, chain.from_iterable(lists)))


def test_the_conda_environment_is_that_of_pip():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = requirements("test")
    wanted = {CONDA_NAMES.get(name, name): version for name, version in wanted.items()}
    wanted["python"] = project["requires-python"]
    conda = yaml.safe_load((PROJECT / "environment.yml").read_text())
    assert dict(map(requirement, conda["dependencies"])) == wanted
    assert conda["channels"][0] == "conda-forge"


def test_the_constraints_pin_every_requirement():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    for name in requirements("test", "docs"):
        assert name in pinned
    assert pinned["torch"] == "2.13.0"


def test_the_documentation_of_the_config_is_the_config():
    assert (PROJECT / "config" / "README.md").read_text() == reference.documentation(), "run: make docs"
    assert (PROJECT / "config" / "schema.json").read_text() == reference.config_schema(), "run: make docs"


def test_the_documentation_is_written_only_where_it_is_told_to(tmp_path):
    command = [sys.executable, "-m", "pullback.config.reference"]
    nowhere = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert nowhere.returncode == 2
    assert "the following arguments are required: folder" in nowhere.stderr
    assert list(tmp_path.iterdir()) == []
    subprocess.run([*command, "here"], cwd=tmp_path, check=True, timeout=120)
    for name in ("README.md", "schema.json"):
        assert (tmp_path / "here" / name).read_bytes() == (PROJECT / "config" / name).read_bytes()


@pytest.mark.parametrize("noise", ["strip", {"kind": "tails", "fraction": 0.1}])
def test_the_schema_knows_noise_by_its_kind(noise):
    import jsonschema

    schema = json.loads((PROJECT / "config" / "schema.json").read_text())
    jsonschema.validate({"study": "s", "detector": {"noise": noise}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"study": "s", "detector": {"noise": "stripe"}}, schema)


POINTS = {"config": 9, "track": 3, "own_model": 3}
"""Scan points of the studies in config/ that have several."""


@pytest.mark.parametrize("name", sorted(path.stem for path in (PROJECT / "config").glob("*.yaml")))
def test_the_configs_are_valid(name, monkeypatch):
    import jsonschema

    monkeypatch.chdir(PROJECT)
    raw = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())
    jsonschema.validate(raw, json.loads((PROJECT / "config" / "schema.json").read_text()))
    study = Study.from_config(raw)
    assert len(study.points) == POINTS.get(name, 1)


@pytest.mark.parametrize(
    ("section", "valid"),
    [
        ("model: {name: one_hit, dz: 150 cm}", True),
        ("model: {name: track, z: '[1, 2] mm', theta0_momentum: 3 GeV}", True),
        ("model: {name: track, z: [1 mm, 2]}", True),
        ("detector: {resolution: [1 /mm, 2]}", True),
        ("detector: {resolution: 10 /mm}", True),
        ("source: {kind: simulated, beam: {spot: 2 mm}}", True),
        ("target: {sigma: {theta: 1 mrad}, vary: model.dz, between: [1 m, 2]}", True),
        ("target: {sigma_theta: 1 mrad, vary: model.dz}", True),
        ("model: {name: one_hit, dz: high}", False),
        ("toys: {muons: 3 m}", False),
        ("detector: {efficiency: 3 m}", False),
    ],
)
def test_the_schema_knows_numbers_with_units(section, valid):
    import jsonschema

    schema = json.loads((PROJECT / "config" / "schema.json").read_text())
    with nullcontext() if valid else pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"study": "s", **yaml.safe_load(section)}, schema)


def test_the_default_study_is_the_documented_one():
    config = Study.from_config(yaml.safe_load((PROJECT / "config" / "config.yaml").read_text())).config
    assert config.study == "exercise"
    assert config.scan == {"detector.resolution": [50, 100, 200], "model.dz": [1.0, 1.5, 2.0]}
    assert (config.source.muons, config.detector.resolution, config.model.dz) == (100_000, 100.0, 1.5)


def test_importing_for_simulation_needs_no_torch():
    code = (
        "import sys, pullback, pullback.steps, pullback.study.plan, pullback.validation.verdict\n"
        "heavy = [name for name in ('torch', 'matplotlib', 'pyarrow', 'scipy.stats') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        "assert callable(pullback.smear) and 'torch' not in sys.modules\n"
        "assert callable(pullback.propagate) and 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT / "src")


def test_the_public_names():
    import pullback

    assert set(dir(pullback)) == set(pullback.__all__)
    for name in pullback.__all__:
        assert getattr(pullback, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pullback.nonsense


def test_links_in_the_documentation_lead_somewhere():
    pages = [PROJECT / f"{folder}README.md" for folder in ("", "config/", "results/", "benchmarks/")]
    for page in [*pages, *(PROJECT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)


def test_a_changed_source_has_another_digest_in_its_layer_and_above(tmp_path):
    shutil.copytree(PROJECT / "src", tmp_path / "src")
    code = "from pullback.store.provenance import LAYERS, code_digest; print(*map(code_digest, LAYERS))"

    def digests():
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path / "src", capture_output=True, text=True, check=True).stdout.split()

    before = digests()
    assert before == [*map(code_digest, LAYERS)]
    with (tmp_path / "src/pullback/models/one_hit.py").open("a") as source:
        source.write("\n")
    changed = [layer for layer, one, other in zip(LAYERS, before, digests(), strict=True) if one != other]
    assert changed == [*LAYERS[: LAYERS.index("models") + 1]]


def test_readme_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    found = {}
    exec(example, found)
    assert abs(found["toys"].sd / found["quoted"].sigma - 1).max() < 0.05
    assert found["quoted"].linear_valid[:, 0].tolist() == [False, True, True]


README = (PROJECT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("pullback ")])
def test_the_readmes_commands_are_understood(line):
    words = shlex.split(line.partition(">")[0], comments=True)[1:]
    assert cli._parser().parse_args(words).run


def test_the_readmes_files_are_there():
    named = re.findall(r"--configfile (config/\S+)", README)
    assert named
    assert all((PROJECT / name).is_file() for name in named)


def test_the_readmes_sample_is_what_is_printed(tmp_path, monkeypatch):
    """Of `pullback init recorded` and `pullback run recorded.yaml`, as wide as a line."""
    (sample,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    begin("recorded")
    Run(read_config("recorded.yaml"), Path("results/recorded")).make()
    text = io.StringIO()
    show("results/recorded", Console(file=text, width=LINE, highlight=False))
    assert [line.rstrip() for line in text.getvalue().splitlines()] == sample.splitlines()


def test_the_exercise_file_is_the_printed_table(monkeypatch):
    """`config/recorded.yaml`: ten recorded hits, against θ and σ as the exercise printed them."""
    table = json.loads((PROJECT / "tests" / "data" / "exercise_table.json").read_text())
    rows = (PROJECT / "config" / "hits.csv").read_text().split()
    assert rows[0] == "x"
    assert [float(row) for row in rows[1:]] == table["reco_x"]
