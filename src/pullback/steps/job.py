"""Environment of every job of the workflow: a log, one thread, and errors in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import PullbackError


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a job's call: progress goes to its log, a failure to its log and, as one line, to stderr.

    Exits with status 1 on an error. An unexpected error keeps its traceback in the log.
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
    except PullbackError as error:
        log.error("%s", error)
        sys.exit(f"pullback: {snakemake.rule}: {error}")
    except MemoryError:
        log.exception("out of memory")
        sys.exit(f"pullback: {snakemake.rule}: out of memory; lower compute.batch_cost or free some, and run again")
    except Exception as error:
        log.exception("unexpected error")
        reason = next(iter(str(error).splitlines()), "")
        sys.exit(f"pullback: {snakemake.rule}: {type(error).__name__}: {reason} (see {path})")
    log.info("%s is done", snakemake.rule)


def _use_one_thread() -> None:
    """Pin torch to one thread, whatever Snakemake is told (docs/reproducibility.md)."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    if torch := sys.modules.get("torch"):  # torch has already read the variables
        torch.set_num_threads(1)
