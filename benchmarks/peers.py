"""One problem by every way there is to propagate an uncertainty: time, memory, and how wrong each one's σ is.

Recorded hits x, known to σ_x = 1 cm, of muons from a point dz = 1.5 m away: θ = arctan(|x|/dz) and σ_θ of each muon.
Every way has a process of its own for each number of muons, on one core, and returns the θ and σ of each muon as numpy
arrays. σ is compared with linear propagation, σ_x dz/(dz² + x²), and with the standard deviation of θ around the hit.

Command: python benchmarks/peers.py [--docs]
It draws docs/figures/peers.svg, and with --docs also writes the table in docs/performance.md. Ways of other libraries
need: pip install -c constraints.txt --group peers
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import (
    DZ,
    PROJECT,
    SIGMA_X,
    aligned,
    into_docs,
    jax_on_one_core,
    machine,
    markdown,
    memory_of_machine,
    one_core,
)

MUONS = (100, 10_000, 1_000_000)
LIMIT = 60
"""Seconds that the first run of a way may take."""
ENOUGH = 2.0
"""Seconds for which a quick way is repeated."""
SUBSET = 100
"""Hits whose standard deviation is integrated: half of them within 5 σ_x of the fold, half evenly over all."""
FIGURE = PROJECT / "docs" / "figures" / "peers.svg"


def by_propagate():
    """Linear propagation of this project."""
    import torch

    from pullback import infer_theta, propagate

    def way(x):
        found = propagate(infer_theta, torch.from_numpy(x)[:, None], sigma=SIGMA_X)
        return found.value[:, 0].numpy(), found.sigma[:, 0].numpy()

    return way


def by_quote():
    """The σ to quote of this project."""
    import torch

    from pullback import infer_theta, quote

    def way(x):
        found = quote(infer_theta, torch.from_numpy(x)[:, None], sigma=SIGMA_X)
        return found.value[:, 0].numpy(), found.sigma[:, 0].numpy()

    return way


def by_exercise():
    """The naive exercise: the whole (N, N) Jacobian, row by row."""
    import torch
    from propagation import full_jacobian

    return lambda x: [each.numpy() for each in full_jacobian(torch.from_numpy(x)[:, None])]


def by_numpy():
    """The derivative worked out by hand."""
    return lambda x: (np.arctan(np.abs(x) / DZ), SIGMA_X * DZ / (DZ**2 + x**2))


def by_jax():
    """Differentiated for one muon, mapped over all, compiled."""
    jax = jax_on_one_core()

    def law(x):
        theta, slope = jax.value_and_grad(lambda x: jax.numpy.arctan(jax.numpy.abs(x) / DZ))(x)
        return theta, jax.numpy.abs(slope) * SIGMA_X

    compiled = jax.jit(jax.vmap(law))
    return lambda x: [np.asarray(each) for each in compiled(x)]


def by_uncertainties():
    """Numbers that carry their derivatives, in an array of objects."""
    from uncertainties import unumpy

    warnings.simplefilter("ignore", FutureWarning)  # abs() of a number with an uncertainty is to go one day

    def way(x):
        theta = unumpy.arctan(abs(unumpy.uarray(x, SIGMA_X)) / DZ)
        return unumpy.nominal_values(theta), unumpy.std_devs(theta)

    return way


def by_gvar():
    """The same, with the derivatives in C."""
    import gvar

    def way(x):
        theta = gvar.arctan(gvar.abs(gvar.gvar(x, np.full_like(x, SIGMA_X))) / DZ)
        return gvar.mean(theta), gvar.sdev(theta)

    return way


def by_jacobi():
    """Numerical derivatives, muon by muon."""
    import jacobi

    def way(x):
        found = [jacobi.propagate(lambda x: np.arctan(np.abs(x) / DZ), each, SIGMA_X**2) for each in x]
        theta, variance = np.array(found).T
        return theta, np.sqrt(variance)

    return way


def by_diagonal_jacobi():
    """Numerical derivatives of all muons at once."""
    import jacobi

    def way(x):
        theta, variance = jacobi.propagate(lambda x: np.arctan(np.abs(x) / DZ), x, SIGMA_X**2, diagonal=True)
        return theta, np.sqrt(variance)

    return way


class Way(NamedTuple):
    """How to get there: its name in the table, what makes its function of hits, and the library that it needs."""

    name: str
    make: Callable
    library: str = "pullback"
    style: dict = {}  # noqa: RUF012
    least: Callable[[int], int] = lambda muons: 0
    """Bytes that it can't do without."""


