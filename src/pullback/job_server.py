"""A process that has imported what the jobs need, and from which the jobs of this machine are forked.

In a small study, importing torch and the other libraries takes longer than the work. The server imports them once. Each
job's script asks it by `forked` to do the work in a fork of the server, and waits for the end. Without a server, as on
the nodes of a cluster, or where it fails, the script does the work itself. The results are the same.

Importing torch takes longest, and the first jobs of a study do without. So the first process serves these alone, as
soon as it has imported what they need. A fork of it imports torch meanwhile and serves the others. A fork of that one
imports the rest, and then takes its place: the one before ends, though its jobs go on.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import pickle
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from .job_environment import job_environment

ADDRESS = "PULLBACK_JOB_SERVER"
"""Environment variable with the folder of the server's sockets; if it is empty, no server is started."""

WITHOUT_TORCH, WITH_TORCH = "numpy", "torch"
"""Names of the sockets, for jobs that do without torch and for the others."""

NEEDED_FIRST = ("snakemake.iocontainers", "pullback.steps.job", "pullback.steps.simulate")
"""What the server imports before the first job."""

NEEDED_BY_MOST = ("torch",)
"""What it imports before the first job with torch."""

NEEDED_LATER = (
    "pullback.validation.batch_sums",
    "pullback.validation.verdict",
    "pullback.report.figures.plot",
    "pullback.report.page",
)
"""What its successor imports: modules that the later jobs need, in their order."""

BEGUN = b"\0"

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells; nothing is said, since who pressed it knows."""


class Request(NamedTuple):
    """The work of a script: its path, Snakemake's object, the working folder and the environment."""

    script: str
    snakemake: Any
    folder: str
    environment: Mapping[str, str]


def start_for(workflow: Any) -> None:
    """Start a server if this process of Snakemake runs jobs on this machine, as far as is known when it reads its file.

    It has cores then, and no number of jobs for a cluster. Without cores, it only lists something. `start` may be
    called again when more is known: it starts one server at most.
    """
    cores, nodes = workflow.resource_settings.cores, workflow.resource_settings.nodes
    if workflow.is_main_process and cores and not nodes and not workflow.output_settings.dryrun:
        start()


def start() -> None:
    """Start a server for the jobs of this process, which ends when this process does. Linux only.

    On macOS, system libraries that have been used do not work in a fork.
    """
    if sys.platform != "linux" or ADDRESS in os.environ:
        return
    folder = tempfile.TemporaryDirectory(prefix="pullback-")
    with ExitStack() as stack, suppress(OSError):  # such as a path that is too long
        listeners = [stack.enter_context(_listening(folder.name, name)) for name in (WITHOUT_TORCH, WITH_TORCH)]
        numbers = [each.fileno() for each in listeners]
        command = [sys.executable, "-P", "-m", "pullback.job_server", folder.name, *map(str, numbers)]
        server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # where it fails, the script that does the work itself says why
            env=os.environ | job_environment(),
            pass_fds=numbers,
            start_new_session=True,  # Ctrl-C is for the scripts, which tell it to their forks
        )
        os.environ[ADDRESS] = folder.name
        atexit.register(_stop, server, folder)


def _listening(folder: str, name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/{name}")
    listener.listen()
    return listener


def _stop(server: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    server.communicate()
    folder.cleanup()
    gc.freeze()  # or Python looks for garbage among all that Snakemake has imported, which takes a quarter of a second


def no_further_jobs() -> None:
    """Cancel Snakemake's timers at the end of a run.

    They wake it a second after each job, in case it may start more by then, and it does not end before they do. Other
    timers of this process are cancelled too: it is about to end.
    """
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


def forked(snakemake: Any, script: str, *, torch: bool = True) -> bool:
    """Whether a fork of the server has done the work of this script; if there is no server, the script has to do it.

    Without `torch`, the work need not wait until that is imported. Exits with the status of the work if that failed.
    """
    os.environ.update(job_environment())  # read by libraries when they are imported, before `job`
    folder = os.environ.get(ADDRESS)
    if not folder:
        return False
    request = Request(str(Path(script).resolve()), snakemake, os.getcwd(), dict(os.environ) | {ADDRESS: ""})
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            try:
                connection.connect(f"{folder}/{WITH_TORCH if torch else WITHOUT_TORCH}")
                socket.send_fds(connection, [BEGUN], [0, 1, 2])
                connection.sendall(pickle.dumps(request))
                begun = connection.recv(1)
            except OSError:
                return False
            status = begun and connection.recv(1)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        if begun and status != b"\0":
            sys.exit(
                status[0] if status else f"pullback: {snakemake.rule}: the process was killed (see {snakemake.log[0]})"
            )
        return bool(begun)


def serve(folder: str, without_torch: socket.socket, with_torch: socket.socket) -> None:
    """Fork a process for each request, until the standard input ends; the folder of the sockets is removed then."""
    _end_with_standard_input(folder)
    _preload(NEEDED_FIRST)
    if os.fork():
        with_torch.close()
        _serve_until(None, without_torch)
        os._exit(0)
    without_torch.close()
    _end_with_standard_input(folder)
    _preload(NEEDED_BY_MOST)
    following, ready = os.pipe()
    if os.fork():
        os.close(ready)
        _serve_until(following, with_torch)
        os._exit(0)
    _end_with_standard_input(folder)
    _preload(NEEDED_LATER)
    os.write(ready, BEGUN)
    _serve_until(None, with_torch)


def _preload(modules: Iterable[str]) -> None:
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # the collector would write to pages that forks share


def _serve_until(following: int | None, listener: socket.socket) -> None:
    """Fork a process for each request, until the successor says by `following` that it serves.

    For ever if the successor fails, and if there is none (None).
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    listener.setblocking(False)
    waited_for: list[Any] = [listener] if following is None else [listener, following]
    while True:
        ready = select.select(waited_for, [], [])[0]
        if following is not None and following in ready:
            if os.read(following, 1):
                return
            waited_for.remove(following)
            following = None
        with suppress(BlockingIOError):  # where the successor has taken the request, or there is none
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                _work(connection)
            connection.close()


def _end_with_standard_input(folder: str) -> None:
    """When the standard input ends, remove the folder and end this process at once, even during an import."""

    def wait() -> None:
        os.read(0, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _work(connection: socket.socket) -> NoReturn:
    """Do the requested work in this process, say its status and end."""
    status = 1
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(BaseException):
        request = _received(connection)
        connection.sendall(BEGUN)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        status = _status_of(request)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([status]))
    os._exit(status)


def _received(connection: socket.socket) -> Request:
    """The request of a script, whose streams, folder and environment become those of this process."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with connection.makefile("rb") as file:
        request: Request = pickle.load(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    return request


def _status_of(request: Request) -> int:
    """Exit status of a script, run as Python would."""
    try:
        runpy.run_path(request.script, {"snakemake": request.snakemake}, "__main__")
    except SystemExit as error:
        if isinstance(error.code, int | None):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end_with(connection: socket.socket) -> None:
    """Interrupt this process when the script that waits for it ends."""
    with suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    serve(sys.argv[1], *(socket.socket(fileno=int(number)) for number in sys.argv[2:]))
