"""What the benchmarks share: the clock, one core, the machine, and tables for the terminal and for the docs."""

import os
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PERFORMANCE = PROJECT / "docs" / "performance.md"
DZ, SIGMA_X = 1.5, 0.01
"""The one-hit problem: the height of the muons' origin and the width of a hit, m."""


def seconds(work, repeats):
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def one_core():
    """Keep this process on one core, where the system can, and libraries imported from now on at one thread."""
    from pullback.job_environment import ONE_THREAD

    os.environ.update(ONE_THREAD)
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def as_a_job():
    """On one core, and with the environment of the workflow's jobs, before numpy is first imported."""
    from pullback.job_environment import job_environment

    os.environ.update(job_environment())
    one_core()


def jax_on_one_core():
    """JAX in float64 on one thread of one core, told so before it is first imported."""
    one_core()
    os.environ["JAX_ENABLE_X64"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    return jax


def memory_of_machine():
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine(*distributions):
    """One line on what the numbers were taken on: processor, cores, memory, system, and versions."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else []
    processor = names[0].strip() if names else platform.processor() or platform.machine()
    memory = f"{memory_of_machine() / 2**30:.0f} GiB"
    where = f"{processor}, {os.cpu_count()} cores, {memory}, {platform.system()} {platform.machine()}"
    named = ", ".join(f"{each} {version(each)}" for each in distributions)
    vectors = f"; vectors of torch: {_vectors()}" if "torch" in distributions else ""
    return f"{where}; Python {platform.python_version()}, {named}{vectors}"


def _vectors():
    """The vector instructions that torch uses."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def aligned(head, rows):
    """A table for the terminal: the first column to the left, numbers to the right."""
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ([each.rjust(width) for each, width in zip(row, widths, strict=True)] for row in table)
    return "\n".join("  ".join([row[0].ljust(widths[0]), *line[1:]]) for row, line in zip(table, lines, strict=True))


def markdown(head, rows):
    """The same table for a page of the docs."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ruler, *rows])


def into_docs(name, text, page=PERFORMANCE):
    """Put a text between the two comments of that name in a page."""
    begin, end = f"<!-- {name}: written by the benchmark -->\n", f"<!-- end of {name} -->\n"
    found = page.read_text(encoding="utf-8")
    if [found.count(begin), found.count(end)] != [1, 1]:
        sys.exit(f"{page}: has no place for the table {name!r}: put {begin.strip()} and {end.strip()} around one")
    before, rest = found.split(begin)
    page.write_text(f"{before}{begin}{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")
