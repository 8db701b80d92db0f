"""How long `propagate` takes: over a range of N, with what memory, and against JAX.

Command: python benchmarks/propagation.py [--docs]
With --docs it writes its tables in docs/performance.md. JAX needs: pip install -c constraints.txt --group peers
"""

import argparse
import resource
import statistics
import sys
import time
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from common import SIGMA_X, aligned, into_docs, jax_on_one_core, machine, markdown, seconds
from jax_models import Z_LOWER, Z_UPPER, Z, functions, hits_of, law_of_one_hit, laws, weights

from pullback import infer_theta, jacobian, propagate
from pullback.models.scatter import infer_scatter
from pullback.models.track import infer_track
from pullback.models.track3d import infer_track3d
from pullback.study.blocks import BLOCK

torch.set_num_threads(1)
VARIANCE = SIGMA_X**2


def in_blocks(muons):
    """Propagate so many muons block by block, as the workflow does; the sum of σ."""
    total = 0.0
    for start in range(0, muons, BLOCK):
        rows = torch.arange(start, min(start + BLOCK, muons), dtype=torch.float64)[:, None]
        total += propagate(infer_theta, rows / muons, covariance=VARIANCE).sigma.sum().item()
    return total


def full_jacobian(hits):
    """θ and σ by the general (muon, 1, muon, 1) Jacobian, with its sign: what a notebook does."""
    x = hits.clone().requires_grad_()
    theta = infer_theta(x)[:, 0]
    jac = jacobian(theta, x).reshape(len(hits), len(hits))
    return theta.detach(), jac.diagonal() * SIGMA_X


def users_functions(jnp):
    """Name, inference by torch (of all muons), by JAX (of one), and the covariance, of four coordinates each."""
    rng = np.random.default_rng(1)
    slope, intercept = map(torch.from_numpy, weights(Z))

    def line(hits):
        s, x = hits @ slope, hits @ intercept
        return torch.stack([s, s.abs().arctan(), x], dim=1)

    def smooth(hits):
        a, b, c, d = hits.unbind(1)
        return (c * (1 + (a - b).square()).sqrt()).arctan2(1 + d.square())[:, None]

    def smooth_of_one(hits):
        a, b, c, d = hits
        return jnp.arctan2(c * jnp.sqrt(1 + (a - b) ** 2), 1 + d**2)[None]

    variances, line_of_one = 1e-4 * np.arange(1.0, 5.0), functions(jnp)["track"]
    root = 0.01 * rng.normal(size=(1_000_001, 4, 4))
    matrices = root @ root.swapaxes(1, 2)
    return (
        ("a user's line, 3 observables, one variance per layer", line, line_of_one, variances),
        ("a user's line, one 4 × 4 covariance per muon", line, line_of_one, matrices[1:]),
        ("a user's smooth function, 1 observable", smooth, smooth_of_one, variances),
    )


MODELS = {
    "one hit": (infer_theta, (100, 10**4, 10**6, 10**7)),
    "track": (partial(infer_track, z=Z, resolution=[1e4] * 4), (100, 10**4, 10**6)),
    "track3d": (partial(infer_track3d, z=Z, resolution=[1e4] * 4), (100, 10**4, 10**6)),
    "scatter": (
        partial(infer_scatter, z_upper=Z_UPPER, z_lower=Z_LOWER, resolution=[1e4] * 6),
        (100, 10**4, 10**6),
    ),
}
"""The built-in models and the numbers of muons they are compared with."""


def compared(name, muons, ours, theirs):
    """A row of the table: medians of runs in turn, after one of each that must agree."""
    found = ours()
    units = found.value.abs(), found.sigma[:, :, None] * found.sigma[:, None], found.sigma
    for way in theirs.values():
        for one, two, unit in zip(found, way(), units, strict=True):
            off = (one - torch.from_numpy(np.array(two))).abs() > 1e-9 * (unit + 1e-6)
            assert off.double().mean() < 1e-4, name  # but for nearly parallel tracks, whose point is hardly defined
    ways, times = {"propagate": ours, **theirs}, []
    again, rounds = max(2000 // muons, 1), 101 if muons <= 10**4 else 11
    for _ in range(rounds):
        times.append([cpu_seconds(way, again) for way in ways.values()])
    mine, *others = (statistics.median(each) for each in zip(*times, strict=True))
    best = min(range(len(others)), key=others.__getitem__)
    cells = [f"{1e9 * each / muons:.3g}" for each in (mine, others[best])]
    row = [name, f"{muons:.0e}", *cells, [*theirs][best], f"{mine / others[best]:.2f}"]
    print("  ".join(row), flush=True)
    return row


def cpu_seconds(work, again):
    """Processor time of one call."""
    begin = time.process_time()
    for _ in range(again):
        work()
    return (time.process_time() - begin) / again


def against_jax():
    """`propagate`, and the same by each way of JAX."""
    jax = jax_on_one_core()
    rows, rng, by_name = [], np.random.default_rng(0), functions(jax.numpy)

    def ways(laws, *arrays):
        arrays = [jax.numpy.asarray(each) for each in arrays]
        return {name: lambda law=law: jax.block_until_ready(law(*arrays)) for name, law in laws.items()}

    for name, (infer, sizes) in MODELS.items():
        sigma = SIGMA_X if name == "one hit" else 1e-4
        compiled = laws(jax, by_name[name])
        if name == "one hit":
            compiled["grad"] = law_of_one_hit(jax, by_name[name])
        for muons in sizes:
            hits = hits_of(name, muons, rng)
            ours = partial(propagate, infer, torch.from_numpy(hits), sigma=sigma)
            theirs = ways(compiled, hits, np.full(hits.shape[1], sigma**2))
            rows.append(compared(name, muons, ours, theirs))
    hits = rng.normal(size=(1_000_000, 4))
    for name, infer, infer_one, covariance in users_functions(jax.numpy):
        per_muon = covariance.ndim == 3
        for muons in (100, 10**4, 10**6):
            own = covariance[:muons] if per_muon else covariance
            given = torch.from_numpy(hits[:muons])
            ours = partial(propagate, infer, given, covariance=torch.from_numpy(own))
            rows.append(compared(name, muons, ours, ways(laws(jax, infer_one, per_muon), hits[:muons], own)))
    return ["", "N", "`propagate`, ns per muon", "JAX, ns per muon", "by", "`propagate` / JAX"], rows


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/performance.md")
    docs = parser.parse_args().docs
    head, rows = ["N", "seconds", "ns per muon"], []
    for muons, repeats in ((10**5, 20), (10**6, 10), (10**7, 3), (10**8, 1)):
        took = seconds(lambda muons=muons: in_blocks(muons), repeats)
        rows.append([f"{muons:.0e}", f"{took:.4f}", f"{took / muons * 1e9:.1f}"])
    memory = f"Peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB."
    print(f"one hit, blocks of muons, one core, float64\n{aligned(head, rows)}\n{memory}\n")
    if docs:
        into_docs("blocks", f"{machine('torch', 'numpy')}.\n\n{markdown(head, rows)}\n\n{memory}")
    if not find_spec("jax"):
        sys.exit("not compared with JAX, which is not installed: pip install -c constraints.txt --group peers")
    head, rows = against_jax()
    print(f"\n{aligned(head, rows)}")
    if docs:
        into_docs("jax", f"{machine('torch', 'jax')}.\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
