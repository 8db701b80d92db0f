"""Environment variables of jobs: threads, and numpy's sort on the CPUs on which it is slow."""

import subprocess
import sys

import numpy as np
import pytest

from pullback import job_environment
from pullback.job_environment import WITHOUT, fast_sort

ZEN_4 = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nflags\t\t: fpu avx2 avx512f avx512dq\n"
ZEN_3 = ZEN_4.replace(" avx512f avx512dq", "")
ZEN_5 = ZEN_4.replace(": 25", ": 26")
INTEL = ZEN_4.replace("AuthenticAMD", "GenuineIntel").replace(": 25", ": 6")
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\n"


@pytest.mark.parametrize(
    ("cpu", "slow"), [(ZEN_4, True), (ZEN_3, False), (ZEN_5, False), (INTEL, False), (ARM, False), ("", False)]
)
def test_only_zen_4_sorts_without_avx_512(cpu, slow):
    """A CPU without AVX-512, or one that stores compressed vectors fast, keeps numpy's own choice."""
    assert fast_sort(cpu.splitlines()) == ({WITHOUT: "X86_V4"} if slow else {})


def test_what_a_user_sets_stays(monkeypatch):
    """Their choice of vector instructions is not overwritten; the number of threads is."""
    monkeypatch.setattr(job_environment, "_cpu_lines", ZEN_4.splitlines)
    monkeypatch.delenv(WITHOUT, raising=False)
    assert job_environment.job_environment()[WITHOUT] == "X86_V4"
    monkeypatch.setenv(WITHOUT, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert job_environment.job_environment() == job_environment.ONE_THREAD


def test_jobs_get_them_before_numpy():
    """numpy reads the variable when it is imported: neither the module nor the server's client may import it first."""
    asked = "import sys, pullback.job_server, pullback.job_environment; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_numpy_knows_the_instructions():
    """The name is one of numpy's; else it would warn that it can't do without them, and sort slowly."""
    features = np._core._multiarray_umath.__cpu_dispatch__
    if not any(each.startswith("X86_V") for each in features):
        pytest.skip("this numpy has other names, or another kind of CPU")
    assert fast_sort(ZEN_4.splitlines())[WITHOUT] in features
