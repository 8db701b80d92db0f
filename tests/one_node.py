"""A real Slurm of one node on this machine, for the tests: Debian's slurm-wlm and munge, without root or systemd.

It has a folder, a key, sockets and ports of its own, so that it does not meet another one. It listens at the address of
the machine's own name, which is loopback as a rule, keeps no accounts, and is stopped by the ids of what it started.
"""

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

USER = pwd.getpwuid(os.getuid()).pw_name
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

CONFIG = """
ClusterName=one
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
KillWait=2
MinJobAge=3600
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr={address} CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=only Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Job(NamedTuple):
    """A job as Slurm has it: what it is, its state, and the minutes and MB that it asked for."""

    id: int
    state: str
    name: str
    minutes: int
    megabytes: int


class OneNode:
    """A running one: the environment that its commands need, and its jobs."""

    def __init__(self, folder: Path, address: str):
        self.folder, self.address = folder, address
        self.processes: list[subprocess.Popen] = []
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}{os.pathsep}{PATH}"}

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> list[Job]:
        """Every job so far, in the order in which they came."""
        printed = self.ask("squeue", "--noheader", "--states=all", "--format=%i|%T|%j %k|%l|%m")
        jobs = []
        for line in printed.splitlines():
            number, state, name, limit, memory = line.split("|")
            hours, minutes, _ = (["0", *limit.split(":")])[-3:]
            jobs.append(Job(int(number), state, name, 60 * int(hours) + int(minutes), int(memory.removesuffix("M"))))
        return sorted(jobs)

    def cancel(self, job: Job) -> None:
        """Kill a job."""
        self.ask("scancel", str(job.id))

    def start(self, *command: str) -> None:
        """Begin a daemon, with what it says in a file of its own."""
        with (self.folder / f"{command[0]}.log").open("w") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=os.environ | self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def wait_for(self, ready, what: str, seconds: float = 30) -> None:
        """Until it is ready; else the last that the daemons said."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                said = (f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))
                raise RuntimeError("\n".join([f"Slurm: {what} did not come up", *said]))
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the jobs, end the daemons, last first, and leave nothing behind."""
        with suppress(AssertionError, subprocess.TimeoutExpired):  # where it did not come up
            self.ask("scancel", f"--user={USER}")
            end = time.monotonic() + 15
            while self.ask("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.1)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in self.left():
            with suppress(psutil.Error):
                process.kill()

    def left(self) -> list[psutil.Process]:
        """What it started that still runs."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self.started(process):
                    found.append(process)
        return found

    def started(self, process: psutil.Process) -> bool:
        """Whether it is of a job, or is one of the daemons that watch over them."""
        if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
            return True
        return any(each.laddr.startswith(str(self.folder)) for each in process.net_connections("unix"))


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


@contextmanager
def one_node(folder: Path) -> Iterator[OneNode]:
    """Start one in a folder, and stop it at the end."""
    host = socket.gethostname().split(".")[0]
    node = OneNode(folder, socket.gethostbyname(host))
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(
        CONFIG.format(host=host, address=node.address, ports=free_ports(2), user=USER, folder=folder)
    )
    version = tuple(map(int, re.findall(r"\d+", node.ask("sbatch", "--version"))[:2]))
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={'disabled' if version >= (23, 11) else 'cgroup/v1'}\n")
    # Inside a job the plugin keeps few of Slurm's variables, and not the one that says where the configuration is.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    with ExitStack() as stack:
        stack.callback(node.stop)
        files = [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "seed", "log")]
        # By force: a test's folder is nobody else's, which munged takes for a mistake.
        node.start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}", *files)
        node.wait_for((folder / "munge.socket").exists, "munged")
        node.start("slurmctld", "-D", "-c")
        node.start("slurmd", "-D", "-c")
        node.wait_for(lambda: is_idle(node), "the node")
        yield node


def is_idle(node: OneNode) -> bool:
    """Whether the node is there and waits for jobs."""
    command = ["sinfo", "--noheader", "--format=%T"]
    asked = subprocess.run(
        command, env=os.environ | node.environment, capture_output=True, text=True, timeout=20, check=False
    )
    return asked.stdout.strip() == "idle"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
