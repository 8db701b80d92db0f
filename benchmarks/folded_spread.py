"""Numbers of docs/uncertainty.md about spreads beside a fold: how right and how fast they are.

Command: python benchmarks/folded_spread.py
"""

import math
import time
from functools import partial
from unittest import mock

import numpy as np
import torch

from pullback.models.scatter import infer_scatter
from pullback.models.track3d import infer_track3d
from pullback.statistics.angles import wrap
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty import distribution
from pullback.uncertainty.linear import linear_law

torch.set_num_threads(1)

SIGMA, TOYS, AT_A_TIME = 2e-4, 2_000_000, 500_000
UPPER, LOWER, HEIGHTS = [0.6, 0.8, 1.0], [-0.6, -0.8, -1.0], [0.0, 0.5, 1.0]
SCATTER = partial(infer_scatter, z_upper=UPPER, z_lower=LOWER, resolution=[1 / SIGMA] * 6)
TRACK = partial(infer_track3d, z=HEIGHTS, resolution=[1 / SIGMA] * 3)
WIDTH = {"track3d": SIGMA / math.sqrt(0.5), "scatter": SIGMA / math.sqrt(0.08) * math.sqrt(2)}
"""σ of a slope of a track, and of the difference between two."""

PERIODS = {"track3d": (0.0, 2 * math.pi, 0.0, 0.0)}

COLUMNS = {"track3d": {"θ": 0, "φ": 1}, "scatter": {"θ_in": 0, "θ_msc": 4}}


def line(z, slopes):
    """Hits (coordinate,) of a line through (0.1, -0.05) at z = 0."""
    z = np.array(z)
    return np.concatenate([0.1 + slopes[0] * z, -0.05 + slopes[1] * z])


def bent(zenith, angle):
    """Hits of a muon that is scattered by an angle at z = 0, across its plane of incidence and along it."""
    before = np.array([math.sin(zenith), 0.0, math.cos(zenith)])
    side = np.cross(before, [0.3, -0.8, 0.1])
    after = before * math.cos(angle) + side / np.linalg.norm(side) * math.sin(angle)
    above, under = (line(z, d[:2] / d[2]).reshape(2, 3) for z, d in ((UPPER, before), (LOWER, after)))
    return np.concatenate([above, under], axis=1).ravel()


def cases(distance):
    """Model, observables and hits at a distance from the fold in σ."""
    slope = distance * WIDTH["track3d"]
    yield "track3d", ("θ", "φ"), line(HEIGHTS, (0.8 * slope, 0.6 * slope))
    slope = distance * SIGMA / math.sqrt(0.08)
    yield "scatter", ("θ_in",), line(UPPER + LOWER, (0.8 * slope, 0.6 * slope))
    for zenith in (0.0, 0.8):
        yield "scatter", ("θ_msc",), bent(zenith, distance * WIDTH["scatter"])


def spread(infer, hits, sigma):
    """What is quoted of hits (muon, coordinate)."""
    hits, variance = torch.as_tensor(np.atleast_2d(hits)), torch.as_tensor(sigma**2)[None]
    with torch.no_grad():
        law = linear_law(infer, hits, variance)
        return law, distribution.spread_block(infer, hits, variance, law, 0, True)


def toys(infer, hits, sigma, columns, value):
    """Observables (toy, observable) of toys, less their value at the hits."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(TOYS // AT_A_TIME):
        deviates = torch.randn(AT_A_TIME, len(hits), generator=generator, dtype=torch.float64)
        yield infer(torch.from_numpy(hits) + torch.from_numpy(sigma) * deviates)[:, columns] - value


def accuracy():
    """Errors of sd, mean and ends against toys."""
    print("| observable | σ_y/σ_x | distances, σ | largest error of sd | of the mean, sd | of the ends, sd |")
    print("|---|---|---|---|---|---|")
    worst = {}
    for wider in (1.0, 5.0):
        for distance in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0):
            for name, observables, hits in cases(distance):
                infer = partial(TRACK if name == "track3d" else SCATTER)
                infer.periods = PERIODS.get(name)
                sigma = SIGMA * np.repeat([1.0, wider], len(hits) // 2)
                columns = [COLUMNS[name][each] for each in observables]
                law, found = spread(infer, hits, sigma)
                off = torch.cat(list(toys(infer, hits, sigma, columns, law.value[0, columns])))
                for index, (column, observable) in enumerate(zip(columns, observables, strict=True)):
                    right = wrap(off[:, index], 2 * math.pi) if observable == "φ" else off[:, index]
                    ends = torch.cat([found.interval68, found.interval95], dim=2)[0, column] - law.value[0, column]
                    sd = right.std().item()
                    errors = (
                        abs(found.sd[0, column].item() / sd - 1),
                        abs(found.bias[0, column].item() - right.mean().item()) / sd,
                        np.abs(ends.numpy() - np.quantile(right.numpy(), P_ENDS)).max() / sd,
                    )
                    worst[observable, wider] = np.maximum(worst.get((observable, wider), 0), errors)
    for (observable, wider), errors in worst.items():
        print(f"| {observable} | {wider:g} | 0 to 5 |", " | ".join(f"{error:.4f}" for error in errors), "|")


def at_the_fold(muons):
    """Hits (muon, coordinate) of both models, all at the fold except for noise."""
    rng = np.random.default_rng(1)
    truth = {"track3d": line(HEIGHTS, (0.0, 0.0)), "scatter": bent(0.4, 0.0)}
    return {name: hits + SIGMA * rng.normal(size=(muons, len(hits))) for name, hits in truth.items()}


def cost():
    """CPU time a muon at the fold, for all angles together, with the folds and without."""
    print("| model | by lengths and angles, ms | by points, ms |")
    print("|---|---|---|")
    for name, hits in at_the_fold(400).items():
        whole = TRACK if name == "track3d" else SCATTER
        angles = partial(lambda h, whole: whole(h)[:, :5], whole=whole)
        folding = distribution.folding_of(whole)
        angles.folding, angles.periods = folding._replace(folds=folding.folds[:5]), PERIODS.get(name)
        times = []
        for declared in (distribution.folding_of, lambda infer: None):
            with mock.patch.object(distribution, "folding_of", declared):
                spread(angles, hits[:60], np.full(hits.shape[1], SIGMA))  # points are made once
                start = time.process_time()
                spread(angles, hits, np.full(hits.shape[1], SIGMA))
                times.append(1e3 * (time.process_time() - start) / len(hits))
        print(f"| {name} |", " | ".join(f"{each:.2f}" for each in times), "|")


if __name__ == "__main__":
    cost()
    accuracy()
