"""Tables of docs/uncertainty.md about confidence intervals: coverage, length, bias at a fold, and time.

Command: python benchmarks/confidence.py [coverage] [points] [bias] [functions] [search] [time]
"""

import math
import sys
from functools import partial

import numpy as np
import torch
from common import seconds
from scipy import integrate, stats

from pullback import infer_theta, quote
from pullback.models.scatter import infer_scatter
from pullback.models.track import infer_track
from pullback.models.track3d import infer_track3d
from pullback.uncertainty.confidence import confidence_block
from pullback.uncertainty.distribution import spread_block
from pullback.uncertainty.folds import Folding, folding_of
from pullback.uncertainty.inference import periods_of
from pullback.uncertainty.linear import linear_law
from pullback.uncertainty.profile import profile_ends
from pullback.uncertainty.quadrature import Integrand
from pullback.uncertainty.signed import fold_distances
from pullback.uncertainty.validity import linear_valid

torch.set_num_threads(1)

SIGMA = 1e-3
Z, UPPER, LOWER = np.array([0.0, 0.5, 1.0]), np.array([0.6, 0.8, 1.0]), np.array([-0.6, -0.8, -1.0])
SLOPE = SIGMA / math.sqrt(np.square(Z - Z.mean()).sum())
TRACK = {"z": Z.tolist(), "resolution": [1 / SIGMA] * 3}
TRACKERS = {"z_upper": UPPER.tolist(), "z_lower": LOWER.tolist(), "resolution": [1 / SIGMA] * 6}
SCATTER = partial(infer_scatter, **TRACKERS)
RHO = (0, 0.5, 1, 2, 3, 5, 10)


def turned(rng, muons, length):
    """Vectors (muon, 2) of a length and any azimuth."""
    turn = rng.uniform(0, 2 * np.pi, muons)
    return length * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def two_lines(p, q, meeting=(0.0, 0.0, 0.0), upper=UPPER, lower=LOWER):
    """True hits (muon, 12) of lines with slopes p above and q below that meet in a point."""
    x, y, z = meeting
    trackers = (p, upper), (q, lower)
    parts = [at + slope[:, i, None] * (heights - z) for i, at in ((0, x), (1, y)) for slope, heights in trackers]
    return np.concatenate(parts, axis=1)


def scattered(rng, muons, rho, zenith, meeting=(0.0, 0.0, 0.0), infer=SCATTER):
    """Hits of muons at a zenith angle, scattered in any plane by ρ in the metric of the deflection."""
    upper, lower = (np.array(infer.keywords[name]) for name in ("z_upper", "z_lower"))
    p, turn = turned(rng, muons, math.tan(zenith)), turned(rng, muons, 1.0)
    off = np.full((muons, 1), 1e-3 * (rho > 0))
    for _ in range(3 * (rho > 0)):
        found = fold_distances(
            infer, torch.from_numpy(two_lines(p, p + off * turn, (0, 0, 0), upper, lower)), covariance=SIGMA**2
        )
        off *= rho / found.distance[:, 4:5].numpy()
    return two_lines(p, p + off * turn, meeting, upper, lower)


def one_hit(rng, muons, rho):
    """θ of one hit."""
    return partial(infer_theta, dz=1.5), np.full((muons, 1), rho * SIGMA), 0


def track(rng, muons, rho):
    """θ of a track in one view."""
    return partial(infer_track, **TRACK), np.tile(rho * SLOPE * Z, (muons, 1)), 1


def in_space(rng, muons, rho, column):
    """θ or φ of a track in space."""
    slopes = turned(rng, muons, rho * SLOPE)
    return partial(infer_track3d, **TRACK), np.concatenate([slopes[:, :1] * Z, slopes[:, 1:] * Z], axis=1), column


def zenith_in(rng, muons, rho):
    """θ_in, of muons that are scattered by 0.1."""
    p = turned(rng, muons, rho * SIGMA / math.sqrt(np.square(UPPER - UPPER.mean()).sum()))
    return SCATTER, two_lines(p, p + turned(rng, muons, 0.1)), 0


def msc(rng, muons, rho, zenith):
    """θ_msc at a zenith angle."""
    return SCATTER, scattered(rng, muons, rho, zenith), 4


