"""What a cluster adds to a small study: by both profiles on a Slurm of one node, started here, beside a local run.

Command: python benchmarks/cluster.py [--rounds 3] [--docs]
Slurm and munge are needed, as for tests/test_slurm.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml
from common import PROJECT, aligned, into_docs, machine, markdown

sys.path.insert(0, str(PROJECT / "tests"))
from one_node import missing, one_node

STUDY = {
    "study": "small",
    "source": {"muons": 3000},
    "toys": {"muons": 60, "per_muon": 400},
    "scan": {"detector.resolution": [50, 100, 150, 200]},
    "compute": {"batch_cost": 1},
}
WAYS = {
    "local, 2 cores": ["--cores", "2"],
    "profiles/cluster-generic": ["--profile", str(PROJECT / "profiles" / "cluster-generic")],
    "profiles/slurm": [
        *("--profile", str(PROJECT / "profiles" / "slurm")),
        *("--slurm-no-account", "--slurm-status-command=squeue"),  # this Slurm keeps no accounts
    ],
}


def run(arguments, environment):
    """Seconds of the study from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "study.yaml").write_text(yaml.safe_dump(STUDY))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), *arguments]
        begin = time.perf_counter()
        subprocess.run(
            [*command, "--configfile", "study.yaml"],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - begin


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/scaling.md")
    arguments = parser.parse_args()
    if absent := missing():
        sys.exit(f"no {', '.join(absent)}; on Debian: apt-get install slurm-wlm munge")
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as folder, one_node(Path(folder)) as node:
        taken = [{name: run(way, node.environment) for name, way in WAYS.items()} for _ in range(rounds)]
    rows = [[name, f"{median(each[name] for each in taken):.0f}"] for name in WAYS]
    where, head = machine("snakemake", "snakemake-executor-plugin-slurm"), [f"four batches, medians of {rounds}", "s"]
    print(f"{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("cluster", f"{where}.\n\n{markdown(head, rows)}", PROJECT / "docs" / "scaling.md")


if __name__ == "__main__":
    main()
