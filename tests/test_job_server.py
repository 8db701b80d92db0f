"""Scripts whose work is done by forks of a server, and what becomes of all of them."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml
from running import PROJECT, Workflow

from pullback import job_server
from pullback.job_server import ADDRESS, INTERRUPTED, no_further_jobs, start_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux only")

HEAD = """
import os, sys, time
from types import SimpleNamespace
from pathlib import Path
from pullback.job_server import forked

snakemake = SimpleNamespace(rule="a_rule", log=["a.log"], params=globals().get("snakemake"))
if not forked(snakemake, __file__, torch=TORCH):
"""


class Server:
    """A process that has started a server, as Snakemake does."""

    def __init__(self):
        code = "from pullback.job_server import *; start(); print(os.environ[ADDRESS], flush=True); input()"
        self.parent = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)
        self.address = self.parent.stdout.readline().strip()
        (self.first,) = psutil.Process(self.parent.pid).children()
        (self.process,) = soon(self._forks)  # serves jobs with torch, until its successor does

    def _forks(self):
        """The forks of the first process; numpy and h5py start other programs, which are forks for a moment."""
        with contextlib.suppress(psutil.Error):
            found = self.first.children()
            time.sleep(0.1)
            return [each for each in found if "pullback.job_server" in each.cmdline()]

    def begin(self, folder, body, *, torch=True, **variables):
        """The process of a script that asks the server."""
        script = folder / "script.py"
        script.write_text(HEAD.replace("TORCH", str(torch)) + "".join(f"    {line}\n" for line in body.splitlines()))
        return subprocess.Popen(
            [sys.executable, str(script)],
            cwd=folder,
            env={**os.environ, ADDRESS: self.address, **variables},
            stdout=-1,
            stderr=-1,
            text=True,
        )

    def ask(self, *args, **options):
        """Status and what a script says."""
        script = self.begin(*args, **options)
        out, error = script.communicate(timeout=60)
        return script.returncode, out, error

    def successor(self, folder):
        """The process that serves in the end, once it has imported all that jobs need."""
        body = 'print("pullback.report.figures.plot" in sys.modules, os.getppid())'
        found = soon(lambda: (said := self.ask(folder, body)[1].split())[0] == "True" and said)
        return psutil.Process(int(found[1]))

    def end(self):
        self.parent.communicate(timeout=60)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.end()


@contextlib.contextmanager
def suspended(process):
    """A process that does nothing meanwhile."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def soon(condition):
    """Whether something is true within some seconds."""
    deadline = time.monotonic() + 20
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_fork_does_the_work_with_the_scripts_folder_streams_environment_and_parameters(server, tmp_path):
    body = 'print("torch" in sys.modules, os.getcwd(), os.environ["WORD"], snakemake.params.rule)'
    status, out, error = server.ask(tmp_path, body, WORD="said")
    assert (status, error) == (0, "")
    assert out == f"True {tmp_path} said a_rule\n"


def test_jobs_without_torch_are_served_before_it_is_imported_and_all_along(tmp_path):
    server = Server()
    body = 'print(os.getppid(), "torch" in sys.modules, "pullback.steps.simulate" in sys.modules)'
    alone = f"{server.first.pid} False True\n"
    with suspended(server.process):  # which imports torch
        assert server.ask(tmp_path, body, torch=False)[1] == alone
    server.successor(tmp_path)
    assert server.ask(tmp_path, body, torch=False)[1] == alone
    server.end()


@pytest.mark.parametrize("model", [None, "model.py"])
@pytest.mark.parametrize("name", ["simulate_hits", "smear_hits", "import_hits"])
def test_the_first_jobs_do_without_torch_unless_a_model_of_the_user_imports_it(monkeypatch, name, model):
    asked = []
    monkeypatch.setattr(job_server, "forked", lambda *_, torch=True: asked.append(torch) or True)
    runpy.run_path(str(PROJECT / f"workflow/scripts/{name}.py"), {"snakemake": SimpleNamespace(input={"model": model})})
    assert asked == [model is not None]


def test_it_serves_before_it_has_imported_everything_and_a_successor_takes_its_place(tmp_path):
    server = Server()
    body = 'print(os.getppid(), "torch" in sys.modules, "pullback.report.figures.plot" in sys.modules)'
    assert server.ask(tmp_path, body)[1] == f"{server.process.pid} True False\n"
    successor = server.successor(tmp_path)
    assert successor.pid != server.process.pid
    assert soon(lambda: not server.process.is_running())
    assert server.ask(tmp_path, body)[1] == f"{successor.pid} True True\n"
    server.end()


def test_a_job_begun_before_its_successor_takes_over_ends_well(tmp_path):
    server = Server()
    script = server.begin(tmp_path, "while not Path('go').exists(): time.sleep(0.01)\nprint(os.getppid())")
    (tmp_path / "other").mkdir()
    server.successor(tmp_path / "other")
    (tmp_path / "go").touch()
    out, error = script.communicate(timeout=60)
    assert (script.returncode, error) == (0, "")
    assert int(out) != server.process.pid  # which has ended meanwhile
    server.end()


def test_it_goes_on_without_a_successor(tmp_path):
    server = Server()
    (successor,) = soon(server.process.children)
    successor.kill()
    for _ in range(2):
        assert server.ask(tmp_path, "print(os.getppid())")[1] == f"{server.process.pid}\n"
    server.end()


SAYS_ITS_COMMAND = """
from pathlib import Path

Path("command").write_bytes(Path("/proc/self/cmdline").read_bytes())

def infer(hits):
    return 2 * hits
"""


