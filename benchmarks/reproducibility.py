"""How far a study differs where its bytes do: run again, in other batches, and with narrower vector instructions.

Command: python benchmarks/reproducibility.py [--docs]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from common import PROJECT, aligned, into_docs, machine, markdown

from pullback.store.provenance import vector_instructions
from pullback.store.study_file import open_study

STUDY = {
    "study": "s",
    "source": {"muons": 10_000},
    "model": {"name": "track3d"},
    "toys": {"muons": 60, "per_muon": 1000},
}
WAYS = {
    "again": ([], {}),
    "again on one core, in another order": (["--cores", "1", "--prioritize", "run_toys"], {}),
    "four threads allowed to each job": (
        [
            "--cores",
            "4",
            "--set-threads",
            *(
                f"{rule}=4"
                for rule in (
                    "simulate_hits",
                    "smear_hits",
                    "infer_theta",
                    "propagate_uncertainty",
                    "run_toys",
                    "tally",
                    "validate",
                )
            ),
        ],
        {},
    ),
    "torch with AVX2": ([], {"ATEN_CPU_CAPABILITY": "avx2"}),
    "torch without vector instructions": ([], {"ATEN_CPU_CAPABILITY": "default"}),
}


def run(folder, arguments=(), environment=None):
    """The folder with the results of the study."""
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "report"]
    command += [*([] if "--cores" in arguments else ["--cores", "2"]), *arguments, "--configfile", "study.yaml"]
    subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, check=True, text=True
    )
    return folder / "results" / "s"


def differing(one, other):
    """How many files differ, and how many there are."""
    names = [path.relative_to(one) for path in one.rglob("*") if path.is_file() and path.name[0] != "."]
    return sum((one / name).read_bytes() != (other / name).read_bytes() for name in names), len(names)


def furthest(one, other):
    """The largest difference of a column, over the largest value in it, and the name of that column."""
    found = [(0.0, "")]
    with open_study(one / "study.h5") as first, open_study(other / "study.h5") as second:
        for name, _ in first.columns("nominal"):
            a, b = first.rows(name), second.rows(name)
            if a.dtype.kind == "f" and np.isfinite(a).any():
                scale = np.nanmax(np.abs(a[np.isfinite(a)])) or 1.0
                found.append((float(np.nanmax(np.abs(a - b), initial=0.0)) / scale, name.removeprefix("nominal/")))
    return max(found)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/reproducibility.md")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        first = run(Path(folder, "first"))
        for index, (name, (options, environment)) in enumerate(WAYS.items()):
            other = run(Path(folder, str(index)), options, environment)
            count, total = differing(first, other)
            difference, column = furthest(first, other) if count else (0.0, "")
            rows.append([name, f"{count} of {total}", f"{difference:.0e} ({column})" if difference else "0"])
    import torch  # noqa: F401, so that its instructions are named too

    used = ", ".join(f"{library} with {width}" for library, width in vector_instructions().items())
    where = f"{machine('numpy', 'torch')}; {used}"
    head = ["the same study", "files that differ", "largest difference over the largest value"]
    print(f"{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("reproducibility", f"{where}.\n\n{markdown(head, rows)}", PROJECT / "docs" / "reproducibility.md")


if __name__ == "__main__":
    main()
