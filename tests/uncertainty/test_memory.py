import platform
import subprocess
import sys

import pytest
import torch

from pullback import infer_theta, propagate
from pullback.uncertainty import linear
from pullback.uncertainty.memory import large


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("rest", [(), (1,), (3, 2), (3, 0)])
def test_memory_for_many_muons_is_like_that_of_a_few(dtype, rest):
    like = torch.zeros(5, *rest, dtype=dtype)
    found = large(like, 1000)
    assert (found.shape, found.dtype, found.device) == ((1000, *rest), dtype, like.device)
    assert found.is_contiguous()
    found.fill_(1)
    assert found.double().sum() == found.numel()


def test_several_blocks_are_the_same_as_one(monkeypatch):
    hits = torch.linspace(-1, 1, 1000, dtype=torch.float64)[:, None]
    whole = propagate(infer_theta, hits, covariance=1e-4)
    monkeypatch.setattr(linear, "MUONS_AT_A_TIME", 64)
    for one, other in zip(propagate(infer_theta, hits, covariance=1e-4), whole, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no freed memory")
def test_memory_below_a_block_in_use_is_given_back():
    code = """
from pathlib import Path
import numpy as np
from pullback.uncertainty.memory import keep_freed, trim_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

keep_freed()
blocks = [np.ones(1 << 17) for _ in range(100)]
last = bytes(100_000)
full = resident()
del blocks
kept = resident()
trim_memory()
print(full - kept, kept - resident())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 10
    assert after > 90