WAYS = {
    "propagate": Way("pullback `propagate`", by_propagate, style={"color": "#0072B2", "marker": "o", "lw": 2}),
    "quote": Way("pullback `quote`", by_quote, style={"color": "#0072B2", "marker": "o", "ls": "--"}),
    "exercise": Way(
        "the exercise, (N, N) Jacobian",
        by_exercise,
        style={"color": "#D55E00", "marker": "s"},
        least=lambda muons: 8 * muons**2,
    ),
    "numpy": Way("numpy, by hand", by_numpy, "numpy", {"color": "black", "marker": "D"}),
    "jax": Way("JAX, `jit(vmap(grad))`", by_jax, "jax", {"color": "#009E73", "marker": "^"}),
    "uncertainties": Way("`uncertainties`", by_uncertainties, "uncertainties", {"color": "#E69F00", "marker": "v"}),
    "gvar": Way("`gvar`", by_gvar, "gvar", {"color": "#56B4E9", "marker": "P"}),
    "jacobi": Way("`jacobi`, one muon at a time", by_jacobi, "jacobi", {"color": "#CC79A7", "marker": "X"}),
    "diagonal": Way(
        "`jacobi`, `diagonal=True`", by_diagonal_jacobi, "jacobi", {"color": "#CC79A7", "marker": "X", "ls": "--"}
    ),
}
"""The ways, in the order of the table."""


def hits_of(muons):
    """So many recorded hits, evenly over (0, 1) m but for their noise: some are negative, one of the first 100 is."""
    rng = np.random.default_rng(7)
    return rng.uniform(size=MUONS[-1])[:muons] + SIGMA_X * rng.normal(size=MUONS[-1])[:muons]


def most_memory():
    """Bytes of this process that at most were in memory."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def work(name, hits_file, sigma_file):
    """In a process of its own: run one way on some hits, save its σ, and print seconds and bytes as JSON."""
    one_core()
    hits, way = np.load(hits_file), WAYS[name].make()
    Path("/proc/self/clear_refs").write_text("5")  # the most memory so far is now what there is
    before = most_memory()
    signal.alarm(LIMIT)  # ends the process
    times, peak = [], 0
    while not times or (sum(times[1:]) < ENOUGH and times[0] < LIMIT / 4 and len(times) < 1000):
        begin = time.perf_counter()
        theta, sigma = way(hits)
        times.append(time.perf_counter() - begin)
        signal.alarm(0)
        peak = peak or most_memory()  # of the first run: later ones begin with its results still there
    np.testing.assert_allclose(theta, np.arctan(np.abs(hits) / DZ), rtol=1e-14)
    np.save(sigma_file, sigma)
    print(json.dumps({"first": times[0], "best": min(times[1:] or times), "memory": peak - before}))


class Cell(NamedTuple):
    """What one way did with so many muons: or the reason why it did not."""

    way: str
    muons: int
    why: str = ""
    first: float = float("nan")
    best: float = float("nan")
    memory: float = float("nan")
    off_linear: float = float("nan")
    off_sd: float = float("nan")


def run(name, muons):
    """Run a way on so many muons in a process of its own, and judge its σ."""
    way = WAYS[name]
    if not find_spec(way.library):
        return Cell(name, muons, "not installed")
    if way.least(muons) > memory_of_machine():
        return Cell(name, muons, f"not possible: needs {way.least(muons) / 1e12:.0f} TB")
    hits = hits_of(muons)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/hits.npy", f"{folder}/sigma.npy"]
        np.save(files[0], hits)
        done = subprocess.run(
            [sys.executable, __file__, "--work", name, *files], capture_output=True, text=True, check=False
        )
        if done.returncode == -signal.SIGALRM:
            return Cell(name, muons, f"> {LIMIT} s")
        if done.returncode:
            sys.exit(f"{name} failed for {muons} muons:\n{done.stderr}")
        return Cell(name, muons, "", **json.loads(done.stdout), **errors(hits, np.load(files[1])))


def errors(hits, sigma):
    """The largest error of σ, relative to linear propagation and to the standard deviation."""
    exact, rest = linear(len(hits))
    some = subset(hits)
    sd = np.array([standard_deviation(each) for each in hits[some]])
    return {
        "off_linear": float(np.abs((sigma - exact - rest) / exact).max()),
        "off_sd": float(np.abs(sigma[some] / sd - 1).max()),
    }


@cache
def linear(muons):
    """The σ of linear propagation to 28 digits, as the nearest numbers in float64 and what these leave."""
    dz, sigma_x = Decimal(DZ), Decimal(SIGMA_X)
    exact = [sigma_x * dz / (dz**2 + Decimal(float(x)) ** 2) for x in hits_of(muons)]
    nearest = [float(each) for each in exact]
    return np.array(nearest), np.array([float(a - Decimal(b)) for a, b in zip(exact, nearest, strict=True)])


def subset(hits):
    """Which hits have their standard deviation integrated."""
    order = np.argsort(np.abs(hits))
    near = order[np.abs(hits[order]) < 5 * SIGMA_X]
    return np.unique(
        [each[i] for each in (near, order) for i in np.linspace(0, len(each) - 1, SUBSET // 2).astype(int)]
    )


@cache
def standard_deviation(x):
    """The standard deviation of θ around a hit, integrated."""
    from uncertainty import exact_sd

    return exact_sd(float(x))


def grouped(number):
    """A whole number in groups of three digits."""
    return f"{number:,}".replace(",", " ")


def digits(value):
    """A positive number to two digits, or to the whole number."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def duration(value):
    """Seconds in a unit that suits them."""
    unit, size = next(each for each in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)) if value >= each[1] or each[0] == "µs")
    return f"{digits(value / size)} {unit}"


