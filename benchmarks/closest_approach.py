"""Accuracy of what is quoted of the point of closest approach, against 262 144 Sobol points per muon.

Command: python benchmarks/closest_approach.py [--muons 25] [--docs]
"""

import argparse

import numpy as np
import torch
import yaml
from common import PROJECT, aligned, into_docs, machine, markdown
from scipy.special import ndtri
from scipy.stats import qmc

from pullback import quote
from pullback.detector.reconstruction import Reconstruction
from pullback.detector.response import SimulatedBlock
from pullback.study.plan import Study
from pullback.uncertainty.signed import fold_distances

RANGES = ((6.0, 7.0), (7.0, 10.0), (10.0, 20.0), (20.0, np.inf))
"""Ranges of the deflection, in σ."""

POINTS = 18
"""Power of two of the Sobol points."""

ENDS = (0.025, 0.15865, 0.84135, 0.975)
"""Probabilities below the ends of both intervals."""

ALL_DIGITS = 6
"""Digits for which linear propagation is not quoted, so that only the other methods are compared."""

SHOWN = (0.5, 0.95, 1.0)
"""Quantiles of the errors over the muons of a range."""

PAGE = PROJECT / "docs" / "uncertainty.md"


def simulated(muons):
    """The inference of `config/scatter.yaml`, with hits and covariance of a number of simulated muons."""
    raw = yaml.safe_load((PROJECT / "config" / "scatter.yaml").read_text())
    raw = {name: each for name, each in raw.items() if name != "systematics"}
    raw["source"]["muons"] = muons
    part = next(iter(Study.from_config(raw).batches.values())).of_kind("sigma").parts[0]
    reconstruction = Reconstruction.of(part)
    drawn = SimulatedBlock.draw(part, next(part.blocks), "cpu")
    taken = reconstruction.taken(drawn.hits(part, reconstruction.parameters))
    return part.model, reconstruction.infer, taken.hits.detach(), taken.covariance.detach()


def deflections(model, infer, hits, covariance):
    """The deflection of each muon in σ."""
    names = [each.name for each in model.observables]
    return fold_distances(infer, hits, covariance=covariance).distance[:, names.index("theta_msc")].numpy()


def by_points(infer, hit, covariance, which, deviates):
    """Standard deviation and ends of the observables of one muon over the noise of its hits."""
    sigma = covariance.reshape(-1, len(hit))
    root = torch.linalg.cholesky(sigma) if len(sigma) > 1 else torch.diag(sigma[0].sqrt())
    with torch.no_grad():
        found = infer(hit + deviates @ root.T)[:, which].numpy()
    return found.std(axis=0), np.quantile(found, ENDS, axis=0)


def errors(quoted, muon, which, reference):
    """Errors of the ends in sd, and relative ones of sd, NaN where it does not exist, by observable."""
    sd, ends = reference
    both = [quoted.interval95[muon, which], quoted.interval68[muon, which]]
    found = np.stack([both[0][:, 0], both[1][:, 0], both[1][:, 1], both[0][:, 1]])
    return np.abs(found - ends).max(axis=0) / sd, quoted.sigma[muon, which].numpy() / sd - 1


def measure(muons):
    """The rows of the table."""
    model, infer, hits, covariance = simulated(131_072)
    names = [each.name for each in model.observables]
    which = [index for index, name in enumerate(names) if name.startswith("poca")]
    distance = deflections(model, infer, hits, covariance)
    sobol = qmc.Sobol(hits.shape[1], seed=1).random_base2(POINTS)
    deviates = torch.from_numpy(ndtri(np.clip(sobol, 1e-12, 1 - 1e-12)))
    for low, high in RANGES:
        rows = np.flatnonzero((distance >= low) & (distance < high))[:muons]
        some = covariance if len(covariance) == 1 or covariance.ndim < 3 else covariance[rows]
        quoted = quote(infer, hits[rows], covariance=some, n_dig=ALL_DIGITS)
        found = [
            errors(
                quoted,
                muon,
                which,
                by_points(infer, hits[row], some if len(some) == 1 else some[muon], which, deviates),
            )
            for muon, row in enumerate(rows)
        ]
        ends, sds = (np.array(each) for each in zip(*found, strict=True))
        known = np.isfinite(sds)
        of_ends = np.quantile(ends, SHOWN)
        of_sd = np.quantile(np.abs(sds[known]), SHOWN) if known.any() else [np.nan] * 3
        label = f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
        numbers = (*(f"{each:.4f}" for each in of_ends), *(f"{each:.2%}" for each in of_sd))
        yield [label, str(len(rows)), *numbers, f"{known.mean():.0%}"]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--muons", type=int, default=25, help="how many of each range of the deflection")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/uncertainty.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = list(measure(arguments.muons))
    quantiles = ("median", "95 %", "largest")
    head = [
        "deflection, σ",
        "muons",
        *(f"ends, {each}" for each in quantiles),
        *(f"sd, {each}" for each in quantiles),
        "with sd",
    ]
    where = machine("torch", "numpy", "scipy")
    print(f"{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("closest approach", markdown(head, rows), PAGE)


if __name__ == "__main__":
    main()
