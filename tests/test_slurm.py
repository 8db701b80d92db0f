"""A study on a real Slurm of one node: the same bytes as on one machine, also when a job is killed."""

import os
import time

import psutil
import pytest
import yaml
from one_node import missing, one_node
from running import PROJECT, SMALL, Workflow

pytestmark = pytest.mark.slow

STUDY = {**SMALL, "scan": {"detector.resolution": [50, 100, 200]}, "compute": {"batch_cost": 1}}
RULES = ("infer_theta", "measure_coverage", "propagate_uncertainty", "run_toys")
"""The rules that the name of a batch's job has room for; were another not in it, there would be more jobs."""

PROFILES = {
    # There is no accounting database, and no minute to wait before the first look.
    "slurm": (
        "--slurm-no-account",
        "--slurm-status-command=squeue",
        "--slurm-init-seconds-before-status-checks=1",
        "--seconds-between-status-checks=1",
    ),
    "cluster-generic": ("--seconds-between-status-checks=1",),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A Slurm of its own for these tests. PULLBACK_REQUIRE_SLURM says that it must be there."""
    if absent := missing():
        say = pytest.fail if os.environ.get("PULLBACK_REQUIRE_SLURM") else pytest.skip
        say(f"no {', '.join(absent)}; on Debian: apt-get install slurm-wlm munge")
    with one_node(tmp_path_factory.mktemp("slurm")) as node:
        yield node
    psutil.wait_procs(node.left(), timeout=5)
    assert not node.left()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The same study, run without Slurm."""
    workflow = Workflow(tmp_path_factory.mktemp("local"))
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(STUDY))
    workflow.run("--cores", "2", "--configfile", "small.yaml")
    return workflow


@pytest.fixture
def on_slurm(node, monkeypatch):
    for name, value in node.environment.items():
        monkeypatch.setenv(name, value)
    return node


def by_profile(name):
    return ("--profile", str(PROJECT / "profiles" / name), *PROFILES[name])


def test_it_listens_at_one_address(node):
    found = {
        each.laddr.ip
        for process in node.processes
        for each in psutil.Process(process.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert found == {node.address}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_batch_is_a_job_and_a_killed_one_is_made_again_with_the_same_bytes(profile, local, on_slurm, workflow):
    before = len(on_slurm.jobs())
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(STUDY))
    running = workflow.start("--configfile", "small.yaml", *by_profile(profile))
    try:
        end = time.monotonic() + 120
        while not list(workflow.folder.glob("results/small/truth/*.h5")):
            assert running.poll() is None, running.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.1)
        victim = next(job for job in on_slurm.jobs()[before:] if job.state == "RUNNING")
        on_slurm.cancel(victim)
        printed, _ = running.communicate(timeout=400)
    finally:
        running.kill()
    assert running.returncode == 0, printed

    assert workflow.results() == local.results()
    assert not list(workflow.folder.rglob("*.part"))
    jobs = on_slurm.jobs()[before:]
    batches = [job for job in jobs if "batch" in job.name]
    assert all(rule in job.name for job in batches for rule in RULES)
    assert sorted(job.state for job in batches) == ["CANCELLED", *3 * ["COMPLETED"]]
    again = next(job for job in batches if job.minutes != victim.minutes)
    assert (again.minutes, again.megabytes) == (2 * victim.minutes, 2 * victim.megabytes)
    (rest,) = set(jobs) - set(batches)
    assert "verdict" in rest.name
    assert "Nothing to be done" in workflow.run("--cores", "1", "--configfile", "small.yaml")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_failing_job_says_why(profile, on_slurm, workflow):
    (workflow.folder / "hits.csv").write_text("x\n0.5\n0.6m\n")
    (workflow.folder / "bad.yaml").write_text("study: bad\nsource: {kind: recorded, file: hits.csv}\n")
    printed = workflow.run("--retries=0", "--configfile", "bad.yaml", *by_profile(profile), expect=1)
    reason = "hits.csv: row 2, column 'x': '0.6m' is not a number; cells are numbers alone"
    assert reason in printed
    assert "Traceback" not in printed
    (log,) = (workflow.folder / "logs").glob("slurm/**/*.log" if profile == "slurm" else "cluster/*.log")
    assert f"pullback: import_hits: {reason}" in log.read_text()
    assert str(log.stem) in printed
    assert workflow.results("bad") == {}