def point(rng, muons, rho):
    """The point of closest approach, x, at 0.3 rad."""
    return SCATTER, scattered(rng, muons, rho, 0.3, (0.1, -0.05, 0.05)), 5


CASES = {
    "`one_hit` θ": (one_hit, 100_000),
    "`track` θ": (track, 20_000),
    "`track3d` θ": (partial(in_space, column=0), 20_000),
    "`track3d` φ": (partial(in_space, column=1), 20_000),
    "θ_in": (zenith_in, 4_000),
    "θ_msc at 0": (partial(msc, zenith=0.0), 4_000),
    "θ_msc at 0.8 rad": (partial(msc, zenith=0.8), 4_000),
    "x of PoCA": (point, 1_000),
}


def alone(infer, column):
    """One observable of an inference, with its fold, to spare the time of the others."""
    folding = folding_of(infer)

    def one(hits):
        return infer(hits)[:, column : column + 1]

    vars(one)["folding"] = Folding(folding.signed, folding.folds[column : column + 1])
    if folding.folds[column] and folding.folds[column].azimuth:
        vars(one)["periods"] = (2 * np.pi,)
    return one


def held(ends, truth, period=0.0):
    """Share of muons whose interval (muon, end) holds the truth, %."""
    low, high = np.asarray(ends).T
    if period:
        return 100 * (np.mod(truth - low, period) <= high - low).mean()
    return 100 * ((low <= truth) & (truth <= high)).mean()


def row(case, muons, rho):
    """Coverage of the JCGM and the confidence intervals of both levels, and the ratio of their mean lengths."""
    rng = np.random.default_rng([1, int(100 * rho)])
    infer, true, column = case(rng, muons, rho)
    truth = infer(torch.from_numpy(true))[:, column].numpy()
    truth = np.where(truth < 1e-12, 0.0, truth) if rho == 0 else truth  # of the fold, without rounding
    infer = alone(infer, column)
    quoted = quote(infer, true + SIGMA * rng.standard_normal(true.shape), sigma=SIGMA)
    period = periods_of(infer)[0] if periods_of(infer) else 0.0
    cells = []
    for level in ("68", "95"):
        exact, ends = (getattr(quoted, name + level)[:, 0] for name in ("interval", "confidence"))
        ratio = np.diff(ends).mean() / np.diff(exact).mean()
        cells.append((held(exact, truth, period), held(ends, truth, period), ratio))
    return cells


def coverage():
    """By observable and distance from the fold: coverage of both kinds of intervals, and the ratio of lengths."""
    print("| observable | ρ | JCGM 101: 68.27 %, 95 % | confidence: 68.27 %, 95 % | length, confidence / JCGM 101 |")
    print("|---|---|---|---|---|")
    for name, (case, muons) in CASES.items():
        for rho in RHO if case is not point else RHO[1:]:  # parallel tracks have no such point
            both = zip(*row(case, muons, rho), (".1f", ".1f", ".2f"), strict=True)
            cells = " | ".join(f"{a:{form}}, {b:{form}}" for a, b, form in both)
            print(f"| {name} | {rho:g} | {cells} |", flush=True)


TWO_TRACKERS = {
    "equal": ((UPPER, LOWER), (0, 0.25, 0.5)),
    "unequal": ((np.array([0.58, 0.48, 0.38]), np.array([-0.38, -0.48, -0.9])), (0, 0.5, 0.75, 1)),
}
"""Heights of the layers above and below, m, and distances κ of the true point from the height `best_height`."""


def best_height(upper, lower):
    """The height at which the distance of both lines is known best, m, and its σ there over that of their slopes, m."""
    weights = np.array([1 / np.square(z - z.mean()).sum() for z in (upper, lower)])
    centres = np.array([upper.mean(), lower.mean()])
    best = weights @ centres / weights.sum()
    variance = 1 / len(upper) + 1 / len(lower) + weights @ np.square(centres - best)
    return best, math.sqrt(variance / weights.sum())


