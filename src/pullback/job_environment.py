"""Environment variables of jobs, which libraries read when they are imported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import takewhile

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""One thread for each job: jobs run side by side, and threads lose on small arrays."""

WITHOUT = "NPY_DISABLE_CPU_FEATURES"
"""Environment variable with the vector instructions that numpy does without."""

ZEN_4 = {"vendor_id": "AuthenticAMD", "cpu family": "25"}
"""What Linux says of AMD's Zen 3 and Zen 4, of which only the latter has AVX-512."""


def job_environment() -> dict[str, str]:
    """The variables of a job on this machine: always the number of threads, numpy's only where a user has set none."""
    return ONE_THREAD | ({} if WITHOUT in os.environ else fast_sort(_cpu_lines()))


def fast_sort(cpu: Iterable[str]) -> dict[str, str]:
    """The variable that makes numpy sort fast, from the lines that Linux writes of a CPU.

    numpy sorts by storing compressed vectors, which AMD's Zen 4 does slowly with AVX-512: there its sort for AVX2 is
    four to six times as fast, from which toys gain more than is lost elsewhere (docs/performance.md). Before version
    2.4, numpy has another name for these instructions, and keeps its own choice.
    """
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in cpu)}
    slow = ZEN_4.items() <= told.items() and "avx512f" in told.get("flags", "").split()
    return {WITHOUT: "X86_V4"} if slow else {}


def _cpu_lines() -> list[str]:
    """What Linux says of the first CPU; nothing elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return list(takewhile(str.strip, file))
    except OSError:
        return []
