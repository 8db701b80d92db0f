"""What plain `snakemake` shows of a run on this machine: a line for each job, errors whole, and the verdict last."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, logger
from snakemake_interface_logger_plugins.common import LogEvent

CHATTER = (
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Using shell: ",
    "Select jobs to execute",
    "Execute ",
    "Shutting down, this might take some time",
)
"""Beginnings of what Snakemake says of its own work."""

AFTER_THE_VERDICT = ("Complete log(s): ", "Elapsed time: ")
"""Beginnings of what Snakemake says at the end; after an error it is of use."""

SAID_BY_THE_JOB = (
    "RuleException:\nCalledProcessError in file ",
    "Exiting because a job execution failed",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""Beginnings of what Snakemake says of a job that has printed its error itself."""

KILLED = "died with <Signals"
"""What Snakemake says of a job that could not print its error."""

UP_TO_DATE = "Nothing to be done"


class BriefHandler(logging.StreamHandler[Any]):
    """Stands in for Snakemake's own handler, which still prints warnings, errors, and jobs without a message."""

    def __init__(self, shown: ColorizingTextHandler, workflow: Any, checked: Callable[[], str]) -> None:
        super().__init__(shown.stream)
        self.filters, self.formatter = shown.filters, shown.formatter
        self._shown, self._workflow = shown, workflow
        self._checked = checked
        self._jobs: dict[int, int] = {}
        self._total = 0
        self._failed = self._said = self._killed = False

    def filter(self, record: logging.LogRecord) -> Any:
        """Whether Snakemake's options let a record through; the number of jobs is in one that they do not."""
        if getattr(record, "event", None) is LogEvent.RUN_INFO:
            self._total = sum(number for rule, number in vars(record)["stats"].items() if rule not in ("all", "total"))
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record of Snakemake's log."""
        text, event = record.getMessage(), getattr(record, "event", None)
        killed = KILLED in text
        self._killed |= killed
        if self._workflow.local_exec and text.startswith(SAID_BY_THE_JOB) and not killed:
            self._said = True
            return
        if self._workflow.local_exec and event is LogEvent.JOB_ERROR and vars(record)["jobid"] in self._jobs:
            self._ends_in_error(record)
            return
        self._failed |= record.levelno >= logging.ERROR
        if record.levelno > logging.INFO or not self._workflow.local_exec:
            self._shown.emit(record)
        elif event is LogEvent.JOB_INFO:
            self._begins(record)
        elif not text.startswith(CHATTER if self._failed else CHATTER + AFTER_THE_VERDICT):
            super().emit(record)
        if text.startswith(UP_TO_DATE):
            self._verdict()

    def _begins(self, record: Any) -> None:
        if not record.rule_msg:
            self._shown.emit(record)
        elif record.rule_name != "all":
            number = self._jobs.setdefault(record.jobid, len(self._jobs) + 1)
            width = len(str(self._total))
            self.stream.write(f"[{number:{width}}/{self._total}] {record.rule_msg}\n")
            self.flush()

    def _ends_in_error(self, record: Any) -> None:
        """Name the log of a job that was killed; others have said their error, which stays the last line."""
        if self._said and not self._killed:
            return
        logs = ", ".join(path for path in record.log or () if not path.endswith(".tsv"))
        self.stream.write(f"{record.rule_name} failed" + (f"; its log: {logs}\n" if logs else "\n"))
        self.flush()

    def _verdict(self) -> None:
        """The answers and the verdict of a study that is up to date."""
        checked = Path(self._checked())
        if checked.is_file():
            self.stream.write(checked.read_text(encoding="utf-8"))
            self.flush()


def be_brief(workflow: Any, checked: Callable[[], str]) -> None:
    """Show little of a run where `quiet` leaves progress out, as the default profile says, and no more is asked for.

    `checked` gives the path of the file with the verdict, once the rules are known.
    """
    from snakemake.settings.enums import Quietness

    asked = workflow.output_settings
    if Quietness.PROGRESS not in (asked.quiet or ()) or asked.dryrun or asked.verbose or asked.debug_dag:
        return
    for handler in list(logger.handlers):
        if isinstance(handler, ColorizingTextHandler):
            logger.removeHandler(handler)
            logger.addHandler(BriefHandler(handler, workflow, checked))
