"""CPU time of `quote` for each model, of whole hits and part by part, and beside JAX's linear law for one hit.

The hits are those of simulated cosmic muons, up to 0.8 rad from the vertical; `scatter` has 10 cm of iron and 3 GeV/c.
Part by part is how the models are quoted; `reduction = None` leaves them as any function of the hits.

Command: python benchmarks/quoting.py [--docs] [--rounds N]
"""

import argparse
import time
from typing import NamedTuple

from common import DZ, SIGMA_X, aligned, into_docs, jax_on_one_core, machine, markdown

jax = jax_on_one_core()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pullback import infer_theta, propagate, quote  # noqa: E402
from pullback.detector.bound_model import bound, hit_covariance  # noqa: E402
from pullback.detector.response import SimulatedBlock  # noqa: E402
from pullback.study.plan import Study  # noqa: E402
from pullback.uncertainty.nearly_linear import TOGETHER  # noqa: E402

torch.set_num_threads(1)

COSMIC = {"x_min": -0.5, "x_max": 0.5, "cosmic": {"zenith_max": 0.8}}
LAYERS = {"z": [0.0, 0.3, 0.6, 1.0]}
DETECTOR = {"resolution": [2000, 2000, 1000, 2000]}
IRON = {"cosmic": {"zenith_max": 0.8, "spectrum": "fixed", "momentum": 3.0}}
VOLUME = {"volume": {"z": 0.0, "thickness": 0.1, "radiation_length": 0.01757}}
CONFIGS = {
    "track": {"model": {"name": "track", **LAYERS}, "detector": DETECTOR, "source": COSMIC},
    "track3d": {"model": {"name": "track3d", **LAYERS}, "detector": DETECTOR, "source": COSMIC},
    "scatter": {"model": {"name": "scatter"}, "detector": {"resolution": 5000}, "source": COSMIC | IRON | VOLUME},
}
ANGLES = 5

SEEN, COLUMNS = 7, 12
"""Places at which one hit is evaluated, and numbers that are quoted of it, without the flag."""


class Case(NamedTuple):
    """An inference with hits and their covariance, and of how many of them the time without parts is taken."""

    infer: object
    hits: torch.Tensor
    covariance: torch.Tensor
    few: int


def simulated(name, muons, few):
    """Simulated hits of a model."""
    source = {**CONFIGS[name]["source"], "muons": muons}
    study = Study.from_config({"study": "s", **CONFIGS[name], "source": source})
    parts = [part for batch in study.batches for part in study.batch("reco", batch).parts]
    parameters, infer = bound(parts[0])
    blocks = [SimulatedBlock.draw(part, block).hits(part, parameters) for part in parts for block in part.blocks]
    hits = torch.cat(blocks).detach()
    return Case(infer, hits, hit_covariance(parts[0].model, parameters, hits).detach(), few)


class Angles:
    """The angles of `scatter` alone."""

    def __init__(self, infer):
        self.infer, self.missing, self.periods = infer, infer.missing, None
        self.folding = infer.folding._replace(folds=infer.folding.folds[:ANGLES])
        parts = [part for part in infer.reduction.parts if max(part.observables) < ANGLES]
        self.reduction = infer.reduction._replace(parts=tuple(parts))

    def __call__(self, hits):
        """The angles of each muon."""
        return self.infer(hits)[:, :ANGLES]


def cases():
    """What is measured, by name."""
    yield "`track`, 4 layers", simulated("track", 1 << 17, 1 << 15)
    yield "`track3d`, 4 layers", simulated("track3d", 1 << 16, 1 << 14)
    scatter = simulated("scatter", 1 << 14, 1 << 10)
    yield "`scatter`, 5 angles", scatter._replace(infer=Angles(scatter.infer))
    yield "`scatter`, all 8", scatter._replace(hits=scatter.hits[: 1 << 12], few=1 << 8)


def cpu(work, rounds):
    """The shortest CPU time of several runs, after one more."""
    work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def whole(case):
    """The same inference of which nothing is said about parts."""
    infer = lambda hits: case.infer(hits)  # noqa: E731
    vars(infer).update(folding=case.infer.folding, periods=case.infer.periods, missing=case.infer.missing)
    return infer


def bare(hits):
    """What `quote` can't do without for one hit: θ at seven places, block by block, and writing as many columns."""
    columns, dz = torch.from_numpy(np.empty((COLUMNS, len(hits)))), torch.tensor(DZ, dtype=torch.float64)
    places = torch.linspace(-4 * SIGMA_X, 4 * SIGMA_X, SEEN, dtype=torch.float64)[:, None]
    for start in range(0, len(hits), TOGETHER):
        theta = (hits[start : start + TOGETHER, 0] + places).arctan2_(dz)
        columns[:SEEN, start : start + TOGETHER] = theta
        columns[SEEN:, start : start + TOGETHER] = theta[: COLUMNS - SEEN]


def one_hit(rounds, muons=1_000_000):
    """Times of `quote`, `propagate`, `bare` and JAX's linear law for one hit, in turn, ns; the best of each."""
    x = np.random.default_rng(1).uniform(0, 1, muons)
    hits = torch.from_numpy(x)[:, None]

    def law(x):
        theta, slope = jax.value_and_grad(lambda x: jax.numpy.arctan(jax.numpy.abs(x) / DZ))(x)
        return theta, jax.numpy.abs(slope) * SIGMA_X

    compiled = jax.jit(jax.vmap(law))
    works = (
        lambda: quote(infer_theta, hits, sigma=SIGMA_X),
        lambda: propagate(infer_theta, hits, sigma=SIGMA_X),
        lambda: bare(hits),
        lambda: [np.asarray(each) for each in compiled(x)],
    )
    return np.min([[cpu(work, 1) for work in works] for _ in range(rounds)], axis=0) / muons * 1e9


def main():
    """Print the times, and with --docs put them into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the best counts")
    given = parser.parse_args()
    quoted, propagated, least, by_jax = one_hit(given.rounds)
    line = (
        f"One hit, 10⁶ muons, ns per muon: `quote` {quoted:.0f} (seven evaluations of θ and "
        f"writing its columns: {least:.0f}), `propagate` {propagated:.1f}, JAX's linear law {by_jax:.1f}; "
        f"`quote` / JAX {quoted / by_jax:.1f}."
    )
    print(line)
    head, rows = ["model", "µs per muon, part by part", "as a function of all hits", "ratio"], []
    for name, case in cases():
        parts = cpu(lambda case=case: quote(case.infer, case.hits, covariance=case.covariance), given.rounds)
        of_whole, few = whole(case), case.hits[: case.few]
        slow = cpu(lambda f=of_whole, few=few, case=case: quote(f, few, covariance=case.covariance), 1)
        parts, slow = 1e6 * parts / len(case.hits), 1e6 * slow / len(few)
        rows.append([name, f"{parts:.2f}", f"{slow:.1f}", f"{slow / parts:.0f}"])
        print("  ".join(rows[-1]), flush=True)
    print(aligned(head, rows))
    if given.docs:
        into_docs("quoting", f"{machine('torch', 'numpy', 'jax')}.\n\n{line}\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
