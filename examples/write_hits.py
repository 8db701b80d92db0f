"""Write config/hits.root: hits as the readout of a small test beam might record them.

    python examples/write_hits.py config/hits.root

A tree `hits` with a row a muon: `x[4]`, positions in four layers in mm, NaN where there is none, and `ex[4]`, what the
cluster finder says of their standard uncertainties, in mm: a cluster of several strips is better than a single one.
"""

import sys

import numpy as np
import uproot

MUONS = 5_000
Z = np.array([0.0, 0.2, 0.4, 0.6])  # m
STRIPS_OF_ONE, SEVERAL = 0.4, 0.15  # mm


def write(path: str) -> None:
    """Draw the muons, record them and write the tree."""
    rng = np.random.default_rng(2026)
    slope, x0 = rng.normal(0.0, 0.05, (MUONS, 1)), rng.uniform(-100.0, 100.0, (MUONS, 1))
    true = x0 + 1000.0 * slope * Z
    sigma = np.where(rng.random(true.shape) < 0.3, STRIPS_OF_ONE, SEVERAL)
    hits = true + sigma * rng.standard_normal(true.shape)
    hits[rng.random(true.shape) > 0.97] = np.nan
    with uproot.recreate(path, compression=uproot.ZLIB(6)) as file:
        file.mktree("hits", {"x": ("f4", (4,)), "ex": ("f4", (4,))})
        file["hits"].extend({"x": hits.astype("f4"), "ex": sigma.astype("f4")})


if __name__ == "__main__":
    write(sys.argv[1])
