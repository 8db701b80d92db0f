"""Numbers of docs/uncertainty.md and docs/performance.md: how right and how fast the quoted uncertainties are.

Command: python benchmarks/uncertainty.py [at_the_fold] [bias] [shares] [speed] [diagnostics] [--docs]
"""

import argparse
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import stages
import torch
from common import DZ, SIGMA_X, aligned, into_docs, machine, markdown, seconds
from scipy.integrate import quad
from scipy.stats import norm

from pullback import infer_theta, propagate, propagate_distribution, quote, random_stream, run_toys, second_order, steps
from pullback.store import columns, quoted_columns
from pullback.study.plan import Study
from pullback.uncertainty import quoting
from pullback.validation.diagnostics import DIAGNOSTICS
from pullback.validation.evidence import Evidence

torch.set_num_threads(1)


def exact_sd(x):
    """The standard deviation of θ around a hit, by adaptive quadrature on both sides of the fold."""
    density = norm(x, SIGMA_X).pdf
    theta = lambda t: np.arctan(abs(t) / DZ)  # noqa: E731
    ends = sorted({x - 10 * SIGMA_X, *([0.0] if abs(x) < 10 * SIGMA_X else []), x + 10 * SIGMA_X})

    def expected(function):
        pieces = (quad(lambda t: function(t) * density(t), *piece, epsabs=1e-15, limit=200) for piece in pairwise(ends))
        return sum(integral for integral, _ in pieces)

    mean = expected(theta)
    return expected(lambda t: (theta(t) - mean) ** 2) ** 0.5


def at_the_fold():
    """What each method says beside the fold."""
    print("one hit, σ_x = 1 cm, dz = 1.5 m: σ of θ in mrad")
    print(f"{'x/σ_x':>6} {'exact':>9} {'linear':>9} {'2nd order':>9} {'spread':>9} {'quoted':>9} linear_valid")
    for place in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 50.0):
        hit = torch.tensor([[place * SIGMA_X]], dtype=torch.float64)
        found = (
            law(infer_theta, hit, sigma=SIGMA_X) for law in (propagate, second_order, propagate_distribution, quote)
        )
        linear, second, integral, quoted = found
        numbers = (exact_sd(place * SIGMA_X), linear.sigma, second.sigma, integral.sd, quoted.sigma)
        print(f"{place:>6g}", *(f"{1000 * float(each):>9.5f}" for each in numbers), bool(quoted.linear_valid))


def bias():
    """By how much θ is off on the average near the fold, as it is and less the bias that is quoted."""
    print(f"{'true x/σ_x':>10} {'mean(θ - true)/σ':>17} {'less the bias':>14}")
    deviates = torch.special.ndtri((torch.arange(200_000, dtype=torch.float64)[:, None] + 0.5) / 200_000)
    for place in (0.0, 0.5, 1.0, 2.0):
        truth = torch.tensor([[place * SIGMA_X]], dtype=torch.float64)
        quoted = quote(infer_theta, truth + SIGMA_X * deviates, sigma=SIGMA_X)
        off = (quoted.value - infer_theta(truth)) * 1.5 / SIGMA_X
        print(f"{place:>10g} {off.mean():>17.3f} {(off - quoted.bias * 1.5 / SIGMA_X).mean():>14.3f}")


