"""A plan for 10¹² muons on a cluster: what they need in all, from rates that are measured here.

Command: python benchmarks/plan.py [--docs]
With --docs it writes its table in docs/scaling.md.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stages
import yaml
from common import PROJECT, aligned, into_docs, machine, markdown, one_core

MUONS, BATCHES = 10**12, 1000
MEASURED = 16_000_000
SMALL = 40
"""Batches whose tallies are merged to see what one costs."""


def study_of(muons, batches):
    """A raw config of `config/billion.yaml` with so many muons, cut into so many batches."""
    from pullback.config.schema import ToySettings
    from pullback.study.work import OF_FUNCTIONS

    raw = yaml.safe_load((PROJECT / "config" / "billion.yaml").read_text())
    raw["source"]["muons"] = muons
    work = muons * OF_FUNCTIONS.muon + ToySettings().muons * ToySettings().per_muon
    raw["compute"] = {"batch_cost": -(-work // batches)}
    return raw


def a_muon():
    """Seconds and bytes of each muon, in all steps of a batch; and of each step the largest memory, MiB."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        taken = {kind: stages.apart("step", kind, MEASURED, folder) for kind in stages.STEPS}
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.h5"))
    seconds, memory = zip(*taken.values(), strict=True)
    return sum(seconds) / MEASURED, size / MEASURED, max(memory)


def a_tally():
    """Seconds to merge the tally of one batch into the verdict."""
    from pullback.study.blocks import BLOCK
    from pullback.study.plan import Study

    study = Study.from_config(study_of(SMALL * BLOCK, SMALL))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        files = stages.files_of(study, folder)
        for kind in stages.STEPS:
            stages.step(kind, study, files)
        begin = time.perf_counter()
        stages.judge(study, files, folder)
        return (time.perf_counter() - begin) / len(study.batches)


def cpu_of_children():
    """User and system time of all child processes that have ended, s."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def planned(batches):
    """CPU seconds and MiB that Snakemake takes to plan all jobs of so many batches, and how many these are."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "study.yaml").write_text(yaml.safe_dump(study_of(MUONS, batches)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--dry-run"]
        begin = cpu_of_children()
        done = subprocess.run(
            [*command, "--quiet", "rules", "--configfile", "study.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        took = cpu_of_children() - begin
    jobs = next(line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total"))
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, int(jobs)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/scaling.md")
    docs = parser.parse_args().docs
    one_core()
    planning, planning_memory, jobs = planned(BATCHES)  # first: the memory is the largest of all processes so far
    more, more_memory, _ = planned(4 * BATCHES)
    seconds, size, memory = a_muon()
    tally = a_tally()
    batch = MUONS / BATCHES
    rate = BATCHES * size / seconds
    wall = planning + batch * seconds + BATCHES * tally
    rows = [
        ["storage", f"{MUONS * size / 1e12:.0f} TB: {size:.0f} bytes per muon"],
        ["arithmetic and I/O", f"{MUONS * seconds / 3600:.0f} core hours: {seconds * 1e9:.0f} ns per muon"],
        ["cluster jobs", f"{BATCHES} of {batch:.0e} muons, and one for the verdict; {jobs} jobs of Snakemake"],
        ["one such job", f"{batch * seconds / 60:.0f} min, {batch * size / 1e9:.0f} GB of files, {memory:.0f} MiB"],
        ["Snakemake's plan", f"{planning:.0f} s, {planning_memory:.0f} MiB"],
        ["the same of four times as many batches", f"{more:.0f} s, {more_memory:.0f} MiB"],
        ["merging the tallies", f"{BATCHES * tally:.0f} s: {tally * 1e3:.0f} ms per batch"],
        ["wall time, all jobs at once", f"{wall / 60:.0f} min, if {rate / 1e9:.0f} GB/s can be written"],
        ["wall time at 10 GB/s", f"{(wall - batch * seconds + MUONS * size / 1e10) / 3600:.1f} h"],
    ]
    head = ["10¹² one-hit muons", "what they need"]
    print(f"{machine('torch', 'snakemake', 'h5py')}\n\n{aligned(head, rows)}")
    if docs:
        page = PROJECT / "docs" / "scaling.md"
        into_docs("plan", f"{machine('torch', 'snakemake', 'h5py')}.\n\n{markdown(head, rows)}", page)


if __name__ == "__main__":
    main()
