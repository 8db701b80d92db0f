"""The wall time of the workflow: nine points and fifty against one, in turn, from nothing.

Command: python benchmarks/scans.py [rounds] [cores]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

PROJECT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((PROJECT / "config" / "config.yaml").read_text())
STUDIES = {
    "1 point": {**DEFAULT, "scan": None},
    "9 points": DEFAULT,
    "50 points": {**DEFAULT, "scan": {"detector.resolution": [40 + 4 * index for index in range(50)]}},
}


def run(raw, cores):
    """Seconds for a study from nothing, and its jobs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "study.yaml").write_text(yaml.safe_dump(raw))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", cores]
        begin = time.perf_counter()
        done = subprocess.run(
            [*command, "--configfile", "study.yaml"], cwd=folder, capture_output=True, text=True, check=True
        )
        took = time.perf_counter() - begin
        jobs = next(line.split()[1] for line in done.stderr.splitlines() if line.startswith("total"))
        return took, int(jobs)


def main():
    """Print seconds, jobs and ratios; each round runs every study once, so that the machine's mood is shared."""
    rounds, cores = (sys.argv[1:] + ["5", "all"][len(sys.argv) - 1 :])[:2]
    times = {name: [] for name in STUDIES}
    for index in range(int(rounds)):
        for name, raw in STUDIES.items():
            took, jobs = run(raw, cores)
            times[name].append(took)
            print(f"round {index + 1}: {name:>9}: {took:6.2f} s, {jobs} jobs", flush=True)
    for name, took in times.items():
        ratios = [a / b for a, b in zip(took, times["1 point"], strict=True)]
        print(f"{name:>9}: {median(took):6.2f} s, {median(ratios):.2f} times one point")


if __name__ == "__main__":
    main()
