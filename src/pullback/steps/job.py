"""Environment of every job of the workflow: a log, one thread, and errors in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import PullbackError
from ..store.alignment_file import AlignmentFile
from ..study.aligning import Aligned, aligned_batch, aligned_study
from ..study.batches import Batch
from ..study.plan import Study
from .usage import write_usage


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a job's call: progress goes to its log, a failure to its log and, as one line, to stderr.

    Time and memory go to the log named `usage`, if the rule has one.

    Exits with status 1 on an error, and silently with 130 on Ctrl-C. An unexpected error, or one within a user's
    model, keeps its traceback in the log, which the line names.
    """
    _use_one_thread()
    path = str(snakemake.log[0])
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("pullback")  # without messages of other libraries
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("%s begins", snakemake.rule)
    try:
        yield snakemake
        if usage := getattr(snakemake.log, "usage", None):
            write_usage(usage)
    except PullbackError as error:
        log.error("%s", error, exc_info=error.__cause__)  # the calls within a user's model
        sys.exit(f"pullback: {snakemake.rule}: {error}" + (f" (see {path})" if error.__cause__ else ""))
    except KeyboardInterrupt:
        log.error("interrupted")
        sys.exit(130)
    except MemoryError:
        log.exception("out of memory")
        sys.exit(f"pullback: {snakemake.rule}: out of memory; lower compute.batch_cost or free some, and run again")
    except Exception as error:
        log.exception("unexpected error")
        reason = next(iter(str(error).splitlines()), "")
        sys.exit(f"pullback: {snakemake.rule}: {type(error).__name__}: {reason} (see {path})")
    log.info("%s is done", snakemake.rule)


def batch_of(snakemake: Any) -> Batch[Any]:
    """The batch of a job, with what was found of its layers."""
    batch, found = Batch.from_json(snakemake.params.batch), _aligned(snakemake)
    return batch if found is None else aligned_batch(batch, found)


def study_of(snakemake: Any) -> Study:
    """The study of a job, with what was found of its layers."""
    study, found = Study.from_json(snakemake.params.study), _aligned(snakemake)
    return study if found is None else aligned_study(study, found)


def _aligned(snakemake: Any) -> Aligned | None:
    path = snakemake.input.get("alignment")
    return AlignmentFile.read(path).aligned if path else None


def _use_one_thread() -> None:
    """Pin torch to one thread, whatever Snakemake is told (docs/reproducibility.md)."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    if torch := sys.modules.get("torch"):  # torch has already read the variables
        torch.set_num_threads(1)
