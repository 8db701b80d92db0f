"""What every job of the workflow does around its one call: a log, and errors in one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import PullbackError


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a job's call: progress goes to its log, and a failure to the log and, as one line, to stderr.

    Exits with 1 on an error. One that no user can mend keeps its traceback in the log.
    """
    log = str(snakemake.log[0])
    logging.basicConfig(filename=log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.info("%s begins", snakemake.rule)
    try:
        yield snakemake
    except PullbackError as error:
        logging.error("%s", error)
        sys.exit(f"pullback: {snakemake.rule}: {error}")
    except MemoryError:
        logging.exception("out of memory")
        sys.exit(f"pullback: {snakemake.rule}: out of memory; lower compute.batch_cost or free some, and run again")
    except Exception as error:
        logging.exception("unexpected error")
        sys.exit(f"pullback: {snakemake.rule}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} (see {log})")
    logging.info("%s is done", snakemake.rule)
