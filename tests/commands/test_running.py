import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running import SMALL

from pullback.cli import main
from pullback.commands import running
from pullback.commands.running import run
from pullback.errors import PullbackError


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "study": "mine", "scan": {"model.dz": [1.5]}}))
    return file


@pytest.fixture
def _finished(tmp_path):
    """The file of a finished study."""
    for folder in ("results/mine", "there/results/mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "validation.json").write_text("{}")


@pytest.fixture
def called(monkeypatch):
    """The options that Snakemake is given."""
    calls = []

    def call(command):
        calls.extend(command)
        return 0

    monkeypatch.setattr(running, "_finished", call)
    return calls


@pytest.mark.usefixtures("_finished")
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
        (["--summary"], True, None),
        (["--report=page.html"], True, None),
        (["--list-changes", "code", "-c1"], False, None),
        (["--until", "simulate_hits"], True, None),
        (["-U", "infer_theta", "run_toys", "--cores", "2"], False, None),
        (["--omit-from", "plot"], True, None),
        (["-O=plot"], True, None),
    ],
)
def test_options_are_passed_on(options, cores, results, config, called):
    ran = run("my.yaml", options)
    assert (ran.results and str(ran.results)) == results
    assert ("all" in called) == cores
    assert all(option in called for option in options)
    partly = {"--until", "-U", "--omit-from", "-O=plot"} & {*options}
    assert ("--logger" in called) == (results is not None or bool(partly))


@pytest.mark.parametrize("option", ["--until", "-U", "--omit-from", "-O"])
def test_a_rule_that_there_is_not_is_told_with_the_others(option, config):
    with pytest.raises(PullbackError, match=r"^nosuchrule: there is no such rule; the rules are .*infer_theta.*, all$"):
        run("my.yaml", [option, "plot", "nosuchrule"])


def test_a_run_of_other_targets_has_no_results(config, called):
    assert run("my.yaml", ["results/mine/summary.csv"]) == (0, None)


@pytest.mark.usefixtures("_finished")
@pytest.mark.parametrize("judged", [True, False])
def test_results_of_a_failed_run_are_those_that_it_judged(judged, config, monkeypatch):
    """The last job checks the verdict, also of a report that is up to date; what failed before has no results."""
    log = config.parent / "logs/mine/check/study.log"
    log.parent.mkdir(parents=True)
    log.write_text("")
    os.utime(log, (0, 0))

    def call(command):
        if judged:
            os.utime(log)
        return 1

    monkeypatch.setattr(running, "_finished", call)
    assert run("my.yaml") == (1, Path("results/mine") if judged else None)


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
    assert done.stderr.startswith("pullback: my.yaml:3: toys.muonss")


def test_after_ctrl_c_snakemake_is_given_the_time_to_end(tmp_path):
    """More than the quarter of a second after which Python would kill it, and the lock of the folder would stay."""
    script = (
        "import os, signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(1)\n"
        "    open(sys.argv[1], 'w').close()\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "time.sleep(0.5)\n"
        "os.killpg(0, signal.SIGINT)\n"
        "time.sleep(20)\n"
    )
    parent = (
        "import sys; from pullback import cli; from pullback.commands import running\n"
        f"cli._run = lambda options: running._finished([sys.executable, '-c', {script!r}, 'ended'])\n"
        "cli.main(['run', 'x.yaml'])\n"
    )
    command = [sys.executable, "-c", parent]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pullback: interrupted; the same command resumes where it stopped\n"
    assert (tmp_path / "ended").exists()


def test_jobs_are_told_that_answers_follow():
    found = "import os, sys; sys.exit(os.environ['PULLBACK_ANSWERS_FOLLOW'] != '1')"
    assert running._finished([sys.executable, "-c", found]) == 0


def test_options_of_snakemake_go_after_two_dashes(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "my.yaml", "--cores", "4"])
    assert stopped.value.code == 2
    assert (
        "unrecognized arguments: --cores 4; for Snakemake: pullback run my.yaml -- --cores 4" in capsys.readouterr().err
    )


def test_a_dry_run_lists_its_jobs_and_makes_nothing(config):
    done = command("run", "my.yaml", "--", "--cores", "4", "--dry-run", folder=config.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Job 1: Simulating the true hits of model.dz=1.5\n" in done.stdout
    assert "Checking the verdict\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("This was a dry-run")
    assert not (config.parent / "results").exists()


def test_a_list_of_rules_comes_through_alone(config):
    done = command("run", "my.yaml", "--", "--list-rules", folder=config.parent)
    assert done.returncode == 0
    assert {"simulate_hits", "check"} <= {*(done.stdout + done.stderr).split()}


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
    told = command("run", "my.yaml", "--", "--summary", folder=config.parent).stdout.splitlines()
    assert told[0].startswith("output_file\t")
    assert all(line.startswith("results/mine/") for line in told[1:])
