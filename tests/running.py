"""Studies run by the tests, in process or by Snakemake."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from typechecker import unchecked

from pullback import steps
from pullback.report.figures.plot import plot
from pullback.report.gallery import gallery
from pullback.report.page import write_report
from pullback.steps.aligning import align
from pullback.steps.target import find_target
from pullback.store.alignment_file import AlignmentFile
from pullback.store.study_file import open_study
from pullback.study.aligning import Aligned, aligned_batch, aligned_study, alignment_to_json, expected, is_aligned
from pullback.study.batches import Batch
from pullback.study.plan import Study
from pullback.validation.batch_sums import tally
from pullback.validation.verdict import Outputs, validate

PROJECT = Path(__file__).parents[1]
SMALL = {
    "study": "small",
    "source": {"kind": "simulated", "muons": 3000},
    "toys": {"muons": 60, "per_muon": 400},
    "coverage": {"toys_per_bin": 640},
    "scan": {"detector.resolution": [50, 100], "model.dz": [1.0, 1.5]},
}
"""A study that runs in a moment; too small for a verdict other than inconclusive."""


FEW = {"coverage": {"toys_per_bin": 640}}
"""So few toys around true hits that they take no time, and decide nothing; studies that need a verdict have more."""

ENOUGH = {"coverage": {"toys_per_bin": 100_000}}
"""As many as by default."""


def simulated(raw: dict) -> bool:
    """Whether hits are simulated."""
    source = raw.get("source")
    return not isinstance(source, dict) or source.get("kind", "simulated") == "simulated"


MADE_FROM_IT = {"reco": {"reco", "theta", "fits", "sigma", "toys", "coverage"}, "sigma": {"sigma", "coverage"}}
"""Kinds of artefacts that are made from one kind, and the kind itself; of others nothing is made."""


class Run:
    """A study run in process into a folder, rule by rule: each is told what Snakemake tells its job, by JSON.

    Types are checked at run time, as in the tests of single functions, only if `checked`.
    """

    def __init__(self, raw: dict, folder: Path, *, checked: bool = False):
        self.raw, self.folder = {**FEW, **raw} if simulated(raw) else raw, folder
        self.study = Study.from_config(self.raw)
        self.checks = nullcontext if checked else unchecked
        self.files = {kind: [folder / kind / f"{name}.h5" for name in self.study.batches] for kind in self.study.kinds}
        self.tallies = [folder / "tally" / f"{name}.h5" for name in self.study.batches]
        self.alignment = folder / "alignment.json"
        names = ("config.yaml", "points.csv", "study.h5", "validation.json", "validation.schema.json")
        self.outputs = Outputs(*(folder / name for name in (*names, "validation.csv", "summary.csv")))

    @property
    def figures(self) -> list[Path]:
        """Where figures go, as SVG."""
        return [self.folder / "figures" / f"{f.stem}.svg" for f in gallery(expected(self.study))]

    @property
    def printed(self) -> list[Path]:
        """Where they go as PDF, if the config asks for that."""
        return [svg.with_suffix(".pdf") for svg in self.figures if self.study.config.figures.pdf]

    def make(self, *, backwards: bool = False) -> "Run":
        """Every artefact, then the verdict."""
        with self.checks():
            batches = range(len(self.tallies))
            if is_aligned(self.study):
                align(Study.from_json(alignment_to_json(self.study)), self.alignment)
            for index in reversed(batches) if backwards else batches:
                for job in self.jobs(index).values():
                    job()
            validate(self.of_job, self.tallies, self.outputs)
        return self

    def sabotaged(self, folder: Path, spoilt: str | tuple[str, ...], target: object, name: str, wrong: object) -> "Run":
        """The same study in another folder, where some kinds of artefacts are made with something that is wrong.

        Of this one, which is made, it has the artefacts that do not depend on them. What is wrong with propagation is
        wrong wherever it is used, in toys around true hits too.
        """
        other = Run(self.raw, folder)
        spoilt = {"sigma": ("sigma", "coverage")}.get(spoilt, (spoilt,)) if isinstance(spoilt, str) else spoilt
        kept = {*self.files}.difference(*(MADE_FROM_IT.get(kind, {kind}) for kind in spoilt))
        for kind in kept:
            (folder / kind).mkdir(parents=True)
            for here, there in zip(self.files[kind], other.files[kind], strict=True):
                there.hardlink_to(here)
        if is_aligned(self.study):
            other.alignment.hardlink_to(self.alignment)
        with other.checks():
            for index in range(len(other.tallies)):
                for kind, job in other.jobs(index).items():
                    with pytest.MonkeyPatch.context() as patch:
                        if kind in spoilt:
                            patch.setattr(target, name, wrong)
                        if kind not in kept:
                            job()
            validate(other.of_job, other.tallies, other.outputs)
        return other

    def jobs(self, index: int) -> dict[str, Callable[[], object]]:
        """What makes the artefacts of a batch, in order."""
        name = list(self.study.batches)[index]
        paths = {kind: files[index] for kind, files in self.files.items()}
        truth, reco = paths.get("truth"), paths["reco"]
        batch = lambda kind: self._batch(kind, name)  # noqa: E731
        jobs = {
            "truth": lambda: steps.simulate_hits(batch("truth"), truth),
            "reco": lambda: steps.smear_hits(batch("reco"), truth, reco),
        }
        if not truth:
            jobs = {"reco": lambda: steps.import_hits(batch("reco"), reco)}
        if "fits" in paths:
            jobs["fits"] = lambda: steps.fit_residuals(batch("fits"), reco, paths["fits"])
        cover = lambda: steps.measure_coverage(  # noqa: E731
            batch("coverage"), truth, reco, paths["sigma"], paths["coverage"]
        )
        return {
            **jobs,
            "theta": lambda: steps.infer_theta(batch("theta"), reco, paths["theta"], truth),
            "sigma": lambda: steps.propagate_uncertainty(batch("sigma"), reco, paths["sigma"], truth),
            "toys": lambda: steps.run_toys(batch("toys"), reco, paths["toys"]),
            **({"coverage": cover} if truth else {}),
            "tally": lambda: tally(batch("tally"), paths, self.tallies[index]),
        }

    @property
    def of_job(self) -> Study:
        """The study as a job has it."""
        study = Study.from_json(self.study.to_json())
        return aligned_study(study, self._aligned) if is_aligned(study) else study

    @property
    def _aligned(self) -> Aligned:
        return AlignmentFile.read(self.alignment).aligned

    def _batch(self, kind: str, name: str) -> Batch:
        """A batch as a job has it."""
        batch = Batch.from_json(self.study.batch(kind, name).to_json())
        return aligned_batch(batch, self._aligned) if is_aligned(self.study) else batch

    def columns(self, label: str = "") -> dict[str, np.ndarray]:
        """Every column of the study, by path; those of a point by their names in it."""
        with open_study(self.outputs.study) as reader:
            labels = [label] if label else [point.label for point in self.study.points]
            found = {name: reader.rows(name) for each in labels for name, _ in reader.columns(each)}
        return {name.removeprefix(f"{label}/"): values for name, values in found.items()}

    def show(self) -> "Run":
        """What a person sees: the target if one is wanted, the figures and the report."""
        target = self.folder / "target.json" if self.study.config.target else None
        alignment = self.alignment if is_aligned(self.study) else None
        with self.checks():
            if target:
                find_target(Study.from_json(self.study.target_to_json()), target)
            plot(self.of_job, self.outputs.study, self.outputs.validation, self.figures, target, alignment)
            made = self.outputs.validation, self.outputs.study, self.figures
            write_report(self.of_job, *made, self.folder / "report.html", target, alignment)
        return self


def slow(*values: object):
    """Values of a parametrized test that only `make test-slow` tries."""
    return pytest.param(*values, marks=pytest.mark.slow)


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
    folder.mkdir(exist_ok=True)
    for name in ("Snakefile", "src", "config", "profiles", "workflow"):
        (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, folder / name)
    return folder
