"""The workflow where it is not run from a clone: from the wheel, and as a module of another workflow."""

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest
import yaml
from running import PROJECT, SMALL, Workflow, copy_of_project

pytestmark = pytest.mark.slow

SCRIPTS = (PROJECT / "workflow" / "scripts").glob("*.py")

ONE_POINT = {name: each for name, each in SMALL.items() if name != "scan"}


def called(*command, folder, **environment):
    """What a command prints that must succeed, without the package of these tests in its way."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={name: each for name, each in os.environ.items() if name != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # From a copy, since a build leaves files beside the sources, among them the version that other runs would name.
    folder, project = tmp_path_factory.mktemp("wheel"), copy_of_project(tmp_path_factory.mktemp("source"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    shutil.copytree(PROJECT / "examples", project / "examples")
    called(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ".", project, folder=folder)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_workflow_of_the_clone(wheel):
    """The same files, byte for byte."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("pullback/workflow/")}
        for name in names:
            assert archive.read(name) == (PROJECT / name.removeprefix("pullback/workflow/")).read_bytes()
    wanted = ["Snakefile", "config/config.yaml", *(f"workflow/scripts/{path.name}" for path in SCRIPTS)]
    assert {f"pullback/workflow/{name}" for name in wanted} <= names


def test_a_study_runs_from_the_wheel_alone(wheel, tmp_path):
    """In a new environment and an empty folder; the libraries are those of the tests."""
    called(sys.executable, "-m", "venv", "there", folder=tmp_path)
    there = tmp_path / "there"
    (packages,) = there.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))
    called(there / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", wheel, folder=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    pullback = there / "bin/pullback"
    called(pullback, "init", "recorded", folder=empty)
    assert "recorded, 10 muons" in called(pullback, "check", "recorded.yaml", folder=empty)
    answer = called(pullback, "run", "recorded.yaml", folder=empty)
    assert answer.startswith("theta of 10 muons: mean σ = ")
    assert called(pullback, "show", "results/recorded", folder=empty) == answer
    with h5py.File(empty / "results/recorded/study.h5") as file:
        version = json.loads(file.attrs["versions"])["pullback"]
    assert f"pullback {version}\n" == called(pullback, "--version", folder=empty)
    assert wheel.name.startswith(f"pullback-{version}-")


def test_the_workflow_is_a_module_of_another(tmp_path):
    """Without the package installed where the other workflow is; its results are those of the workflow by itself."""
    project = copy_of_project(tmp_path / "project")
    folder = tmp_path / "analysis"
    folder.mkdir()
    (folder / "Snakefile").write_text(
        'configfile: "my.yaml"\n'
        "module pullback:\n"
        f'    snakefile: "{project}/Snakefile"\n'
        '    config: config["angles"]\n'
        '    prefix: "muons"\n'
        "use rule * from pullback as pullback_*\n"
        "rule mine:\n"
        "    default_target: True\n"
        "    input: rules.pullback_all.input\n"
        '    output: "mine.txt"\n'
        '    shell: "echo {input} > {output}"\n'
    )
    (folder / "my.yaml").write_text(yaml.safe_dump({"angles": ONE_POINT}))
    called(sys.executable, "-m", "snakemake", "--cores", "1", folder=folder)
    assert "muons/results/small/report.html" in (folder / "mine.txt").read_text()
    alone = Workflow(tmp_path / "alone", project)
    alone.folder.mkdir()
    (alone.folder / "my.yaml").write_text(yaml.safe_dump(ONE_POINT))
    alone.run("--cores", "1", "--configfile", "my.yaml")
    found = {path: path.read_bytes() for path in (folder / "muons").rglob("*.h5")}
    assert {Path(*path.relative_to(folder / "muons").parts): each for path, each in found.items()} == {
        path.relative_to(alone.folder): path.read_bytes() for path in alone.folder.rglob("*.h5")
    }
