"""Cost of a muon through all steps, in toys, and of a toy, compared with drawing its deviate alone.

The first is the weight by which batches are cut.

Command: python benchmarks/costs.py [--docs]
"""

import argparse
import tempfile

import numpy as np
import stages
import torch
from common import aligned, into_docs, machine, markdown, seconds

from pullback import random_stream
from pullback.statistics.quantiles import quantiles_of
from pullback.study.plan import Study
from pullback.uncertainty.toys import _around_ends

torch.set_num_threads(1)


def of_steps(muons, toy_muons, per_muon, points):
    """Seconds of the batch's steps without toys, and of toys around recorded hits, for a scan of so many points."""
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
    with tempfile.TemporaryDirectory() as folder:
        files = stages.files_of(study, folder)
        taken = {kind: stages.step(kind, study, files) for kind in stages.STEPS}
    toys, _ = taken.pop("toys"), taken.pop("coverage")  # toys around true hits are as many whatever the muons
    return sum(taken.values()), toys


def parts():
    """What a toy can't do without, ns: a deviate by SFC64 or by torch in float32, interval ends and errors, and θ."""
    rng, generator = random_stream(1, "toys"), torch.Generator()
    numbers, single = np.empty((6, 10_000)), torch.empty(60_000)
    rng.standard_normal(out=numbers)
    toys, dz = torch.rand(60_000, dtype=torch.float64), torch.tensor(1.5, dtype=torch.float64)
    work = (
        lambda: rng.standard_normal(out=numbers),
        lambda: single.normal_(generator=generator),
        lambda: quantiles_of(torch.from_numpy(numbers), _around_ends(10_000)),
        lambda: toys.arctan2(dz),
    )
    return [seconds(each, 300) / 60_000 * 1e9 for each in work]


def main():
    """Print the time of a muon and of a toy, alone and in a scan, and what they are in each other and in deviates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    docs = parser.parse_args().docs
    of_steps(1000, 10, 10, 1)
    muons, rows = 4_000_000, []
    per_muon = min(of_steps(muons, 1, 2, 1)[0] for _ in range(3)) / muons
    for points in (1, 9):
        deviate, *_ = parts()
        toy = min(of_steps(2000, 2000, 10_000, points)[1] for _ in range(3)) / (2000 * 10_000 * points)
        numbers = f"{per_muon * 1e9:.0f}", f"{toy * 1e9:.1f}", f"{per_muon / toy:.0f}", f"{deviate / toy / 1e9:.0%}"
        rows.append([str(points), *numbers])
    head = [
        "points thrown together",
        "ns per muon",
        "ns per toy",
        "muon / toy",
        "rate of toys / of SFC64's deviates",
    ]
    words = (
        "By themselves, a normal deviate takes {:.1f} ns by numpy's SFC64, float64, and {:.1f} ns by torch, float32; "
        "selecting the interval ends of 10 000 toys {:.1f} ns each, and `arctan2` {:.1f} ns: with nothing else to do, "
        "one point would have {:.0%} of the rate of the deviates."
    ).format(*(alone := parts()), alone[0] / (alone[0] + alone[2] + alone[3]))
    print(f"{machine('torch', 'numpy')}\n{aligned(head, rows)}\n{words}")
    if docs:
        into_docs("costs", f"{machine('torch', 'numpy')}.\n\n{markdown(head, rows)}\n\n{words}")


if __name__ == "__main__":
    main()
