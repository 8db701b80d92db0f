"""Time and memory of a job, measured by the job itself."""

import os
import resource
import sys
import time
from pathlib import Path

from ..files import write_text

HEADER = ("s", "max_rss", "cpu_time")


def write_usage(path: str | Path) -> None:
    """Write wall time (s), largest resident memory (MiB) and CPU time (s) of this process to a table of one row.

    The CPU time includes that of child processes that have ended. Snakemake's own benchmarks look at a job every half
    second or less often, and so miss its last part.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + children.ru_utime + children.ru_stime
    row = f"{_seconds():.2f}", f"{_largest_memory():.1f}", f"{cpu:.2f}"
    write_text(path, "\n".join("\t".join(line) for line in (HEADER, row)) + "\n")


def _seconds() -> float:
    """Time since the start of this process; where the system doesn't say it, since this module was imported."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.monotonic() - _IMPORTED
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # since boot, of the start
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _largest_memory() -> float:
    """Peak of the resident memory in MiB.

    Linux's `ru_maxrss` would count the process that started this one, too.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


_IMPORTED = time.monotonic()
