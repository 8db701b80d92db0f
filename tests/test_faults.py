"""Kills, a full disk and damaged artefacts, for real: the next run goes on, to the same bytes."""

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
import yaml
from running import SMALL, Workflow

pytestmark = pytest.mark.slow

RAW = {**SMALL, "scan": None, "source": {"muons": 20_000}, "toys": {"muons": 100, "per_muon": 1_000_000}}
TARGET = "results/small/validation.json"
RUN = (TARGET, "--cores", "2", "--configfile", "small.yaml")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("undisturbed"))
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(RAW))
    workflow.run(*RUN)
    return workflow


@pytest.fixture
def begun(workflow):
    """A run that has come to throwing its toys, and the process that throws them."""
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(RAW))
    running = workflow.start(*RUN)
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            for process in psutil.Process(running.pid).children(recursive=True):
                try:
                    throws = "python" in process.name() and "run_toys.py" in " ".join(process.cmdline())
                    if throws and list(workflow.folder.glob("results/small/toys/nominal.h5.*.part")):
                        yield workflow, running, process
                        return
                except psutil.Error:
                    continue
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.02)
        pytest.fail("no toys were thrown within a minute")
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.stdout.close()
        running.wait(30)


def same(workflow, undisturbed):
    """The same files with the same bytes, and nothing left of what was killed."""
    found, expected = workflow.results(), undisturbed.results()
    assert not [name for name in found if name.endswith(".part")]
    assert set(expected) <= set(found)
    for name, content in expected.items():
        assert found[name] == content, name


def test_a_killed_job(begun, undisturbed):
    workflow, running, process = begun
    process.kill()
    printed, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "pullback: run_toys: the process was killed (see logs/small/run_toys/" in printed or "died with" in printed
    assert "results/small/toys/nominal.h5" not in workflow.results()
    workflow.run(*RUN)
    same(workflow, undisturbed)


def test_ctrl_c(begun, undisturbed):
    workflow, running, _ = begun
    os.killpg(running.pid, signal.SIGINT)  # as the terminal does, to every process of the group
    running.communicate(timeout=60)
    assert running.returncode != 0
    workflow.run(*RUN)
    same(workflow, undisturbed)


def test_killed_snakemake(begun, undisturbed):
    workflow, running, process = begun
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    process.wait(10)
    printed = workflow.run(*RUN, expect=1)
    assert "--unlock" in printed
    workflow.run("--unlock", "--configfile", "small.yaml")
    workflow.run(*RUN)
    same(workflow, undisturbed)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size", ["200k", "700k"])
def test_a_full_disk(workflow, undisturbed, size):
    results = workflow.folder / "results"
    results.mkdir()
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(RAW))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(results)], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        printed = workflow.run(*RUN, expect=1)
        lines = [line for line in printed.splitlines() if "no space left on the disk; free some and run again" in line]
        assert lines, printed
        assert all(line.startswith("pullback: ") for line in lines)
        assert "Traceback" not in printed
        assert not list(results.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=100m", str(results)], check=True)
        workflow.run(*RUN)
        same(workflow, undisturbed)
    finally:
        subprocess.run(["umount", str(results)], check=True)


@pytest.mark.parametrize("kind", ["reco", "sigma"])
def test_a_damaged_artefact_is_named_and_made_again_when_deleted(undisturbed, tmp_path, kind):
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    workflow = Workflow(tmp_path)
    path = tmp_path / f"results/small/{kind}/nominal.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    printed = workflow.run(*RUN, expect=1)
    assert f"results/small/{kind}/nominal.h5: is damaged or truncated" in printed
    assert "Traceback" not in printed
    path.unlink()
    workflow.run(*RUN[1:])  # the whole study, which names every file
    same(workflow, undisturbed)
