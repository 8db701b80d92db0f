"""How long `propagate` takes: against the full Jacobian, against JAX, over a range of N, and how much memory it needs.

Command: python benchmarks/propagation.py
"""

import resource
import statistics
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from common import SIGMA_X, jax_on_one_core, seconds

from pullback import infer_theta, jacobian, propagate
from pullback.batches import BLOCK

torch.set_num_threads(1)
VARIANCE = SIGMA_X**2


def in_blocks(muons):
    """Propagate so many muons block by block, as the workflow does; the sum of σ."""
    total = 0.0
    for start in range(0, muons, BLOCK):
        rows = torch.arange(start, min(start + BLOCK, muons), dtype=torch.float64)[:, None]
        total += propagate(infer_theta, rows / muons, VARIANCE).sigma.sum().item()
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
        ("straight line, 3 observables, a variance a layer", line, line_of_one, variances),
        ("straight line, 3 observables, one 4 × 4 covariance", line, line_of_one, matrices[0]),
        ("straight line, 3 observables, a 4 × 4 covariance a muon", line, line_of_one, matrices[1:]),
        ("smooth function, 1 observable, a variance a coordinate", smooth, smooth_of_one, variances),
    )


def propagate_by_jax(jax, infer, per_muon):
    """What `propagate` returns, by jit-compiled vmap(jacrev), for the inference of one muon."""

    def law(hits, cov):
        jac = jax.jacrev(infer)(hits)
        covariance = (jac * cov if cov.ndim == 1 else jac @ cov) @ jac.T
        return infer(hits), covariance, jax.numpy.sqrt(jax.numpy.diagonal(covariance))

    return jax.jit(jax.vmap(law, in_axes=(0, 0 if per_muon else None)))


def against_jax():
    """`propagate` and the same by JAX, in turn, after one run of each to compile and compare."""
    jax = jax_on_one_core()
    hits = np.random.default_rng(0).normal(size=(1_000_000, 4))
    print(f"{len(hits)} muons, 4 coordinates, one core: ms by propagate, by JAX {jax.__version__}, ratio (medians)")
    for name, infer, infer_one, covariance in problems(jax.numpy):
        by_jax = propagate_by_jax(jax, infer_one, covariance.ndim == 3)
        ours = partial(propagate, infer, torch.from_numpy(hits), torch.from_numpy(covariance))
        arrays = [jax.numpy.asarray(each) for each in (hits, covariance)]
        theirs = lambda by_jax=by_jax, arrays=arrays: jax.block_until_ready(by_jax(*arrays))  # noqa: E731
        for a, b in zip(ours(), theirs(), strict=True):
            np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-9, atol=1e-15)
        pairs = [(seconds(ours, 1), seconds(theirs, 1)) for _ in range(15)]
        one, other = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{name:<56} {one:>6.0f} {other:>6.0f} {one / other:>6.2f}", flush=True)


def main():
    """Print the tables."""
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
    assert torch.allclose(full_jacobian(hits[:500])[1], propagate(infer_theta, hits[:500], VARIANCE).sigma[:, 0])
    print(f"N = 10 000: full Jacobian {slow:.2f} s, propagate {fast * 1e3:.3f} ms: {slow / fast:.0f} times faster")
    print()
    if find_spec("jax"):
        against_jax()
    else:
        print('not compared with JAX, which is not installed: pip install -c constraints.txt -e ".[peers]"')


if __name__ == "__main__":
    main()
