"""Running the workflow from the package, whatever the folder."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.text import read_config
from .packaged import workflow_folder


class Ran(NamedTuple):
    """How a run ended: Snakemake's exit status, and where the results are, if they are whole.

    They are where the verdict alone made the run fail.
    """

    status: int
    results: Path | None


def run(config: str | Path, options: Sequence[str] = ()) -> Ran:
    """Run a study in the current folder, with further options of Snakemake.

    Raises
    ------
    ConfigError
        The config file can't be read.

    """
    study = read_config(config).get("study", "exercise")
    given = _given(options)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_folder() / "Snakefile")]
    # What the default profile does for Snakemake alone; its name need not be said.
    command += ["--workflow-profile", "none", "--rerun-incomplete"]
    command += ["--configfile", str(config), "--logger", "pullback", *options]
    command += [] if given.cores or given.executor or given.profile else ["--cores", "all"]
    results = Path(given.directory, "results", str(study))
    before = _reported(results)
    status = _finished(command)
    whole = not (given.dry_run or given.unlock) and (status == 0 or _reported(results) != before)
    return Ran(status, results if whole else None)


def _finished(command: Sequence[str]) -> int:
    """Exit status of a command; after Ctrl-C, which it gets too, it is given the time to put things in order."""
    interrupted = False
    with subprocess.Popen(command) as process:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode


def _reported(results: Path) -> int:
    """When the report was written, ns; 0 if there is none."""
    report = results / "report.html"
    return report.stat().st_mtime_ns if report.is_file() else 0


def _given(options: Sequence[str]) -> argparse.Namespace:
    """Those of Snakemake's options that decide what is run, and where."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--cores", "-j", "--jobs", nargs="?", const="all")
    parser.add_argument("-e", "--executor")
    parser.add_argument("--profile")
    parser.add_argument("-d", "--directory", default=".")
    parser.add_argument("-n", "--dry-run", "--dryrun", action="store_true")
    parser.add_argument("--unlock", action="store_true")
    return parser.parse_known_args(options)[0]