def error(value):
    """A relative error: of rounding, or in per cent."""
    return f"{value:.0e}" if value < 1e-5 else f"{digits(100 * value)} %"


HEAD = [
    "way",
    "N",
    "best run",
    "ns per muon",
    "first run",
    "memory, MiB",
    "off linear propagation",
    "off the true spread",
]


def rows(cells):
    """The cells as rows of text."""
    for cell in cells:
        start = [WAYS[cell.way].name, grouped(cell.muons)]
        if cell.why:
            yield [*start, cell.why, *[""] * 5]
        else:
            yield [
                *start,
                duration(cell.best),
                digits(cell.best / cell.muons * 1e9),
                duration(cell.first),
                f"{cell.memory / 2**20:.1f}",
                error(cell.off_linear),
                error(cell.off_sd),
            ]


def draw(cells, path):
    """Time and memory of each way against the number of muons."""
    from pullback.report.figures.base import STYLE, plt
    from pullback.report.figures.plot import METADATA

    with plt.rc_context({**STYLE, "figure.constrained_layout.use": False}):
        canvas, panels = plt.subplots(1, 2, figsize=(9.6, 3.6))
        for name, way in WAYS.items():
            mine = [cell for cell in cells if cell.way == name]
            done, undone = [cell for cell in mine if not cell.why], [cell for cell in mine if cell.why]
            missing = (f"\n    {cell.why.split(': ')[-1]} at {grouped(cell.muons)}" for cell in undone)
            label = "".join([way.name.replace("`", ""), *missing])
            muons = [cell.muons for cell in done]
            panels[0].plot(muons, [1e9 * cell.best / cell.muons for cell in done], label=label, ms=5, **way.style)
            panels[1].plot(muons, [cell.memory / 2**20 for cell in done], ms=5, **way.style)
        for axes, words in zip(panels, ("time per muon (ns)", "peak memory over the inputs (MiB)"), strict=True):
            axes.set(xscale="log", yscale="log", xlabel="muons N", ylabel=words)
        canvas.subplots_adjust(left=0.06, right=0.71, bottom=0.14, top=0.97, wspace=0.28)
        canvas.legend(loc="center left", bbox_to_anchor=(0.72, 0.5), handlelength=3.2)
        path.parent.mkdir(exist_ok=True)
        canvas.savefig(path, metadata=METADATA["svg"])


def main():
    """Run every way, print the table, draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="also write the table in docs/performance.md")
    parser.add_argument("--work", nargs=3, metavar=("WAY", "HITS", "SIGMA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(*options.work)
    if not Path("/proc/self/clear_refs").exists():
        sys.exit("benchmarks/peers.py reads the peak memory of a process from /proc: run it on Linux")
    cells = []
    for muons in MUONS:
        for name in WAYS:
            cells.append(run(name, muons))
            print(*next(rows(cells[-1:])), file=sys.stderr, flush=True)
    installed = [each for each in dict.fromkeys(way.library for way in WAYS.values()) if find_spec(each)]
    where = machine("torch", *(each for each in installed if each != "pullback"))
    print(where, aligned(HEAD, list(rows(cells))), sep="\n\n")
    draw(cells, FIGURE)
    if options.docs:
        into_docs("peers", f"{where}.\n\n{markdown(HEAD, list(rows(cells)))}")


if __name__ == "__main__":
    main()
