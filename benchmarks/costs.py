"""What a muon costs on its way through all steps, in toys: the weight by which batches are cut.

Command: python benchmarks/costs.py
"""

import tempfile
import time
from pathlib import Path

import torch

from pullback import steps
from pullback.study import Study

torch.set_num_threads(1)


def seconds(muons, toy_muons, per_muon, points):
    """Time of the batch's steps, and of its toys, for a scan of so many points."""
    scan = {"model.dz": [1.0 + index / 10 for index in range(points)]}
    study = Study.from_config(
        {
            "study": "costs",
            "source": {"muons": muons},
            "toys": {"muons": toy_muons, "per_muon": per_muon},
            "scan": scan,
            "compute": {"batch_cost": 10**15},
        }
    )
    (name,) = study.batches
    with tempfile.TemporaryDirectory() as folder:
        truth, reco, theta, sigma, toys = (Path(folder, f"{kind}.h5") for kind in study.kinds)
        begin = time.perf_counter()
        steps.simulate_hits(study.batch("truth", name), truth)
        steps.smear_hits(study.batch("reco", name), truth, reco)
        steps.infer_theta(study.batch("theta", name), reco, theta, truth)
        steps.propagate_uncertainty(study.batch("sigma", name), reco, sigma, truth)
        between = time.perf_counter()
        steps.run_toys(study.batch("toys", name), reco, toys)
        return between - begin, time.perf_counter() - between


def main():
    """Print the time of a muon and of a toy, alone and in a scan, and their ratio."""
    seconds(1000, 10, 10, 1)
    muons = 4_000_000
    per_muon = seconds(muons, 1, 2, 1)[0] / muons
    for points in (1, 9):
        toy = seconds(2000, 2000, 10_000, points)[1] / (2000 * 10_000 * points)
        print(f"{points} points: a muon {per_muon * 1e9:.0f} ns, a toy {toy * 1e9:.1f} ns, ratio {per_muon / toy:.0f}")


if __name__ == "__main__":
    main()
