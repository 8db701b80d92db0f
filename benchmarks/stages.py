"""Cost of each step of the workflow per muon, beside what it can't beat: its bytes through HDF5, its random numbers.

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
from pathlib import Path

from common import PROJECT, aligned, into_docs, machine, markdown, one_core

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
    """Seconds to read what the step reads, write as much as it writes, and draw its random numbers, and nothing else.

    Columns are read and written block by block with the chunks of the artefacts, into space that has been set aside.
    """
    import h5py
    import numpy as np

    from pullback.statistics.random import random_stream
    from pullback.study.blocks import BLOCK

    rng, numbers = random_stream(1, "toys"), np.empty(BLOCK)
    took = 0.0
    for name in study.batches:
        begin = time.perf_counter()
        for parent in STEPS[kind]:
            with h5py.File(files[parent][name]) as file:
                for column in columns(file):
                    for start in range(0, len(column), BLOCK):
                        column[start : start + BLOCK]
        drawn = {"truth": study.muons["nominal"], "reco": study.muons["nominal"]}.get(kind, 0) / len(study.batches)
        if kind == "toys":
            with h5py.File(files["toys"][name]) as file:
                drawn = file["nominal/toys/toy_count"][:].sum()
        for _ in range(round(drawn / BLOCK)):
            rng.random(out=numbers) if kind == "truth" else rng.standard_normal(out=numbers)
        took += time.perf_counter() - begin
        copy = files[kind][name].with_suffix(".copy")
        with h5py.File(files[kind][name]) as old, h5py.File(copy, "w", libver=("v110", "v110")) as new:
            if hasattr(os, "posix_fallocate"):
                with copy.open("r+b") as space:
                    os.posix_fallocate(space.fileno(), 0, files[kind][name].stat().st_size)
            for column in filter(len, columns(old)):
                block = column[:BLOCK]
                begin = time.perf_counter()
                like = new.create_dataset(
                    column.name, column.shape, column.dtype, chunks=column.chunks, track_times=False
                )
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
    """Rows of the table for so many muons: the best of some rounds, where they are few."""
    rounds = max(1, min(3, FEW // muons))
    for kind in STEPS:
        in_turn = [[apart(what, kind, muons, folder) for what in ("step", "bound")] for _ in range(rounds)]
        (seconds, memory), (least, _) = (min(each) for each in zip(*in_turn, strict=True))
        row = f"{muons:.0e}".replace("e+0", "e"), f"`{NAMES[kind]}`"
        numbers = muons / seconds / 1e6, seconds / muons * 1e9, least / muons * 1e9
        yield [*row, *(f"{each:.3g}" for each in numbers), f"{seconds / least:.2f}", f"{memory:.0f}"]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--muons", default="1e6,1e7,1e8", help="how many, with commas between")
    parser.add_argument("--folder", default=".", help="where artefacts are written for a while: 100 bytes per muon")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--apart", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    one_core()
    if arguments.apart:
        what, kind, muons, folder = arguments.apart
        took = {"step": step, "bound": bound}[what](kind, *plan(int(muons), folder))
        print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    head = ["muons", "step", "10⁶ muons/s", "ns per muon", "bound, ns", "times the bound", "memory, MiB"]
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
