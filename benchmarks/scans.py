"""The wall time of the workflow from nothing, for scans of 1, 9, 50 and 1000 points, and what it is spent on.

The times are those of `snakemake --cores all`. What they are spent on is taken from a run on one core, where no two
jobs overlap: benchmarks/sampled says what the time goes to in the jobs and in the server from which they are forked,
and the rest is Snakemake's own.

Command: python benchmarks/scans.py [--points 1 9 50 1000] [--rounds 3] [--cores all] [--docs]
The scan of 1000 points writes some 12 GB to the folder for temporary files, takes minutes, and is run once, without its
parts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import yaml
from common import PROJECT, aligned, into_docs, machine, markdown, one_core

DEFAULT = yaml.safe_load((PROJECT / "config" / "config.yaml").read_text())
RESOLUTIONS = [40 + 4 * index for index in range(50)]
HEIGHTS = [round(1 + 0.05 * index, 2) for index in range(20)]
SCANS = {
    1: None,
    9: DEFAULT["scan"],
    50: {"detector.resolution": RESOLUTIONS},
    1000: {"detector.resolution": RESOLUTIONS, "model.dz": HEIGHTS},
}
"""The default study's scan, and others of it, by their number of points."""
ONCE = 100
"""Points from which on a scan is run once, and not on one core."""
PARTS = {
    "Snakemake": "Snakemake: start, plan of jobs, scheduling; starts of Python",
    "imports": "imports of the jobs and of their server",
    "plan": "the jobs' reading of the config",
    "I/O": "HDF5, checksums and other files",
    "arithmetic": "arithmetic",
    "plotting": "plotting",
    "report": "report",
}


def run(points, cores, sampled=False, arguments=()):
    """Seconds for a study from nothing, its jobs, and where it is sampled the seconds by part.

    `arguments` are further ones of Snakemake.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "study.yaml").write_text(yaml.safe_dump({**DEFAULT, "scan": SCANS[points]}))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", cores]
        parts_folder = Path(folder, "parts")
        parts_folder.mkdir()
        environment = dict(os.environ)
        if sampled:
            path = [str(PROJECT / "benchmarks" / "sampled"), os.environ.get("PYTHONPATH")]
            environment |= {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PULLBACK_PARTS": str(parts_folder)}
        begin = time.perf_counter()
        done = subprocess.run(
            [*command, *arguments, "--configfile", "study.yaml"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=one_core if sampled else None,  # where nothing overlaps
        )
        took = time.perf_counter() - begin
        if done.returncode:
            sys.exit(f"the scan of {points} points failed:\n{done.stderr}")
        return took, jobs_of(Path(folder)), parts_of(took, parts_folder) if sampled else {}


def jobs_of(folder):
    """How many jobs a run had, each of which has said what it used: Snakemake's own words depend on the profile."""
    return sum(1 for _ in folder.glob("logs/*/*/*.tsv"))


def parts_of(took, parts_folder):
    """The seconds of a run on one core by part; all of them together are the whole."""
    parts = Counter()
    for path in parts_folder.glob("*.json"):
        parts.update(json.loads(path.read_text()))
    del parts["waiting"]
    parts["Snakemake"] = took - parts.total()
    return parts


def main():
    """Print seconds and parts; each round runs every study once, so that the machine's mood is shared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", choices=SCANS, default=list(SCANS), help="the scans to run")
    parser.add_argument("--rounds", type=int, default=3, help="how often")
    parser.add_argument("--cores", default="all", help="for the times; their parts are of one core")
    parser.add_argument("--docs", action="store_true", help="also write the tables in docs/performance.md")
    options = parser.parse_args()
    times, parts, jobs = ({points: [] for points in options.points} for _ in range(3))
    for index in range(options.rounds):
        for points in options.points:
            if index and points > ONCE:
                continue
            took, count, _ = run(points, options.cores)
            times[points].append(took)
            jobs[points] = count
            words = f"round {index + 1}: {points:>4} points, {count} jobs: {took:6.2f} s"
            if points <= ONCE:
                alone, _, of_alone = run(points, "1", sampled=True)
                parts[points].append(of_alone)
                words += f"; on one core {alone:6.2f} s"
            print(words, file=sys.stderr, flush=True)
    parts = {points: runs for points, runs in parts.items() if runs}

    head = ["points", "jobs", "seconds", "s per point", "times the first"]
    first = median(times[options.points[0]])
    rows = [
        [str(points), str(jobs[points]), f"{took:.2f}", f"{took / points:.2f}", f"{took / first:.2f}"]
        for points, took in ((points, median(each)) for points, each in times.items())
    ]
    head_of_parts = ["seconds on one core", *(f"{points} point{'s' * (points > 1)}" for points in parts)]
    rows_of_parts = [[words, *(share(runs, part) for runs in parts.values())] for part, words in PARTS.items()]
    rows_of_parts.append(["together", *(f"{median(each.total() for each in runs):.2f}" for runs in parts.values())])
    where = machine("torch", "numpy", "h5py", "matplotlib", "snakemake")
    print(where, aligned(head, rows), aligned(head_of_parts, rows_of_parts), sep="\n\n")
    if options.docs:
        into_docs("scans", f"{where}.\n\n{markdown(head, rows)}\n\n{markdown(head_of_parts, rows_of_parts)}")


def share(runs, part):
    """The median seconds of a part, and its share of the whole."""
    seconds, whole = (median(times) for times in ([each[part] for each in runs], [each.total() for each in runs]))
    return f"{seconds:.2f} ({100 * seconds / whole:.0f} %)"


if __name__ == "__main__":
    main()
