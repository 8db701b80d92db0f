"""Cost of each step of the workflow per muon, and what bounds it: its bytes, its random numbers, or its arithmetic.

Command: python benchmarks/stages.py [--muons 1e6,1e7,1e8] [--folder FOLDER] [--docs]
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from common import PROJECT, aligned, as_a_job, into_docs, machine, markdown

STEPS = {
    "truth": (),
    "reco": ("truth",),
    "theta": ("truth", "reco"),
    "sigma": ("truth", "reco"),
    "toys": ("reco",),
    "coverage": ("truth", "reco", "sigma"),
    "tally": ("theta", "sigma", "toys", "coverage"),
}
"""The artefacts whose columns what makes each kind of artefact of simulated hits reads; all verify their parents."""

PARTS = ("reading", "drawing", "writing")
"""What a step can't do without: to verify and read its parents, to draw random numbers, to write its columns."""

THROWN = {"toys": "nominal/toys/toy_count", "coverage": "nominal/coverage/toys_theta"}
"""Where an artefact says how many toys were thrown."""

FEW = 30_000_000
"""Muons of all rounds together, above which there is only one."""

NAMES = {
    "truth": "simulate_hits",
    "reco": "smear_hits",
    "theta": "infer_theta",
    "sigma": "propagate_uncertainty",
    "toys": "run_toys",
    "coverage": "measure_coverage",
    "tally": "tally",
}
"""The rules of the Snakefile that they are."""


def files_of(study, folder):
    """The files of each kind of artefact, batch by batch."""
    return {kind: {name: Path(folder, kind, f"{name}.h5") for name in study.batches} for kind in STEPS}


def plan(muons, folder):
    """The study, and its files."""
    import yaml

    from pullback.study.plan import Study

    raw = yaml.safe_load((PROJECT / "config" / "billion.yaml").read_text())
    raw["source"]["muons"] = muons
    study = Study.from_config(raw)
    return study, files_of(study, folder)


def step(kind, study, files):
    """Make the artefacts of a kind, batch by batch; the seconds that took, without imports."""
    import torch

    from pullback import steps
    from pullback.validation import batch_sums

    torch.set_num_threads(1)
    begin = time.perf_counter()
    for name in study.batches:
        batch, at = study.batch(kind, name), {each: files[each][name] for each in STEPS}
        match kind:
            case "truth":
                steps.simulate_hits(batch, at["truth"])
            case "reco":
                steps.smear_hits(batch, at["truth"], at["reco"])
            case "theta":
                steps.infer_theta(batch, at["reco"], at["theta"], at["truth"])
            case "sigma":
                steps.propagate_uncertainty(batch, at["reco"], at["sigma"], at["truth"])
            case "toys":
                steps.run_toys(batch, at["reco"], at["toys"])
            case "coverage":
                steps.measure_coverage(batch, *(at[each] for each in ("truth", "reco", "sigma", "coverage")))
            case "tally":
                batch_sums.tally(batch, {each: at[each] for each in study.kinds}, at["tally"])
    return time.perf_counter() - begin


def judge(study, files, folder):
    """Merge the tallies into the verdict; what was written."""
    from pullback.validation.verdict import Outputs, validate

    names = ("config.yaml", "points.csv", "study.h5", "validation.json", "validation.schema.json")
    outputs = Outputs(*(Path(folder, name) for name in (*names, "validation.csv", "summary.csv")))
    validate(study, list(files["tally"].values()), outputs)
    return outputs


def bound(kind, study, files):
    """Seconds to verify and read what the step reads, to draw its random numbers, and to write as much as it writes.

    Columns are read and written block by block with the chunks of the artefacts, into space that has been set aside.
    """
    taken = [sum(each) for each in zip(*(_of_batch(kind, study, files, name) for name in study.batches), strict=True)]
    return dict(zip(PARTS, taken, strict=True))


def _of_batch(kind, study, files, name):
    """Seconds for reading, drawing and writing of one batch."""
    import h5py

    from pullback.statistics import random  # noqa: F401 - so that no time is spent on it below
    from pullback.store.checksum import verify
    from pullback.study.blocks import BLOCK

    times = [time.perf_counter()]
    for parent in STEPS[kind]:
        verify(files[parent][name])
        with h5py.File(files[parent][name], rdcc_nbytes=0) as file:
            for column in filter(len, columns(file)):
                for start in range(0, len(column), BLOCK):
                    column[start : start + BLOCK]
    times.append(time.perf_counter())
    _draw(kind, study, files, name)
    times.append(time.perf_counter())
    return [*(after - before for before, after in pairwise(times)), _write(files[kind][name])]


