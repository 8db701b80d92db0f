import numpy as np
import pytest
from scipy import optimize, stats

from pullback.statistics.feldman_cousins import intervals

LAWS = {1: lambda rho: stats.foldnorm(rho), 2: lambda rho: stats.rice(rho)}
P68, P95 = 0.6827, 0.95


def largest_density(t, components):
    """The largest density of t over ρ, by a search that knows the densities alone."""
    found = optimize.minimize_scalar(
        lambda rho: -LAWS[components](rho).logpdf(t), bounds=(0, t + 1), method="bounded", options={"xatol": 1e-9}
    )
    return np.exp(-min(found.fun, -LAWS[components](0.0).logpdf(t)))


def collected(rho, components, level):
    """Ends of the acceptance region of ρ: cells of t in falling order of the ratio, until they have the probability."""
    edges = np.linspace(0, rho + 6, 4001)
    middles = (edges[1:] + edges[:-1]) / 2
    best = [largest_density(t, components) for t in middles[::20]]
    order = np.argsort(-LAWS[components](rho).pdf(middles) / np.interp(middles, middles[::20], best))
    mass = np.cumsum(np.diff(LAWS[components](rho).cdf(edges))[order])
    inside = order[: np.searchsorted(mass, level) + 1]
    assert inside.max() - inside.min() + 1 == len(inside)  # a single range
    return edges[inside.min()], edges[inside.max() + 1]


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("level", [P68, P95])
@pytest.mark.parametrize("rho", [0.7, 1.8, 3.5])
def test_the_ends_of_an_acceptance_region_have_rho_at_an_end_of_their_interval(components, level, rho):
    low, high = collected(rho, components, level)
    assert intervals(np.array([high]), components, level)[0, 0] == pytest.approx(rho, abs=0.01)
    if low:
        assert intervals(np.array([low]), components, level)[0, 1] == pytest.approx(rho, abs=0.01)
