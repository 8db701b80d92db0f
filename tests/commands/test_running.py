import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running import SMALL

from pullback.commands import running
from pullback.commands.running import run


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "study": "mine", "scan": {"model.dz": [1.5]}}))
    return file


@pytest.fixture
def called(monkeypatch):
    """The options that Snakemake is given."""
    calls = []

    def call(command, check):
        calls.extend(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(running.subprocess, "run", call)
    return calls


@pytest.mark.parametrize(
    ("options", "cores", "results"),
    [
        ([], True, "results/mine"),
        (["--cores", "4"], False, "results/mine"),
        (["-c4", "--directory", "there"], False, "there/results/mine"),
        (["-j", "2"], False, "results/mine"),
        (["--profile", "slurm"], False, "results/mine"),
        (["--dry-run"], True, None),
        (["-n"], True, None),
    ],
)
def test_options_are_passed_on(options, cores, results, config, called):
    ran = run("my.yaml", options)
    assert (ran.results and str(ran.results)) == results
    assert ("all" in called) == cores
    assert all(option in called for option in options)


@pytest.mark.parametrize("reported", [True, False])
def test_results_of_a_failed_run_are_those_that_it_reported(reported, config, monkeypatch):
    """An old report beside a run that failed before its own is not its result."""
    report = config.parent / "results/mine/report.html"
    report.parent.mkdir(parents=True)
    report.write_text("")
    os.utime(report, (0, 0))

    def call(command, check):
        if reported:
            os.utime(report)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(running.subprocess, "run", call)
    assert run("my.yaml") == (1, Path("results/mine") if reported else None)


def command(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "pullback", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_mistake_is_one_line(config):
    config.write_text("study: s\nmodel: {name: track, z: [0, 1]}\ntoys: {muonss: 3}\n")
    done = command("run", "my.yaml", folder=config.parent)
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("pullback: config: toys.muonss")


@pytest.mark.slow
def test_a_run_ends_in_the_answer(config):
    done = command("run", "my.yaml", "--", "--cores", "1", folder=config.parent)
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("theta of 3\u202f000 muons: mean σ = ")
    assert last == "Report: results/mine/report.html"
    rules = [line.split()[0] for line in done.stderr.splitlines()]
    assert rules[0] == "simulate_hits"
    assert rules[-1] == "check"
    again = command("run", "my.yaml", folder=config.parent)
    assert (again.stdout, again.stderr) == (done.stdout, "")  # nothing to be done