def points():
    """Coverage of the point of closest approach, z, by the height of the true point in two pairs of trackers."""
    print("| trackers | κ | z, mm | " + " | ".join(f"ρ = {rho:g}" for rho in RHO[1:]) + " |\n" + "|---" * 9 + "|")
    rows = ((name, trackers, kappa) for name, (trackers, kappas) in TWO_TRACKERS.items() for kappa in kappas)
    for name, trackers, kappa in rows:
        best, scale = best_height(*trackers)
        z = best - kappa * scale
        infer = partial(infer_scatter, z_upper=trackers[0], z_lower=trackers[1], resolution=[1 / SIGMA] * 6)
        cells = []
        for rho in RHO[1:]:
            rng = np.random.default_rng([2, int(100 * rho)])
            true = scattered(rng, 1000, rho, 0.3, (0.1, -0.05, z), infer)
            quoted = quote(infer, true + SIGMA * rng.standard_normal(true.shape), sigma=SIGMA)
            ends = (quoted.confidence68[:, 7], quoted.confidence95[:, 7])
            cells.append("/".join(f"{held(each, z):.1f}" for each in ends))
        print(f"| {name} | {kappa:g} | {1e3 * z:.0f} | {' | '.join(cells)} |", flush=True)


def bias():
    """Mean of θ less the true θ, in σ, at folds in one and two directions: by numerical integration."""
    print("| ρ | 0 | 0.5 | 1 | 2 | 3 | 4 | 5 | 10 |\n|---|---|---|---|---|---|---|---|---|")
    for name, law in (("one direction", stats.foldnorm), ("two directions", stats.rice)):
        means = []
        for rho in (0, 0.5, 1, 2, 3, 4, 5, 10):
            density = law(rho).pdf if rho or law is stats.foldnorm else stats.rayleigh.pdf
            means.append(integrate.quad(lambda t: t * density(t), 0, rho + 12, limit=200)[0] - rho)  # noqa: B023
        print(f"| {name} | {' | '.join(f'{each:.2f}' for each in means)} |")


def size_of_slopes(h):
    """√(a² + b²) of the slopes of a track of 12 hits."""
    z = torch.linspace(-1, 1, 6, dtype=torch.float64)
    return torch.stack([h[:, :6] @ z, h[:, 6:] @ z], dim=1).norm(dim=1, keepdim=True) / z.square().sum().sqrt()


def size(h):
    """The length of the vector of all coordinates."""
    return h.norm(dim=1, keepdim=True)


def stretched(h):
    """√(x² + 25 y²)."""
    return size(h * torch.tensor([1.0, 5.0], dtype=torch.float64))


LONG = torch.linspace(1, 10, 12, dtype=torch.float64)
FUNCTIONS = {
    "\\|x\\|": (1, lambda h: h.abs()),
    "x²": (1, lambda h: h.square()),
    "1 − cos 0.1x": (1, lambda h: 1 - (0.1 * h).cos()),
    "√(x² + y²)": (2, size),
    "x² + y²": (2, lambda h: h.square().sum(dim=1, keepdim=True)),
    "√(x² + 25 y²)": (2, stretched),
    "1 + x² + 25 y²": (2, lambda h: 1 + stretched(h).square()),
    "√(25 x² + y²)": (2, lambda h: stretched(h.flip(1))),
    "√(x² + y² + z²)": (3, size),
    "√(a² + b²) of 12 hits": (12, size_of_slopes),
    "√(x₁² + … + x₁₂²)": (12, size),
    "x₁² + … + 10 x₁₂²": (12, lambda h: (h.square() * LONG).sum(dim=1, keepdim=True)),
    "max(x, y)": (2, lambda h: h.amax(dim=1, keepdim=True)),
    "\\|x − y\\| + x": (2, lambda h: ((h[:, 0] - h[:, 1]).abs() + h[:, 0])[:, None]),
    "x + y²/2": (2, lambda h: (h[:, 0] + h[:, 1].square() / 2)[:, None]),
    "xy": (2, lambda h: h.prod(dim=1, keepdim=True)),
    "\\|x\\| + y²": (2, lambda h: (h[:, 0].abs() + h[:, 1].square())[:, None]),
    "√\\|x\\|": (1, lambda h: h.abs().sqrt()),
}
NEAR = (0, 1e-6, 1e-3, 0.01, 0.1, 0.5, 1, 2, 3, 5, 10)


