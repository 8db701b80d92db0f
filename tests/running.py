"""Studies run by the tests, in process or by Snakemake."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pullback import steps
from pullback.report.figures.plot import plot
from pullback.report.gallery import gallery
from pullback.report.page import write_report
from pullback.steps.target import find_target
from pullback.study.batches import Batch
from pullback.study.plan import Study
from pullback.validation.batch_sums import tally
from pullback.validation.verdict import Outputs, validate

PROJECT = Path(__file__).parents[1]
SMALL = {
    "study": "small",
    "source": {"kind": "simulated", "muons": 3000},
    "toys": {"muons": 60, "per_muon": 400},
    "scan": {"detector.resolution": [50, 100], "model.dz": [1.0, 1.5]},
}
"""A study that runs in a moment; too small for a verdict other than inconclusive."""


class Run:
    """A study run in process into a folder, rule by rule: each is told what Snakemake tells its job, by JSON."""

    def __init__(self, raw: dict, folder: Path):
        self.study, self.folder = Study.from_config(raw), folder
        self.files = {kind: [folder / kind / f"{name}.h5" for name in self.study.batches] for kind in self.study.kinds}
        self.tallies = [folder / "tally" / f"{name}.h5" for name in self.study.batches]
        names = ("config.yaml", "points.csv", "study.h5", "validation.json", "validation.schema.json")
        self.outputs = Outputs(*(folder / name for name in (*names, "validation.csv", "summary.csv")))

    @property
    def figures(self) -> tuple[list[Path], list[Path]]:
        """Where figures go, as SVG and as PDF."""
        svgs, pdfs = (
            [self.folder / "figures" / f"{f.stem}.{kind}" for f in gallery(self.study)] for kind in ("svg", "pdf")
        )
        return svgs, pdfs

    def make(self, sabotage: Callable[[str], object] | None = None, *, backwards: bool = False) -> "Run":
        """Every artefact, then the verdict; `sabotage(rule)` is a context that each rule runs in."""
        spoil = sabotage or (lambda _: no_sabotage())
        batches = list(enumerate(self.study.batches))
        for index, name in reversed(batches) if backwards else batches:
            paths = {kind: files[index] for kind, files in self.files.items()}
            batch = lambda kind, name=name: Batch.from_json(self.study.batch(kind, name).to_json())  # noqa: E731
            truth = paths.get("truth")
            if truth:
                with spoil("simulate_hits"):
                    steps.simulate_hits(batch("truth"), truth)
                with spoil("smear_hits"):
                    steps.smear_hits(batch("reco"), truth, paths["reco"])
            else:
                steps.import_hits(batch("reco"), paths["reco"])
            with spoil("infer_theta"):
                steps.infer_theta(batch("theta"), paths["reco"], paths["theta"], truth)
            with spoil("propagate_uncertainty"):
                steps.propagate_uncertainty(batch("sigma"), paths["reco"], paths["sigma"], truth)
            with spoil("run_toys"):
                steps.run_toys(batch("toys"), paths["reco"], paths["toys"])
            with spoil("tally"):
                tally(batch("tally"), paths, self.tallies[index])
        validate(self.of_job, self.tallies, self.outputs)
        return self

    @property
    def of_job(self) -> Study:
        """The study as a job has it."""
        return Study.from_json(self.study.to_json())

    def show(self) -> "Run":
        """What a person sees: the target if one is wanted, the figures and the report."""
        target = None
        if self.study.config.target:
            target = self.folder / "target.json"
            find_target(Study.from_json(self.study.target_to_json()), target)
        plot(self.of_job, self.outputs.study, self.outputs.validation, *self.figures, target)
        write_report(self.of_job, self.outputs.validation, self.figures[0], self.folder / "report.html", target)
        return self


@contextmanager
def no_sabotage() -> Iterator[None]:
    yield


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".snakemake_timestamp"
    }


class Workflow:
    """The Snakefile of the project or of a copy of it, run for real in a folder of its own."""

    def __init__(self, folder: Path, project: Path = PROJECT):
        self.folder, self.project = folder, project

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--snakefile", str(self.project / "Snakefile"), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests, but without a GPU: what is said to those who want one is then tested on any machine."""
        return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}

    def start(self, *arguments: str) -> subprocess.Popen:
        """Begin a run, in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # As from a terminal: what a shell runs in the background would not hear Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run to the end; what it printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == expect, printed
        return printed

    def results(self, study: str = "small") -> dict[str, bytes]:
        return files_in(self.folder / "results" / study)


def copy_of_project(folder: Path) -> Path:
    """A copy of all that the workflow runs, to be changed."""
    for name in ("Snakefile", "src", "config", "profiles", "workflow"):
        (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, folder / name)
    return folder
