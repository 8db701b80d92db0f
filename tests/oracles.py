"""What shares nothing with the package: integrals over a Gaussian, and muons that are followed from layer to layer."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import integrate, stats

FAR = 12.0


def moments(f: Callable[[float], float], x: float, sigma: float, kinks: tuple[float, ...] = ()) -> tuple[float, float]:
    """Mean, from f(x), and standard deviation of f(x + σ z), by adaptive quadrature between the kinks."""
    edges = sorted({-FAR, FAR, *((k - x) / sigma for k in kinks if abs(k - x) < FAR * sigma), 0.0})

    def expected(g):
        pieces = pairwise(edges)
        return sum(integrate.quad(g, *ends, epsabs=1e-14, epsrel=1e-11, limit=200)[0] for ends in pieces)

    away = lambda z: f(x + sigma * z) - f(x)  # noqa: E731
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    mean = expected(lambda z: away(z) * density(z))
    return mean, math.sqrt(expected(lambda z: (away(z) - mean) ** 2 * density(z)))


def dense(f: Callable[[np.ndarray], np.ndarray], x: float, sigma: float, p=(), points: int = 60_001):
    """Mean, standard deviation and quantiles of f(x + σ z) from many points of equal step."""
    z = np.linspace(-9, 9, points)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()
    y = f(x + sigma * z)
    mean = weights @ y
    order = np.argsort(y, kind="stable")
    below = np.cumsum(weights[order]) - weights[order] / 2
    return mean, math.sqrt(weights @ (y - mean) ** 2), np.interp(p, below, y[order])


def linear_law_holds(y, u, sd, low, high, n_dig):
    """JCGM 101:2008, clause 8, with δ from the decimal digits of u; and u and ends right to 5 %."""
    delta = np.array([half_a_unit(each, n_dig) for each in u])
    off = np.minimum(delta, 0.05 * (high - low) / 2)
    k = stats.norm.ppf(0.975)
    return (abs(y - k * u - low) <= off) & (abs(y + k * u - high) <= off) & (abs(u - sd) <= 0.05 * sd)


def half_a_unit(u: float, n_dig: int) -> float:
    """Half a unit of the last of n digits of u, as they are printed."""
    return 0.5 * 10.0 ** (int(f"{u:.{n_dig - 1}e}".split("e")[1]) - n_dig + 1)


def scattered(rng: np.random.Generator, hits, z, sigma, theta0: float, toys: int) -> np.ndarray:
    """Toys (toy, layer) around the hits of one view: each muon is followed down, and every layer bends its line."""
    slope, offset, height = np.zeros(toys), np.zeros(toys), max(z)
    thrown = np.empty((toys, len(z)))
    for layer in np.argsort(z)[::-1]:
        offset += slope * (z[layer] - height)
        height = z[layer]
        thrown[:, layer] = hits[layer] + offset + sigma[layer] * rng.normal(size=toys)
        slope += theta0 * rng.normal(size=toys)
    return thrown


def best_line(hits, z, covariance):
    """Position at z = 0 and slope of a line by generalized least squares of the hits that exist."""
    seen = np.isfinite(hits)
    design = np.stack([np.ones(seen.sum()), np.asarray(z)[seen]], axis=1)
    weighted = design.T @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    inverse = np.linalg.inv(weighted @ design)
    return inverse @ weighted @ hits[seen], inverse


def filtered(hits, z, sigma, theta0):
    """Position at z = 0 and slope of a muon above all layers, and their covariance, by a Kalman filter.

    It goes up from the two lowest hits, which determine the state: position and slope between two layers. Each layer
    above adds its hit, if there is one, and then its variance to the slope: the muon, which came from above, was
    recorded before the layer deflected it.
    """
    up = np.argsort(z)
    first, second = [layer for layer in up if np.isfinite(hits[layer])][:2]
    z1, z2 = z[first], z[second]
    between = sum(theta0[k] ** 2 * (z[k] - z1) ** 2 for k in up if z1 < z[k] < z2)
    state = np.array([hits[second], (hits[second] - hits[first]) / (z2 - z1)])
    upper, lower = sigma[second] ** 2, sigma[first] ** 2
    P = np.array([[upper, upper / (z2 - z1)], [upper / (z2 - z1), (upper + lower + between) / (z2 - z1) ** 2]])
    P[1, 1] += theta0[second] ** 2
    height = z2
    for layer in (layer for layer in up if z[layer] > z2):
        state, P = moved_to(z[layer] - height, state, P)
        height = z[layer]
        if np.isfinite(hits[layer]):
            gain = P[:, 0] / (P[0, 0] + sigma[layer] ** 2)
            state, P = state + gain * (hits[layer] - state[0]), P - np.outer(gain, P[0])
        P[1, 1] += theta0[layer] ** 2
    return moved_to(-height, state, P)


def moved_to(step, state, P):
    """State and covariance after a step in z."""
    move = np.array([[1.0, step], [0.0, 1.0]])
    return move @ state, move @ P @ move.T
