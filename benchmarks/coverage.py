"""Coverage and length of the confidence intervals at folds, and their time per muon.

Command: python benchmarks/coverage.py [--docs]

With --docs it writes its tables in docs/intervals.md. Recorded values are evenly spread: coverage is right to 0.3 %.
"""

import argparse
import itertools
import math

from common import PROJECT, aligned, into_docs, machine, markdown, one_core, seconds

one_core()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.stats import foldnorm, norm, qmc, rice  # noqa: E402

from pullback.statistics.fold_intervals import azimuth_interval, one_direction, two_directions  # noqa: E402
from pullback.store.provenance import vector_instructions  # noqa: E402

torch.set_num_threads(1)
PAGE = PROJECT / "docs" / "intervals.md"
LEVELS = np.array([0.6827, 0.95])
RHO = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
DEVIATES = norm.ppf(qmc.Sobol(2, seed=1).random_base2(16))
"""Evenly spread pairs of normal deviates."""

POINTS = np.linspace(0, 16, 16001)
AZIMUTHS = np.linspace(0, math.pi / 2, 9)
SHARES = np.r_[0.5, np.ones(7), 0.5] / 8
"""Azimuths from the axis of the larger width, and their weights in an average over all."""

RATIOS = (1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 20.0)
LENGTHS = (0.0, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0, 10.0)
"""True lengths, in units of the smaller width, and again of the larger."""


def covers(ends, truth):
    """Share of the intervals that hold the truth, for both levels."""
    return ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean(axis=0)


def percent(values):
    """Coverages of both levels, in per cent."""
    return " / ".join(f"{100 * value:.1f}" for value in values)


def equal_widths(components):
    """Coverage and mean length over that of the JCGM 101 interval, by true distance from the fold."""
    law, fold = {1: (foldnorm, one_direction), 2: (rice, equal_directions)}[components]
    for rho in RHO:
        t = np.interp((np.arange(16384) + 0.5) / 16384, law.cdf(POINTS, rho), POINTS)
        ends = fold(torch.from_numpy(t)).numpy()
        grid = np.linspace(0, t.max(), 200)
        low, high = (law.ppf((1 + sign * LEVELS[:, None]) / 2, grid) for sign in (-1, 1))
        lengths = (ends[..., 1] - ends[..., 0]).mean(axis=0)
        coverage_lengths = [np.interp(t, grid, row).mean() for row in high - low]
        ratios = " / ".join(f"{value:.2f}" for value in lengths / coverage_lengths)
        yield [f"{rho:g}", str(components), percent(covers(ends, rho)), ratios]


def equal_directions(t):
    """Two directions of unit width."""
    return two_directions(torch.stack([t, torch.zeros_like(t)], dim=-1), torch.eye(2, dtype=torch.float64)[None])


def unequal_widths(ratio):
    """Extremes over true lengths of coverage, averaged over azimuths and at any, and of length over JCGM 101."""
    covariance = torch.diag(torch.tensor([ratio**2, 1.0], dtype=torch.float64))[None]
    means, all_, lengths = [], [], []
    for length in sorted({*LENGTHS, *(ratio * each for each in LENGTHS)}):
        centres = length * np.stack([np.cos(AZIMUTHS), np.sin(AZIMUTHS)], axis=-1)
        found = []
        for centre in centres:
            s = torch.from_numpy(centre + DEVIATES[:4096] * [ratio, 1])
            found.append(covers(two_directions(s, covariance).numpy(), length))
        means.append(SHARES @ found)
        all_ += found
        lengths.append(length_ratio(centres, ratio, covariance))
    extremes = [
        f"{100 * values.min():.1f} … {100 * values.max():.1f}" for values in (*np.transpose(means), *np.transpose(all_))
    ]
    longest = [f"{value:.2f}" for value in np.max(lengths, axis=0)]
    at_fold = [f"{value:.2f}" for value in lengths[0]]
    return [f"{ratio:g}", extremes[0], extremes[2], extremes[1], extremes[3], " / ".join(at_fold), " / ".join(longest)]


def length_ratio(centres, ratio, covariance):
    """Mean length over that of the JCGM 101 interval, averaged over azimuths."""
    lengths = np.zeros((2, 2))
    for centre, share in zip(centres[::2], 2 * SHARES[::2], strict=True):
        s = centre + DEVIATES[:256] * [ratio, 1]
        ends = two_directions(torch.from_numpy(s), covariance).numpy()
        sizes = np.hypot(*np.moveaxis(s[:, None] + DEVIATES[:512] * [ratio, 1], -1, 0))
        low, high = (np.quantile(sizes, (1 + sign * LEVELS) / 2, axis=1) for sign in (-1, 1))
        lengths += share * np.stack([(ends[..., 1] - ends[..., 0]).mean(axis=0), (high - low).mean(axis=1)])
    return lengths[0] / lengths[1]


def azimuths():
    """Coverage and mean width of the intervals of the azimuth, by true distance from the fold."""
    for delta in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0):
        s = torch.from_numpy(DEVIATES + np.array([delta, 0]))
        ends = azimuth_interval(s, torch.eye(2, dtype=torch.float64)[None]).numpy()
        width = ends[..., 1] - ends[..., 0]
        held = (-ends[..., 0] % (2 * math.pi) <= width).mean(axis=0)
        yield [f"{delta:g}", percent(held), " / ".join(f"{value:.2f}" for value in width.mean(axis=0))]


def times():
    """Nanoseconds per muon for both levels."""
    s = torch.from_numpy(3 * DEVIATES)
    turned = torch.tensor([[[1.0, 0.3], [0.3, 4.0]]], dtype=torch.float64)
    work = {
        "one direction": lambda: one_direction(s[:, 0]),
        "two directions of equal widths": lambda: two_directions(s, torch.eye(2, dtype=torch.float64)[None]),
        "two directions of unequal widths": lambda: two_directions(s, turned),
        "azimuth": lambda: azimuth_interval(s, turned),
    }
    for name, run in work.items():
        yield [name, f"{seconds(run, 20) / len(s) * 1e9:.0f}"]


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/intervals.md")
    to_docs = parser.parse_args().docs
    used = ", ".join(f"{library} with {width}" for library, width in vector_instructions().items())
    tables = {
        "equal widths": (
            ["ρ", "directions", "coverage, %", "length / JCGM 101"],
            itertools.chain(equal_widths(1), equal_widths(2)),
        ),
        "unequal widths": (
            ["κ", "68.27 %, mean", "at any azimuth", "95 %, mean", "at any azimuth", "length, fold", "length, largest"],
            map(unequal_widths, RATIOS),
        ),
        "azimuth": (["δ", "coverage, %", "mean width, rad"], azimuths()),
        "times": (["intervals", "ns a muon"], times()),
    }
    for name, (head, lines) in tables.items():
        rows = list(lines)
        print(f"{name}\n{aligned(head, rows)}\n")
        if to_docs:
            into_docs(name, f"{machine('torch', 'scipy')}; {used}.\n\n{markdown(head, rows)}", PAGE)


if __name__ == "__main__":
    main()
