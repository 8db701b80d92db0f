"""How long `propagate` takes: against the full Jacobian, over a range of N, and how much memory it needs.

Command: python benchmarks/propagation.py
"""

import resource
import time

import torch

from pullback import infer_theta, jacobian, propagate
from pullback.batches import BLOCK

torch.set_num_threads(1)
VARIANCE = 0.01**2


def seconds(work, repeats):
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def in_blocks(muons):
    """Propagate so many muons block by block, as the workflow does; the sum of σ."""
    total = 0.0
    for start in range(0, muons, BLOCK):
        rows = torch.arange(start, min(start + BLOCK, muons), dtype=torch.float64)[:, None]
        total += propagate(infer_theta, rows / muons, VARIANCE).sigma.sum().item()
    return total


def full_jacobian(hits):
    """σ by the general (muon, 1, muon, 1) Jacobian: what a notebook does."""
    x = hits.clone().requires_grad_()
    theta = infer_theta(x)
    jac = jacobian(theta[:, 0], x).reshape(len(hits), len(hits))
    return (jac**2 * VARIANCE).sum(dim=1).sqrt()


def main():
    """Print the table."""
    print("blocks of muons, one core, float64")
    print(f"{'N':>12} {'s':>10} {'ns a muon':>10}")
    for muons, repeats in ((10**5, 20), (10**6, 10), (10**7, 3), (10**8, 1)):
        took = seconds(lambda muons=muons: in_blocks(muons), repeats)
        print(f"{muons:>12} {took:>10.4f} {took / muons * 1e9:>10.1f}", flush=True)
    print(f"peak memory of the process so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    print()
    hits = torch.rand(10_000, 1, dtype=torch.float64)
    fast = seconds(lambda: propagate(infer_theta, hits, VARIANCE), 200)
    slow = seconds(lambda: full_jacobian(hits), 1)
    assert torch.allclose(full_jacobian(hits[:500]), propagate(infer_theta, hits[:500], VARIANCE).sigma[:, 0])
    print(f"N = 10 000: full Jacobian {slow:.2f} s, propagate {fast * 1e3:.3f} ms: {slow / fast:.0f} times faster")


if __name__ == "__main__":
    main()