def shares():
    """For how many muons linear propagation is valid."""
    hits = ((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)[:, None]
    for n_dig in (1, 2):
        share = quote(infer_theta, hits, sigma=SIGMA_X, n_dig=n_dig).linear_valid.double().mean().item()
        print(f"hits evenly over (0, 1) m: linear propagation is valid for {share:.1%} at n_dig = {n_dig}")


def speed(docs=False):
    """`propagate_distribution` against toys, and the step that quotes against one with linear propagation alone."""
    muons, rows = 1_000_000, []
    hits = torch.rand(muons, 1, dtype=torch.float64)
    few, rng = hits[:2000], random_stream(1, "toys")
    toys = lambda: run_toys(infer_theta, few, sigma=SIGMA_X, toys=1000, rng=rng)  # noqa: E731
    spread = lambda: propagate_distribution(infer_theta, hits, sigma=SIGMA_X)  # noqa: E731
    pairs = [(seconds(toys, 3) / len(few), seconds(spread, 3) / muons) for _ in range(3)]
    rows.append(_against("1 000 toys of a muon", "`propagate_distribution`", pairs))
    ways = [lambda f=f: f(infer_theta, hits, sigma=SIGMA_X) for f in (quote, propagate)]
    pairs = [[seconds(way, 5) / muons for way in ways] for _ in range(3)]
    rows.append(_against("`quote`", "`propagate`", pairs))

    study = Study.from_config(
        {"study": "s", "source": {"muons": 4 * muons}, "toys": {"muons": 2}, "compute": {"batch_cost": 10**15}}
    )
    ((name, _),) = study.batches.items()
    linear = {"sigma": columns.QUOTED["sigma_linear"]}
    with tempfile.TemporaryDirectory() as folder:
        truth, reco, sigma = (Path(folder, f"{kind}.h5") for kind in ("truth", "reco", "sigma"))
        steps.simulate_hits(study.batch("truth", name), truth)
        steps.smear_hits(study.batch("reco", name), truth, reco)
        step = lambda: steps.propagate_uncertainty(study.batch("sigma", name), reco, sigma, truth)  # noqa: E731
        law = lambda infer, hits, *, covariance, **_: propagate(infer, hits, covariance=covariance)  # noqa: E731
        pairs = []
        for _ in range(5):
            whole = seconds(step, 1) / (4 * muons)
            unflagged = mock.patch("pullback.steps.propagate._flag")  # what is flagged are intervals
            columns_of_linear = mock.patch.object(quoted_columns, "QUOTED", linear)
            with unflagged, columns_of_linear, mock.patch.object(quoting, "quote", law):
                pairs.append((whole, seconds(step, 1) / (4 * muons)))
    rows.append(_against("`propagate_uncertainty`", "the same with linear propagation alone", pairs))
    head, where = ["one hit, per muon", "ns", "against", "ns", "ratio"], machine("torch", "numpy")
    print(f"{where}\n{aligned(head, rows)}")
    if docs:
        into_docs("speed", f"{where}.\n\n{markdown(head, rows)}")


def _against(one, other, pairs):
    """A row: medians of times taken in turn, and of their ratio."""
    first, second, ratio = (statistics.median(each) for each in zip(*((a, b, a / b) for a, b in pairs), strict=True))
    return [one, f"{first * 1e9:.0f}", other, f"{second * 1e9:.0f}", f"{ratio:.1f}"]


NOISES = {
    "gaussian": "gaussian",
    "strip": "strip",
    "strip, 20 % finer": {"kind": "strip", "pitch": 0.8 * 12**0.5 * SIGMA_X},
    "tails": "tails",
    "tails, 0.5 %": {"kind": "tails", "fraction": 0.005},
    "clipped": "clipped",
    "clipped at 3 σ": {"kind": "clipped", "clip": 3.0},
}


MARKS = {"pass": "", "fail": " ✗", "inconclusive": " ?"}


def diagnostics():
    """What each diagnostic of a default study says of each kind of noise."""
    found = {}
    for name, noise in NOISES.items():
        study = Study.from_config({"study": "s", "detector": {"noise": noise}})
        with tempfile.TemporaryDirectory() as folder:
            files = stages.files_of(study, folder)
            for kind in stages.STEPS:
                stages.step(kind, study, files)
            evidence = Evidence.read(stages.judge(study, files, folder).validation)
            found[name] = evidence.points[0].diagnostics
    print("| diagnostic | question | " + " | ".join(NOISES) + " |")
    print("|---|---|" + "---|" * len(NOISES))
    for key, diagnostic in DIAGNOSTICS.items():
        cells = (f"{each[key].value:.3f}{MARKS[each[key].verdict]}" for each in found.values())
        print(f"| {diagnostic.name} | {diagnostic.question} | " + " | ".join(cells) + " |")


def main():
    """Print the parts that are named, or everything."""
    parts = {each.__name__: each for each in (at_the_fold, bias, shares, speed, diagnostics)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--docs", action="store_true", help="put the times into docs/performance.md")
    arguments = parser.parse_args()
    for name in arguments.parts or parts:
        parts[name](arguments.docs) if name == "speed" else parts[name]()
        print()


if __name__ == "__main__":
    main()