def _draw(kind, study, files, name):
    """Draw the random numbers of a batch."""
    import h5py
    import numpy as np

    from pullback.statistics.random import random_stream
    from pullback.study.blocks import BLOCK

    if kind in ("truth", "reco"):
        drawn = study.muons["nominal"] / len(study.batches)
    elif kind in THROWN:
        with h5py.File(files[kind][name]) as file:
            drawn = file[THROWN[kind]][:].sum()
    else:
        return
    rng, numbers = random_stream(1, "toys"), np.empty(BLOCK)
    for _ in range(round(drawn / BLOCK)):
        rng.random(out=numbers) if kind == "truth" else rng.standard_normal(out=numbers)


def _write(path):
    """Seconds to write a file with the columns of another, without what they hold."""
    import h5py

    from pullback.study.blocks import BLOCK

    took, copy = 0.0, path.with_suffix(".copy")
    with h5py.File(path) as old, h5py.File(copy, "w", libver=("v110", "v110")) as new:
        if hasattr(os, "posix_fallocate"):
            with copy.open("r+b") as space:
                os.posix_fallocate(space.fileno(), 0, path.stat().st_size)
        for column in filter(len, columns(old)):
            block = column[:BLOCK]
            begin = time.perf_counter()
            like = new.create_dataset(column.name, column.shape, column.dtype, chunks=column.chunks, track_times=False)
            for start in range(0, len(column), BLOCK):
                like[start : start + BLOCK] = block[: len(column) - start]
            took += time.perf_counter() - begin
        begin = time.perf_counter()
        new.flush()
    took += time.perf_counter() - begin
    copy.unlink()
    return took


def columns(file):
    """Every column of an artefact that has chunks."""
    found = []
    file.visititems(lambda _, each: found.append(each) if getattr(each, "chunks", None) else None)
    return found


def apart(what, kind, muons, folder):
    """One of the two in a process of its own, when all that has been written before is on disk: seconds, and MiB."""
    os.sync()
    command = [sys.executable, __file__, "--apart", what, kind, str(muons), str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(muons, folder):
    """Rows of the table for so many muons, and of all steps together: the best of some rounds, where they are few."""
    rounds, total = max(1, min(3, FEW // muons)), [0.0] * 5
    for kind in STEPS:
        in_turn = [[apart(what, kind, muons, folder) for what in ("step", "bound")] for _ in range(rounds)]
        (step, memory), (parts, _) = (min(each, key=_seconds) for each in zip(*in_turn, strict=True))
        found = [step, *parts.values(), max(0.0, step - sum(parts.values()))]
        total = [one + other for one, other in zip(total, found, strict=True)]
        yield _row(muons, f"`{NAMES[kind]}`", found, f"{memory:.0f}")
    yield _row(muons, "all steps", total, "")


def _seconds(taken):
    """Seconds of a step, or of the parts of its bound."""
    return sum(taken[0].values()) if isinstance(taken[0], dict) else taken[0]


def _row(muons, name, seconds, memory):
    """A row of the table: the time, its parts, and which of them is the largest."""
    step, *parts = seconds
    most = max(zip(parts, (*PARTS, "arithmetic"), strict=True))[1]
    numbers = muons / step / 1e6, *(each / muons * 1e9 for each in seconds)
    return [f"{muons:.0e}".replace("e+0", "e"), name, *(f"{each:.3g}" for each in numbers), most, memory]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--muons", default="1e6,1e7,1e8", help="how many, with commas between")
    parser.add_argument("--folder", default=".", help="where artefacts are written for a while: 100 bytes per muon")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--apart", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    as_a_job()
    if arguments.apart:
        what, kind, muons, folder = arguments.apart
        took = {"step": step, "bound": bound}[what](kind, *plan(int(muons), folder))
        print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    head = ["muons", "step", "10⁶ muons/s", "ns per muon", *PARTS, "arithmetic", "mostly", "memory, MiB"]
    rows = []
    for muons in (int(float(each)) for each in arguments.muons.split(",")):
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            for row in measure(muons, folder):
                rows.append(row)
                print("  ".join(row), flush=True)
        finally:
            shutil.rmtree(folder)
    where = machine("torch", "numpy", "h5py")
    print(f"\n{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("stages", f"{where}.\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
