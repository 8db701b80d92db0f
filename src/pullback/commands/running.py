"""Running the workflow from the package, whatever the folder."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.text import read_config
from ..errors import ANSWERS_FOLLOW, PullbackError
from .finding import FINISHED, STUDIES
from .packaged import workflow_folder

DRY_RUN = ("-n", "--dry-run", "--dryrun")
"""Options of a dry run."""

ONLY_TELL = (
    *("--summary", "-S", "--detailed-summary", "-D", "--dag", "--rulegraph", "--filegraph", "--d3dag"),
    *("--list-changes", "--lc", "--list-input-changes", "--li", "--list-params-changes", "--lp"),
    *("--list-untracked", "--lu", "--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--list-conda-envs"),
    *("--lint", "--report", "--print-compilation", "--unlock", "--cleanup-metadata", "--cm", "--cleanup-shadow"),
    *("--delete-all-output", "--delete-temp-output", "--archive", "--containerize", "--export-cwl"),
    *("--generate-unit-tests", "--help", "-h", "--version", "-v"),
)
"""Options with which Snakemake runs no job, and what it says is wanted."""


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
    PullbackError
        A rule after --until or --omit-from does not exist.

    """
    study = read_config(config).get("study", "exercise")
    given = _given(options)
    _check_rules([*(given.until or ()), *(given.omit_from or ())])
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_folder() / "Snakefile")]
    # What the default profile does for Snakemake alone; its name need not be said.
    command += ["--workflow-profile", "none", "--rerun-incomplete"]
    command += ["--configfile", str(config), *options]
    command += [] if given.cores or given.executor or given.profile else ["--cores", "all"]
    command += _logging(given)
    log = Path(given.directory, "logs", str(study), "check", "study.log")
    before = _written(log)
    status = _finished(command)
    partly = given.dry_run or given.only_tells or given.until or given.omit_from
    results = Path(given.directory, STUDIES, str(study))
    whole = not partly and (status == 0 or _written(log) != before) and (results / FINISHED).is_file()
    return Ran(status, results if whole else None)


def _check_rules(names: Sequence[str]) -> None:
    """Refuse names of rules that there are not; a name with a dot or a slash is that of a file."""
    text = (workflow_folder() / "Snakefile").read_text(encoding="utf-8")
    rules = [name for name in re.findall(r"^\s*(?:use rule step as|rule) (\w+)", text, re.MULTILINE) if name != "step"]
    for name in names:
        if re.fullmatch(r"\w+", name) and name not in rules:
            raise PullbackError(f"{name}: there is no such rule; the rules are {', '.join(rules)}")


def _logging(given: argparse.Namespace) -> list[str]:
    """Progress of a run; Snakemake's own words where it runs nothing, for a dry run as the default profile has them."""
    if not (given.dry_run or given.only_tells):
        return ["--logger", "pullback"]
    return ["--quiet", "host", "reason"] if given.dry_run and given.quiet is None else []


def _finished(command: Sequence[str]) -> int:
    """Exit status of a command; after Ctrl-C, which it gets too, it is given the time to put things in order."""
    interrupted = False
    with subprocess.Popen(command, env={**os.environ, ANSWERS_FOLLOW: "1"}) as process:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode


def _written(log: Path) -> int:
    """When the log of the last job, which checks the verdict, was written, ns; 0 if there is none."""
    return log.stat().st_mtime_ns if log.is_file() else 0


def _given(options: Sequence[str]) -> argparse.Namespace:
    """Those of Snakemake's options that decide what is run, and where."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--cores", "-j", "--jobs", nargs="?", const="all")
    parser.add_argument("-e", "--executor")
    parser.add_argument("--profile")
    parser.add_argument("-d", "--directory", default=".")
    parser.add_argument(*DRY_RUN, dest="dry_run", action="store_true")
    parser.add_argument(*ONLY_TELL, dest="only_tells", nargs="?", const=True)
    parser.add_argument("-U", "--until", nargs="+")
    parser.add_argument("-O", "--omit-from", nargs="+")
    parser.add_argument("-q", "--quiet", nargs="*")
    return parser.parse_known_args(options)[0]