def functions():
    """Coverage of functions that declare no fold, at ρ = x with all others 0, and σ = 1; with evenly spread noise."""
    print("| function | " + " | ".join(f"ρ = {rho:g}" for rho in NEAR) + " |\n" + "|---" * (1 + len(NEAR)) + "|")
    for name, (coordinates, infer) in FUNCTIONS.items():
        noise = stats.norm.ppf(stats.qmc.Sobol(coordinates, seed=2).random(1024 if coordinates == 12 else 4096))
        along = np.linspace(-1, 1, 6) if infer is size_of_slopes else np.ones(1)
        cells = []
        for rho in NEAR:
            true = np.zeros((1, coordinates))
            true[:, : len(along)] = rho * along / np.linalg.norm(along)
            truth = infer(torch.from_numpy(true)).item()
            ends = profiled(infer, torch.from_numpy(true + noise))
            cells.append("/".join(f"{held(ends[:, level], truth):.1f}" for level in (0, 1)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def profiled(infer, hits):
    """Intervals (muon, level, end) by profile likelihood, also where linear propagation is valid."""
    value, found = infer(hits), []
    muons = Integrand(infer, hits, torch.eye(hits.shape[1], dtype=torch.float64)[None], value)
    for few in torch.arange(len(hits)).split(1024):
        found.append(value[few, :, None] + profile_ends(muons.take(few), torch.zeros_like(few)))
    return torch.cat(found).numpy()


SEARCHED = ("\\|x\\|", "√(x² + y²)", "√(x² + y² + z²)", "√(a² + b²) of 12 hits", "√(x₁² + … + x₁₂²)")
"""Functions whose search is timed."""


def search():
    """Time per muon and level of the search for ends, and mean length of the 68.27 % intervals at both ends of ρ."""
    print("| function | µs per muon and level | mean length, ρ = 0 | ρ = 2 |\n|---|---|---|---|")
    for name in SEARCHED:
        coordinates, infer = FUNCTIONS[name]
        noise = torch.from_numpy(stats.norm.ppf(stats.qmc.Sobol(coordinates, seed=2).random(1024)))
        along = torch.eye(coordinates, dtype=torch.float64)[:1]
        taken = seconds(lambda: profiled(infer, along + noise), 3) / len(noise) / 2  # noqa: B023
        lengths = (np.diff(profiled(infer, rho * along + noise)[:, 0]).mean() for rho in (0, 2))
        print(f"| {name} | {1e6 * taken:.0f} | {' | '.join(f'{each:.2f}' for each in lengths)} |", flush=True)


def time():
    """Time of the confidence intervals of a muon and of an observable that folds, beside all of `quote`."""
    rng = np.random.default_rng(3)
    hits = {
        "`one_hit`, 0 < x < 1 m, σ = 1 cm": (infer_theta, rng.uniform(0, 1, (1 << 17, 1)), 0.01, 1),
        "`one_hit`, within 3 σ of the fold": (infer_theta, rng.uniform(0, 0.03, (1 << 17, 1)), 0.01, 1),
        "`scatter`, θ_msc of 3 σ": (SCATTER, scattered(rng, 1 << 12, 3, 0.3), SIGMA, 3),
    }
    for name, (infer, true, sigma, folds) in hits.items():
        x, sigma_x = torch.from_numpy(true), torch.full((1, true.shape[1]), sigma**2, dtype=torch.float64)
        with torch.no_grad():
            law = linear_law(infer, x, sigma_x)
            found = spread_block(infer, x, sigma_x, law, 0, True)
            valid = linear_valid(law.value, law.sigma, found.sd, found.interval95)
            own = seconds(lambda: confidence_block(infer, x, sigma_x, law, found, valid), 9)  # noqa: B023
        whole = seconds(lambda: quote(infer, x, sigma=sigma), 3)  # noqa: B023
        print(f"{name}: {1e9 * own / len(x) / folds:.0f} of {1e9 * whole / len(x):.0f} ns")


if __name__ == "__main__":
    tables = {each.__name__: each for each in (coverage, points, bias, functions, search, time)}
    for name in sys.argv[1:] or tables:
        tables[name]()
