"""What `pullback run` shows of a run: a bar over all jobs, and a line for each rule when its last job is done.

Snakemake finds this logger by the name of the module, and imports it in every run. So it imports nothing of `pullback`,
which is to be that beside the Snakefile.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

SAID_BEFORE = (
    "Exiting because a job execution failed",
    "RuleException",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""What Snakemake says of a failed job besides the error of the job itself, which has been printed."""

KILLED = "died with <Signals"
"""What Snakemake says of a job that could not print its error."""

INTERRUPTED = "Terminating processes on user request"
"""Beginning of what Snakemake says after Ctrl-C, before its jobs end."""


class LogHandler(LogHandlerBase):
    """Snakemake's log as progress: on a terminal with a bar, elsewhere in plain lines."""

    def __post_init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._left: Counter[str] = Counter()
        self._jobs: dict[int, str] = {}
        self._begun: dict[str, float] = {}
        self._task: Any = None
        self._interrupted = self._said_before = self._killed = False

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record of Snakemake's log."""
        handlers: dict[Any, Callable[[Any], None]] = {
            LogEvent.RUN_INFO: self._planned,
            LogEvent.JOB_INFO: self._begins,
            LogEvent.JOB_FINISHED: self._done,
            LogEvent.JOB_ERROR: self._failed,
        }
        handlers.get(getattr(record, "event", None), self._said)(record)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()
        super().close()

    def _planned(self, record: Any) -> None:
        counts = {rule: number for rule, number in record.stats.items() if rule not in ("all", "total")}
        self._left = Counter(counts)
        self._bar.start()
        self._task = self._bar.add_task("", total=sum(counts.values()))

    def _begins(self, record: Any) -> None:
        if record.rule_name == "all":
            return
        self._jobs[record.jobid] = record.rule_name
        self._begun.setdefault(record.rule_name, time.monotonic())
        if self._task is not None:
            self._bar.update(self._task, description=record.rule_msg or record.rule_name)

    def _done(self, record: Any) -> None:
        rule = self._jobs.pop(record.job_id, "")
        if not rule:
            return
        self._left[rule] -= 1
        if self._task is not None:
            self._bar.advance(self._task)
        if not (self._left[rule] or self._said_before):  # an error stays the last line
            self._console.print(f"{rule:<22} {time.monotonic() - self._begun[rule]:6.1f} s")

    def _failed(self, record: Any) -> None:
        self._bar.stop()
        if self._interrupted or (self._said_before and not self._killed):  # it did not fail, or has said its error
            return
        logs = ", ".join(path for path in record.log if not path.endswith(".tsv"))  # which a failed job does not write
        self._console.print(f"{record.rule_name} failed" + (f"; its log: {logs}" if logs else ""), markup=False)

    def _said(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._interrupted |= text.startswith(INTERRUPTED)
        killed, said = KILLED in text, text.startswith(SAID_BEFORE)
        self._killed |= killed
        self._said_before |= said and not killed
        if record.levelno >= logging.WARNING and text and (killed or not said):
            self._console.print(text, markup=False)
