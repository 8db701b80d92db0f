"""How long `propagate` takes: over a range of N, with what memory, and against JAX.

Command: python benchmarks/propagation.py [--docs]
With --docs it writes its tables in docs/performance.md. JAX needs: pip install -c constraints.txt -e ".[peers]"
"""

import argparse
import resource
import statistics
import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from common import DZ, SIGMA_X, aligned, into_docs, jax_on_one_core, machine, markdown, seconds

from pullback import infer_theta, jacobian, propagate
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


def problems(jnp):
    """Name, inference by torch (of all muons), by JAX (of one), and the covariance, of four coordinates each."""
    rng = np.random.default_rng(1)
    z = torch.arange(4, dtype=torch.float64) * 0.5
    along = (z - z.mean()) / (z - z.mean()).square().sum()
    weights = torch.stack([along, 0.25 - along * z.mean()])  # of the least-squares slope and intercept
    numpy_weights = weights.numpy()

    def line(hits):
        slope, intercept = hits @ weights[0], hits @ weights[1]
        return torch.stack([slope, slope.abs().arctan(), intercept], dim=1)

    def line_of_one(hits):
        slope, intercept = numpy_weights @ hits
        return jnp.stack([slope, jnp.arctan(jnp.abs(slope)), intercept])

    def smooth(hits):
        a, b, c, d = hits.unbind(1)
        return (c * (1 + (a - b).square()).sqrt()).arctan2(1 + d.square())[:, None]

    def smooth_of_one(hits):
        a, b, c, d = hits
        return jnp.arctan2(c * jnp.sqrt(1 + (a - b) ** 2), 1 + d**2)[None]

    variances = 1e-4 * np.arange(1.0, 5.0)
    root = 0.01 * rng.normal(size=(1_000_001, 4, 4))
    matrices = root @ root.swapaxes(1, 2)
    return (
        ("straight line, 3 observables, one variance per layer", line, line_of_one, variances),
        ("straight line, 3 observables, one 4 × 4 covariance for all", line, line_of_one, matrices[0]),
        ("straight line, 3 observables, one 4 × 4 covariance per muon", line, line_of_one, matrices[1:]),
        ("smooth function, 1 observable, one variance per coordinate", smooth, smooth_of_one, variances),
    )


def propagate_by_jax(jax, infer, per_muon):
    """What `propagate` returns, by jit-compiled vmap(jacrev), for the inference of one muon."""

    def law(hits, cov):
        jac = jax.jacrev(infer)(hits)
        covariance = (jac * cov if cov.ndim == 1 else jac @ cov) @ jac.T
        return infer(hits), covariance, jax.numpy.sqrt(jax.numpy.diagonal(covariance))

    return jax.jit(jax.vmap(law, in_axes=(0, 0 if per_muon else None)))


def one_hit_by_jax(jax):
    """θ and σ of one-hit muons, by jit(vmap(grad))."""

    def law(x):
        theta, slope = jax.value_and_grad(lambda x: jax.numpy.arctan(jax.numpy.abs(x) / DZ))(x)
        return theta, jax.numpy.abs(slope) * SIGMA_X

    return jax.jit(jax.vmap(law))


def compared(name, ours, theirs, rounds):
    """A row of the table: medians of runs in turn, after one of each that must agree."""
    for one, two in zip(ours(), theirs(), strict=True):
        np.testing.assert_allclose(one.numpy().squeeze(), np.asarray(two).squeeze(), rtol=1e-9, atol=1e-15)
    times = [[seconds(way, 1) for way in (ours, theirs)] for _ in range(rounds)]
    mine, other = (1e3 * statistics.median(each) for each in zip(*times, strict=True))
    row = name, f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}"
    print("  ".join(row), flush=True)
    return list(row)


def against_jax():
    """`propagate`, and the same by JAX."""
    jax = jax_on_one_core()
    rows, rng = [], np.random.default_rng(0)
    for muons, rounds in ((10**6, 31), (10**7, 15)):
        hits = rng.random(muons)
        by_jax, x, given = one_hit_by_jax(jax), jax.numpy.asarray(hits), torch.from_numpy(hits)[:, None]

        def ours(given=given):
            found = propagate(infer_theta, given, covariance=VARIANCE)
            return found.value, found.sigma

        theirs = lambda by_jax=by_jax, x=x: jax.block_until_ready(by_jax(x))  # noqa: E731
        rows.append(compared(f"one hit, {muons:.0e} muons", ours, theirs, rounds))
    hits = rng.normal(size=(1_000_000, 4))
    for name, infer, infer_one, covariance in problems(jax.numpy):
        by_jax = propagate_by_jax(jax, infer_one, covariance.ndim == 3)
        ours = partial(propagate, infer, torch.from_numpy(hits), covariance=torch.from_numpy(covariance))
        arrays = [jax.numpy.asarray(each) for each in (hits, covariance)]
        theirs = lambda by_jax=by_jax, arrays=arrays: jax.block_until_ready(by_jax(*arrays))  # noqa: E731
        rows.append(compared(name, ours, theirs, 11))
    return ["", "`propagate`, ms", "JAX, ms", "`propagate` / JAX"], rows


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
        sys.exit('not compared with JAX, which is not installed: pip install -c constraints.txt -e ".[peers]"')
    head, rows = against_jax()
    print(f"\n{aligned(head, rows)}")
    if docs:
        into_docs("jax", f"{machine('torch', 'jax')}.\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