@pytest.mark.parametrize("jobs", [[], ["--jobs", "3"]])
def test_the_jobs_of_a_study_are_forked_from_it(tmp_path, jobs):
    (tmp_path / "model.py").write_text(SAYS_ITS_COMMAND)
    (tmp_path / "hits.csv").write_text("x\n0.1\n0.2\n0.3\n")
    twice = {"name": "twice", "unit": "m", "long_name": "twice x", "symbol": "t", "fold": "none"}
    config = {
        "study": "s",
        "source": {"kind": "recorded", "file": "hits.csv"},
        "detector": {"resolution": 100.0},
        "model": {"file": "model.py", "function": "infer", "coordinates": ["x"], "observables": [twice]},
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    Workflow(tmp_path).run("--cores", "2", *jobs, "--configfile", "my.yaml", "--until", "infer_theta")
    assert b"pullback.job_server" in (tmp_path / "command").read_bytes()  # a fork has that of the server


@pytest.mark.parametrize(
    ("changed", "started"),
    [
        ({}, True),
        ({"cores": None}, False),  # snakemake --summary
        ({"nodes": 100}, False),  # on a cluster
        ({"dryrun": True}, False),
        ({"is_main_process": False}, False),  # a job
    ],
)
def test_snakemake_starts_one_if_it_runs_jobs_on_this_machine(monkeypatch, changed, started):
    calls = []
    monkeypatch.setattr(job_server, "start", lambda: calls.append(1))
    said = {"cores": 2, "nodes": None, "dryrun": False, "is_main_process": True, **changed}
    workflow = SimpleNamespace(
        is_main_process=said["is_main_process"],
        resource_settings=SimpleNamespace(cores=said["cores"], nodes=said["nodes"]),
        output_settings=SimpleNamespace(dryrun=said["dryrun"]),
    )
    start_for(workflow)
    assert bool(calls) == started


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('pullback: wrong')", 1, "pullback: wrong\n"),
        ("raise RuntimeError('oh')", 1, "RuntimeError: oh\n"),
    ],
)
def test_it_ends_as_the_work_ends(server, tmp_path, ending, status, said):
    found, out, error = server.ask(tmp_path, f"print('begun')\n{ending}")
    assert (found, out) == (status, "begun\n")
    assert error.endswith(said)


def test_a_killed_fork_is_an_error(server, tmp_path):
    status, _, error = server.ask(tmp_path, "os.kill(os.getpid(), 9)")
    assert (status, error) == (1, "pullback: a_rule: the process was killed (see a.log)\n")
    assert server.ask(tmp_path, "print(1)")[1] == "1\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_fork_ends_with_its_script_and_tidies_up(server, tmp_path, number):
    body = "Path('pid').write_text(str(os.getpid()))\ntry:\n    time.sleep(60)\nfinally:\n    Path('tidied').touch()"
    script, pid = server.begin(tmp_path, body), tmp_path / "pid"
    assert soon(lambda: pid.exists() and pid.read_text())
    script.send_signal(number)
    assert soon((tmp_path / "tidied").exists)
    assert soon(lambda: not psutil.pid_exists(int(pid.read_text())))
    script.communicate()


def test_a_script_that_waits_for_the_server_is_interrupted_without_a_word_and_its_work_is_not_done(tmp_path):
    server = Server()
    with suspended(server.process):
        script = server.begin(tmp_path, "print('late')")
        assert soon(lambda: [each for each in psutil.Process(script.pid).net_connections("unix") if each.fd > 2])
        time.sleep(0.2)  # until it waits for the answer
        script.send_signal(signal.SIGINT)
        assert script.wait(60) == INTERRUPTED
    assert script.communicate(timeout=60) == ("", "")  # the server holds its streams until then
    server.end()


def test_forks_work_at_the_same_time(server, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    first = server.begin(
        tmp_path / "a", "while not Path('../b/done').exists(): time.sleep(0.01)\nprint('second first')"
    )
    assert server.ask(tmp_path / "b", "Path('done').touch()")[0] == 0
    assert first.communicate(timeout=60)[0] == "second first\n"


@pytest.mark.parametrize("address", ["", "/nowhere/socket"])
def test_without_a_server_the_script_does_the_work(tmp_path, server, address):
    status, out, _ = server.ask(tmp_path, 'print("torch" in sys.modules)', **{ADDRESS: address})
    assert (status, out) == (0, "False\n")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("end", ["end", "kill"])
def test_the_server_ends_with_the_process_that_started_it(tmp_path, end, early):
    server = Server()
    serving = [server.first, server.process, *([] if early else [server.successor(tmp_path)])]
    if end == "end":
        server.end()
    else:
        server.parent.kill()
        server.parent.communicate()
    assert soon(lambda: not any(each.is_running() for each in serving))
    assert soon(lambda: not Path(server.address).exists())
    status, out, _ = server.ask(tmp_path, "print('by itself')")
    assert (status, out) == (0, "by itself\n")


@pytest.mark.parametrize("torch", [True, False])
def test_a_process_of_the_server_that_fails_leaves_its_work_to_the_script_and_the_other_goes_on(tmp_path, torch):
    server = Server()
    serving = {True: server.process, False: server.first}
    for each in serving[torch].children(recursive=True) if torch else []:
        each.kill()
    serving[torch].kill()
    script = server.begin(tmp_path, "print(os.getpid(), os.getppid())", torch=torch)
    assert script.communicate(timeout=60)[0].startswith(f"{script.pid} ")
    script = server.begin(tmp_path, "print(os.getpid(), os.getppid())", torch=not torch)
    assert script.communicate(timeout=60)[0].endswith(f" {serving[not torch].pid}\n")
    server.end()


def test_the_end_of_a_run_waits_for_no_timer():
    """Snakemake's timers run on after its last job, and Python would wait for them."""
    timer = threading.Timer(60, lambda: None)
    timer.start()
    no_further_jobs()
    timer.join(5)
    assert not timer.is_alive()
