"""What each measure gains: the same work with and without it, in turn.

Command: python benchmarks/gains.py [--rounds 3] [--docs]
With --docs it writes its table in docs/performance.md.
"""

import argparse
import os
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from statistics import median
from unittest import mock

import numpy as np
import scans
import stages
import torch
from common import aligned, into_docs, machine, markdown

from pullback import propagate
from pullback.job_server import ADDRESS
from pullback.models.track import infer_track
from pullback.steps import components, pseudo_experiments, truth_toys
from pullback.study.plan import Study

torch.set_num_threads(1)
Z = np.array([0.0, 0.3, 0.6, 1.0])


def study(*arguments, environment=None):
    """Wall time of the default study from nothing."""
    with mock.patch.dict(os.environ, environment or {}):
        return scans.run(9, "all", arguments=arguments)[0]


def step(kind, changed=nullcontext, raw=scans.DEFAULT):
    """CPU time of a step of a study, in a context."""
    made = Study.from_config(raw)
    with tempfile.TemporaryDirectory() as folder:
        files = stages.files_of(made, folder)
        for parent in PARENTS[kind]:
            stages.step(parent, made, files)
        with changed():
            return cpu(partial(stages.step, kind, made, files))


def tracks(infer):
    """CPU time of `propagate` for a hundred calls of a thousand tracks."""
    hits = torch.from_numpy(np.random.default_rng(1).normal(size=(1000, len(Z))))
    return cpu(lambda: [propagate(infer, hits, sigma=1e-4) for _ in range(100)])


def cpu(work):
    """CPU time of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


PARENTS = {"sigma": ("truth", "reco"), "toys": ("truth", "reco"), "coverage": ("truth", "reco", "sigma")}
TRACK = partial(infer_track, z=Z.tolist(), resolution=[1e4] * len(Z))
SMALL_PIECES = partial(mock.patch.multiple, truth_toys, PIECES_TOGETHER=1, TOYS_AT_A_TIME=65_536)
FEW_MUONS = partial(mock.patch.object, components, "DIFFERENTIATED_AT_A_TIME", 2_048)
ONE_EXPERIMENT = partial(mock.patch.object, pseudo_experiments, "EXPERIMENTS_AT_A_TIME", 1)
SHIFTED = {
    "study": "shifted",
    "source": {"muons": 1000},
    "model": {"name": "track", "z": Z.tolist(), "theta0": 0.001},
    "systematics": {"model.z[3]": 0.001, "alignment.x[1]": 0.0002},
    "toys": {"muons": 200, "per_muon": 2, "experiments": 2000},
}
"""Tracks in layers that scatter, whose heights and positions are uncertain."""

MEASURES = {
    "default study: jobs forked from one server": (partial(study, environment={ADDRESS: ""}), study),
    "default study: figures by several processes": (partial(study, "--set-threads", "plot=1"), study),
    "`measure_coverage`: toys that are quoted together": (
        partial(step, "coverage", SMALL_PIECES),
        partial(step, "coverage"),
    ),
    "`propagate_uncertainty`: 16 384 muons differentiated by the design together, not 2 048": (
        partial(step, "sigma", FEW_MUONS),
        partial(step, "sigma"),
    ),
    "`run_toys`, 2000 pseudo-experiments of 200 tracks in shifted layers that scatter: 64 together": (
        partial(step, "toys", ONE_EXPERIMENT, SHIFTED),
        partial(step, "toys", raw=SHIFTED),
    ),
    "`propagate`, 1000 tracks: closed forms in place of automatic differentiation": (
        partial(tracks, lambda hits: TRACK(hits)),
        partial(tracks, TRACK),
    ),
}
"""The same work without and with each measure: wall time of studies, CPU time of the others."""


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    rows = []
    for name, both in MEASURES.items():
        taken = [[work() for work in both] for _ in range(arguments.rounds)]
        without, with_it = (median(times) for times in zip(*taken, strict=True))
        rows.append([name, f"{without:.2f}", f"{with_it:.2f}", f"{without / with_it:.1f}"])
        print("  ".join(rows[-1]), flush=True)
    where, head = machine("torch", "numpy", "snakemake"), ["measure", "without, s", "with it, s", "times faster"]
    print(f"{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("gains", f"{where}.\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
